"""The shapes tissue is made of: capsules laid on jittered coarse cells that tile the periodic box.

All positions are in sites, in the order z, y, x. Everything is a pure function of (shape, seed, values):
one Philox draw per coarse cell, and only + - * / sqrt on the way to a position.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import pi, prod, sqrt

import numpy as np
from numpy.typing import NDArray

from abm.exactmath import log
from abm.philox import philox
from abm.streams import Stream

F64 = NDArray[np.float64]
Shape = tuple[int, int, int]

SITE_UM = 10.0  #: edge of a site

# Draw numbers of Stream.TISSUE: for sites (SITE) or for coarse cells.
SITE = 0
_BONE_NODE, _BONE_BEND, _BONE_FACE, _ARTERIOLE = 1, 2, 5, 8  # the last three + axis
_SINUSOID_NODE, _SINUSOID_LINK, _SINUSOID_BEND = 11, 12, 13  # bend + axis
_FAT, _FAT_CLUSTER, _FAT_SIZE = 16, 17, 18

# Shape constants without biological meaning: they make a lattice look grown.
_NODE_JITTER = 0.35  # of a coarse cell, either way
_BEND = 0.3  # shift of the middle of a link, of the smallest cell edge, either way
_STRUT_FILL = 1.1  # volume of struts drawn over bone volume: what is lost where they overlap (measured)
_CALIBRE = 0.2  # tubes and fat cells differ by up to this share of their radius
_FAT_PITCH = 0.9  # spacing of fat-cell candidates, of their diameter
_FAT_ISLAND_UM = 160.0  # size of the areas that are richer or poorer in fat
_ARTERIOLE_GAP = 3.0  # sites between a bone surface and the arteriole along it
_THINNEST = 0.7  # radius in sites below which a drawn tube falls apart


def draw_word(draw: int) -> int:
    """Return the Philox word counter of a draw of the tissue stream."""
    return Stream.TISSUE * 256 + draw


@dataclass(frozen=True)
class Capsules:
    """Rounded rods with an elliptic cross-section; a rod of length 0 is an ellipsoid.

    Attributes:
        start: (n, 3) one end, in sites.
        span: (n, 3) vector to the other end.
        face: (n, 3) unit vector across the rod along which it is ``width`` instead of ``radius``.
        radius: (n,) half of the thin diameter, in sites.
        width: (n,) half of the wide diameter.
        weight: (n,) rank of the rod where only some are used (0-1), else 1.
    """

    start: F64
    span: F64
    face: F64
    radius: F64
    width: F64
    weight: F64

    def take(self, keep: NDArray[np.bool_] | slice) -> Capsules:
        """Return the chosen capsules, in the same order."""
        return Capsules(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


def round_capsules(start: F64, span: F64, radius: F64, weight: F64 | None = None) -> Capsules:
    """Return capsules with a circular cross-section."""
    weight = np.ones_like(radius) if weight is None else weight
    return Capsules(start, span, np.zeros_like(span), radius, radius, weight)


def join(parts: list[Capsules]) -> Capsules:
    """Return all capsules of several sets, in order."""
    return Capsules(*(np.concatenate([getattr(p, name) for p in parts]) for name in Capsules.__dataclass_fields__))


class Cells:
    """A coarse lattice whose cells tile the box exactly: the pitch is rounded to the box."""

    def __init__(self, shape: Shape, pitch: float, seed: int) -> None:
        """Lay cells of about ``pitch`` sites into ``shape``."""
        self.counts = tuple(max(1, round(n / pitch)) for n in shape)
        self.edges = np.array([n / k for n, k in zip(shape, self.counts, strict=True)])
        self.shape = np.array(shape, np.float64)
        self.index = np.arange(prod(self.counts), dtype=np.int64)
        self.coords = np.stack(np.unravel_index(self.index, self.counts), axis=1)
        self.seed = seed

    def draws(self, draw: int) -> F64:
        """Return four uniform numbers in (0, 1) per cell, shape (cells, 4)."""
        words = philox(self.seed, self.index, 0, draw_word(draw))
        return (np.stack(words, axis=1).astype(np.float64) + 0.5) / 4294967296.0

    def points(self, uniform: F64, jitter: float) -> F64:
        """Return one point per cell, off its centre by up to ``jitter`` of the cell edge."""
        moved: F64 = self.coords + 0.5 + jitter * (2.0 * uniform - 1.0)
        return np.asarray(moved * self.edges)

    def links(self, points: F64, axis: int) -> F64:
        """Return the vector from each cell's point to that of the next cell along ``axis``, around the box."""
        grid = points.reshape(*self.counts, 3)
        vector = np.roll(grid, -1, axis) - grid
        last = np.take(vector, [-1], axis)
        last[..., axis] += self.shape[axis]
        np.put_along_axis(vector, np.full_like(last, self.counts[axis] - 1, dtype=np.int64), last, axis)
        return vector.reshape(-1, 3)


def _length(vector: F64) -> F64:
    z, y, x = vector.T
    return np.asarray(np.sqrt(z * z + y * y + x * x), np.float64)


def _across(vector: F64, uniform: F64) -> F64:
    """Return a unit vector at right angles to each ``vector``, in a random direction."""
    other = 2.0 * uniform - 1.0
    unit = vector / np.maximum(_length(vector), 1e-9)[:, None]
    along = other[:, 0] * unit[:, 0] + other[:, 1] * unit[:, 1] + other[:, 2] * unit[:, 2]
    rest = other - along[:, None] * unit
    length: F64 = np.maximum(_length(rest), 1e-9)
    return np.asarray(rest / length[:, None], np.float64)


def _total_length(vectors: Iterable[F64]) -> float:
    """Return the summed length; added as integers, so that the order of summation does not matter."""
    return sum(int(np.rint(_length(v) * 1024.0).astype(np.int64).sum()) for v in vectors) / 1024.0


@dataclass(frozen=True)
class _Bent:
    """Links along one axis, bent once in the middle."""

    start: F64
    first: F64
    second: F64

    def halves(self) -> tuple[tuple[F64, F64], tuple[F64, F64]]:
        """Return start and vector of both halves."""
        return (self.start, self.first), (self.start + self.first, self.second)


def _bent(cells: Cells, points: F64, axis: int, draw: int) -> _Bent:
    span = cells.links(points, axis)
    shift = _BEND * float(cells.edges.min()) * (2.0 * cells.draws(draw)[:, :3] - 1.0)
    return _Bent(points, 0.5 * span + shift, 0.5 * span - shift)


@dataclass(frozen=True)
class _Struts:
    """Trabeculae along one axis."""

    line: _Bent
    radius: float
    width: float


def _bone_cells(shape: Shape, seed: int, values: Mapping[str, float]) -> Cells:
    return Cells(shape, (values["trabecular_separation"] + values["trabecular_thickness"]) / SITE_UM, seed)


def _struts(shape: Shape, seed: int, values: Mapping[str, float]) -> list[_Struts]:
    cells = _bone_cells(shape, seed, values)
    nodes = cells.points(cells.draws(_BONE_NODE)[:, :3], _NODE_JITTER)
    struts = []
    for axis in range(3):
        # A third of the bone runs along each axis; its cross-section follows from the bone fraction.
        area = _STRUT_FILL * values["bone_fraction"] / 3.0 * float(cells.edges.prod() / cells.edges[axis])
        radius = max(_THINNEST, min(0.5 * values["trabecular_thickness"] / SITE_UM, sqrt(area / pi)))
        width = max(radius, area / (pi * radius))
        struts.append(_Struts(_bent(cells, nodes, axis, _BONE_BEND + axis), radius, width))
    return struts


def bone(shape: Shape, seed: int, values: Mapping[str, float]) -> Capsules:
    """Return trabeculae: flat struts between jittered nodes, one per coarse cell of separation + thickness."""
    cells = _bone_cells(shape, seed, values)
    parts = []
    for axis, strut in enumerate(_struts(shape, seed, values)):
        uniform = cells.draws(_BONE_FACE + axis)[:, :3]
        radius, width = (np.full(len(uniform), half) for half in (strut.radius, strut.width))
        for start, span in strut.line.halves():
            parts.append(Capsules(start, span, _across(span, uniform), radius, width, np.ones_like(radius)))
    return join(parts)


def sinusoids(shape: Shape, seed: int, values: Mapping[str, float]) -> Capsules:
    """Return the sinusoid network: every node is linked to one neighbour, and to the others by chance.

    The chance is set so that tubes of the declared diameter fill the declared fraction of the non-bone space.
    """
    cells = Cells(shape, values["sinusoid_spacing"] / SITE_UM, seed)
    node, link = cells.draws(_SINUSOID_NODE), cells.draws(_SINUSOID_LINK)
    points = cells.points(node[:, :3], _NODE_JITTER)
    lines = [_bent(cells, points, axis, _SINUSOID_BEND + axis) for axis in range(3)]
    radius = 0.5 * values["sinusoid_diameter"] / SITE_UM
    link_length = _total_length(half for line in lines for half in (line.first, line.second)) / (3 * len(points))
    # Overlapping tubes: the free share of space is exp(-volume of all tubes).
    space = values["sinusoid_fraction"] / (1.0 - values["bone_fraction"])
    links = -log(1.0 - space) * float(cells.edges.prod()) / (link_length * pi * radius * radius)
    parts = []
    for axis, line in enumerate(lines):
        keep = (np.floor(3.0 * link[:, 0]) == axis) | (link[:, 1 + axis] < (links - 1.0) / 2.0)
        calibre = radius * (1.0 + _CALIBRE * (2.0 * node[keep, 3] - 1.0))
        parts += [round_capsules(start[keep], span[keep], calibre) for start, span in line.halves()]
    return join(parts)


def arterioles(shape: Shape, seed: int, values: Mapping[str, float]) -> Capsules:
    """Return arterioles: thin tubes that run along trabeculae, on the endosteal side of the marrow."""
    sinusoid = values["sinusoid_diameter"] / SITE_UM
    sinusoid_length = values["sinusoid_fraction"] * prod(shape) / (pi * sinusoid * sinusoid / 4.0)
    wanted = sinusoid_length * values["arteriole_share"] / (1.0 - values["arteriole_share"])
    cells, struts = _bone_cells(shape, seed, values), _struts(shape, seed, values)
    copies = wanted / _total_length(half for s in struts for half in (s.line.first, s.line.second))
    radius = max(_THINNEST, 0.5 * values["arteriole_diameter"] / SITE_UM)
    parts = []
    for axis, strut in enumerate(struts):
        uniform = cells.draws(_ARTERIOLE + axis)
        for copy in range(int(copies) + 1):
            keep = uniform[:, 3] < copies - copy
            side = _across(strut.line.first + strut.line.second, (uniform[:, :3] + 0.37 * copy) % 1.0)
            offset = side * (strut.width + _ARTERIOLE_GAP)
            for start, span in strut.line.halves():
                parts.append(round_capsules((start + offset)[keep], span[keep], np.full(int(keep.sum()), radius)))
    return join(parts)


def fat_radius(values: Mapping[str, float]) -> float:
    """Return the radius of the largest fat cells in sites."""
    return 0.5 * values["adipocyte_diameter"] / SITE_UM * (1.0 + _CALIBRE)


def fat(shape: Shape, seed: int, values: Mapping[str, float]) -> Capsules:
    """Return candidate adipocytes, ranked by weight: own chance and that of the area in equal parts."""
    diameter = values["adipocyte_diameter"] / SITE_UM
    cells = Cells(shape, _FAT_PITCH * diameter, seed)
    islands = Cells(shape, _FAT_ISLAND_UM / SITE_UM, seed)
    own, size = cells.draws(_FAT), cells.draws(_FAT_SIZE)[:, 0]
    inside = cells.coords * np.array(islands.counts) // np.array(cells.counts)
    area = islands.draws(_FAT_CLUSTER)[np.ravel_multi_index(tuple(inside.T), islands.counts), 0]
    centre = cells.points(own[:, :3], _NODE_JITTER)
    radius = 0.5 * diameter * (1.0 + _CALIBRE * (2.0 * size - 1.0))
    return round_capsules(centre, np.zeros_like(centre), radius, 0.5 * own[:, 3] + 0.5 * area)
