"""T cells that meet their antigen multiply, and contract although it is still there, by the shipped rules."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from abm.backends import choose
from abm.cells import Count, Kind, Origin, Specificity, Tissue, pack_hot
from abm.config import Config
from abm.step import Simulation

pytestmark = pytest.mark.science

SIDE, DAYS, STEP_MIN = 24, 35, 60
BURST = {Kind.CD8_EFFECTOR: 12, Kind.CD4_EFFECTOR: 10}  #: divisions at most
SEES = {Kind.CD8_EFFECTOR: Specificity.HOST_UBIQUITOUS, Kind.CD4_EFFECTOR: Specificity.HOST_UBIQUITOUS_II}
MEMORY = {Kind.CD8_EFFECTOR: Kind.CD8_MEMORY, Kind.CD4_EFFECTOR: Kind.CD4_MEMORY}
FIRST = 4  #: cells that start a response


@cache
def response(kind: Kind) -> tuple[np.ndarray, float]:
    """Return the cells of a response on the lattice by day, and those that it has left in the body, in agents."""
    config = {"seed": 1, "patch": {"shape": [SIDE] * 3}, "time": {"step_min": STEP_MIN, "end_day": DAYS}}
    sim = Simulation.start(Config.model_validate(config), choose("auto")[0])
    marrow = np.argwhere(sim.lattice.owned("tissue") & 15 == Tissue.MARROW)
    motile = np.zeros((SIDE,) * 3, np.uint32)
    for site in marrow[:: len(marrow) // FIRST][:FIRST]:
        motile[tuple(site)] = pack_hot(kind=kind, origin=Origin.DONOR, specificity=SEES[kind], cycle=1)
    sim.lattice.load("mot_hot", motile)
    sim.lattice.load("mot_cold", np.zeros_like(motile))
    sim._refresh_counts()
    found = []
    for _ in range(DAYS):
        for _ in range(24 * 60 // STEP_MIN):
            sim.advance()
        found.append(int(sim.last[Count.POPULATION, [kind, MEMORY[kind]], Origin.DONOR].sum()))
    assert sim.last[Count.POPULATION, :40, Origin.HOST].sum() > 1000, "the antigen is gone"
    left = sum(float(sim.body.lymphocytes.cells([MEMORY[kind]])[origin]) for origin in (Origin.DONOR, Origin.DONOR2))
    return np.array(found), left / sim.body.scale.cells_per_agent


@pytest.mark.parametrize("kind", list(BURST))
def test_a_response_contracts_by_nine_tenths_within_three_weeks_of_its_peak(kind: Kind) -> None:
    """By 90-95 % within two to three weeks (Murali-Krishna, Immunity 1998; Akondy, Nature 2017)."""
    cells, _ = response(kind)
    peak = int(cells.argmax())
    assert 30 * FIRST < cells[peak] <= FIRST * 2 ** BURST[kind]
    assert 3 <= peak + 1 <= 14
    assert cells[min(peak + 21, DAYS - 1)] < 0.1 * cells[peak]


@pytest.mark.parametrize("kind", list(BURST))
def test_a_tenth_at_most_is_left_as_memory(kind: Kind) -> None:
    cells, left = response(kind)
    assert 0.0 < left < 0.1 * cells.max()
