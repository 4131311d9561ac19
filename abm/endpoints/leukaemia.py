"""Leukaemia: how much of the marrow, remission, relapse and residual disease."""

from __future__ import annotations

from math import log10

import numpy as np

from abm.cells import Count, Kind

from .course import Course, Floats, Ints, Value, by_calendar_day, ratio, value_at
from .marrow import LANDMARKS, NUCLEATED

REMISSION = 0.01  #: leukaemic fraction below which a relapse can begin
RELAPSE = 0.05  #: marrow blasts of a relapse [ELN]
EVALUABLE_CELLS = 200  #: nucleated cells that make a marrow evaluable [ELN]
FLOW_POSITIVE = 1e-3  #: cut-off of residual disease by flow [ELN]
FLOW_DETECTED = 1e-4  #: what a good flow assay still sees
LEUKAEMIC = (Kind.LSC, Kind.BLAST)


def leukaemic_fraction(counts: Ints) -> tuple[Floats, Ints]:
    """Return LSC and blasts over all nucleated cells of the patch (both layers), and the latter; each of shape (T,)."""
    population = counts[:, Count.POPULATION].sum(axis=2)
    nucleated = population[:, list(NUCLEATED)].sum(axis=1)
    return ratio(population[:, list(LEUKAEMIC)].sum(axis=1), nucleated), nucleated


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
    disease, relapse = disease_course(day, fraction, nucleated)
    found["neoplasm_day"] = relapse if course.clonal else None
    if course.clonal:
        disease, relapse = "none" if relapse is None else "new leukaemia", None
    kills = course.counts[:, Count.KILL, list(LEUKAEMIC)].sum(axis=(1, 2))
    return found | {"disease": disease, "relapse_day": relapse, "gvl_kills": int(kills[day > 0].sum())}


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


def disease_course(day: Floats, fraction: Floats, nucleated: Ints) -> tuple[str, int | None]:
    """Return the course of the leukaemia and the day of relapse.

    Only records with at least 200 nucleated cells count [ELN]. "none": never a leukaemic cell. "persistent": the
    leukaemic fraction was never below 1 %. "relapse": it was, and later at least 5 % [ELN] throughout a calendar
    day, the first of which is the day of relapse. "remission": below 1 % and no relapse. The 1 % (instead of "below
    5 %") keeps a marrow that hovers around 5 % from relapsing again and again; it is ours.
    """
    if not np.nansum(fraction) > 0:
        return "none", None
    seen = np.where(nucleated >= EVALUABLE_CELLS, fraction, np.nan)
    below = np.flatnonzero(seen < REMISSION)
    if below.size == 0:
        return "persistent", None
    days, low = by_calendar_day(day[below[0] :], seen[below[0] :])
    back = days[low >= RELAPSE]
    return ("relapse", int(back[0])) if back.size else ("remission", None)
