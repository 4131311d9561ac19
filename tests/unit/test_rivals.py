"""Two donors in one patient: T cells of each see the other, kill its blood cells, and one of them takes all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from abm import read_outs, resources
from abm.backends.numpy_backend import NumpyBackend
from abm.cells import Antigen, Kind, Origin, Specificity
from abm.config import load_config
from abm.errors import ConfigError
from abm.io.upgrades import without_rivals
from abm.model.body import Body, Dose, Watch, giving, receptors
from abm.model.body.immune import T_CELLS
from abm.model.body.organs import GVH
from abm.model.body.rivals import RIVALS, Rivals, presented
from abm.model.rules import load_rules
from abm.step import Simulation
from abm.well_mixed import WellMixed
from tests.tiny import tiny_config
from tests.unit.body_case import AGENTS, Person, counts, live, make_body, tables

SCENARIOS = resources.folder("scenarios")
SECOND = {"action": "graft", "source": "cord", "cd34_per_kg": 1.5e5, "cd3_per_kg": 3e6, "day": 0.0, "donor": "second"}


def patient(person: Person | None = None, seed: int = 1) -> Body:
    """A body that will get cells of two donors."""
    body = make_body(person or Person(donor="cord"), seed=seed)
    return Body(body.tables, body.patient, body.scale, seed, Watch(rivals=True))


def rivals_of(body: Body) -> Rivals:
    assert body.rivals is not None
    return body.rivals


def grafted(person: Person | None = None, cd3: tuple[float, float] = (3e8, 3e8)) -> Body:
    body = patient(person)
    for origin, cells in zip(RIVALS, cd3, strict=True):
        live(body, 1 / 24, doses=[Dose("graft", "cord", cd3=cells, origin=origin)])
    return body


def population(first: int, second: int) -> np.ndarray:
    table = counts(make_body(), 1.0)[0] * 0
    table[Kind.MYELOCYTE, [Origin.DONOR, Origin.DONOR2]] = first, second
    return table


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_receptors_see_the_other_donor_and_nobody_else(species: str) -> None:
    rules = load_rules(SCENARIOS / "rules" / species)
    masks = rules.recognition.masks(rules.kinds, donor_is_self=False)[0].reshape(4, 64)
    for of, seen in ((Specificity.FIRST_DONOR, Origin.DONOR), (Specificity.SECOND_DONOR, Origin.DONOR2)):
        sees = masks & rules.recognition.receptors[of] != 0
        assert sees[seen, Kind.HSC]
        assert [origin for origin in Origin if sees[origin].any()] == [seen]
    alike = rules.recognition.masks(rules.kinds, donor_is_self=True)[0]
    minor = sum(1 << Antigen[f"{which}_DONOR{end}"] for which in ("FIRST", "SECOND") for end in ("", "_II"))
    assert not (alike & minor).any(), "two donors of the patient's own kind do not differ"


@pytest.mark.parametrize(
    ("person", "watch"), [(Person(donor="cord"), Watch()), (Person(donor="twin"), Watch(rivals=True))]
)
def test_nobody_is_seen_without_a_second_donor_or_a_difference(person: Person, watch: Watch) -> None:
    body = make_body(person)
    body = Body(body.tables, person, body.scale, 1, watch)
    assert body.rivals is None
    assert not [name for name in body.pack() if name.startswith("rivals.")]
    seen = body.observables()
    assert (seen["first_against_second"], seen["second_against_first"]) == (0.0, 0.0)


def test_pairs_differ_each_way_by_the_published_spread() -> None:
    usual = tables().donors["cord"].graft_versus_host
    drawn = np.log([rivals_of(patient(seed=seed)).per_t_cell for seed in range(150)]) - np.log(usual)
    assert np.median(drawn) == pytest.approx(0.0, abs=0.25)
    assert drawn.std() == pytest.approx(1.4, rel=0.15)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.25, "one way says nothing of the other"


def test_a_graft_brings_precursors_of_its_own_side_alone() -> None:
    body = patient()
    rivals = rivals_of(body)
    giving.give(body, Dose("graft", "cord", cd3=2e8, origin=Origin.DONOR2))
    assert rivals.precursors.tolist() == [0.0, 2e8 * rivals.per_t_cell[1]]
    giving.give(body, Dose("cells", "treg", cd3=2e8, origin=Origin.DONOR))
    assert rivals.precursors[0] == 0.0, "regulatory cells attack nobody"


def test_presentation_is_full_long_before_the_marrow_is() -> None:
    body = patient()
    assert presented(body, population(0, 0)) == (0.0, 0.0)
    of_second, of_first = presented(body, population(AGENTS // 2, AGENTS // 50))
    assert of_first > 0.95
    assert of_second == pytest.approx(0.5, rel=0.01)


def test_without_the_other_donor_nobody_is_woken() -> None:
    body = patient()
    live(body, 1 / 24, doses=[Dose("graft", "cord", cd3=3e8, origin=Origin.DONOR)])
    before = rivals_of(body).precursors[0]
    live(body, 5.0, host=0.0, donor=1.0)
    assert rivals_of(body).effectors.tolist() == [0.0, 0.0]
    assert rivals_of(body).precursors[0] <= before


def test_effectors_kill_the_other_donors_lymphocytes_and_their_share_of_those_against_the_host() -> None:
    hit, spared = grafted(), grafted()
    rivals_of(hit).effectors[0] = 1e8
    for body in (hit, spared):
        body.allo.precursors[GVH] = 1e6
        live(body, 1 / 24)
    first, second = hit.lymphocytes.cells(T_CELLS)[[*RIVALS]] / spared.lymphocytes.cells(T_CELLS)[[*RIVALS]]
    rules = hit.allo.rules
    kill = rules.blood_kill * 1e8 / (rules.blood_kill_half + 1e8) / 24
    assert first == pytest.approx(1.0, abs=1e-4)
    assert second == pytest.approx(np.exp(-kill), rel=1e-3)
    assert rivals_of(hit).precursors[1] / rivals_of(spared).precursors[1] == pytest.approx(np.exp(-kill), rel=1e-3)
    left = hit.allo.precursors[GVH] / spared.allo.precursors[GVH]
    assert left == pytest.approx((1.0 + np.exp(-kill)) / 2.0, rel=1e-3), "half of the T cells are of the second"


def test_host_rejection_kills_both_sides() -> None:
    hit, spared = grafted(), grafted()
    hit.allo.effectors[1] = 1e9
    for body in (hit, spared):
        live(body, 1.0)
    assert (rivals_of(hit).precursors < 0.7 * rivals_of(spared).precursors).all()


def test_pool_cells_that_enter_the_marrow_know_the_other_donor() -> None:
    body = grafted()
    found = {
        (kind, origin): dict(receptors.shares(body, kind, origin, receptors.alloreactive(body)))
        for kind in (Kind.CD8_NAIVE, Kind.CD4_NAIVE, Kind.TREG)
        for origin in (Origin.HOST, *RIVALS)
    }
    assert found[Kind.CD8_NAIVE, Origin.DONOR][Specificity.SECOND_DONOR] > 0.0
    assert found[Kind.CD4_NAIVE, Origin.DONOR2][Specificity.FIRST_DONOR_II] > 0.0
    known = {*found[Kind.CD8_NAIVE, Origin.HOST], *found[Kind.TREG, Origin.DONOR]}
    assert not known & {Specificity.FIRST_DONOR, Specificity.SECOND_DONOR}


def test_effectors_travel_and_those_that_find_no_site_wait() -> None:
    body = grafted()
    rivals_of(body).effectors[:] = 1e9, 0.0
    live(body, 0.5, donor=0.1)
    sent = [a for a in body.lymphocyte_arrivals() if a[2] is Specificity.SECOND_DONOR and a[0] is Kind.CD8_EFFECTOR]
    assert [a[1] for a in sent] == [Origin.DONOR]
    waits = rivals_of(body).waiting[0]
    body.settle(sent)
    assert rivals_of(body).waiting[0] == waits + sent[0][3]


def test_one_of_two_units_takes_all_by_its_t_cells_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gutman, Blood 2010: CD8 T cells of the unit that stays see the one that goes; without them both stay."""
    config = load_config(SCENARIOS / "cord_double.toml", ["time.step_min=360", "time.end_day=100"], 9)

    def share() -> float:
        body = WellMixed(config)
        while not body.over:
            body.advance()
        seen = body.body.observables()
        return seen["donor2_myeloid"] / seen["donor_myeloid"]

    assert share() > read_outs.DOMINANT
    monkeypatch.setattr("abm.model.body.rivals.start", lambda _: None)
    assert 0.3 < share() < 0.5


def test_the_state_is_kept_and_older_checkpoints_begin_without() -> None:
    config = tiny_config(patient={"donor": "cord"}, events=[SECOND])
    whole = Simulation.start(config, NumpyBackend()).snapshot()
    old = replace(whole, body={k: v for k, v in whole.body.items() if not k.startswith("rivals.")})
    assert len(whole.body) - len(old.body) == len(Rivals.STATE)
    new = without_rivals(old)
    assert {k: v.shape for k, v in new.body.items()} == {k: v.shape for k, v in whole.body.items()}
    Simulation.restore(config, NumpyBackend(), new).advance()
    single = Simulation.start(tiny_config(), NumpyBackend()).snapshot()
    assert without_rivals(single) is single


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ('donor = "cord"', "cord"),
        ('donor = "cord"\ndonors_match = 8', "unrelated"),
        ('donor = "cord"\ndonors_match = 7', "mismatched"),
        ('donor = "cord"\ndonors_match = 5', "cord"),
        ('donor = "sibling"', "sibling"),
        ('donor = "sibling"\ndonors_match = 4', "haplo"),
    ],
)
def test_the_match_between_donors_chooses_the_row(tmp_path: Path, text: str, row: str) -> None:
    path = tmp_path / "case.toml"
    path.write_text(f"[patient]\n{text}\n", encoding="utf-8")
    assert load_config(path).patient.between_donors == row


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('donor = "cord"\ndonors_match = 3', "expected a whole number >= 4 and <= 8 (of 8), found 3"),
        ('donor = "cord"\ndonors_match = 9', "expected a whole number >= 4 and <= 8 (of 8), found 9"),
        ('donor = "twin"\ndonors_match = 8', "expected no value for a donor who is the patient or a twin"),
    ],
)
def test_a_wrong_match_between_donors_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "case.toml"
    path.write_text(f"[patient]\n{text}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}:3: patient.donors_match: ")
    assert said in str(caught.value)


def test_dominance_begins_with_the_last_day_of_doubt() -> None:
    day = np.arange(0.0, 100.0, 5.0)
    second = np.where(day < 20, 50.0, np.where(day < 30, 97.0, np.where(day < 40, 90.0, 99.0)))
    found = read_outs.of(day, {"donor_myeloid": np.full(day.size, 100.0), "donor2_myeloid": second})
    assert (found["dominant_donor"], found["dominance_day"]) == ("second", 40)
    assert dict(read_outs.rows(found))["Two donors"].endswith("at the end; the second dominates since day +40")
    both = read_outs.of(day, {"donor_myeloid": np.full(day.size, 100.0), "donor2_myeloid": np.full(day.size, 40.0)})
    assert (both["dominant_donor"], both["dominance_day"], both["second_of_donors_end"]) == (None, None, 0.4)
