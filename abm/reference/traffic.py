"""Twins of ``kernels/traffic.cu``: cells that come from the blood."""

from __future__ import annotations

import numpy as np

from abm.cells import FIRST_MOTILE, NICHE_MASK, TISSUE_MASK, Tissue
from abm.reference.lattice import I64, U8, U32, kind_of


def probe(
    n: int,
    *,
    sites: I64,
    niche_only: U8,
    motile: U8,
    res_hot: U32,
    mot_hot: U32,
    tissue: U8,
    open: U8,  # noqa: A002
) -> None:
    """Tell which candidate sites can take a cell of the layer asked for (a negative site is not in this slab)."""
    mine = sites[:n] >= 0
    site = np.where(mine, sites[:n], 0)
    label = tissue.reshape(-1)[site]
    there = np.where(motile[:n] != 0, mot_hot.reshape(-1)[site], res_hot.reshape(-1)[site])
    ok = mine & (there == 0) & ((label & TISSUE_MASK) == Tissue.MARROW)
    ok &= (niche_only[:n] == 0) | ((label & NICHE_MASK) != 0)
    open[:n] = ok


def settle(
    n: int, *, sites: I64, new_hot: U32, new_cold: U32, res_hot: U32, res_cold: U32, mot_hot: U32, mot_cold: U32
) -> None:
    """Put cell i on sites[i] of its layer; the host guarantees distinct open sites."""
    motile = kind_of(new_hot[:n]) >= FIRST_MOTILE
    for hot, cold, belongs in ((res_hot, res_cold, ~motile), (mot_hot, mot_cold, motile)):
        mine = np.flatnonzero((sites[:n] >= 0) & belongs)
        hot.reshape(-1)[sites[mine]] = new_hot[mine]
        cold.reshape(-1)[sites[mine]] = new_cold[mine]
