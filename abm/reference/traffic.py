"""Twins of ``kernels/traffic.cu``: cells that come from the blood."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from abm.cells import FIRST_MOTILE, NICHE_MASK, NOWHERE, SITE_BITS, TISSUE_MASK, Tissue
from abm.philox import philox
from abm.reference.lattice import I64, U8, U32, Bool, kind_of

#: Candidates of a cell that are drawn together.
TRIES = 8
_SITE = (1 << SITE_BITS) - 1


class _Search(NamedTuple):
    """What cells see that look for a site: arguments of the kernels."""

    n: int
    seed: int
    step: int
    word: int
    total: int
    origin: int
    begin: int
    end: int
    seeking: U32
    last: I64
    chosen: U8
    tissue: U8
    res_hot: U32
    mot_hot: U32
    res_cold: U32
    mot_cold: U32

    def first_open(self, cells: I64, trial: I64) -> I64:
        """Return the first candidate of each cell, from a trial on, that is open and not claimed by a stronger one.

        Some of each are drawn at a time.
        """
        found = np.full(cells.size, NOWHERE)
        first, last = np.append(0, self.last)[cells], self.last[cells]
        begin = first + trial
        rows = np.flatnonzero(begin < last)
        for done in range(0, int(np.max(last - begin, initial=0)), TRIES):
            candidate = begin[rows, None] + np.arange(done, done + TRIES)
            high, low, *_ = philox(self.seed, candidate, self.step, self.word)
            site = ((high.astype(np.uint64) << np.uint64(32) | low) % np.uint64(self.total)).astype(np.int64)
            ok = self._open(cells[rows], site) & (candidate < last[rows, None])
            best, some = ok.argmax(axis=1), ok.any(axis=1)
            chosen = rows[some]
            found[chosen] = (done + trial[chosen] + best[some]) << SITE_BITS | site[some, best[some]]
            rows = rows[~some & (begin[rows] + done + TRIES < last[rows])]
        return found

    def _open(self, cells: I64, site: I64) -> Bool:
        """Tell which of its sites (cells, TRIES) each cell could take."""
        kind, local = kind_of(self.seeking[cells]), site - self.origin
        mine = (local >= self.begin) & (local < self.end)
        local[~mine] = self.begin
        label, motile = self.tissue.reshape(-1)[local], kind[:, None] >= FIRST_MOTILE
        hot, cold = (
            np.where(motile, free.reshape(-1)[local], fixed.reshape(-1)[local])
            for free, fixed in ((self.mot_hot, self.res_hot), (self.mot_cold, self.res_cold))
        )
        ok: Bool = mine & (hot == 0) & ((label & TISSUE_MASK) == Tissue.MARROW)
        ok &= (self.chosen[kind, None] == 0) | ((label & NICHE_MASK) != 0)
        return ok & (cold <= (self.n - cells)[:, None])


def _here(place: I64, origin: int, begin: int, end: int) -> tuple[I64, I64]:
    """Return the cells that stand on sites of this slab, and those sites, local."""
    local = (place & _SITE) - origin
    cells = np.flatnonzero((place != NOWHERE) & (local >= begin) & (local < end))
    return cells, local[cells]


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
    last: I64,
    chosen: U8,
    tissue: U8,
    res_hot: U32,
    mot_hot: U32,
    res_cold: U32,
    mot_cold: U32,
    place: I64,
) -> None:
    """Let each cell go on from where it stood to the first site that it could take."""
    lattice = (tissue, res_hot, mot_hot, res_cold, mot_cold)
    search = _Search(n, seed, step, word, total, origin, begin, end, seeking, last, chosen, *lattice)
    place[:n] = search.first_open(np.arange(n), place[:n] >> SITE_BITS)


def claim(n: int, *, origin: int, begin: int, end: int, seeking: U32, place: I64, res_cold: U32, mot_cold: U32) -> None:
    """Let each cell claim the site where it stands."""
    cells, local = _here(place[:n], origin, begin, end)
    motile = kind_of(seeking[cells]) >= FIRST_MOTILE
    for cold, mine in ((res_cold, ~motile), (mot_cold, motile)):
        np.maximum.at(cold.reshape(-1), local[mine], (n - cells[mine]).astype(np.uint32))


def lodge(
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
    last: I64,
    chosen: U8,
    tissue: U8,
    res_hot: U32,
    mot_hot: U32,
    res_cold: U32,
    mot_cold: U32,
    place: I64,
) -> None:
    """Let cells ask and claim in turns until none has lost its site."""
    lattice = (tissue, res_hot, mot_hot, res_cold, mot_cold)
    search = _Search(n, seed, step, word, total, origin, begin, end, seeking, last, chosen, *lattice)
    asking, trial = np.arange(n), np.zeros(n, np.int64)
    while asking.size:
        place[asking] = search.first_open(asking, trial)
        claim(
            n, origin=origin, begin=begin, end=end, seeking=seeking, place=place, res_cold=res_cold, mot_cold=mot_cold
        )
        cells, local = _here(place[:n], origin, begin, end)
        motile = kind_of(seeking[cells]) >= FIRST_MOTILE
        held = np.where(motile, mot_cold.reshape(-1)[local], res_cold.reshape(-1)[local])
        asking = cells[held != n - cells]
        trial = place[asking] >> SITE_BITS


def settle(
    n: int,
    *,
    origin: int,
    begin: int,
    end: int,
    place: I64,
    new_hot: U32,
    new_cold: U32,
    res_hot: U32,
    res_cold: U32,
    mot_hot: U32,
    mot_cold: U32,
) -> None:
    """Put each cell on the site of its layer where it stands."""
    cells, local = _here(place[:n], origin, begin, end)
    motile = kind_of(new_hot[cells]) >= FIRST_MOTILE
    for hot, cold, mine in ((res_hot, res_cold, ~motile), (mot_hot, mot_cold, motile)):
        hot.reshape(-1)[local[mine]] = new_hot[cells[mine]]
        cold.reshape(-1)[local[mine]] = new_cold[cells[mine]]
