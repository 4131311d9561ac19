"""Myeloid cells with an added receptor: who shows it, how many there are, what they kill in marrow and body."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
import pytest

from abm import resources
from abm.backends import choose
from abm.backends.numpy_backend import NumpyBackend
from abm.cells import ENGINEERED, Count, EditBit, Kind, Origin, Specificity, pack_hot
from abm.config import Config, load_config
from abm.config_graft import Edit
from abm.errors import ConfigError
from abm.io import state_hash
from abm.model.body import Body, Dose, Scale, Watch, daily_production, giving, immunity, phagocytes
from abm.model.body.edited import COMPLETE, MYELOID
from abm.model.body.immune import INDEX
from abm.step import Simulation
from tests.tiny import tiny_config
from tests.unit.body_case import AGENTS, CELLS_PER_HSC, EXITS_PER_DAY, Person, counts, tables

DONOR, CAR = Origin.DONOR, Specificity.CAR_CD19
ROW = ENGINEERED.index(CAR)
STEP_H = 4.0
MARROW_CELLS = 1e12  #: of 70 kg
GENE = {"locus": "TRANSGENE", "vcn": 2.0, "receptor": "CAR_CD19", "lineage": "myeloid"}
EDIT = Edit(locus="TRANSGENE", vcn=2.0, receptor="CAR_CD19", lineage="myeloid", switch=True)


def body_of(lineage: str, edit: Edit = EDIT) -> Body:
    """Return a body whose blood is made by a graft, all cells of which carry the gene."""
    found, person = tables(), Person()
    exits = {kind: cells / EXITS_PER_DAY for kind, cells in daily_production(found, person.weight_kg).items()}
    watch = Watch((CAR,), None, promoters={DONOR: lineage})
    body = Body(found, person, Scale(1.2e7, exits, AGENTS, CELLS_PER_HSC), 0, watch)
    giving.infuse(body, Dose("graft", "edited", cd34=1e8, cd3=0.0, origin=DONOR, edit=edit))
    return body


def live(body: Body, days: float) -> None:
    table = counts(body, STEP_H, host=0.0, donor=1.0)
    for row in (Count.EDITED_EGRESS, Count.ALTERED_EGRESS):
        table[row] = table[Count.EGRESS]
    for _ in range(round(days * 24 / STEP_H)):
        body.advance(STEP_H, body.day + STEP_H / 24, table, ())


@pytest.fixture(scope="module")
def body() -> Body:
    found = body_of("myeloid")
    live(found, 120.0)
    return found


@pytest.mark.parametrize(("lineage", "t_cells", "myeloid"), [("lymphoid", 1, 0), ("myeloid", 0, 1), ("all", 1, 1)])
def test_the_promoter_says_who_shows_the_receptor(lineage: str, t_cells: float, myeloid: float) -> None:
    body = body_of(lineage)
    body.edited.pools[COMPLETE, INDEX[Kind.CD8_NAIVE], DONOR] = body.edited.monocytes[COMPLETE, DONOR] = 1.0
    assert body.edited.expressing(Kind.CD8_NAIVE, DONOR) == (CAR, t_cells)
    assert body.edited.showing(Kind.MONOCYTE)[DONOR] == myeloid
    assert (body.phagocytes is not None) == bool(myeloid)
    assert body.edited.shown_by(MYELOID) == bool(myeloid)


def test_a_t_cell_receptor_does_not_stand_on_myeloid_cells() -> None:
    body = body_of("all", Edit(locus="TRANSGENE", vcn=2.0, receptor="TCR_TRANSGENE", lineage="all"))
    live(body, 20.0)
    assert body.phagocytes is not None
    assert not body.phagocytes.macrophages.any()


def test_macrophages_are_those_that_come_in_a_life(body: Body) -> None:
    assert body.phagocytes is not None
    r = body.phagocytes.rules
    made = daily_production(tables(), 70.0)[Kind.MONOCYTE] * r.macrophage_share
    expected = made * r.macrophage_life * (1.0 - exp(-115.0 / r.macrophage_life))  # monocytes stay a day in blood
    assert body.phagocytes.macrophages[DONOR] == pytest.approx(expected, rel=0.05)


def test_macrophages_of_a_graft_become_one_in_a_hundred_marrow_cells(body: Body) -> None:
    """Macrophages are 1 to 2 % of marrow cells in health; four months after a graft more than half of that is there."""
    assert body.phagocytes is not None
    in_marrow = body.phagocytes.macrophages[DONOR] * body.phagocytes.rules.macrophage_marrow_share
    assert 0.005 < in_marrow / MARROW_CELLS < 0.02
    assert not np.delete(body.phagocytes.macrophages, DONOR).any()
    assert body.observables()["macrophages"] == body.phagocytes.macrophages[DONOR]


def test_they_kill_in_pairs_and_only_what_their_receptor_sees(body: Body) -> None:
    assert body.phagocytes is not None
    r, seen = body.phagocytes.rules, np.full(len(ENGINEERED), 6e10)
    found = phagocytes.hazard(body, seen)
    macrophages = body.phagocytes.macrophages[DONOR]
    neutrophils = body.blood.neutrophils[DONOR] * body.edited.neutrophils[COMPLETE, DONOR]
    met = macrophages + neutrophils + 6e10 + r.phagocyte_search
    expected = (r.macrophage_kill * macrophages + r.neutrophil_kill * neutrophils) / met
    assert found[ROW] == pytest.approx(expected, rel=1e-9)
    assert not np.delete(found, ROW).any()
    few = phagocytes.hazard(body, np.zeros(len(ENGINEERED)))
    assert found[ROW] < few[ROW] < r.macrophage_kill


def test_drugs_and_the_safety_switch_take_them() -> None:
    body = body_of("myeloid")
    live(body, 10.0)
    assert body.phagocytes is not None
    before = body.phagocytes.macrophages[DONOR]
    phagocytes.purge(body, 0.9)
    assert body.phagocytes.macrophages[DONOR] == pytest.approx(0.1 * before)
    body.drugs.irradiate(2.0)
    expected = exp(-body.drugs.kills(STEP_H)[1][3])
    live_one = body.phagocytes.macrophages[DONOR]
    immunity.survive_drugs(body, STEP_H)
    assert body.phagocytes.macrophages[DONOR] == pytest.approx(expected * live_one)


def test_they_enter_the_marrow_with_gene_and_receptor(body: Body) -> None:
    assert body.phagocytes is not None
    body.phagocytes.waiting[:] = [0.0, 3.5, 0.0, 0.0]
    arrivals = body.phagocytes.depart(body.edited.myeloid_receptors())
    assert arrivals == [(Kind.MACROPHAGE, DONOR, CAR, 3)]
    assert body.phagocytes.waiting[DONOR] == 0.5
    bits = pack_hot(edits=1 << EditBit.EDITED | 1 << EditBit.TRANSGENE | 1 << EditBit.SWITCH)
    assert body.edits_of(arrivals).tolist() == [bits] * 3
    before = body.pack()
    body.settle(arrivals)  # the pool counts those of the marrow: who finds no site is not missed
    after = body.pack()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_body_is_restored_with_its_macrophages(body: Body) -> None:
    other = body_of("myeloid")
    other.unpack(body.pack())
    assert other.phagocytes is not None
    assert body.phagocytes is not None
    assert np.array_equal(other.phagocytes.macrophages, body.phagocytes.macrophages)
    assert "phagocytes.macrophages" not in body_of("lymphoid").pack()


def armed(backend: Any) -> Simulation:
    """Return the tiny patient, as if an edited graft had taken, into whose marrow macrophages of the graft go."""
    graft = {"day": -1.5, "action": "graft", "source": "blood", "cd34_per_kg": 2e8, "edit": GENE}
    sim = Simulation.start(tiny_config(events=[graft], patient={"donor": "autologous"}), backend)
    sim.body.edited.begin(Edit.model_validate(GENE), DONOR)
    assert sim.body.phagocytes is not None
    sim.body.phagocytes.waiting[DONOR] = 1500.0
    for _ in range(30):
        sim.advance()
    return sim


def test_on_the_lattice_they_engage_cells_with_the_antigen_and_no_others(backend: Any) -> None:
    sim, twin = armed(backend), armed(NumpyBackend())
    assert state_hash(sim.snapshot()) == state_hash(twin.snapshot())
    words = sim.snapshot().arrays["mot_hot"]
    assert (words[words & 63 == Kind.MACROPHAGE] >> 6 & 3 == DONOR).all()
    assert (words & 63 == Kind.MACROPHAGE).sum() > 50
    killed = sim.flux[Count.KILL].sum(axis=1)
    assert killed.sum() > 0
    assert {Kind(kind) for kind in np.flatnonzero(killed).tolist()} <= {Kind.PRO_B, Kind.PRE_B, Kind.IMMATURE_B}


def scenario(lineage: str) -> Config:
    changes = (f'events.1.edit.lineage="{lineage}"', "time.step_min=240", "time.end_day=60", "patch.shape=[32,32,32]")
    return load_config(resources.folder("scenarios") / "car_macrophage.toml", changes)


def test_the_scenario_empties_the_body_of_b_cells_and_leaves_neutrophils() -> None:
    seen = {}
    for lineage in ("lymphoid", "myeloid"):
        patient = Simulation.start(scenario(lineage), choose("auto")[0])
        while patient.step < patient.config.n_steps:
            patient.advance()
        seen[lineage] = patient.body.observables()
    assert seen["myeloid"]["b"] < 0.1 * seen["lymphoid"]["b"]
    assert seen["myeloid"]["anc"] > 0.5 * seen["lymphoid"]["anc"]
    assert seen["myeloid"]["macrophages"] > 1e9 > seen["lymphoid"]["macrophages"] == 0.0


def test_a_lineage_that_is_none_is_told() -> None:
    with pytest.raises(ConfigError, match="lineage"):
        scenario("red")
