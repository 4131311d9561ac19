"""Twin of ``kernels/damage.cu``: what hits leave in a resident cell, and what it repairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm.philox import philox
from abm.reference.fate import hits_on
from abm.reference.lattice import COLD, F32, U8, U32, Box, get, global_site, happens, put


def damage(
    n: int,
    *,
    first: int,
    ny: int,
    nx: int,
    low: int,
    high: int,
    total: int,
    shift: int,
    seed: int,
    step: int,
    word: int,
    begin: int,
    end: int,
    engaged: U8,
    struck: U8,
    strength: F32,
    kept: U32,
    wounding: F32,
    res_cold: U32,
    n_damaged: NDArray[np.int64],
) -> None:
    """Let each level of damage be repaired by chance, then the hits of the step leave theirs; count whom they hurt."""
    cold, touched = res_cold.reshape(-1), struck.reshape(-1) != 0
    hurt = touched[first : first + n] | (get(cold[first : first + n], COLD["damage"]) != 0)
    site = first + np.flatnonzero(hurt)
    before = get(cold[site], COLD["damage"])
    r = philox(seed, global_site(site, shift, total), step, word)
    level = _left(before, r[0], kept)
    hits = hits_on(site, touched[site], Box(ny, nx, low, high), engaged.reshape(-1), strength)
    got = hits * wounding[0]
    whole = got.astype(np.uint32)
    more = r[1] < ((got - whole.astype(np.float32)) * np.float32(4294967296.0)).astype(np.uint32)
    level = np.minimum(level + whole + more.astype(np.uint32), np.uint32(COLD["damage"][1]))
    cold[site] = put(cold[site], COLD["damage"], level)
    n_damaged[0] += np.count_nonzero((level != 0) & (site >= begin) & (site < end))


def _left(before: U32, r: U32, kept: U32) -> U32:
    """Return how many levels are left of those before, by one random word each."""
    left, row = np.zeros_like(before), before.astype(np.int64) * 8
    for k in range(COLD["damage"][1]):
        left += (k < before) & ~happens(r, kept[row + k])
    return left
