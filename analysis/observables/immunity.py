"""Immune reconstitution, GVHD and leukaemia after a transplantation."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from abm import endpoints as ends

from ..read import Run, in_unit
from .registry import COUNT, DAY, PERCENT, Floats, Made, observable

ACUTE_UNTIL = 100  #: days after the graft in which GVHD is counted as acute in registries
#: Lower limits of adult reference ranges in 1e9/L, in the order in which the subsets are said to return.
NORMAL = {"nk": 0.1, "cd8": 0.2, "b": 0.1, "cd4": 0.5}
GROWING = (0.02, 0.2)  #: leukaemic shares of the marrow between which growth is measured: seen well, hardly crowded
CYTOPENIA = 1.0  #: ANC in 1e9/L below which leukaemia is said to have emptied the marrow


def since_graft(run: Run) -> Floats | None:
    """Return days since the graft of every record, ``None`` without a graft."""
    graft = run.graft()
    return None if graft is None else np.asarray(run.day, np.float64) - float(graft["day"])


def _worst_acute_grade(run: Run) -> float | None:
    """Return the highest grade until day 100; ``None`` if the run does not go so far."""
    day = since_graft(run)
    if day is None or "gvhd_grade" not in run.body or day[-1] < ACUTE_UNTIL:
        return None
    return float(np.max(run.body["gvhd_grade"].values[(day >= 0) & (day <= ACUTE_UNTIL)]))


def _register_acute(name: str, least: int, doc: str) -> None:
    def make(run: Run) -> Made:
        worst = _worst_acute_grade(run)
        return None if worst is None else float(worst >= least)

    make.__doc__ = doc
    observable("1", name=name)(make)


for _name, _least in (("1_4", 1), ("2_4", 2), ("3_4", 3)):
    _register_acute(f"acute_gvhd_{_name}", _least, f"1 if acute GVHD reached grade {_least} by day 100, 0 if not.")


@observable(DAY)
def acute_gvhd_onset_day(run: Run) -> Made:
    """First day of grade II or more by day 100, from the graft; none in a patient who had none."""
    day = since_graft(run)
    if day is None or "gvhd_grade" not in run.body:
        return None
    hits = day[(run.body["gvhd_grade"].values >= 2) & (day >= 0) & (day <= ACUTE_UNTIL)]
    return float(np.floor(hits[0])) if hits.size else None


@observable(COUNT, curve=True)
def cd4_naive(run: Run) -> Made:
    """Naive CD4 T cells in blood."""
    return in_unit(run.body["cd4_naive"], COUNT) if "cd4_naive" in run.body else None


@observable("1", curve=True)
def cd4_cd8_ratio(run: Run) -> Made:
    """CD4 over CD8 T cells in blood."""
    if not {"cd4", "cd8"} <= set(run.body):
        return None
    cd4, cd8 = (np.asarray(run.body[name].values, np.float64) for name in ("cd4", "cd8"))
    ratio: Floats = np.full(len(cd4), np.nan)
    np.divide(cd4, cd8, out=ratio, where=cd8 > 0)
    return ratio


def first_day(day: Floats, values: Floats, limit: float) -> float:
    """Return the first of 3 successive days with so much, infinite if there is none; ``day``: from the graft."""
    days, low = ends.by_calendar_day(day, values)
    hit = ends.first_successive(days, low >= limit, after=0)
    return inf if hit is None else float(hit)


def _normal_days(run: Run) -> list[float] | None:
    """Return the first of 3 successive days after the graft with a normal count, in the order of ``NORMAL``."""
    day = since_graft(run)
    if day is None or not set(NORMAL) <= set(run.body):
        return None
    return [first_day(day, in_unit(run.body[name], COUNT), limit) for name, limit in NORMAL.items()]


@observable("1")
def subsets_in_order(run: Run) -> Made:
    """1 if NK, CD8, B and CD4 cells become normal in this order, 0 if not; none while it is open."""
    days = _normal_days(run)
    if days is None:
        return None
    pairs = list(zip(days, days[1:], strict=False))
    if any(first > second for first, second in pairs):
        return 0.0
    return None if any(first == second == inf for first, second in pairs) else float(all(a < b for a, b in pairs))


def _register_normal(index: int, name: str) -> None:
    def make(run: Run) -> Made:
        days = _normal_days(run)
        return None if days is None else days[index]

    make.__doc__ = f"First of 3 successive days with normal {name.upper()} cells in blood, from the graft."
    observable(DAY, name=f"{name}_normal_day")(make)


for _index, _subset in enumerate(NORMAL):
    _register_normal(_index, _subset)


def _leukaemia(run: Run) -> tuple[Floats, Floats]:
    """Return the leukaemic cells of the patch and their share of nucleated marrow cells, each of shape (T,)."""
    counts = run.course().counts
    share, nucleated = ends.leukaemic_fraction(counts)
    return share * nucleated, share


def _doubling(day: Floats, cells: Floats, among: NDArray[np.bool_]) -> float | None:
    """Return the doubling time of the cells from a straight line through their logarithm, none if they do not grow."""
    if among.sum() < 3:
        return None
    slope = float(np.polyfit(day[among], np.log(cells[among]), 1)[0])
    return float(np.log(2.0) / slope) if slope > 0 else None


@observable(DAY)
def leukaemia_doubling_time(run: Run) -> Made:
    """Doubling time of leukaemic marrow cells while they are 2 to 20 % of it."""
    cells, share = _leukaemia(run)
    return _doubling(np.asarray(run.day, np.float64), cells, (share >= GROWING[0]) & (share <= GROWING[1]))


@observable(DAY)
def days_to_1e12_cells(run: Run) -> Made:
    """Days in which a malignancy grows from 1e9 to 1e12 cells at the doubling time of leukaemia_doubling_time."""
    doubling = leukaemia_doubling_time(run)
    return None if doubling is None else float(doubling) * float(np.log2(1e12 / 1e9))


@observable(PERCENT)
def blasts_at_cytopenia(run: Run) -> Made:
    """Leukaemic share of the marrow on the first of 3 successive days with ANC below 1.0e9/L."""
    _, share = _leukaemia(run)
    if "anc" not in run.body or not np.nansum(share) > 0:
        return None
    day = np.asarray(run.day, np.float64)
    days, high = ends.by_calendar_day(day, in_unit(run.body["anc"], COUNT), np.fmax)
    hit = ends.first_successive(days, high < CYTOPENIA, after=int(days[0]))
    return None if hit is None else 100.0 * float(share[int(np.searchsorted(day, hit))])
