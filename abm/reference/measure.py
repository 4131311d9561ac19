"""Twins of ``kernels/measure.cu``: exact integer counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_KINDS, N_ORIGINS, NICHE_MASK, Count
from abm.reference.lattice import HOT, U8, U32, filled, get, slot_of

_SLOTS = N_KINDS * N_ORIGINS


def census(n: int, *, first: int, ny: int, nx: int, res_hot: U32, mot_hot: U32, tissue: U8, counts: U32) -> None:
    """Add the cells of both layers to counts[0][count][kind][origin]: all, on a niche, quiescent (one part)."""
    del ny, nx
    for hot in (res_hot, mot_hot):
        site = filled(hot, first, n)
        words = hot.reshape(-1)[site]
        slots = slot_of(words)
        niche = (tissue.reshape(-1)[site] & NICHE_MASK) != 0
        resting = get(words, HOT["cycle"]) == 0
        for count, found in ((Count.POPULATION, slots), (Count.NICHE, slots[niche]), (Count.QUIESCENT, slots[resting])):
            number = np.bincount(found, minlength=_SLOTS).astype(np.uint32)
            counts.reshape(-1)[count * _SLOTS : (count + 1) * _SLOTS] += number


def collect(n: int, *, counts: U32, totals: NDArray[np.int64]) -> None:
    """Add up the parts of each count, and clear them for the next step."""
    totals[:n] = counts.reshape(-1, n).sum(axis=0, dtype=np.int64)
    counts[:] = 0
