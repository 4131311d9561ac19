"""Every shipped scenario is valid, explains itself, and runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abm import resources
from abm.backends.numpy_backend import NumpyBackend
from abm.cells import Count
from abm.config import load_config
from abm.step import Simulation

SCENARIOS = sorted(Path(resources.folder("scenarios")).glob("*.toml"))


def test_the_scenarios_are_there() -> None:
    names = {path.stem for path in SCENARIOS}
    assert names >= {"homeostasis", "homeostasis_mouse", "aml_untreated", "aml_hsct"}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_header_says_what_to_expect(path: Path) -> None:
    header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    text = "\n".join(header)
    for word in ("Question:", "Expected:", "Run time:", f"abm run scenarios/{path.name}"):
        assert word in text, word


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_it_runs_five_steps(path: Path) -> None:
    config = load_config(path, ["patch.shape=[20, 20, 20]"])
    sim = Simulation.start(config, NumpyBackend())
    before = sim.n_agents
    assert before > 500
    for _ in range(5):
        sim.advance()
    assert sim.step == 5
    assert sim.last[Count.POPULATION].sum() == sim.n_agents
    values = np.array(list(sim.observables().values()))
    assert np.isfinite(values[values != np.inf]).all()
    assert abs(sim.n_agents - before) < 0.2 * before
