"""When the cells of a donor appear in each lineage of the blood, and where their share settles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm import endpoints as ends

from ..read import Run, in_unit
from .registry import DAY, Floats, Made, observable

#: Days since the graft between which the donor's share of a lineage counts as settled.
SETTLED = {"myeloid": (51, 110), "red": (51, 110), "b": (51, 110), "t": (75, 110)}
#: Least share in percent that counts as seen: what a cytometer tells from nothing in these cells.
SEEN = {"b": 1.0, "t": 0.5}
NAMES = {"myeloid": "blood neutrophils and monocytes", "red": "red cells", "b": "B cells", "t": "T cells"}
NEARLY = 0.9  #: share of the settled level at which it counts as reached


def _share(run: Run, lineage: str) -> tuple[NDArray[np.int64], Floats] | None:
    """Return calendar days since the graft and the lowest donor share of each in percent, ``None`` without a graft."""
    graft = run.graft()
    if graft is None or f"donor_{lineage}" not in run.body:
        return None
    day = np.asarray(run.day, np.float64) - float(graft["day"])
    days, share = ends.by_calendar_day(day, in_unit(run.body[f"donor_{lineage}"], "percent"))
    return days[days >= 0], share[days >= 0]


def _day_of(run: Run, lineage: str, part: float) -> Made:
    """Return the first day with this part of the settled share; ``None`` where nothing has settled, or not yet."""
    found = _share(run, lineage)
    first, last = SETTLED[lineage]
    if found is None or found[0][-1] < last:
        return None
    days, share = found
    level = float(share[(days >= first) & (days <= last)].mean())
    if level < SEEN.get(lineage, 1.0):
        return None
    return float(days[int(np.argmax(share >= part * level))])


def _register(lineage: str) -> None:
    def half(run: Run) -> Made:
        return _day_of(run, lineage, 0.5)

    def settled(run: Run) -> Made:
        return _day_of(run, lineage, NEARLY)

    def seen(run: Run) -> Made:
        found = _share(run, lineage)
        if found is None:
            return None
        hits = found[0][found[1] >= SEEN[lineage]]
        return float(hits[0]) if hits.size else None  # a small patch may hold no cell of a small graft

    half.__doc__ = f"First day with half the settled donor share of {NAMES[lineage]}."
    observable(DAY, name=f"donor_{lineage}_half_day")(half)
    settled.__doc__ = f"First day with nine tenths of the settled donor share of {NAMES[lineage]}."
    observable(DAY, name=f"donor_{lineage}_settled_day")(settled)
    if lineage in SEEN:
        seen.__doc__ = f"First day with {SEEN[lineage]:g} % of the donor's among {NAMES[lineage]}."
        observable(DAY, name=f"donor_{lineage}_seen_day")(seen)


for _lineage in NAMES:
    _register(_lineage)
