"""Infected cells on the marrow lattice against the equations of the infection in the body."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm.cells import Count
from abm.config import Config
from abm.model.body.hiv_marrow import INFECTED, WITH_CCR5
from abm.step import Simulation
from tests.unit.table_case import change, copied

pytestmark = pytest.mark.science

DAYS, BLOCK_D, STEPS_PER_DAY, LOOKS_PER_DAY = 60, 5, 24, 4
#: More cells that virus enters, made anew faster, and no T cells against it: several per cent are infected.
MANY = {
    "target_memory,0.10": "target_memory,0.3",
    "target_turnover,0.010": "target_turnover,0.05",
    "ctl_kill,1.0": "ctl_kill,0",
}


def patient(folder: Path) -> Config:
    """Return an adult from the 25th day of infection on, under tables with many infected cells."""
    rules = copied(folder)
    for old, new in MANY.items():
        change(rules, "hiv.csv", old, new)
    return Config.model_validate(
        {
            "patch": {"shape": [32, 32, 32], "rules": str(rules)},
            "time": {"start_day": 0.0, "end_day": float(DAYS)},
            "patient": {"infection": "hiv", "infection_day": -25.0},
        }
    )


def test_as_large_a_share_is_infected_on_the_lattice_as_in_the_body(backend: Any, tmp_path: Path) -> None:
    """Within three standard errors, which are those of blocks of days: a cell stays for a day."""
    sim = Simulation.start(patient(tmp_path), backend)
    found = []
    for step in range(DAYS * STEPS_PER_DAY):
        sim.advance()
        if step % (STEPS_PER_DAY // LOOKS_PER_DAY) == 0:
            there = sim.last[Count.POPULATION].sum(axis=1)
            infected = there[list(INFECTED)].sum()
            expected = sim.body.observables()["hiv_share"] * (infected + there[list(WITH_CCR5)].sum())
            found.append((infected, expected))
    seen, expected = np.array(found).reshape(DAYS // BLOCK_D, -1, 2).sum(axis=1).T
    error = (seen - expected).std(ddof=1) * seen.size**0.5
    assert error < 0.12 * expected.sum(), "enough cells to tell the half of them from all"
    assert abs(seen.sum() - expected.sum()) < 3.0 * error
    born = sim.flux[Count.BECAME, INFECTED[0]].sum()
    died, left = (int(sim.flux[row][list(INFECTED)].sum()) for row in (Count.DIE, Count.EGRESS))
    assert 0.15 < born / (died + left) < 0.6, "some are infected there, some come infected"
