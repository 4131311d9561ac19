"""What follows the first dose of an antibody that is given for leukaemia that is back after a transplantation."""

from __future__ import annotations

import numpy as np

from ..read import Run, in_unit
from .registry import Floats, Made, observable

WITHIN = 100  #: days from the first dose in which an event counts
_PERCENT = "percent"
RELAPSE = 5.0  #: percent of leukaemic cells in the marrow that count as relapse, and below which it is in remission


def _after(run: Run, name: str, unit: str) -> Floats | None:
    """Return the values of the days that count; ``None`` without antibody or relapse, or in too short a run."""
    given = [float(event["day"]) for event in run.config.get("events", []) if event["action"] == "antibody"]
    if not given or run.graft() is None or not {name, "blast_percent"} <= set(run.body):
        return None
    day, blasts = np.asarray(run.day, np.float64) - min(given), in_unit(run.body["blast_percent"], _PERCENT)
    before = np.flatnonzero(day <= 0.0)
    if not before.size or day[-1] < WITHIN or blasts[before[-1]] < RELAPSE:
        return None
    return in_unit(run.body[name], unit)[(day > 0.0) & (day <= WITHIN)]


def _worst_grade(run: Run) -> float | None:
    found = _after(run, "gvhd_grade", "1")
    return None if found is None else float(np.max(found))


@observable("1")
def gvhd_after_antibody(run: Run) -> Made:
    """1 if there was acute GVHD of any grade within 100 days of the first antibody for a relapse, 0 if not."""
    worst = _worst_grade(run)
    return None if worst is None else float(worst >= 1)


@observable("1")
def severe_gvhd_after_antibody(run: Run) -> Made:
    """1 if acute GVHD reached grade III within 100 days of the first antibody for a relapse, 0 if not."""
    worst = _worst_grade(run)
    return None if worst is None else float(worst >= 3)


@observable("1")
def response_after_antibody(run: Run) -> Made:
    """1 if less than 5 % of the marrow was leukaemic within 100 days of the first antibody for a relapse, 0 if not."""
    found = _after(run, "blast_percent", _PERCENT)
    return None if found is None else float(np.min(found) < RELAPSE)
