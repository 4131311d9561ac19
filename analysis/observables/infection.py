"""Infections of neutropenia, chronic GVHD, and what one dies of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..read import Run, in_unit
from .registry import COUNT, PERCENT, Floats, Made, observable

#: Neutrophil counts in 1e9/L between which rates are told (Bodey 1966), by name.
RANGES = {"0_1": (0.0, 0.1), "0_5": (0.1, 0.5), "1": (0.5, 1.0), "more": (1.0, np.inf)}
NEUTROPENIA = 1.0  #: 1e9/L
PRICE_DAYS = 730.5  #: after a graft over which infections are counted
REACTIVATION_DAYS = 182.0  #: after a graft, within which most latent viruses come back
KILLED_BY_NEUTROPHILS, LATENT = ("bacteria", "fungi"), ("cmv", "ebv")
FEWEST_DAYS = 1.0  #: spent in a range before its rate is told


def _register_rate(name: str, low: float, high: float) -> None:
    def make(run: Run) -> Made:
        if "infection_rate" not in run.body or len(run.day) < 2:
            return None
        anc, rate = in_unit(run.body["anc"], COUNT)[1:], np.asarray(run.body["infection_rate"].values)[1:]
        days = np.diff(run.day) * ((anc >= low) & (anc < high) & (run.day[1:] > 0.0))
        return 1000.0 * float((rate * days).sum() / days.sum()) if days.sum() >= FEWEST_DAYS else None

    make.__doc__ = (
        f"Severe bacterial infections to be expected per 1000 days with ANC {low:g} to {high:g}, from day 0 on."
    )
    observable("1", name=f"infection_rate_anc_{name}")(make)


for _name, (_low, _high) in RANGES.items():
    _register_rate(_name, _low, _high)


@observable(PERCENT)
def neutropenic_infection_risk(run: Run) -> Made:
    """Probability of a severe bacterial infection while ANC was below 1.0e9/L after day 0; none if it never was.

    What one patient catches is chance: of a hundred with this course so many would be infected.
    """
    if not {"anc", "infection_rate"} <= set(run.body) or len(run.day) < 2:
        return None
    low = (in_unit(run.body["anc"], COUNT)[1:] < NEUTROPENIA) & (run.day[1:] > 0.0)
    expected = np.asarray(run.body["infection_rate"].values)[1:] * np.diff(run.day)
    return 100.0 * float(-np.expm1(-expected[low].sum())) if low.any() else None


def _after_graft(run: Run, names: Sequence[str]) -> tuple[Floats, Floats] | None:
    """Return days since the graft and the episodes by these pathogens since then; ``None`` without a graft."""
    graft, columns = run.graft(), [f"{name}_episodes" for name in names]
    if graft is None or not set(columns) <= set(run.body):
        return None
    day = np.asarray(run.day, np.float64) - float(graft["day"])
    episodes = sum((np.asarray(run.body[name].values, np.float64) for name in columns), np.zeros(day.size))
    after = day >= 0.0
    return (day[after], episodes[after] - episodes[after][0]) if after.sum() > 1 else None


@observable("1/a")
def infections_after_graft(run: Run) -> Made:
    """Episodes of infection by bacteria, fungi and latent viruses per year of the first two years after a graft."""
    found = _after_graft(run, (*KILLED_BY_NEUTROPHILS, *LATENT))
    if found is None:
        return None
    day, episodes = found[0], found[1][found[0] <= PRICE_DAYS]
    return 365.25 * float(episodes[-1]) / min(float(day[-1]), PRICE_DAYS)


@observable("1")
def viral_reactivation(run: Run) -> Made:
    """1 if a latent virus came back within half a year after a graft, 0 if not; none if the run is shorter."""
    found = _after_graft(run, LATENT)
    if found is None:
        return None
    day, episodes = found
    if (episodes[day <= REACTIVATION_DAYS] > 0.0).any():
        return 1.0
    return 0.0 if day[-1] >= REACTIVATION_DAYS else None


@observable(PERCENT, curve=True)
def gvhd_death_risk(run: Run) -> Made:
    """Probability to have died of GVHD by then, with this course and no other cause of death."""
    return in_unit(run.body["gvhd_death_risk"], "percent") if "gvhd_death_risk" in run.body else None


@observable(PERCENT, curve=True)
def chronic_gvhd_risk(run: Run) -> Made:
    """Probability that chronic GVHD has begun by then in somebody with this course."""
    return in_unit(run.body["chronic_risk"], "percent") if "chronic_risk" in run.body else None
