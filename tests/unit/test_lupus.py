"""Lupus: active disease lasts, deep depletion of B cells ends it, plasma cells and vaccines are spared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from abm.cells import ENGINEERED, Kind, Origin, Specificity
from abm.config import Patch, rules_of
from abm.errors import ConfigError
from abm.model.body import Body, Dose, Exposure, Tables, giving, plasma
from abm.model.body.autoimmune import read_autoimmune
from abm.model.body.drugs import DRUG_TARGETS
from abm.model.body.immune import INDEX
from abm.model.body.lupus import ACTIVITY, HELP, LONG, SHORT, VACCINE, Lupus
from abm.model.body.organs import GVH
from abm.model.body.plasma import BLASTS, LONG_LIVED, OLD
from abm.tables import Overlay
from tests.unit.body_case import Person, live, make_body
from tests.unit.table_case import change, copied

B_CELLS = INDEX[Kind.IMMATURE_B]


def patient(donor: str = "autologous", *, triggers: bool = False) -> Body:
    body = make_body(Person(donor=donor), Tables.load(rules_of(Patch(), "sle")))
    if not triggers:
        ill = disease(body)
        ill.rules = replace(ill.rules, trigger_rate=0.0)
    return body


def disease(body: Body) -> Lupus:
    assert isinstance(body.disease, Lupus)
    return body.disease


def after_depletion(left: float, days: float) -> Body:
    body = patient()
    body.lymphocytes.pools[B_CELLS] *= left
    live(body, days, step_h=24.0)
    return body


def test_active_disease_is_a_state_that_lasts() -> None:
    body = patient()
    live(body, 730.0, step_h=24.0)
    seen = body.observables()
    for name in ("nuclear_b", "autoantibody", "interferon", "vaccine_titre"):
        assert seen[name] == pytest.approx(1.0, abs=0.05), name
    assert seen["sledai"] == pytest.approx(12.0, abs=0.5)
    assert seen["sle_flares"] == 0.0


def test_deep_depletion_ends_it_and_b_cells_come_back_without_it() -> None:
    body = after_depletion(1e-3, 365.0)
    seen, healthy = body.observables(), make_body().observables()
    assert seen["b"] > 0.9 * healthy["b"]
    assert seen["nuclear_b"] < 0.05
    assert seen["sledai"] < 2.0
    assert seen["vaccine_titre"] == pytest.approx(1.0, abs=1e-6)
    assert disease(body).course[LONG] > 0.85, "long-lived plasma cells are spared"


def test_depletion_of_half_does_not() -> None:
    assert after_depletion(0.5, 365.0).observables()["sledai"] > 10.0


def test_autoantibody_falls_with_the_half_life_of_igg() -> None:
    """All but what long-lived plasma cells make: from 1 to 0.15, once short-lived plasma cells are gone."""
    found = []
    body = patient()
    for _ in range(3):
        body.lymphocytes.pools[B_CELLS] = 0.0
        live(body, 21.0, step_h=1.0)
        found.append(body.observables()["autoantibody"] - 0.15 * float(disease(body).course[LONG]))
    assert found[2] / found[1] == pytest.approx(0.5, abs=0.02)


def test_two_years_of_triggers_do_not_bring_it_back() -> None:
    body = patient(triggers=True)
    body.lymphocytes.pools[B_CELLS] *= 1e-3
    live(body, 730.0, step_h=24.0)
    assert body.observables()["nuclear_b"] < 0.1
    before = disease(body).course[ACTIVITY]
    assert before < 4.0


def test_ablation_and_autograft_spare_vaccines_in_part() -> None:
    body = patient()
    drugs = [Dose(kind="drug", name=name, amount=1.0) for name in ("cyclophosphamide", "atg")]
    live(body, 5.0, step_h=6.0, doses=drugs)
    live(body, 200.0, step_h=24.0)
    assert body.observables()["sledai"] < 4.0
    # long-lived plasma cells are spared by cyclophosphamide (0.05 log10) more than by ATG (0.15): titres keep 50-100 %
    assert body.observables()["vaccine_titre"] == pytest.approx(10.0 ** -(0.05 + 0.15), rel=0.05)


def test_an_infection_before_the_run_leaves_b_cells_as_reactive_as_stated() -> None:
    found = Tables.load(rules_of(Patch(), "sle"))
    own = Person(donor="autologous")
    fresh = make_body(own, found)
    body = Body(found, own, fresh.scale, 1, exposure=Exposure(-700.0, -690.0))
    body.catch_up(0.0)
    stated = disease(fresh).reactive.of(Kind.IMMATURE_B, Origin.HOST)
    assert disease(body).reactive.of(Kind.IMMATURE_B, Origin.HOST) == stated


def test_drugs_without_a_number_of_their_own_kill_plasma_cells_as_cells_past_their_last_division() -> None:
    drugs = Tables.load(rules_of(Patch(), "sle")).drugs
    kills = {name: [drugs[name].log10_kill[DRUG_TARGETS.index(x)] for x in ("plasma", "maturing")] for name in drugs}
    assert kills["melphalan"][0] == kills["melphalan"][1] > 0.0
    assert kills["cyclophosphamide"][0] < kills["cyclophosphamide"][1]


def test_radiation_kills_helpers_and_young_plasma_cells_and_spares_long_lived_ones() -> None:
    body, untouched = patient(), patient()
    live(body, 1.0, doses=[Dose(kind="radiation", name="tbi", amount=12.0)])
    live(untouched, 1.0)
    left = disease(body).course / disease(untouched).course.clip(1e-9)
    assert max(left[HELP], left[SHORT]) < 0.05
    assert min(left[LONG], left[VACCINE]) > 0.98
    # short-lived ones die as the plasmablasts of all antibody do; both are made again within days
    assert body.plasma.course[BLASTS, Origin.HOST] < 0.05


def test_what_kills_plasma_cells_kills_those_of_lupus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engineered cells against BCMA, and T cells of a donor, which spare all but the blood cells of the patient."""
    body = patient()
    receptor = Specificity.CAR_BCMA
    body.watch = replace(body.watch, classes=(receptor,), plasma=(True,))
    hazard = np.zeros(len(ENGINEERED))
    hazard[ENGINEERED.index(receptor)] = 2.0
    plasma.strike(body, hazard, 1.0)
    left = float(np.exp(-2.0))
    assert body.plasma.course[LONG_LIVED, Origin.HOST] == pytest.approx(left)
    assert disease(body).course[[SHORT, LONG, VACCINE]] == pytest.approx([left] * 3)
    body = patient("sibling")
    monkeypatch.setattr(body.allo, "survival_of_other_side", lambda side, _step_h: 0.5 if side == GVH else 1.0)
    live(body, 10 / 24)
    kept = float(body.plasma.course[OLD, Origin.HOST])
    assert kept < 0.9
    assert disease(body).course[VACCINE] == pytest.approx(kept, rel=0.02)
    body = patient("sibling")
    monkeypatch.setattr(body.allo, "survival_of_other_side", lambda side, _step_h: 1.0 if side == GVH else 0.5)
    live(body, 10 / 24)
    assert disease(body).course[VACCINE] == 1.0, "host T cells against the graft"


def test_cells_of_a_donor_are_not_those_of_the_patient() -> None:
    shares = []
    for donor in ("autologous", "twin", "sibling"):
        body = patient(donor)
        giving.infuse(body, Dose(kind="graft", name="blood", origin=Origin.DONOR, cd34=4e8, cd3=1.4e10))
        shares.append(disease(body).reactive.of(Kind.IMMATURE_B, Origin.DONOR))
    assert shares == [0.05, 0.001, 0.001]


def test_the_course_does_not_depend_on_the_step() -> None:
    found = []
    for step_h in (2.0, 24.0):
        body = patient()
        body.lymphocytes.pools[B_CELLS] *= 0.2
        live(body, 60.0, step_h=step_h)
        found.append(disease(body).course.copy())
    np.testing.assert_allclose(found[0], found[1], rtol=5e-3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("active_share,0.05,", "active_share,0,", r"lupus.csv: active_share: expected a number > 0, found 0"),
        ("born_share,0.001,", "born_share,1.5,", r"born_share: expected at most 1, found 1.5"),
        ("short_lived,5,", "short_lived,0,", r"short_lived: expected a number > 0, found 0"),
        ("help_half,", "help_halve,", r"unknown name 'help_halve' \(did you mean help_half\?\)"),
    ],
)
def test_a_spoilt_table_is_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    base = copied(tmp_path)
    change(base / "diseases" / "sle", "lupus.csv", old, new)
    with pytest.raises(ConfigError, match=message):
        read_autoimmune(Overlay(base, None, base / "diseases" / "sle"))


def test_b_cells_that_cannot_make_up_for_their_loss_are_one_line(tmp_path: Path) -> None:
    base = copied(tmp_path)
    change(base / "diseases" / "sle", "lupus.csv", "expansion,0.1,", "expansion,0.008,")
    with pytest.raises(ConfigError, match=r"lupus.csv expansion: expected more than the turnover of B cells, 0.008/d"):
        make_body(Person(), Tables.load(Overlay(base, None, base / "diseases" / "sle")))


def test_b_cells_killed_for_months_leave_a_share_that_is_a_number() -> None:
    """Cell therapy takes the pool to next to nothing, day by day; what comes after it is new."""
    body = patient()
    for _ in range(120):
        body.lymphocytes.pools[B_CELLS] *= 1e-6
        live(body, 1.0, step_h=24.0)
    body.lymphocytes.pools[B_CELLS] = 0.0
    live(body, 30.0, step_h=24.0)
    assert disease(body).reactive.of(Kind.IMMATURE_B, Origin.HOST) == pytest.approx(0.001, rel=0.05)
    assert np.isfinite(disease(body).course).all()
