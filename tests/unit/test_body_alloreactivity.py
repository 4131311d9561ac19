"""How pairs of donor and patient differ in the cells that recognise each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from abm.cells import Origin
from abm.config import rules_of
from abm.config_models import Patch
from abm.errors import ConfigError
from abm.model.body import Dose, Tables
from abm.model.body.organs import GVH, HVG, ORGANS, Alloimmunity, Surroundings
from abm.model.body.parameters import OrganRules, section
from tests.unit.body_case import Person, counts, live, make_body, tables

GRAFT = Dose("graft", "blood", cd34=3.5e8, cd3=2e10, origin=Origin.DONOR)


def precursors(alloreactivity: float) -> tuple[float, float]:
    body = make_body(Person(alloreactivity=alloreactivity))
    host = float(body.allo.precursors[HVG])
    live(body, 1 / 24, doses=[GRAFT])
    return host, float(body.allo.precursors[GVH])


def test_precursors_of_both_sides_follow_the_pair() -> None:
    usual, strong = precursors(1.0), precursors(5.0)
    assert usual[1] == pytest.approx(2e10 * tables().donors["sibling"].graft_versus_host)
    assert strong == pytest.approx((5.0 * usual[0], 5.0 * usual[1]))
    assert precursors(0.0) == (0.0, 0.0)


def test_more_precursors_than_t_cells_are_refused() -> None:
    found = tables()
    donors = {"sibling": replace(found.donors["sibling"], graft_versus_host=0.2)}
    with pytest.raises(ConfigError, match=r"patient.alloreactivity: expected at most 1 precursor per T cell, found 2"):
        make_body(Person(alloreactivity=10.0), replace(found, donors=donors))


def progeny(direction: int, inflammation: float, unregulated: float = 1.0) -> float:
    """Return the effectors of each primed cell shortly after priming has begun."""
    rules = section(OrganRules, tables().values, 70.0)
    allo = Alloimmunity(rules, tables().donors["sibling"], 1.2e7)
    allo.inflammation, allo.precursors[direction] = inflammation, 1e6
    allo.advance(Surroundings(donor_antigen=1.0, unregulated=unregulated), 1.0)
    return float(allo.effectors[direction] / allo.primed[direction])


def test_a_primed_cell_divides_by_programme_as_far_as_there_is_danger() -> None:
    """All of it where tissue is injured, little where it is intact, none under regulatory cells or in the host."""
    rules = section(OrganRules, tables().values, 70.0)
    assert progeny(GVH, 100.0) == pytest.approx(rules.programmed_burst, rel=0.05)
    intact = 1.0 + (rules.programmed_burst - 1.0) * rules.activation_floor
    assert progeny(GVH, 0.0) == pytest.approx(intact, rel=0.05)
    assert progeny(GVH, 100.0, unregulated=0.0) == pytest.approx(1.0, rel=0.05)
    assert progeny(HVG, 100.0) == pytest.approx(1.0, rel=0.05)


def test_a_small_relapse_wakes_donor_t_cells_nearly_as_a_large_one() -> None:
    rules = section(OrganRules, tables().values, 70.0)
    allo = Alloimmunity(rules, tables().donors["sibling"], 1.2e7)
    floor = rules.activation_floor
    woken = {
        share: (allo.danger(0.0, Surroundings(leukaemia=share)) - floor) / (1.0 - floor)
        for share in (0.0, 0.1 * rules.relapse_half, rules.relapse_half, 1.0)
    }
    assert woken[0.0] == 0.0
    assert woken[rules.relapse_half] == pytest.approx(rules.relapse_danger / 2.0)
    assert woken[0.1 * rules.relapse_half] == pytest.approx(rules.relapse_danger / 11.0)
    assert 0.5 < woken[rules.relapse_half] / woken[1.0] < 0.6


def danger(disease: str, leukaemia: float) -> float:
    """Return what intact tissue, and leukaemia of a disease, that is this share of the marrow, are to donor T cells."""
    found = Tables.load(rules_of(Patch(species="human"), disease))
    allo = Alloimmunity(section(OrganRules, found.values, 70.0), found.donors["sibling"], 1.2e7)
    return allo.danger(0.0, Surroundings(leukaemia=leukaemia))


def test_leukaemia_whose_cells_present_well_wakes_more_t_cells() -> None:
    """CML becomes dendritic cells, Reed-Sternberg cells present; AML, and all others, as the species' table says."""
    usual = danger("none", 0.3)
    assert danger("all", 0.3) == danger("dlbcl", 0.3) == danger("aml_flt3", 0.3) == usual
    for disease in ("cml", "hodgkin"):
        assert danger(disease, 0.0) == danger("none", 0.0), "leukaemia that is gone presents nothing"
        assert 1.1 * usual < danger(disease, 0.3) < 2.0 * usual


def test_leukaemia_holds_t_cells_away_from_tissue_that_is_not_inflamed() -> None:
    """None without leukaemia, to the bit; half of the most at its share for that; none where tissue is injured."""
    rules = section(OrganRules, tables().values, 70.0)
    reach = Alloimmunity(rules, tables().donors["sibling"], 1.2e7).reach
    assert {reach(inflammation, 0.0) for inflammation in (0.0, 0.1, 1.0)} == {1.0}
    assert reach(0.0, rules.leukaemia_hold_half) == pytest.approx(1.0 - rules.leukaemia_hold / 2.0)
    full = rules.leukaemia_hold / (1.0 + rules.leukaemia_hold_half)
    assert reach(0.0, 1.0) == pytest.approx(1.0 - full)
    assert reach(rules.injury_half, 1.0) == pytest.approx(1.0 - full / 2.0)
    assert reach(100.0, 1.0) == pytest.approx(1.0, abs=1e-4)


def test_held_t_cells_inflame_the_marrow_alone() -> None:
    """No more danger than before without leukaemia, to the bit; with it the more, the more of them are held."""
    allo = Alloimmunity(section(OrganRules, tables().values, 70.0), tables().donors["sibling"], 1.2e7)
    free, full = Surroundings(), Surroundings(leukaemia=1.0)
    assert allo.alarm(0.1, free, 1e8) == 0.0
    assert allo.danger(0.1, free, 1e8) == allo.danger(0.1, free)
    assert 0.0 == allo.alarm(0.0, full, 0.0) < allo.alarm(0.0, full, 1e6) < allo.alarm(0.0, full, 1e7)
    assert allo.alarm(1.0, full, 1e7) < 0.2 * allo.alarm(0.0, full, 1e7), "none is held where tissue is inflamed"
    assert allo.danger(0.0, full, 1e7) > 1.1 * allo.danger(0.0, full)


def lost_in_ten_days(inflammation: float, leukaemia: float) -> float:
    """Return the skin that as many effectors kill in ten days."""
    allo = Alloimmunity(section(OrganRules, tables().values, 70.0), tables().donors["sibling"], 1.2e7)
    allo.inflammation, allo.effectors[GVH] = inflammation, 3e7
    for _ in range(20):
        allo.advance(Surroundings(host_apc=0.0, leukaemia=leukaemia), 12.0)
    return float(allo.immune_loss[0])


def test_as_many_t_cells_harm_tissue_less_in_a_relapse_unless_it_is_inflamed() -> None:
    spared = lost_in_ten_days(0.0, 1.0) / lost_in_ten_days(0.0, 0.0)
    harmed = lost_in_ten_days(1.0, 1.0) / lost_in_ten_days(1.0, 0.0)
    assert spared < 0.35
    assert harmed > 0.7


def test_susceptible_tissue_is_lost_in_proportion() -> None:
    usual, tender = (make_body(Person(gvhd_susceptibility=s)).allo.tissue_kill(1e8) for s in (1.0, 3.0))
    assert tender == pytest.approx(3.0 * usual)


def test_tissue_that_dies_fast_is_followed_in_long_steps() -> None:
    """Steps of 8 h, in which all of it would be killed several times over, tell what steps of 1 h tell."""

    def lost(step_h: float) -> list[float]:
        body = make_body(Person(gvhd_susceptibility=20.0, alloreactivity=10.0))
        body.allo.injure(1.0)
        for step in range(round(40 * 24 / step_h)):
            doses = [Dose("graft", "marrow", cd34=2e8, cd3=1.75e9)] if step == 0 else []
            body.advance(step_h, body.day + step_h / 24, counts(body, step_h, host=0.3, donor=0.7), doses)
        return list(body.allo.immune_loss)

    long = lost(8.0)
    assert all(0.9 < loss < 1.0 for loss in long)
    assert long == pytest.approx(lost(1.0), rel=1e-3)


def test_effectors_come_days_after_priming() -> None:
    """Next to none in two days, half of them within a day of the time that their divisions take."""
    allo = Alloimmunity(section(OrganRules, tables().values, 70.0), tables().donors["sibling"], 1.2e7)
    allo.inflammation, allo.precursors[GVH] = 1.0, 1e6
    allo.advance(Surroundings(), 1.0)
    founders = allo.dividing.sum()
    allo.precursors[GVH], through = 0.0, []
    for _ in range(12 * 24):
        allo.advance(Surroundings(host_apc=0.0), 1.0)
        through.append(1.0 - allo.dividing.sum() / founders)
    assert founders > 0.0
    assert through[-1] > 0.95
    assert abs(int(np.searchsorted(through, 0.5)) / 24 - allo.rules.programmed_days) < 1.0
    assert through[24] < 0.05


def test_what_kills_dividing_cells_kills_those_on_their_way_to_effectors() -> None:
    allo = Alloimmunity(section(OrganRules, tables().values, 70.0), tables().donors["sibling"], 1.2e7)
    allo.dividing[:] = 100.0
    allo.survive(HVG, 0.5, 0.1)
    assert allo.dividing.tolist() == [100.0] * 3
    allo.survive(GVH, 0.5, 0.1)
    assert allo.dividing == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("organ", "loss", "grade"),
    [
        ("skin", 0.08, 0),
        ("skin", 0.10, 1),  # an arm, by the rule of nines
        ("skin", 0.39, 1),
        ("skin", 0.41, 2),
        ("skin", 0.81, 4),
        ("gut", 0.24, 0),
        ("gut", 0.33, 2),
        ("gut", 0.35, 3),
        ("liver", 0.31, 2),
        ("liver", 0.51, 3),
    ],
)
def test_the_grade_is_that_of_the_stage_of_an_organ(organ: str, loss: float, grade: int) -> None:
    """Of what T cells have killed: what conditioning has hurt is no graft-versus-host disease."""
    allo = Alloimmunity(section(OrganRules, tables().values, 70.0), tables().donors["sibling"], 1.2e7)
    allo.injury_loss[:] = 0.5
    assert allo.grade() == 0
    allo.immune_loss[ORGANS.index(organ)] = loss
    assert allo.grade() == grade
