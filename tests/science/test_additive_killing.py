"""Additive cytotoxicity: a crowd of effectors kills more than its hits one by one would, whatever the step.

Effectors crowd about few targets (some eleven agents, each of a tenth of a lymphocyte, at each) with a tenth of the
usual kill, so that levels of damage are steady for most of the time: 1.1 * hits / r = 1.4 of them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from abm.cells import Count, Kind
from tests.unit.damage_case import RULES, swarm

pytestmark = pytest.mark.science

HOURS = 6


@cache
def killed(hits: float, step_min: int) -> int:
    """Return how many targets a crowd kills."""
    with TemporaryDirectory() as folder:
        sim, kills = swarm(Path(folder), hits, step_min, kill=0.6), 0
        for _ in range(HOURS * 60 // step_min):
            sim.advance()
            kills += int(sim.last[Count.KILL, Kind.BLAST].sum())
    return kills


@pytest.mark.parametrize("step_min", [60, 30, 15])
def test_a_crowd_kills_more_than_its_hits_one_by_one(step_min: int) -> None:
    """By the mean level twice as fast: 1 + 6 * 1.4^2 / (9 + 1.4^2) = 2.1."""
    with_memory, without = killed(RULES.hits, step_min), killed(0.0, step_min)
    assert without > 50
    assert 1.6 * without < with_memory < 3.0 * without


def test_what_damage_adds_does_not_depend_on_the_step() -> None:
    """Steps of 60, 30 and 15 minutes differ by chance: three standard deviations of a difference."""
    kills = [killed(RULES.hits, step_min) for step_min in (60, 30, 15)]
    assert np.ptp(kills) < 3.0 * (2.0 * np.mean(kills)) ** 0.5
