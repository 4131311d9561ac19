"""Golden hashes: a change of results is a decision, never an accident.

Reset with ``python -m tests.golden.test_golden`` and say so in CHANGELOG.md under *Results change*.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from abm import resources
from abm.backends import choose
from abm.config import Config, load_config
from abm.io import state_hash
from abm.step import Simulation
from tests.tiny import tiny_config

FILE = Path(__file__).with_name("hashes.json")
EVERY = 10
STEPS = 40


def golden_configs() -> dict[str, Config]:
    """The configurations whose trajectories are pinned."""
    scenarios = Path(resources.folder("scenarios"))
    small = ["patch.shape=[24, 20, 16]"]
    names = ("homeostasis", "homeostasis_mouse", "aml_hsct")
    return {"tiny": tiny_config()} | {name: load_config(scenarios / f"{name}.toml", small) for name in names}


def trajectory(config: Config, backend: Any) -> dict[str, str]:
    """Return the state hash every few steps."""
    sim = Simulation.start(config, backend)
    hashes = {"0": state_hash(sim.snapshot())}
    while sim.step < STEPS:
        sim.advance()
        if sim.step % EVERY == 0:
            hashes[str(sim.step)] = state_hash(sim.snapshot())
    return hashes


@pytest.mark.parametrize("name", list(golden_configs()))
def test_the_trajectory_is_the_pinned_one(name: str, backend: Any) -> None:
    expected = json.loads(FILE.read_text(encoding="utf-8"))
    assert trajectory(golden_configs()[name], backend) == expected[name]


if __name__ == "__main__":
    chosen, why = choose("auto")
    print(why)
    result = {name: trajectory(config, chosen) for name, config in golden_configs().items()}
    FILE.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
