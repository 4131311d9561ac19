"""Pathogenic clones: whole cells by clone, which drugs may extinguish, grafts bring back and naive cells found anew."""

from __future__ import annotations

import numpy as np
import pytest

from abm.cells import N_ORIGINS, Kind, Origin
from abm.model.body.autoimmunity import PoolShares
from abm.model.body.clones import NAIVE, NEW
from abm.model.body.pathogenic import FEW, PathogenicClones, unequal_sizes

CLONES = 2000
HOST, DONOR = Origin.HOST, Origin.DONOR
ALL = slice(None)


def made(cells: float, naive: float = 3e-6, graft: float = 1e-4, seed: int = 3) -> PathogenicClones:
    """Return clones of so many cells each."""
    sizes = np.full(CLONES, cells)
    given = np.append(np.full(CLONES, graft / CLONES), 0.0)
    shares = PoolShares({Kind.CD4_NAIVE: naive}, {Kind.CD4_NAIVE: naive}, {Kind.CD4_NAIVE: naive})
    return PathogenicClones(Kind.CD4_MEMORY, sizes, given, shares, seed)


@pytest.mark.parametrize("kept", [0.02, 0.4, 0.7, 0.98])
def test_cells_survive_one_by_one(kept: float) -> None:
    clones, n = made(100.0), 100.0
    clones.survive(ALL, kept)
    left = clones.cells[:-1, HOST]
    assert (left == np.rint(left)).all()
    assert 0.0 <= left.min() <= left.max() <= n
    rare = min(kept, 1.0 - kept) * n
    assert abs(left.mean() - kept * n) < 4.0 * (rare / CLONES) ** 0.5 + 0.01 * n * (kept < 0.5)
    assert left.std() == pytest.approx(rare**0.5, rel=0.1)


def test_a_lost_clone_stays_lost() -> None:
    clones = made(20.0)
    clones.survive(ALL, 0.05)  # one cell is left on average: exp(-1) of the clones are lost
    assert clones.number / CLONES == pytest.approx(1.0 - np.exp(-1.0), abs=0.04)
    lost = clones.cells[:-1].sum(axis=1) == 0.0
    for _ in range(200):
        clones.advance(0.03, 0.006, 1.0)
    assert (clones.cells[:-1][lost] == 0.0).all()
    assert clones.total > 100.0 * CLONES


def test_small_clones_die_out_by_chance_and_large_ones_do_not() -> None:
    small, large = made(1.0), made(10.0 * FEW)
    for clones in (small, large):
        for _ in range(164):
            clones.advance(0.0, 0.006, 1.0)
    turnovers = 164 * 0.006
    assert small.number / CLONES == pytest.approx(1.0 / (1.0 + turnovers), abs=0.05)  # of a birth and death process
    assert small.total / CLONES == pytest.approx(1.0, abs=0.15)
    assert large.number == CLONES
    np.testing.assert_allclose(large.cells[:-1, HOST], 10.0 * FEW, rtol=1e-3)


def test_of_the_other_side_only_those_origins_die() -> None:
    clones = made(1e5)
    clones.infuse(Kind.CD4_MEMORY, DONOR, 1e12, 1e12)
    clones.survive(slice(HOST, HOST + 1), 0.0)
    assert clones.cells[:, HOST].sum() == 0.0
    assert clones.cells[:, DONOR].sum() == pytest.approx(1e8, rel=1e-3)


def test_an_autograft_brings_clones_back_as_few_as_it_has() -> None:
    clones = made(0.0)
    clones.infuse(Kind.CD4_NAIVE, DONOR, 1e9, 1e9)
    assert clones.total == 0.0
    clones.infuse(Kind.CD4_MEMORY, DONOR, 1e7, 1e7)  # a thousand cells of two thousand clones
    assert clones.total == pytest.approx(1000.0, abs=150.0)
    assert clones.number / CLONES == pytest.approx(1.0 - np.exp(-0.5), abs=0.04)


def test_naive_cells_found_new_clones() -> None:
    clones = made(0.0)
    cells, pool = np.zeros(N_ORIGINS), np.full(N_ORIGINS, 1e12)
    cells[HOST] = 1e9
    clones.enter(Kind.CD4_MEMORY, NEW, cells, pool)
    clones.enter(Kind.CD8_MEMORY, NAIVE, cells, pool)
    assert clones.total == 0.0
    clones.enter(Kind.CD4_MEMORY, NAIVE, cells, pool)
    assert clones.cells[-1, HOST] == pytest.approx(3000.0, rel=0.02)
    assert clones.number == 0
    assert clones.answering(0.1) == pytest.approx(0.1 * clones.total)


def test_a_trigger_shows_a_share_of_the_clones_and_another_one_others() -> None:
    clones = made(10.0)
    seen = []
    for turn in (1, 2):
        clones.show(0.1, turn)
        assert clones.shown.mean() == pytest.approx(0.1, abs=0.03)
        assert clones.answering(0.1) == 10.0 * clones.shown.sum()
        seen.append(clones.shown.copy())
    assert (seen[0] != seen[1]).any()


def test_resident_cells_answer_and_survive_apart() -> None:
    shares = PoolShares({Kind.CD4_NAIVE: 3e-6}, {Kind.CD4_NAIVE: 3e-6}, {Kind.CD4_NAIVE: 3e-6})
    given = np.zeros(CLONES + 1)
    clones = PathogenicClones(Kind.CD4_MEMORY, np.full(CLONES, 100.0), given, shares, 3, 0.1)
    clones.shown[:] = 1.0
    assert clones.answering(0.1) == clones.total == 100.0 * CLONES
    clones.survive(ALL, 0.0)
    clones.advance(0.1, 0.006, 1.0)
    assert clones.total == clones.answering(0.1) == 10.0 * CLONES
    clones.survive_in_tissue(0.1)  # one cell is left on average
    assert clones.number / CLONES == pytest.approx(1.0 - np.exp(-1.0), abs=0.04)
    assert clones.total == clones.resident.sum() == pytest.approx(CLONES, rel=0.1)


def test_who_is_packed_goes_on_alike() -> None:
    first, second = made(30.0), made(1.0)
    first.survive(ALL, 0.5)
    second.unpack(first.pack())
    for clones in (first, second):
        clones.advance(0.02, 0.006, 1.0)
        clones.survive(ALL, 0.3)
    assert (first.cells == second.cells).all()


def test_sizes_fall_with_rank() -> None:
    sizes = unequal_sizes(100, 0.7)
    assert sizes.sum() == pytest.approx(1.0)
    assert sizes[0] / sizes[99] == pytest.approx(100.0**0.7)
    assert unequal_sizes(4, 0.0).tolist() == [0.25] * 4
