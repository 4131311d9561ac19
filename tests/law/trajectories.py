"""One trajectory on every backend, and through a checkpoint: what the tests of the law share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from abm.backends.numpy_backend import NumpyBackend
from abm.config import Config
from abm.io import read_checkpoint, state_hash, write_checkpoint
from abm.step import Simulation

STEPS, EVERY = 96, 24


def advance(sim: Simulation, steps: int) -> Simulation:
    """Do some steps."""
    for _ in range(steps):
        sim.advance()
    return sim


def hashes(config: Config, backend: Any) -> dict[int, str]:
    """Return the state hashes of a trajectory at some steps."""
    sim = Simulation.start(config, backend)
    return {step + EVERY: state_hash(advance(sim, EVERY).snapshot()) for step in range(0, STEPS, EVERY)}


def hash_after_restart(config: Config, backend: Any, folder: Path, at: int) -> str:
    """Return the last hash where NumPy does the steps up to a checkpoint, and the backend all others."""
    write_checkpoint(folder, advance(Simulation.start(config, NumpyBackend()), at).snapshot(), keep=1)
    [checkpoint] = folder.glob("checkpoint-*")
    sim = Simulation.restore(config, backend, read_checkpoint(checkpoint))
    return state_hash(advance(sim, STEPS - at).snapshot())
