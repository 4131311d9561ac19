"""The law where HIV infects cells of the lattice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import Count, Kind
from abm.config import Config
from abm.step import Simulation
from tests.law.trajectories import STEPS, advance, hash_after_restart, hashes

#: A patient near the peak of acute infection, in steps of two hours.
ACUTE: dict[str, Any] = {
    "seed": 4,
    "patch": {"shape": [24, 20, 20]},
    "time": {"start_day": 0.0, "end_day": 10.0, "step_min": 120},
    "patient": {"infection": "hiv", "infection_day": -18.0},
    "output": {"series_h": 24},
}


@pytest.fixture(scope="module")
def reference() -> dict[int, str]:
    return hashes(Config.model_validate(ACUTE), NumpyBackend())


def test_backends_agree(backend: Any, reference: dict[int, str]) -> None:
    assert hashes(Config.model_validate(ACUTE), backend) == reference


def test_restart_on_another_backend(backend: Any, reference: dict[int, str], tmp_path: Path) -> None:
    assert hash_after_restart(Config.model_validate(ACUTE), backend, tmp_path, 61) == reference[STEPS]


def test_cells_are_infected_on_the_lattice_and_die_there() -> None:
    sim = advance(Simulation.start(Config.model_validate(ACUTE), NumpyBackend()), STEPS)
    assert sim.flux[Count.BECAME, Kind.CD4_HIV_ECLIPSE].sum() > 0
    assert sim.flux[Count.DIE, Kind.CD4_HIV_PRODUCTIVE].sum() > 0
    assert sim.flux[Count.EGRESS, Kind.CD4_HIV_PRODUCTIVE].sum() > 0
