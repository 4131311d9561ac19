"""Antibodies: kinetics against closed forms, what cells consume, what is killed and spared, tables and events."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from abm.cells import LOSS_ANTIGENS, Antigen, Cycle, Kind, Origin
from abm.config import Config, rules_of
from abm.config_events import Antibody, Drug, Stop, Timed
from abm.errors import ConfigError
from abm.exactmath import exp
from abm.io.upgrades import UPGRADERS
from abm.model import therapy
from abm.model.body import Dose
from abm.model.body.antibodies import Antibodies, read_antibodies
from abm.model.body.immune import INDEX
from abm.model.unusual import unusual
from abm.state import Snapshot
from tests.unit.body_case import Person, counts, live, make_body, tables
from tests.unit.table_case import FOLDER, change, copied

KNOWN = tables().antibodies
CD33 = LOSS_ANTIGENS.index(Antigen.CD33)


def given(name: str, mg: float, hours: float, antigen: float = 0.0, step_h: float = 1.0) -> float:
    """Return the free concentration some hours after a dose, nmol/L."""
    found = Antibodies(KNOWN, 1.0)
    found.give(name, mg)
    shown = {drug.antigen: antigen for drug in KNOWN.values() if drug.antigen is not None}
    for _ in range(round(hours / step_h)):
        found.advance(shown, step_h)
    return found.concentration(list(KNOWN).index(name))


@pytest.mark.parametrize("name", [name for name, drug in KNOWN.items() if drug.internalisation == 0.0])
def test_concentration_and_occupancy_follow_the_closed_form(name: str) -> None:
    drug = KNOWN[name]
    hours = round(2.0 / drug.elimination)
    start = 100.0 / drug.molar_mass * 1e3 / drug.volume
    expected = start * float(np.exp(-drug.elimination * hours))
    assert given(name, 100.0, hours) == pytest.approx(expected, rel=1e-9)
    assert drug.occupancy(expected) == pytest.approx(expected / (expected + drug.half_occupancy))
    assert drug.occupancy(drug.half_occupancy) == 0.5


def test_an_infusion_reaches_its_steady_state_and_washes_out() -> None:
    """Blinatumomab 28 ug/d: 0.6 (0.1-1.1) ug/L by its label, within hours of its start; none a day after its end."""
    drug, found = KNOWN["blinatumomab"], Antibodies(KNOWN, 1.0)
    found.infuse("blinatumomab", 0.028 / 24)
    for _ in range(48):
        found.advance({}, 1.0)
    steady = 0.028 / 24 / drug.molar_mass * 1e3 / (drug.elimination * drug.volume)
    assert found.concentration(0) == pytest.approx(steady, rel=1e-6)
    assert 0.1 < steady * drug.molar_mass < 1.1
    found.infuse("blinatumomab", 0.0)
    for _ in range(48):
        found.advance({}, 1.0)
    assert found.occupancies()[0] < 1e-3


def test_target_mediated_loss_has_both_limits() -> None:
    """Far below K the loss is first-order and adds to the linear one; far above it is the turnover at saturation."""
    drug, antigen = KNOWN["gemtuzumab"], 10.0
    low = drug.half_occupancy * 1e-6
    first_order = drug.internalisation * antigen / drug.half_occupancy
    assert drug.consumption(low, antigen) / low == pytest.approx(first_order, rel=1e-5)
    saturated = drug.turnover * antigen  # all antigen is bound and comes back at its own turnover
    assert drug.consumption(drug.half_occupancy * 1e6, antigen) == pytest.approx(saturated, rel=1e-5)
    assert drug.consumption(1.0, 0.0) == drug.consumption(0.0, antigen) == 0.0


@pytest.mark.parametrize("mg", [0.9, 16.2])
def test_target_mediated_loss_agrees_with_small_steps(mg: float) -> None:
    coarse, fine = (given("gemtuzumab", mg, 12.0, antigen=8.0, step_h=step) for step in (1.0, 1.0 / 64))
    assert coarse == pytest.approx(fine, rel=0.02, abs=1e-4)
    assert fine < 0.9 * given("gemtuzumab", mg, 12.0)


def test_a_dose_relative_to_the_antigen_lasts_longer() -> None:
    left = [given("gemtuzumab", mg, 24.0, antigen=8.0) / mg for mg in (0.9, 5.4, 16.2)]
    assert left == sorted(left)
    assert left[0] < 0.01 * left[2]


def test_payload_follows_the_closed_form_and_outlives_the_drug() -> None:
    """At saturation a cell takes in its antigen at the turnover; what it holds then decays with its half-life."""
    drug, found, row = KNOWN["gemtuzumab"], Antibodies(KNOWN, 1.0), list(KNOWN).index("gemtuzumab")
    found.give("gemtuzumab", 1e6)
    for hour in range(1, 49):
        found.advance({}, 1.0)
        expected = drug.turnover / drug.payload_loss * (1.0 - np.exp(-drug.payload_loss * hour))
        assert found.payload[row] == pytest.approx(expected, rel=1e-4)
    found.amount[:] = 0.0
    at_end = found.payload[row]
    for _ in range(24):
        found.advance({}, 1.0)
    assert found.payload[row] == pytest.approx(at_end * 0.5, rel=1e-9)
    assert found.acting
    assert found.hazards()[Kind.BLAST, 0, CD33] == pytest.approx(
        0.0755 * found.payload[row] / (found.payload[row] + 0.2)
    )
    for _ in range(24 * 40):
        found.advance({}, 1.0)
    assert not found.acting


def test_a_drug_that_carries_nothing_kills_while_it_is_bound() -> None:
    drug = replace(KNOWN["gemtuzumab"], payload_loss=0.0)
    found = Antibodies({"x": drug}, 1.0)
    found.give("x", 16.2)
    occupied = found.occupancies()[0]
    assert 0.9 < occupied < 1.0
    assert found.hazards()[Kind.BLAST, 0, CD33] == pytest.approx(0.0755 * occupied)


@pytest.mark.parametrize(("mg_per_m2", "least", "most"), [(0.05, 0.5, 2.5), (0.5, 3.0, 7.0), (9.0, 8.0, 20.0)])
def test_a_small_dose_kills_by_what_cells_have_taken_in(mg_per_m2: float, least: float, most: float) -> None:
    """A marrow with 10 nmol of CD33 clears 0.5 mg/m2 within hours, and its cells die over days all the same."""
    found, killed = Antibodies(KNOWN, 1.0), 0.0
    found.give("gemtuzumab", mg_per_m2 * 1.8)
    for _ in range(24 * 20):
        found.advance({Antigen.CD33: 10.0}, 1.0)
        killed += float(found.hazards()[Kind.BLAST, 0, CD33])
    assert least < killed < most


def test_only_cells_that_show_the_antigen_die_and_a_lost_one_spares_them() -> None:
    found = Antibodies(KNOWN, 1.0)
    found.give("gemtuzumab", 16.2)
    assert not found.hazards().any()  # none has taken it in yet
    for _ in range(96):
        found.advance({}, 1.0)
    hazards = found.hazards()
    assert 0.8 * 0.0755 < hazards[Kind.BLAST, Cycle.CYCLING, CD33] < 0.0755
    assert hazards[Kind.NEUTROPHIL, 0, CD33] == pytest.approx(0.5 * hazards[Kind.MONOCYTE, 0, CD33])  # a lower level
    assert hazards[Kind.GMP].any()
    assert not hazards[[Kind.HSC, Kind.MEP, Kind.PRO_B, Kind.CD8_MEMORY, Kind.EMPTY]].any()
    assert not np.delete(hazards, CD33, axis=2).any()


def test_what_no_cell_can_lose_spares_none() -> None:
    drug = replace(KNOWN["gemtuzumab"], loss=len(LOSS_ANTIGENS))
    found = Antibodies({"x": drug}, 1.0)
    found.give("x", 16.2)
    found.advance({}, 1.0)
    assert found.hazards()[Kind.BLAST, 0, -1] > 0.0
    assert not found.hazards()[..., :-1].any()


def test_b_cells_of_the_body_die_while_t_cells_hold_a_receptor_for_them() -> None:
    body, without_t = make_body(), make_body()
    for one in (body, without_t):
        live(one, 1.0, doses=[Dose("infusion", "blinatumomab", 0.028 / 24)])
    start = make_body().lymphocytes.pools
    without_t.lymphocytes.pools[: INDEX[Kind.NK]] = 0.0
    for one in (body, without_t):
        live(one, 3.0)
    b, t = INDEX[Kind.IMMATURE_B], INDEX[Kind.CD8_MEMORY]
    assert body.lymphocytes.pools[b, Origin.HOST] < 0.01 * start[b, Origin.HOST]
    assert without_t.lymphocytes.pools[b, Origin.HOST] > 3.0 * body.lymphocytes.pools[b, Origin.HOST]
    assert body.lymphocytes.pools[t, Origin.HOST] == pytest.approx(start[t, Origin.HOST], rel=0.05)


def test_rituximab_empties_the_b_cells_and_nothing_else() -> None:
    body = make_body()
    start = body.lymphocytes.pools.copy()
    live(body, 4.0, doses=[Dose("antibody", "rituximab", 675.0)])
    b = INDEX[Kind.IMMATURE_B]
    assert body.lymphocytes.pools[b, Origin.HOST] < 0.1 * start[b, Origin.HOST]
    others = [row for row in range(len(start)) if row != b]
    np.testing.assert_allclose(body.lymphocytes.pools[others], start[others], rtol=0.05)
    hazards = body.antibodies.hazards()[..., -1]  # no cell can lose CD20
    assert hazards[Kind.IMMATURE_B, 0] == pytest.approx(2.0 * hazards[Kind.PRE_B, Cycle.CYCLING])
    assert not hazards[[Kind.BLAST, Kind.GMP, Kind.HSC, Kind.PRO_B]].any()
    lymphoma = Antibodies(read_antibodies(rules_of(Config().patch, "dlbcl")), 1.0)
    lymphoma.give("rituximab", 675.0)
    assert lymphoma.hazards()[Kind.BLAST, Cycle.CYCLING, -1] > 0.0


def test_marrow_cells_consume_what_binds_them() -> None:
    full, empty = make_body(), make_body()
    for one, level in ((full, 1.0), (empty, 0.0)):
        table = counts(one, 1.0, host=level)
        for step in range(24):
            doses = [Dose("antibody", "gemtuzumab", 0.9)] if step == 0 else []
            one.advance(1.0, one.day + 1 / 24, table, doses)
    i = list(KNOWN).index("gemtuzumab")
    assert full.antibodies.concentration(i) < 0.1 * empty.antibodies.concentration(i)
    linear = 0.9 / 152 * 1e3 / 5.4 * exp(-KNOWN["gemtuzumab"].elimination * 23)
    assert empty.antibodies.concentration(i) == pytest.approx(linear, rel=1e-6)


def test_state_survives_packing() -> None:
    one, other = make_body(), make_body()
    given = (Dose("infusion", "blinatumomab", 1e-3), Dose("antibody", "nivolumab", 240.0))
    live(one, 2.0, doses=[*given, Dose("antibody", "gemtuzumab", 0.9)])
    assert one.antibodies.payload.any()
    other.unpack(one.pack())
    for body in (one, other):
        live(body, 2.0)
    for name, array in one.pack().items():
        np.testing.assert_array_equal(array, other.pack()[name], err_msg=name)


# ------------------------------------------------------------------------------------------------- tables and events


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gemtuzumab,half_life,-,51.3,h", "gemtuzumab,turnover,CD33,0.2,1/h", "turnover of gemtuzumab stands twice"),
        ("nivolumab,volume,-,6.8,L,label,recalled\n", "", "nivolumab lacks volume: nothing is known of its kinetics"),
        ("half_occupancy,CD33", "half_occupancy,CD32", "unknown name 'CD32' (did you mean CD33?)"),
        ("half_occupancy,CD33", "half_occupancy,CD19", "gemtuzumab has one target; found CD19, CD33"),
        ("half_life,-,51.3,h", "half_life,-,0,h", "expected a number >= 1e-09, found '0'"),
        ("lends,CD4_MEMORY,0.2", "lends,CD4_MEMORY,0.5", "lends has one affinity; found 2"),
        ("lends,CD4_MEMORY", "lends,BLAST", "unknown name 'BLAST'"),
        ("nivolumab,half_life,-,600,h", "nivolumab,half_life,-,25,d", "unknown name 'd'"),
        ("turnover,CD33,0.2", "turnover,CD33,0", "gemtuzumab has only one of internalisation and turnover"),
        ("payload_half,CD33,0.2,1", "payload_half,CD33,0,1", "has only one of payload_half_life and payload_half"),
        ("payload_half_life,CD33,24,h", "payload_half_life,CD33,1,d", "unknown name 'd'"),
        ("half_occupancy,CTLA_4", "half_occupancy,CTLA4", "unknown name 'CTLA4' (did you mean CTLA_4?)"),
    ],
)
def test_a_mistake_in_the_table_is_one_clear_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = copied(tmp_path)
    change(folder, "antibodies.csv", old, new)
    with pytest.raises(ConfigError) as caught:
        read_antibodies(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert f"{folder / 'antibodies.csv'}:" in text
    assert message in text


def test_a_payload_that_no_cell_takes_in_is_an_error(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    for row in ("internalisation,CD33,0.62", "turnover,CD33,0.2"):
        change(folder, "antibodies.csv", row, row[: row.rindex(",")] + ",0")
    with pytest.raises(ConfigError, match="gemtuzumab carries a payload but lacks internalisation: no cell takes it"):
        read_antibodies(folder)


def test_a_checkpoint_of_the_version_before_begins_without_payload() -> None:
    old = {name: array for name, array in make_body().pack().items() if name != "antibodies.payload"}
    new = UPGRADERS[4](Snapshot(3, (8, 4, 4), 0, 8, {}, old)).body
    body = make_body()
    body.unpack(new)
    assert not body.antibodies.payload.any()


def test_a_checkpoint_shows_on_no_cell_and_cannot_be_lent(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    path = folder / "antibodies.csv"
    path.write_text(path.read_text() + "nivolumab,lends,CD8_MEMORY,1,1,wrong,assumption\n")
    with pytest.raises(ConfigError, match="nivolumab acts on cells that show an antigen; PD_1 is none"):
        read_antibodies(folder)


def antibody(**changes: object) -> Antibody:
    event = {"day": 0.0, "action": "antibody", "drug": "blinatumomab", "dose_mg": 0.672, "infusion_h": 672.0}
    return Antibody.model_validate(event | changes)


def doses(*events: Timed, step_h: float = 1.0) -> dict[int, tuple[Dose, ...]]:
    steps = therapy.compile(events, tables(), Person(), 4000, step_h, 0.0)
    return {step: found for step, found in enumerate(steps) if found}


def test_infusions_begin_and_end() -> None:
    found = doses(antibody(doses=2, every_h=1008))
    assert list(found) == [0, 672, 1008, 1680]
    assert found[0] == (Dose("infusion", "blinatumomab", pytest.approx(1e-3)),)
    assert found[672][0].amount == 0.0


def test_an_infusion_that_follows_at_once_goes_on() -> None:
    found = doses(antibody(doses=2, every_h=672))
    assert [dose.amount for dose in found[672]] == [0.0, pytest.approx(1e-3)]
    later = doses(antibody(), antibody(day=28.0))
    assert [dose.amount for dose in later[672]] == [0.0, pytest.approx(1e-3)]


def test_doses_scale_with_weight_and_surface() -> None:
    per_kg = doses(antibody(drug="nivolumab", dose_mg=None, dose_mg_per_kg=3.0, infusion_h=0.0))
    assert per_kg[0] == (Dose("antibody", "nivolumab", pytest.approx(210.0)),)
    per_m2 = doses(antibody(drug="gemtuzumab", dose_mg=None, dose_mg_per_m2=9.0, infusion_h=0.0))
    assert per_m2[0][0].amount == pytest.approx(16.2)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (
            [antibody(), antibody(day=14.0)],
            "events.1.infusion_h: infusion of blinatumomab from hour 336 overlaps with that of events[0] (0 to 672 h)",
        ),
        (
            [antibody(doses=2, every_h=24)],
            "events.0.infusion_h: infusion of blinatumomab from hour 24 overlaps with that of events[0] (0 to 672 h)",
        ),
        (
            [Drug(day=1, action="drug", drug="tacrolimus", level=0.6), Stop(day=1, action="stop", drug="tacrolimus")],
            "events.1.drug: tacrolimus: stop on day 1, but level 0.6 in events[0]",
        ),
        (
            [Drug(day=1, action="drug", drug="tacrolimus", level=level) for level in (0.6, 0.3)],
            "events.1.drug: tacrolimus: level 0.3 on day 1, but level 0.6 in events[0]",
        ),
        ([antibody(drug="nivolumap")], "events.0.drug: nivolumap is not in antibodies.csv (did you mean nivolumab?)"),
    ],
)
def test_events_that_cannot_both_be_meant(events: list[Timed], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        doses(*events)
    assert str(caught.value) == message


def test_exactly_one_dose() -> None:
    with pytest.raises(ValueError, match="exactly one of the dose keys .*; found dose_mg, dose_mg_per_kg"):
        antibody(dose_mg_per_kg=1.0)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({}, None),
        (
            {"dose_mg": 672.0},
            "events.0.dose_mg: found 672 mg, 857 times the usual dose of blinatumomab, 0.028 mg/d (antibodies.csv)",
        ),
        ({"dose_mg": 28.0, "infusion_h": 24.0}, "1e+03 times the usual dose"),
        ({"dose_mg": 0.028, "infusion_h": 0.0}, None),
        ({"drug": "nivolumab", "dose_mg": 240.0, "infusion_h": 1.0}, None),
        ({"drug": "nivolumab", "dose_mg": 3.0, "infusion_h": 1.0}, "0.0143 times the usual dose of nivolumab, 3 mg/kg"),
        ({"drug": "gemtuzumab", "dose_mg": 5.0, "infusion_h": 2.0}, None),
        ({"drug": "rituximab", "dose_mg": 10000.0}, "usual dose of rituximab, 375 mg/m2"),
    ],
)
def test_a_dose_that_seems_to_be_in_another_unit_is_noted(event: dict[str, object], said: str | None) -> None:
    found = [f"{key}: {message}" for key, message in unusual([antibody(**event)], tables())]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_every_antibody_has_a_usual_dose_and_needs_none(tmp_path: Path) -> None:
    for species in ("human", "mouse"):
        assert all(drug.usual for drug in read_antibodies(FOLDER / species).values())
    path = copied(tmp_path) / "antibodies.csv"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if ",usual_dose," not in line))
    own = read_antibodies(tmp_path if path.parent == tmp_path else path.parent)
    assert {name: replace(drug, usual=None) for name, drug in KNOWN.items()}.keys() == own.keys()
    assert not any(drug.usual for drug in own.values())
    assert not list(unusual([antibody(dose_mg=672.0)], replace(tables(), antibodies=own)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("usual_dose,-,0.028,mg/d", "usual_dose,-,28,ug", "unit: unknown name 'ug' (did you mean"),
        ("usual_dose,-,0.028,mg/d", "usual_dose,CD19,0.028,mg/d", "of: unknown name 'CD19'"),
        ("usual_dose,-,0.028,mg/d", "usual_dose,-,0,mg/d", "value: expected a number >= 1e-09"),
        ("blinatumomab,volume,-,4.5,L", "blinatumomab,usual_dose,-,4.5,mg", "usual_dose of blinatumomab stands twice"),
        ("blinatumomab,usual_dose", "someone,usual_dose", "someone has a usual_dose alone"),
    ],
)
def test_a_wrong_usual_dose_is_one_clear_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = copied(tmp_path)
    change(folder, "antibodies.csv", old, new)
    with pytest.raises(ConfigError) as caught:
        read_antibodies(folder)
    assert f"{folder / 'antibodies.csv'}:" in str(caught.value)
    assert message in str(caught.value)


def test_both_species_have_antibodies() -> None:
    for species in ("human", "mouse"):
        assert {drug.target for drug in read_antibodies(FOLDER / species).values()} >= {"PD_1", "CTLA_4"}
