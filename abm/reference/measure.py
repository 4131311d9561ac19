"""Twin of ``kernels/measure.cu``: exact integer counts, one row per plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_COUNTS, N_KINDS, N_ORIGINS, NICHE_MASK, Count
from abm.reference.lattice import HOT, I64, U8, U32, filled, get, slot_of

_SLOTS = N_KINDS * N_ORIGINS


def census(n: int, *, first: int, ny: int, nx: int, hot: U32, tissue: U8, counts: NDArray[np.int64]) -> None:
    """Add the cells of one layer to counts[plane][count][kind][origin]: all, on a niche, quiescent."""
    planes = n // (ny * nx)
    table = counts.reshape(-1)[: planes * N_COUNTS * _SLOTS].reshape(planes, N_COUNTS, _SLOTS)

    def add(count: int, where: I64, slots: I64) -> None:
        found = np.bincount((where - first) // (ny * nx) * _SLOTS + slots, minlength=planes * _SLOTS)
        table[:, count] += found.reshape(planes, _SLOTS)

    site = filled(hot, first, n)
    words = hot.reshape(-1)[site]
    slots = slot_of(words)
    add(Count.POPULATION, site, slots)
    niche = (tissue.reshape(-1)[site] & NICHE_MASK) != 0
    add(Count.NICHE, site[niche], slots[niche])
    resting = get(words, HOT["cycle"]) == 0
    add(Count.QUIESCENT, site[resting], slots[resting])
