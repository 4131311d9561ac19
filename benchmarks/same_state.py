"""Whether two backends compute the same state: ``python -m benchmarks.same_state SCENARIO N STEPS BACKEND BACKEND...``.

The state is made once, on the first backend, at N x N x N sites, and handed to each; after STEPS steps their state
hashes are printed. Exit code 1 if they differ.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from abm.backends import choose
from abm.bench.measure import kept
from abm.bench.tiled import copies, tile
from abm.config import Config, load_config
from abm.errors import AbmError
from abm.io import state_hash
from abm.memory import refusal
from abm.scenario_files import scenario_path
from abm.step import Simulation


def load(scenario: str, size: int) -> Config:
    """Return the configuration at N x N x N sites."""
    return load_config(scenario_path(scenario), [f"patch.shape=[{size},{size},{size}]"])


def make(scenario: str, size: int, backend: Any) -> Simulation:  # noqa: ANN401 - any backend
    """Return the patient before the first step, a large patch made of copies of a smaller one."""
    n = copies(size)
    patient = Simulation.start(load(scenario, size // n), backend)
    return patient if n == 1 else tile(load(scenario, size), backend, patient)


def main(scenario: str, size: int, steps: int, names: list[str]) -> bool:
    """Print a line for each backend; return whether all hashes are equal."""
    config = load(scenario, size)
    backends = [choose(name)[0] for name in names]
    for backend in backends:
        if message := refusal(config.patch.shape, backend, Simulation.memory(config)[-1][1]):
            raise config.error("patch.shape", message)
    began = time.monotonic()
    start = make(scenario, size, backends[0]).snapshot()
    print(f"{scenario}, {config.n_sites:.3g} sites; made in {time.monotonic() - began:.0f} s", flush=True)
    hashes = []
    for backend in backends:
        simulation = Simulation.restore(config, backend, kept(start))
        began = time.monotonic()
        for _ in range(steps):
            simulation.advance()
        backend.sync()
        seconds = time.monotonic() - began
        hashes.append(state_hash(simulation.snapshot()))
        agents, updates = simulation.n_agents, config.n_sites * steps / seconds
        del simulation
        print(f"{backend.name}: {agents} agents, {updates:.3g} site-updates/s, step {steps} {hashes[-1]}", flush=True)
    print("the same state" if len(set(hashes)) == 1 else "DIFFERENT STATES")
    return len(set(hashes)) == 1


if __name__ == "__main__":
    try:
        sys.exit(0 if main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]) else 1)
    except AbmError as error:
        sys.exit(f"error: {error}")
