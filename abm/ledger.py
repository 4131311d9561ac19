"""The exact account of cells: nothing appears or vanishes without an event."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_COUNTS, Count, Kind, Origin
from abm.errors import LedgerError

#: What each count adds to the cells that the events account for, less those that are there.
_SIGNS = np.zeros(N_COUNTS, np.int64)
_SIGNS[[Count.BIRTH, Count.BECAME]] = 1
_SIGNS[[Count.DIE, Count.DRUG, Count.KILL, Count.EGRESS, Count.LEFT, Count.POPULATION]] = -1


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
    missing = before + arrived + (_SIGNS @ counts.reshape(N_COUNTS, -1)).reshape(before.shape)
    if missing.any():
        kind, origin = (int(v) for v in np.argwhere(missing)[0])
        found = counts[Count.POPULATION][kind, origin]
        msg = (
            f"step {step}: {found} cells of {Kind(kind).name} ({Origin(origin).name.lower()}) are on the lattice, "
            f"the events account for {found + missing[kind, origin]}"
        )
        raise LedgerError(msg)
