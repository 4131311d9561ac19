"""Twins of ``kernels/contacts.cu``: who touches whom."""

from __future__ import annotations

import numpy as np

from abm import cells
from abm.philox import philox
from abm.reference.lattice import (
    AIM_BITS,
    HOT,
    U8,
    U32,
    filled,
    get,
    global_site,
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
    res_hot: U32,
    classes: U32,
    signature: U32,
    histogram: U32,
) -> None:
    """Write packed neighbour counts of each site, its own resident cell left out."""
    box = span(signature, first, n, ny, nx, 1)
    box = box[:-2] + box[1:-1] + box[2:]
    box = np.roll(box, 1, 1) + box + np.roll(box, -1, 1)
    box = np.roll(box, 1, 2) + box + np.roll(box, -1, 2)
    own = classes[kind_of(res_hot.reshape(-1)[first : first + n])]
    histogram.reshape(-1)[first : first + n] = box.reshape(-1) - own


def engage(
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
    res_hot: U32,
    mot_hot: U32,
    flags: U32,
    sees: U8,
    antigens: U32,
    losses: U32,
    receptors: U32,
    hit_class: U8,
    engaged: U8,
    struck: U8,
) -> None:
    """Let each lymphocyte that meets its antigen engage and strike one target (antigens & receptors)."""
    del sees  # spares the kernel the antigens of cells that have lost none
    engaged.reshape(-1)[first : first + n] = 0
    res, mot = res_hot.reshape(-1), mot_hot.reshape(-1)
    site = filled(mot_hot, first, n)
    receptor = receptors[get(mot[site], HOT["specificity"])]
    site, receptor = site[receptor != 0], receptor[receptor != 0]
    effector = ((flags[kind_of(mot[site])] >> np.uint32(cells.Flag.EFFECTOR)) & np.uint32(1)).astype(bool)
    matches = np.zeros(site.shape, np.uint32)
    for m in range(27):
        target = res[near_site(site, m, ny, nx)]
        apc = ((flags[kind_of(target)] >> np.uint32(cells.Flag.APC)) & np.uint32(1)).astype(bool)
        met = (target != 0) & (bound(target, 1, receptor, antigens, losses) != 0) & (effector | apc)
        matches |= met.astype(np.uint32) << np.uint32(m)
    site, receptor, matches = (x[matches != 0] for x in (site, receptor, matches))
    r = philox(seed, global_site(site, shift, total), step, word)
    chosen = pick_set_bit(matches, r[0], 27)
    met = near_site(site, chosen, ny, nx)
    level = sum((bound(res[met], n, receptor, antigens, losses) != 0).astype(np.int64) for n in (1, 2, 3))
    row = get(mot[site], HOT["specificity"]).astype(np.int64) * cells.N_KINDS + kind_of(mot[site])
    hit = hit_class[row * (cells.N_LEVELS + 1) + level].astype(np.int64)
    engaged.reshape(-1)[site] = chosen + 1 | hit << AIM_BITS
    struck.reshape(-1)[met] = 1


def bound(hot: U32, level: int, receptor: U32 | np.uint32, antigens: U32, losses: U32) -> U32:
    """Return what the receptors bind of what each cell shows at a level or more, losses left out."""
    mask: U32 = antigens.reshape(cells.N_LEVELS, -1)[level - 1, hot & np.uint32(255)]
    loss = get(hot, HOT["loss"])
    for j in range(len(cells.LOSS_ANTIGENS)):
        lost = ((loss >> np.uint32(j)) & np.uint32(1)).astype(bool)
        mask = np.where(lost, mask & ~losses[j], mask)
    return mask & receptor
