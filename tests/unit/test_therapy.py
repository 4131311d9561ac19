"""The therapy schedule: steps, repetition, order, units, tapering, stopping."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from abm.cells import Kind, Origin, Specificity
from abm.config_events import Cells, Chemo, Drug, Gcsf, Graft, Label, Stop, Tbi, Timed, Treat
from abm.errors import ConfigError
from abm.model import therapy
from abm.model.body import Dose
from abm.model.body.treatment import Plan
from abm.model.unusual import unusual
from tests.unit.body_case import Person, tables

START = -10.0


def schedule(*events: Timed, step_h: float = 1.0, days: float = 200.0) -> dict[int, tuple[Dose, ...]]:
    steps = therapy.compile(events, tables(), Person(), round(days * 24 / step_h), step_h, START)
    assert len(steps) >= round(days * 24 / step_h)
    return {step: doses for step, doses in enumerate(steps) if doses}


def busulfan(**changes: float) -> Chemo:
    return Chemo.model_validate({"day": -7.0, "action": "chemo", "drug": "busulfan", "dose_mg_per_kg": 3.2, **changes})


def test_repeated_doses_become_steps() -> None:
    found = schedule(busulfan(doses=4))
    assert list(found) == [72, 96, 120, 144]
    assert found[72] == (Dose("drug", "busulfan", 0.25),)
    assert list(schedule(busulfan(doses=4, every_h=6), step_h=0.5)) == [144, 156, 168, 180]


def test_doses_are_shares_of_the_reference_course_in_any_accepted_unit() -> None:
    by_area = Chemo(day=0, action="chemo", drug="busulfan", dose_mg_h_per_l=90.0)
    assert schedule(by_area)[240][0].amount == pytest.approx(1.0)
    per_surface = Chemo(day=0, action="chemo", drug="melphalan", dose_mg_per_m2=200.0)
    assert schedule(per_surface)[240][0].amount == pytest.approx(200 / 140)
    assert schedule(busulfan(dose_mg_per_kg=6.4))[72][0].amount == pytest.approx(0.5)


def test_wrong_unit_names_the_accepted_ones() -> None:
    event = Chemo(day=0, action="chemo", drug="busulfan", dose_mg_per_m2=100.0)
    with pytest.raises(ConfigError, match="dose_mg_per_kg or dose_mg_h_per_l") as caught:
        schedule(busulfan(), event)
    assert str(caught.value).startswith("events.1.dose_mg_per_m2: busulfan")


def test_errors_can_be_made_by_the_caller() -> None:
    def error(key: str, message: str) -> ConfigError:
        return ConfigError(message, file="x.toml", line=3, key=key)

    event = Chemo(day=0, action="chemo", drug="ciclosporin", dose_mg_per_kg=3.0)
    with pytest.raises(ConfigError, match=r"^x.toml:3: events.0.drug: ciclosporin acts by its level"):
        therapy.compile([event], tables(), Person(), 1000, 1.0, START, error=error)


def test_cytotoxic_drugs_have_no_level() -> None:
    with pytest.raises(ConfigError, match='action = "chemo"'):
        schedule(Drug(day=0, action="drug", drug="busulfan", level=0.5))


def test_irradiation_is_split() -> None:
    found = schedule(Tbi(day=-3, action="tbi", dose_gy=12.0, fractions=6))
    assert list(found) == [168, 180, 192, 204, 216, 228]
    assert set(found.values()) == {(Dose("radiation", "tbi", 2.0),)}


def stem_and_t_cells(found: dict[int, tuple[Dose, ...]]) -> tuple[float, float]:
    """CD34+ and CD3+ cells of all doses together: stem cells count when they have lodged, T cells at once."""
    doses = [dose for given in found.values() for dose in given]
    return sum(dose.cd34 for dose in doses), sum(dose.cd3 for dose in doses)


def test_graft_and_cells_are_numbers_of_cells() -> None:
    graft = Graft(day=0, action="graft", source="blood", cd34_per_kg=5e6, cd3_per_kg=2e8, t_depletion_log10=2)
    found = schedule(graft)
    assert {(dose.kind, dose.name) for (dose,) in found.values()} == {("graft", "blood")}
    assert stem_and_t_cells(found) == (pytest.approx(3.5e8), pytest.approx(1.4e8))
    infusion = schedule(Cells(day=60, action="cells", product="dli", cd3_per_kg=1e7))
    assert infusion == {1680: (Dose("cells", "dli", cd3=7e8),)}
    if_left = schedule(Cells(day=60, action="cells", product="dli", cd3_per_kg=1e7, if_blast_fraction=0.01))
    assert if_left == {1680: (Dose("cells", "dli", cd3=7e8, if_blast_fraction=0.01),)}


def test_engineered_cells_are_of_the_product_and_not_of_a_donor() -> None:
    event = {"day": 0, "action": "cells", "product": "car_t", "receptor": "CAR_CD33"}
    usual = tables().products["car_t"].dose
    for changes, per_kg in (({}, usual), ({"cells_per_kg": 1e6}, 1e6)):
        found = schedule(Cells.model_validate(event | changes))
        of_product = {"origin": Origin.PRODUCT, "receptor": Specificity.CAR_CD33}
        assert found == {240: (Dose("cells", "car_t", cd3=per_kg * 70, **of_product),)}
    with pytest.raises(ConfigError, match=r"events.0.product: car_u is not in products.csv \(did you mean car_t\?\)"):
        schedule(Cells.model_validate(event | {"product": "car_u"}))


def test_what_a_graft_leaves_open_is_that_of_its_source() -> None:
    usual = tables().sources["marrow"]
    found = schedule(Graft(day=0, action="graft", source="marrow"))
    assert stem_and_t_cells(found) == (pytest.approx(usual.dose["cd34"] * 70), pytest.approx(usual.dose["cd3"] * 70))
    half = Graft(day=0, action="graft", source="marrow", nucleated_per_kg=usual.dose["nucleated"] / 2, cd3_per_kg=1e6)
    assert stem_and_t_cells(schedule(half)) == (pytest.approx(usual.dose["cd34"] * 35), pytest.approx(7e7))


def test_antibodies_against_the_donor_kill_a_graft_before_it_lodges() -> None:
    """All its cells show HLA: many kill a log of them, which keeps neutrophils away for a month; few do little."""
    graft = Graft(day=0, action="graft", source="marrow", cd34_per_kg=3e6, cd3_per_kg=2e7)
    few, some, many = (
        therapy.compile([graft], tables(), Person(donor_antibodies=mfi), 1000, 1.0, START) for mfi in (0.0, 500.0, 5e3)
    )
    stem, t_cells = (
        [sum(getattr(dose, name) for given in found for dose in given) for found in (few, some, many)]
        for name in ("cd34", "cd3")
    )
    assert (stem[0], t_cells[0]) == (pytest.approx(2.1e8), pytest.approx(1.4e9))
    assert stem[1] > stem[0] * 0.8 > stem[0] / 10 > stem[2] > stem[0] / 1000
    assert [cells / t_cells[0] for cells in t_cells] == pytest.approx([cells / stem[0] for cells in stem])


@pytest.mark.parametrize("name", ["cord", "edited"])
def test_stem_cells_of_a_slow_source_arrive_later_and_fewer(name: str) -> None:
    source = tables().sources[name]
    found = schedule(Graft(day=0, action="graft", source=name, cd34_per_kg=1e6, cd3_per_kg=1e4))
    later = 240 + round(source.delay)
    assert list(found) == [240, later]
    assert (found[240][0].cd34, found[240][0].cd3) == (0.0, pytest.approx(7e5))
    assert (found[later][0].cd34, found[later][0].cd3) == (pytest.approx(7e7 * source.seeding), 0.0)


def test_a_potent_graft_brings_more_stem_cells_and_no_more_t_cells() -> None:
    usual, twice = (schedule(Graft(day=0, action="graft", source="blood", potency=p)) for p in (1.0, 2.0))
    (stem, t), (more, same) = stem_and_t_cells(usual), stem_and_t_cells(twice)
    assert (more, same) == (pytest.approx(2.0 * stem), t)


@pytest.mark.parametrize("potency", [0.0, -1.0, 1e3])
def test_a_graft_without_potency_is_refused(potency: float) -> None:
    with pytest.raises(ValidationError, match="potency"):
        Graft(day=0, action="graft", source="blood", potency=potency)


@pytest.mark.parametrize("name", ["marrow", "edited"])
def test_purified_cells_are_numbers_and_hold_no_other_cell(name: str) -> None:
    source = tables().sources[name]
    given = {"day": 0.0, "action": "graft", "source": name, "cells": {"hsc": 200.0, "gmp": 1e4}}
    found = schedule(Graft.model_validate(given))
    doses = [dose for doses in found.values() for dose in doses]
    assert (sum(dose.cd34 for dose in doses), sum(dose.cd3 for dose in doses)) == (0.0, 0.0)
    lodging = [dose for dose in doses if dose.cells]
    assert [dose.cells for dose in lodging] == [
        ((Kind.HSC, 200.0 * source.purified_seeding), (Kind.GMP, 1e4 * source.purified_seeding))
    ]
    assert lodging[0] in found[240 + round(source.delay)]
    with_t = schedule(Graft.model_validate({**given, "cd3_per_kg": 1e6, "t_depletion_log10": 1.0}))
    assert sum(dose.cd3 for doses in with_t.values() for dose in doses) == pytest.approx(70 * 1e5)


def test_purified_cells_that_the_source_does_not_hold_are_named() -> None:
    found = tables()
    content = found.grafts["cord"]
    few = replace(content, enrichment={k: x for k, x in content.enrichment.items() if k is not Kind.GMP})
    event = Graft.model_validate({"day": 0.0, "action": "graft", "source": "cord", "cells": {"gmp": 5.0}})
    with pytest.raises(ConfigError, match=r"^events.0.cells: cord holds no GMP \(grafts.csv\); it has HSC, MPP"):
        therapy.compile([event], replace(found, grafts={**found.grafts, "cord": few}), Person(), 1000, 1.0, START)


def test_two_units_keep_their_origin() -> None:
    units = [Graft(day=0, action="graft", source="cord", donor=whose) for whose in ("first", "second")]
    found = schedule(*units, Cells(day=50, action="cells", product="dli", cd3_per_kg=1e6, donor="second"))
    assert [dose.origin for dose in found[240]] == [Origin.DONOR, Origin.DONOR2]
    assert [dose.origin for dose in found[1440]] == [Origin.DONOR2]


def test_unusual_doses_are_noted_and_given() -> None:
    usual = Graft(day=0, action="graft", source="blood", cd34_per_kg=5e6, cd3_per_kg=2e8)
    huge = Graft(day=0, action="graft", source="blood", cd34_per_kg=5e8, cd3_per_kg=2e8)
    ((key, said),) = unusual([busulfan(), usual, huge], tables())
    assert key == "events.2.cd34_per_kg"
    assert said.startswith("found 5e+08 1/kg, outside 2e+06-1e+07 for blood (sources.csv: Couban 2002; Anasetti 2012")
    assert stem_and_t_cells(schedule(huge))[0] == pytest.approx(3.5e10)


@pytest.mark.parametrize(
    ("dose", "said"),
    [
        (32.0, None),
        (0.32, None),
        (3200.0, "found 3200 mg/kg, 1e+03 times the reference dose of busulfan, 3.2 mg/kg (drugs.csv)"),
        (0.0032, "found 0.0032 mg/kg, 0.001 times the reference dose of busulfan, 3.2 mg/kg (drugs.csv)"),
    ],
)
def test_a_dose_that_seems_to_be_in_another_unit_is_noted(dose: float, said: str | None) -> None:
    expected = [("events.0.dose_mg_per_kg", said)] if said else []
    assert list(unusual([busulfan(dose_mg_per_kg=dose)], tables())) == expected


def test_an_event_that_stands_twice_is_noted() -> None:
    graft = Graft(day=0, action="graft", source="blood")
    assert list(unusual([graft, busulfan(), graft], tables())) == [
        ("events.2.day", "the same event as events[0]; both count")
    ]
    assert not list(unusual([busulfan(), busulfan(day=-6.0)], tables()))


def test_two_doses_of_a_drug_on_one_day_are_noted() -> None:
    first, second = busulfan(day=-6.0, doses=4), busulfan(day=-3.5, dose_mg_per_kg=1.6)
    message = "events[0] gives 3.2 mg/kg of busulfan on day -4, too; both count"
    assert list(unusual([first, second], tables())) == [("events.1.dose_mg_per_kg", message)]
    for other in (second.model_copy(update={"day": -2.0}), busulfan(day=-3.5), busulfan(day=-3.5, doses=2)):
        assert not list(unusual([first, other], tables())), "another day, or a dose that is divided over the day"


def test_stopping_what_was_not_begun_is_noted() -> None:
    stop = Stop(day=5, action="stop", drug="ciclosporin")
    given = Drug(day=-1, action="drug", drug="ciclosporin", level=0.6)
    nothing = [("events.0.drug", "no event gives ciclosporin up to day 5: there is nothing to stop")]
    assert list(unusual([stop, busulfan()], tables())) == nothing
    assert list(unusual([stop, given.model_copy(update={"day": 6.0})], tables())) == nothing
    assert not list(unusual([stop, given], tables()))


def test_unknown_source_is_an_error_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"events.0.source: cords is not in sources.csv \(did you mean cord\?\)"):
        schedule(Graft(day=0, action="graft", source="cords"))


def test_gcsf() -> None:
    found = schedule(Gcsf(day=5, action="gcsf", dose_ug_per_kg=5.0, doses=3))
    assert found == {360 + 24 * i: (Dose("gcsf", "gcsf", 5.0),) for i in range(3)}


def test_label() -> None:
    assert schedule(Label(day=5, action="label", marker="dna")) == {360: (Dose("label", "dna"),)}


def test_level_tapers_to_zero_on_its_last_day() -> None:
    found = schedule(Drug(day=-1, action="drug", drug="ciclosporin", level=0.6, until_day=150, taper_days=60))
    levels = {step / 24 - 10: doses[0].amount for step, doses in found.items()}
    assert levels[-1] == levels[90] == 0.6
    assert levels[120] == pytest.approx(0.3)
    assert levels[149] == pytest.approx(0.01)
    assert levels[150] == 0.0
    assert len(levels) == 62


@pytest.mark.parametrize(
    ("given", "missing"), [({"level": 0.6}, "until_day"), ({"until_day": 100}, "level"), ({}, "level")]
)
def test_prophylaxis_without_a_level_or_an_end_is_refused(given: dict[str, float], missing: str) -> None:
    """Not so for what does not hold T cells down, nor where a stop says how long."""
    event = Drug(day=0, action="drug", drug="ciclosporin", **given)
    with pytest.raises(ConfigError) as caught:
        schedule(event)
    assert str(caught.value) == (
        f"events.0.{missing}: missing; expected a level and an end of ciclosporin: until_day, or a later stop"
    )
    assert schedule(Drug(day=0, action="drug", drug="levofloxacin"))
    ended = schedule(
        Drug(day=0, action="drug", drug="ciclosporin", level=0.6), Stop(day=9, action="stop", drug="ciclosporin")
    )
    assert [doses[0].amount for doses in ended.values()] == [0.6, 0.0]


def test_taper_longer_than_the_course_starts_at_once() -> None:
    found = schedule(Drug(day=0, action="drug", drug="tacrolimus", level=0.8, until_day=10, taper_days=40))
    assert [dose.amount for dose in found[240]] == [0.8, 0.2]


def test_stop_ends_levels_and_planned_doses() -> None:
    course = Drug(day=-1, action="drug", drug="ciclosporin", level=0.6, until_day=150, taper_days=60)
    found = schedule(course, Stop(day=100, action="stop", drug="ciclosporin"))
    assert max(found) == 2640
    assert found[2640] == (Dose("immunosuppression_level", "ciclosporin", 0.0),)
    found = schedule(busulfan(doses=4), Stop(day=-5.5, action="stop", drug="busulfan"))
    assert list(found) == [72, 96]


def treat(drug: str = "prednisolone") -> Treat:
    return Treat(day=5, action="treat", drug=drug, grade=2, level=0.8, days=14, taper_days=56)


def test_a_treatment_is_ordered_once_and_withdrawn_by_a_stop() -> None:
    order = Dose("treatment", "prednisolone", 0.8, plan=Plan(2, 14.0, 56.0))
    assert schedule(treat()) == {360: (order,)}
    found = schedule(treat(), Stop(day=50, action="stop", drug="prednisolone"))
    assert found == {360: (order,), 1440: (Dose("immunosuppression_level", "prednisolone", 0.0),)}


def test_a_treatment_must_act_by_its_level() -> None:
    with pytest.raises(ConfigError, match='methotrexate acts by its dose; give it with action = "chemo"'):
        schedule(treat("methotrexate"))


def test_a_later_level_replaces_what_was_planned() -> None:
    first = Drug(day=0, action="drug", drug="ciclosporin", level=0.6, until_day=100, taper_days=0)
    found = schedule(Drug(day=50, action="drug", drug="ciclosporin", level=0.3, until_day=80), first)
    assert [(step, doses[0].amount) for step, doses in found.items()] == [(240, 0.6), (1440, 0.3), (2160, 0.0)]


def test_order_within_a_step_does_not_depend_on_the_scenario() -> None:
    events = [
        Graft(day=0, action="graft", source="marrow", cd34_per_kg=1e6, cd3_per_kg=1e7),
        Gcsf(day=0, action="gcsf", dose_ug_per_kg=5.0),
        Tbi(day=0, action="tbi", dose_gy=2.0),
        busulfan(day=0),
        Drug(day=0, action="drug", drug="ciclosporin", level=0.6, until_day=90),
    ]
    kinds = [dose.kind for dose in schedule(*events)[240]]
    assert kinds == ["immunosuppression_level", "drug", "radiation", "gcsf", "graft"]
    assert [dose.kind for dose in schedule(*reversed(events))[240]] == kinds


def test_what_falls_behind_the_end_stands_behind_it() -> None:
    """A run may go on to a later day."""
    assert list(schedule(busulfan(doses=4), days=4.5)) == [72, 96, 120, 144]
