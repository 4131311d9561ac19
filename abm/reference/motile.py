"""Twins of ``kernels/motile.cu``: one motile sub-step. ``n`` counts rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm.cells import TISSUE_MASK, Event, Tissue
from abm.philox import philox
from abm.reference.lattice import (
    I64,
    U8,
    U32,
    best_claim,
    claimed_sites,
    global_site,
    kind_of,
    neighbour,
    occupied,
)

U16 = NDArray[np.uint16]


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
    bidders: U16,
    n_bidders: U32,
) -> None:
    """Let each free lymphocyte try one of six directions; an engaged one stays. priority: bidders only."""
    action.reshape(-1)[first : first + n * nx] = 0
    hot = mot_hot.reshape(-1)
    site = occupied(mot_hot, first, n * nx)
    site = site[engaged.reshape(-1)[site] == 0]
    r = philox(seed, global_site(site, shift, total), step, word)
    tries = r[0] < hop[kind_of(hot[site])]
    site, direction, strength = site[tries], r[1][tries], r[2][tries]
    d = ((direction.astype(np.uint64) * np.uint64(6)) >> np.uint64(32)).astype(np.int64)
    target = neighbour(site, d, ny, nx)
    is_open = (hot[target] == 0) & ((tissue.reshape(-1)[target] & TISSUE_MASK) == Tissue.MARROW)
    site, d, strength = site[is_open], d[is_open], strength[is_open]
    action.reshape(-1)[site] = np.uint32(Event.MOVE) | (d.astype(np.uint32) << np.uint32(4))
    priority.reshape(-1)[site] = strength
    row = site // nx
    found = np.bincount(row - first // nx, minlength=n)
    rank = np.arange(site.size) - (np.cumsum(found) - found)[row - first // nx]
    n_bidders.reshape(-1)[first // nx : first // nx + n] = found
    bidders.reshape(-1)[row * nx + rank] = site % nx


def _bidders(first_row: int, n: int, nx: int, bidders: U16, n_bidders: U32) -> I64:
    """Return the sites that the lists of some rows name, ascending."""
    found = n_bidders.reshape(-1)[first_row : first_row + n].astype(np.int64)
    start = np.repeat((np.arange(n) + first_row) * nx, found)
    rank = np.arange(start.size) - np.repeat(np.cumsum(found) - found, found)
    site: I64 = start + bidders.reshape(-1)[start + rank]
    return site


def pull(
    n: int,
    *,
    first: int,
    ny: int,
    nx: int,
    total: int,
    shift: int,
    action: U32,
    priority: U32,
    bidders: U16,
    n_bidders: U32,
    winner: U8,
    mot_hot: U32,
    mot_cold: U32,
) -> None:
    """Let each empty site pull the best bidder, in place; winner is written where there is a bid."""
    act, hot, cold = action.reshape(-1), mot_hot.reshape(-1), mot_cold.reshape(-1)
    near = _bidders(first // nx - ny, n + 2 * ny, nx, bidders, n_bidders)
    aimed = claimed_sites(near, act, ny, nx)
    aimed = aimed[(aimed >= first) & (aimed < first + n * nx)]
    best = best_claim(aimed, ny, nx, total, shift, act, priority.reshape(-1))
    source = neighbour(aimed, best.astype(np.int64) - 1, ny, nx)
    winner.reshape(-1)[aimed] = best
    cold[aimed] = cold[source]
    hot[aimed] = hot[source]


def leave(
    n: int,
    *,
    first: int,
    ny: int,
    nx: int,
    action: U32,
    bidders: U16,
    n_bidders: U32,
    winner: U8,
    mot_hot: U32,
    mot_cold: U32,
) -> None:
    """Let each bidder that won leave its site."""
    site = _bidders(first // nx, n, nx, bidders, n_bidders)
    direction = (action.reshape(-1)[site] >> np.uint32(4)).astype(np.int64)
    site = site[winner.reshape(-1)[neighbour(site, direction, ny, nx)] == (direction ^ 1) + 1]
    mot_hot.reshape(-1)[site] = 0
    mot_cold.reshape(-1)[site] = 0
