"""In which order the cells that present antigen, and the lymphocytes, come back after a transplantation."""

from __future__ import annotations

from math import inf

import numpy as np

from abm import endpoints as ends

from ..read import Run, in_unit
from .immunity import NORMAL
from .registry import COUNT, DAY, PERCENT, Floats, Made, observable, percent

#: Lower limits of adult reference ranges in 1e9/L, blood.
NORMAL_MONOCYTES, NORMAL_NAIVE = 0.2, 0.1
#: Lower end of the range of dendritic cells in the blood of adults over its middle (1/2 to 2), in percent.
NORMAL_DENDRITIC = 50.0


@observable(PERCENT, curve=True)
def dendritic_cells(run: Run) -> Made:
    """Dendritic cells of the marrow, of those there were at the start."""
    cells = run.population("dendritic")
    return percent(cells, np.full(len(cells), cells[0]))


@observable(PERCENT, curve=True)
def donor_dendritic(run: Run) -> Made:
    """Donor share of the dendritic cells of the marrow."""
    of_donors = run.population("dendritic", "donor") + run.population("dendritic", "donor2")
    return percent(of_donors, run.population("dendritic"))


def _first_day(run: Run, values: Floats, limit: float) -> float:
    """Return the first of 3 successive days after the graft with so much, infinite if there is none."""
    graft = run.graft()
    if graft is None:
        return inf
    days, least = ends.by_calendar_day(np.asarray(run.day, np.float64) - float(graft["day"]), values)
    hit = ends.first_successive(days, least >= limit, after=0)
    return inf if hit is None else float(hit)


@observable(DAY)
def dendritic_back_day(run: Run) -> Made:
    """First of 3 successive days with as many dendritic cells in the marrow as at the start, from the graft."""
    return _first_day(run, np.asarray(dendritic_cells(run)), 100.0) if run.graft() else None


@observable("1")
def innate_first(run: Run) -> Made:
    """1 if monocytes, NK and dendritic cells are normal before B cells, and these before naive CD4 cells, 0 if not.

    None while neither B nor naive CD4 cells are.
    """
    if run.graft() is None or not {"monocytes", "nk", "b", "cd4_naive"} <= set(run.body):
        return None
    limits = {"monocytes": NORMAL_MONOCYTES, "nk": NORMAL["nk"], "b": NORMAL["b"], "cd4_naive": NORMAL_NAIVE}
    day = {name: _first_day(run, in_unit(run.body[name], COUNT), limit) for name, limit in limits.items()}
    innate = max(day["monocytes"], day["nk"], _first_day(run, np.asarray(dendritic_cells(run)), NORMAL_DENDRITIC))
    if day["b"] == day["cd4_naive"] == inf:
        return None
    return float(innate < day["b"] < day["cd4_naive"])
