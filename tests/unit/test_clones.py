"""Clones: what a sample of a pool holds, how cells that enter change it, and what is measured on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abm.backends import choose
from abm.cells import COLD, Count, Kind, Origin, Specificity
from abm.diversity import chao1, morisita_horn, shannon, simpson
from abm.errors import ConfigError
from abm.io.upgrades import UPGRADERS
from abm.model.body import Body, Dose
from abm.model.body.clones import (
    NAIVE,
    NEW,
    ROWS,
    SAMPLE,
    CloneRules,
    Clones,
    read_clones,
)
from abm.model.body.immune import INDEX, T_CELLS
from abm.state import Snapshot
from abm.step import Simulation
from tests.tiny import tiny_config
from tests.unit.body_case import Person, live, make_body
from tests.unit.table_case import change, copied

GRAFT = Dose(kind="graft", name="blood", origin=Origin.DONOR, cd34=4e8, cd3=2e10)
PERSONS = {Origin.HOST: 0, Origin.DONOR: 1, Origin.DONOR2: 2, Origin.PRODUCT: 1}
EVEN = dict.fromkeys(ROWS, CloneRules(1e8, 0.0))


def cells(*sizes: int) -> np.ndarray:
    """Return a sample with clones of these sizes."""
    return np.repeat(np.arange(1.0, len(sizes) + 1.0), sizes)


def test_measures_are_those_of_the_textbook() -> None:
    sample = cells(4, 2, 1, 1)
    p = np.array([4, 2, 1, 1]) / 8
    assert shannon(sample) == pytest.approx(-(p * np.log(p)).sum())
    assert simpson(sample) == pytest.approx(1 - (p**2).sum())
    assert chao1(sample) == pytest.approx(4 + 2 * 1 / (2 * 2))
    assert (shannon(cells(8)), simpson(cells(8)), chao1(cells(8))) == (0.0, 0.0, 1.0)
    assert (shannon(cells()), simpson(cells()), chao1(cells())) == (0.0, 0.0, 0.0)
    assert shannon(cells(*[1] * 50)) == pytest.approx(np.log(50))


def test_overlap_is_one_of_the_same_and_nothing_of_strangers() -> None:
    sample = cells(4, 2, 1, 1)
    assert morisita_horn(sample, sample) == pytest.approx(1.0)
    assert morisita_horn(sample, np.tile(sample, 3)) == pytest.approx(1.0)
    assert morisita_horn(sample, sample + 100.0) == 0.0
    assert morisita_horn(sample, np.zeros(8)) == 0.0
    half = np.array([1.0, 1.0, 9.0, 9.0])
    assert morisita_horn(half, np.array([1.0, 1.0, 5.0, 5.0])) == pytest.approx(2 * 0.25 / (0.5 + 0.5))


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.0])
def test_sizes_fall_with_the_rank_as_stated(exponent: float) -> None:
    """Share of the clones of rank below k, against the sum over ranks (a fit by an integral: within some percent)."""
    n, k = 1e5, 100
    rules = dict.fromkeys(ROWS, CloneRules(n, exponent))
    ranks = np.concatenate([Clones(rules, seed, PERSONS).ids[0, 0] % 2.0**42 for seed in range(40)])
    assert ranks.min() >= 1
    assert ranks.max() <= n
    size = np.arange(1, n + 1) ** -exponent
    expected = size[:k].sum() / size.sum()
    found = (ranks <= k).mean()
    assert abs(found - expected) < 4 * np.sqrt(expected / ranks.size) + 0.06 * expected


def test_new_cells_replace_their_share_of_the_sample() -> None:
    clones = Clones(EVEN, 3, PERSONS)
    row, before = ROWS.index(Kind.CD4_NAIVE), clones.ids.copy()
    pool, entering = np.array([1e9, 0, 0, 0]), np.array([1e7, 0, 0, 0])
    for _ in range(25):
        clones.enter(Kind.CD4_NAIVE, NEW, entering, pool)
        clones.settle()
    changed = clones.ids[row, Origin.HOST] != before[row, Origin.HOST]
    assert clones.made == 64 == int(25 * SAMPLE * 0.01)
    assert 50 <= changed.sum() <= 64, "a slot may be replaced twice"
    assert np.unique(clones.ids[row, Origin.HOST][changed]).size == changed.sum(), "each is a clone of its own"
    others = np.ones_like(before, bool)
    others[row, Origin.HOST] = False
    assert (clones.ids[others] == before[others]).all()


def test_naive_cells_bring_their_clones_into_the_memory_pool() -> None:
    clones = Clones(EVEN, 3, PERSONS)
    naive, memory = (clones.ids[ROWS.index(k), Origin.HOST] for k in (Kind.CD8_NAIVE, Kind.CD8_MEMORY))
    assert not np.isin(memory, naive).any()
    clones.enter(Kind.CD8_MEMORY, NAIVE, np.array([5e8, 0, 0, 0]), np.array([1e9, 0, 0, 0]))
    clones.settle()
    assert np.isin(memory, naive).sum() == SAMPLE // 2


def test_a_graft_brings_the_donors_clones_and_an_autograft_the_patients() -> None:
    overlap = {}
    for donor in ("sibling", "autologous"):
        body = make_body(Person(donor=donor))
        assert body.observables()["cd8_overlap_start"] == pytest.approx(1.0)
        assert body.observables()["cd8_overlap_graft"] == 0.0
        body.lymphocytes.pools[:, Origin.HOST] *= 1e-4
        live(body, 1 / 24, doses=[GRAFT])
        seen = body.observables()
        overlap[donor] = seen["cd8_overlap_start"]
        assert seen["cd8_overlap_graft"] > 0.9
    assert overlap["sibling"] == 0.0
    assert overlap["autologous"] > 0.2


@pytest.mark.parametrize("seed", range(6))
def test_diversity_falls_when_memory_cells_make_up_the_blood_and_returns_from_the_thymus(seed: int) -> None:
    """In each of six patients: by chance alone once in 64 times. How far the estimate of Chao falls varies twofold."""
    adult = make_body(Person(age_years=20.0))
    body = Body(adult.tables, Person(age_years=20.0), adult.scale, seed)
    whole = body.observables()
    naive = [INDEX[Kind.CD4_NAIVE], INDEX[Kind.CD8_NAIVE]]
    body.lymphocytes.pools[naive] *= 1e-4
    poor = body.observables()
    live(body, 365 * 2, step_h=24.0)
    later = body.observables()
    for measure in ("cd8_shannon", "cd8_chao1"):
        assert poor[measure] < whole[measure]
        assert poor[measure] < later[measure]
    assert 0.0 < later["cd8_overlap_start"] < 1.0


def test_cells_carry_a_clone_of_their_pool() -> None:
    body = make_body()
    n = 4000
    arrivals = [(Kind.CD8_MEMORY, Origin.HOST, Specificity.NONE, n), (Kind.NK, Origin.HOST, Specificity.NONE, 3)]
    found = body.clones_of(arrivals)
    assert found.size == n + 3
    assert not found[n:].any()
    largest = np.unique(body.clones.ids[ROWS.index(Kind.CD8_MEMORY), Origin.HOST], return_counts=True)[1].max() / SAMPLE
    assert abs(np.unique(found[:n], return_counts=True)[1].max() / n - largest) < 5 * np.sqrt(largest / n)
    cmv = body.clones_of([(Kind.CD8_MEMORY, Origin.HOST, Specificity.CMV, n)])
    assert np.isin(cmv, found[:n]).mean() < 0.2, "another receptor class is another clone"
    assert (body.clones_of(arrivals) == found).all()


def test_clones_ride_in_the_cold_word_and_through_a_checkpoint() -> None:
    sim = Simulation.start(tiny_config(), choose("auto")[0])
    shift = next(f.shift for f in COLD if f.name == "clone")
    hot, cold = sim.lattice.owned("mot_hot"), sim.lattice.owned("mot_cold")
    held = (cold >> np.uint32(shift) & np.uint32(0xFFFF))[(hot & np.uint32(63)) == Kind.CD4_NAIVE]
    assert held.size > 5
    assert np.unique(held).size == held.size, "of 1e8 naive clones no two are alike"
    for _ in range(20):
        sim.advance()
    again = Simulation.restore(sim.config, sim.backend, sim.snapshot())
    assert (again.body.clones.ids == sim.body.clones.ids).all()
    assert again.observables() == sim.observables()
    assert sim.last[Count.POPULATION].sum() > 0


def test_an_older_checkpoint_has_no_clones() -> None:
    counts = np.zeros((10, 64, 4), np.int64)
    body = {"last_counts": counts, "output.flux": counts, "blood.neutrophils": np.ones(5)}
    new = UPGRADERS[2](Snapshot(3, (8, 4, 4), 0, 8, {}, body)).body
    clones = Clones(EVEN, 1, PERSONS)
    clones.unpack({name: new[f"clones.{name}"] for name in Clones.STATE})
    assert not clones.repertoire(np.ones((len(INDEX), 4))).any()
    assert set(T_CELLS) < set(ROWS)


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        ("CD8_MEMORY,1e5,1,1", "CD8_MEMORY,0,1,1", "clones", "expected a number >= 1 and <= 1e+12, found '0'"),
        ("CD8_MEMORY,1e5,1,1", "CD8_MEMORY,1e5,1.5,1", "exponent", "expected a number >= 0 and <= 1, found '1.5'"),
        ("CD8_MEMORY,1e5,1,1", "NK,1e5,1,1", "kind", "unknown name 'NK'"),
        ("CD8_MEMORY,1e5,1,1", "CD4_MEMORY,1e5,1,1", "kind", "CD4_MEMORY stands twice"),
        ("CD8_MEMORY,1e5,1,1", "CD8_MEMORY,1e5,1,cells", "unit", "unknown name 'cells'"),
    ],
)
def test_a_mistake_names_file_and_line(tmp_path: Path, old: str, new: str, key: str, said: str) -> None:
    folder = copied(tmp_path)
    line = change(folder, "clones.csv", old, new)
    with pytest.raises(ConfigError) as error:
        read_clones(folder)
    assert str(error.value).startswith(f"{folder / 'clones.csv'}:{line}: {key}: ")
    assert said in str(error.value)


def test_a_pool_without_a_row_is_said(tmp_path: Path) -> None:
    path = copied(tmp_path) / "clones.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("TREG")), encoding="utf-8")
    with pytest.raises(ConfigError, match="missing: TREG"):
        read_clones(path.parent)
