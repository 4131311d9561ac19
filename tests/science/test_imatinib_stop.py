"""Imatinib for two years, then stopped: whether the leukaemia comes back depends on the patient; without a lattice."""

from __future__ import annotations

import pytest

from abm import resources
from abm.config import load_config
from abm.well_mixed import WellMixed

pytestmark = pytest.mark.science

FILE = resources.folder("scenarios") / "imatinib_stop.toml"
CHANGES = ("patient.residual_leukaemia=true", "time.step_min=720", "output.series_h=720")


def course(sensitivity: float) -> tuple[float, dict[int, float]]:
    """Return the risk of relapse at the end, and leukaemic stem cells by day."""
    patient = WellMixed(load_config(FILE, [*CHANGES, f"patient.leukaemia_sensitivity={sensitivity}"], 1))
    cells = {}
    while not patient.over:
        patient.advance()
        cells[round(patient.config.day(patient.step))] = patient.body.observables()["residual_stem_cells"]
    return patient.body.observables()["relapse_risk"], cells


def test_it_comes_back_in_a_part_of_the_patients() -> None:
    courses = [course(sensitivity) for sensitivity in (0.6, 1.4, 3.0)]
    risks = [risk for risk, _ in courses]
    assert risks[0] > 0.95, "whose stem cells answer little relapses"
    assert risks[0] > risks[1] > risks[2]
    assert risks[2] < 0.1, "in others none is left after two years"
    cells = courses[0][1]
    assert cells[720] < 0.5 * cells[420], "what falls under the drug ..."
    assert cells[1090] > 2.0 * cells[790], "... grows without it"
