"""Residual leukaemia as assays tell it, and its decline under a targeted drug.

An assay sees a finite sample: of so many cells, or copies of the control gene, it finds a binomial number. The patch is
a sample too: what is rarer than one of its agents is none of them in most runs, so that an assay that reads more cells
than the patch holds finds either nothing or at least that agent.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

from abm import endpoints as ends

from ..read import Run
from .registry import DAY, PERCENT, Floats, Made, observable, percent


class Assay(NamedTuple):
    """How an assay samples: cells or gene copies it reads, and how many it must find to call a sample positive."""

    read: int
    least: int


#: 1e6 events and a cluster of 100, so 1e-4, as good laboratories reach; any transcript among 1e5 copies of ABL; any of
#: 20 metaphases (ELN consensus of Heuser, Blood 2021; Cross, Leukemia 2015; recalled).
FLOW, PCR, METAPHASES = Assay(1_000_000, 100), Assay(100_000, 1), Assay(20, 1)
LEUKAEMIC = ("lsc", "blast")
#: Normal cells among which those of CML are found: dividing myeloid cells. What follows them is not told apart.
DIVIDING = ("cmp", "gmp", "myeloblast", "promyelocyte", "myelocyte", "monoblast", "eosinophil_myelocyte")
MONTH = 30.4375
#: Days from the first dose on which the decline is read: until two months, and from three months to a year.
EARLY, LATE = (0.0, 2 * MONTH), (3 * MONTH, 12 * MONTH)


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


def _bcr_abl(run: Run) -> Floats:
    """Return the true share of leukaemic cells among dividing myeloid cells, shape (T,)."""
    leukaemic, normal = run.population(list(LEUKAEMIC)), run.population(list(DIVIDING))
    return percent(leukaemic, leukaemic + normal) / 100.0


def _chronic(run: Run) -> bool:
    return run.config.get("patient", {}).get("disease") == "cml"


@observable(PERCENT, curve=True)
def bcr_abl(run: Run) -> Made:
    """Transcripts of BCR-ABL over those of ABL as PCR finds them: of CML among dividing myeloid cells."""
    return 100.0 * found(run, "pcr", PCR, _bcr_abl(run)) if _chronic(run) else None


@observable(PERCENT, curve=True)
def philadelphia_positive(run: Run) -> Made:
    """Metaphases of CML among twenty; none is a complete cytogenetic response."""
    return 100.0 * found(run, "metaphases", METAPHASES, _bcr_abl(run)) if _chronic(run) else None


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


def _monthly(run: Run, between: tuple[float, float]) -> tuple[Floats, Floats] | None:
    """Return days since the first dose and ln BCR-ABL at monthly samples that were positive, half-monthly early on."""
    began = _first_dose(run)
    if began is None or not _chronic(run):
        return None
    day, share = np.asarray(run.day, np.float64) - began, found(run, "pcr", PCR, _bcr_abl(run))
    if day[-1] < between[1]:
        return None
    visits = np.arange(between[0], between[1] + 0.5, MONTH / 2)
    at = np.searchsorted(day, visits).clip(0, len(day) - 1)
    positive = share[at] > 0.0
    return (visits[positive], np.log(share[at][positive])) if positive.sum() >= 3 else None


def _slope(run: Run, between: tuple[float, float]) -> float | None:
    visits = _monthly(run, between)
    return None if visits is None else float(np.polyfit(*visits, 1)[0])


@observable("1/d")
def bcr_abl_slope_early(run: Run) -> Made:
    """Slope of ln BCR-ABL in the first two months of treatment."""
    return _slope(run, EARLY)


@observable("1/d")
def bcr_abl_slope_late(run: Run) -> Made:
    """Slope of ln BCR-ABL from the third to the twelfth month of treatment, while it is found."""
    return _slope(run, LATE)


@observable(DAY)
def bcr_abl_halving_time(run: Run) -> Made:
    """Time in which BCR-ABL halves in the first three months of treatment; infinite if it does not fall."""
    visits = _monthly(run, (0.0, 3 * MONTH))
    if visits is None:
        return None
    day, value = visits
    fall = value[0] - value[-1]
    return float((day[-1] - day[0]) * np.log(2.0) / fall) if fall > 0 else float("inf")
