"""Engineered T cells of the body: expansion by antigen, contraction, memory, cytokine release, and what they kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from abm import resources
from abm.cells import ENGINEERED, N_KINDS, N_ORIGINS, Count, Kind, Origin, Specificity
from abm.errors import ConfigError
from abm.model.body import Body, Dose, Scale, Tables, Watch, daily_production
from abm.model.body.engineered import EFFECTOR, EXHAUSTED, MEMORY, N_CLASSES, Encounter
from abm.model.body.immune import INDEX
from abm.model.body.products import read_products
from tests.unit.body_case import AGENTS, CELLS_PER_HSC, EXITS_PER_DAY, Person, counts, make_body, tables

HUMAN = resources.folder("scenarios") / "rules" / "human"
CELLS_PER_AGENT = 1e6  #: few, so that whole agents do not show
STEP_H = 1.0
ROW = ENGINEERED.index(Specificity.CAR_CD19)


def treated(fitness: float = 1.0, il7_depleted: bool = True) -> Body:
    """Return a body that may be given CD19 CAR-T cells, after lymphodepletion or not."""
    found, person = tables(), Person(engineered_fitness=fitness)
    exits = {k: cells / EXITS_PER_DAY for k, cells in daily_production(found, person.weight_kg).items()}
    shown = np.zeros((1, N_KINDS, N_ORIGINS), bool)
    shown[0, [Kind.BLAST, Kind.IMMATURE_B]] = True
    scale = Scale(CELLS_PER_AGENT, exits, AGENTS, CELLS_PER_HSC)
    body = Body(found, person, scale, watch=Watch((Specificity.CAR_CD19,), shown))
    if il7_depleted:
        body.lymphocytes.pools[:-1] *= 0.03
    return body


def follow(body: Body, leukaemia: float, days: float, cells: float = 1e8, lost: float = 0.0) -> NDArray[np.float64]:
    """Give CAR-T cells to a well-mixed leukaemia that doubles in 5 days; return both by step, shape (steps + 1, 2).

    ``lost``: share of it that has lost CD19.
    """
    dose = Dose("cells", "car_t", cd3=cells, origin=Origin.PRODUCT, receptor=Specificity.CAR_CD19)
    seen_cells, blind = leukaemia * (1.0 - lost), leukaemia * lost
    rows = [(0.0, leukaemia)]
    for step in range(round(days * 24 / STEP_H)):
        table = counts(body, STEP_H)
        table[Count.EGRESS, Kind.IMMATURE_B] = 0
        seen = np.zeros((1, N_KINDS, N_ORIGINS), np.int64)
        seen[0, Kind.BLAST, Origin.HOST] = round(seen_cells / CELLS_PER_AGENT)
        table[Count.POPULATION, Kind.BLAST, Origin.HOST] = round((seen_cells + blind) / CELLS_PER_AGENT)
        body.advance(STEP_H, body.day + STEP_H / 24, table, [dose] if step == 0 else [], seen=seen)
        effectors = float(body.engineered.cells[ROW, EFFECTOR])
        r = body.engineered.rules
        hazard = r.engineered_kill * effectors / (effectors + seen_cells + r.engineered_search)
        growth = np.log(2.0) / 5.0
        seen_cells *= np.exp((growth - hazard) * STEP_H / 24)
        blind *= np.exp(growth * STEP_H / 24)
        rows.append((body.engineered.total, seen_cells + blind))
    return np.array(rows)


def peak(course: NDArray[np.float64]) -> tuple[float, float]:
    """Return day and height of the most engineered cells."""
    step = int(np.argmax(course[:, 0]))
    return step * STEP_H / 24, float(course[step, 0])


def test_expansion_ends_when_the_antigen_is_gone() -> None:
    """Peak day and fold of tisagenlecleucel in children with leukaemia (Stein 2019: 9.3 d, 3900-fold)."""
    course = follow(treated(), leukaemia=3e11, days=40.0, cells=7e7)
    day, height = peak(course)
    assert 7.0 <= day <= 13.0
    assert 5e2 <= height / 7e7 <= 3e4
    after = course[round((day + 2) * 24) : round((day + 12) * 24), 0]
    half_life = np.log(2.0) / -np.polyfit(np.arange(after.size) / 24, np.log(after), 1)[0]
    assert 2.0 <= half_life <= 10.0
    assert course[-1, 1] < 1e6, "the leukaemia is gone"


def test_antigen_and_not_dose_limits_the_expansion() -> None:
    height = {dose: peak(follow(treated(), 1e11, 25.0, dose))[1] for dose in (2e7, 2e8)}
    assert height[2e8] < 1.5 * height[2e7]
    by_burden = {burden: peak(follow(treated(), burden, 25.0))[1] for burden in (2e10, 2e11)}
    assert by_burden[2e11] > 2.5 * by_burden[2e10]


def test_without_antigen_nothing_expands() -> None:
    body = treated()
    body.lymphocytes.pools[INDEX[Kind.IMMATURE_B]] = 0.0
    course = follow(body, leukaemia=1e11, days=10.0, lost=1.0)
    assert peak(course)[1] <= 1e8
    assert course[-1, 1] > 1e11


def test_lymphodepletion_helps_expansion() -> None:
    depleted, full = (peak(follow(treated(il7_depleted=x), 1e11, 8.0))[1] for x in (True, False))
    assert depleted > 3.0 * full


def test_b_cells_vanish_and_memory_remains() -> None:
    body = treated()
    before = body.lymphocytes.pools[INDEX[Kind.IMMATURE_B], Origin.HOST]
    follow(body, leukaemia=1e11, days=60.0)
    assert body.lymphocytes.pools[INDEX[Kind.IMMATURE_B], Origin.HOST] < 1e-3 * before
    memory = body.engineered.cells[ROW, MEMORY]
    assert memory > 0.2 * body.engineered.total


def test_long_contact_exhausts_and_rest_restores() -> None:
    body = treated()
    follow(body, leukaemia=1e14, days=10.0, cells=1e7)
    tired = body.engineered.exhausted_share()
    assert tired > 0.04
    body.lymphocytes.pools[INDEX[Kind.IMMATURE_B]] = 0.0
    cells = body.engineered.cells.copy()
    follow(body, leukaemia=0.0, days=20.0, cells=1e-6)
    assert body.engineered.exhausted_share() < 0.4 * tired
    assert body.engineered.cells[ROW, EXHAUSTED] < cells[ROW, EXHAUSTED]


@pytest.mark.parametrize(("drug", "spared"), [("pembrolizumab", True), ("atezolizumab", True), ("ipilimumab", False)])
def test_blocking_pd1_spares_engineered_cells_of_the_body_exhaustion(drug: str, spared: bool) -> None:
    """A third of the tiring is left (exhaustion.csv), as of all other T cells; CTLA-4 has no part in it."""
    shares = []
    for mg in (0.0, 1000.0):
        body = treated()
        body.antibodies.give(drug, mg)
        follow(body, leukaemia=1e14, days=6.0, cells=1e7)
        shares.append(body.engineered.exhausted_share())
    assert shares[0] > 0.02
    assert shares[1] / shares[0] == pytest.approx(0.35 if spared else 1.0, abs=0.04 if spared else 0.0)


def test_a_heavier_leukaemia_releases_more_interleukin_6() -> None:
    worst = {}
    for burden in (5e9, 5e11):
        body = treated()
        body.lymphocytes.pools[INDEX[Kind.IMMATURE_B]] *= 0.1
        grades = [int(body.engineered.grade())]
        dose = 1e8
        for _ in range(15):
            burden = float(follow(body, burden, 1.0, dose)[-1, 1])
            grades.append(body.engineered.grade())
            dose = 1e-6
        worst[len(worst)] = max(grades)
    assert worst[0] < worst[1]
    assert worst[1] >= 2


def test_tocilizumab_lowers_what_is_felt_and_not_the_expansion() -> None:
    blocked, free = treated(), treated()
    blocked.drugs.set_level(blocked.drugs.index("tocilizumab"), 1.0)
    heights = [peak(follow(body, 1e11, 6.5))[1] for body in (blocked, free)]
    assert blocked.engineered.felt < 0.2 * free.engineered.felt
    assert heights[0] > heights[1]


def test_steroids_blunt_killing() -> None:
    treated_body, free = treated(), treated()
    treated_body.drugs.set_level(treated_body.drugs.index("prednisolone"), 1.0)
    for body in (treated_body, free):
        follow(body, 1e11, 5.0)
    assert treated_body.engineered.il6 < 0.6 * free.engineered.il6


def test_fitness_speeds_the_expansion() -> None:
    slow, fast = (peak(follow(treated(fitness), 1e11, 30.0))[0] for fitness in (0.8, 1.2))
    assert fast < slow


def test_drugs_kill_engineered_cells_too() -> None:
    body = treated()
    follow(body, 1e10, 1.0)
    before = body.engineered.total
    body.drugs.give("cyclophosphamide", 1.0)
    follow(body, 1e10, 3.0, cells=1e-6)
    assert body.engineered.total < 0.1 * before


def test_the_lattice_gets_both_lineages_and_the_pools_keep_them() -> None:
    body = treated()
    follow(body, 1e11, 6.0)
    total = body.engineered.total
    found = {
        (kind, origin, receptor): n
        for kind, origin, receptor, n in body.lymphocyte_arrivals()
        if origin == Origin.PRODUCT
    }
    assert set(found) == {
        (kind, Origin.PRODUCT, Specificity.CAR_CD19) for kind in (Kind.CD8_EFFECTOR, Kind.CD4_EFFECTOR)
    }
    assert body.engineered.total == total
    body.settle([(kind, origin, receptor, n) for (kind, origin, receptor), n in found.items()])
    assert not [1 for _, origin, *_ in body.lymphocyte_arrivals() if origin == Origin.PRODUCT]


def test_a_restart_changes_nothing() -> None:
    body, again = treated(), treated()
    follow(body, 1e11, 5.0)
    again.unpack(body.pack())
    for one in (body, again):
        follow(one, 1e11, 2.0, cells=1.0)
    assert all(np.array_equal(a, again.pack()[name]) for name, a in body.pack().items())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("car_t,memory,0.5", "car_t,memory,0.4", "add up to 0.9, expected 1"),
        ("car_t,memory,0.5", "car_t,memories,0.5", "unknown name 'memories' (did you mean memory?)"),
        ("car_t,cd4_share,0.5", "car_t,cd4_share,1.5", "expected a number >= 0 and <= 1, found '1.5'"),
        ("car_t,dose,1.4e6,1/kg", "car_t,dose,1.4e6,1", "unknown name '1'"),
        ("car_t,naive,0.2,1", "car_t,dose,0.2,1/kg", "dose of car_t stands twice"),
        ("car_t,effector", "car_u,effector", "lacks"),
    ],
)
def test_a_bad_product_is_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (HUMAN / "products.csv").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "products.csv").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"products.csv:\d+: ") as caught:
        read_products(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_usual_dose_is_that_of_the_table() -> None:
    found: Tables = tables()
    assert found.products["car_t"].dose == 1.4e6
    assert replace(found.products["car_t"], dose=1.0).phenotypes == found.products["car_t"].phenotypes


def test_mature_mouse_cells_are_lost_without_antigen() -> None:
    """Nine tenths and more of infused cells with a tumour receptor are gone after two months (Puig-Saus 2019)."""
    pools, product = make_body(found=tables("mouse")).engineered, tables("mouse").products["tcr_t"]
    pools.infuse(Specificity.TCR_TRANSGENE, product, 1e6)
    for _ in range(60):
        pools.advance(Encounter(np.zeros(N_CLASSES)), 24.0)
    assert 0.02 < pools.total / 1e6 < 0.1
