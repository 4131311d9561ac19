"""Twins of ``kernels/traffic.cu``: cells that come from the blood."""

from __future__ import annotations

import numpy as np

from abm.cells import FIRST_MOTILE, NICHE_MASK, NOWHERE, SITE_BITS, TISSUE_MASK, Tissue
from abm.philox import philox
from abm.reference.lattice import I64, U8, U32, kind_of

#: Candidates of a cell that are drawn together.
TRIES = 8


def probe(
    n: int,
    *,
    seed: int,
    step: int,
    word: int,
    total: int,
    origin: int,
    begin: int,
    end: int,
    seeking: U32,
    tried: I64,
    last: I64,
    chosen: U8,
    res_hot: U32,
    mot_hot: U32,
    tissue: U8,
    found: I64,
) -> None:
    """Find the first open site of each cell among its candidates: some of each are drawn at a time."""
    found[:n] = NOWHERE
    kind = kind_of(seeking[:n])
    motile, niche_only = kind >= FIRST_MOTILE, chosen[kind] != 0
    cells = np.flatnonzero(tried[:n] < last[:n])
    for done in range(0, int(np.max(last[:n] - tried[:n], initial=0)), TRIES):
        candidate = tried[cells, None] + np.arange(done, done + TRIES)
        high, low, *_ = philox(seed, candidate, step, word)
        site = ((high.astype(np.uint64) << np.uint64(32) | low) % np.uint64(total)).astype(np.int64)
        local = site - origin
        mine = (candidate < last[cells, None]) & (local >= begin) & (local < end)
        local[~mine] = begin
        label = tissue.reshape(-1)[local]
        there = np.where(motile[cells, None], mot_hot.reshape(-1)[local], res_hot.reshape(-1)[local])
        ok = mine & (there == 0) & ((label & TISSUE_MASK) == Tissue.MARROW)
        ok &= ~niche_only[cells, None] | ((label & NICHE_MASK) != 0)
        trial, some = ok.argmax(axis=1), ok.any(axis=1)
        found[cells[some]] = ((done + trial[some]) << SITE_BITS) | site[some, trial[some]]
        cells = cells[~some & (tried[cells] + done + TRIES < last[cells])]


def settle(
    n: int, *, sites: I64, new_hot: U32, new_cold: U32, res_hot: U32, res_cold: U32, mot_hot: U32, mot_cold: U32
) -> None:
    """Put cell i on sites[i] of its layer; the host guarantees distinct open sites."""
    motile = kind_of(new_hot[:n]) >= FIRST_MOTILE
    for hot, cold, belongs in ((res_hot, res_cold, ~motile), (mot_hot, mot_cold, motile)):
        mine = np.flatnonzero((sites[:n] >= 0) & belongs)
        hot.reshape(-1)[sites[mine]] = new_hot[mine]
        cold.reshape(-1)[sites[mine]] = new_cold[mine]
