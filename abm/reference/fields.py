"""Twins of ``kernels/fields.cu``: one Jacobi sweep of each diffusible signal."""

from __future__ import annotations

import numpy as np

from abm import cells
from abm.reference.lattice import F32, U8, U32, Box, span

_STROMA = np.uint8(cells.STROMA_BIT)
_LEUKAEMIC = np.uint32(cells.HISTOGRAM_BITS * cells.HISTOGRAM.index("leukaemic"))


def sweep_cxcl12(
    n: int,
    *,
    first: int,
    ny: int,
    nx: int,
    low: int,
    high: int,
    weight: np.float32,
    source: np.float32,
    half: np.float32,
    floor: np.float32,
    tissue: U8,
    histogram: U32,
    field: F32,
    next: F32,  # noqa: A002 - the kernel's argument name
) -> None:
    """Secrete by stroma, less where leukaemia surrounds it."""
    total = _six_neighbours(field, first, n, Box(ny, nx, low, high))
    part = slice(first, first + n)
    leukaemic = ((histogram.reshape(-1)[part] >> _LEUKAEMIC) & np.uint32(31)).astype(np.float32)
    secreted = total + (source * (half / (half + leukaemic)))
    total = np.where((tissue.reshape(-1)[part] & _STROMA) != 0, secreted, total)
    _store(next, part, total * weight, floor)


def sweep_inflammation(
    n: int,
    *,
    first: int,
    ny: int,
    nx: int,
    low: int,
    high: int,
    weight: np.float32,
    source: np.float32,
    floor: np.float32,
    engaged: U8,
    field: F32,
    next: F32,  # noqa: A002 - the kernel's argument name
) -> None:
    """Secrete by engaged lymphocytes."""
    total = _six_neighbours(field, first, n, Box(ny, nx, low, high))
    part = slice(first, first + n)
    total = np.where(engaged.reshape(-1)[part] != 0, total + source, total)
    _store(next, part, total * weight, floor)


def _six_neighbours(field: F32, first: int, n: int, box: Box) -> F32:
    """Sum in the order -z, +z, -y, +y, -x, +x."""
    planes = span(field, first, n, box)
    middle = planes[1:-1]
    total = planes[:-2] + planes[2:]
    for axis in (1, 2):
        total = total + np.roll(middle, 1, axis)
        total = total + np.roll(middle, -1, axis)
    offset = first % box.plane
    return total.reshape(-1)[offset : offset + n]


def _store(out: F32, part: slice, value: F32, floor: np.float32) -> None:
    out.reshape(-1)[part] = np.where(value < floor, np.float32(0.0), value)
