"""Relapse after a transplantation, and death without it, as the chance that the course of one patient leaves.

Whether leukaemia comes back is chance once few stem cells are left. Its probability follows from the course (the
body's ``relapse_risk``), so that it is averaged over patients rather than counted. *Probability* is that of a patient
who does not die of anything else (1 - Kaplan-Meier in papers of its time), *incidence* counts who dies first as free.

Papers follow their patients for three to five years. In runs that end sooner leukaemia that still falls is followed on
(:func:`_risk_at_the_end`); leukaemia that grows will have come back by then.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm import endpoints as ends

from ..read import Run
from .immunity import ACUTE_UNTIL
from .registry import DAY, PERCENT, Floats, Made, observable
from .residual import FLOW, MONTH, found

FOLLOW_UP = 36 * MONTH  #: days from the graft until which leukaemia that falls goes on to fall
#: Days after the graft on which patients without a relapse are told apart by the GVHD they have had, and from which on
#: relapses count: half a year, by when most chronic GVHD has begun. Who relapses before it can begin is in no group.
LANDMARK = 180.0
NEEDED = ("relapse_risk", "residual_share", "residual_if_left", "survival")


class Fate(NamedTuple):
    """What may become of somebody with this course.

    Attributes:
        relapse: probability that leukaemia comes back, were there no other death.
        alive: probability to be alive when it does; at the end, if that is not before.
        survival: probability to be alive at the end of those in whom it does not come back.
    """

    relapse: float
    alive: float
    survival: float


def _fate(run: Run) -> Fate | None:
    """Return what may become of this patient; ``None`` without a graft, or where residual leukaemia is not followed."""
    graft = run.graft()
    if graft is None or not run.config.get("patient", {}).get("residual_leukaemia") or not set(NEEDED) <= set(run.body):
        return None
    risk, real, possible, survival = (np.asarray(run.body[name].values, np.float64) for name in NEEDED)
    after = np.asarray(run.day, np.float64) > float(graft["day"])
    if not after.any():
        return None
    back, came = _first_overt(possible, after), _first_overt(real, after)
    relapse = float(risk[back]) if back >= 0 else _risk_at_the_end(run, float(run.day[-1]) - float(graft["day"]))
    return Fate(relapse, float(survival[back]), float(survival[came]))


def _risk_at_the_end(run: Run, followed: float) -> float:
    """Return the probability that leukaemia is left after ``FOLLOW_UP``, in a run that ends ``followed`` days after it.

    T cells that hold a residue down kill the last of it in months. Cells that die more often than they divide fall as
    they did in the last month; of lineages no more are left than cells, and no more than there are now.
    """
    risk, possible = (np.asarray(run.body[name].values, np.float64) for name in ("relapse_risk", "residual_if_left"))
    now, ahead = float(risk[-1]), FOLLOW_UP - followed
    cells, share = (
        np.asarray(run.body[name].values, np.float64) if name in run.body else np.zeros(1)
        for name in ("residual_stem_cells", "residual_share")
    )
    day = np.asarray(run.day, np.float64)
    then = int(np.searchsorted(day, day[-1] - MONTH))
    before, last = (float(risk[i] * possible[i]) for i in (then, -1))  # mean share, of those without any as well
    if ahead <= 0.0 or share[0] <= 0.0 or not 0.0 < last < before:
        return now
    fall = float(np.log(before / last)) / float(day[-1] - day[then])
    left = last * float(cells[0] / share[0]) * float(np.exp(-fall * ahead))
    return min(now, 1.0 - float(np.exp(-left)))


def _first_overt(share: Floats, after: NDArray[np.bool_]) -> int:
    """Return the first record after the graft with overt leukaemia, the last one if there is none."""
    overt = np.flatnonzero(after & (share >= ends.RELAPSE))
    return int(overt[0]) if overt.size else -1


@observable(PERCENT, chance=True)
def relapse_probability(run: Run) -> Made:
    """Probability that leukaemia comes back, were there no other death."""
    fate = _fate(run)
    return None if fate is None else 100.0 * fate.relapse


@observable(PERCENT, chance=True)
def overt_relapse_probability(run: Run) -> Made:
    """Probability that leukaemia has come back by the end, were there no other death: of slow ones, that they show."""
    if _fate(run) is None or "overt_risk" not in run.body:
        return None
    return 100.0 * float(run.body["overt_risk"].values[-1])


@observable("1")
def relapse_chance(run: Run) -> Made:
    """The same as a fraction, for the ratio of hazards of two cohorts."""
    fate = _fate(run)
    return None if fate is None else fate.relapse


@observable(PERCENT, chance=True)
def relapse_incidence(run: Run) -> Made:
    """Probability that leukaemia comes back before the patient dies of anything else."""
    fate = _fate(run)
    return None if fate is None else 100.0 * fate.relapse * fate.alive


@observable(PERCENT, chance=True)
def nonrelapse_mortality(run: Run) -> Made:
    """Probability to die before leukaemia comes back."""
    fate = _fate(run)
    if fate is None:
        return None
    return 100.0 * (fate.relapse * (1.0 - fate.alive) + (1.0 - fate.relapse) * (1.0 - fate.survival))


@observable(PERCENT, chance=True)
def event_free(run: Run) -> Made:
    """Probability to be alive at the end with a disease that does not come back, with a graft or without one."""
    if not run.config.get("patient", {}).get("residual_leukaemia") or not {"relapse_risk", "survival"} <= set(run.body):
        return None
    risk, survival = (float(run.body[name].values[-1]) for name in ("relapse_risk", "survival"))
    return 100.0 * (1.0 - risk) * survival


# ------------------------------------------------------------------------------------------- groups of patients


def _gvhd(run: Run) -> tuple[bool, bool] | None:
    """Return whether the patient had acute GVHD of grade II or more, and chronic GVHD by the landmark."""
    graft = run.graft()
    if graft is None or not {"gvhd_grade", "chronic_gvhd"} <= set(run.body):
        return None
    day = np.asarray(run.day, np.float64) - float(graft["day"])
    acute = run.body["gvhd_grade"].values[(day >= 0) & (day <= ACUTE_UNTIL)]
    chronic = run.body["chronic_gvhd"].values[day <= LANDMARK]
    return bool((acute >= 2).any()), bool((chronic > 0).any())


def _relapse_from_the_landmark_on(run: Run) -> float | None:
    """Return the probability, as a fraction, of a relapse after the landmark; ``None`` if there was one before."""
    fate, graft = _fate(run), run.graft()
    if fate is None or graft is None:
        return None
    day = np.asarray(run.day, np.float64) - float(graft["day"])
    back, came = (
        _first_overt(np.asarray(run.body[name].values, np.float64), day > 0)
        for name in ("residual_if_left", "residual_share")
    )
    if day[-1] <= LANDMARK or (came >= 0 and day[came] <= LANDMARK):
        return None
    return 0.0 if back >= 0 and day[back] <= LANDMARK else fate.relapse  # 0: the course left none in this patient


def _register_group(name: str, *, acute: bool, chronic: bool, doc: str) -> None:
    def make(run: Run) -> Made:
        return _relapse_from_the_landmark_on(run) if _gvhd(run) == (acute, chronic) else None

    make.__doc__ = (
        f"Probability, as a fraction, of relapse after half a year in a patient {doc} by then; none in others."
    )
    observable("1", name=f"relapse_chance_{name}")(make)


_register_group("no_gvhd", acute=False, chronic=False, doc="without GVHD")
_register_group("acute_gvhd", acute=True, chronic=False, doc="with acute GVHD II-IV alone")
_register_group("chronic_gvhd", acute=False, chronic=True, doc="with chronic GVHD alone")
_register_group("both_gvhd", acute=True, chronic=True, doc="with acute and chronic GVHD")


def _mrd(run: Run) -> float | None:
    """Return the share that flow cytometry finds at the start, before conditioning."""
    if "residual_share" not in run.body or not run.config.get("patient", {}).get("residual_leukaemia"):
        return None
    return float(found(run, "flow", FLOW, np.asarray(run.body["residual_share"].values, np.float64))[0])


@observable(PERCENT, chance=True)
def relapse_incidence_mrd_negative(run: Run) -> Made:
    """Incidence of relapse if flow cytometry found less than 1e-3 before conditioning; none in others."""
    share = _mrd(run)
    return relapse_incidence(run) if share is not None and share < ends.FLOW_POSITIVE else None


@observable(PERCENT, chance=True)
def relapse_incidence_mrd_positive(run: Run) -> Made:
    """Incidence of relapse if flow cytometry found 1e-3 or more before conditioning; none in others."""
    share = _mrd(run)
    return relapse_incidence(run) if share is not None and share >= ends.FLOW_POSITIVE else None


def _haplotype_lost(run: Run) -> tuple[float, float] | None:
    """Return the probabilities that leukaemia comes back without the foreign haplotype alone, and in any way."""
    fate = _fate(run)
    if fate is None or "escape_risk" not in run.body:
        return None
    lost = float(run.body["escape_risk"].values[-1])
    return lost * (1.0 - fate.relapse), 1.0 - (1.0 - lost) * (1.0 - fate.relapse)


@observable("1")
def haplotype_lost_chance(run: Run) -> Made:
    """Probability, as a fraction, that leukaemia which has lost the foreign HLA haplotype comes back, and no other."""
    chances = _haplotype_lost(run)
    return None if chances is None else chances[0]


@observable("1")
def any_relapse_chance(run: Run) -> Made:
    """Probability, as a fraction, that leukaemia comes back, with that haplotype or without it."""
    chances = _haplotype_lost(run)
    return None if chances is None else chances[1]


@observable(DAY)
def overt_relapse_day(run: Run) -> Made:
    """First day of a relapse (``abm.endpoints``), from the start; infinite if none, none without remission."""
    found = run.endpoints()
    if found["disease"] not in ("relapse", "remission"):
        return None
    day = found["relapse_day"]
    graft = (run.graft() or {"day": 0.0})["day"]
    return float(day) + float(graft) - float(run.day[0]) if isinstance(day, int) else inf
