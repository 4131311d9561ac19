"""Twins of ``kernels/label.cu``: labels given to follow cells."""

from __future__ import annotations

import numpy as np

from abm.cells import N_KINDS, N_ORIGINS, Count, Label
from abm.philox import philox
from abm.reference.lattice import COLD, U32, filled, get, global_site, put, rate_row, slot_of

_SLOTS = N_KINDS * N_ORIGINS
_ALWAYS = np.uint32(0xFFFFFFFF)


def label(
    n: int,
    *,
    first: int,
    total: int,
    shift: int,
    seed: int,
    step: int,
    word: int,
    value: int,
    take: U32,
    hot: U32,
    cold: U32,
) -> None:
    """Let cells take up a label; take: threshold (x 2^-32) by row of the rate table, 0: never, all bits: always."""
    site = filled(hot, first, n)
    threshold = take[rate_row(hot.reshape(-1)[site])]
    site, threshold = site[threshold != 0], threshold[threshold != 0]
    r = philox(seed, global_site(site, shift, total), step, word)
    takes = site[(threshold == _ALWAYS) | (r[0] < threshold)]
    words = cold.reshape(-1)
    words[takes] = put(words[takes], COLD["label"], value)


def census_label(n: int, *, first: int, ny: int, nx: int, hot: U32, cold: U32, counts: U32) -> None:
    """Add the labelled cells of a layer to counts[0][LABELLED][kind][origin]: one part is enough."""
    site = filled(hot, first, n)
    site = site[get(cold.reshape(-1)[site], COLD["label"]) != Label.NONE]
    number = np.bincount(slot_of(hot.reshape(-1)[site]), minlength=_SLOTS).astype(np.uint32)
    counts.reshape(-1)[Count.LABELLED * _SLOTS : (Count.LABELLED + 1) * _SLOTS] += number
