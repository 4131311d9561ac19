"""A drug that waits for a grade of GVHD."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from abm.model.body import Body, Dose, threats
from abm.model.body.infection import BACTERIA, CMV
from abm.model.body.treatment import Plan, Treatment
from tests.unit.body_case import Person, live, make_body

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


def test_what_is_treated_is_seen_by_who_looks_once_a_day() -> None:
    """Steroids may end a grade within hours; it has been there all the same."""
    body = wounded(0.0)
    body.allo.immune_loss[1] = 0.26  # of the gut: grade II
    live(body, 1 / 24)
    body.allo.immune_loss[:] = 0.0
    live(body, 22 / 24)
    assert body.allo.grade() == 0
    assert body.observables()["gvhd_grade"] == 2.0
    live(body, 4 / 24)
    assert body.observables()["gvhd_grade"] == 0.0


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
    hits, unchecked = (-np.log(1.0 - body.allo.immune_loss) for body in (treated, untreated))  # what is lost saturates
    assert np.all(hits < 0.9 * unchecked)


def test_a_course_goes_on_after_a_restart() -> None:
    body, again = wounded(0.4), make_body()
    live(body, 3)
    again.unpack(body.pack())
    for one in (body, again):
        live(one, 2)
    assert level(again) == level(body)
    assert 0.0 < level(body) < 0.8


def feverish(anc: float) -> Body:
    """Return a body whose infections nobody treats by themselves, with bacteria in it and antibiotics for grade 4."""
    body = make_body(Person(treat_infections=False))
    live(body, 1 / 24, doses=[Dose("treatment", "meropenem", 1.0, plan=Plan(4, 7.0, 0.0, "fever"))])
    body.blood.neutrophils *= anc / body.blood.anc
    body.infections.load[BACTERIA] = 1.0
    return body


@pytest.mark.parametrize(("anc", "grade"), [(4.0, 0), (1.8, 1), (1.2, 2), (0.7, 3), (0.2, 4)])
def test_fever_in_neutropenia_has_the_grade_of_the_neutropenia(anc: float, grade: int) -> None:
    body = feverish(anc)
    assert threats.febrile_neutropenia(body) == 0, "nobody has a fever yet"
    body.infections.began[BACTERIA] = 0.0
    assert threats.febrile_neutropenia(body) == grade
    body.infections.began[:] = np.inf
    body.infections.began[CMV] = 0.0
    assert threats.febrile_neutropenia(body) == 0, "a virus in the blood is none"


def test_antibiotics_begin_with_the_fever_and_clear_what_they_cover() -> None:
    loads = []
    for covered in (0.0, 1.0):
        body = feverish(0.05)
        body.infections.pathogens = (
            replace(body.infections.pathogens[BACTERIA], adapt=0.0),
            *body.infections.pathogens[1:],
        )
        body.infections.began[BACTERIA], body.infections.covered[BACTERIA] = 0.0, covered
        live(body, 1.0, host=0.0)
        assert body.drugs.level[body.drugs.index("meropenem")] == 1.0
        loads.append(float(body.infections.load[BACTERIA]))
    assert loads[0] > 1.0 > loads[1]


def test_without_antibiotics_the_uncovered_and_the_covered_fare_alike() -> None:
    loads = []
    for covered in (0.0, 1.0):
        body = feverish(0.05)
        body.treatment.end(body.drugs.index("meropenem"))
        body.infections.began[BACTERIA], body.infections.covered[BACTERIA] = 0.0, covered
        live(body, 1.0, host=0.0)
        loads.append(float(body.infections.load[BACTERIA]))
    assert loads[0] == loads[1] > 1.0
