"""Donor T cells that see blood cells alone: beside other alloreactive ones, under drugs, as memory, on leukaemia."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import pytest

from abm.cells import Count
from abm.model.body import Body, Dose, residue
from abm.model.body.immunity import _surroundings
from abm.model.body.mortality import CAUSES
from abm.model.body.organs import GVH
from abm.model.body.restricted import RestrictedTCells
from tests.unit.body_case import Person, counts, make_body
from tests.unit.test_residue import STEM

GRAFT = Dose("graft", "marrow", cd34=2e8, cd3=1.75e9)


def with_leukaemia(person: Person, start: float = 1e4, seed: int = 1) -> Body:
    """Return a body in which residual leukaemia is followed."""
    body = make_body(person)
    return Body(body.tables, person, replace(body.scale, leukaemia=replace(STEM, start=start)), seed)


def cells(body: Body) -> RestrictedTCells:
    """Return those of a body."""
    assert body.restricted is not None
    return body.restricted


def grafted(person: Person, days: float = 30.0, start: float = 1e4) -> Body:
    """Return a body some days after a graft on injured tissue."""
    body = with_leukaemia(person, start)
    body.allo.injure(1.0)
    for step in range(round(days * 6)):
        table = counts(body, 4.0, host=0.3, donor=0.7)
        body.advance(4.0, body.day + 4.0 / 24.0, table, [GRAFT] if not step else ())
    return body


def test_they_are_the_share_of_the_usual_pair_and_follow_the_others() -> None:
    """With half of the antigens on blood cells alone, they are half of the alloreactive cells, day by day."""
    body = grafted(Person())
    assert cells(body).precursors == pytest.approx(0.5 * body.allo.precursors[GVH], rel=0.05)
    assert cells(body).effectors == pytest.approx(0.5 * body.allo.effectors[GVH], rel=0.05)
    assert cells(body).effectors > 1e6


def test_pairs_differ_in_them_apart_from_what_they_differ_in_otherwise() -> None:
    usual, harmless, strong = (
        grafted(person) for person in (Person(), Person(alloreactivity=0.01), Person(restricted_alloreactivity=3.0))
    )
    assert harmless.allo.effectors[GVH] < 0.1 * usual.allo.effectors[GVH]
    assert cells(harmless).effectors == pytest.approx(cells(usual).effectors, rel=0.3)
    assert cells(strong).effectors == pytest.approx(3.0 * cells(usual).effectors, rel=0.05)
    assert strong.allo.effectors[GVH] == pytest.approx(usual.allo.effectors[GVH], rel=1e-3)
    assert strong.allo.integrity == pytest.approx(usual.allo.integrity, rel=1e-3)


@pytest.mark.parametrize("donor", ["twin", "autologous"])
def test_own_cells_and_those_of_a_twin_hold_none(donor: str) -> None:
    found = cells(grafted(Person(donor=donor), days=5.0))
    assert (found.precursors, found.effectors, found.memory) == (0.0, 0.0, 0.0)


def test_drugs_hit_those_in_cycle_and_at_rest_apart() -> None:
    found = cells(grafted(Person(), days=20.0))
    before = (found.precursors, found.effectors, found.primed, *found.dividing, found.memory)
    found.survive(0.5, 0.1)
    after = (found.precursors, found.effectors, found.primed, *found.dividing, found.memory)
    shares = [now / was for now, was in zip(after, before, strict=True)]
    assert shares == pytest.approx([0.5, *[0.1] * 5, 0.5])


def test_effectors_leave_memory_that_fades() -> None:
    body = grafted(Person(), days=1.0)
    found, rules = cells(body), body.tables.residue
    assert rules is not None
    found.precursors, found.effectors, found.primed, found.memory = 0.0, 1e6, 0.0, 0.0
    found.dividing[:] = 0.0
    around = replace(_surroundings(body, counts(body, 4.0)[Count.POPULATION]), activation=0.0)
    for _ in range(600):
        found.advance(body.allo, around, 0.0, 4.0)
    death = body.allo.rules.effector_death
    made = rules.memory_share * 1e6 * death / (death - rules.memory_loss)
    assert found.effectors == pytest.approx(0.0, abs=100.0)
    assert found.memory == pytest.approx(made * exp(-rules.memory_loss * 100.0), rel=1e-3)
    was = found.memory
    found.advance(body.allo, around, 0.05 + rules.memory_loss, 24.0)
    assert found.memory == pytest.approx(was * exp(0.05), rel=1e-3)


def test_leukaemia_dies_by_them_without_harm_to_organs() -> None:
    harmless = Person(alloreactivity=1e-6)
    watched, unwatched = grafted(harmless), grafted(replace(harmless, restricted_alloreactivity=0.0))
    assert watched.residue is not None
    assert unwatched.residue is not None
    assert watched.residue.log_growth < unwatched.residue.log_growth - 0.5
    assert watched.allo.grade() == unwatched.allo.grade() == 0


def residual(donor: str, mg: float) -> float:
    """Return ln of what is left of a residue 90 days after a graft of few T cells; mg of nivolumab on day 5."""
    body = with_leukaemia(Person(donor=donor, alloreactivity=0.05, restricted_alloreactivity=0.0), 1e4)
    body.allo.injure(1.0)
    for step in range(90 * 6):
        given = {0: [GRAFT], 30: [Dose("antibody", "nivolumab", mg)]}.get(step, [])
        body.advance(4.0, body.day + 4.0 / 24.0, counts(body, 4.0, host=0.3, donor=0.7), given)
    assert body.residue is not None
    return body.residue.log_growth


def test_a_blocked_checkpoint_lowers_the_residue_where_donor_t_cells_kill_it() -> None:
    """Few of them are enough, so that more by an antibody that itself kills nothing count where they are few."""
    assert residual("sibling", 210.0) < residual("sibling", 0.0) - 0.1
    assert residual("twin", 210.0) == residual("twin", 0.0)


def test_leukaemia_in_numbers_counts_as_one_that_the_patch_shows() -> None:
    """It wakes T cells, threatens the patient, and lymphocytes that wait for a relapse are given."""
    lymphocytes = [Dose("cells", "dli", cd3=1e9, if_blast_fraction=0.05)]
    few, many = (with_leukaemia(Person(), start=share * STEM.full) for share in (0.01, 0.3))
    for body in (few, many):
        body.advance(4.0, 4.0 / 24.0, counts(body, 4.0), ())
        body.advance(4.0, 8.0 / 24.0, counts(body, 4.0), lymphocytes)
    assert residue.share(few) == pytest.approx(0.01, rel=0.1)
    assert residue.share(many) == pytest.approx(0.3, rel=0.1)
    assert cells(few).precursors == 0.0
    assert cells(many).precursors > 0.0
    leukaemia = CAUSES.index("leukaemia")
    assert many.mortality.exposure[leukaemia] > 100.0 * few.mortality.exposure[leukaemia]
