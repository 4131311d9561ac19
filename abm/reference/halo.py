"""Twins of ``kernels/halo.cu``: cells of a sparse layer on their way to a neighbouring slab."""

from __future__ import annotations

import numpy as np

from abm.reference.lattice import I64, U32, filled


def pack(n: int, *, first: int, ny: int, nx: int, hot: U32, cold: U32, n_listed: I64, listed: U32) -> None:
    """List the cells of planes that begin at site ``first``: site counted from there, hot and cold word."""
    del ny, nx
    site = filled(hot, first, n)
    begin, end = int(n_listed[0]), int(n_listed[0]) + site.size
    rows = listed.reshape(-1, 3)[begin:end]
    rows[:, 0] = site - first
    rows[:, 1], rows[:, 2] = hot.reshape(-1)[site], cold.reshape(-1)[site]
    n_listed[0] = end


def unpack(n: int, *, first: int, listed: U32, hot: U32, cold: U32) -> None:
    """Put n listed cells on planes that begin at site ``first``, where no cell is."""
    rows = listed.reshape(-1, 3)[:n]
    site = first + rows[:, 0].astype(np.int64)
    hot.reshape(-1)[site], cold.reshape(-1)[site] = rows[:, 1], rows[:, 2]
