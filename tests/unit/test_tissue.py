"""The tissue generator as a function: the same bytes however the planes are asked for, exact distances, clear marks."""

from __future__ import annotations

import hashlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from abm.cells import NICHE_ENDOSTEAL, NICHE_MASK, NICHE_SINUSOIDAL, STROMA_BIT, TISSUE_MASK, Tissue
from abm.errors import ConfigError
from abm.model import tissue, tissue_raster, tissue_shapes
from abm.tables import read_values

RULES = Path(__file__).resolve().parents[2] / "scenarios" / "rules"
SPECIES = ("human", "mouse")
VALUES = {name: read_values(RULES / name / "tissue.csv", tissue.UNITS) for name in SPECIES}
ODD = [(8, 8, 8), (9, 16, 31), (16, 64, 64), (33, 8, 70)]

#: Fixed values, so that retuning the rule tables does not touch the golden digest.
FIXED = {
    "bone_fraction": 0.14,
    "trabecular_separation": 300.0,
    "trabecular_thickness": 80.0,
    "sinusoid_fraction": 0.12,
    "sinusoid_diameter": 30.0,
    "sinusoid_spacing": 80.0,
    "arteriole_diameter": 10.0,
    "arteriole_share": 0.1,
    "adipocyte_fraction": 0.15,
    "adipocyte_diameter": 50.0,
    "stroma_density": 20000.0,
    "stroma_perisinusoidal": 0.6,
    "niche_density": 3000.0,
    "niche_perisinusoidal": 0.85,
}


def make(shape: tuple[int, int, int], seed: int = 1, species: str = "human") -> tissue.TissuePlanes:
    """Return a whole box."""
    return tissue.generate(shape, range(shape[0]), seed, VALUES[species])


def kind(planes: tissue.TissuePlanes) -> NDArray[np.uint8]:
    return planes.label & np.uint8(TISSUE_MASK)


@pytest.mark.parametrize("species", SPECIES)
@pytest.mark.parametrize("shape", [*ODD, (80, 24, 24)], ids=str)
def test_planes_do_not_depend_on_how_they_are_asked_for(shape: tuple[int, int, int], species: str) -> None:
    whole = make(shape, 5, species)
    nz = shape[0]
    splits = [[z] for z in (0, nz // 3, nz - 1)]  # alone
    splits += [list(range(nz // 2)), list(range(nz // 2, nz))]  # two ranks
    splits += [list(range(nz - 1, -1, -1)), [z * 7 for z in range(nz)]]  # backwards, scattered and wrapped
    splits += [list(range(-3, 5)), [2, 2, 0]]  # with a halo, twice the same
    for planes in splits:
        tissue._prepare.cache_clear()  # another rank knows nothing
        part = tissue.generate(shape, planes, 5, VALUES[species])
        where = np.array(planes) % nz
        np.testing.assert_array_equal(part.label, whole.label[where])
        np.testing.assert_array_equal(part.distance, whole.distance[where])


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make((24, 20, 28))
    monkeypatch.setattr(tissue, "_BLOCK_SITES", 1)
    monkeypatch.setattr(tissue_raster, "_ITEMS", 97)
    monkeypatch.setattr(tissue_raster, "_CAPSULES", 5)
    tissue._prepare.cache_clear()
    again = make((24, 20, 28))
    np.testing.assert_array_equal(again.label, whole.label)
    np.testing.assert_array_equal(again.distance, whole.distance)


def test_sampled_levels_are_the_same_for_every_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """A box too large to set the levels on all of its planes (here made so by a smaller sample)."""
    monkeypatch.setattr(tissue, "_SAMPLE_SITES", 1)
    monkeypatch.setattr(tissue, "_BONE_SITES", 1)
    tissue._prepare.cache_clear()
    whole = make((72, 20, 20))
    for planes in (range(30), range(30, 72)):
        tissue._prepare.cache_clear()
        part = tissue.generate((72, 20, 20), planes, 1, VALUES["human"])
        np.testing.assert_array_equal(part.label, whole.label[planes.start : planes.stop])
    tissue._prepare.cache_clear()


def test_bytes_are_the_same_on_every_machine() -> None:
    planes = tissue.generate((32, 40, 24), range(32), 2**63 + 11, FIXED)
    digest = hashlib.sha256(planes.label.tobytes() + planes.distance.tobytes()).hexdigest()
    assert digest == "b70ce66bec9e338e309154579e5718e252d2cda39755fc6efa62710ed3170eb9"


def test_seed_and_size_change_the_tissue() -> None:
    one = make((16, 16, 16)).label
    assert np.any(one != make((16, 16, 16), 2).label)
    assert np.any(one != make((16, 16, 16), 1 + 2**32).label)
    assert one.dtype == np.uint8


@pytest.mark.parametrize("species", SPECIES)
@pytest.mark.parametrize("shape", ODD, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_every_box_has_what_cells_need(shape: tuple[int, int, int], seed: int, species: str) -> None:
    planes = make(shape, seed, species)
    found = tissue.counts(planes.label)
    assert found["marrow"] > 0.4 * planes.label.size
    assert found["bone"] > 0
    assert found["sinusoid"] > 0
    assert found["niche_sinusoidal"] > 0
    assert found["stroma"] > 0


@pytest.mark.parametrize("species", SPECIES)
def test_marks_say_the_truth(species: str) -> None:
    planes = make((40, 36, 32), 3, species)
    label, here = planes.label, kind(planes)
    marrow = here == Tissue.MARROW
    assert not np.any((label & ~np.uint8(TISSUE_MASK)).astype(bool) & ~marrow)
    assert not np.any(label & 0x80)
    near = (label & NICHE_SINUSOIDAL) > 0
    bony = (label & NICHE_ENDOSTEAL) > 0
    assert np.all(planes.distance[near] == 1)
    assert np.all(planes.distance[bony] > 1)
    bone = here == Tissue.BONE
    assert np.all(tissue_raster.beside(bone, np.roll(bone, 1, 0), np.roll(bone, -1, 0))[bony])
    assert np.all(label[(label & NICHE_MASK) > 0] & STROMA_BIT)
    assert np.all((planes.distance == 0) == (here == Tissue.SINUSOID))


def brute_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the distance of every site to the nearest masked one, the shorter way around every axis."""
    best = np.full(mask.shape, np.inf)
    axes = [np.arange(n) for n in mask.shape]
    for site in np.argwhere(mask):
        gaps = [np.abs(a - s) for a, s in zip(axes, site, strict=True)]
        z, y, x = (np.minimum(g, n - g) for g, n in zip(gaps, mask.shape, strict=True))
        np.minimum(best, z[:, None, None] ** 2 + y[:, None] ** 2 + x**2, out=best)
    return np.sqrt(best)


@pytest.mark.parametrize("shape", [(12, 14, 10), (9, 16, 31)], ids=str)
def test_distance_is_the_true_one(shape: tuple[int, int, int]) -> None:
    planes = make(shape, 4)
    np.testing.assert_array_equal(planes.distance, np.rint(brute_distance(kind(planes) == Tissue.SINUSOID)))


@pytest.mark.parametrize("shape", [(90, 7, 9), (7, 90, 9), (9, 7, 90)], ids=str)
def test_distance_is_exact_up_to_its_reach(shape: tuple[int, int, int]) -> None:
    mask = np.zeros(shape, bool)
    mask[3, 2, 5] = True
    planes = np.arange(shape[0])
    found = tissue_raster.distance_to(mask, planes, planes, shape)
    true = brute_distance(mask)
    np.testing.assert_array_equal(found, np.where(true <= tissue_raster.REACH, np.rint(true), tissue_raster.FAR))
    assert np.any(found == tissue_raster.FAR)
    assert np.any(found == tissue_raster.REACH)


def test_a_capsule_is_drawn_where_it_is() -> None:
    one = np.ones(1)
    start, span = np.array([[2.3, 18.5, 3.2]]), np.array([[9.0, 4.0, -6.0]])
    face = np.cross(span, [[0.0, 1.0, 0.0]])
    face /= np.sqrt((face**2).sum())
    shape = (12, 20, 16)
    rod = tissue_shapes.Capsules(start, span, face, 1.5 * one, 3.0 * one, one)
    field = tissue_raster.smooth_field(rod, np.arange(12), shape)
    expected = np.zeros(shape)
    for image in product((-1, 0, 1), repeat=3):
        site = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1) + np.array(image) * shape
        t = np.clip(((site - start) * span).sum(-1) / (span**2).sum(), 0, 1)
        off = site - start - t[..., None] * span
        along = (off * face).sum(-1)
        q = ((off**2).sum(-1) - along**2) / 1.5**2 + along**2 / 3.0**2
        expected += np.maximum(1.0 - q / 2.0, 0.0) ** 3
    np.testing.assert_allclose(field, expected, atol=2e-6)
    ball = tissue_shapes.round_capsules(np.array([[5.0, 5.0, 5.0]]), np.zeros((1, 3)), 2.0 * one, 0.25 * one)
    assert tissue_raster.smooth_field(ball, np.array([5]), shape)[0, 5, 7] == 0.0 + tissue_raster.SURFACE
    ranks = tissue_raster.rank_field(ball, np.arange(12), shape)
    assert np.count_nonzero(ranks) == np.count_nonzero(ranks == 0.25) == 27  # integer points inside radius 2


def test_there_can_be_nothing_of_a_tissue() -> None:
    none = FIXED | dict.fromkeys(("bone_fraction", "sinusoid_fraction", "adipocyte_fraction", "stroma_density"), 0.0)
    planes = tissue.generate((16, 16, 16), range(16), 1, none)
    found = tissue.counts(planes.label)
    assert found["bone"] == found["sinusoid"] == found["adipocyte"] == found["niche_sinusoidal"] == 0
    assert np.all(planes.distance == tissue_raster.FAR)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bone_fraction", -0.1, "bone_fraction: expected 0 to 0.99 fraction, found -0.1"),
        ("sinusoid_spacing", 0.0, "sinusoid_spacing: expected 1 to inf um"),
        ("niche_density", 2e6, "niche_density: expected 0 to 1e"),
        ("adipocyte_fraction", 0.8, "no room for marrow"),
        ("adipocyte_fraction", float("nan"), "found nan"),
    ],
)
def test_impossible_values_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tissue.generate((8, 8, 8), range(8), 1, FIXED | {name: value})
