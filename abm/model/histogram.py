"""Which cells the histogram of a neighbourhood counts, and under which of its classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from abm.cells import HISTOGRAM, HISTOGRAM_BITS, N_KINDS, Flag, Kind, is_motile
from abm.model.rule_tables import KindInfo


def class_words(kinds: Mapping[Kind, KindInfo]) -> NDArray[np.uint32]:
    """Return which histogram classes a cell of each kind adds one to, a packed word each, uint32 (64,)."""
    words = np.zeros(N_KINDS, np.uint32)
    for kind, info in kinds.items():
        member = {
            "hspc": bool(info.flags >> Flag.HSPC & 1),
            "leukaemic": bool(info.flags >> Flag.LEUKAEMIC & 1),
            "resident": not is_motile(kind),
            "effector": is_motile(kind) and bool(info.flags >> Flag.EFFECTOR & 1),
            "treg": bool(info.flags >> Flag.TREG & 1),
            "apc": bool(info.flags >> Flag.APC & 1),
        }
        for j, name in enumerate(HISTOGRAM):
            if member[name]:
                words[kind] |= np.uint32(1 << (HISTOGRAM_BITS * j))
    return words
