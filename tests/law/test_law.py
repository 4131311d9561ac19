"""The law: the state after step t is a pure function of (scenario, seed, t). Zero tolerance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import Count, Kind
from abm.config import Config
from abm.io import read_checkpoint, state_hash, write_checkpoint
from abm.step import Simulation
from tests.tiny import tiny_config


def run(config: Config, backend: Any, steps: int, sim: Simulation | None = None) -> Simulation:
    sim = sim or Simulation.start(config, backend)
    for _ in range(steps):
        sim.advance()
    return sim


@pytest.fixture(scope="module")
def reference() -> dict[int, str]:
    """Hashes of the NumPy trajectory at some steps."""
    sim = Simulation.start(tiny_config(), NumpyBackend())
    hashes = {0: state_hash(sim.snapshot())}
    while sim.step < sim.n_steps:
        sim.advance()
        if sim.step % 12 == 0:
            hashes[sim.step] = state_hash(sim.snapshot())
    return hashes


def test_backends_agree_at_every_stage(backend: Any, reference: dict[int, str]) -> None:
    sim = Simulation.start(tiny_config(), backend)
    assert state_hash(sim.snapshot()) == reference[0]
    while sim.step < sim.n_steps:
        sim.advance()
        if sim.step in reference:
            assert state_hash(sim.snapshot()) == reference[sim.step], f"differs at step {sim.step}"


def test_the_trajectory_is_not_trivial(reference: dict[int, str]) -> None:
    assert len(set(reference.values())) == len(reference)
    sim = Simulation.start(tiny_config(), NumpyBackend())
    start = sim.last[Count.POPULATION].copy()
    total = np.zeros_like(sim.flux)
    while sim.step < sim.n_steps:
        sim.advance()
        total += sim.last
    by_count = total.sum(axis=(1, 2))
    for row in (Count.BIRTH, Count.DIE, Count.DRUG, Count.EGRESS, Count.BECAME, Count.LEFT):
        assert by_count[row] > 0, row.name
    assert sim.last[Count.POPULATION, Kind.HSC, 1] > 0, "no donor HSC lodged"
    assert start[Kind.BLAST].sum() > sim.last[Count.POPULATION, Kind.BLAST].sum(), "the drugs killed no blast"


@pytest.mark.parametrize("at", [1, 47, 90])
def test_restart_anywhere_on_another_backend(backend: Any, reference: dict[int, str], tmp_path: Path, at: int) -> None:
    config = tiny_config()
    write_checkpoint(tmp_path, run(config, NumpyBackend(), at).snapshot(), keep=1)
    [folder] = tmp_path.glob("checkpoint-*")
    sim = Simulation.restore(config, backend, read_checkpoint(folder))
    assert sim.step == at
    run(config, backend, sim.n_steps - at, sim)
    assert state_hash(sim.snapshot()) == reference[96]


def test_output_cadence_does_not_matter(backend: Any, reference: dict[int, str]) -> None:
    sim = Simulation.start(tiny_config(), backend)
    for step in range(sim.n_steps):
        sim.advance()
        if step % 5 == 0:
            sim.snapshot()
            sim.record()
    assert state_hash(sim.snapshot()) == reference[96]


def test_another_seed_is_another_patient() -> None:
    hashes = {state_hash(run(tiny_config(seed=seed), NumpyBackend(), 3).snapshot()) for seed in (7, 8, 2**64 - 1)}
    assert len(hashes) == 3


def test_a_smaller_step_runs(backend: Any) -> None:
    time = {"start_day": -2.0, "end_day": -1.5, "step_min": 30}
    events: list[object] = []
    sims = [run(tiny_config(time=time, events=events), b, 24) for b in (backend, NumpyBackend())]
    assert len({state_hash(s.snapshot()) for s in sims}) == 1
