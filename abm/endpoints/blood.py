"""Recovery of blood counts after the graft, and what becomes of the graft."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .course import Bools, Course, Value, by_calendar_day, first_successive, value_at
from .leukaemia import RELAPSE, leukaemic_fraction

UNSUPPORTED_DAYS = 7  #: days without platelet transfusion [ASTCT]
FAILURE_DAY = {"marrow": 30, "blood": 30, "cord": 42}  #: by graft source [ASTCT]
DONOR_MINIMUM = 5.0  #: percent donor myeloid cells; below, recovery is the host's own [GF]


class Recovery(NamedTuple):
    """Fall and recovery of one blood count; all ``None`` when it was not observed after the graft."""

    status: str | None = None  #: "recovered", "not recovered", "never below"
    day: int | None = None
    nadir: float | None = None
    nadir_day: int | None = None


def recovery(course: Course, name: str, threshold: float, supported: Bools | None = None) -> Recovery:
    """Return when the count ``name`` recovered to ``threshold``.

    The nadir period begins on the first day, from the graft on, that is below ``threshold`` (or supported by
    transfusion) and ends with the first of 3 successive days that are not. A count that never falls below has no
    day of recovery.
    """
    if name not in course.body or course.since_graft[-1] < 0:
        return Recovery()
    days, low = by_calendar_day(course.since_graft, course.body[name])
    good = (low >= threshold) & (True if supported is None else ~supported)
    fallen = days[~good & (days >= 0)]
    recovered = first_successive(days, good, after=int(fallen[0])) if fallen.size else None
    status = "never below" if not fallen.size else "not recovered" if recovered is None else "recovered"
    last = days[-1] if recovered is None else recovered
    nadir = int(np.nanargmin(np.where((days >= 0) & (days <= last), low, np.inf)))
    return Recovery(status, recovered, float(low[nadir]), int(days[nadir]))


def transfusion_supported(course: Course) -> Bools | None:
    """Return whether each calendar day, or one of the 7 days before it, saw a platelet transfusion, shape (D,)."""
    given = course.body.get("platelet_transfusions")
    if given is None:
        return None
    _, total = by_calendar_day(course.since_graft, given, np.fmax)
    before = np.concatenate([np.full(UNSUPPORTED_DAYS + 1, given[0]), total])[: total.size]
    return np.asarray(total > before)


def blood(course: Course) -> dict[str, Value]:
    """ANC: first of 3 successive days at its level or above after the nadir [ASTCT]; platelets likewise, untransfused.

    Untransfused means: none of the three days, nor any of the 7 days before each of them, saw a platelet transfusion.
    """
    supported, levels = transfusion_supported(course), course.levels
    anc = recovery(course, "anc", levels.anc)
    platelets = recovery(course, "platelets", levels.platelet, supported)
    stable = recovery(course, "platelets", levels.platelet_50, supported)
    found: dict[str, Value] = {"platelet_50_recovery": stable.status, "platelet_50_day": stable.day}
    found |= {f"{name}_level": level for name, level in levels._asdict().items()}
    for name, result in (("anc", anc), ("platelet", platelets)):
        found |= {f"{name}_recovery": result.status, f"{name}_recovery_day": result.day}
        found |= {f"{name}_nadir": result.nadir, f"{name}_nadir_day": result.nadir_day}
    found["neutropenia_days"] = _neutropenia_days(course)
    for name in ("platelet_transfusions", "red_cell_transfusions"):
        found[name] = round(float(course.body[name][-1])) if name in course.body else None
    return found


def _neutropenia_days(course: Course) -> int | None:
    if "anc" not in course.body:
        return None
    days, low = by_calendar_day(course.since_graft, course.body["anc"])
    return int(((low < course.levels.anc) & (days >= 0)).sum())


def graft_outcomes(course: Course) -> dict[str, Value]:
    """Return the fate of the graft and of a second one, which ends the time in which the first is judged."""
    second = course.regraft_day
    if second is None or course.day[-1] < second:
        return {"graft_outcome": graft_outcome(course), "second_graft_day": None, "second_graft_outcome": None}
    before = course.day < second
    first = course._replace(
        day=course.day[before],
        body={name: values[before] for name, values in course.body.items()},
        counts=course.counts[before],
    )
    again = course._replace(graft_day=second, graft_source=course.regraft_source)
    return {
        "graft_outcome": graft_outcome(first) if before.any() else None,
        "second_graft_day": round(second - (course.graft_day or 0.0)),
        "second_graft_outcome": graft_outcome(again),
    }


def graft_outcome(course: Course) -> str | None:
    """Return the fate of the graft, ``None`` without one or while the day of judgement is not reached.

    "primary failure": ANC not at its level for 3 days by day 30 (42 after cord blood) [ASTCT]. "autologous recovery":
    it was, but with less than 5 % donor myeloid cells on that day [GF], or in the end with less than 5 % of those and
    of T cells (late rejection; T cells as in trials of reduced conditioning: McSweeney, Blood 2001, recalled).
    "secondary failure": after recovery 3 days below that level [GF] without recovery since, in a marrow that no
    leukaemia fills in the end [ASTCT]. Else "engrafted". Who dies before the day of judgement without neutrophils is
    not judged [ASTCT].
    """
    status, recovered, *_ = recovery(course, "anc", course.levels.anc)
    if course.graft_day is None or status is None:
        return None
    end, limit = float(course.since_graft[-1]), FAILURE_DAY.get(course.graft_source, FAILURE_DAY["marrow"])
    if end < limit and recovered is None:
        return None
    if recovered is not None and recovered > limit or status == "not recovered":
        return "primary failure"
    donor = course.body.get("donor_myeloid")
    share = None if donor is None else value_at(course.since_graft, donor, min(float(limit), end))
    if share is not None and share < DONOR_MINIMUM:
        return "autologous recovery" if end >= limit else None
    if leukaemic_fraction(course.counts)[0][-1] >= RELAPSE:
        return "engrafted"
    if _lost_again(course, recovered or 0):
        return "secondary failure"
    return "autologous recovery" if not course.autologous and _rejected(course, end) else "engrafted"


def _rejected(course: Course, end: float) -> bool:
    """Return whether donor myeloid cells are gone in the end, and donor T cells as well if they are told."""
    told = [course.body[name] for name in ("donor_myeloid", "donor_t") if name in course.body]
    if "donor_myeloid" not in course.body:
        return False
    last = [value_at(course.since_graft, share, end) for share in told]
    return all(share is not None and share < DONOR_MINIMUM for share in last)


def _lost_again(course: Course, since: int) -> bool:
    days, low = by_calendar_day(course.since_graft, course.body["anc"])
    level = course.levels.anc
    lost = first_successive(days, low < level, after=since)
    return lost is not None and first_successive(days, low >= level, after=lost) is None
