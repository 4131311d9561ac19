"""A drug that waits for a grade of GVHD."""

from __future__ import annotations

import numpy as np
import pytest

from abm.model.body import Body, Dose
from abm.model.body.treatment import Plan, Treatment
from tests.unit.body_case import live, make_body

STEROID = Dose("treatment", "prednisolone", 0.8, plan=Plan(grade=2, days=4.0, taper_days=2.0))


def level(body: Body) -> float:
    return float(body.drugs.level[body.drugs.index("prednisolone")])


def wounded(loss: float) -> Body:
    """Return a body whose skin, gut and liver have lost this share to effectors, with steroids ordered."""
    body = make_body()
    live(body, 1 / 24, doses=[STEROID])
    body.allo.immune_loss[:] = loss
    return body


def test_nothing_is_given_below_the_grade() -> None:
    body = wounded(0.2)
    assert body.allo.grade() == 1
    live(body, 2)
    assert level(body) == 0.0


def test_a_course_begins_at_the_grade_and_tapers_whatever_becomes_of_it() -> None:
    body = wounded(0.4)
    live(body, 1)
    assert level(body) == 0.8
    body.allo.immune_loss[:] = 0.0
    live(body, 2.9)
    assert level(body) == 0.8
    live(body, 1.1)
    assert level(body) == pytest.approx(0.4, rel=0.05)
    live(body, 1.2)
    assert level(body) == 0.0


def test_the_next_course_may_begin_once_the_taper_is_over() -> None:
    treatment = Treatment(2)
    treatment.plan(1, 1.0, Plan(3, 1.0, 1.0))
    levels = [treatment.advance((3, 0), 12.0) for _ in range(7)]
    assert levels == [[(1, level)] for level in (1.0, 1.0, 1.0, 0.5, 0.0, 1.0, 1.0)]
    assert Treatment(2).advance((4, 4), 1.0) == []


def test_each_drug_waits_for_its_own_complication() -> None:
    treatment = Treatment(3)
    treatment.plan(0, 1.0, Plan(2, 1.0, 0.0))
    treatment.plan(2, 0.5, Plan(3, 1.0, 0.0, "crs"))
    assert treatment.advance((1, 2), 1.0) == []
    assert treatment.advance((2, 2), 1.0) == [(0, 1.0)]
    assert treatment.advance((0, 3), 1.0) == [(0, 1.0), (2, 0.5)]
    treatment.end(0)
    assert treatment.advance((4, 0), 1.0) == [(2, 0.5)]


def test_a_stop_withdraws_the_order_of_its_drug_alone() -> None:
    body = wounded(0.4)
    live(body, 1)
    live(body, 1 / 24, doses=[Dose("immunosuppression_level", "ciclosporin", 0.0)])
    assert level(body) == 0.8
    live(body, 1, doses=[Dose("immunosuppression_level", "prednisolone", 0.0)])
    assert level(body) == 0.0


def test_steroids_spare_tissue() -> None:
    """The same effectors do less harm once killing is inhibited."""
    treated, untreated = wounded(0.4), wounded(0.4)
    untreated.treatment.end(untreated.drugs.index("prednisolone"))
    for body in (treated, untreated):
        body.allo.effectors[0] = 1e9
        live(body, 5)
    assert np.all(treated.allo.immune_loss < 0.9 * untreated.allo.immune_loss)


def test_a_course_goes_on_after_a_restart() -> None:
    body, again = wounded(0.4), make_body()
    live(body, 3)
    again.unpack(body.pack())
    for one in (body, again):
        live(one, 2)
    assert level(again) == level(body)
    assert 0.0 < level(body) < 0.8
