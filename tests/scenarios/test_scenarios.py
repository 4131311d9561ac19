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

#: What the comment at the top of a scenario tells, in this order.
HEADER = ("Question", "Expected", "Seen", "Sources", "Run time", "Command")
SCENARIOS = sorted(Path(resources.folder("scenarios")).glob("*.toml"))


def test_the_scenarios_are_there() -> None:
    names = {path.stem for path in SCENARIOS}
    assert names >= {"homeostasis", "homeostasis_mouse", "aml_untreated", "aml_hsct"}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_header_says_what_to_expect(path: Path) -> None:
    header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
    said = [word for line in header for word in HEADER if line.startswith(f"# {word}:")]
    assert said == list(HEADER)
    assert header[-1].split(":", 1)[1].strip().startswith(f"abm run scenarios/{path.name}")


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
    longest = max(0.2, 0.3 * 5 * config.step_h / 24.0)  # in steps of 4 h a leukaemia has most of a day to grow
    assert abs(sim.n_agents - before) < longest * before
