"""The exact account of cells: nothing appears or vanishes without an event."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_COUNTS, N_KINDS, N_ORIGINS, Count, Kind, Origin
from abm.errors import LedgerError

#: What each count adds to the cells that the events account for, less those that are there.
_SIGNS = np.zeros(N_COUNTS, np.int64)
_SIGNS[[Count.BIRTH, Count.BECAME]] = 1
_SIGNS[[Count.DIE, Count.DRUG, Count.KILL, Count.EGRESS, Count.LEFT, Count.POPULATION]] = -1
#: What is carried on from step to step.
CARRIED = [Count.POPULATION, Count.QUIESCENT]
#: Steps from one audit to the next, unless a snapshot is taken before.
AUDITED = 128


class Ledger:
    """Who is on the lattice, all and the quiescent: counted once, then carried on by what kernels change.

    A kernel that changes the word of a site counts the difference apart from the event it stands for, so that the two
    can be compared in each step. What neither sees, such as a cell that is written over, the next audit finds.
    """

    def __init__(self, census: Callable[[], NDArray[np.int64]]) -> None:
        """Begin without cells; ``census`` counts the lattice site by site, int64 (N_COUNTS, 64, 4)."""
        self._census = census
        self._there = np.zeros((len(CARRIED), N_KINDS, N_ORIGINS), np.int64)

    def open(self) -> None:
        """Count who is there."""
        self._there = self._census()[CARRIED]

    def enter(
        self,
        before: NDArray[np.int64],
        arrived: NDArray[np.int64],
        resting: NDArray[np.int64],
        counts: NDArray[np.int64],
        step: int,
    ) -> None:
        """Turn the differences among the counts of a step into who is there; see :func:`check`.

        Args:
            before: population before the step, int64 (64, 4).
            arrived: cells that settled from the blood, int64 (64, 4).
            resting: those of them that are quiescent.
            counts: counts of the step, int64 (N_COUNTS, 64, 4).
            step: number of the step.

        Raises:
            LedgerError: what was written does not fit the events.
        """
        self._there += counts[CARRIED]
        self._there[0] += arrived
        self._there[1] += resting
        counts[CARRIED] = self._there
        check(before, arrived, counts, step)

    def audit(self, step: int) -> None:
        """Count who is there before a step, and compare.

        Raises:
            LedgerError: naming the first kind and origin of which another number is there.
        """
        found = self._census()[CARRIED]
        for row, count in enumerate(CARRIED):
            if (wrong := np.argwhere(found[row] != self._there[row])).size:
                kind, origin = (int(v) for v in wrong[0])
                msg = (
                    f"before step {step}: {found[row, kind, origin]} cells of {Kind(kind).name} "
                    f"({Origin(origin).name.lower()}) are on the lattice ({count.name.lower()}), "
                    f"{self._there[row, kind, origin]} were carried on"
                )
                raise LedgerError(msg)


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
