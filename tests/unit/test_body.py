"""The body alone: homeostasis, transfusion, chimerism, growth factors, traffic of lymphocytes, state."""

from __future__ import annotations

import ast
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import abm.model.body
from abm.cells import Count, Kind, Origin, Specificity
from abm.errors import ConfigError
from abm.model.body import OBSERVABLES, Body, Dose, Scale, daily_production, giving
from abm.model.body.immune import INDEX, T_CELLS
from abm.model.body.numerics import chain, total, turnover
from abm.model.body.organs import GVH, HVG
from tests.unit.body_case import AGENTS, CELLS_PER_AGENT, Person, counts, live, make_body, tables

BLOOD_GRAFT = Dose("graft", "blood", cd34=3.5e8, cd3=2e10)


def test_healthy_values_are_those_of_the_table() -> None:
    seen = make_body().observables()
    assert list(seen) == list(OBSERVABLES)
    assert all(unit and doc for unit, doc in OBSERVABLES.values())
    for name, expected in {
        "anc": 4.0,
        "eosinophils": 0.2,
        "platelets": 178.8077,  # 1.4e11 a day for 9.579 days, two thirds of them in 5 L of blood
        "hb": 145.0,
        "cd4": 0.9,
        "cd8": 0.5,
        "nk": 0.25,
        "b": 0.25,
    }.items():
        assert seen[name] == pytest.approx(expected, rel=1e-6), name
    assert all(seen[name] == 1.0 for name in ("gcsf", "epo", "tpo", "flt3l", "skin", "gut", "liver", "thymus"))
    assert seen["il7"] == pytest.approx(1.0)
    assert seen["gvhd_grade"] == seen["allo_effectors"] == seen["platelet_transfusions"] == 0.0
    assert math.isinf(seen["days_since_platelet_transfusion"])


@pytest.mark.parametrize(
    ("species", "weight", "age"), [("human", 70.0, 40.0), ("human", 15.0, 5.0), ("mouse", 0.025, 0.2)]
)
def test_homeostasis_lasts_a_year(species: str, weight: float, age: float) -> None:
    body = make_body(Person(weight, age), tables(species))
    before = body.observables()
    live(body, 365, step_h=12.0)
    after = body.observables()
    for name in (
        "anc",
        "monocytes",
        "eosinophils",
        "platelets",
        "hb",
        "reticulocytes",
        "cd4",
        "cd4_naive",
        "cd8",
        "b",
        "nk",
        "epo",
        "tpo",
        "gcsf",
    ):
        assert after[name] == pytest.approx(before[name], rel=0.02), name
    assert after["platelet_transfusions"] == after["red_cell_transfusions"] == 0.0


def test_homeostasis_with_traffic_keeps_four_percent_t_cells_in_the_marrow() -> None:
    body, lattice = make_body(), {}
    table = counts(body, 1.0)
    for _ in range(24 * 20):
        egress = table.copy()
        for (kind, origin), agents in list(lattice.items()):
            leaving = int(agents / 24)  # residence of one day
            egress[Count.EGRESS, kind, origin] += leaving
            lattice[kind, origin] -= leaving
        body.advance(1.0, body.day + 1 / 24, egress, ())
        for kind, origin, _, agents in body.lymphocyte_arrivals():
            lattice[kind, origin] = lattice.get((kind, origin), 0) + agents
    t_cells = sum(n for (kind, _), n in lattice.items() if kind is not Kind.NK)
    assert 0.03 < t_cells / AGENTS < 0.07
    inside = total(body.lymphocytes.pools) + sum(lattice.values()) * CELLS_PER_AGENT
    assert inside == pytest.approx(total(make_body().lymphocytes.pools), rel=0.005)


def test_result_hardly_depends_on_the_step() -> None:
    found = []
    for step_h in (0.25, 1.0):
        body = make_body()
        live(body, 10, step_h, host=0.4, doses=[BLOOD_GRAFT, Dose("drug", "cyclophosphamide", 0.5)])
        found.append(body.observables())
    for name in (
        "anc",
        "platelets",
        "hb",
        "cd4",
        "cd8",
        "nk",
        "tpo",
        "epo",
        "gcsf",
        "inflammation",
        "gut",
        "allo_effectors",
    ):
        assert found[0][name] == pytest.approx(found[1][name], rel=0.01), name


def test_chain_and_turnover_lose_nothing() -> None:
    stages, entered = np.ones((4, 2)), np.array([3.0, 0.0])
    left = chain(stages, entered, 0.3)
    assert stages.sum() + left.sum() == pytest.approx(8.0 + 3.0)
    pool, out = turnover(np.array([5.0]), 2.0, 0.7)
    assert float(pool[0] + out[0]) == pytest.approx(7.0)
    stages = np.full((3, 1), 10.0)
    assert chain(stages, np.array([5.0]), 0.5)[0] == pytest.approx(5.0)
    assert stages == pytest.approx(10.0)


def test_transfusion_rule() -> None:
    body = make_body()
    live(body, 25, step_h=2.0, host=0.0)
    seen = body.observables()
    assert seen["platelet_transfusions"] >= 2
    assert 0 <= seen["days_since_platelet_transfusion"] < 10
    assert seen["platelets"] >= 10.0
    assert seen["donor_platelets"] == seen["donor_red"] == 0.0, "third-party cells are no engraftment"
    live(body, 80, step_h=4.0, host=0.0)
    assert body.blood.red_cell_transfusions > 0
    assert body.blood.hb >= 80.0


def test_mice_are_not_transfused() -> None:
    body = make_body(Person(0.025, 0.2), tables("mouse"))
    live(body, 30, step_h=4.0, host=0.0)
    assert body.blood.platelet_transfusions == body.blood.red_cell_transfusions == 0.0


def test_chimerism() -> None:
    body = make_body()
    live(body, 40, step_h=2.0, host=0.25, donor=0.75, doses=[BLOOD_GRAFT])
    shares = body.chimerism()
    assert set(shares) == {"neutrophils", "monocytes", "myeloid", "t", "b", "nk", "platelets", "red"}
    for name, share in shares.items():
        assert share.shape == (4,)
        assert total(share) == pytest.approx(1.0), name
    seen = body.observables()
    assert seen["donor_myeloid"] == pytest.approx(0.75, abs=0.01)
    assert seen["donor_platelets"] == pytest.approx(0.75, abs=0.01)
    assert 0.1 < seen["donor_red"] < 0.4, "red cells live long"
    assert 0.0 < seen["donor_t"] < 0.2


def test_thymus_is_slow_and_ages() -> None:
    bodies = {age: make_body(Person(age_years=age)) for age in (10.0, 60.0)}
    naive = []
    for body in bodies.values():
        body.lymphocytes.pools[:] = 0.0
        body.lymphocytes.thymus[:] = 0.0
        live(body, 30, step_h=8.0, host=0.0, donor=1.0)
        early = body.lymphocytes.pools[INDEX[Kind.CD4_NAIVE], Origin.DONOR]
        live(body, 150, step_h=8.0, host=0.0, donor=1.0)
        late = body.lymphocytes.pools[INDEX[Kind.CD4_NAIVE], Origin.DONOR]
        assert early < 0.05 * late
        naive.append(late)
    assert 2 < naive[0] / naive[1] < 15


def test_hardly_a_thymocyte_of_the_mouse_takes_half_of_the_usual_time() -> None:
    lymphocytes = make_body(Person(weight_kg=0.025, age_years=0.3), tables("mouse")).lymphocytes
    transit = lymphocytes.rules.thymus_transit
    within = np.zeros_like(lymphocytes.thymus)
    within[0, Origin.DONOR] = 1.0  # enter together
    none, hours = np.zeros(within.shape[1]), 6.0
    out = [chain(within, none, len(within) / transit * hours / 24.0)[Origin.DONOR] for _ in range(int(3 * transit * 4))]
    day = np.arange(1, len(out) + 1) * hours / 24.0
    assert float(np.sum(out)) == pytest.approx(1.0, abs=1e-3)
    assert float(np.dot(out, day)) == pytest.approx(transit, rel=0.01)
    assert float(np.sum(np.array(out)[day <= transit / 2])) < 0.01


def test_cd8_returns_before_cd4() -> None:
    body = make_body()
    body.lymphocytes.pools[:] *= 0.03
    live(body, 100, step_h=6.0)
    seen = body.observables()
    assert 0.06 < seen["cd4"] < 0.25
    assert 0.15 < seen["cd8"] < 0.6


def test_arrivals_are_whole_agents_and_can_be_given_back() -> None:
    body = make_body()
    live(body, 1 / 24)
    before = body.lymphocytes.pools.copy()
    arrivals = body.lymphocyte_arrivals()
    assert arrivals
    assert all(isinstance(n, int) and n > 0 for *_, n in arrivals)
    assert {kind for kind, *_ in arrivals} <= {*T_CELLS, Kind.NK}
    taken = total(before - body.lymphocytes.pools)
    assert taken == pytest.approx(sum(n for *_, n in arrivals) * CELLS_PER_AGENT)
    assert body.lymphocyte_arrivals() == []
    body.settle(arrivals)
    assert body.lymphocytes.pools == pytest.approx(before)


def test_a_pool_never_gives_more_than_it_has() -> None:
    body = make_body()
    body.lymphocytes.pools[:] = 0.4 * CELLS_PER_AGENT
    body.lymphocytes.waiting[:] = 3.0
    assert body.lymphocyte_arrivals() == []
    assert (body.lymphocytes.waiting == 3.0).all()


def test_effectors_travel_with_their_specificity() -> None:
    body = make_body(Person(donor="haplo"))
    body.allo.effectors[:] = 2e9, 1e9
    live(body, 1.0)
    found = {(o, s): n for k, o, s, n in body.lymphocyte_arrivals() if k is Kind.CD8_EFFECTOR}
    assert set(found) == {
        (Origin.DONOR, Specificity.HOST_UBIQUITOUS),
        (Origin.DONOR, Specificity.HOST_HAEMATOPOIETIC),
        (Origin.HOST, Specificity.DONOR),
    }
    effectors, waiting = body.allo.effectors.copy(), body.allo.waiting.copy()
    body.settle([(Kind.CD8_EFFECTOR, Origin.DONOR, Specificity.HOST_HAEMATOPOIETIC, 2)])
    assert (body.allo.waiting - waiting == [0, 2, 0]).all()
    assert (body.allo.effectors == effectors).all(), "the lattice shows a sample; the body counts all of them"


@pytest.mark.parametrize("cells_per_agent", [3e6, 1e9])
def test_effectors_arrive_in_proportion_at_any_patch_size(cells_per_agent: float) -> None:
    body = make_body(cells_per_agent=cells_per_agent)
    body.allo.host_apc, arrived, expected = 0.0, 0, 0.0
    for _ in range(24 * 40):
        body.allo.effectors[GVH] = 3e8
        live(body, 1 / 24)
        per_agent = cells_per_agent / body.allo.rules.effector_enrichment
        expected += 3e8 * body.lymphocytes.rules.effector_marrow_entry / 24 / per_agent
        arrived += sum(n for kind, _, _, n in body.lymphocyte_arrivals() if kind is Kind.CD8_EFFECTOR)
    assert arrived == pytest.approx(expected, abs=2.0, rel=0.01)


def test_effectors_that_leave_the_lattice_become_memory_by_as_many_cells_as_they_stand_for() -> None:
    """Alloreactive ones are denser on the lattice than in life; those of a twin, or without a graft, are not."""
    for donor, grafted, whole in (("sibling", 1.0, False), ("twin", 1.0, True), ("sibling", 0.0, True)):
        body = make_body(Person(donor=donor))
        body.grafted = grafted
        table = counts(body, 1.0)
        table[Count.EGRESS, Kind.CD8_EFFECTOR, Origin.DONOR] = 3
        table[Count.EGRESS, Kind.CD4_EFFECTOR, Origin.DONOR] = 2
        table[Count.EGRESS, Kind.CD8_NAIVE, Origin.DONOR] = 3
        table[Count.EGRESS, Kind.CD8_EFFECTOR, Origin.PRODUCT] = 5  # never left its pool
        body.advance(1.0, 1.0, table, ())
        assert body.allo.effectors[GVH] == 0.0
        found = {kind: body.lymphocytes.pools[INDEX[kind]] for kind in T_CELLS}
        rules = body.allo.rules
        per_effector = CELLS_PER_AGENT * rules.effector_survivors / (1.0 if whole else rules.effector_enrichment)
        assert found[Kind.CD8_NAIVE][Origin.DONOR] == pytest.approx(3 * CELLS_PER_AGENT, rel=1e-3)
        assert found[Kind.CD8_MEMORY][Origin.DONOR] == pytest.approx(3 * per_effector, rel=1e-3)
        assert found[Kind.CD4_MEMORY][Origin.DONOR] == pytest.approx(2 * per_effector, rel=1e-3)
        assert not any(pool[Origin.PRODUCT] for pool in found.values())


def test_twin_graft_never_becomes_alloreactive() -> None:
    body = make_body(Person(donor="twin"))
    live(body, 60, step_h=2.0, host=0.05, donor=0.9, doses=[Dose("drug", "busulfan", 1.0), BLOOD_GRAFT])
    assert body.allo.effectors[GVH] == body.allo.effectors[HVG] == 0.0
    assert body.allo.precursors[GVH] == body.allo.precursors[HVG] == 0.0
    assert (body.allo.immune_loss == 0.0).all()
    assert body.allo.grade() == 0
    assert body.donor.shares_antigens


def test_graft_fills_pools_and_names_agents() -> None:
    body = make_body()
    giving.infuse(body, BLOOD_GRAFT)
    donor = body.lymphocytes.pools[:, Origin.DONOR]
    assert total(donor[INDEX[kind]] for kind in T_CELLS) == pytest.approx(2e10)
    assert donor[INDEX[Kind.NK]] > 0
    assert body.allo.precursors[GVH] == pytest.approx(2e10 * tables().donors["sibling"].graft_versus_host)
    agents = giving.graft_agents(body, BLOOD_GRAFT)
    assert total(agents.values()) == pytest.approx(5.02 * 3.5e8 / CELLS_PER_AGENT, rel=0.01), "enriched in all"
    assert set(agents) == {Kind.HSC, Kind.MPP, Kind.CMP, Kind.GMP, Kind.MEP, Kind.MKP, Kind.CLP}
    assert agents[Kind.HSC] == pytest.approx(0.45 * 3.5e8 / CELLS_PER_AGENT, rel=1e-4)
    marrow, blood, cord = (giving.graft_agents(body, replace(BLOOD_GRAFT, name=n)) for n in ("marrow", "blood", "cord"))
    assert cord[Kind.HSC] > marrow[Kind.HSC] > blood[Kind.HSC]
    assert blood[Kind.CMP] > marrow[Kind.CMP] > cord[Kind.CMP]


def test_leukaemic_cells_in_blood() -> None:
    body = make_body()
    table = counts(body, 1.0)
    table[Count.EGRESS, Kind.BLAST, Origin.HOST] = 5
    for _ in range(24 * 5):
        body.advance(1.0, body.day + 1 / 24, table, ())
    expected = 120 * CELLS_PER_AGENT * 1.5 / 5e9
    assert body.observables()["blasts"] == pytest.approx(expected, rel=0.05)


def busy_body() -> Body:
    body = make_body()
    doses = [Dose("drug", "atg", 0.3), Dose("radiation", "tbi", 2.0), Dose("gcsf", "gcsf", 5.0), BLOOD_GRAFT]
    live(
        body, 20, step_h=2.0, host=0.02, donor=0.1, doses=[*doses, Dose("immunosuppression_level", "ciclosporin", 0.6)]
    )
    return body


def test_state_round_trip_is_exact() -> None:
    one, two = busy_body(), make_body()
    two.unpack(one.pack())
    for body in (one, two):
        live(body, 5, host=0.1, donor=0.5)
        body.lymphocyte_arrivals()
    assert set(one.pack()) == set(two.pack())
    for name, array in one.pack().items():
        assert array.dtype == np.float64
        assert array.tobytes() == two.pack()[name].tobytes(), name
    assert one.observables() == two.observables()


def test_packed_state_is_a_copy_and_complete() -> None:
    body = busy_body()
    packed = body.pack()
    live(body, 1)
    assert any((packed[name] != array).any() for name, array in body.pack().items())
    attributes = {
        f"{part}.{name}"
        for part in ("blood", "cytokines", "drugs", "lymphocytes", "allo")
        for name, value in vars(getattr(body, part)).items()
        if isinstance(value, np.ndarray | float) and not name.startswith("_")
    }
    of_the_step = {"lymphocytes.memory_growth"}  # made anew before it is read
    fixed = {"lymphocytes.reference_t_cells", "lymphocytes.reference_il7_uptake"}
    assert attributes - set(packed) == fixed | of_the_step
    with pytest.raises(ValueError, match="shape"):
        body.unpack({**packed, "blood.platelets": np.zeros(3)})


def test_arithmetic_is_the_same_on_every_machine() -> None:
    """No libm, no library sums (order), no powers: + - * / and abm.exactmath only."""
    library = {"exp", "exp2", "log", "log10", "power", "float_power", "mean", "dot", "einsum", "prod", "cumsum"}
    folder = Path(abm.model.body.__file__).parent
    for path in [*folder.glob("*.py"), folder.parent / "therapy.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.MatMult)), path
            assert not (isinstance(node, ast.Attribute) and node.attr in library), f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Import):
                assert "math" not in [alias.name for alias in node.names], path


def test_same_run_same_bits() -> None:
    one, two = busy_body().pack(), busy_body().pack()
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)


def test_wrong_scale_and_donor_are_refused() -> None:
    found = tables()
    with pytest.raises(ValueError, match="NEUTROPHIL"):
        Body(found, Person(), Scale(1.0, {}, 1.0, 1.0))
    exits = daily_production(found, 70.0)
    with pytest.raises(ConfigError, match="did you mean sibling"):
        Body(found, Person(donor="sibbling"), Scale(1.0, exits, 1.0, 1.0))
