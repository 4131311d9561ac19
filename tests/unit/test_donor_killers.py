"""NK cells of the donor kill leukaemia whose HLA does not hold them back: on the lattice and below one agent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import LOSS_ANTIGENS, Antigen, Count, Cycle, Kind, Origin, Specificity, pack_hot
from abm.model.body import Body, Watch, escape, natural_killers, residue
from abm.model.body.drugs import LEUKAEMIC
from abm.model.body.immune import INDEX
from abm.model.body.residue import StemCells
from abm.setup import load_model
from abm.step import Simulation
from tests.tiny import tiny_config
from tests.unit.body_case import Person, counts, make_body, tables

STEM = StemCells(
    wake=0.495, divide=0.593, renew=0.66, die=0.005, resting=0.3, open_share=0.55, per_agent=4e4, full=1e7, start=100.0
)
HLA_LOSS = 1 << LOSS_ANTIGENS.index(Antigen.HLA_CLASS_I)
ADULT = 1.25e10  #: NK cells of an adult


def patient(free: float, nk_cells: float = ADULT, **person: Any) -> Body:
    """Return somebody whose NK cells are the donor's."""
    body = make_body(Person(donor="haplo", missing_self_graft=free, **person))
    body.lymphocytes.pools[INDEX[Kind.NK]] = 0.0
    body.lymphocytes.pools[INDEX[Kind.NK], Origin.DONOR] = nk_cells
    return body


def rate(body: Body) -> float:
    """Return the death hazard of a leukaemic stem cell, 1/d."""
    return float(body.drug_hazards()[Kind.LSC, Cycle.CYCLING]) * 24.0


def with_residue(free: float) -> Body:
    body = make_body(Person(donor="haplo", missing_self_graft=free))
    whole = Body(tables(), body.patient, replace(body.scale, leukaemia=STEM))
    whole.lymphocytes.pools[INDEX[Kind.NK], Origin.DONOR] = ADULT
    return whole


def test_without_the_input_there_are_none() -> None:
    body = patient(0.0)
    assert body.killers is None
    assert (body.drug_hazards() == 0.0).all()
    assert not any("killers" in name for name in body.pack())


def test_leukaemic_cells_alone_die_whatever_their_cycle_and_variant() -> None:
    body = patient(0.1)
    table = body.drug_hazards()
    others = np.delete(table, LEUKAEMIC, axis=0)
    assert (table[list(LEUKAEMIC)] == table[Kind.LSC, 0]).all()
    assert table[Kind.LSC, 0] > 0.0
    assert (others == 0.0).all()
    np.testing.assert_array_equal(body.variant_hazards()[0], table)
    np.testing.assert_array_equal(body.drug_hazards([Kind.HSC])[Kind.LSC], 0.0)


def test_the_more_are_unrestrained_and_the_more_there_are_the_faster() -> None:
    rules = natural_killers.rules_of(patient(0.1))
    by_share = [rate(patient(share)) for share in (0.01, 0.1, 1.0)]
    assert by_share == sorted(by_share)
    assert by_share[1] == pytest.approx(rules.nk_kill * 1.25e9 / (1.25e9 + rules.nk_search))
    assert by_share[2] < rules.nk_kill
    assert rate(patient(0.1, ADULT / 100)) == pytest.approx(rate(patient(0.001)))
    assert rate(patient(1.0, 0.0)) == 0.0


def test_those_of_the_host_do_not_kill_it_and_those_of_both_cord_units_do() -> None:
    body = patient(0.1, 0.0)
    body.lymphocytes.pools[INDEX[Kind.NK], Origin.HOST] = ADULT
    assert rate(body) == 0.0
    body.lymphocytes.pools[INDEX[Kind.NK], [Origin.DONOR, Origin.DONOR2]] = ADULT / 2
    assert rate(body) == pytest.approx(rate(patient(0.1)))


def test_overt_leukaemia_is_too_much_for_them() -> None:
    body = patient(0.1)
    alone, table = rate(body), counts(body, 1.0)
    table[Count.POPULATION, Kind.BLAST, Origin.HOST] = 40_000  # as many as half of the marrow
    natural_killers.watch(body, table[Count.POPULATION])
    assert body.killers is not None
    assert body.killers.targets == pytest.approx(40_000 * body.scale.cells_per_agent)
    assert rate(body) < alone / 100
    dying = rate(body) * body.killers.targets
    assert dying < body.killers.rules.nk_kill * 0.1 * ADULT, "none kills more than one does"


def test_steroids_spare_leukaemia_from_them() -> None:
    body = patient(0.1)
    before = rate(body)
    body.drugs.set_level(list(body.tables.drugs).index("prednisolone"), 1.0)
    assert rate(body) == pytest.approx(before * (1.0 - body.drugs.inhibition("killing")))
    assert 0.0 < rate(body) < before


def test_what_t_cells_see_of_it_does_not_matter() -> None:
    assert rate(patient(0.1, leukaemia_immunogenicity=0.0)) == rate(patient(0.1))


def test_all_is_killed_less_than_aml() -> None:
    kill = {
        disease: load_model(tiny_config(patient={"disease": disease, "blast_fraction": 0.1})).tables.values["nk_kill"]
        for disease in ("aml", "all")
    }
    assert 0.0 < kill["all"] <= 0.2 * kill["aml"]


def test_residual_leukaemia_dies_by_them() -> None:
    left = {}
    for free in (0.0, 0.1):
        body = with_residue(free)
        for _ in range(24 * 10):
            residue.follow(body, np.zeros((64, 4), np.int64), 1.0)
        assert body.residue is not None
        left[free] = body.residue.log_growth
    assert left[0.1] - left[0.0] == pytest.approx(-10.0 * rate(with_residue(0.1)), rel=0.1)


def test_leukaemia_that_engineered_t_cells_do_not_see_dies_by_them_too() -> None:
    """Such as of what has lost HLA, which still lacks what it lacked."""
    left = []
    for free in (0.0, 0.5):
        body = with_residue(free)
        body.watch = Watch((Specificity.TCR_TRANSGENE,), lost=HLA_LOSS, unseen=0.5)
        body.escaped = escape.start(body)
        for _ in range(24 * 10):
            escape.follow(body, np.zeros((64, 4), np.int64), None, 1.0)
        assert body.escaped is not None
        left.append(body.escaped.risk)
    assert left[1] < left[0]


@pytest.mark.parametrize("loss", [0, HLA_LOSS])
def test_agents_of_the_lattice_die_by_them_with_and_without_hla(loss: int) -> None:
    """Two days of a patch with much leukaemia, without any drug or graft."""
    config = tiny_config(
        patient={"disease": "aml", "blast_fraction": 0.3, "donor": "haplo", "missing_self_graft": 1.0},
        events=[],
    )
    sim = Simulation.start(config, NumpyBackend())
    hot = sim.lattice.owned("res_hot")
    hot[np.isin(hot & 0x3F, LEUKAEMIC)] |= np.uint32(pack_hot(loss=loss))
    sim.lattice.load("res_hot", hot)
    assert sim.body.killers is not None
    sim.body.lymphocytes.pools[INDEX[Kind.NK], Origin.DONOR] = 1e16  # so many that targets do not hold them up
    hazard = float(sim.body.variant_hazards()[0, Kind.BLAST, 0]) * sim.config.step_h
    assert hazard == pytest.approx(sim.body.killers.rules.nk_kill * sim.config.step_h / 24.0, rel=0.01)
    exposed, died = 0, np.zeros((64, 4))
    for _ in range(48):
        exposed += int(sim.last[Count.POPULATION, list(LEUKAEMIC)].sum())
        sim.advance()
        died += sim.last[Count.DRUG]
    found = float(died[list(LEUKAEMIC)].sum())
    assert died.sum() == found, "leukaemic cells alone"
    assert abs(found - exposed * hazard) < 4.0 * (exposed * hazard) ** 0.5


def test_a_state_keeps_what_they_met() -> None:
    body = patient(0.1)
    table = counts(body, 1.0)
    table[Count.POPULATION, Kind.LSC, Origin.HOST] = 100
    natural_killers.watch(body, table[Count.POPULATION])
    again = patient(0.1, 0.0)
    again.unpack(body.pack())
    assert rate(again) == rate(body) < rate(patient(0.1))
