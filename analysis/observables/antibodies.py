"""What follows the first dose of an antibody for a leukaemia or lymphoma that is back after a transplantation."""

from __future__ import annotations

import numpy as np

from abm import endpoints as ends

from ..read import Run, in_unit
from .registry import Floats, Made, observable

WITHIN = 100  #: days from the first dose in which an event counts
_PERCENT = "percent"
RELAPSE = 100.0 * ends.RELAPSE  #: percent of leukaemic marrow cells that are a relapse; below it is a remission
LYMPHOMAS = ("burkitt", "dlbcl", "follicular", "hodgkin")
SEEN = 0.5  #: the same of a lymphoma, which is seen where it grows: Reed-Sternberg cells are about 1 % of a lesion
PARTIAL = 0.5  #: share of the lymphoma that is left at most in a response (Cheson, J Clin Oncol 2014)
LYMPHOMA_CELLS = ("lsc", "blast")  #: kinds that stand for the cells of a lymphoma
#: Severity from which chronic GVHD is severe: the third of the three grades of the NIH (Jagasia, BBMT 2015).
SEVERE_CHRONIC = 200.0 / 3.0


def _after(run: Run, name: str, unit: str) -> Floats | None:
    """Return the values of the days that count; ``None`` without antibody or relapse, or in too short a run."""
    found = _around(run, name, unit)
    return None if found is None else found[1]


def _least(run: Run) -> float:
    """Return the leukaemic share of the marrow in percent that is a relapse of this disease."""
    return SEEN if run.config["patient"]["disease"] in LYMPHOMAS else RELAPSE


def _around(run: Run, name: str, unit: str) -> tuple[float, Floats] | None:
    """Return the value at the first dose and those of the days that count, likewise."""
    return None if name not in run.body else _parted(run, in_unit(run.body[name], unit))


def _parted(run: Run, values: Floats) -> tuple[float, Floats] | None:
    """Return what ``_around`` does of a curve."""
    given = [float(event["day"]) for event in run.config.get("events", []) if event["action"] == "antibody"]
    if not given or run.graft() is None or "blast_percent" not in run.body:
        return None
    day, blasts = np.asarray(run.day, np.float64) - min(given), in_unit(run.body["blast_percent"], _PERCENT)
    before = np.flatnonzero(day <= 0.0)
    if not before.size or day[-1] < WITHIN or blasts[before[-1]] < _least(run):
        return None
    return float(values[before[-1]]), values[(day > 0.0) & (day <= WITHIN)]


def _worst_grade(run: Run) -> float | None:
    """Return the worst grade of new acute GVHD; ``None`` in who has it at the first dose: trials bar active GVHD."""
    found = _around(run, "gvhd_grade", "1")
    return None if found is None or found[0] > 0.0 else float(np.max(found[1]))


@observable("1")
def gvhd_after_antibody(run: Run) -> Made:
    """1 if there was new acute GVHD of any grade within 100 days of the first antibody for a relapse, 0 if not."""
    worst = _worst_grade(run)
    return None if worst is None else float(worst >= 1)


def _new_chronic(run: Run) -> float | None:
    """Return the most severe that chronic GVHD got that began in these days, percent; 0 in who had it before."""
    found = _around(run, "chronic_gvhd", _PERCENT)
    return None if found is None else float(np.max(found[1])) if found[0] == 0.0 else 0.0


@observable("1")
def any_gvhd_after_antibody(run: Run) -> Made:
    """1 if there was acute GVHD of any grade, or chronic GVHD began, in these 100 days, 0 if not."""
    worst, chronic = _worst_grade(run), _new_chronic(run)
    return None if worst is None or chronic is None else float(worst >= 1 or chronic > 0.0)


@observable("1")
def lymphoma_response_after_antibody(run: Run) -> Made:
    """1 if half of the lymphoma cells of the marrow or more were gone at some time of these 100 days, 0 if not.

    Of the same patients as GVHD: those without acute GVHD at the first dose.
    """
    found = _parted(run, np.asarray(run.population(LYMPHOMA_CELLS), np.float64))
    return None if found is None or _worst_grade(run) is None else float(np.min(found[1]) <= PARTIAL * found[0])


@observable("1")
def severe_gvhd_after_antibody(run: Run) -> Made:
    """1 if acute GVHD reached grade III, or new chronic GVHD became severe, in these 100 days, 0 if not."""
    worst, chronic = _worst_grade(run), _new_chronic(run)
    return None if worst is None or chronic is None else float(worst >= 3 or chronic >= SEVERE_CHRONIC)


@observable("1")
def response_after_antibody(run: Run) -> Made:
    """1 if less than 5 % of the marrow was leukaemic within 100 days of the first antibody for a relapse, 0 if not."""
    found = _after(run, "blast_percent", _PERCENT)
    return None if found is None else float(np.min(found) < RELAPSE)
