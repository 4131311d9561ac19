"""Twins of ``kernels/transmit.cu``: what passes from cell to cell of the motile layer, or comes with the blood."""

from __future__ import annotations

import numpy as np

from abm.cells import N_KINDS, N_ORIGINS, Count
from abm.philox import philox
from abm.reference.lattice import (
    COLD,
    HOT,
    I64,
    U8,
    U32,
    Box,
    filled,
    get,
    global_site,
    kind_of,
    near_site,
    put,
    slot_of,
)
from abm.reference.measure import count_difference

_SLOTS, _NEAR, _OWN = N_KINDS * N_ORIGINS, 27, 13


def _entry_row(hot: U32, entry: int) -> I64:
    """Return the row of the chances of each cell: further down for those that have lost what lets it in."""
    lost = (get(hot, HOT["loss"]) & np.uint32(entry)) != 0
    rows: I64 = (hot & np.uint32(255)).astype(np.int64) + np.where(lost, 256, 0)
    return rows


def expose(
    n: int,
    *,
    first: int,
    ny: int,
    nx: int,
    low: int,
    high: int,
    entry: int,
    source: int,
    by_contact: U32,
    mot_hot: U32,
    action: U8,
) -> None:
    """Write how many of the 26 neighbours of each cell that may catch it are of the kind that passes it on."""
    box, words, out = Box(ny, nx, low, high), mot_hot.reshape(-1), action.reshape(-1)
    out[first : first + n] = 0
    site = filled(mot_hot, first, n)
    site = site[by_contact[_entry_row(words[site], entry)] != 0]
    beside = (kind_of(words[near_site(site, m, box)]) == source for m in range(_NEAR) if m != _OWN)
    out[site] = sum(found.astype(np.uint8) for found in beside)


def transmit(
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
    entry: int,
    usual: int,
    other: int,
    rare: int,
    by_blood: U32,
    by_contact: U32,
    action: U8,
    mot_hot: U32,
    mot_cold: U32,
    counts: U32,
) -> None:
    """Let cells catch it, from the blood and from each neighbour that passes it on; they become one of two kinds."""
    del ny, nx  # only the kernel works in stretches of rows
    site, hot, cold = filled(mot_hot, first, n), mot_hot.reshape(-1), mot_cold.reshape(-1)
    row = _entry_row(hot[site], entry)
    beside = action.reshape(-1)[site].astype(np.uint64)
    chance = by_blood[row].astype(np.uint64) + by_contact[row].astype(np.uint64) * beside
    r = philox(seed, global_site(site, shift, total), step, word)
    caught = r[0].astype(np.uint64) < chance
    site, before = site[caught], hot[site[caught]]
    kind = np.where(r[1][caught] < np.uint32(rare), np.uint32(other), np.uint32(usual))
    after = put(put(before, HOT["kind"], kind), HOT["cycle"], 0)
    hot[site], cold[site] = after, put(cold[site], COLD["stage"], 0)
    table = counts.reshape(-1)
    for count, words in ((Count.LEFT, before), (Count.BECAME, after)):
        number = np.bincount(slot_of(words), minlength=_SLOTS).astype(np.uint32)
        table[count * _SLOTS : (count + 1) * _SLOTS] += number
    count_difference(counts, before, after)
