"""Twin of ``kernels/marks.cu``: counts of what cells have inherited or suffered."""

from __future__ import annotations

import numpy as np

from abm.cells import MARKS, N_KINDS, N_MARKS, N_ORIGINS
from abm.reference.lattice import COLD, HOT, U32, filled, get, slot_of

_SLOTS = N_KINDS * N_ORIGINS


def census_marks(n: int, *, first: int, ny: int, nx: int, hot: U32, cold: U32, marks: U32) -> None:
    """Add the cells of a layer to marks[0][mark][kind][origin]: by antigens lost, variant, edits and any damage."""
    site = filled(hot, first, n)
    cell, variant = hot.reshape(-1)[site], get(cold.reshape(-1)[site], COLD["resist"])
    found = (get(cell, HOT["loss"]) << np.uint32(MARKS["loss"][0])) | (
        get(cell, HOT["edits"]) << np.uint32(MARKS["edit"][0])
    )
    found |= np.where(variant != 0, np.uint32(1) << (variant + np.uint32(MARKS["variant"][0] - 1)), np.uint32(0))
    hurt = get(cold.reshape(-1)[site], COLD["damage"]) != 0
    found |= hurt.astype(np.uint32) << np.uint32(MARKS["damage"][0])
    counts = marks.reshape(-1)[: N_MARKS * _SLOTS].reshape(N_MARKS, _SLOTS)
    for mark in range(N_MARKS):
        carries = (found >> np.uint32(mark)) & np.uint32(1) != 0
        counts[mark] += np.bincount(slot_of(cell[carries]), minlength=_SLOTS).astype(np.uint32)
