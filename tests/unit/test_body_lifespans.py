"""How long blood cells stay once the marrow makes none."""

from __future__ import annotations

import math

import pytest

from abm.cells import Origin
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
