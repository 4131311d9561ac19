"""Time series of one run as endpoints read them, and how their days are counted."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Value = float | int | str | None

#: Episodes of infection so far, by pathogen.
EPISODES = tuple(f"{name}_episodes" for name in ("bacteria", "fungi", "cmv", "ebv"))
#: Unit in which each observable must be given; all are optional.
UNITS: dict[str, str] = {
    "anc": "1e9/L",
    "platelets": "1e9/L",
    "hb": "g/dL",
    **dict.fromkeys(("cd4", "cd8", "b", "nk"), "1/uL"),
    **dict.fromkeys(("donor_myeloid", "donor_t", "donor_b", "donor_nk", "donor_red", "donor2_myeloid"), "percent"),
    **dict.fromkeys(("platelet_transfusions", "red_cell_transfusions", "gvhd_grade", "cause_of_death"), "1"),
    **dict.fromkeys(EPISODES, "1"),
    **dict.fromkeys(("survival", "chronic_gvhd"), "percent"),
    **dict.fromkeys(("cellularity", "residual_share"), "1"),
}


class Levels(NamedTuple):
    """Counts that make a recovery, 1e9/L: neutrophils, platelets, and platelets once more."""

    anc: float
    platelet: float
    platelet_50: float


#: By species. Man: [ASTCT], and the second number of platelets that registries ask for. Mouse: as large a share of
#: usual counts (1 and 1000 for 4 and 180); nobody has agreed on any.
RECOVERED = {"human": Levels(0.5, 20.0, 50.0), "mouse": Levels(0.125, 110.0, 280.0)}
SUCCESSIVE_DAYS = 3  #: [ASTCT]
#: Diseases that leave the marrow healthy, but for mutated clones.
HEALTHY_MARROW = ("none", "chip", "ms", "sle")
ROUNDING = 1e-6  # days


class Course(NamedTuple):
    """Time series of one run.

    Attributes:
        day: day of every record, increasing, shape (T,).
        body: observables by name, each of shape (T,), in :data:`UNITS`.
        counts: cells by (record, ``cells.Count``, kind, origin), shape (T, N_COUNTS, N_KINDS, N_ORIGINS); event
            rows hold sums since the record before.
        graft_day: day of the first graft; ``None`` without one.
        graft_source: "marrow", "blood" or "cord".
        disease: as the scenario names it, "" if that is not known.
        species: "human" or "mouse".
        treated_day: day of the first treatment (drug, radiation, antibody, cells); ``None`` without one.
        regraft_day, regraft_source: of a second graft at least a week after the first; ``None`` without one.
        autologous: whether the grafts are the patient's own cells, which nobody rejects.
    """

    day: Floats
    body: Mapping[str, Floats]
    counts: Ints
    graft_day: float | None = None
    graft_source: str = "marrow"
    disease: str = ""
    species: str = "human"
    treated_day: float | None = None
    regraft_day: float | None = None
    regraft_source: str = "marrow"
    autologous: bool = False

    @property
    def clonal(self) -> bool:
        """Whether the marrow was healthy, but for mutated clones: a leukaemia is then a new one, and no relapse."""
        return self.disease in HEALTHY_MARROW

    @property
    def levels(self) -> Levels:
        """Counts at which blood has recovered."""
        return RECOVERED[self.species]

    @property
    def since_graft(self) -> Floats:
        """Days since the graft (day 0 of the run without one)."""
        return self.day - (self.graft_day or 0.0)


def by_calendar_day(day: Floats, values: Floats, reduce: np.ufunc = np.fmin) -> tuple[Ints, Floats]:
    """Return calendar days without gaps and the lowest (or other) value of each, both (D,); NaN only where all are."""
    calendar = np.floor(day + ROUNDING).astype(np.int64)
    with_record, first = np.unique(calendar, return_index=True)
    reduced = reduce.reduceat(np.asarray(values, dtype=np.float64), first)
    days = np.arange(with_record[0], with_record[-1] + 1)
    return days, reduced[np.searchsorted(with_record, days, side="right") - 1]


def first_successive(days: Ints, holds: Bools, *, after: int, successive: int = SUCCESSIVE_DAYS) -> int | None:
    """Return the first of ``successive`` calendar days on which ``holds`` is true, not before day ``after``."""
    if days.size < successive:
        return None
    runs = np.lib.stride_tricks.sliding_window_view(holds, successive).all(axis=1)
    hits = days[: runs.size][runs & (days[: runs.size] >= after)]
    return int(hits[0]) if hits.size else None


def value_at(day: Floats, values: Floats | Ints, when: float) -> float | None:
    """Return the last value at or before day ``when``; ``None`` if the series does not reach it or holds NaN there."""
    if not day[0] - ROUNDING <= when <= day[-1] + ROUNDING:
        return None
    value = float(values[np.searchsorted(day, when + ROUNDING, side="right") - 1])
    return None if isnan(value) else value


def ratio(part: Floats | Ints, whole: Floats | Ints) -> Floats:
    """Return ``part`` over ``whole``; NaN where there is nothing."""
    share: Floats = np.full(len(whole), np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def first_day(day: Floats, holds: Bools) -> int | None:
    """Return the calendar day of the first record at which ``holds`` is true."""
    hits = day[holds]
    return int(np.floor(hits[0] + ROUNDING)) if hits.size else None
