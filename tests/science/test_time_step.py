"""What the length of a step changes: nothing in waits, chains of waits and steady states, as theory has them.

An event comes about in a step with its hazard as probability: n waits in a row last n / rate on average, whatever the
step (with 1 - exp(-hazard) each would be half a step longer); what grows at a rate g does so at g - g^2 d / 2.
"""

from __future__ import annotations

from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest

from abm.cells import Count, Cycle, Kind, pack_hot
from tests.science.bare_marrow import Rules, agree, scatter, start

pytestmark = pytest.mark.science

SHAPE = (32, 32, 32)
STEPS = (30, 60, 120, 360)  #: min
RARELY = 1e-6  #: per day: a kind without any loss has no steady state


@pytest.mark.parametrize("step_min", STEPS)
def test_a_chain_of_stages_takes_the_sum_of_its_waits(tmp_path: Path, step_min: int) -> None:
    stages, rate, cells, days = 5, 3.0, 3000, 8
    rules = Rules().kind("MPP", stages, "NEUTROPHIL").rate("MPP", MATURE=rate)
    folder = rules.kind("NEUTROPHIL", 0).rate("NEUTROPHIL", EGRESS=rate).write(tmp_path)
    sim = start(folder, SHAPE, days, step_min=step_min, seed=step_min)
    scatter(sim, {pack_hot(kind=Kind.MPP, cycle=Cycle.CYCLING): cells})
    left = []
    while sim.step < sim.n_steps:
        sim.advance()
        left.append(int(sim.last[Count.EGRESS, Kind.NEUTROPHIL].sum()))
    times = np.repeat(np.arange(1, len(left) + 1) * step_min / 1440, left)
    assert times.size > 0.999 * cells
    agree(times, (stages + 1) / rate)


@pytest.mark.parametrize("step_min", STEPS)
def test_how_many_rest_does_not_depend_on_the_step(tmp_path: Path, step_min: int) -> None:
    """Of cells that wake and go to rest at rates a and b the share a / (a + b) is awake."""
    wake, rest, cells = 1.0, 4.0, 20_000
    rules = Rules().kind("MPP", 0).rate("MPP", "quiescent", SWITCH=wake).rate("MPP", "cycling", SWITCH=rest)
    sim = start(rules.rate("MPP", DIE=RARELY).write(tmp_path), SHAPE, 3, step_min=step_min, seed=step_min)
    scatter(sim, {pack_hot(kind=Kind.MPP): cells})
    while sim.step < sim.n_steps:
        sim.advance()
    awake, expected = cells - int(sim.last[Count.QUIESCENT, Kind.MPP].sum()), wake / (wake + rest)
    assert abs(awake / cells - expected) < 4 * sqrt(expected * (1 - expected) / cells)


@pytest.mark.parametrize("step_min", STEPS)
def test_growth_depends_on_the_step_as_little_as_its_rate_is_small(tmp_path: Path, step_min: int) -> None:
    divide, founders, days = 0.8, 250, 2
    folder = Rules().kind("MPP", 1).rate("MPP", DIVIDE=divide, RENEW=1.0, MOVE=6.0, DIE=RARELY).write(tmp_path)
    grown = []
    for seed in range(12):
        sim = start(folder, SHAPE, days, step_min=step_min, seed=seed)
        scatter(sim, {pack_hot(kind=Kind.MPP, cycle=Cycle.CYCLING): founders})
        while sim.step < sim.n_steps:
            sim.advance()
        grown.append(log(sim.n_agents / founders) / days)
    agree(grown, divide - divide * divide * step_min / 1440 / 2)
