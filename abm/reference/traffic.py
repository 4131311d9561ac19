"""Twins of ``kernels/traffic.cu``: cells that come from the blood."""

from __future__ import annotations

import numpy as np

from abm.cells import NICHE_MASK, TISSUE_MASK, Tissue
from abm.reference.lattice import I64, U8, U32


def probe(n: int, *, sites: I64, niche_only: U8, hot: U32, tissue: U8, open: U8) -> None:  # noqa: A002
    """Tell which candidate sites can take a cell (a negative site is not in this slab)."""
    site = sites[:n]
    mine = site >= 0
    label = tissue.reshape(-1)[np.where(mine, site, 0)]
    ok = mine & (hot.reshape(-1)[np.where(mine, site, 0)] == 0) & ((label & TISSUE_MASK) == Tissue.MARROW)
    ok &= (niche_only[:n] == 0) | ((label & NICHE_MASK) != 0)
    open[:n] = ok


def settle(n: int, *, sites: I64, new_hot: U32, new_cold: U32, hot: U32, cold: U32) -> None:
    """Put cell i on sites[i]; the host guarantees distinct open sites."""
    mine = np.flatnonzero(sites[:n] >= 0)
    hot.reshape(-1)[sites[mine]] = new_hot[mine]
    cold.reshape(-1)[sites[mine]] = new_cold[mine]
