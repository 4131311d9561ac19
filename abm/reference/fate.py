"""Twins of ``kernels/fate.cu``: one event per cell, claims, the next words."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abm.cells import (
    HISTOGRAM,
    HISTOGRAM_BITS,
    N_BEHAVIOURS,
    N_HAZARDS,
    NICHE_MASK,
    TISSUE_MASK,
    Behaviour,
    Event,
    Flag,
    Signal,
    Tissue,
)
from abm.philox import philox
from abm.reference.lattice import (
    COLD,
    F32,
    HOT,
    I64,
    U8,
    U32,
    Bool,
    acting,
    best_claim,
    claimed_sites,
    get,
    global_site,
    kind_of,
    near_site,
    neighbour,
    occupied,
    pick_set_bit,
    put,
    rate_row,
)

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
    total: int,
    shift: int,
    seed: int,
    step: int,
    word: int,
    layer_is_motile: int,
    hot: U32,
    cold: U32,
    mot_hot: U32,
    tissue: U8,
    distance: U8,
    histogram: U32,
    engaged: U8,
    cxcl12: F32,
    inflammation: F32,
    flags: U32,
    stages: U8,
    strength: F32,
    rates: F32,
    ceiling: U32,
    rule_start: NDArray[np.int32],
    rule_behaviour: U8,
    rule_signal: U8,
    rule_power: U8,
    rule_gain: F32,
    rule_half: F32,
    escape: F32,
    action: U32,
    priority: U32,
) -> None:
    """Choose at most one event per cell from its competing hazards (per step)."""
    action.reshape(-1)[first : first + n] = 0
    site, draws = _candidates(
        occupied(hot, first, n),
        hot.reshape(-1),
        histogram.reshape(-1),
        engaged.reshape(-1),
        ceiling,
        (layer_is_motile, total, shift, seed, step, word),
    )
    cell, stage = hot.reshape(-1)[site], get(cold.reshape(-1)[site], COLD["stage"])
    row, near = rate_row(cell), histogram.reshape(-1)[site]
    is_engaged = (engaged.reshape(-1)[site] != 0) & (layer_is_motile != 0)
    hits = np.zeros(site.shape, np.float32)
    touched = np.flatnonzero(_count(near, "effector")) if not layer_is_motile else np.zeros(0, np.int64)
    hits[touched] = _hits_on(site[touched], ny, nx, engaged.reshape(-1), mot_hot.reshape(-1), strength)

    h = rates.reshape(-1, N_BEHAVIOURS)[row, :N_HAZARDS].T.copy()
    h[Behaviour.KILL] *= hits
    h[Behaviour.ACTIVATE][~is_engaged] = 0
    for behaviour in (Behaviour.MATURE, Behaviour.DIVIDE):
        h[behaviour][stage >= stages[kind_of(cell)]] = 0
    signals = _signals(site, near, hits, is_engaged, stage, tissue, distance, cxcl12, inflammation)
    _apply_rules(h, row, signals, rule_start, (rule_behaviour, rule_signal, rule_power, rule_gain, rule_half))

    acts, event, r2, r3 = _choose(h, draws, escape)
    site, cell = site[acts], cell[acts]
    claim = (event == Event.DIVIDE) | (event == Event.MOVE)
    open_ = _open_directions(site, hot.reshape(-1), tissue.reshape(-1), ny, nx, 0)
    niches = _open_directions(site, hot.reshape(-1), tissue.reshape(-1), ny, nx, NICHE_MASK)
    seeks = _has_flag(flags[kind_of(cell)], Flag.NICHE_SEEKER) & (niches != 0)
    direction = np.where(claim, pick_set_bit(np.where(seeks, niches, open_), r2, 6), 0).astype(np.uint32)
    done = ~claim | (open_ != 0)  # crowded out: the cell waits
    action.reshape(-1)[site[done]] = event[done] | (direction[done] << np.uint32(4))
    priority.reshape(-1)[site[done]] = r3[done]


def _signals(
    site: I64,
    near: U32,
    hits: F32,
    is_engaged: Bool,
    stage: U32,
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


def _hits_on(site: I64, ny: int, nx: int, engaged: U8, mot_hot: U32, strength: F32) -> F32:
    """Sum the kill strength of all lymphocytes that engage each site."""
    total = np.zeros(site.shape, np.float32)
    for m in range(27):
        s = near_site(site, m, ny, nx)
        total += np.where(engaged[s] == 27 - m, strength[kind_of(mot_hot[s])], np.float32(0.0))
    return total


def _hill(s: F32, half_p: np.float32, power: int) -> F32:
    sp = s
    if power >= 2:
        sp = sp * sp
    if power == 4:
        sp = sp * sp
    return sp / (half_p + sp)


def _escape_probability(x: F32, escape: F32) -> F32:
    """Return 1 - exp(-x) by linear interpolation in a table with 256 steps per unit."""
    scaled = np.where(x < np.float32(15.99), x, np.float32(15.99)) * np.float32(256.0)
    index = scaled.astype(np.int32)
    low = escape[index]
    return low + ((escape[index + 1] - low) * (scaled - index.astype(np.float32)))


def _open_directions(site: I64, hot: U32, tissue: U8, ny: int, nx: int, want: int) -> U32:
    """Return the directions (bits) of empty marrow neighbours; ``want`` restricts the tissue byte."""
    bits = np.zeros(site.shape, np.uint32)
    for d in range(6):
        s = neighbour(site, d, ny, nx)
        is_open = (hot[s] == 0) & ((tissue[s] & TISSUE_MASK) == Tissue.MARROW)
        if want:
            is_open &= (tissue[s] & want) != 0
        bits |= is_open.astype(np.uint32) << np.uint32(d)
    return bits


def _candidates(
    site: I64, hot: U32, histogram: U32, engaged: U8, ceiling: U32, random: tuple[int, int, int, int, int, int]
) -> tuple[I64, tuple[U32, U32, U32, U32]]:
    """Return the cells that may act, with their draws: most are dismissed by the bound of their kind."""
    layer_is_motile, total, shift, seed, step, word = random
    r = philox(seed, global_site(site, shift, total), step, word)
    touched = engaged[site] != 0 if layer_is_motile else _count(histogram[site], "effector") > 0
    may = touched | (r[0] < ceiling[rate_row(hot[site])])
    return site[may], (r[0][may], r[1][may], r[2][may], r[3][may])


def _choose(h: F32, r: tuple[U32, U32, U32, U32], escape: F32) -> tuple[I64, U32, U32, U32]:
    """Draw which cells act (their indices) and what they do; the last two random words are returned."""
    hazard = h[0].copy()
    for b in range(1, N_HAZARDS):
        hazard += h[b]
    acts = np.flatnonzero(hazard > 0)
    chance = _escape_probability(hazard[acts], escape) * np.float32(4294967296.0)
    acts = acts[r[0][acts] < chance.astype(np.uint32)]
    r1, r2, r3 = r[1][acts], r[2][acts], r[3][acts]
    pick = ((r1 >> np.uint32(8)).astype(np.float32) * np.float32(1.0 / 16777216.0)) * hazard[acts]
    return acts, _event_at(h[:, acts], pick), r2, r3


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


def resolve(
    n: int,
    *,
    first: int,
    ny: int,
    nx: int,
    total: int,
    shift: int,
    hot: U32,
    tissue: U8,
    action: U32,
    priority: U32,
    winner: U8,
) -> None:
    """Write the winner of each empty site: 1 + direction towards it, 0 if nobody claims it."""
    winner.reshape(-1)[first : first + n] = 0
    act = action.reshape(-1)
    aimed = claimed_sites(acting(act, first, n, ny * nx), act, ny, nx)
    aimed = aimed[(aimed >= first) & (aimed < first + n)]
    aimed = aimed[(hot.reshape(-1)[aimed] == 0) & ((tissue.reshape(-1)[aimed] & TISSUE_MASK) == Tissue.MARROW)]
    winner.reshape(-1)[aimed] = best_claim(aimed, ny, nx, total, shift, act, priority.reshape(-1))


def _claiming(action: U32) -> Bool:
    event = action & np.uint32(15)
    claiming: Bool = (event == Event.DIVIDE) | (event == Event.MOVE)
    return claiming


def commit(
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
    hot: U32,
    cold: U32,
    action: U32,
    winner: U8,
    flags: U32,
    stages: U8,
    renew: U32,
    fate_next: U8,
    fate_share: U32,
    active_form: U8,
    hot_next: U32,
    cold_next: U32,
) -> None:
    """Write the words of the next time level: every site pulls what will be there."""
    part = slice(first, first + n)
    hot, cold, action, winner = hot.reshape(-1), cold.reshape(-1), action.reshape(-1), winner.reshape(-1)
    out_hot, out_cold = hot[part].copy(), cold[part].copy()

    taken = np.flatnonzero((out_hot == 0) & (winner[part] != 0)) + first
    busy = np.flatnonzero((out_hot != 0) & ((action[part] & np.uint32(15)) != 0)) + first
    site = np.concatenate([busy, taken])
    source = np.concatenate([busy, neighbour(taken, winner[taken].astype(np.int64) - 1, ny, nx)])
    arriving = source != site
    h, c, act = hot[source], cold[source], action[source]
    event, direction = act & np.uint32(15), (act >> np.uint32(4)).astype(np.int64)
    kind = kind_of(h)

    gone = (event >= Event.DIE) & (event <= Event.EGRESS)
    won = arriving.copy()
    claim = np.flatnonzero(~arriving & _claiming(act))
    won[claim] = winner[neighbour(site[claim], direction[claim], ny, nx)] == (direction[claim] ^ 1) + 1
    gone |= (event == Event.MOVE) & won & ~arriving

    switch = event == Event.SWITCH
    h[switch] ^= np.uint32(1) << HOT["cycle"][0]
    activate = event == Event.ACTIVATE
    _become(h, c, activate, active_form[kind].astype(np.uint32), flags)
    h[activate] = put(h[activate], HOT["activation"], 1)

    drawn = (event == Event.DIVIDE) | (event == Event.MATURE)
    r = [np.zeros(site.shape, np.uint32) for _ in range(4)]
    for k, values in enumerate(philox(seed, global_site(source[drawn], shift, total), step, word)):
        r[k][drawn] = values
    mature = event == Event.MATURE
    divide = (event == Event.DIVIDE) & won
    threshold = renew[rate_row(h)]
    rests = divide & _has_flag(flags[kind], Flag.REST_AFTER_DIVISION)
    h[rests] = put(h[rests], HOT["cycle"], 0)
    draw = np.where(arriving, r[1], r[0])
    forward = divide & (threshold != np.uint32(0xFFFFFFFF)) & (draw >= threshold)
    fate_draw = np.where(mature | ~arriving, r[2], r[3])
    _advance(h, c, mature | forward, fate_draw, flags, stages, fate_next, fate_share)

    h[gone] = 0
    c[gone] = 0
    out_hot[site - first], out_cold[site - first] = h, c
    hot_next.reshape(-1)[part] = out_hot
    cold_next.reshape(-1)[part] = out_cold


def _become(h: U32, c: U32, which: Bool, kind: U32, flags: U32) -> None:
    """Turn the chosen cells into ``kind`` at stage 0."""
    new = kind[which]
    cycling = (flags[new] >> np.uint32(Flag.CYCLING)) & np.uint32(1)
    h[which] = put(put(h[which], HOT["kind"], new), HOT["cycle"], cycling)
    c[which] = put(c[which], COLD["stage"], 0)


def _advance(h: U32, c: U32, which: Bool, draw: U32, flags: U32, stages: U8, fate_next: U8, fate_share: U32) -> None:
    """Move the chosen cells one stage on; after the last stage to the next kind."""
    kind = kind_of(h)
    stage = get(c, COLD["stage"]) + np.uint32(1)
    last = stages[kind].astype(np.uint32)
    next_, share = fate_next.reshape(-1, 4)[kind], fate_share.reshape(-1, 4)[kind]
    stays = which & ((stage < last) | (next_[:, 0] == 0))
    c[stays] = put(c[stays], COLD["stage"], np.minimum(stage, last)[stays])
    j = np.zeros(kind.shape, np.int64)
    for k in range(3):
        j += (j == k) & (next_[:, k + 1] != 0) & (draw >= share[:, k])
    chosen = next_[np.arange(kind.size), j].astype(np.uint32)
    _become(h, c, which & ~stays, chosen, flags)
