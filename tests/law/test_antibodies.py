"""The law with antibodies on board: lent receptors, kill by antigen, exhaustion and blocked checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import Count, Kind
from abm.config import Config
from abm.step import Simulation
from tests.law.trajectories import STEPS, advance, hash_after_restart, hashes
from tests.tiny import tiny_config

EVENTS = [
    {"day": -1.8, "action": "antibody", "drug": "blinatumomab", "dose_mg": 0.1, "infusion_h": 60.0},
    {"day": -1.5, "action": "antibody", "drug": "nivolumab", "dose_mg_per_kg": 3.0},
    {"day": -1.2, "action": "antibody", "drug": "ipilimumab", "dose_mg_per_kg": 3.0},
    {"day": 0.5, "action": "antibody", "drug": "gemtuzumab", "dose_mg_per_m2": 9.0},
]


def patient() -> Config:
    """Return a patient with lymphoblastic leukaemia."""
    return tiny_config(patient={"disease": "all", "blast_fraction": 0.5}, events=EVENTS)


@pytest.fixture(scope="module")
def reference() -> dict[int, str]:
    """Hashes of the NumPy trajectory at some steps."""
    return hashes(patient(), NumpyBackend())


def test_backends_agree(backend: Any, reference: dict[int, str]) -> None:
    assert hashes(patient(), backend) == reference


@pytest.mark.parametrize("at", [7, 61])
def test_restart_on_another_backend(backend: Any, reference: dict[int, str], tmp_path: Path, at: int) -> None:
    assert hash_after_restart(patient(), backend, tmp_path, at) == reference[STEPS]


def test_the_trajectory_is_not_trivial() -> None:
    """T cells without receptors of their own kill and tire, and CD33+ cells die of the drug."""
    sim = Simulation.start(patient(), NumpyBackend())
    advance(sim, STEPS)
    assert sim.flux[Count.KILL, Kind.BLAST].sum() > 0
    assert sim.flux[Count.DRUG].sum() > 0
    assert sim.last[Count.POPULATION, Kind.CD8_EFFECTOR].sum() > 0
    hot = sim.lattice.owned("mot_hot")
    assert np.unique(hot[hot != 0] >> 12 & 3).size > 1
    assert 0.0 < sim.body.exhaustion.level < 1.0
