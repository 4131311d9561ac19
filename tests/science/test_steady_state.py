"""A healthy patient begins where the marrow stays: with the averages of the lattice, and held there by growth factors.

Small misfits are absorbed: production falls towards nothing as the factor that a line of cells lives on is taken away.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from abm import resources
from abm.backends import choose
from abm.cells import N_KINDS, Behaviour, Count, Kind
from abm.config import Config, load_config
from abm.model.traffic import OPEN_LINEAGES
from abm.step import Simulation
from abm.well_mixed import WellMixed

pytestmark = pytest.mark.science

Floats = NDArray[np.float64]
SCENARIO = {"human": "homeostasis.toml", "mouse": "homeostasis_mouse.toml"}
COUNTS = ("anc", "platelets", "hb")
#: Kind that leaves for the blood, and the range of what is left of its output without the factor.
WITHOUT = {
    "epo": (Kind.RETICULOCYTE, 0.0, 0.1),
    "tpo": (Kind.PLATELET_FORMING_MK, 0.1, 0.3),
    "gcsf": (Kind.NEUTROPHIL, 0.1, 0.35),
}


def scenario(species: str, days: int, *changes: str) -> Config:
    """Return a healthy patient for so many days."""
    path = Path(resources.folder("scenarios")) / SCENARIO[species]
    return load_config(path, [f"time.end_day={days}", *changes], 1)


@pytest.mark.parametrize("species", SCENARIO)
def test_averages_of_the_start_are_a_steady_state(species: str) -> None:
    """Without chance, counts stay within 4 % for 100 days, cells of all kinds within 10 %."""
    patient = WellMixed(scenario(species, 100))
    cells, counts = patient.pool.sum(axis=(0, 2)), patient.body.observables()
    while not patient.over:
        patient.advance()
    after = patient.body.observables()
    for name in COUNTS:
        assert after[name] == pytest.approx(counts[name], rel=0.04), name
    there = cells > 0.0
    np.testing.assert_allclose(patient.pool.sum(axis=(0, 2))[there], cells[there], rtol=0.1)


@pytest.mark.parametrize("species", SCENARIO)
def test_a_patch_begins_where_it_stays(species: str) -> None:
    """On the lattice, chance included, counts of the first month stay near those of the start."""
    sim, daily = Simulation.start(scenario(species, 30, "patch.shape=[64,64,64]"), choose("auto")[0]), []
    usual = sim.body.observables()
    while not sim.over:
        sim.advance()
        if sim.step % 24 == 0:
            daily.append([sim.observables()[name] for name in COUNTS])
    for name, counts in zip(COUNTS, np.array(daily).T, strict=True):
        assert counts.mean() == pytest.approx(usual[name], rel=0.05 if name == "hb" else 0.1), name
        np.testing.assert_allclose(counts.reshape(-1, 5).mean(axis=1), usual[name], rtol=0.2, err_msg=name)


@pytest.mark.parametrize("species", SCENARIO)
def test_divisions_find_the_room_that_the_start_reckons_with(species: str) -> None:
    """By lineage, weighed by attempts, once kin stand together; a small patch fills and empties, which is left."""
    sim = Simulation.start(scenario(species, 60, "patch.shape=[48,48,48]"), choose("auto")[0])
    attempts, births = np.zeros(N_KINDS), np.zeros(N_KINDS)
    rate = sim.model.rules.base[1::2, Behaviour.DIVIDE] * sim.config.step_h / 24.0
    while not sim.over:
        standing, before = sim.last[Count.POPULATION].sum(axis=1), sim.flux[Count.BIRTH].sum(axis=1)
        pace = sim.model.rules.pace(sim.body.signals() | {"niche_vacancy": 1.0, "crowding": 0.0})
        sim.advance()
        if sim.day > 20.0:
            attempts += rate * pace * standing
            births += sim.flux[Count.BIRTH].sum(axis=1) - before
    for lineage in OPEN_LINEAGES:
        kinds = sim.model.rules.lineage(lineage)
        kinds[Kind.HSC] = False
        n = births[kinds].sum()
        share, error = n / attempts[kinds].sum(), 1.0 / np.sqrt(n)
        expected = sim.model.traffic[f"open_share_{lineage}"]
        assert share == pytest.approx(expected, abs=0.1 + 3.0 * error), lineage


def erythroid_output(red_cells: float, days: int = 12) -> float:
    """Return reticulocytes a day, relative to usual, days after the red cells came to so many times the usual."""
    patient = WellMixed(scenario("human", days))
    usual = patient.model.homeostasis.exits[Kind.RETICULOCYTE] * patient.pool[:, Kind.MPP].sum()
    usual /= patient.model.homeostasis.by_kind[Kind.MPP]
    patient.body.blood.red_cells *= red_cells
    while patient.step < patient.config.n_steps - 24:
        patient.advance()
    before = patient.flux[Count.EGRESS, Kind.RETICULOCYTE].sum()
    for _ in range(24):
        patient.advance()
    return float((patient.flux[Count.EGRESS, Kind.RETICULOCYTE].sum() - before) / usual)


def test_transfused_to_a_high_haemoglobin_the_marrow_makes_hardly_any_red_cells() -> None:
    """And the more anaemic, the more: EPO rises and falls with what is missing."""
    output = [erythroid_output(x) for x in (1.5, 1.1, 1.0, 0.6)]
    assert output[0] < 0.1
    assert output[1] < 0.75
    assert output[2] == pytest.approx(1.0, abs=0.05)
    assert output[3] > 2.0


@pytest.mark.parametrize("species", SCENARIO)
@pytest.mark.parametrize("factor", WITHOUT)
def test_without_its_growth_factor_a_line_makes_few_cells(species: str, factor: str) -> None:
    """As in mice without it (Lieschke, Blood 1994; Gurney, Science 1994) and after transfusion."""
    kind, least, most = WITHOUT[factor]
    with_it, without = (WellMixed(scenario(species, 60, "time.step_min=240")) for _ in range(2))
    while not without.over:
        setattr(without.body.cytokines, factor, 0.0)
        for patient in (with_it, without):
            patient.flux[...] = 0.0
            patient.advance()
    left = without.flux[Count.EGRESS, kind].sum() / with_it.flux[Count.EGRESS, kind].sum()
    assert least <= left < most
