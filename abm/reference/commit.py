"""Twin of ``kernels/commit.cu``: the next words, in place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm.cells import GAIN_KIND, GAIN_VARIANT, N_KINDS, N_ORIGINS, N_VARIANTS, Count, EditBit, Event, Flag, Label
from abm.philox import philox
from abm.reference.lattice import (
    CLAIMING,
    COLD,
    HOT,
    I64,
    U8,
    U32,
    Bool,
    Box,
    event_of,
    filled,
    get,
    global_site,
    kind_of,
    put,
    slot_of,
    variant_row,
    winners,
)
from abm.reference.measure import count_difference

_SLOTS = N_KINDS * N_ORIGINS


class _Fates(NamedTuple):
    """The tables that decide what daughters and maturing cells become."""

    flags: U32
    stages: U8
    renew: U32
    fate_next: U8
    fate_share: U32


class _Mutations(NamedTuple):
    """What a daughter may gain by mutation, and the stream it is drawn from."""

    word: int
    start: NDArray[np.int32]
    chance: U32
    gain: U32
    flags: U32


def commit(
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
    mutation: int,
    begin: int,
    end: int,
    room: int,
    action: U8,
    priority: U32,
    flags: U32,
    stages: U8,
    renew: U32,
    fate_next: U8,
    fate_share: U32,
    mutation_start: NDArray[np.int32],
    mutation_chance: U32,
    mutation_gain: U32,
    active_form: U8,
    chosen: U8,
    hot: U32,
    cold: U32,
    counts: U32,
    n_leavers: NDArray[np.int64],
    leaver_site: NDArray[np.int64],
    leaver_words: U32,
) -> None:
    """Change every acting cell, count its event, list the leaving cells of the chosen kinds.

    Only sites from ``begin`` to ``end`` are written and counted; cells beyond them may come in or send a daughter.
    """
    site = filled(action, first, n)
    fates, random = _Fates(flags, stages, renew, fate_next, fate_share), (total, shift, seed, step, word)
    mutations = _Mutations(mutation, mutation_start, mutation_chance, mutation_gain, flags)
    words = hot.reshape(-1), cold.reshape(-1)
    event, claims = event_of(action.reshape(-1)[site]), (action.reshape(-1)[site] & CLAIMING) != 0

    target, wins = winners(site[claims], begin, end, Box(ny, nx, low, high), total, shift, action, priority)
    claimants, divides = site[claims][wins], event[claims][wins] == Event.DIVIDE
    _take_sites(claimants, target[wins], divides, begin, end, words, random, fates, mutations, counts)

    alone = ~claims & (site >= begin) & (site < end)
    site, event = site[alone], event[alone]
    h, c = words[0][site], words[1][site]
    leaves = (event == Event.EGRESS) & (chosen[kind_of(h)] != 0)
    _list_leavers(
        global_site(site[leaves], shift, total), h[leaves], c[leaves], room, n_leavers, leaver_site, leaver_words
    )
    _change(site, event, words, random, active_form, fates, counts)


def _take_sites(
    site: I64,
    target: I64,
    divides: Bool,
    begin: int,
    end: int,
    words: tuple[U32, U32],
    random: tuple[int, int, int, int, int],
    fates: _Fates,
    mutations: _Mutations,
    counts: U32,
) -> None:
    """Let cells that won their claim move or divide."""
    total, shift, seed, step, word = random
    h, c = words[0][site], words[1][site]
    stay_h, stay_c, before, movers = np.zeros_like(h), np.zeros_like(c), h[divides], h.copy()
    sites, mothers = global_site(site[divides], shift, total), (h[divides], c[divides])
    r = philox(seed, sites, step, word)
    luck = philox(seed, sites, step, mutations.word) if mutations.chance.size else r
    stay_h[divides], stay_c[divides] = _mutated(_daughter(*mothers, 0, r, fates), mothers, luck[0], mutations)
    h[divides], c[divides] = _mutated(_daughter(*mothers, 1, r, fates), mothers, luck[1], mutations)
    here, there = (site >= begin) & (site < end), (target >= begin) & (target < end)
    counted = here[divides]
    _add(counts, Count.BIRTH, slot_of(before[counted]))
    for after in (stay_h[divides], h[divides]):
        _count_changes(counts, before[counted], after[counted])
    count_difference(counts, movers[here], np.concatenate([stay_h[here], h[there]]))
    for layer, stays, goes in zip(words, (stay_h, stay_c), (h, c), strict=True):
        layer[site[here]] = stays[here]
        layer[target[there]] = goes[there]


def _change(
    site: I64,
    event: U8,
    words: tuple[U32, U32],
    random: tuple[int, int, int, int, int],
    active_form: U8,
    fates: _Fates,
    counts: U32,
) -> None:
    """Let cells die, leave for the blood, mature, switch or be activated."""
    total, shift, seed, step, word = random
    h, c = words[0][site], words[1][site]
    before = h.copy()
    matures = event == Event.MATURE
    r = philox(seed, global_site(site[matures], shift, total), step, word)
    h[matures], c[matures] = _advance(h[matures], c[matures], r[2], fates)
    h[event == Event.SWITCH] ^= np.uint32(1) << HOT["cycle"][0]
    wakes = event == Event.ACTIVATE
    h[wakes], c[wakes] = _become(h[wakes], c[wakes], active_form[kind_of(h[wakes])].astype(np.uint32), fates.flags)
    h[wakes] = put(h[wakes], HOT["activation"], 1)
    gone = (event >= Event.DIE) & (event <= Event.EGRESS)
    _add(counts, Count.DIE + event[gone].astype(np.int64) - Event.DIE, slot_of(before[gone]))
    leaves = event == Event.EGRESS
    _count_carried(counts, before[leaves], c[leaves])
    h[gone] = c[gone] = 0
    _count_changes(counts, before[~gone], h[~gone])
    count_difference(counts, before, h)
    words[0][site], words[1][site] = h, c


def _list_leavers(
    site: I64, hot: U32, cold: U32, room: int, number: NDArray[np.int64], sites: NDArray[np.int64], words: U32
) -> None:
    """Append leaving cells to the list as far as there is room; the number counts all."""
    start = int(number[0])
    kept = max(0, min(site.size, room - start))
    sites[start : start + kept] = site[:kept]
    words[2 * start : 2 * (start + kept)] = np.stack([hot[:kept], cold[:kept]], axis=1).reshape(-1)
    number[0] = start + site.size


def _count_carried(counts: U32, hot: U32, cold: U32) -> None:
    """Count the cells that leave for the blood by what they carry: labels, edits."""
    level, edits = get(cold, COLD["label"]), get(hot, HOT["edits"])
    labelled = level != Label.NONE
    _add(counts, Count.LABELLED_EGRESS, slot_of(hot[labelled]), np.uint32(1) << level[labelled])
    _add(counts, Count.EDITED_EGRESS, slot_of(hot[edits != 0]))
    altered = (edits > 1 << EditBit.EDITED) | (get(hot, HOT["loss"]) != 0)
    _add(counts, Count.ALTERED_EGRESS, slot_of(hot[altered]))


def _count_changes(counts: U32, before: U32, after: U32) -> None:
    """Count the cells that changed their kind."""
    changed: Bool = slot_of(before) != slot_of(after)
    _add(counts, Count.LEFT, slot_of(before[changed]))
    _add(counts, Count.BECAME, slot_of(after[changed]))


def _add(counts: U32, count: int | I64, slots: I64, n: int | U32 = 1) -> None:
    """Add n to counts[0][count][slot] for each element: one part is enough."""
    np.add.at(counts.reshape(-1), count * _SLOTS + slots, n)


def _daughter(h: U32, c: U32, which: int, r: tuple[U32, U32, U32, U32], fates: _Fates) -> tuple[U32, U32]:
    """Return the words of daughter 0 (stays) or 1 (takes the claimed site) of dividing cells."""
    h, c = h.copy(), c.copy()
    threshold = fates.renew[variant_row(h, c)]
    level = get(c, COLD["label"])
    c = put(c, COLD["label"], level - (level != Label.NONE))
    rests = ((fates.flags[kind_of(h)] >> np.uint32(Flag.REST_AFTER_DIVISION)) & np.uint32(1)) != 0
    h[rests] = put(h[rests], HOT["cycle"], 0)
    forward = (threshold != np.uint32(0xFFFFFFFF)) & (r[which] >= threshold)
    h[forward], c[forward] = _advance(h[forward], c[forward], r[2 + which][forward], fates)
    return h, c


def _mutated(daughters: tuple[U32, U32], mothers: tuple[U32, U32], draw: U32, mutations: _Mutations) -> tuple[U32, U32]:
    """Return the words of daughters when each has gained at most one thing, drawn from its mother's entries."""
    h, c = daughters
    row = kind_of(mothers[0]) * N_VARIANTS + get(mothers[1], COLD["resist"])
    open_ = np.ones(row.shape, bool)
    for k in range(mutations.chance.size):
        owner = int(np.searchsorted(mutations.start, k, side="right")) - 1
        gains = open_ & (row == owner) & (draw < mutations.chance[k])
        gain = int(mutations.gain[k])
        kind, variant = gain >> GAIN_KIND, (gain >> GAIN_VARIANT) & (N_VARIANTS - 1)
        h[gains] |= np.uint32(gain & ((1 << GAIN_VARIANT) - 1)) << HOT["loss"][0]
        if kind:  # begins as its wild type
            h[gains], c[gains] = _become(
                h[gains], c[gains], np.full(int(gains.sum()), kind, np.uint32), mutations.flags
            )
        if kind or variant:
            c[gains] = put(c[gains], COLD["resist"], variant)
        open_ &= ~gains
    return h, c


def _become(h: U32, c: U32, kind: U32, flags: U32) -> tuple[U32, U32]:
    """Return the words of cells that turn into ``kind`` at stage 0."""
    cycling = (flags[kind] >> np.uint32(Flag.CYCLING)) & np.uint32(1)
    return put(put(h, HOT["kind"], kind), HOT["cycle"], cycling), put(c, COLD["stage"], 0)


def _advance(h: U32, c: U32, draw: U32, fates: _Fates) -> tuple[U32, U32]:
    """Return the words one stage on; after the last stage those of the next kind."""
    kind = kind_of(h)
    stage = get(c, COLD["stage"]) + np.uint32(1)
    last = fates.stages[kind].astype(np.uint32)
    next_, share = fates.fate_next.reshape(-1, 4)[kind], fates.fate_share.reshape(-1, 4)[kind]
    j = np.zeros(kind.shape, np.int64)
    for k in range(3):
        j += (j == k) & (next_[:, k + 1] != 0) & (draw >= share[:, k])
    new_h, new_c = _become(h, c, next_[np.arange(kind.size), j].astype(np.uint32), fates.flags)
    stays = (stage < last) | (next_[:, 0] == 0)
    return np.where(stays, h, new_h), np.where(stays, put(c, COLD["stage"], np.minimum(stage, last)), new_c)
