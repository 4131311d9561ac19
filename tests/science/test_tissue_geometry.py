"""The generated tissue has the declared fractions and densities, and the build of marrow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from abm.cells import TISSUE_MASK, Tissue
from abm.model import tissue
from abm.tables import read_values

pytestmark = pytest.mark.science

RULES = Path(__file__).resolve().parents[2] / "scenarios" / "rules"
SPECIES = ("human", "mouse")
VALUES = {name: read_values(RULES / name / "tissue.csv", tissue.UNITS) for name in SPECIES}
SHAPES = [(32, 32, 32), (32, 64, 48), (64, 64, 64), (40, 32, 96)]
#: Large enough that the levels come from a sample of the planes.
SAMPLED = (160, 96, 128)


def make(shape: tuple[int, int, int], seed: int, species: str) -> tissue.TissuePlanes:
    return tissue.generate(shape, range(shape[0]), seed, VALUES[species])


def is_tissue(planes: tissue.TissuePlanes, which: Tissue) -> NDArray[np.bool_]:
    return np.asarray((planes.label & TISSUE_MASK) == which)


def largest_part(mask: NDArray[np.bool_], connectivity: int) -> float:
    """Return the share of a mask that hangs together around the periodic box."""
    padded = np.pad(mask, ((0, 1),) * 3, mode="wrap")
    labels, n = ndimage.label(padded, ndimage.generate_binary_structure(3, connectivity))
    root = np.arange(n + 1)
    for axis in range(3):
        first, last = np.take(labels, 0, axis), np.take(labels, -1, axis)
        for a, b in set(zip(first[first > 0].tolist(), last[first > 0].tolist(), strict=True)):
            root[root == root[a]] = root[b]
    sizes = np.bincount(root[labels[:-1, :-1, :-1]].reshape(-1), minlength=n + 1)
    return float(sizes[1:].max() / mask.sum())


@pytest.mark.parametrize("species", SPECIES)
@pytest.mark.parametrize("shape", [*SHAPES, SAMPLED], ids=str)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fractions_and_densities_are_the_declared_ones(shape: tuple[int, int, int], seed: int, species: str) -> None:
    values, found = VALUES[species], tissue.counts(make(shape, seed, species).label)
    n = shape[0] * shape[1] * shape[2]
    tolerance = 0.10 if shape == SAMPLED else 0.04  # only a sample decides / to the site, but for whole fat cells
    for name in ("bone", "sinusoid", "adipocyte"):
        assert found[name] / n == pytest.approx(values[f"{name}_fraction"], rel=tolerance), name
    niches = found["niche_sinusoidal"] + found["niche_endosteal"]
    assert niches / n * 1e6 == pytest.approx(values["niche_density"], rel=0.10)
    assert found["niche_sinusoidal"] / niches == pytest.approx(values["niche_perisinusoidal"], abs=0.02)
    assert found["stroma"] / n * 1e6 == pytest.approx(values["stroma_density"], rel=0.08)
    low, high = {"human": (0.55, 0.60), "mouse": (0.64, 0.68)}[species]
    assert low <= found["marrow"] / n <= high


@pytest.mark.parametrize("seed", [1, 2])
def test_default_patch_has_room_for_stem_cells(seed: int) -> None:
    """Enriched mode: about 790 niches on 64**3 sites, 85 % of them within 10 um of a sinusoid (Acar 2015)."""
    planes = make((64, 64, 64), seed, "human")
    niches = (planes.label & 0x30) > 0
    assert niches.sum() == pytest.approx(786, abs=2)
    assert (planes.distance[niches] <= 1).mean() == pytest.approx(0.85, abs=0.01)


@pytest.mark.parametrize("species", SPECIES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_spaces_hang_together(species: str, seed: int) -> None:
    planes = make((64, 64, 64), seed, species)
    assert largest_part(is_tissue(planes, Tissue.SINUSOID), 3) > 0.95
    assert largest_part(is_tissue(planes, Tissue.BONE), 1) > 0.99
    assert largest_part(is_tissue(planes, Tissue.MARROW), 1) > 0.99


@pytest.mark.parametrize("species", SPECIES)
def test_the_box_has_no_seam(species: str) -> None:
    """Labels change as often across the border of the box as inside it."""
    here = make((64, 64, 64), 1, species).label & TISSUE_MASK
    for axis in range(3):
        changes = (here != np.roll(here, 1, axis)).mean(axis=tuple(a for a in range(3) if a != axis))
        assert changes[0] == pytest.approx(changes[1:].mean(), abs=4 * changes[1:].std())


@pytest.mark.parametrize(("species", "farthest"), [("human", 6.0), ("mouse", 4.0)])
def test_marrow_lies_in_cords_between_sinusoids(species: str, farthest: float) -> None:
    """No marrow cell is far from a sinusoid, and few spaces are wider than two cells on each side."""
    planes = make((64, 64, 64), 1, species)
    distance = planes.distance[is_tissue(planes, Tissue.MARROW)]
    assert 1.2 < distance.mean() < 3.0
    assert np.percentile(distance, 99) <= farthest


def test_sinusoids_have_the_declared_calibre() -> None:
    """Inside a straight tube the mean depth below the wall is a third of the radius (plus half a site)."""
    for species in SPECIES:
        lumen = is_tissue(make((64, 64, 64), 1, species), Tissue.SINUSOID)
        depth = ndimage.distance_transform_edt(np.pad(lumen, 8, mode="wrap"))[8:-8, 8:-8, 8:-8][lumen].mean()
        radius = 0.5 * VALUES[species]["sinusoid_diameter"] / 10.0
        assert depth == pytest.approx(radius / 3.0 + 0.5, rel=0.25)


def test_arterioles_run_near_bone() -> None:
    planes = make((64, 64, 64), 2, "human")
    to_bone = ndimage.distance_transform_edt(~np.pad(is_tissue(planes, Tissue.BONE), 32, mode="wrap"))
    to_bone = to_bone[32:-32, 32:-32, 32:-32]
    near = to_bone[is_tissue(planes, Tissue.ARTERIOLE)].mean()
    assert near < 0.6 * to_bone[is_tissue(planes, Tissue.MARROW)].mean()


def test_fat_lies_in_whole_cells() -> None:
    """Opening the fat with a ball of 3 sites leaves most of it: vacuoles of 55 um, not crumbs."""
    fat = is_tissue(make((64, 64, 64), 3, "human"), Tissue.ADIPOCYTE)
    ball = ndimage.generate_binary_structure(3, 1)
    opened = ndimage.binary_opening(np.pad(fat, 8, mode="wrap"), ball)[8:-8, 8:-8, 8:-8]
    assert opened.sum() > 0.85 * fat.sum()
