"""Twin of ``kernels/exhaustion.cu``: lymphocytes tire while they are engaged and recover at rest."""

from __future__ import annotations

import numpy as np

from abm.cells import Flag
from abm.philox import philox
from abm.reference.lattice import HOT, U8, U32, filled, get, global_site, happens, kind_of, put


def exhaust(
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
    engaged: U8,
    flags: U32,
    tiring: U32,
    mot_hot: U32,
) -> None:
    """Let engaged effectors tire by a level and lymphocytes at rest recover by one, each with its chance."""
    del ny, nx  # only the kernel works in stretches of rows
    site, words = filled(mot_hot, first, n), mot_hot.reshape(-1)
    level = get(words[site], HOT["exhaustion"])
    busy = engaged.reshape(-1)[site] != 0
    effector = ((flags[kind_of(words[site])] >> np.uint32(Flag.EFFECTOR)) & np.uint32(1)).astype(bool)
    tires = busy & effector & (level < HOT["exhaustion"][1])
    may = tires | (~busy & (level > 0))
    site, level, tires = site[may], level[may], tires[may]
    r = philox(seed, global_site(site, shift, total), step, word)
    acts = happens(r[0], tiring[np.where(tires, 0, 1)])
    site, after = site[acts], np.where(tires, level + np.uint32(1), level - np.uint32(1))[acts]
    words[site] = put(words[site], HOT["exhaustion"], after)
