"""The law with residual leukaemia that becomes agents again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import Count, Kind
from abm.config import Config
from abm.io import read_checkpoint, state_hash, write_checkpoint
from abm.model.body.residue import RESIDUAL
from abm.step import Simulation
from tests.tiny import tiny_config

PATIENT = {
    "disease": "aml",
    "blast_fraction": 0.02,
    "donor": "twin",
    "residual_leukaemia": True,
    "residual_doubling_days": 1.0,
}
EVENTS = [{"day": -1.9, "action": "tbi", "dose_gy": 3.0, "fractions": 1}]
STEPS, EVERY = 96, 24


def patient() -> Config:
    """Return a patient whose residual leukaemia grows within days."""
    return tiny_config(patient=PATIENT, events=EVENTS)


def advance(sim: Simulation, steps: int) -> Simulation:
    for _ in range(steps):
        sim.advance()
    return sim


@pytest.fixture(scope="module")
def reference() -> dict[int, str]:
    """Hashes of the NumPy trajectory at some steps."""
    sim = Simulation.start(patient(), NumpyBackend())
    return {step + EVERY: state_hash(advance(sim, EVERY).snapshot()) for step in range(0, STEPS, EVERY)}


def test_backends_agree(backend: Any, reference: dict[int, str]) -> None:
    sim = Simulation.start(patient(), backend)
    for step, wanted in reference.items():
        assert state_hash(advance(sim, EVERY).snapshot()) == wanted, f"differs at step {step}"


@pytest.mark.parametrize("at", [7, 61])
def test_restart_on_another_backend(backend: Any, reference: dict[int, str], tmp_path: Path, at: int) -> None:
    write_checkpoint(tmp_path, advance(Simulation.start(patient(), NumpyBackend()), at).snapshot(), keep=1)
    [folder] = tmp_path.glob("checkpoint-*")
    sim = Simulation.restore(patient(), backend, read_checkpoint(folder))
    assert state_hash(advance(sim, STEPS - at).snapshot()) == reference[STEPS]


def test_residual_leukaemia_comes_back_to_the_patch() -> None:
    sim = Simulation.start(patient(), NumpyBackend())
    least, residual = 10**9, False
    for _ in range(STEPS):
        sim.advance()
        residual |= sim.body.residue is not None and sim.body.residue.phase == RESIDUAL
        least = min(least, int(sim.last[Count.POPULATION, Kind.LSC].sum()))
    assert residual
    assert least == 0
    assert sim.last[Count.POPULATION, Kind.LSC].sum() > least
