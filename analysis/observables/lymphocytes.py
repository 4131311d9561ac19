"""What lymphocytes of the donor do to leukaemia that came back, and to the patient."""

from __future__ import annotations

from math import inf

import numpy as np

from abm import endpoints as ends

from ..read import Run
from .registry import PERCENT, Floats, Made, observable
from .residual import METAPHASES, MONTH, chronic, divisions, found

#: Leukaemic share of divisions (CML) or of the marrow from which on infusions count as given for a relapse.
RELAPSED = ends.RELAPSE
SOON = 9 * MONTH  #: days after the first infusion in which remission and GVHD are looked for
LASTING = 30.0  #: days without a leukaemic metaphase, or with few blasts, that make a remission


def _first_infusion(run: Run) -> float | None:
    days = [float(event["day"]) for event in run.config.get("events", []) if event.get("action") == "cells"]
    return min(days) if days else None


def _share(run: Run) -> Floats:
    """Return the leukaemic share of divisions (CML) or of the marrow; of the marrow where numbers follow leukaemia."""
    if run.config.get("patient", {}).get("residual_leukaemia"):
        return np.asarray(run.body["residual_share"].values, np.float64)
    return divisions(run) if chronic(run) else ends.leukaemic_fraction(run.course().counts)[0]


def _since(run: Run) -> Floats | None:
    """Return days since the first infusion, ``None`` if there was none, or nothing to treat."""
    given = _first_infusion(run)
    if given is None:
        return None
    day, share = np.asarray(run.day, np.float64) - given, _share(run)
    before = share[(day > -3.0) & (day <= 0.0)]
    return day if before.size and np.nanmax(before) >= RELAPSED else None


def _months_to_remission(run: Run) -> float | None:
    """Return months from the first infusion to a lasting remission; infinite if there is none in time."""
    day = _since(run)
    if day is None or day[-1] < SOON:
        return None
    share = _share(run)
    free = found(run, "metaphases", METAPHASES, share) == 0.0 if chronic(run) else share < RELAPSED
    for start in day[(day > 0.0) & (day <= SOON - LASTING) & free]:
        if free[(day >= start) & (day <= start + LASTING)].mean() > 0.9:  # an assay errs now and then
            return float(start) / MONTH
    return inf


@observable(PERCENT, chance=True)
def remission_after_lymphocytes(run: Run) -> Made:
    """Probability to live to a lasting remission of leukaemia that had come back, within nine months; 0 without one."""
    months, day = _months_to_remission(run), _since(run)
    if months is None or day is None:
        return None
    survival = run.body.get("survival")
    if months == inf or survival is None:
        return 100.0 * float(months < inf)
    alive = np.asarray(survival.values, np.float64)
    return 100.0 * float(alive[day >= months * MONTH][0] / alive[day <= 0.0][-1])


@observable("months")
def months_to_remission(run: Run) -> Made:
    """Months from the first infusion to that remission; none in a patient without."""
    months = _months_to_remission(run)
    return None if months is None or months == inf else months


@observable("1")
def gvhd_after_lymphocytes(run: Run) -> Made:
    """1 if GVHD of grade II or more followed the first infusion within nine months, 0 if not."""
    day = _since(run)
    if day is None or "gvhd_grade" not in run.body or day[-1] < SOON:
        return None
    return float((run.body["gvhd_grade"].values[(day > 0.0) & (day <= SOON)] >= 2).any())
