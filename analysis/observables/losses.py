"""What follows a loss of blood or of platelets, counted from it."""

from __future__ import annotations

from math import inf

import numpy as np

from abm import endpoints as ends

from ..read import Run, in_unit
from .registry import COUNT, DAY, Floats, Made, observable, smooth

BEFORE = 14  #: days before the loss whose mean is the usual value
NOISE = 3  #: days over which a count is averaged before its peak is looked for
REGAINED = 0.8  #: share of the lost haemoglobin that counts as recovery (Kiss, JAMA 2015)
NORMAL_PLATELETS = 150.0  #: lower end of the adult reference range, 1e9/L
DAYS_PER_WEEK = 7.0


def _since(run: Run, action: str, name: str, unit: str) -> tuple[Floats, Floats, float] | None:
    """Return days since the first loss, the values, and their mean before it; ``None`` without a loss."""
    given = [float(event["day"]) for event in run.config.get("events", []) if event["action"] == action]
    if not given or name not in run.body:
        return None
    day, values = np.asarray(run.day, np.float64) - min(given), in_unit(run.body[name], unit)
    before = values[(day >= -BEFORE) & (day < 0.0)]
    return (day, values, float(before.mean())) if before.size and day[-1] > 0.0 else None


def _reticulocyte_peak(run: Run) -> tuple[float, float] | None:
    """Return day and height (over the usual count) of the reticulocyte peak."""
    found = _since(run, "blood_loss", "reticulocytes", COUNT)
    if found is None:
        return None
    day, count, usual = found
    after = day > 0.0
    level = smooth(day[after], count[after], NOISE)
    at = int(np.argmax(level))
    return float(day[after][at]), float(level[at]) / usual


@observable(DAY)
def reticulocyte_peak_day(run: Run) -> Made:
    """Days from a loss of blood to the highest reticulocyte count, as means of three days."""
    found = _reticulocyte_peak(run)
    return None if found is None else found[0]


@observable("1")
def reticulocyte_rise(run: Run) -> Made:
    """Highest reticulocyte count after a loss of blood over that before it."""
    found = _reticulocyte_peak(run)
    return None if found is None else found[1]


def _first_day(day: Floats, values: Floats, limit: float, after: int) -> float:
    """Return the first of 3 successive days at or above the limit; infinite if there is none."""
    days, low = ends.by_calendar_day(day, values)
    hit = ends.first_successive(days, low >= limit, after=after)
    return inf if hit is None else float(hit)


@observable("weeks")
def hb_recovery_weeks(run: Run) -> Made:
    """Weeks from a loss of blood until four fifths of the lost haemoglobin are back."""
    found = _since(run, "blood_loss", "hb", "g/L")
    if found is None:
        return None
    day, hb, usual = found
    lowest = int(np.argmin(np.where(day > 0.0, hb, inf)))
    goal = hb[lowest] + REGAINED * (usual - hb[lowest])
    return _first_day(day, hb, float(goal), int(day[lowest])) / DAYS_PER_WEEK


@observable(DAY)
def platelets_normal_day(run: Run) -> Made:
    """Days from a loss of platelets until they are normal again, transfused ones included."""
    found = _since(run, "platelet_loss", "platelets", COUNT)
    return None if found is None else _first_day(found[0], found[1], NORMAL_PLATELETS, 1)
