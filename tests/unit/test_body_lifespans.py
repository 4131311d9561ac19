"""How long blood cells stay once the marrow makes none."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from abm.cells import Kind, Origin
from abm.model.body.blood import COLUMNS, Blood, usual_platelets
from abm.model.body.numerics import total
from tests.unit.body_case import live, make_body


@pytest.mark.parametrize(("name", "low", "high"), [("anc", 7, 19), ("eosinophils", 18, 26)])
def test_half_life_of_granulocytes(name: str, low: float, high: float) -> None:
    body = make_body()
    before = body.observables()[name]
    live(body, 1.0, host=0.0)
    half_life_h = 24 / math.log2(before / body.observables()[name])
    assert low < half_life_h < high


def test_lifespans() -> None:
    body = make_body()
    live(body, 30, step_h=2.0, host=0.0)
    assert body.blood.rules.red_cell_lifespan == 116
    assert body.blood.platelet_transfusions > 0
    own = total(body.blood.platelets[:, Origin.HOST]) / 1.5e12
    assert own < 0.001
    assert 0.70 < total(body.blood.red_cells[:, Origin.HOST]) / (2.1e11 * 115) < 0.80  # 1 - 28.5 / 115, at first


def mean_stay(age: float, stages: int, used: float) -> float:
    """Return the mean life of cells that die of age, in equal stages, or are used up at a constant rate per day."""
    return (1.0 - (1.0 + used * age / stages) ** -stages) / used


def test_platelets_are_used_up_whatever_their_number() -> None:
    """Hanson & Slichter, Blood 1985: they live 9.6 +- 0.6 d, 7.0 +- 1.5 d at 50-100 and 5.1 +- 1.9 d below."""
    rules = make_body().blood.rules
    found = total(usual_platelets(rules))
    used = rules.platelet_requirement * 1e9 * rules.blood_volume / found
    assert found == pytest.approx(rules.platelet_production * mean_stay(10.5, 16, used), rel=1e-9)
    assert 9.0 < found / rules.platelet_production < 10.2
    for count, least, most in ((30.0, 3.2, 7.0), (75.0, 5.5, 8.5)):
        used = rules.platelet_requirement / (count / (1.0 - rules.platelet_splenic_share))
        assert least < mean_stay(10.5, 16, used) < most


def test_of_few_platelets_as_many_are_used_up_as_of_many() -> None:
    rules = replace(make_body().blood.rules, platelet_lifespan=1e9)  # age apart
    nobody = dict.fromkeys(
        (Kind.NEUTROPHIL, Kind.MONOCYTE, Kind.EOSINOPHIL, Kind.BLAST, Kind.LSC, Kind.PLATELET_FORMING_MK,
         Kind.RETICULOCYTE),
        np.zeros(4),
    )  # fmt: skip
    for count in (20.0, 200.0):
        blood = Blood(rules)
        blood.platelets = blood.platelets * (count / blood.platelet_count)
        blood.advance(nobody, np.zeros(4), 0.0, 1.0)
        expected = rules.platelet_requirement / 24 * (1.0 - rules.platelet_splenic_share)
        assert count - blood.platelet_count == pytest.approx(expected, rel=0.01)
    blood.platelets = np.zeros((16, COLUMNS))
    blood.advance(nobody, np.zeros(4), 0.0, 24.0)
    assert blood.platelet_count == 0.0
