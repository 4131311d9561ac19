"""Twin of ``kernels/fate.cu``: one event per cell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abm.cells import (
    HISTOGRAM,
    HISTOGRAM_BITS,
    LOSS_ANTIGENS,
    N_BEHAVIOURS,
    N_HAZARDS,
    N_KINDS,
    NICHE_MASK,
    TISSUE_MASK,
    Behaviour,
    Event,
    Flag,
    Signal,
    Tissue,
)
from abm.philox import gates, philox
from abm.reference.adhesion import touches_stroma
from abm.reference.lattice import (
    AIM_BITS,
    AIM_MASK,
    COLD,
    F32,
    HOT,
    I64,
    U8,
    U32,
    Bool,
    Box,
    claiming,
    filled,
    get,
    global_site,
    kind_of,
    near_site,
    neighbour,
    pick_set_bit,
    rate_row,
    variant_row,
)
from abm.streams import GATE

_BEFORE_MOVES = np.uint32(0x80000000)  # of the priority of a claim: that of a daughter
_ALL_BUT_CERTAIN = np.float32(0.99999994)  # the largest below 1: 2^32 times 1 is no 32-bit number
_COUNT_SIGNALS = {
    Signal.N_HSPC: "hspc",
    Signal.N_LEUKAEMIC: "leukaemic",
    Signal.N_RESIDENT: "resident",
    Signal.N_EFFECTOR: "effector",
    Signal.N_TREG: "treg",
    Signal.N_APC: "apc",
}


def fate(
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
    layer_is_motile: int,
    hot: U32,
    cold: U32,
    tissue: U8,
    distance: U8,
    histogram: U32,
    engaged: U8,
    struck: U8,
    cxcl12: F32,
    inflammation: F32,
    flags: U32,
    stages: U8,
    strength: F32,
    rates: F32,
    rated: U32,
    directed: F32,
    aimed: NDArray[np.uint16],
    exposed: F32,
    highest: int,
    ceiling: U32,
    rule_start: NDArray[np.int32],
    rule_behaviour: U8,
    rule_signal: U8,
    rule_power: U8,
    rule_gain: F32,
    rule_half: F32,
    action: U8,
    priority: U32,
) -> None:
    """Choose at most one event per cell from its competing hazards (per step); only an idle cell moves."""
    box = Box(ny, nx, low, high)
    del rated, aimed  # spare the kernel a look at rates of zero
    action.reshape(-1)[first : first + n] = 0
    touched = (engaged if layer_is_motile else struck).reshape(-1)
    draw = (total, shift, seed, step, word)
    site, draws = _candidates(filled(hot, first, n), hot.reshape(-1), touched, highest, ceiling, draw)
    cell, stage, damage = hot.reshape(-1)[site], *(get(cold.reshape(-1)[site], COLD[x]) for x in ("stage", "damage"))
    row, own, near = rate_row(cell), variant_row(cell, cold.reshape(-1)[site]), histogram.reshape(-1)[site]
    is_engaged = (touched[site] != 0) & (layer_is_motile != 0)
    hits = hits_on(site, (touched[site] != 0) & ~is_engaged, box, engaged.reshape(-1), strength)
    h = _base_hazards(rates, own, hits, is_engaged, stage >= stages[kind_of(cell)])
    _let_die(h, _directed_at(cell, row, directed))
    _let_die(h, np.where(touches_stroma(site, tissue, box), np.float32(0.0), exposed[own]))
    signals = _signals(site, near, hits, is_engaged, stage, damage, tissue, distance, cxcl12, inflammation)
    _apply_rules(h, row, signals, rule_start, (rule_behaviour, rule_signal, rule_power, rule_gain, rule_half))
    acts, event, r2, r3 = _choose(h, draws)
    aim = _aim(site[acts], r2, hot.reshape(-1), tissue.reshape(-1), flags, box)
    _note(site[acts], event, aim, r3, (action.reshape(-1), priority.reshape(-1)))


def _note(site: I64, event: U32, aim: tuple[Bool, I64], r: U32, to: tuple[U8, U32]) -> None:
    """Write what cells do; those that need a site and have an open one claim it by lot, daughters before moves."""
    (open_, direction), (action, priority) = aim, to
    claim = (event == Event.DIVIDE) | (event == Event.MOVE)
    claimed = np.where(open_, claiming(event, direction), 0)  # no open site: the cell is crowded out and waits
    action[site] = np.where(claim, claimed, event)
    before_moves = np.where(event == Event.DIVIDE, r | _BEFORE_MOVES, r & ~_BEFORE_MOVES)
    priority[site[claim & open_]] = before_moves[claim & open_]


def _aim(site: I64, r: U32, hot: U32, tissue: U8, flags: U32, box: Box) -> tuple[Bool, I64]:
    """Return which cells have an open neighbour, and the direction of one: of a niche for those that seek it."""
    open_ = _open_directions(site, hot, tissue, box, 0)
    niches = _open_directions(site, hot, tissue, box, NICHE_MASK)
    seeks = _has_flag(flags[kind_of(hot[site])], Flag.NICHE_SEEKER) & (niches != 0)
    return open_ != 0, pick_set_bit(np.where(seeks, niches, open_), r, 6)


def _signals(
    site: I64,
    near: U32,
    hits: F32,
    is_engaged: Bool,
    stage: U32,
    damage: U32,
    tissue: U8,
    distance: U8,
    cxcl12: F32,
    inflammation: F32,
) -> dict[Signal, Callable[[I64], NDArray[Any]]]:
    """Return, per local signal, its value for chosen cells."""
    return {
        Signal.NICHE: lambda j: (tissue.reshape(-1)[site[j]] & np.uint8(NICHE_MASK)) != 0,
        Signal.SINUSOID_DISTANCE: lambda j: distance.reshape(-1)[site[j]],
        Signal.HITS: lambda j: hits[j],
        Signal.ENGAGED: lambda j: is_engaged[j],
        Signal.CXCL12: lambda j: cxcl12.reshape(-1)[site[j]],
        Signal.INFLAMMATION: lambda j: inflammation.reshape(-1)[site[j]],
        Signal.STAGE: lambda j: stage[j],
        Signal.DAMAGE: lambda j: damage[j],
        **{signal: partial(_count_at, near, name) for signal, name in _COUNT_SIGNALS.items()},
    }


def _apply_rules(
    h: F32,
    row: I64,
    signals: dict[Signal, Callable[[I64], NDArray[Any]]],
    rule_start: NDArray[np.int32],
    rules: tuple[U8, U8, U8, F32, F32],
) -> None:
    """Multiply hazards by 1 + gain * s^p / (half^p + s^p), rule by rule, for the cells of each rate row."""
    order = np.argsort(row, kind="stable")
    bounds = np.searchsorted(row[order], np.arange(rule_start.size))
    for owner in range(rule_start.size - 1):
        members = order[bounds[owner] : bounds[owner + 1]]
        for k in range(rule_start[owner], rule_start[owner + 1]) if members.size else ():
            behaviour, signal, power, gain, half = (column[k] for column in rules)
            s = np.asarray(signals[Signal(signal)](members)).astype(np.float32)
            h[behaviour, members] *= np.float32(1.0) + (gain * _hill(s, half, int(power)))


def _count(histogram: U32, name: str) -> U32:
    return (histogram >> np.uint32(HISTOGRAM_BITS * HISTOGRAM.index(name))) & np.uint32(31)


def _count_at(histogram: U32, name: str, which: I64) -> U32:
    return _count(histogram[which], name)


def _has_flag(flags: U32, flag: Flag) -> Bool:
    return ((flags >> np.uint32(flag)) & np.uint32(1)).astype(bool)


def hits_on(site: I64, struck: Bool, box: Box, engaged: U8, strength: F32) -> F32:
    """Sum the kill strength of all lymphocytes that engage each of the struck sites; 0 for the others."""
    hit, hits = site[struck], np.zeros(site.shape, np.float32)
    total = np.zeros(hit.shape, np.float32)
    for m in range(27):
        byte = engaged[near_site(hit, m, box)]
        total += np.where(byte & AIM_MASK == 27 - m, strength[byte >> AIM_BITS], np.float32(0.0))
    hits[struck] = total
    return hits


def _base_hazards(rates: F32, row: I64, hits: F32, is_engaged: Bool, is_ripe: Bool) -> F32:
    """Return the rates of each cell by behaviour, (N_HAZARDS, cells): killed by hits, activated by a target alone.

    Ripe cells, past their last stage, neither divide nor mature.
    """
    h: F32 = rates.reshape(-1, N_BEHAVIOURS)[row, :N_HAZARDS].T.copy()
    h[Behaviour.KILL] *= hits
    h[Behaviour.ACTIVATE][~is_engaged] = 0
    for behaviour in (Behaviour.MATURE, Behaviour.DIVIDE):
        h[behaviour][is_ripe] = 0
    return h


def _directed_at(cell: U32, row: I64, directed: F32) -> F32:
    """Return the chance to die by drugs that spare cells which have lost an antigen, by their loss bits."""
    dies, loss = np.zeros(cell.shape, np.float32), get(cell, HOT["loss"])
    for j, by_bit in enumerate(directed.reshape(-1, len(LOSS_ANTIGENS)).T):
        spared = ((loss >> np.uint32(j)) & np.uint32(1)).astype(bool)
        dies += (np.float32(1.0) - dies) * np.where(spared, np.float32(0.0), by_bit[row])
    return dies


def _let_die(h: F32, dies: F32) -> None:
    """Add this chance of death to that by other drugs; only what outlives the step has other events in it."""
    drug = h[Behaviour.DRUG].copy()
    h *= np.float32(1.0) - dies
    h[Behaviour.DRUG] = drug + ((np.float32(1.0) - drug) * dies)


def _hill(s: F32, half_p: np.float32, power: int) -> F32:
    sp = s
    if power >= 2:
        sp = sp * sp
    if power == 4:
        sp = sp * sp
    return sp / (half_p + sp)


def _open_directions(site: I64, hot: U32, tissue: U8, box: Box, want: int) -> U32:
    """Return the directions (bits) of empty marrow neighbours; ``want`` restricts the tissue byte."""
    bits = np.zeros(site.shape, np.uint32)
    for d in range(6):
        s = neighbour(site, d, box)
        is_open = (hot[s] == 0) & ((tissue[s] & TISSUE_MASK) == Tissue.MARROW)
        if want:
            is_open &= (tissue[s] & want) != 0
        bits |= is_open.astype(np.uint32) << np.uint32(d)
    return bits


def _candidates(
    site: I64, hot: U32, touched: U8, highest: int, ceiling: U32, random: tuple[int, int, int, int, int]
) -> tuple[I64, tuple[U32, U32, U32, U32]]:
    """Return the cells that may act, with their draws: most are dismissed by the bound of their row and touch."""
    total, shift, seed, step, word = random
    gate = gates(seed, global_site(site, shift, total), step, word + GATE)
    touch = touched[site] != 0
    may = np.flatnonzero((gate <= highest >> 24) | touch)
    bound = ceiling[rate_row(hot[site[may]]) + np.where(touch[may], 2 * N_KINDS, 0)]
    gated = gate[may] <= bound >> np.uint32(24)
    may, bound = may[gated], bound[gated]
    r = philox(seed, global_site(site[may], shift, total), step, word)
    drawn = (gate[may] << np.uint32(24)) | (r[0] >> np.uint32(8))
    acts = drawn < bound
    return site[may[acts]], (drawn[acts], r[1][acts], r[2][acts], r[3][acts])


def _choose(h: F32, r: tuple[U32, U32, U32, U32]) -> tuple[I64, U32, U32, U32]:
    """Draw which cells act (their indices) and what they do; the last two random words are returned."""
    hazard = np.zeros(h.shape[1], np.float32)
    for b in range(N_HAZARDS):
        if b != Behaviour.MOVE:
            hazard += h[b]
    fated = _comes_about(r[0], hazard)
    acts = np.flatnonzero(fated | _comes_about(r[0], hazard + h[Behaviour.MOVE]))
    r1, r2, r3, fated = r[1][acts], r[2][acts], r[3][acts], fated[acts]
    pick = ((r1 >> np.uint32(8)).astype(np.float32) * np.float32(1.0 / 16777216.0)) * hazard[acts]
    fates = h[:, acts]
    fates[Behaviour.MOVE] = 0
    return acts, np.where(fated, _event_at(fates, pick), np.uint32(Event.MOVE)), r2, r3


def _comes_about(drawn: U32, hazard: F32) -> Bool:
    """Return where an event of this hazard comes about: its probability, as long as it is below 1."""
    chance = np.where(hazard < np.float32(1.0), hazard, _ALL_BUT_CERTAIN) * np.float32(4294967296.0)
    return np.asarray(drawn < chance.astype(np.uint32))


def _event_at(h: F32, pick: F32) -> U32:
    """Return the event whose share of the cumulative hazard holds ``pick`` (the last one if rounding overshoots)."""
    event = np.zeros(pick.shape, np.uint32)
    total = np.zeros(pick.shape, np.float32)
    open_ = np.ones(pick.shape, bool)
    for b in range(N_HAZARDS):
        here = open_ & (h[b] > 0)
        total[here] += h[b][here]
        event[here] = b + 1
        open_ &= ~(here & (pick < total))
    return event
