"""Edited grafts: what of the blood is edited, when the first engineered T cells are seen, whether the share stays."""

from __future__ import annotations

from math import inf

import numpy as np

from ..read import Run, in_unit
from .registry import DAY, PERCENT, Made, observable

SEEN = 0.5  #: percent of T cells from which on engineered ones are seen, as for donor T cells in mice
EARLY, LATE = (80.0, 100.0), (640.0, 730.0)  #: month 3 and month 24


def _share(run: Run, name: str) -> Made:
    return in_unit(run.body[name], "percent", name) if name in run.body else None


@observable(PERCENT, curve=True)
def edited_neutrophils(run: Run) -> Made:
    """Neutrophils of the blood with at least one edited allele."""
    return _share(run, "edited_share_neutrophils")


@observable(PERCENT, curve=True)
def altered_monocytes(run: Run) -> Made:
    """Monocytes of the blood whose edit is complete: without the antigen, or with the gene."""
    return _share(run, "altered_share_monocytes")


@observable(PERCENT, curve=True)
def altered_t(run: Run) -> Made:
    """T cells whose edit is complete: without the antigen, or with the gene."""
    return _share(run, "altered_share_t")


@observable(DAY)
def altered_t_seen_day(run: Run) -> Made:
    """First day from the graft with more than 0.5 % of T cells completely edited."""
    share, graft = _share(run, "altered_share_t"), run.graft()
    if share is None or graft is None or not graft.get("edit"):
        return None
    hits = np.asarray(run.day, np.float64)[np.asarray(share) > SEEN]
    return float(hits[0]) - float(graft["day"]) if hits.size else inf


@observable(PERCENT)
def edited_share_change(run: Run) -> Made:
    """Edited share of neutrophils in month 24 less that in month 3, in points."""
    share, graft = _share(run, "edited_share_neutrophils"), run.graft()
    if share is None or graft is None or not graft.get("edit"):
        return None
    since = np.asarray(run.day, np.float64) - float(graft["day"])
    chosen = [(since >= first) & (since <= last) for first, last in (EARLY, LATE)]
    if not all(days.any() for days in chosen):
        return None
    early, late = (float(np.mean(np.asarray(share)[days])) for days in chosen)
    return late - early
