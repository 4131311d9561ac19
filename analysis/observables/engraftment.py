"""Events in time: engraftment, nadir and recovery, failure, relapse, GVHD, by the definitions of ``abm.endpoints``."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from abm import endpoints as ends

from ..read import Run, in_unit
from .registry import COUNT, DAY, PERCENT, Floats, Made, observable, smooth

NADIR_WITHIN = 42  #: days after the first treatment; a later fall is that of the next course, or of a relapse
INDUCTION = 28  #: days of an induction of lymphoblastic leukaemia


def _endpoint(run: Run, name: str) -> Made:
    value = run.endpoints().get(name)
    return float(value) if isinstance(value, int | float) else None


def _recovery(run: Run, name: str, status: str) -> Made:
    """Return a day of recovery; infinite if it was waited for in vain, ``None`` if the count never fell."""
    waited = run.endpoints().get(status) in ("recovered", "not recovered")
    day = _endpoint(run, name)
    return inf if day is None and waited else day


@observable(DAY)
def anc_engraftment_day(run: Run) -> Made:
    """First of 3 successive days with ANC >= 0.5e9/L."""
    return _recovery(run, "anc_recovery_day", "anc_recovery")


@observable(DAY)
def platelet_engraftment_day(run: Run) -> Made:
    """First of 3 successive days with untransfused platelets >= 20e9/L."""
    return _recovery(run, "platelet_recovery_day", "platelet_recovery")


@observable(DAY)
def platelets_held_day(run: Run) -> Made:
    """Day of platelet_engraftment_day; 0 for a count that never fell below 20e9/L, and so was not waited for."""
    return 0.0 if run.endpoints().get("platelet_recovery") == "never below" else platelet_engraftment_day(run)


@observable(DAY)
def platelet_50_day(run: Run) -> Made:
    """First of 3 successive days with untransfused platelets >= 50e9/L."""
    return _recovery(run, "platelet_50_day", "platelet_50_recovery")


@observable("1")
def primary_graft_failure(run: Run) -> Made:
    """1 if the graft failed from the start (ANC below 0.5e9/L on day 30; cord blood 42), 0 if not."""
    outcome = run.endpoints().get("graft_outcome")
    return None if outcome is None else float(outcome == "primary failure")


@observable("1")
def graft_lost(run: Run) -> Made:
    """1 if the graft failed, was lost, or the recovery was the host's own; 0 if not."""
    outcome = run.endpoints().get("graft_outcome")
    return None if outcome is None else float(outcome != "engrafted")


def _treated_days(run: Run) -> tuple[NDArray[np.int64], Floats] | None:
    """Return calendar days since the first treatment and the lowest ANC of each."""
    events = run.config.get("events", [])
    if "anc" not in run.body or not events:
        return None
    zero = min(float(event["day"]) for event in events)
    days, low = ends.by_calendar_day(np.asarray(run.day, np.float64) - zero, in_unit(run.body["anc"], COUNT))
    return days[days >= 0], low[days >= 0]


def _nadir(run: Run) -> tuple[int, float] | None:
    """Return day and value of the lowest ANC in the weeks after the first treatment."""
    found = _treated_days(run)
    if found is None:
        return None
    days, low = (values[found[0] < NADIR_WITHIN] for values in found)
    at = int(np.nanargmin(low))
    return int(days[at]), float(low[at])


@observable(COUNT)
def anc_nadir(run: Run) -> Made:
    """Lowest ANC in the six weeks after the first treatment."""
    found = _nadir(run)
    return None if found is None else found[1]


@observable(DAY)
def anc_nadir_day(run: Run) -> Made:
    """Day of the lowest ANC, from the first treatment."""
    found = _nadir(run)
    return None if found is None else float(found[0])


def _back_to(run: Run, level: float) -> Made:
    """Return the first of 3 successive days at or above ``level`` after the nadir, from the first treatment."""
    nadir, found = _nadir(run), _treated_days(run)
    if nadir is None or found is None or nadir[1] >= level:
        return None
    day = ends.first_successive(found[0], found[1] >= level, after=nadir[0])
    return inf if day is None else float(day)


@observable(DAY)
def anc_back_to_1_5_day(run: Run) -> Made:
    """Day of ANC >= 1.5e9/L after the nadir, from the first treatment."""
    return _back_to(run, 1.5)


@observable(DAY)
def anc_back_to_1_day(run: Run) -> Made:
    """Day of ANC >= 1.0e9/L after the nadir, from the first treatment."""
    return _back_to(run, 1.0)


@observable(DAY)
def anc_back_to_0_5_day(run: Run) -> Made:
    """Day of ANC >= 0.5e9/L after the nadir, from the first treatment."""
    return _back_to(run, 0.5)


@observable(DAY)
def platelets_back_to_50_day(run: Run) -> Made:
    """First of 3 successive days with untransfused platelets >= 50e9/L after a fall, from the first treatment."""
    events = run.config.get("events", [])
    if "platelets" not in run.body or not events:
        return None
    course = run.course()._replace(graft_day=min(float(event["day"]) for event in events))
    found = ends.recovery(course, "platelets", 50.0, ends.transfusion_supported(course))
    return inf if found.status == "not recovered" else None if found.day is None else float(found.day)


@observable(PERCENT)
def days_below_1(run: Run) -> Made:
    """Days with ANC < 1.0e9/L, of the four weeks after the first treatment."""
    found = _treated_days(run)
    return None if found is None else float(100.0 * (found[1][found[0] < INDUCTION] < 1.0).mean())


@observable(DAY)
def label_peak_day(run: Run) -> Made:
    """Days from the first label to the highest specific activity of blood neutrophils, as means of a day."""
    given = [float(event["day"]) for event in run.config.get("events", []) if event["action"] == "label"]
    if not given or "labelled_neutrophils" not in run.body:
        return None
    day = np.asarray(run.day, np.float64) - min(given)
    share = in_unit(run.body["labelled_neutrophils"], "percent")
    if not share[day > 0].any():
        return None
    return float(day[int(np.argmax(smooth(day, share, 1.0)))])


@observable("1")
def relapse(run: Run) -> Made:
    """1 if the leukaemia came back, 0 if not; none without leukaemia, or if the marrow could not be judged."""
    disease = run.endpoints().get("disease")
    return None if disease in (None, "none", "not evaluable") else float(disease == "relapse")


@observable("1")
def gvhd_grade(run: Run) -> Made:
    """Highest overall grade of acute GVHD, 0-4."""
    return _endpoint(run, "gvhd_max_grade")
