"""Donor T cells against leukaemia on the lattice: what they clear, what they cost, and what is left without them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from abm import resources
from abm.backends import choose
from abm.cells import Count, Kind
from abm.config import load_config
from abm.step import Simulation

pytestmark = [pytest.mark.science, pytest.mark.slow]

SCENARIO = Path(resources.folder("scenarios")) / "ipilimumab_after_allo.toml"  # AML, a sibling; events are ours
EVENTS = (
    '{day = -7, action = "chemo", drug = "fludarabine", dose_mg_per_m2 = 30, doses = 5, every_h = 24}',
    '{day = -4, action = "chemo", drug = "busulfan", dose_mg_per_kg = 3.2, doses = 2, every_h = 24}',
    '{day = 0, action = "graft", source = "cd34_selected", cd34_per_kg = 7e6, cd3_per_kg = 2e4}',
    '{day = 60, action = "cells", product = "dli", cd3_per_kg = 1e8}',
    '{day = 60, action = "treat", drug = "prednisolone", grade = 2, level = 1.0, days = 14, taper_days = 56}',
)
GRAFT, INFUSION = 2, 3  # places among these
#: Enough leukaemic stem cells to come back on a small patch; a pair that reacts strongly, a graft with few T cells.
SMALL = (
    f"events=[{', '.join(EVENTS)}]",
    "time.step_min=60",
    "patch.shape=[32, 32, 32]",
    "patient.blast_fraction=0.2",
    "patient.alloreactivity=20",
    f"events.{GRAFT}.cd3_per_kg=1e3",
)
LEUKAEMIC = [Kind.LSC, Kind.BLAST]


@cache
def course(*changes: str) -> dict[str, float]:
    """Return leukaemic cells at the end, those killed by T cells, and the worst grade of GVHD."""
    sim = Simulation.start(load_config(SCENARIO, [*SMALL, *changes], 1), choose("auto")[0])
    kills, grade = 0, 0.0
    while sim.step < sim.n_steps:
        sim.advance()
        kills += int(sim.last[Count.KILL, LEUKAEMIC].sum())
        if sim.step % 24 == 0:
            grade = max(grade, sim.observables()["gvhd_grade"])
    return {"leukaemia": float(sim.last[Count.POPULATION, LEUKAEMIC].sum()), "kills": kills, "grade": grade}


def without_infusion(*changes: str) -> dict[str, float]:
    return course(f"events.{INFUSION}.cd3_per_kg=1", *changes)


def test_donor_lymphocytes_clear_a_relapse_and_cost_gvhd() -> None:
    treated, untreated = course("time.end_day=180"), without_infusion("time.end_day=180")
    assert untreated["kills"] == untreated["grade"] == 0
    assert treated["leukaemia"] < 0.1 * untreated["leukaemia"]
    assert treated["kills"] > 1000
    assert treated["grade"] >= 2


def test_lymphocytes_of_a_twin_do_nothing() -> None:
    treated = course("time.end_day=120", 'patient.donor="twin"')
    assert treated["kills"] == treated["grade"] == 0
    assert treated["leukaemia"] > 5_000


def test_leukaemia_comes_back_after_the_graft_of_a_twin_not_of_a_sibling() -> None:
    replete = (
        "time.end_day=60",
        "patient.blast_fraction=0.1",
        f'events.{GRAFT}.source="blood"',
        f"events.{GRAFT}.cd3_per_kg=2e8",
    )
    sibling, twin = without_infusion(*replete), without_infusion('patient.donor="twin"', *replete)
    assert twin["kills"] == 0
    assert sibling["kills"] > 0
    assert twin["leukaemia"] > 100 > 10 * sibling["leukaemia"]
