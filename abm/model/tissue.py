"""Static tissue of a marrow patch: bone, sinusoids, arterioles, fat, reticular cells and HSC niches.

:func:`generate` is a pure function of (site, shape, seed, values), so ranks make their own planes and agree.
Each tissue is the region where a field made of random shapes exceeds a level; the level is the quantile that
gives the declared volume fraction or density on planes spread over the box (on all of them if the box is
small), and so are the thresholds of the niche and stroma draws. Where tissues overlap, the order is
bone, sinusoid, arteriole, adipocyte, marrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf

import numpy as np
from numpy.typing import NDArray

from abm.cells import NICHE_ENDOSTEAL, NICHE_SINUSOIDAL, STROMA_BIT, TISSUE_MASK, Tissue
from abm.errors import ConfigError
from abm.model import tissue_shapes as shapes
from abm.model.tissue_raster import (
    F32,
    I64,
    REACH,
    SURFACE,
    U8,
    beside,
    distance_to,
    rank_field,
    rows_of,
    smooth_field,
)
from abm.model.tissue_shapes import SITE_UM, Capsules, Shape
from abm.philox import philox

#: Entries of ``tissue.csv`` and their units.
UNITS: Mapping[str, str] = {
    "bone_fraction": "fraction",
    "trabecular_separation": "um",
    "trabecular_thickness": "um",
    "sinusoid_fraction": "fraction",
    "sinusoid_diameter": "um",
    "sinusoid_spacing": "um",
    "arteriole_diameter": "um",
    "arteriole_share": "fraction",
    "adipocyte_fraction": "fraction",
    "adipocyte_diameter": "um",
    "stroma_density": "1/mm3",
    "stroma_perisinusoidal": "fraction",
    "niche_density": "1/mm3",
    "niche_perisinusoidal": "fraction",
}

_SITE_MM3 = (SITE_UM / 1000.0) * (SITE_UM / 1000.0) * (SITE_UM / 1000.0)
_BLOCK_SITES = 1 << 22  # work on this many sites at a time
_SAMPLE_SITES = 1 << 20  # levels are set on about this many sites
_SAMPLE_SLAB = 2  # planes
_SAMPLE_SLABS = 8  # at least, spread over z
_BONE_SITES = 1 << 22  # the bone level is set on this many
_BONE_PLANES = 16  # and on at least so many planes


@dataclass(frozen=True)
class TissuePlanes:
    """Tissue of some planes.

    Attributes:
        label: uint8 (planes, ny, nx), tissue byte (low four bits Tissue, then niche and stroma bits).
        distance: uint8 (planes, ny, nx), sites to the nearest sinusoid site, rounded: 0 inside, 1 for sites that
            touch it by face or edge; 255 beyond tissue_raster.REACH sites.
    """

    label: U8
    distance: U8


@dataclass(frozen=True)
class _Levels:
    """Field levels (float) and largest accepted site draws (int, -1 accepts none)."""

    bone: float
    sinusoid: float
    fat: float
    niche: tuple[int, int]  # beside a sinusoid, beside bone only
    stroma: tuple[int, int]  # beside a sinusoid, elsewhere


@dataclass(frozen=True)
class _Plan:
    """All shapes of a box."""

    shape: Shape
    seed: int
    values: Mapping[str, float]
    bone: Capsules
    sinusoids: Capsules
    arterioles: Capsules
    fat: Capsules

    @property
    def fat_halo(self) -> int:
        """Planes around a plane that decide about its fat cells: their centres and a site around."""
        return int(shapes.fat_radius(self.values)) + 3


def generate(
    shape: tuple[int, int, int], z_planes: Sequence[int] | range, seed: int, values: Mapping[str, float]
) -> TissuePlanes:
    """Return the tissue of some planes of a periodic box.

    Args:
        shape: sites of the whole box (nz, ny, nx).
        z_planes: planes to make (at least one), in any order; taken modulo nz, so
            halo planes may be asked for as they come.
        seed: 64-bit seed of the run.
        values: entries of ``tissue.csv`` by name (see UNITS).

    Returns:
        The planes, in the order of ``z_planes``.
    """
    plan, levels = _prepare((shape[0], shape[1], shape[2]), seed, tuple((name, float(values[name])) for name in UNITS))
    asked = np.asarray(z_planes, np.int64).reshape(-1) % shape[0]
    wanted = np.unique(asked)
    planes = _around(wanted, max(REACH, plan.fat_halo), shape[0])
    frame = _frame(plan, planes, levels)
    chosen = plan.fat.weight.astype(np.float32) >= np.float32(levels.fat)  # as in the field
    fat = plan.fat.take(chosen & _fat_fits(plan, frame, planes))
    label = np.empty((len(wanted), *shape[1:]), np.uint8)
    step = max(1, _BLOCK_SITES // (shape[1] * shape[2]))
    for begin in range(0, len(wanted), step):
        block = slice(begin, begin + step)
        label[block] = _fill(plan, frame, planes, wanted[block], (fat, levels.fat))
        _mark(plan, frame, planes, wanted[block], label[block], levels)
    order = np.searchsorted(wanted, asked)
    sinusoid = frame == Tissue.SINUSOID
    del frame
    return TissuePlanes(label[order], distance_to(sinusoid, planes, wanted, shape)[order])


@lru_cache(maxsize=1)
def _prepare(shape: Shape, seed: int, items: tuple[tuple[str, float], ...]) -> tuple[_Plan, _Levels]:
    values = dict(items)
    _check(values)
    made = (make(shape, seed, values) for make in (shapes.bone, shapes.sinusoids, shapes.arterioles, shapes.fat))
    plan = _Plan(shape, seed, values, *made)
    return plan, _calibrate(plan)


def _check(values: Mapping[str, float]) -> None:
    """Refuse values that describe no tissue."""
    for name, unit in UNITS.items():
        low, high = {"um": (1.0, inf), "fraction": (0.0, 0.99), "1/mm3": (0.0, 1.0 / _SITE_MM3)}[unit]
        if not low <= values[name] <= high:
            raise ConfigError(
                f"expected {low:g} to {high:g} {unit}, found {values[name]:g}", file="tissue.csv", key=name
            )
    solid = values["bone_fraction"] + values["sinusoid_fraction"] + values["adipocyte_fraction"]
    if solid > 0.9:
        raise ConfigError(f"bone, sinusoids and fat fill {solid:g} of the patch: no room for marrow", file="tissue.csv")


def _around(planes: I64, halo: int, nz: int) -> I64:
    """Return the sorted planes within ``halo`` of any of ``planes``, around the box."""
    reach = np.arange(-min(halo, nz), min(halo, nz) + 1)
    return np.unique((planes[:, None] + reach) % nz)


def _frame(plan: _Plan, planes: I64, levels: _Levels) -> U8:
    """Return bone and sinusoids on ``planes``; everything else is marrow."""
    label = np.zeros((len(planes), *plan.shape[1:]), np.uint8)
    step = max(1, _BLOCK_SITES // (plan.shape[1] * plan.shape[2]))
    for begin in range(0, len(planes), step):
        block = slice(begin, begin + step)
        _paint(label[block], smooth_field(plan.bone, planes[block], plan.shape), levels.bone, Tissue.BONE)
        field = smooth_field(plan.sinusoids, planes[block], plan.shape)
        _paint(label[block], field, levels.sinusoid, Tissue.SINUSOID)
    return label


def _paint(label: U8, field: F32, level: float, tissue: Tissue) -> None:
    """Label the marrow sites where the field reaches the level."""
    label[(field >= np.float32(level)) & (label == Tissue.MARROW)] = tissue


def _fill(plan: _Plan, frame: U8, planes: I64, wanted: I64, fat: tuple[Capsules, float]) -> U8:
    """Return the frame of the wanted planes with arterioles and fat (cells and level)."""
    label = frame[rows_of(planes, plan.shape[0])[wanted]]
    _paint(label, smooth_field(plan.arterioles, wanted, plan.shape), SURFACE, Tissue.ARTERIOLE)
    _paint(label, rank_field(fat[0], wanted, plan.shape), fat[1], Tissue.ADIPOCYTE)
    return label


def _fat_fits(plan: _Plan, frame: U8, planes: I64) -> NDArray[np.bool_]:
    """Return which fat cells have their centre and its six neighbours in marrow (false on planes not given)."""
    nz, ny, nx = plan.shape
    z, y, x = np.rint(plan.fat.start).astype(np.int64).T
    rows = rows_of(planes, nz)
    fits = np.ones(len(z), bool)
    for dz, dy, dx in ((0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)):
        row = rows[(z + dz) % nz]
        fits &= (row >= 0) & (frame[row, (y + dy) % ny, (x + dx) % nx] == Tissue.MARROW)
    return fits


@dataclass(frozen=True)
class _Marrow:
    """Marrow sites of some planes: where they are, what they touch, and their two draws."""

    index: tuple[NDArray[np.intp], ...]
    sinusoid: NDArray[np.bool_]
    bone: NDArray[np.bool_]
    niche: I64
    stroma: I64


def _marrow(plan: _Plan, frame: U8, planes: I64, wanted: I64, label: U8) -> _Marrow:
    nz, ny, nx = plan.shape
    rows = rows_of(planes, nz)
    index = np.nonzero(label == Tissue.MARROW)
    touch = {}
    for tissue in (Tissue.SINUSOID, Tissue.BONE):
        here, below, above = (frame[rows[(wanted + dz) % nz]] == tissue for dz in (0, -1, 1))
        touch[tissue] = beside(here, below, above)[index]
    site = (wanted[index[0]] * ny + index[1]) * nx + index[2]
    niche, stroma, _, _ = philox(plan.seed, site, 0, shapes.draw_word(shapes.SITE))
    signed = (niche.astype(np.int64), stroma.astype(np.int64))  # -1 must be below every draw
    return _Marrow(index, touch[Tissue.SINUSOID], touch[Tissue.BONE], *signed)


def _niches(marrow: _Marrow, levels: tuple[int, int]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the niches beside a sinusoid and those beside bone alone."""
    near = marrow.sinusoid & (marrow.niche <= levels[0])
    return near, marrow.bone & ~marrow.sinusoid & (marrow.niche <= levels[1])


def _mark(plan: _Plan, frame: U8, planes: I64, wanted: I64, label: U8, levels: _Levels) -> None:
    """Set the niche and stroma bits of marrow sites in place.

    Every niche holds a reticular cell: nearly all HSC touch Cxcl12-high cells (Acar, Nature 2015).
    """
    marrow = _marrow(plan, frame, planes, wanted, label)
    near, bony = _niches(marrow, levels.niche)
    stroma = near | bony | (marrow.stroma <= np.where(marrow.sinusoid, *levels.stroma))
    bits = near * NICHE_SINUSOIDAL + bony * NICHE_ENDOSTEAL + stroma * STROMA_BIT
    label[marrow.index] |= bits.astype(np.uint8)


def _calibrate(plan: _Plan) -> _Levels:
    """Set all levels on sample planes, one after the other, as each tissue leaves room for the next."""
    nz, ny, nx = plan.shape
    slabs = max(_SAMPLE_SLABS, _SAMPLE_SITES // (_SAMPLE_SLAB * ny * nx))
    starts = np.arange(slabs) * nz // slabs
    wanted = np.unique((starts[:, None] + np.arange(_SAMPLE_SLAB)) % nz)
    planes = _around(wanted, plan.fat_halo, nz)
    bone = _bone_level(plan)
    frame = np.zeros((len(planes), ny, nx), np.uint8)
    _paint(frame, smooth_field(plan.bone, planes, plan.shape), bone, Tissue.BONE)
    field = smooth_field(plan.sinusoids, planes, plan.shape)
    sinusoid = _paint_share(frame, field, plan.values["sinusoid_fraction"], Tissue.SINUSOID)
    candidates = plan.fat.take(_fat_fits(plan, frame, planes))
    label = _fill(plan, frame, planes, wanted, (candidates, inf))
    field = rank_field(candidates, wanted, plan.shape)
    fat = _paint_share(label, field, plan.values["adipocyte_fraction"], Tissue.ADIPOCYTE)
    marrow = _marrow(plan, frame, planes, wanted, label)
    niche = _niche_levels(marrow, plan.values, label.size)
    return _Levels(bone, sinusoid, fat, niche, _stroma_levels(marrow, plan.values, label.size, niche))


def _bone_level(plan: _Plan) -> float:
    """Set the bone level on more planes than the rest: trabeculae are large, so few planes are a poor sample."""
    nz, ny, nx = plan.shape
    n = min(nz, max(_BONE_PLANES, _BONE_SITES // (ny * nx)))
    field = smooth_field(plan.bone, np.arange(n) * nz // n, plan.shape)
    return _paint_share(np.zeros(field.shape, np.uint8), field, plan.values["bone_fraction"], Tissue.BONE)


def _paint_share(label: U8, field: F32, share: float, tissue: Tissue) -> float:
    """Label the share of all sites where the field is highest, and return the level."""
    free = field[(label == Tissue.MARROW) & (field > 0.0)]
    count = min(round(share * label.size), free.size)
    level = float(np.partition(free, free.size - count)[free.size - count]) if count else inf
    _paint(label, field, level, tissue)
    return level


def _niche_levels(marrow: _Marrow, values: Mapping[str, float], sites: int) -> tuple[int, int]:
    total = max(1, round(values["niche_density"] * _SITE_MM3 * sites))
    near = max(1, round(values["niche_perisinusoidal"] * total))
    bony = marrow.bone & ~marrow.sinusoid
    return _lowest(marrow.niche[marrow.sinusoid], near), _lowest(marrow.niche[bony], total - near)


def _stroma_levels(marrow: _Marrow, values: Mapping[str, float], sites: int, niche: tuple[int, int]) -> tuple[int, int]:
    """Share out the reticular cells that are not at a niche."""
    total = values["stroma_density"] * _SITE_MM3 * sites
    near, bony = _niches(marrow, niche)
    free = ~(near | bony)
    share = values["stroma_perisinusoidal"]
    return (
        _lowest(marrow.stroma[free & marrow.sinusoid], round(share * total) - int(near.sum())),
        _lowest(marrow.stroma[free & ~marrow.sinusoid], round((1.0 - share) * total) - int(bony.sum())),
    )


def _lowest(draws: I64, count: int) -> int:
    """Return the level that accepts ``count`` draws (all, if there are fewer; -1 for none)."""
    count = min(count, draws.size)
    return int(np.partition(draws, count - 1)[count - 1]) if count > 0 else -1


def counts(label: U8) -> dict[str, int]:
    """Return how many sites there are of each tissue, niche and stroma."""
    found = {tissue.name.lower(): int(np.count_nonzero((label & TISSUE_MASK) == tissue)) for tissue in Tissue}
    for name, bit in (
        ("niche_endosteal", NICHE_ENDOSTEAL),
        ("niche_sinusoidal", NICHE_SINUSOIDAL),
        ("stroma", STROMA_BIT),
    ):
        found[name] = int(np.count_nonzero(label & bit))
    return found
