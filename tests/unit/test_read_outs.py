"""What a run tells of engineered T cells, HIV, autoimmune disease and IgG, on curves whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from abm.endpoints import endpoints
from abm.read_outs import of, rows
from abm.summary import summarise
from tests.unit.test_endpoints import course

DAY = np.arange(-5.0, 40.0, 0.25)


def car_t(peak_day: float = 9.0, half_life: float = 5.0) -> np.ndarray:
    rise, fall = 1e8 * 10.0 ** (DAY / 3.0), 1e11 * 0.5 ** ((DAY - peak_day) / half_life)
    return np.where(DAY < 0.0, 0.0, np.where(peak_day >= DAY, rise, fall))


def told(**body: Any) -> dict[str, str]:
    return dict(rows(of(DAY, body)))


def test_expansion_and_contraction() -> None:
    found = of(DAY, {"engineered_body": car_t(), "crs_grade": np.where((DAY > 4) & (DAY < 8), 2.0, 0.0)})
    assert (found["engineered_peak"], found["engineered_peak_day"]) == (pytest.approx(1e11), 9)
    assert found["engineered_fold"] == pytest.approx(1000.0)
    assert found["engineered_half_life_days"] == pytest.approx(5.0)
    assert found["crs_max_grade"] == 2
    text = dict(rows(found))
    assert text["Engineered T cells"] == "highest 1e+11 cells on day +9, 1e+03-fold, half-life 5.0 d"
    assert text["Cytokine release, highest grade"] == "II"


def test_no_half_life_before_the_fall_has_been_seen() -> None:
    short = DAY < 20.0
    found = of(DAY[short], {"engineered_body": car_t()[short]})
    assert found["engineered_half_life_days"] is None
    assert "half-life" not in dict(rows(found))["Engineered T cells"]


def test_hiv_and_autoimmune_disease() -> None:
    load = np.where(DAY < 10.0, 1e6 * (DAY == 3.0), 20.0)
    assert told(hiv_load=load) == {"HIV RNA (copies/mL)": "highest 1e+06 on day +3, 20 at the end"}
    relapses = 2.0 + np.floor(DAY.clip(0.0) / 15.0)
    assert told(edss=np.full(DAY.size, 3.5), ms_relapses=relapses) == {
        "Multiple sclerosis": "relapses 2, 2 of them after day 0; EDSS 3.5 at the end",
        "Evidence of sclerosis after day 0": "first on day +15 (relapse, new lesion or confirmed EDSS)",
    }
    assert told(sledai=np.linspace(12.0, 0.0, DAY.size)) == {"Lupus": "SLEDAI 0.0 at the end"}


def test_what_a_reset_has_brought_in_sclerosis() -> None:
    """Relapses before day 0 are no evidence of disease after it; half a year of a point of disability is."""
    day = np.arange(-300.0, 700.0)
    old = np.where(day < -100.0, 0.0, 3.0)
    body = {"edss": np.full(day.size, 3.5), "ms_relapses": old, "ms_lesions": old, "cd4_new": day * 0.0 + 0.987,
            "cd8_new": day * 0.0 + 0.4}  # fmt: skip
    assert dict(rows(of(day, body))) == {
        "Multiple sclerosis": "relapses 3, 0 of them after day 0; EDSS 3.5 at the end",
        "Evidence of sclerosis after day 0": "none up to day +699 (relapse, new lesion or confirmed EDSS)",
        "New receptors at the end (%)": "CD4 99, CD8 40",
    }
    for name, values, first in (
        ("ms_lesions", old + (day >= 200.0), 200),
        ("edss", 3.5 + 1.0 * (day >= 300.0), 300),
        ("edss", 3.5 + 1.0 * ((day >= 300.0) & (day < 400.0)), None),
        ("edss", 3.5 + 1.0 * (day >= 600.0), None),
    ):
        assert of(day, body | {name: values})["ms_evidence_day"] == first, name
    assert "ms_evidence_day" not in of(day[day < 0], {name: values[day < 0] for name, values in body.items()})


def test_igg_is_told_once_it_falls_well_below_what_it_was() -> None:
    igg = np.where(DAY < 0.0, 10.5, np.where(DAY < 20.0, 4.0, 6.0))
    assert told(igg=igg) == {"Immunoglobulin G (g/L)": "lowest 4.0 on day +0, 6.0 at the end"}
    assert told(igg=np.where(DAY < 0.0, 10.5, 8.0)) == {}


def test_who_has_none_of_it_is_told_nothing() -> None:
    absent = dict.fromkeys(
        ("engineered_body", "crs_grade", "hiv_load", "edss", "ms_relapses", "sledai", "igg"), np.zeros(DAY.size)
    )
    assert of(DAY, absent) == {}
    assert told(**absent) == {}


def test_the_summary_of_a_run_tells_it() -> None:
    found = endpoints(course(last_day=60, hiv_load=lambda day: np.where(day >= 20, 1e4, 0.0)))
    assert dict(summarise(found))["HIV RNA (copies/mL)"] == "highest 1e+04 on day +20, 1e+04 at the end"
    assert not [label for label, _ in summarise(endpoints(course(last_day=60))) if label.startswith("HIV")]
