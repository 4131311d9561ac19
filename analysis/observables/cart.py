"""Engineered T cells after infusion: expansion, contraction, response. Days count from the first infusion of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from abm import endpoints as ends

from ..read import Run
from .registry import DAY, PERCENT, Floats, Made, observable

FIRST_LOOK = 28  #: day from which remission is assessed
REMISSION_UNTIL = 91  #: three months
YEAR = 365
REMISSION = ends.RELAPSE  #: blasts of nucleated marrow cells below which it is one
CONTRACTION = (1.0, 15.0)  #: days after the peak over which the half-life is taken


def _since(run: Run) -> Floats | None:
    """Return days since the first infusion of engineered T cells, ``None`` without one."""
    given = [float(event["day"]) for event in run.config.get("events", []) if event.get("receptor")]
    return np.asarray(run.day, np.float64) - min(given) if given and "engineered_body" in run.body else None


def _expansion(run: Run) -> tuple[Floats, Floats] | None:
    """Return days and engineered cells of the body from the first record that has any."""
    day = _since(run)
    if day is None:
        return None
    cells = np.asarray(run.body["engineered_body"].values, np.float64)
    there = (cells > 0) & (day >= 0)
    return (day[there], cells[there]) if there.any() else None


@observable(DAY)
def cart_peak_day(run: Run) -> Made:
    """Day of the most engineered T cells."""
    found = _expansion(run)
    return None if found is None else float(found[0][int(np.argmax(found[1]))])


@observable("1")
def cart_fold(run: Run) -> Made:
    """Most engineered T cells over those at the first record after the infusion."""
    found = _expansion(run)
    return None if found is None else float(found[1].max() / found[1][0])


@observable(DAY)
def cart_half_life(run: Run) -> Made:
    """Half-life of engineered T cells in the two weeks after their peak; none before their end, or without a fall."""
    found = _expansion(run)
    if found is None:
        return None
    day, cells = found
    since = day - day[int(np.argmax(cells))]
    falling = (since >= CONTRACTION[0]) & (since <= CONTRACTION[1])
    if since[-1] < CONTRACTION[1] or falling.sum() < 3:
        return None
    slope = float(np.polyfit(day[falling], np.log(cells[falling]), 1)[0])
    return float(np.log(2.0) / -slope) if slope < 0 else None


class _Response(NamedTuple):
    """Course of the leukaemia: days, whether it is in remission, day of the first assessment in remission; death."""

    day: Floats
    remission: Floats
    first: float | None
    dead: bool


def _response(run: Run) -> _Response | None:
    day, cause = _since(run), run.body.get("cause_of_death")
    dead = cause is not None and float(cause.values[-1]) > 0.0  # a run ends with its patient
    if day is None or (day[-1] < REMISSION_UNTIL and not dead):
        return None
    share, _ = ends.leukaemic_fraction(run.course().counts)
    calm = np.asarray(share, np.float64) < REMISSION
    hits = day[calm & (day >= FIRST_LOOK) & (day <= REMISSION_UNTIL)]
    return _Response(day, calm.astype(np.float64), float(hits[0]) if hits.size else None, dead)


@observable("1")
def cart_remission(run: Run) -> Made:
    """1 if the marrow holds less than 5 % blasts at any look from day 28 to three months, 0 if not."""
    found = _response(run)
    return None if found is None else float(found.first is not None)


def _ends(found: _Response, until: float) -> bool:
    """Whether leukaemia is back by a day, or death has come, in a patient who was in remission."""
    after = (found.day >= (found.first or 0.0)) & (found.day <= until)
    return bool((found.remission[after] == 0.0).any()) or (found.dead and found.day[-1] < until)


@observable("1")
def cart_event_free(run: Run) -> Made:
    """1 if in remission by three months, without relapse and alive to one year, 0 if not."""
    found = _response(run)
    if found is None or (found.day[-1] < YEAR and not found.dead):
        return None
    return float(found.first is not None and not _ends(found, YEAR))


@observable("1")
def cart_lasting_response(run: Run) -> Made:
    """1 if a remission lasts for a year, 0 if it ends before or death comes; none without one."""
    found = _response(run)
    if found is None or found.first is None or (found.day[-1] < found.first + YEAR and not found.dead):
        return None
    return float(not _ends(found, found.first + YEAR))


@observable(PERCENT)
def cart_escape_risk(run: Run) -> Made:
    """Probability that leukaemic stem cells are left that lack what the T cells bind."""
    if _since(run) is None or "escape_risk" not in run.body or not run.config["patient"].get("residual_leukaemia"):
        return None
    return 100.0 * float(run.body["escape_risk"].values[-1])


@observable("1")
def cytokine_release_grade(run: Run) -> Made:
    """Highest grade of cytokine release."""
    if _since(run) is None:
        return None
    return float(np.max(run.body["crs_grade"].values))
