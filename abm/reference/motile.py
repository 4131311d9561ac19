"""Twins of ``kernels/motile.cu``: bids and hops of one motile sub-step."""

from __future__ import annotations

import numpy as np

from abm.cells import TISSUE_MASK, Event, Tissue
from abm.philox import philox
from abm.reference.lattice import (
    U8,
    U32,
    Box,
    claiming,
    drawn_direction,
    filled,
    global_site,
    kind_of,
    neighbour,
    winners,
)


def bid(
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
    mot_hot: U32,
    tissue: U8,
    engaged: U8,
    hop: U32,
    action: U8,
    priority: U32,
) -> None:
    """Let each free lymphocyte try one of six directions; an engaged one stays. priority: bidders only."""
    action.reshape(-1)[first : first + n] = 0
    hot = mot_hot.reshape(-1)
    site = filled(mot_hot, first, n)
    site = site[engaged.reshape(-1)[site] == 0]
    r = philox(seed, global_site(site, shift, total), step, word)
    tries = r[0] < hop[kind_of(hot[site])]
    site, direction, strength = site[tries], r[1][tries], r[2][tries]
    d = drawn_direction(direction)
    target = neighbour(site, d, Box(ny, nx, low, high))
    is_open = (hot[target] == 0) & ((tissue.reshape(-1)[target] & TISSUE_MASK) == Tissue.MARROW)
    site, d, strength = site[is_open], d[is_open], strength[is_open]
    action.reshape(-1)[site] = claiming(np.full(site.shape, Event.MOVE, np.uint32), d)
    priority.reshape(-1)[site] = strength


def hop(
    n: int,
    *,
    first: int,
    ny: int,
    nx: int,
    low: int,
    high: int,
    total: int,
    shift: int,
    begin: int,
    end: int,
    action: U8,
    priority: U32,
    mot_hot: U32,
    mot_cold: U32,
) -> None:
    """Let each bidder that wins hop; only sites from ``begin`` to ``end`` are written."""
    site = filled(action, first, n)
    target, wins = winners(site, begin, end, Box(ny, nx, low, high), total, shift, action, priority)
    site, target = site[wins], target[wins]
    there, here = (target >= begin) & (target < end), (site >= begin) & (site < end)
    for layer in (mot_hot.reshape(-1), mot_cold.reshape(-1)):
        layer[target[there]] = layer[site[there]]
        layer[site[here]] = 0
