"""Twins of ``kernels/motile.cu``: one motile sub-step."""

from __future__ import annotations

import numpy as np

from abm.cells import TISSUE_MASK, Event, Tissue
from abm.philox import philox
from abm.reference.lattice import (
    U8,
    U32,
    best_claim,
    claimed_sites,
    global_site,
    kind_of,
    neighbour,
    occupied,
)


def bid(
    n: int,
    *,
    first: int,
    ny: int,
    nx: int,
    total: int,
    shift: int,
    seed: int,
    step: int,
    word: int,
    mot_hot: U32,
    tissue: U8,
    engaged: U8,
    hop: U32,
    action: U32,
    priority: U32,
) -> None:
    """Let each free lymphocyte try one of six directions; an engaged one stays."""
    action.reshape(-1)[first : first + n] = 0
    priority.reshape(-1)[first : first + n] = 0
    hot = mot_hot.reshape(-1)
    site = occupied(mot_hot, first, n)
    threshold = np.where(engaged.reshape(-1)[site] != 0, np.uint32(0), hop[kind_of(hot[site])])
    r = philox(seed, global_site(site, shift, total), step, word)
    tries = r[0] < threshold
    site, direction, strength = site[tries], r[1][tries], r[2][tries]
    d = ((direction.astype(np.uint64) * np.uint64(6)) >> np.uint64(32)).astype(np.int64)
    target = neighbour(site, d, ny, nx)
    is_open = (hot[target] == 0) & ((tissue.reshape(-1)[target] & TISSUE_MASK) == Tissue.MARROW)
    site, d, strength = site[is_open], d[is_open], strength[is_open]
    action.reshape(-1)[site] = np.uint32(Event.MOVE) | (d.astype(np.uint32) << np.uint32(4))
    priority.reshape(-1)[site] = strength


def hop(
    n: int,
    *,
    first: int,
    ny: int,
    nx: int,
    total: int,
    shift: int,
    mot_hot: U32,
    mot_cold: U32,
    tissue: U8,
    action: U32,
    priority: U32,
    hot_next: U32,
    cold_next: U32,
) -> None:
    """Move the winners: an empty site pulls the best bidder, a bidder that won leaves its site."""
    part, plane = slice(first, first + n), ny * nx
    act, prio = action.reshape(-1), priority.reshape(-1)
    hot, cold = mot_hot.reshape(-1), mot_cold.reshape(-1)
    hot_next.reshape(-1)[part] = hot[part]
    cold_next.reshape(-1)[part] = cold[part]
    z0, z1 = first // plane - 1, -(-(first + n) // plane) + 1
    bidders = np.flatnonzero(act[z0 * plane : z1 * plane]) + z0 * plane
    aimed = claimed_sites(bidders, act, ny, nx)
    is_open = (hot[aimed] == 0) & ((tissue.reshape(-1)[aimed] & TISSUE_MASK) == Tissue.MARROW)
    aimed = aimed[is_open]
    best = best_claim(aimed, ny, nx, total, shift, act, prio)
    source = neighbour(aimed, best.astype(np.int64) - 1, ny, nx)
    inside = (aimed >= first) & (aimed < first + n)
    hot_next.reshape(-1)[aimed[inside]] = hot[source[inside]]
    cold_next.reshape(-1)[aimed[inside]] = cold[source[inside]]
    left = source[(source >= first) & (source < first + n)]
    hot_next.reshape(-1)[left] = 0
    cold_next.reshape(-1)[left] = 0
