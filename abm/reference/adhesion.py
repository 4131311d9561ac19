"""Twin of ``kernels/adhesion.cu``: who touches stroma."""

from __future__ import annotations

import numpy as np

from abm.cells import N_BESIDE, N_KINDS, N_ORIGINS, STROMA_BIT, Flag
from abm.reference.lattice import COLD, HOT, I64, U8, U32, Bool, Box, filled, get, kind_of, neighbour, slot_of

_SLOTS = N_KINDS * N_ORIGINS


def touches_stroma(site: I64, tissue: U8, box: Box) -> Bool:
    """Return at which sites, or at one that shares a face with them, stroma stands."""
    labels = tissue.reshape(-1)
    found = labels[site]
    for d in range(6):
        found = found | labels[neighbour(site, d, box)]
    return np.asarray((found & np.uint8(STROMA_BIT)) != 0)


def census_stroma(
    n: int,
    *,
    first: int,
    ny: int,
    nx: int,
    low: int,
    high: int,
    res_hot: U32,
    res_cold: U32,
    tissue: U8,
    flags: U32,
    beside: U32,
) -> None:
    """Add the resident leukaemic cells to beside[0][4 * variant + 2 * cycling + touches][kind][origin]."""
    site, hot = filled(res_hot, first, n), res_hot.reshape(-1)
    site = site[(flags[kind_of(hot[site])] >> np.uint32(Flag.LEUKAEMIC)) & np.uint32(1) != 0]
    cell = hot[site]
    row = 4 * get(res_cold.reshape(-1)[site], COLD["resist"]).astype(np.int64)
    row += 2 * (get(cell, HOT["cycle"]) & np.uint32(1)).astype(np.int64)
    row += touches_stroma(site, tissue, Box(ny, nx, low, high))
    counts = beside.reshape(-1)[: N_BESIDE * _SLOTS]
    counts += np.bincount(row * _SLOTS + slot_of(cell), minlength=counts.size).astype(np.uint32)
