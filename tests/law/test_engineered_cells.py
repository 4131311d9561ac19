"""The law with engineered T cells: all backends count alike what a receptor sees, and a restart changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import Count, Kind, Origin
from abm.config import Config
from abm.io import read_checkpoint, state_hash, write_checkpoint
from abm.step import Simulation

TREATED: dict[str, Any] = {
    "seed": 5,
    "patch": {"shape": [18, 14, 13]},
    "time": {"start_day": -1.0, "end_day": 2.0},
    "patient": {"disease": "all", "blast_fraction": 0.4, "donor": "autologous", "preexisting_mutants": 1e5},
    "events": [
        {"day": -1.0, "action": "chemo", "drug": "cyclophosphamide", "dose_mg_per_m2": 500.0},
        {"day": -0.5, "action": "cells", "product": "car_t", "receptor": "CAR_CD19", "cells_per_kg": 3e9},
        {"day": 0.5, "action": "cells", "product": "car_t", "receptor": "CAR_CD33", "cells_per_kg": 1e8},
        {"day": -0.5, "action": "treat", "against": "crs", "drug": "tocilizumab", "grade": 1, "days": 1.0,
         "taper_days": 0.0},
    ],
}  # fmt: skip
STEPS = 72


def advanced(backend: Any, steps: int = STEPS) -> Simulation:
    sim = Simulation.start(Config.model_validate(TREATED), backend)
    while sim.step < steps:
        sim.advance()
    return sim


@pytest.fixture(scope="module")
def reference() -> Simulation:
    return advanced(NumpyBackend())


def test_backends_agree(backend: Any, reference: Simulation) -> None:
    assert state_hash(advanced(backend).snapshot()) == state_hash(reference.snapshot())


@pytest.mark.parametrize("at", [12, 13, 50])
def test_restart_before_and_after_the_infusion(backend: Any, reference: Simulation, tmp_path: Path, at: int) -> None:
    write_checkpoint(tmp_path, advanced(NumpyBackend(), at).snapshot(), keep=1)
    [folder] = tmp_path.glob("checkpoint-*")
    sim = Simulation.restore(Config.model_validate(TREATED), backend, read_checkpoint(folder))
    while sim.step < STEPS:
        sim.advance()
    assert state_hash(sim.snapshot()) == state_hash(reference.snapshot())


def test_the_trajectory_is_not_trivial(reference: Simulation) -> None:
    on_lattice = reference.last[Count.POPULATION, Kind.CD8_EFFECTOR, Origin.PRODUCT]
    assert on_lattice > 10
    assert reference.flux[Count.KILL, [Kind.BLAST, Kind.LSC]].sum() > 20
    assert reference.body.drugs.level[reference.body.drugs.index("tocilizumab")] == 1.0
    assert (reference.body.engineered.cells[:2].sum(axis=1) > 0).all()


def test_cells_without_the_antigen_are_not_seen(reference: Simulation) -> None:
    """A tenth of the leukaemia has lost CD19 at the start; effectors kill what is left of the others."""
    before, after = advanced(NumpyBackend(), 1), reference
    lost = [sim.record().values["lost_cd19"] for sim in (before, after)]
    assert 0.05 < lost[0] < 0.2
    assert lost[1] > 1.3 * lost[0]
