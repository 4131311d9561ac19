"""Residual leukaemia as assays tell it, and its decline under a targeted drug.

An assay sees a finite sample: of so many cells, or copies of the control gene, it finds a binomial number. The patch is
a sample too: what is rarer than one of its agents is none of them in most runs, so that an assay that reads more cells
than the patch holds finds either nothing or at least that agent.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm import endpoints as ends

from ..read import Run, in_unit
from .registry import COUNT, DAY, PERCENT, Floats, Made, observable, percent, smooth


class Assay(NamedTuple):
    """How an assay samples: cells or gene copies it reads, and how many it must find to call a sample positive."""

    read: int
    least: int


#: 1e6 events and a cluster of 100, so 1e-4, as good laboratories reach; any transcript among 1e5 copies of ABL; any of
#: 20 metaphases (ELN consensus of Heuser, Blood 2021; Cross, Leukemia 2015; recalled).
FLOW, PCR, METAPHASES = Assay(1_000_000, 100), Assay(100_000, 1), Assay(20, 1)
LEUKAEMIC = ("lsc", "blast")
#: Normal myeloid cells that divide.
DIVIDING = ("cmp", "gmp", "myeloblast", "promyelocyte", "myelocyte", "monoblast", "eosinophil_myelocyte")
MONTH = 30.4375
#: Days over which events are added up: about the time that granulocytes spend in marrow reserve and blood.
WINDOW = 10.0
#: Days over which the deep response is averaged: the dozen stem cells that a treated patch holds send granulocytes in
#: bursts, with weeks of none between them; 1e5 of a patient send a steady stream, of which one sample tells as much.
QUARTER = 3 * MONTH
#: Days from the first dose on which the decline is read: from when the blood shows it, and from four months to a year.
EARLY, LATE = (0.5 * MONTH, 2.5 * MONTH), (4 * MONTH, 12 * MONTH)


#: BCR-ABL at three months that counts as an early molecular response (Branford, Blood 2014).
EARLY_RESPONSE = 0.1


def _random(run: Run, purpose: str, day: float) -> np.random.Generator:
    """Return a generator that belongs to patient, purpose and day alone."""
    text = f"{run.config.get('seed', 0)}:{purpose}:{day:.4f}"
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.Philox(key=key))


def found(run: Run, purpose: str, assay: Assay, share: Floats) -> Floats:
    """Return the share that an assay finds in each record, 0 where the sample is negative, shape (T,)."""
    result = np.full(len(share), np.nan)
    for i, (day, true) in enumerate(zip(np.asarray(run.day, np.float64), share, strict=True)):
        if np.isfinite(true):
            number = int(_random(run, purpose, float(day)).binomial(assay.read, min(float(true), 1.0)))
            result[i] = number / assay.read if number >= assay.least else 0.0
    return result


def _recent(run: Run, events: Floats) -> Floats:
    """Return the events of the last ``WINDOW`` days at every record, shape (T,)."""
    day, total = np.asarray(run.day, np.float64), np.concatenate([[0.0], np.cumsum(events, dtype=np.float64)])
    return np.asarray(total[1:] - total[np.searchsorted(day, day - WINDOW, side="right")])


def _of_granulocytes(run: Run) -> Floats:
    """Return the share of CML among new granulocytes, whose making is counted; later they are like others."""
    made, all_made = run.events("left", "blast"), run.events("became", "metamyelocyte")
    return percent(_recent(run, made), _recent(run, all_made)) / 100.0


def divisions(run: Run) -> Floats:
    """Return the share of leukaemic cells among dividing myeloid cells."""
    made, normal = run.events("birth", list(LEUKAEMIC)), run.events("birth", list(DIVIDING))
    return percent(_recent(run, made), _recent(run, made + normal)) / 100.0


def chronic(run: Run) -> bool:
    """Return whether the disease is chronic myeloid leukaemia."""
    return bool(run.config.get("patient", {}).get("disease") == "cml")


@observable(PERCENT, curve=True)
def bcr_abl(run: Run) -> Made:
    """BCR-ABL over ABL in blood as PCR finds it: the share of CML among new granulocytes."""
    return 100.0 * found(run, "pcr", PCR, _of_granulocytes(run)) if chronic(run) else None


@observable(PERCENT, curve=True)
def bcr_abl_quarter(run: Run) -> Made:
    """Mean BCR-ABL over ABL of the last three months, negative samples included, as one sample in life."""
    if not chronic(run):
        return None
    day, share = np.asarray(run.day, np.float64), 100.0 * found(run, "pcr", PCR, _of_granulocytes(run))
    told = np.isfinite(share)  # where granulocytes were made
    seen = [share[told & (day > d - QUARTER) & (day <= d)] for d in day]
    return np.array([of_quarter.mean() if of_quarter.size else np.nan for of_quarter in seen])


@observable(PERCENT, curve=True)
def philadelphia_positive(run: Run) -> Made:
    """Metaphases of CML among twenty; none is a complete cytogenetic response."""
    return 100.0 * found(run, "metaphases", METAPHASES, divisions(run)) if chronic(run) else None


@observable(PERCENT, curve=True)
def mrd_flow(run: Run) -> Made:
    """Leukaemic share of nucleated marrow cells as flow cytometry finds it: 0 below 1e-4."""
    share, _ = ends.leukaemic_fraction(run.course().counts)
    return 100.0 * found(run, "flow", FLOW, share) if np.nansum(share) > 0 else None


@observable(PERCENT, curve=True)
def mrd_pcr(run: Run) -> Made:
    """Leukaemic share of nucleated marrow cells as PCR of a leukaemic transcript finds it: 0 below 1e-5."""
    share, _ = ends.leukaemic_fraction(run.course().counts)
    return 100.0 * found(run, "marrow pcr", PCR, share) if np.nansum(share) > 0 else None


# ------------------------------------------------------------------------------------------- decline


def _first_dose(run: Run) -> float | None:
    """Return the day of the first dose of a drug, ``None`` if none is given."""
    days = [float(event["day"]) for event in run.config.get("events", []) if event.get("action") == "chemo"]
    return min(days) if days else None


def _thirds(run: Run, between: tuple[float, float]) -> tuple[float, float] | None:
    """Return mean BCR-ABL, negative samples included, of the first and last third of a time after the first dose."""
    began = _first_dose(run)
    if began is None or not chronic(run):
        return None
    day, share = np.asarray(run.day, np.float64) - began, found(run, "pcr", PCR, _of_granulocytes(run))
    third = (between[1] - between[0]) / 3.0
    if day[-1] < between[1]:
        return None
    first, last = (share[(day >= start) & (day < start + third)] for start in (between[0], between[1] - third))
    if not (np.isfinite(first).any() and np.isfinite(last).any()):
        return None  # without granulocytes, as in a patient without a lattice
    return float(np.nanmean(first)), float(np.nanmean(last))


def _slope(run: Run, between: tuple[float, float]) -> float | None:
    means = _thirds(run, between)
    if means is None or min(means) <= 0.0:
        return None
    return float(np.log(means[1] / means[0]) / (2.0 / 3.0 * (between[1] - between[0])))


@observable("1/d")
def bcr_abl_slope_early(run: Run) -> Made:
    """Slope of ln BCR-ABL from half a month to two and a half of treatment."""
    return _slope(run, EARLY)


@observable("1/d")
def bcr_abl_slope_late(run: Run) -> Made:
    """Slope of ln BCR-ABL from the fourth to the twelfth month of treatment."""
    return _slope(run, LATE)


@observable(DAY)
def bcr_abl_halving_time(run: Run) -> Made:
    """Time in which BCR-ABL halves in the first three months of treatment; infinite if it does not fall."""
    slope = _slope(run, (0.0, 3 * MONTH))
    if slope is None:
        return None
    return float(-np.log(2.0) / slope) if slope < 0.0 else float("inf")


@observable(DAY)
def bcr_abl_halving_time_good(run: Run) -> Made:
    """The same of a patient with at most 10 % at three months; none in others."""
    means = _thirds(run, (2.5 * MONTH, 3.5 * MONTH))
    return bcr_abl_halving_time(run) if means is not None and sum(means) / 2.0 <= EARLY_RESPONSE else None


# ------------------------------------------------------------------------------------------ remission

REMISSION_BLASTS = 100.0 * ends.RELAPSE  #: percent of nucleated marrow cells
REMISSION_COUNTS = {"anc": 1.0, "platelets": 100.0}  #: 1e9/L (ELN response criteria, Dohner, Blood 2017)
RESPONSE_DAYS = 6 * MONTH  #: from the first dose, in which the best response is sought
VISIT = 28.0  #: days between looks at marrow and counts: trials have them at the end of every course
#: Days over which counts are averaged: those of a patch with few progenitors scatter by half from week to week.
STEADY = 28.0


def _remissions(run: Run) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Return at which visits of the first months of treatment blasts are few, and at which counts are back as well."""
    began = _first_dose(run)
    share, _ = ends.leukaemic_fraction(run.course().counts)
    if began is None or not np.nansum(share) > 0 or not REMISSION_COUNTS.keys() <= run.body.keys():
        return None
    day = np.asarray(run.day, np.float64) - began
    visits = np.searchsorted(day, np.arange(VISIT, RESPONSE_DAYS, VISIT))
    visits = visits[visits < day.size]  # a patient who has died comes no more
    few = 100.0 * share[visits] < REMISSION_BLASTS
    counts = {name: smooth(day, in_unit(run.body[name], COUNT), STEADY) for name in REMISSION_COUNTS}
    back = [counts[name][visits] >= least for name, least in REMISSION_COUNTS.items()]
    return few, few & np.logical_and.reduce(back)


@observable("1")
def composite_remission(run: Run) -> Made:
    """1 if blasts were below 5 % of the marrow at a visit of the first half year, whatever the counts, 0 if not."""
    answer = _remissions(run)
    return None if answer is None else float(answer[0].any())


@observable("1")
def complete_remission(run: Run) -> Made:
    """1 if moreover ANC was at least 1.0 and platelets at least 100e9/L, 0 if not."""
    answer = _remissions(run)
    return None if answer is None else float(answer[1].any())


@observable("months")
def months_alive(run: Run) -> Made:
    """Months from the first dose to death; infinite for who is alive at the end."""
    began, cause = _first_dose(run), run.body.get("cause_of_death")
    if began is None or cause is None:
        return None
    dead = np.flatnonzero(np.asarray(cause.values) > 0)
    return (float(run.day[dead[0]]) - began) / MONTH if dead.size else float("inf")
