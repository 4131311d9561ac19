"""In which order the cells that present antigen, and the lymphocytes, come back after a transplantation."""

from __future__ import annotations

from math import inf

import numpy as np

from ..read import Run, in_unit
from .immunity import NORMAL, first_day, since_graft
from .registry import COUNT, DAY, PERCENT, Made, observable, percent

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


@observable(DAY)
def dendritic_back_day(run: Run) -> Made:
    """First of 3 successive days with as many dendritic cells in the marrow as at the start, from the graft."""
    day = since_graft(run)
    return None if day is None else first_day(day, np.asarray(dendritic_cells(run)), 100.0)


@observable("1")
def innate_first(run: Run) -> Made:
    """1 if monocytes, NK and dendritic cells are normal before B cells, and these before naive CD4 cells, 0 if not.

    None while neither B nor naive CD4 cells are.
    """
    since = since_graft(run)
    if since is None or not {"monocytes", "nk", "b", "cd4_naive"} <= set(run.body):
        return None
    limits = {"monocytes": NORMAL_MONOCYTES, "nk": NORMAL["nk"], "b": NORMAL["b"], "cd4_naive": NORMAL_NAIVE}
    day = {name: first_day(since, in_unit(run.body[name], COUNT), limit) for name, limit in limits.items()}
    innate = max(day["monocytes"], day["nk"], first_day(since, np.asarray(dendritic_cells(run)), NORMAL_DENDRITIC))
    if day["b"] == day["cd4_naive"] == inf:
        return None
    return float(innate < day["b"] < day["cd4_naive"])
