"""IgG and old antibody after grafts and engineered cells, without a lattice, against what is known of patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abm import resources
from abm.config import load_config
from abm.well_mixed import WellMixed

pytestmark = [pytest.mark.science, pytest.mark.slow]

STEP = ("time.step_min=120", "output.series_h=24")


def course(scenario: str, *changes: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the day of every record, a day apart, and the observables of the body by name."""
    config = load_config(Path(resources.folder("scenarios")) / f"{scenario}.toml", [*STEP, *changes], 1)
    patient, days, seen = WellMixed(config), [], list[dict[str, float]]()
    while not patient.over:
        patient.advance()
        if patient.step % 12 == 0:
            days.append(config.day(patient.step))
            seen.append(patient.body.observables())
    return np.array(days), {name: np.array([values[name] for values in seen]) for name in seen[0]}


def test_igg_is_lowest_some_months_after_a_graft_of_a_sibling_and_comes_back() -> None:
    """Lowest at 3-6 months, below 4-5 g/L in about half; back within 12-24 months (from memory)."""
    day, seen = course("allo_sibling", "time.end_day=730", "patient.residual_leukaemia=true")
    igg = seen["igg"]
    assert 80.0 < day[int(np.argmin(igg))] < 240.0
    assert 3.0 < igg.min() < 6.0
    assert igg[-1] > 7.0
    assert seen["donor_plasma"][-1] > 0.4
    assert seen["host_igg"][-1] > 2.0, "plasma cells of the host go on for years"
    assert 0.3 < seen["old_antibody"][day > 360.0][0] < 0.8


def test_anti_cd19_cells_take_b_cells_and_leave_titres() -> None:
    day, seen = course("sle_cart", "time.start_day=-7", "time.end_day=90")
    assert seen["b"][day > 10.0].min() < 1e-6
    assert 0.6 < seen["igg"][-1] / seen["igg"][0] < 0.9
    assert seen["old_antibody"][-1] > 0.9


def test_anti_bcma_cells_take_igg_and_titres() -> None:
    _, seen = course("cart_myeloma", "time.end_day=150")
    assert seen["igg"].min() < 2.0
    assert seen["old_antibody"][-1] < 0.2
