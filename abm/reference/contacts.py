"""Twins of ``kernels/contacts.cu``: who touches whom."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from abm import cells
from abm.philox import philox
from abm.reference.lattice import (
    AIM_BITS,
    HOT,
    U8,
    U32,
    Bool,
    Box,
    filled,
    get,
    global_site,
    happens,
    kind_of,
    near_site,
    pick_set_bit,
    span,
)


def classify(n: int, *, first: int, res_hot: U32, mot_hot: U32, classes: U32, signature: U32) -> None:
    """Write the class word of each site."""
    part = slice(first, first + n)
    signature.reshape(-1)[part] = classes[kind_of(res_hot.reshape(-1)[part])]
    signature.reshape(-1)[part] += classes[kind_of(mot_hot.reshape(-1)[part])]


def contacts(
    n: int,
    *,
    first: int,
    ny: int,
    nx: int,
    low: int,
    high: int,
    res_hot: U32,
    classes: U32,
    signature: U32,
    histogram: U32,
) -> None:
    """Write packed neighbour counts of each site, its own resident cell left out."""
    planes = span(signature, first, n, Box(ny, nx, low, high))
    planes = planes[:-2] + planes[1:-1] + planes[2:]
    planes = np.roll(planes, 1, 1) + planes + np.roll(planes, -1, 1)
    planes = np.roll(planes, 1, 2) + planes + np.roll(planes, -1, 2)
    own = classes[kind_of(res_hot.reshape(-1)[first : first + n])]
    histogram.reshape(-1)[first : first + n] = planes.reshape(-1) - own


def engage(
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
    res_hot: U32,
    mot_hot: U32,
    flags: U32,
    sees: U8,
    antigens: U32,
    losses: U32,
    receptors: U32,
    lent: U8,
    armed: U32,
    vigour: U32,
    hit_class: U8,
    engaged: U8,
    struck: U8,
) -> None:
    """Let each lymphocyte that meets its antigen engage and strike one target (antigens & receptors).

    Its receptors are its own and those that are lent to its kind, if it holds them in this step.
    """
    box = Box(ny, nx, low, high)
    del sees  # spares the kernel the antigens of cells that have lost none
    engaged.reshape(-1)[first : first + n] = 0
    res, mot = res_hot.reshape(-1), mot_hot.reshape(-1)
    site = filled(mot_hot, first, n)
    row, loan = get(mot[site], HOT["specificity"]), lent[kind_of(mot[site])].astype(np.uint32)
    able = (receptors[row] != 0) | (loan != 0)
    site, row, loan = site[able], row[able], loan[able]
    receptor, borrowed = receptors[row], np.where(loan != 0, receptors[loan], np.uint32(0))
    effector = _flagged(mot[site], flags, cells.Flag.EFFECTOR)
    around = [res[near_site(site, m, box)] for m in range(27)]
    own = _bits(
        (bound(t, 1, receptor, antigens, losses) != 0) & (effector | _flagged(t, flags, cells.Flag.APC)) & (t != 0)
        for t in around
    )
    by_loan = _bits((t != 0) & (bound(t, 1, borrowed, antigens, losses) != 0) for t in around)
    site, row, loan, own, by_loan = (x[(own | by_loan) != 0] for x in (site, row, loan, own, by_loan))
    r = philox(seed, global_site(site, shift, total), step, word)
    by_loan[~happens(r[1], armed[loan])] = 0
    meets = np.flatnonzero(own | by_loan)
    site, row, loan, own, by_loan = (x[meets] for x in (site, row, loan, own, by_loan))
    chosen = pick_set_bit(own | by_loan, r[0][meets], 27)
    target, cell = res[near_site(site, chosen, box)], mot[site]
    braked = bound(target, 1, np.full(site.shape, cells.BRAKES, np.uint32), antigens, losses) != 0
    strikes = happens(r[2][meets], vigour[2 * get(cell, HOT["exhaustion"]).astype(np.int64) + braked])
    seen_by = [(held, seen >> chosen.astype(np.uint32) & 1) for held, seen in ((row, own), (loan, by_loan))]
    hit = _better_hit(cell, seen_by, target, receptors, antigens, losses, hit_class)
    engaged.reshape(-1)[site] = chosen + 1 | np.where(strikes, hit, 0) << AIM_BITS
    struck.reshape(-1)[near_site(site, chosen, box)] = 1


def _better_hit(
    hot: U32, seen_by: Iterable[tuple[U32, U32]], target: U32, receptors: U32, antigens: U32, losses: U32, hit_class: U8
) -> NDArray[np.int64]:
    """Return the class of the hit on each target: with an own and a lent receptor a cell strikes as with the better.

    ``seen_by``: for each of the two its row, and 1 where the cell sees its target by it.
    """
    hit = np.zeros(hot.shape, np.int64)
    for held, seen in seen_by:
        level = sum((bound(target, n, receptors[held], antigens, losses) != 0).astype(np.int64) for n in (1, 2, 3))
        strength = hit_class[(held.astype(np.int64) * cells.N_KINDS + kind_of(hot)) * (cells.N_LEVELS + 1) + level]
        hit = np.where(seen, np.maximum(hit, strength), hit)
    return hit


def _bits(seen: Iterable[Bool]) -> U32:
    """Return a word for each cell whose bit m is set where the m-th of these holds."""
    words = [np.where(holds, np.uint32(1 << m), np.uint32(0)) for m, holds in enumerate(seen)]
    found: U32 = np.bitwise_or.reduce(words)
    return found


def _flagged(hot: U32, flags: U32, flag: cells.Flag) -> Bool:
    """Return whether the kind of each cell carries the flag."""
    return ((flags[kind_of(hot)] >> np.uint32(flag)) & np.uint32(1)).astype(bool)


def bound(hot: U32, level: int, receptor: U32 | np.uint32, antigens: U32, losses: U32) -> U32:
    """Return what the receptors bind of what each cell shows at a level or more, losses left out."""
    mask: U32 = antigens.reshape(cells.N_LEVELS, -1)[level - 1, hot & np.uint32(255)]
    loss = get(hot, HOT["loss"])
    for j in range(len(cells.LOSS_ANTIGENS)):
        lost = ((loss >> np.uint32(j)) & np.uint32(1)).astype(bool)
        mask = np.where(lost, mask & ~losses[j], mask)
    return mask & receptor
