"""Cells that divide and die independently are a branching process: the lattice must draw it exactly.

Theory: Galton-Watson process, e.g. Kimmel & Axelrod, Branching Processes in Biology (2015), chapter 3.
"""

from __future__ import annotations

import shutil
from math import sqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from abm import resources
from abm.backends import choose
from abm.bench.workloads import bare_patch
from abm.cells import COLD, Cycle, Kind, pack_hot
from abm.config import load_config
from abm.step import Simulation

pytestmark = pytest.mark.science

#: Of a founder, per day: it divides, dies, or moves (which keeps its descendants from standing in each other's way).
DIVIDE, DIE, MOVE = 0.6, 0.3, 12.0
DAYS, EDGE, SPACING = 6, 96, 8


class Process(NamedTuple):
    """Chances of a cell in one step."""

    divides: float
    dies: float

    @classmethod
    def of_rates(cls, step_h: float) -> Process:
        """Return the chances of a step; moves take no turn of theirs."""
        return cls(DIVIDE * step_h / 24, DIE * step_h / 24)

    def extinct(self, steps: int) -> float:
        """Return the probability that a founder has no descendants: iterate the generating function at 0."""
        q = 0.0
        for _ in range(steps):
            q = self.dies + self.divides * q * q + (1 - self.dies - self.divides) * q
        return q

    def size(self, steps: int) -> tuple[float, float]:
        """Return mean and variance of the number of descendants."""
        mean = 1 + self.divides - self.dies
        variance = self.divides + self.dies - (self.divides - self.dies) ** 2
        return mean**steps, variance * mean ** (steps - 1) * (mean**steps - 1) / (mean - 1)


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    """Founders on a grid of a bare patch, each a clone, after some days."""
    folder = tmp_path_factory.mktemp("branching")
    bench = Path(resources.folder("scenarios")) / "bench"
    shutil.copytree(bench / "marrow_lite", folder / "marrow_lite")
    shutil.copy(bench / "marrow_lite.toml", folder)
    table = folder / "marrow_lite" / "behaviours.csv"
    text = table.read_text(encoding="utf-8")
    for behaviour, rate in (("DIE", DIE), ("DIVIDE", DIVIDE)):
        text = text.replace(f"MPP,any,{behaviour},0.24", f"MPP,any,{behaviour},{rate}")
    table.write_text(f"{text}MPP,any,MOVE,{MOVE},1/day,definition of the test,assumption\n", encoding="utf-8")
    config = load_config(folder / "marrow_lite.toml", [f"patch.shape=[{EDGE},{EDGE},{EDGE}]"])
    sim = bare_patch(config, choose("auto")[0])
    hot = np.zeros(config.patch.shape, np.uint32)
    grid = (slice(None, None, SPACING),) * 3
    hot[grid] = pack_hot(kind=Kind.MPP, cycle=Cycle.CYCLING)
    clone = np.zeros_like(hot)
    clone[grid] = np.arange(hot[grid].size).reshape(hot[grid].shape)
    sim.lattice.load("res_hot", hot)
    sim.lattice.load("res_cold", clone)
    sim._refresh_counts()
    for _ in range(round(DAYS * 24 / config.step_h)):
        sim.advance()
    return sim


@pytest.fixture(scope="module")
def sizes(simulation: Simulation) -> np.ndarray:
    """Descendants of each founder."""
    n_clones = (EDGE // SPACING) ** 3
    shift, mask = next((f.shift, (1 << f.bits) - 1) for f in COLD if f.name == "clone")
    living = simulation.lattice.owned("res_hot") != 0
    clones = (simulation.lattice.owned("res_cold")[living] >> shift) & mask
    return np.bincount(clones, minlength=n_clones)


def test_extinction_is_that_of_a_branching_process(simulation: Simulation, sizes: np.ndarray) -> None:
    expected = Process.of_rates(simulation.config.step_h).extinct(simulation.step)
    error = sqrt(expected * (1 - expected) / sizes.size)
    assert 0.2 < expected < 0.5
    assert abs((sizes == 0).mean() - expected) < 4 * error


def test_clone_sizes_have_mean_and_variance_of_a_branching_process(simulation: Simulation, sizes: np.ndarray) -> None:
    mean, variance = Process.of_rates(simulation.config.step_h).size(simulation.step)
    assert mean > 3  # so that crowding would show
    assert abs(sizes.mean() - mean) < 4 * sqrt(variance / sizes.size)
    # the variance of a sample of geometric tails: its own error by the fourth moment
    deviation = (sizes - mean) ** 2
    assert abs(deviation.mean() - variance) < 4 * deviation.std() / sqrt(sizes.size)
