"""A patient without a lattice: engineered T cells take what shows their antigen, in marrow and blood."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abm import resources
from abm.backends import choose
from abm.cells import Count, Kind, Origin
from abm.config import load_config
from abm.step import Simulation
from abm.well_mixed import WellMixed

LUPUS = Path(resources.folder("scenarios")) / "sle_cart.toml"
B_PRECURSORS = [Kind.PRO_B, Kind.PRE_B, Kind.IMMATURE_B]
CHANGES = ("time.start_day=-6", "time.end_day=20", "patch.shape=[20,20,20]", "time.step_min=240")


def well_mixed(*changes: str) -> WellMixed:
    """Return the patient at the end."""
    patient = WellMixed(load_config(LUPUS, [*CHANGES, *changes]))
    while not patient.over:
        patient.advance()
    return patient


def precursors(patient: WellMixed | Simulation) -> float:
    """Return the share of B precursors among residents of the marrow."""
    cells = patient.last[Count.POPULATION]
    return float(cells[B_PRECURSORS].sum() / cells.sum())


def test_engineered_t_cells_take_b_cells_and_spare_the_others() -> None:
    given, without = well_mixed(), well_mixed("events.2.cells_per_kg=1e-3")
    assert precursors(given) < 0.02 * precursors(without)
    b, usual = (patient.body.observables()["b"] for patient in (given, without))
    assert 0.0 <= b < 0.01 * usual
    spared = [Kind.HSC, Kind.MYELOCYTE, Kind.NEUTROPHIL, Kind.MEGAKARYOCYTE]
    there, expected = (patient.last[Count.POPULATION, spared, Origin.HOST] for patient in (given, without))
    np.testing.assert_allclose(there, expected, rtol=0.05)


def test_they_take_the_course_of_those_of_a_patch() -> None:
    """Within a factor of three, since a small patch holds few B precursors; the step matters less."""
    patch = Simulation.start(load_config(LUPUS, [*CHANGES, "time.end_day=14"]), choose("auto")[0])
    while patch.day < 8.0:
        patch.advance()
    mixed, coarse = (well_mixed("time.end_day=8", f"time.step_min={step}") for step in (240, 720))
    dose = 65.0 * 1e6
    expanded = patch.body.engineered.total / dose
    assert expanded > 20.0
    assert expanded / 3.0 < mixed.body.engineered.total / dose < 3.0 * expanded
    assert coarse.body.engineered.total == pytest.approx(mixed.body.engineered.total, rel=0.25)
    assert precursors(mixed) < 0.002
    while not patch.over:  # three dozen agents of them: the last ones are found sooner or later
        patch.advance()
    assert precursors(patch) < 0.002
