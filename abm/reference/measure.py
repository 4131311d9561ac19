"""Twins of ``kernels/measure.cu``: exact integer counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_KINDS, N_ORIGINS, NICHE_MASK, Count
from abm.reference.lattice import HOT, U8, U32, filled, get, slot_of

_SLOTS = N_KINDS * N_ORIGINS


def census(n: int, *, first: int, ny: int, nx: int, res_hot: U32, mot_hot: U32, counts: U32) -> None:
    """Add the cells of both layers to counts[0][count][kind][origin]: all, quiescent (one part)."""
    del ny, nx
    for hot in (res_hot, mot_hot):
        count_there(counts, hot.reshape(-1)[filled(hot, first, n)])


def census_niche(n: int, *, first: int, ny: int, nx: int, res_hot: U32, mot_hot: U32, tissue: U8, counts: U32) -> None:
    """Add the cells on niche sites."""
    del ny, nx
    for hot in (res_hot, mot_hot):
        site = filled(hot, first, n)
        niche = (tissue.reshape(-1)[site] & NICHE_MASK) != 0
        _add(counts, Count.NICHE, hot.reshape(-1)[site[niche]])


def count_there(counts: U32, hot: U32, sign: int = 1) -> None:
    """Add the cells of these words, or take them away (modulo 2^32), in those who are there and in the quiescent."""
    words = hot[hot != 0]
    _add(counts, Count.POPULATION, words, sign)
    _add(counts, Count.QUIESCENT, words[get(words, HOT["cycle"]) == 0], sign)


def count_difference(counts: U32, before: U32, after: U32) -> None:
    """Count by how much those who are there differ, when these words of sites change."""
    count_there(counts, before, -1)
    count_there(counts, after)


def _add(counts: U32, count: Count, hot: U32, sign: int = 1) -> None:
    number = np.bincount(slot_of(hot), minlength=_SLOTS) * sign
    counts.reshape(-1)[count * _SLOTS : (count + 1) * _SLOTS] += number.astype(np.uint32)


def collect(n: int, *, counts: U32, totals: NDArray[np.int64]) -> None:
    """Add up the parts of each count, which may be differences, and clear them for the next step."""
    totals[:n] = counts.view(np.int32).reshape(-1, n).sum(axis=0, dtype=np.int64)
    counts[:] = 0
