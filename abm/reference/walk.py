"""Twins of ``kernels/walk.cu``: the walk with a byte and a bit of each site."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm.cells import FIRST_MOTILE, TISSUE_MASK, Event, Tissue
from abm.philox import philox
from abm.reference.lattice import (
    U8,
    U32,
    Bool,
    Box,
    claiming,
    drawn_direction,
    global_site,
    kind_of,
    neighbour,
    winners,
)

U64 = NDArray[np.uint64]

#: The byte of a site: kind of its lymphocyte, counted from FIRST_MOTILE and 1; whether it is no marrow; whether it is
#: noted as engaged.
STANDS, BARRED, HOLDS = np.uint8(31), np.uint8(32), np.uint8(64)


def muster(n: int, *, first: int, mot_hot: U32, tissue: U8, engaged: U8, stand: U8) -> None:
    """Note who stands where."""
    hot = mot_hot.reshape(-1)[first : first + n]
    label, held = (array.reshape(-1)[first : first + n] for array in (tissue, engaged))
    kind = np.where(hot == 0, 0, kind_of(hot) - (FIRST_MOTILE - 1)).astype(np.uint8)
    barred = np.where((label & TISSUE_MASK) == Tissue.MARROW, np.uint8(0), BARRED)
    stand.reshape(-1)[first : first + n] = kind | barred | np.where(held == 0, np.uint8(0), HOLDS)


def bid_mustered(
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
    hop: U32,
    stand: U8,
    bidders: U64,
) -> None:
    """Let each lymphocyte that nothing holds try one of six directions."""
    byte = stand.reshape(-1)
    window = byte[first : first + n]
    site = np.flatnonzero(((window & STANDS) != 0) & ((window & HOLDS) == 0)).astype(np.int64) + first
    r = philox(seed, global_site(site, shift, total), step, word)
    tries = r[0] < hop[(byte[site] & STANDS).astype(np.int64) + (FIRST_MOTILE - 1)]
    site, direction = site[tries], drawn_direction(r[1][tries])
    is_open = (byte[neighbour(site, direction, Box(ny, nx, low, high))] & (STANDS | BARRED)) == 0
    bids = np.zeros(n, np.bool_)
    bids[site[is_open] - first] = True
    _put(bidders, first, ny * nx, bids)


def hop_mustered(
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
    begin: int,
    end: int,
    bidders: U64,
    mot_hot: U32,
    mot_cold: U32,
    stand: U8,
) -> None:
    """Let each bidder that wins hop; only sites from ``begin`` to ``end`` are written."""
    box, size = Box(ny, nx, low, high), mot_hot.size
    rivals = np.flatnonzero(_bits(bidders, box.plane)).astype(np.int64)
    r = philox(seed, global_site(rivals, shift, total), step, word)
    action, priority = np.zeros(size, np.uint8), np.zeros(size, np.uint32)
    action[rivals] = claiming(np.full(rivals.shape, Event.MOVE, np.uint32), drawn_direction(r[1]))
    priority[rivals] = r[2]
    site = rivals[(rivals >= first) & (rivals < first + n)]
    target, wins = winners(site, begin, end, box, total, shift, action, priority)
    site, target = site[wins], target[wins]
    there, here = (target >= begin) & (target < end), site[(site >= begin) & (site < end)]
    byte = stand.reshape(-1)
    byte[target[there]] |= byte[site[there]] & STANDS
    byte[here] &= ~STANDS
    for layer in (mot_hot.reshape(-1), mot_cold.reshape(-1)):
        layer[target[there]] = layer[site[there]]
        layer[here] = 0


def _bits(words: U64, plane: int) -> Bool:
    """Return the bit of each site of all planes; the bits of a plane begin with a word of their own."""
    rows = words.reshape(-1, -(-plane // 64)).astype("<u8").view(np.uint8)
    found: Bool = np.unpackbits(rows, axis=1, count=plane, bitorder="little").reshape(-1).astype(np.bool_)
    return found


def _put(words: U64, first: int, plane: int, values: Bool) -> None:
    """Set the bits of whole planes from site ``first`` on."""
    rows = words.reshape(-1, -(-plane // 64))
    packed = np.zeros((values.size // plane, 8 * rows.shape[1]), np.uint8)
    bits = np.packbits(values.reshape(-1, plane), axis=1, bitorder="little")
    packed[:, : bits.shape[1]] = bits
    rows[first // plane : first // plane + len(packed)] = packed.view("<u8")
