"""The exact account of cells: nothing appears or vanishes without an event."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm.cells import Count, Kind, Origin
from abm.errors import LedgerError

_LOSSES = (Count.DIE, Count.DRUG, Count.KILL, Count.EGRESS, Count.LEFT)
_GAINS = (Count.BIRTH, Count.BECAME)


def check(before: NDArray[np.int64], arrived: NDArray[np.int64], counts: NDArray[np.int64], step: int) -> None:
    """Compare the population with the events of a step, for every kind and origin.

    Args:
        before: population before the step, int64 (64, 4).
        arrived: cells that settled from the blood, int64 (64, 4).
        counts: counts of the step, int64 (N_COUNTS, 64, 4).
        step: number of the step, for the message.

    Raises:
        LedgerError: naming the first kind and origin that do not add up.
    """
    expected = before + arrived + counts[list(_GAINS)].sum(axis=0) - counts[list(_LOSSES)].sum(axis=0)
    wrong = np.argwhere(expected != counts[Count.POPULATION])
    if wrong.size:
        kind, origin = (int(v) for v in wrong[0])
        msg = (
            f"step {step}: {counts[Count.POPULATION][kind, origin]} cells of {Kind(kind).name} "
            f"({Origin(origin).name.lower()}) are on the lattice, the events account for {expected[kind, origin]}"
        )
        raise LedgerError(msg)
