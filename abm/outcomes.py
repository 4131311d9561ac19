"""Times to the events that a transplant is judged by, and how many of a cohort have had them.

Pure functions. Time counts from the graft; who has not had the event by the end of the run is censored there. Where one
event keeps another from happening, as death does relapse, the share that has had it is the cumulative incidence of
Aalen and Johansen; 1 minus a Kaplan-Meier curve that censors the dead would be too high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log, sqrt
from typing import NamedTuple

from abm.endpoints import Value

CENSORED, EVENT, RIVAL = 0, 1, 2
Z95 = 1.959963984540054  #: 97.5 % quantile of the normal distribution
TAIL = 0.025  #: probability on either side of an interval


class Time(NamedTuple):
    """When something happened to one patient, and what: CENSORED, EVENT, or RIVAL, the event that excludes it."""

    day: float
    status: int


@dataclass(frozen=True)
class Outcome:
    """What is told of a cohort.

    Attributes:
        label: as it is called.
        survives: whether the share without the event is told (survival), or that with it (incidence).
    """

    label: str
    survives: bool


#: By name. A new neoplasm comes of clonal haematopoiesis, therapy-related after treatment. GRFS: alive without acute
#: GVHD of grade III-IV, moderate chronic GVHD or relapse (Holtan, Blood 2015).
OUTCOMES: Mapping[str, Outcome] = {
    "os": Outcome("overall survival", survives=True),
    "rfs": Outcome("relapse-free survival", survives=True),
    "grfs": Outcome("GVHD-free, relapse-free survival", survives=True),
    "relapse": Outcome("relapse, death its rival", survives=False),
    "neoplasm": Outcome("new myeloid neoplasm, death its rival", survives=False),
    "nrm": Outcome("non-relapse mortality, relapse its rival", survives=False),
    "acute_2_4": Outcome("acute GVHD II-IV, death its rival", survives=False),
    "chronic": Outcome("chronic GVHD, death its rival", survives=False),
}


def times(found: Mapping[str, Value]) -> dict[str, Time]:
    """Return the time to each of ``OUTCOMES`` from the clinical endpoints of one run.

    Leukaemia that persists after the graft counts as a relapse on day 0, as registries count it; death before the
    marrow could be judged is death without relapse.
    """
    end = _day(found, "end_day", inf)
    death = _day(found, "death_day", inf)
    relapse = 0.0 if found.get("disease") == "persistent" else max(_day(found, "relapse_day", inf), 0.0)
    new = found.get("disease") in ("none", "new leukaemia")  # of a healthy marrow: no relapse
    if found.get("death_cause") == "leukaemia" and not new:  # seen or not: it has come back, or has never been away
        relapse = min(relapse, death)
    severe, chronic = _day(found, "gvhd_grade3_onset_day", inf), _day(found, "chronic_gvhd_moderate_day", inf)
    return {
        "os": first(end, death),
        "rfs": first(end, min(death, relapse)),
        "grfs": first(end, min(death, relapse, severe, chronic)),
        "relapse": first(end, relapse, death),
        "neoplasm": first(end, _day(found, "neoplasm_day", inf), death),
        "nrm": first(end, death if death < relapse else inf, relapse),
        "acute_2_4": first(end, _day(found, "gvhd_grade2_onset_day", inf), death),
        "chronic": first(end, _day(found, "chronic_gvhd_onset_day", inf), death),
    }


def first(end: float, event: float, rival: float = inf) -> Time:
    """Return which of the three came first; on one day the event counts."""
    if event <= min(rival, end):
        return Time(event, EVENT)
    return Time(rival, RIVAL) if rival <= end else Time(end, CENSORED)


def _day(found: Mapping[str, Value], name: str, otherwise: float) -> float:
    value = found.get(name)
    return float(value) if isinstance(value, int | float) else otherwise


class Point(NamedTuple):
    """A curve from ``day`` on: the share, its 95 % interval, and how many were at risk before."""

    day: float
    share: float
    low: float
    high: float
    at_risk: int


class Step(NamedTuple):
    """One day with events: the incidence after it, who was free and at risk before it, all events and those counted."""

    incidence: float
    free: float
    at_risk: int
    every: int
    hits: int


def curve(patients: Sequence[Time], *, survives: bool) -> list[Point]:
    """Return the Kaplan-Meier estimate of survival, or the Aalen-Johansen one of incidence, at every event.

    Intervals: log-log of the variance (Greenwood's for survival; for incidence as in Marubini & Valsecchi 1995); where
    nobody or everybody has had the event, the exact one of as many patients as are known.
    """
    points: list[Point] = []
    free, incidence = 1.0, 0.0
    days = sorted({time.day for time in patients if time.status})
    steps: list[Step] = []
    for day in days:
        at_risk = sum(time.day >= day for time in patients)
        hits = sum(time == (day, EVENT) for time in patients)
        every = sum(time.day == day and time.status != CENSORED for time in patients)
        incidence += free * hits / at_risk
        steps.append(Step(incidence, free, at_risk, every, hits))
        free *= 1.0 - every / at_risk
        share = free if survives else incidence
        spread = sqrt(max(_variance(steps), 0.0))
        low, high = _interval(share, spread, known(patients, day))
        points.append(Point(day, share, low, high, at_risk))
    return points


def _variance(steps: Sequence[Step]) -> float:
    """Return the variance of the last incidence (of survival too, where no event has a rival)."""
    last = steps[-1].incidence
    result = 0.0
    for incidence, free, at_risk, every, hits in steps:
        gap = last - incidence
        if at_risk > every:
            result += gap * gap * every / (at_risk * (at_risk - every))
        result += free * free * (at_risk - hits) * hits / at_risk**3
        result -= 2.0 * gap * free * hits / at_risk**2
    return result


def known(patients: Sequence[Time], day: float) -> int:
    """Return of how many it is known whether they have had the event by ``day``."""
    return sum(time.status != CENSORED or time.day >= day for time in patients)


def _interval(share: float, spread: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by the normal distribution of log(-log(share)), at 0 and 1 by n patients."""
    if not 0.0 < share < 1.0:
        far = 1.0 - TAIL ** (1.0 / n) if n else 1.0  # Clopper & Pearson
        return (0.0, far) if share <= 0.0 else (1.0 - far, 1.0)
    half = Z95 * spread / (share * abs(log(share)))
    powers = (exp(half), exp(-half))
    return min(share**p for p in powers), max(share**p for p in powers)


def at(patients: Sequence[Time], day: float, *, survives: bool) -> Point:
    """Return the curve of a cohort as it stands on ``day``."""
    before = [point for point in curve(patients, survives=survives) if point.day <= day]
    if before and 0.0 < before[-1].share < 1.0:
        return before[-1]
    share, at_risk = (before[-1].share, before[-1].at_risk) if before else (float(survives), len(patients))
    return Point(before[-1].day if before else 0.0, share, *_interval(share, 0.0, known(patients, day)), at_risk)
