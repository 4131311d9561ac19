"""Twin of ``kernels/purge.cu``: a safety switch is thrown."""

from __future__ import annotations

import numpy as np

from abm.cells import N_KINDS, N_ORIGINS, Count
from abm.philox import philox
from abm.reference.lattice import HOT, U32, filled, get, global_site, slot_of
from abm.reference.measure import count_there

_SLOTS = N_KINDS * N_ORIGINS


def purge(
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
    bits: int,
    chance: int,
    hot: U32,
    cold: U32,
    counts: U32,
) -> None:
    """Remove cells that carry one of ``bits`` of the edits, with this chance (x 2^-32); count them."""
    cells = hot.reshape(-1)
    site = filled(hot, first, n)
    site = site[(get(cells[site], HOT["edits"]) & np.uint32(bits)) != 0]
    site = site[philox(seed, global_site(site, shift, total), step, word)[0] < np.uint32(chance)]
    number = np.bincount(slot_of(cells[site]), minlength=_SLOTS).astype(np.uint32)
    counts.reshape(-1)[Count.DRUG * _SLOTS : (Count.DRUG + 1) * _SLOTS] += number
    count_there(counts, cells[site], -1)
    cells[site] = cold.reshape(-1)[site] = 0
