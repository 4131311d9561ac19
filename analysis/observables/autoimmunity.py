"""Multiple sclerosis and lupus: relapses, disability, new repertoire; days count from the graft, or from day 0."""

from __future__ import annotations

from math import inf

import numpy as np

from abm.read_outs import CONFIRMED, first_rise, progression

from ..read import Run, in_unit
from .registry import COUNT, DAY, PERCENT, Floats, Made, observable

FOUND = 0.001  #: B cells in blood, 1e9/L, that a cytometer tells from none
STAY = 28.0  #: days for which they must be found to count as back
TRIAL = 1096.0  #: days of the trial of autografts against drugs


def _ill(run: Run, disease: str) -> bool:
    return bool(run.config.get("patient", {}).get("disease") == disease)


def _days(run: Run) -> Floats:
    """Return days since the graft, or since day 0, of every record."""
    return np.asarray(run.day, np.float64) - float((run.graft() or {"day": 0.0})["day"])


def _first_rise(run: Run, name: str) -> float | None:
    """Return the first day after day 0 on which a count of events has risen; infinite if it has not."""
    if name not in run.body or not _ill(run, "ms"):
        return None
    return first_rise(_days(run), np.asarray(run.body[name].values, np.float64))


def _progression(run: Run) -> float | None:
    """Return the first day of a rise of disability that stays for half a year; infinite if there is none."""
    if "edss" not in run.body or not _ill(run, "ms"):
        return None
    return progression(_days(run), np.asarray(run.body["edss"].values, np.float64))


@observable(DAY)
def ms_relapse_day(run: Run) -> Made:
    """Day of the first relapse of multiple sclerosis."""
    return _first_rise(run, "ms_relapses")


@observable(DAY)
def ms_progression_day(run: Run) -> Made:
    """First day of a rise of EDSS by a point that stays for half a year."""
    return _progression(run)


@observable("1")
def ms_progressed(run: Run) -> Made:
    """1 if EDSS rose by a point and stayed up within the three years of a trial, 0 if not."""
    day = _progression(run)
    return None if day is None or _days(run)[-1] < TRIAL + CONFIRMED else float(day <= TRIAL)


@observable(DAY)
def ms_evidence_day(run: Run) -> Made:
    """First day with evidence of disease: relapse, new lesion, or rise of EDSS that stays."""
    found = [_first_rise(run, "ms_relapses"), _first_rise(run, "ms_lesions"), _progression(run)]
    return None if None in found else min(day for day in found if day is not None)


@observable("1/a")
def ms_relapse_rate(run: Run) -> Made:
    """Relapses of multiple sclerosis per year, over the whole run."""
    if "ms_relapses" not in run.body or not _ill(run, "ms"):
        return None
    count = np.asarray(run.body["ms_relapses"].values, np.float64)
    return float(count[-1] - count[0]) / (float(run.day[-1] - run.day[0]) / 365.25)


@observable("points", curve=True)
def sledai(run: Run) -> Made:
    """Activity of lupus."""
    return np.asarray(run.body["sledai"].values, np.float64) if "sledai" in run.body and _ill(run, "sle") else None


@observable(DAY)
def b_cells_return_day(run: Run) -> Made:
    """Day from the first cell product from which B cells are back in blood to stay; none if they were never lost."""
    given = [float(event["day"]) for event in run.config.get("events", []) if event.get("action") == "cells"]
    if not given or "b" not in run.body:
        return None
    day = np.asarray(run.day, np.float64) - min(given)
    count = in_unit(run.body["b"], COUNT)
    gone = day[(day >= 0.0) & (count < FOUND)]
    if not gone.size:
        return None
    for start in day[(day > gone[0]) & (count >= FOUND) & (day <= day[-1] - STAY)]:
        if count[(day >= start) & (day <= start + STAY)].min() >= FOUND:
            return float(start)
    return inf


def _register_new(lineage: str) -> None:
    def new(run: Run) -> Made:
        found = run.body.get(f"{lineage}_new")
        return None if found is None else 100.0 * np.asarray(found.values, np.float64)

    new.__doc__ = f"{lineage.upper()} cells with receptors made since the start."
    observable(PERCENT, curve=True, name=f"{lineage}_new")(new)


for _lineage in ("cd4", "cd8"):
    _register_new(_lineage)
