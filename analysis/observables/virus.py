"""HIV infection: growth, set point, decay under therapy, rebound, and the CD4 cells it costs."""

from __future__ import annotations

from math import inf

import numpy as np

from ..read import Run
from .registry import DAY, Floats, Made, observable

DETECTED = 50.0  #: copies/mL that clinical assays see
GROWING = (50.0, 1e5)  #: copies/mL between which early growth is measured: seen, and far from the peak
FIRST_PHASE = (1.0, 7.0)  #: days of therapy over which the first phase of decay is measured
REBOUND_DAYS = 20 * 365.25 / 12  #: 20 months
DAYS_PER_YEAR = 365.25
PER_UL = 1000.0  #: cells per uL in 1e9/L
FULL_DONOR = 0.95
CHECKS = (30.0, 60.0, 100.0, 180.0, 365.0)  #: days from the graft on which a clinic looks at chimerism
SETTLED_DAYS = 120  #: from exposure to the set point


def _load(run: Run) -> tuple[Floats, Floats] | None:
    """Return days since exposure and HIV RNA in copies/mL; ``None`` without the infection."""
    patient = run.config.get("patient", {})
    if patient.get("infection", "none") == "none" or "hiv_load" not in run.body:
        return None
    exposed = float(patient.get("infection_day", run.config["time"]["start_day"]))
    return np.asarray(run.day, np.float64) - exposed, np.asarray(run.body["hiv_load"].values, np.float64)


def _acute(run: Run) -> tuple[Floats, Floats] | None:
    """Return the same of a run that sees the infection from its first day on and for two months."""
    found = _load(run)
    return found if found is not None and found[0][0] <= 0.0 and found[0][-1] >= 50.0 else None


@observable("h")
def hiv_doubling_time(run: Run) -> Made:
    """Doubling time of HIV RNA in acute infection before its peak."""
    found = _acute(run)
    if found is None:
        return None
    day, load = found
    among = (load >= GROWING[0]) & (load <= GROWING[1]) & (np.arange(load.size) < int(load.argmax()))
    if among.sum() < 3:
        return None  # the infection did not take
    return float(24.0 * np.log(2.0) / np.polyfit(day[among], np.log(load[among]), 1)[0])


@observable(DAY)
def hiv_peak_day(run: Run) -> Made:
    """Days from exposure to the highest HIV RNA."""
    found = _acute(run)
    return None if found is None or found[1].max() < DETECTED else float(found[0][int(found[1].argmax())])


@observable("1")
def hiv_r0(run: Run) -> Made:
    """Cells that the first infected cell infects (R0)."""
    return None if _acute(run) is None else float(run.body["hiv_reproduction"].values[0])


def _therapy(run: Run) -> tuple[float, float] | None:
    """Return first day and end of the first antiretroviral therapy of the schedule."""
    given = [event for event in run.config.get("events", []) if event.get("action") == "art"]
    first = min(given, key=lambda event: float(event["day"])) if given else None
    return None if first is None else (float(first["day"]), float(first.get("until_day", inf)))


@observable("1/d")
def hiv_first_phase_decay(run: Run) -> Made:
    """Rate at which HIV RNA falls on days 1 to 7 of therapy."""
    found, given = _load(run), _therapy(run)
    if found is None or given is None:
        return None
    day, load = np.asarray(run.day, np.float64) - given[0], found[1]
    among = (day >= FIRST_PHASE[0]) & (day <= min(FIRST_PHASE[1], given[1] - given[0])) & (load > 0)
    if not (day < 0).any() or load[day < 0][-1] < DETECTED or among.sum() < 3:
        return None
    return -float(np.polyfit(day[among], np.log(load[among]), 1)[0])


def _untreated(run: Run) -> tuple[Floats, Floats] | None:
    """Return days since exposure and HIV RNA from the set point on, of a patient who takes nothing."""
    found = _load(run)
    if found is None or _therapy(run) is not None or run.config["patient"].get("art_day") is not None:
        return None
    settled = found[0] >= SETTLED_DAYS
    return (found[0][settled], found[1][settled]) if found[0][-1] >= SETTLED_DAYS + DAYS_PER_YEAR / 2 else None


@observable("log10 copies/mL")
def hiv_set_point(run: Run) -> Made:
    """Mean log10 of HIV RNA without therapy, from four months after exposure on."""
    found = _untreated(run)
    return None if found is None or not (found[1] > 0).all() else float(np.log10(found[1]).mean())


@observable("1/uL/a")
def hiv_cd4_slope(run: Run) -> Made:
    """Change of CD4 cells per year without therapy, from four months after exposure on."""
    found = _untreated(run)
    if found is None:
        return None
    cd4 = np.asarray(run.body["cd4"].values, np.float64)[-found[0].size :] * PER_UL
    return DAYS_PER_YEAR * float(np.polyfit(found[0], cd4, 1)[0])


@observable("1")
def hiv_rebound(run: Run) -> Made:
    """1 if HIV RNA is seen again within 20 months of the end of therapy, 0 if not; none in a shorter run."""
    found, given = _load(run), _therapy(run)
    if found is None or given is None or given[1] == inf:
        return None
    day = np.asarray(run.day, np.float64) - given[1]
    after = (day > 0) & (day <= REBOUND_DAYS)
    if after.any() and (found[1][after] > DETECTED).any():
        return 1.0
    return 0.0 if day[-1] >= REBOUND_DAYS - 1.0 else None


@observable(DAY)
def full_donor_day(run: Run) -> Made:
    """First of the days on which chimerism is looked at with 95 % donor neutrophils, monocytes and T cells alike."""
    graft = run.graft()
    if graft is None or not {"donor_myeloid", "donor_t"} <= set(run.body):
        return None
    day = np.asarray(run.day, np.float64) - float(graft["day"])
    least = np.minimum(run.body["donor_myeloid"].values, run.body["donor_t"].values)
    looks = [check for check in CHECKS if day[0] <= check <= day[-1]]
    full = [check for check in looks if least[np.searchsorted(day, check)] >= FULL_DONOR]
    return full[0] if full else inf
