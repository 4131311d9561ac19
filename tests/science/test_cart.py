"""CD19 CAR-T cells on the lattice: they expand as in children with leukaemia; a leukaemia without CD19 escapes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abm import resources
from abm.backends import choose
from abm.cells import Count, Kind
from abm.config import load_config
from abm.step import Simulation

pytestmark = pytest.mark.science

SCENARIO = Path(resources.folder("scenarios")) / "cart_all.toml"
LEUKAEMIC = [Kind.BLAST, Kind.LSC]
B_CELLS = [Kind.PRO_B, Kind.PRE_B, Kind.IMMATURE_B]


def treated(*changes: str) -> Simulation:
    """Return the patient of the scenario on a small patch."""
    small = ["patch.shape=[24,24,24]", "time.step_min=120"]
    return Simulation.start(load_config(SCENARIO, [*small, *changes]), choose("auto")[0])


def test_peak_fold_and_contraction_follow_from_the_rules() -> None:
    """Stein 2019: peak on day 9.3 (7-13), 3900-fold (500-30000), half-life 4.3 (2-10) d."""
    sim, days, cells, grades = treated("time.end_day=28"), [], [], []
    while not sim.over:
        sim.advance()
        values = sim.observables()
        if values["engineered_body"] > 0.0:
            days.append(sim.day)
            cells.append(values["engineered_body"])
            grades.append(values["crs_grade"])
    at = int(np.argmax(cells))
    assert 7.0 <= days[at] <= 13.0
    assert 5e2 <= cells[at] / cells[0] <= 3e4
    after = slice(at + 12, at + 12 * 13)
    half_life = np.log(2.0) / -np.polyfit(days[after], np.log(cells[after]), 1)[0]
    assert 2.0 <= half_life <= 10.0
    assert sim.last[Count.POPULATION, LEUKAEMIC].sum() == 0
    assert sim.last[Count.POPULATION, B_CELLS].sum() < 5
    assert sim.observables()["b"] < 0.01
    assert max(grades) >= 1


def residue(receptor: str) -> tuple[int, float]:
    """Return the leukaemic cells 20 days after the infusion, a twentieth of which had no CD19 at the start.

    With them comes the share of them that has lost it.
    """
    sim = treated(
        "time.end_day=20",
        "patient.preexisting_mutants=5e4",
        "patient.blast_fraction=0.1",
        "events.2.cells_per_kg=2e7",
        f"events.2.receptor={receptor}",
    )
    while not sim.over:
        sim.advance()
    left = int(sim.last[Count.POPULATION, LEUKAEMIC].sum())
    return left, sim.record().values["lost_cd19"]


def test_relapse_is_antigen_negative_and_a_dual_receptor_prevents_it() -> None:
    left, lost = residue("CAR_CD19")
    assert left > 20
    assert lost > 0.95
    dual, _ = residue("CAR_CD19_CD123")
    assert dual < 0.05 * left
