"""Leukaemia: how much of the marrow, remission, relapse and residual disease."""

from __future__ import annotations

from math import ceil, inf, log10
from typing import NamedTuple

import numpy as np

from abm.cells import Count, Kind

from .course import Bools, Course, Floats, Ints, Value, by_calendar_day, ratio, value_at
from .marrow import LANDMARKS, NUCLEATED

RELAPSE = 0.05  #: share of marrow cells that is leukaemic in a relapse; below it is a remission [ELN]
#: Share below which it is one before any treatment; ours: who starts at 5 % is not in remission by chance.
REMISSION_UNTREATED = RELAPSE / 2
EVALUABLE_CELLS = 200  #: nucleated cells that make a marrow evaluable [ELN]
#: Marrow cells, relative to health, that make a marrow evaluable: 10 % cellularity [ELN], where health is 50 %.
EVALUABLE_CELLULARITY = 0.2
FIRST_LOOK = 28  #: days after the first treatment, and after the graft, until the marrow is judged [IWG]
#: Successive days of a remission, and of a relapse: a look a week later finds it too, in CML a sample four weeks later;
#: ours. It keeps a marrow that hovers around 5 % from relapsing again and again.
CONFIRMED_DAYS = 7
CONFIRMED_DAYS_CML = 28
MOLECULAR_RELAPSE = 1e-3  #: share of CML from which a major molecular response is lost [CML]
FLOW_POSITIVE = 1e-3  #: cut-off of residual disease by flow [ELN]
FLOW_DETECTED = 1e-4  #: what a good flow assay still sees
LEUKAEMIC = (Kind.LSC, Kind.BLAST)


def leukaemic_fraction(counts: Ints) -> tuple[Floats, Ints]:
    """Return LSC and blasts over all nucleated cells of the patch (both layers), and the latter; each of shape (T,)."""
    population = counts[:, Count.POPULATION].sum(axis=2)
    nucleated = population[:, list(NUCLEATED)].sum(axis=1)
    return ratio(population[:, list(LEUKAEMIC)].sum(axis=1), nucleated), nucleated


class Disease(NamedTuple):
    """Course of a leukaemia; days are calendar days, ``None`` if there was no such day."""

    status: str  #: "none", "not evaluable", "persistent", "remission" or "relapse"
    remission_day: int | None = None
    relapse_day: int | None = None


def leukaemia(course: Course) -> dict[str, Value]:
    """Return the course of the leukaemia, and what is left of it on the days of judgement."""
    fraction, nucleated = leukaemic_fraction(course.counts)
    day = course.since_graft
    moments = {"start": float(day[0]), "d0": 0.0, **{f"d{d}": float(d) for d in LANDMARKS}, "end": float(day[-1])}
    found: dict[str, Value] = {}
    for name, when in moments.items():
        share, cells = value_at(day, fraction, when), value_at(day, nucleated, when)
        found[f"blast_percent_{name}"] = None if share is None else 100.0 * share
        found[f"mrd_log10_{name}"] = log10(share) if share else None
        found[f"mrd_limit_log10_{name}"] = -log10(cells) if cells else None
        found[f"mrd_flow_{name}"] = flow_result(share, cells)
    disease, remission, relapse = disease_course(course)
    found["neoplasm_day"] = relapse if course.clonal else None
    if course.clonal:
        disease, remission, relapse = "none" if relapse is None else "new leukaemia", None, None
    found |= {"disease": disease, "remission_day": remission, "relapse_day": relapse}
    look = first_look(course)
    found["first_look_day"] = ceil(look) if disease == "not evaluable" and look < inf else None
    chronic = course.disease == "cml"
    found["relapse_kind"] = None if relapse is None else "cytogenetic" if chronic else "haematological"
    found["molecular_relapse_day"] = _molecular_relapse(course) if chronic else None
    kills = course.counts[:, Count.KILL, list(LEUKAEMIC)].sum(axis=(1, 2))
    return found | {"gvl_kills": int(kills[day > 0].sum())}


def flow_result(fraction: float | None, cells: float | None) -> str | None:
    """Say what flow cytometry would report: cut-off 1e-3, low level down to 1e-4 [ELN].

    A patch of ``cells`` nucleated cells cannot show less than 1 / cells; if that is above the cut-off, an empty
    finding is "not assessable".
    """
    if fraction is None or not cells:
        return None
    if fraction >= FLOW_POSITIVE:
        return "positive"
    if fraction >= FLOW_DETECTED:
        return "low level"
    return "negative" if 1.0 / cells <= FLOW_POSITIVE else "not assessable"


def disease_course(course: Course) -> Disease:
    """Return the course of the leukaemia: one definition for the results of a run and for cohorts.

    Looked at are marrows that are evaluable (:func:`_judged`). Remission: less than 5 % leukaemic cells [ELN], before
    any treatment less than half of that (ours). Relapse: after a remission at least 5 % [ELN] through a calendar day,
    the day of relapse. From treatment on both are seen at every look of the week that follows, in CML of four.
    "persistent": seen after treatment, or never treated, and never in remission. "not evaluable": not seen after
    treatment, because the marrow stays empty or the run ends too soon; death of it is death in aplasia, no refractory
    disease [ELN]. "none": never a leukaemic cell.
    Who has a relapse before the graft is judged anew after it.
    """
    if not np.nansum(_share(course)) > 0:
        return Disease("none")
    found = _course_since(course, -inf)
    early = course.graft_day is not None and found.relapse_day is not None and found.relapse_day < 0
    return _course_since(course, 0.0) if early and course.since_graft[-1] >= 0 else found


def _course_since(course: Course, start: float) -> Disease:
    day, treated = course.since_graft, max(_treated(course), start)
    seen = np.where(_judged(course) & (day >= start), _share(course), np.nan)
    days, high = by_calendar_day(day, seen, np.fmax)
    limit = np.where(days < treated, REMISSION_UNTREATED, RELAPSE)
    remission = _lasting(days, high < limit, (high >= limit) & (days >= treated), _confirmed(course))
    looked = ~np.isnan(seen)
    unseen = bool((day >= treated).any()) and not looked[day >= treated].any()
    if remission is None:
        return Disease("not evaluable" if unseen or not looked.any() else "persistent")
    relapse = _first_high(course, seen, RELAPSE, after=remission)
    return Disease("relapse" if relapse is not None else "not evaluable" if unseen else "remission", remission, relapse)


def first_look(course: Course) -> float:
    """Return from which day on, counted as in ``since_graft``, the marrow shows what treatment and graft have done."""
    since = _treated(course)
    return FIRST_LOOK + (max(since, 0.0) if course.graft_day is not None else since)


def _treated(course: Course) -> float:
    """Return the day of the first treatment, counted from the graft; infinite without one."""
    given = [day for day in (course.treated_day, course.graft_day) if day is not None]
    return min(given) - (course.graft_day or 0.0) if given else inf


def _share(course: Course) -> Floats:
    """Return the leukaemic share of the marrow: of the patch, where that shows none by what is followed in numbers."""
    fraction, _ = leukaemic_fraction(course.counts)
    below = course.body.get("residual_share")
    return fraction if below is None else np.where(fraction > 0.0, fraction, below)


def _judged(course: Course) -> Bools:
    """Return at which records the marrow can be judged, shape (T,).

    It holds enough cells [ELN], and no treatment began, and no graft came, in the four weeks before: until then what is
    about to die is counted as if it grew.
    """
    _, nucleated = leukaemic_fraction(course.counts)
    enough = nucleated >= EVALUABLE_CELLS
    if "cellularity" in course.body:
        enough &= course.body["cellularity"] >= EVALUABLE_CELLULARITY
    day = course.since_graft
    grafts = [when for when in (course.graft_day, course.regraft_day) if when is not None]
    for began in (_treated(course), *(when - (course.graft_day or 0.0) for when in grafts)):
        enough &= (day < began) | (day >= began + FIRST_LOOK)
    return enough


def _confirmed(course: Course) -> int:
    return CONFIRMED_DAYS_CML if course.disease == "cml" else CONFIRMED_DAYS


def _first_high(course: Course, seen: Floats, least: float, after: int) -> int | None:
    """Return the first day, not before ``after``, from which on ``seen`` is at least ``least``, and stays so."""
    days, low = by_calendar_day(course.since_graft, seen)
    return _lasting(days, (low >= least) & (days >= after), low < least, _confirmed(course))


def _lasting(days: Ints, holds: Bools, fails: Bools, lasting: int) -> int | None:
    """Return the first day on which ``holds`` is true, and ``fails`` on none of the ``lasting`` days from it on.

    Days on which the marrow was not judged do neither. At the end of the run, as at death, fewer days do.
    """
    for start in np.flatnonzero(holds):
        if not fails[start : start + lasting].any():
            return int(days[start])
    return None


def _molecular_relapse(course: Course) -> int | None:
    """Return the first day of four weeks with 0.1 % CML or more after less: a major molecular response is lost."""
    seen = np.where(_judged(course), _share(course), np.nan)
    days, high = by_calendar_day(course.since_graft, seen, np.fmax)
    response = _lasting(days, high < MOLECULAR_RELAPSE, high >= MOLECULAR_RELAPSE, CONFIRMED_DAYS_CML)
    return None if response is None else _first_high(course, seen, MOLECULAR_RELAPSE, after=response)
