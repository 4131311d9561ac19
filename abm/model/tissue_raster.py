"""From shapes to sites: fields of capsules on chosen planes, and the distance to a mask.

Work is done on any set of planes. A site's value never depends on which other planes are computed with it:
every capsule that reaches a site adds to it in capsule order, whatever the batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from abm.model.tissue_shapes import Capsules, Shape

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

REACH = 32  #: sites within which distances are exact
FAR = 255  #: distance beyond REACH
SURFACE = 0.125  #: field value at the surface of a lone capsule

_SUPPORT = 2.0  # squared scaled distance at which a capsule's field ends; (1 - 1/2)**3 = SURFACE
_CAPSULES = 4096  # per batch
_ITEMS = 1 << 16  # sites per batch: stays in cache


def rows_of(planes: I64, nz: int) -> I64:
    """Return, for each z of the box, its position in ``planes``, or -1."""
    rows = np.full(nz, -1, np.int64)
    rows[planes] = np.arange(len(planes))
    return rows


def smooth_field(capsules: Capsules, planes: I64, shape: Shape) -> F32:
    """Return the sum of (1 - q/2)**3 over capsules, q the squared distance in radii; (planes, ny, nx).

    The sum rounds the corners where capsules meet. It is 0 beyond 1.41 radii and SURFACE at one radius.
    """
    field = np.zeros((len(planes), *shape[1:]), np.float32)
    flat = field.reshape(-1)
    for site, q, _ in _sites(capsules, planes, shape, _SUPPORT):
        rest = np.float32(1.0) - q * np.float32(1.0 / _SUPPORT)
        np.add.at(flat, site, rest * rest * rest)
    return field


def rank_field(capsules: Capsules, planes: I64, shape: Shape) -> F32:
    """Return the largest weight among the capsules that cover a site, 0 if none; (planes, ny, nx)."""
    field = np.zeros((len(planes), *shape[1:]), np.float32)
    flat = field.reshape(-1)
    for site, _, weight in _sites(capsules, planes, shape, 1.0):
        np.maximum.at(flat, site, weight)
    return field


def _ramp(counts: I64) -> I64:
    """Return 0, 1, ... counts[0]-1, 0, 1, ... counts[1]-1, ..."""
    ends = np.cumsum(counts)
    return np.asarray(np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts))


def _sites(capsules: Capsules, planes: I64, shape: Shape, limit: float) -> Iterator[tuple[I64, F32, F32]]:
    """Yield flat sites, their q < limit and their capsule's weight, in capsule order."""
    rows = rows_of(planes, shape[0])
    near = capsules.take(_near(capsules, rows, limit))
    for begin in range(0, len(near.radius), _CAPSULES):
        yield from _Slices(near.take(slice(begin, begin + _CAPSULES)), rows, shape, limit).batches()


def _planes_reached(c: Capsules, limit: float) -> tuple[NDArray[np.float64], I64, I64]:
    """Return how far each capsule's field goes, and its first and last plane (not wrapped)."""
    margin = np.maximum(c.radius, c.width) * np.sqrt(limit)
    z0, z1 = c.start[:, 0], c.start[:, 0] + c.span[:, 0]
    low = np.ceil(np.minimum(z0, z1) - margin).astype(np.int64)
    return margin, low, np.floor(np.maximum(z0, z1) + margin).astype(np.int64)


def _near(c: Capsules, rows: I64, limit: float) -> NDArray[np.bool_]:
    """Return which capsules reach any of the planes that have a row."""
    nz = len(rows)
    _, low, high = _planes_reached(c, limit)
    before = np.concatenate([[0], np.cumsum(np.tile(rows >= 0, 2))])
    first = low % nz
    return np.asarray(before[first + np.minimum(high - low + 1, nz)] > before[first])


class _Slices:
    """All (capsule, plane) pairs, each with the rectangle of sites the capsule can reach on that plane."""

    def __init__(self, c: Capsules, rows: I64, shape: Shape, limit: float) -> None:
        self.shape, self.limit = shape, np.float32(limit)
        margin, low, high = _planes_reached(c, limit)
        owner = np.repeat(np.arange(len(margin)), high - low + 1)
        z = low[owner] + _ramp(high - low + 1)
        there = rows[z % shape[0]] >= 0
        self.owner, z = owner[there], z[there]
        self.row = rows[z % shape[0]]
        self.c, self.dz = c, z - c.start[self.owner, 0]
        t0, t1 = self._reached(margin[self.owner])
        self.y0, self.ny = self._range(1, t0, t1, margin[self.owner])
        self.x0, self.nx = self._range(2, t0, t1, margin[self.owner])

    def _reached(self, margin: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the part of each capsule's axis (0-1) that is near enough to the plane."""
        span = self.c.span[self.owner, 0]
        steep = np.abs(span) > 1e-6
        safe = np.where(steep, span, 1.0)
        a, b = (self.dz - margin) / safe, (self.dz + margin) / safe
        first = np.where(steep, np.minimum(a, b), 0.0)
        last = np.where(steep, np.maximum(a, b), 1.0)
        return np.clip(first, 0.0, 1.0), np.clip(last, 0.0, 1.0)

    def _range(
        self, axis: int, t0: NDArray[np.float64], t1: NDArray[np.float64], margin: NDArray[np.float64]
    ) -> tuple[I64, I64]:
        start, span = self.c.start[self.owner, axis], self.c.span[self.owner, axis]
        a, b = start + t0 * span, start + t1 * span
        low = np.ceil(np.minimum(a, b) - margin).astype(np.int64)
        high = np.floor(np.maximum(a, b) + margin).astype(np.int64)
        return low, np.maximum(high - low + 1, 0)

    def batches(self) -> Iterator[tuple[I64, F32, F32]]:
        """Yield the sites of consecutive pairs, about _ITEMS at a time."""
        ends = np.cumsum(self.ny * self.nx)
        total = int(ends[-1]) if len(ends) else 0
        cuts = np.searchsorted(ends, np.arange(_ITEMS, total, _ITEMS))
        bounds = np.unique(np.concatenate([[0], cuts, [len(ends)]]))
        for a, b in zip(bounds[:-1], bounds[1:], strict=True):
            yield self._batch(slice(int(a), int(b)))

    def _batch(self, part: slice) -> tuple[I64, F32, F32]:
        """Return flat sites, q and weight of the sites with q < limit."""
        c, owner = self.c, self.owner[part]
        _, ny, nx = self.shape
        line = np.repeat(np.arange(len(owner)), self.ny[part])  # one line of sites along x
        own = owner[line]
        y = self.y0[part][line] + _ramp(self.ny[part])
        run = self.nx[part][line]
        x0 = self.x0[part][line]
        x = _ramp(run)

        def spread(value: NDArray[np.float64]) -> F32:
            return np.repeat(value.astype(np.float32), run)

        dz, dy = self.dz[part][line], y - c.start[own, 1]
        az, ay, ax = c.span[own].T
        length2 = az * az + ay * ay + ax * ax
        inverse = np.where(length2 > 0.0, 1.0 / np.maximum(length2, 1e-12), 0.0)
        ex = spread(x0 - c.start[own, 2]) + x.astype(np.float32)
        t = spread((dz * az + dy * ay) * inverse) + ex * spread(ax * inverse)
        np.minimum(np.maximum(t, np.float32(0.0), out=t), np.float32(1.0), out=t)
        ez = spread(dz) - t * spread(az)
        ey = spread(dy) - t * spread(ay)
        ex -= t * spread(ax)
        thin = 1.0 / (c.radius[own] * c.radius[own])
        q = (ez * ez + ey * ey + ex * ex) * spread(thin)
        if np.any(c.width != c.radius):
            fz, fy, fx = c.face[own].T
            along = ez * spread(fz) + ey * spread(fy) + ex * spread(fx)
            q += along * along * spread(1.0 / (c.width[own] * c.width[own]) - thin)
        keep = np.flatnonzero(q < self.limit)
        base = np.repeat((self.row[part][line] * ny + y % ny) * nx, run)[keep]
        site = base + (np.repeat(x0, run)[keep] + x[keep]) % nx
        return site, q[keep], spread(c.weight[own])[keep]


def beside(mask: NDArray[np.bool_], below: NDArray[np.bool_], above: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which sites of a plane touch a masked site by face or edge (distance rounds to 0 or 1).

    Args:
        mask: the mask on this plane (ny, nx), or planes (n, ny, nx).
        below: the mask one plane down.
        above: the mask one plane up.
    """
    cross = below | above | mask
    line = mask | np.roll(mask, 1, -1) | np.roll(mask, -1, -1)
    square = line | np.roll(line, 1, -2) | np.roll(line, -1, -2)
    for axis in (-1, -2):
        square |= np.roll(cross, 1, axis) | np.roll(cross, -1, axis)
    return np.asarray(square | cross)


def distance_to(mask: NDArray[np.bool_], planes: I64, wanted: I64, shape: Shape) -> U8:
    """Return the rounded distance in sites to the nearest masked site, around the periodic box.

    Args:
        mask: (len(planes), ny, nx); must hold all planes within REACH of the wanted ones.
        planes: sorted z of the planes of ``mask``.
        wanted: z of the planes to return, a subset of ``planes``.
        shape: the box.

    Returns:
        (len(wanted), ny, nx); FAR where the nearest masked site is more than REACH sites away.
    """
    table = np.full(4 * (REACH + 1) ** 2, FAR, np.uint8)
    table[: REACH**2 + 1] = np.rint(np.sqrt(np.arange(REACH**2 + 1, dtype=np.float64)))
    columns = _column_distance(mask, planes, shape[0])[rows_of(planes, shape[0])[wanted]]
    out = np.empty(columns.shape, np.uint8)
    for plane, column in zip(out, columns, strict=True):
        squared = column.astype(np.uint16) ** 2
        plane[:] = table[_along(_along(squared, 0), 1)]
    return out


def _column_distance(mask: NDArray[np.bool_], planes: I64, nz: int) -> U8:
    """Return the distance along z to the nearest masked site, at most REACH + 1."""
    cap = REACH + 1
    best = np.full(mask.shape, cap, np.uint8)
    gaps = np.diff(planes, append=planes[0] + nz)  # to the next plane, around the box
    for order, gap in ((range(len(planes)), np.roll(gaps, 1)), (range(len(planes) - 1, -1, -1), gaps)):
        running = np.full(mask.shape[1:], cap, np.uint8)
        for row in (*order, *order):  # the second round knows what lies across the border
            running += np.uint8(min(int(gap[row]), cap))
            np.minimum(running, np.uint8(cap), out=running)
            running[mask[row]] = 0
            np.minimum(best[row], running, out=best[row])
    return best


def _along(squared: NDArray[np.uint16], axis: int) -> NDArray[np.uint16]:
    """Return min over k of squared[i + k] + k*k along one periodic axis, exact up to REACH."""
    n = squared.shape[axis]
    padded = np.take(squared, np.arange(-REACH, n + REACH) % n, axis)
    best = squared.copy()
    limit = int(best.max())
    for k in range(1, REACH + 1):
        if k * k >= limit:  # no farther site can be nearer than what every site already has
            break
        for shift in (REACH - k, REACH + k):
            other = padded[shift : shift + n] if axis == 0 else padded[:, shift : shift + n]
            np.minimum(best, other + np.uint16(k * k), out=best)
        if k % 4 == 0:
            limit = int(best.max())
    return best
