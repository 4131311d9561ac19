"""Plasma cells and IgG: steady in health, spared by what takes B cells, taken by what sees them, back with B cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abm import resources
from abm.cells import ENGINEERED, Kind, Origin, Specificity
from abm.config import load_config
from abm.config_events import Immunoglobulin
from abm.errors import ConfigError
from abm.exactmath import LN2
from abm.model import therapy
from abm.model.body import Body, Dose, giving, plasma
from abm.model.body.given import Tables
from abm.model.body.immune import INDEX
from abm.model.body.immunity import DONORS, HOSTS
from abm.model.body.plasma import BLASTS, IGG, LONG_LIVED, OBSERVABLES, OLD, SWITCHED
from abm.model.body.targets import Watch
from abm.setup import load_model, make_watch
from abm.well_mixed import WellMixed
from tests.unit.body_case import Person, live, make_body, tables
from tests.unit.table_case import change, copied

SCENARIOS = Path(resources.folder("scenarios"))
B = INDEX[Kind.IMMATURE_B]


def pass_days(cells: plasma.Plasma, days: int, b: float) -> None:
    """Let days go by with this multiple of the usual B cells, of which as many have switched as usual."""
    for _ in range(days):
        cells.course[SWITCHED] = 1.0
        cells.advance(np.array([b * cells._b_pool, 0.0, 0.0, 0.0]), 1.0, 1.0, 24.0)


def of_host(body: Body) -> list[float]:
    found: list[float] = body.plasma.course[:, Origin.HOST].tolist()
    return found


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_a_healthy_person_stays_as_he_is(species: str) -> None:
    found = tables(species)
    body = make_body(Person(weight_kg=found.values["reference_weight"]), found)
    before = body.observables()
    live(body, 60.0, step_h=6.0)
    after = body.observables()
    for name in ("igg", "host_igg", "plasma_cells"):
        assert after[name] == pytest.approx(before[name], rel=0.01)
    assert before["igg"] == found.plasma["igg"]
    assert 0.5 < after["old_antibody"] < 1.0, "nobody is vaccinated again"
    assert after["donor_plasma"] == 0.0


def test_each_cell_secretes_thousands_of_molecules_a_second() -> None:
    body = make_body()
    r, cells = body.plasma.rules, body.observables()["plasma_cells"]
    grams_per_day = r.igg * r.igg_volume * LN2 / r.igg_half_life
    assert 0.025 < grams_per_day / 70.0 < 0.04  # 33 mg/kg are measured
    assert 1e3 < grams_per_day / 1.5e5 * 6.022e23 / 86400.0 / cells < 2e4


def test_size_goes_with_weight_and_concentration_does_not() -> None:
    small, large = (make_body(Person(weight_kg=kg)).observables() for kg in (35.0, 70.0))
    assert 2.0 * small["plasma_cells"] == pytest.approx(large["plasma_cells"])
    assert small["igg"] == large["igg"]


def test_without_b_cells_the_antibody_of_short_lived_cells_falls_with_its_half_life_and_titres_stay() -> None:
    cells = make_body().plasma
    pass_days(cells, 40, 0.0)
    short, lasting = [], 1.0 - cells.rules.short_lived_igg_share
    for _ in range(2):
        igg, long_lived = cells.course[[IGG, LONG_LIVED], Origin.HOST]
        short.append(igg - lasting * long_lived)
        pass_days(cells, 21, 0.0)
    assert short[1] == pytest.approx(0.5 * short[0], rel=0.05)
    assert cells.protection > 0.97


def test_few_niches_are_free_and_an_empty_marrow_fills_within_a_year_or_two() -> None:
    cells = make_body().plasma
    pass_days(cells, 60, 100.0)
    assert 1.0 < cells.course[LONG_LIVED].sum() <= 1.0 / (1.0 - cells.rules.free_niche_share)
    cells = make_body().plasma
    cells.survive(1.0, 0.0)
    filled = []
    for _ in range(24):
        pass_days(cells, 30, 1.0)
        filled.append(float(cells.course[LONG_LIVED].sum()))
    assert filled[1] < 0.3 < 0.5 < filled[-1] < 1.0
    assert filled == sorted(filled)
    lost = make_body().plasma
    lost.survive(1.0, 0.0)
    lost.advance(np.array([lost._b_pool, 0.0, 0.0, 0.0]), 1.0, 0.0, 24.0)
    assert lost.course[LONG_LIVED].sum() == 0.0, "no niche without stroma"


def test_antibodies_of_the_past_come_back_slowly() -> None:
    cells = make_body().plasma
    cells.survive(1.0, 0.1)
    pass_days(cells, 720, 1.0)
    assert cells.course[OLD, Origin.HOST] < 0.5 * cells.course[LONG_LIVED, Origin.HOST]
    assert cells.protection < 0.5 * cells.course[IGG, Origin.HOST]


def test_new_b_cells_have_not_switched_and_need_months_and_help() -> None:
    body = make_body()
    body.lymphocytes.pools[B] = 0.0
    live(body, 120.0, step_h=6.0)
    early = of_host(body)
    b = float(body.lymphocytes.pools[B, Origin.HOST]) / body.lymphocytes.rules.b_pool
    assert early[BLASTS] < 0.6 * b < 0.6
    live(body, 480.0, step_h=6.0)
    assert of_host(body)[SWITCHED] > 0.9 > early[SWITCHED]
    assert body.plasma.help_of(0.0) == 0.0
    assert body.plasma.help_of(body.plasma._helpers) == pytest.approx(1.0)
    assert body.plasma.help_of(0.1 * body.plasma._helpers) > 0.5, "few helpers suffice"


def test_b_cells_of_a_graft_have_switched() -> None:
    body = make_body()
    giving.infuse(body, Dose(kind="graft", name="blood", origin=Origin.DONOR, cd34=4e8, cd3=1.4e10))
    assert body.plasma.course[SWITCHED, Origin.DONOR] == 1.0
    live(body, 30.0, step_h=6.0, donor=0.5)
    assert 0.0 < body.plasma.course[SWITCHED, Origin.DONOR] < 0.9, "diluted by those from the marrow"
    assert body.plasma.course[BLASTS, Origin.DONOR] > 0.0


def test_a_suppressed_response_makes_fewer_plasmablasts() -> None:
    body = make_body()
    body.drugs.set_level(body.drugs.index("ciclosporin"), 0.6)
    live(body, 60.0, step_h=6.0)
    left = 1.0 - body.drugs.inhibition("activation")
    assert 0.5 * left < of_host(body)[BLASTS] < left, "fewer switch as well"
    assert of_host(body)[LONG_LIVED] > 0.95


def test_drugs_kill_long_lived_cells_as_their_table_says_and_young_ones_more() -> None:
    for drug, log10 in (("busulfan", 0.15), ("cyclophosphamide", 0.05), ("melphalan", 0.3)):
        body = make_body()
        live(body, 10.0, doses=[Dose("drug", drug, 1.0)])
        assert of_host(body)[LONG_LIVED] == pytest.approx(10.0**-log10, rel=0.02)
        assert of_host(body)[BLASTS] < of_host(body)[LONG_LIVED]
    body = make_body()
    live(body, 1.0, doses=[Dose("radiation", "tbi", 12.0)])
    assert of_host(body)[LONG_LIVED] > 0.99, "past their last division"
    assert of_host(body)[BLASTS] < 0.5


def test_t_cells_of_the_other_side_kill_slowly() -> None:
    cells = make_body().plasma
    cells.course[:, Origin.DONOR] = 0.5
    cells.attacked(HOSTS, 0.1)
    assert cells.course[LONG_LIVED, Origin.HOST] == pytest.approx(0.1**cells.rules.alloreactive_kill)
    assert cells.course[LONG_LIVED, Origin.DONOR] == 0.5
    cells.attacked(DONORS, 0.0)
    assert cells.course[LONG_LIVED, Origin.DONOR] == 0.0
    assert cells.course[IGG, Origin.DONOR] == 0.5, "what they have made stays"


@pytest.mark.parametrize(
    ("scenario", "seen"), [("cart_myeloma", True), ("sle_cart", False), ("cart_all", False), ("cd45_shield", False)]
)
def test_a_receptor_sees_plasma_cells_by_the_tables(scenario: str, seen: bool) -> None:
    watch = make_watch(load_model(load_config(SCENARIOS / f"{scenario}.toml")))
    assert watch.plasma == (seen,)
    body = make_body()
    body.watch = watch
    hazard = np.zeros(len(ENGINEERED))
    hazard[ENGINEERED.index(watch.classes[0])] = 2.0
    plasma.strike(body, hazard, 3.0)
    left = np.exp(-6.0) if seen else 1.0
    assert of_host(body)[BLASTS : OLD + 1] == pytest.approx([left] * 3)
    assert of_host(body)[IGG] == 1.0


def test_another_antigen_in_the_table_is_seen(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    change(folder, "plasma_antigens.csv", "BCMA,2,", "CD33,1,")
    mask = Tables.load(folder).plasma_antigens
    receptors = load_model(load_config(SCENARIOS / "homeostasis.toml")).rules.recognition.receptors
    assert mask & int(receptors[Specificity.CAR_CD33])
    assert not mask & int(receptors[Specificity.CAR_BCMA])


def course_of(scenario: str, *changes: str) -> tuple[Body, Body]:
    """Return a patient without a lattice at the end, and the one without plasma cells and IgG."""
    bodies = []
    for without in (False, True):
        patient = WellMixed(load_config(SCENARIOS / f"{scenario}.toml", [*changes, "time.step_min=120"]))
        if without:
            patient.body.plasma.survive(0.0, 0.0)
            patient.body.plasma.course[IGG] = 0.0
        while not patient.over:
            patient.advance()
        bodies.append(patient.body)
    return bodies[0], bodies[1]


def test_bcma_cells_take_igg_and_antibody_and_nothing_else_depends_on_them() -> None:
    given, without = course_of("cart_myeloma", "time.end_day=60")
    seen, others = given.observables(), without.observables()
    assert seen["igg"] < 4.0
    assert seen["old_antibody"] < 0.3
    clones = {"plasma_new", "plasma_overlap_start"}
    assert {name for name in seen if seen[name] != others[name]} <= set(OBSERVABLES) | clones
    mine, theirs = given.pack(), without.pack()
    assert not [
        k for k in mine if not k.startswith(("plasma.", "b_clones.")) and not np.array_equal(mine[k], theirs[k])
    ]


def test_immunoglobulin_is_given_by_weight_and_decays() -> None:
    event = Immunoglobulin(day=1, action="immunoglobulin", dose_g_per_kg=0.4, doses=2)
    found = therapy.compile([event], tables(), Person(), 24 * 40, 1.0, 0.0)
    assert [step for step, doses in enumerate(found) if doses] == [24, 24 * 29]
    body = make_body()
    live(body, 1.0, doses=found[24])
    assert body.observables()["igg"] == pytest.approx(10.5 + 0.4 * 70.0 / 6.0, rel=0.02)
    live(body, 21.0, step_h=6.0)
    assert body.observables()["igg"] == pytest.approx(10.5 + 0.2 * 70.0 / 6.0, rel=0.02)
    assert body.observables()["host_igg"] == pytest.approx(10.5, rel=0.01)


def test_the_step_does_not_matter() -> None:
    found = []
    for step_h in (1.0, 12.0):
        body = make_body()
        body.plasma.survive(0.0, 0.5)
        body.lymphocytes.pools[B] *= 0.1
        live(body, 30.0, step_h=step_h)
        found.append(body.plasma.course)
    np.testing.assert_allclose(found[0], found[1], atol=0.01)


def test_state_is_packed_and_taken_over() -> None:
    body, other = make_body(), make_body()
    body.plasma.infuse_igg(10.0)
    live(body, 5.0, doses=[Dose("drug", "melphalan", 1.0)])
    other.unpack(body.pack())
    live(body, 5.0)
    live(other, 5.0)
    assert all(np.array_equal(array, other.pack()[name]) for name, array in body.pack().items())


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("plasma.csv", "igg,10.5,", "igg,0,", r"plasma.csv: igg: expected a number > 0, found 0"),
        ("plasma.csv", "alloreactive_kill,0.05,", "alloreactive_kill,-1,", r"expected a number >= 0, found -1"),
        ("plasma.csv", "free_niche_share,0.05,", "free_niche_share,0,", r"expected a share between 0 and 1, found 0"),
        ("plasma.csv", "switched_share,0.2,", "switched_share,1,", r"expected a share between 0 and 1, found 1"),
        ("plasma.csv", "25,d,", "25,h,", r"igg_half_life is expected in 'd', found 'h'"),
        ("plasma_antigens.csv", "BCMA,2,", "BCAM,2,", r"unknown name 'BCAM' \(did you mean BCMA\?\)"),
        ("plasma_antigens.csv", "BCMA,2,", "BCMA,4,", r"level: expected a whole number >= 1 and <= 3, found '4'"),
    ],
)
def test_a_spoilt_table_is_one_line(tmp_path: Path, table: str, old: str, new: str, message: str) -> None:
    folder = copied(tmp_path)
    change(folder, table, old, new)
    with pytest.raises(ConfigError, match=message):
        Tables.load(folder)


def test_nobody_is_watched_unless_cells_are_given() -> None:
    body = make_body()
    assert body.watch == Watch()
    plasma.strike(body, np.full(len(ENGINEERED), 5.0), 1.0)
    assert of_host(body) == [1.0] * 5
