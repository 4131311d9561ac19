"""Site arithmetic and cell words for the twins (``kernels/lattice.cuh``, ``kernels/words.cuh``)."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from abm import cells

I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

HOT = {f.name: (np.uint32(f.shift), np.uint32((1 << f.bits) - 1)) for f in cells.HOT}
COLD = {f.name: (np.uint32(f.shift), np.uint32((1 << f.bits) - 1)) for f in cells.COLD}


#: Low bits of an engaged byte: 1 + index of the target in the 27-neighbourhood; above them the class of kill strength.
AIM_BITS, AIM_MASK = 5, 31


def get(word: U32, field: tuple[np.uint32, np.uint32]) -> U32:
    """Return a bit field of each word."""
    return (word >> field[0]) & field[1]


def put(word: U32, field: tuple[np.uint32, np.uint32], value: U32 | int) -> U32:
    """Return the words with a bit field replaced."""
    shift, mask = field
    return (word & ~(mask << shift)) | (np.asarray(value, np.uint32) << shift)


def kind_of(hot: U32) -> I64:
    """Return the kinds as indices."""
    return get(hot, HOT["kind"]).astype(np.int64)


def slot_of(hot: U32) -> I64:
    """Return kind * N_ORIGINS + origin."""
    return kind_of(hot) * cells.N_ORIGINS + get(hot, HOT["origin"])


def rate_row(hot: U32) -> I64:
    """Return the rows of the rate table: kind * 2 + (cycling?)."""
    return kind_of(hot) * 2 + (get(hot, HOT["cycle"]) & np.uint32(1))


def variant_row(hot: U32, cold: U32) -> I64:
    """Return the same for the variant of each cell: each variant has a rate table of its own."""
    return get(cold, COLD["resist"]).astype(np.int64) * (cells.N_KINDS * 2) + rate_row(hot)


def global_site(site: I64, shift: int, total: int) -> I64:
    """Return the global sites of local sites."""
    wrapped: I64 = (site + shift) % total
    return wrapped


class Box(NamedTuple):
    """The planes of a slab.

    Attributes:
        ny: rows of a plane.
        nx: columns of a plane.
        low: first site of the lowest plane, if the slab is the whole lattice and z periodic as y and x are; else -1.
        high: first site of the highest plane, likewise.
    """

    ny: int
    nx: int
    low: int
    high: int

    @property
    def plane(self) -> int:
        """Sites of a plane."""
        return self.ny * self.nx


def neighbour(site: I64, direction: I64 | int, box: Box) -> I64:
    """Return the neighbours in the given directions: 0 -z, 1 +z, 2 -y, 3 +y, 4 -x, 5 +x."""
    if isinstance(direction, int):
        return _neighbour_in(site, direction, box)
    result = np.empty_like(site)
    for d in range(6):
        here = direction == d
        result[here] = _neighbour_in(site[here], d, box)
    return result


def _neighbour_in(site: I64, d: int, box: Box) -> I64:
    if d < 2:
        return _plane_beside(site // box.plane, 2 * d - 1, box) * box.plane + site % box.plane
    size, stride = ((box.ny, box.nx), (box.nx, 1))[d // 2 - 1]
    at = (site // stride) % size
    moved: I64 = (
        np.where(at == size - 1, site - (size - 1) * stride, site + stride)
        if d % 2
        else np.where(at == 0, site + (size - 1) * stride, site - stride)
    )
    return moved


def _plane_beside(z: I64, dz: I64 | int, box: Box) -> I64:
    """Return the planes dz (-1 to 1) further."""
    found: I64 = z + dz
    if box.low < 0:
        return found
    lowest, highest = box.low // box.plane, box.high // box.plane
    found = np.where((z == lowest) & (found < z), highest, found)
    return np.where((z == highest) & (found > z), lowest, found)


def near_site(site: I64, m: I64 | int, box: Box) -> I64:
    """Return site m of the 27-neighbourhood, m = (dz + 1) * 9 + (dy + 1) * 3 + (dx + 1)."""
    m = np.asarray(m, np.int64)
    dz, dy, dx = m // 9 - 1, (m // 3) % 3 - 1, m % 3 - 1
    x, rest = site % box.nx, site // box.nx
    y, z = rest % box.ny, rest // box.ny
    found: I64 = (_plane_beside(z, dz, box) * box.ny + (y + dy) % box.ny) * box.nx + (x + dx) % box.nx
    return found


def span(array: NDArray[Scalar], first: int, n: int, box: Box) -> NDArray[Scalar]:
    """Return the planes that hold sites first .. first + n and those beside them, as (z, y, x)."""
    z = np.arange(first // box.plane, -(-(first + n) // box.plane))
    below, above = _plane_beside(z[:1], -1, box), _plane_beside(z[-1:], 1, box)
    planes: NDArray[Scalar] = array.reshape(-1, box.ny, box.nx)[np.concatenate([below, z, above])]
    return planes


def filled(values: U8 | U32, first: int, n: int) -> I64:
    """Return the local sites in first .. first + n whose value is not zero."""
    return np.flatnonzero(values.reshape(-1)[first : first + n]).astype(np.int64) + first


def happens(r: U32, chance: U32) -> Bool:
    """Return whether what has this chance (x 2^-32; all bits: always) happens."""
    found: Bool = (r < chance) | (chance == np.uint32(0xFFFFFFFF))
    return found


def pick_set_bit(bits: U32, r: U32, n_bits: int) -> I64:
    """Return, per element, the index of the set bit number floor(r * count / 2^32)."""
    count = np.bitwise_count(bits).astype(np.uint64)
    skip = ((r.astype(np.uint64) * count) >> np.uint64(32)).astype(np.int64)
    chosen = np.zeros(bits.shape, np.int64)
    for d in range(n_bits):
        is_set = ((bits >> np.uint32(d)) & np.uint32(1)).astype(bool)
        chosen[is_set & (skip == 0)] = d
        skip = skip - is_set
    return chosen


def stronger(priority_a: U32, site_a: I64, priority_b: U32, site_b: I64) -> Bool:
    """Return whether claim a beats claim b: by priority, then the global site."""
    wins: Bool = (priority_a > priority_b) | ((priority_a == priority_b) & (site_a > site_b))
    return wins


#: Bit of the action byte of a cell that claims the site in its direction.
CLAIMING = np.uint8(0x80)


def drawn_direction(draw: U32) -> I64:
    """Return the one of six directions that a draw of 32 bits chooses."""
    return ((draw.astype(np.uint64) * np.uint64(6)) >> np.uint64(32)).astype(np.int64)


def claiming(event: U32, direction: I64) -> U8:
    """Return the action bytes of cells that claim the site in their direction."""
    return (np.uint32(CLAIMING) | event | (direction.astype(np.uint32) << np.uint32(4))).astype(np.uint8)


def event_of(action: U8) -> U8:
    """Return the events of action bytes."""
    return action & np.uint8(15)


def direction_of(action: U8) -> I64:
    """Return the directions of action bytes."""
    return ((action >> np.uint8(4)) & np.uint8(7)).astype(np.int64)


def winners(
    site: I64, begin: int, end: int, box: Box, total: int, shift: int, action: U8, priority: U32
) -> tuple[I64, Bool]:
    """Return, for cells whose actions claim a site, that site and whether theirs is the strongest claim on it.

    Only asked where either lies in ``begin`` to ``end``; elsewhere the answer is no.
    """
    action, priority = action.reshape(-1), priority.reshape(-1)
    target = neighbour(site, direction_of(action[site]), box)
    wins: Bool = ((site >= begin) & (site < end)) | ((target >= begin) & (target < end))
    asked = np.flatnonzero(wins)
    own, at = site[asked], target[asked]
    own_priority, own_global = priority[own], global_site(own, shift, total)
    for d in range(6):
        other = neighbour(at, d, box)
        rival = (action[other] & np.uint8(0xF0)) == (CLAIMING | np.uint8((d ^ 1) << 4))
        wins[asked] &= ~(rival & stronger(priority[other], global_site(other, shift, total), own_priority, own_global))
    return target, wins
