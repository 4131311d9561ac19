"""Families of host-reactive T cells in a graft: certain in a whole graft, chance in one nearly free of T cells."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from abm.cells import Origin
from abm.model.body import Dose
from abm.model.body.families import MANY, harvest
from abm.model.body.organs import GVH
from tests.unit.body_case import Person, live, make_body, tables
from tests.unit.test_restricted import with_leukaemia

SEEDS = 3000


@pytest.mark.parametrize("expected", [0.5, 5.0, 40.0])
def test_few_families_vary_about_their_mean(expected: float) -> None:
    """Compound Poisson: variance is the mean square of a size over its squared mean, 24 / 2^2, per family."""
    found = np.array([harvest(expected, seed, 0, 7) for seed in range(SEEDS)])
    spread = sqrt(6.0 / expected)
    assert abs(found.mean() - 1.0) < 4.0 * spread / sqrt(SEEDS)
    assert found.std() == pytest.approx(spread, rel=0.2)
    assert (found == 0.0).mean() == pytest.approx(np.exp(-expected), abs=0.05)


def test_many_families_are_certain() -> None:
    assert harvest(MANY, 1, 0, 1) == harvest(0.0, 1, 0, 1) == 1.0
    assert harvest(0.999 * MANY, 1, 0, 1) == pytest.approx(1.0, abs=0.4)


def test_grafts_of_one_step_and_of_different_steps_have_their_own_families() -> None:
    found = {harvest(5.0, 3, place, turn) for place in (1, 2) for turn in (10, 11)}
    assert len(found) == 4
    assert harvest(5.0, 3, 1, 10) in found


def reactive(cd3: float, seed: int) -> float:
    body = make_body(Person(), seed=seed)
    live(body, 1 / 24, doses=[Dose("graft", "cd34_selected", cd34=3.5e8, cd3=cd3, origin=Origin.DONOR)])
    return float(body.allo.precursors[GVH]) / (cd3 * tables().donors["sibling"].graft_versus_host)


def test_a_graft_brings_the_precursors_of_its_families() -> None:
    assert reactive(2e9, 1) == reactive(2e9, 2) == pytest.approx(1.0)
    assert reactive(2e6, 1) != reactive(2e6, 2)


def restricted(cd3: float, seed: int) -> float:
    """Return precursors that see blood cells alone in a graft of so many T cells, over the expected ones."""
    body = with_leukaemia(Person(), seed=seed)
    live(body, 1 / 24, doses=[Dose("graft", "cd34_selected", cd34=3.5e8, cd3=cd3, origin=Origin.DONOR)])
    assert body.restricted is not None
    return body.restricted.precursors / (cd3 * body.restricted.per_t_cell)


def test_families_of_cells_that_see_blood_alone_are_chance_of_their_own() -> None:
    assert restricted(4e9, 1) == restricted(4e9, 2) == pytest.approx(1.0)
    few = np.array([(restricted(2e6, seed), reactive(2e6, seed)) for seed in range(24)])
    assert (few == 0.0).any(axis=0).all()  # a family or two are expected
    assert (few[:, 0] != few[:, 1]).mean() > 0.5
