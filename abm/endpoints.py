"""Clinical endpoints of one run: pure functions of its time series.

Conventions
    * Days count from the graft (the run's own day 0 when no graft is given). Calendar day ``k`` holds all
      records with ``k <= day < k + 1``; its value is the lowest of them, so a count must hold all day long.
      A calendar day without a record takes the value of the last day that has one.
    * An endpoint that was not reached, or cannot be judged yet, is ``None``.
    * Thresholds are definitions, not parameters. [ASTCT] is the consensus of Kharfan-Dabaja et al. 2021 as tabulated in
      PMC11161398 (read); [ELN] is Dohner et al. 2017 (response table read, relapse wording recalled) and, for residual
      disease by flow cytometry, Heuser et al. 2021 (recalled); [GF] is the series of PMC4548938 (abstract read).

Units expected of the body's observables stand in :data:`UNITS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, log10
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm import read_outs
from abm.cells import Count, Kind, Origin

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
UNSUPPORTED_DAYS = 7  #: days without platelet transfusion [ASTCT]
FAILURE_DAY = {"marrow": 30, "blood": 30, "cord": 42}  #: by graft source [ASTCT]
DONOR_MINIMUM = 5.0  #: percent donor myeloid cells; below, recovery is the host's own [GF]
LANDMARKS = (30, 100, 180)  #: days on which chimerism and residual disease are reported
REMISSION = 0.01  #: leukaemic fraction below which a relapse can begin
RELAPSE = 0.05  #: marrow blasts of a relapse [ELN]
EVALUABLE_CELLS = 200  #: nucleated cells that make a marrow evaluable [ELN]
FLOW_POSITIVE = 1e-3  #: cut-off of residual disease by flow [ELN]
FLOW_DETECTED = 1e-4  #: what a good flow assay still sees
CHRONIC_MODERATE = 30.0  #: severity in percent from which chronic GVHD is treated systemically; ours

#: Causes of death in the order in which ``cause_of_death`` counts them from 1; 0 is alive.
CAUSES = ("infection", "bleeding", "anaemia", "GVHD", "leukaemia", "toxicity")

LEUKAEMIC = (Kind.LSC, Kind.BLAST)
NUCLEATED = tuple(kind for kind in Kind if kind not in (Kind.EMPTY, Kind.RETICULOCYTE))
#: Healthy kinds counted as CD34+.
CD34 = (Kind.HSC, Kind.MPP, Kind.CMP, Kind.CLP, Kind.MEP, Kind.GMP, Kind.BFU_E, Kind.MKP, Kind.PRO_B)
DONOR_ORIGINS = (Origin.DONOR, Origin.DONOR2)
LINEAGES = {"myeloid": "myeloid", "t": "T", "b": "B", "nk": "NK", "red": "red cells", "hsc": "HSC", "cd34": "CD34+"}
LYMPHOCYTES = {"cd4": "CD4", "cd8": "CD8", "b": "B", "nk": "NK"}
_ROUNDING = 1e-6  # days


class Course(NamedTuple):
    """Time series of one run.

    Attributes:
        day: day of every record, increasing, shape (T,).
        body: observables by name, each of shape (T,), in :data:`UNITS`.
        counts: cells by (record, ``cells.Count``, kind, origin), shape (T, N_COUNTS, N_KINDS, N_ORIGINS); event
            rows hold sums since the record before.
        graft_day: day of the first graft; ``None`` without one.
        graft_source: "marrow", "blood" or "cord".
        clonal: whether the marrow was healthy, but for mutated clones: a leukaemia is then a new one, and no relapse.
        species: "human" or "mouse".
    """

    day: Floats
    body: Mapping[str, Floats]
    counts: Ints
    graft_day: float | None = None
    graft_source: str = "marrow"
    clonal: bool = False
    species: str = "human"

    @property
    def levels(self) -> Levels:
        """Counts at which blood has recovered."""
        return RECOVERED[self.species]

    @property
    def since_graft(self) -> Floats:
        """Days since the graft (day 0 of the run without one)."""
        return self.day - (self.graft_day or 0.0)


def endpoints(course: Course) -> dict[str, Value]:
    """Return every endpoint of ``course`` by name; empty for an empty course."""
    if course.day.size == 0:
        return {}
    found: dict[str, Value] = {"end_day": float(course.since_graft[-1])}
    found["graft"] = None if course.graft_day is None else course.graft_source
    found |= (
        _blood(course) | _landmarks(course) | _leukaemia(course) | _gvhd(course) | _infections(course) | _death(course)
    )
    return found | {"graft_outcome": _graft_outcome(course, found)} | read_outs.of(course.since_graft, course.body)


# ---------------------------------------------------------------------------------------------- days and values


def by_calendar_day(day: Floats, values: Floats, reduce: np.ufunc = np.fmin) -> tuple[Ints, Floats]:
    """Return calendar days without gaps and the lowest (or other) value of each, both (D,); NaN only where all are."""
    calendar = np.floor(day + _ROUNDING).astype(np.int64)
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
    if not day[0] - _ROUNDING <= when <= day[-1] + _ROUNDING:
        return None
    value = float(values[np.searchsorted(day, when + _ROUNDING, side="right") - 1])
    return None if isnan(value) else value


def _ratio(part: Floats | Ints, whole: Floats | Ints) -> Floats:
    share: Floats = np.full(len(whole), np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


# ---------------------------------------------------------------------------------------------- blood


class Recovery(NamedTuple):
    """Fall and recovery of one blood count; all ``None`` when it was not observed after the graft."""

    status: str | None = None  #: "recovered", "not recovered", "never below"
    day: int | None = None
    nadir: float | None = None
    nadir_day: int | None = None


def recovery(course: Course, name: str, threshold: float, supported: Bools | None = None) -> Recovery:
    """Return when the count ``name`` recovered to ``threshold``.

    The nadir period begins on the first day, from the graft on, that is below ``threshold`` (or supported by
    transfusion) and ends with the first of 3 successive days that are not. A count that never falls below has no
    day of recovery.
    """
    if name not in course.body or course.since_graft[-1] < 0:
        return Recovery()
    days, low = by_calendar_day(course.since_graft, course.body[name])
    good = (low >= threshold) & (True if supported is None else ~supported)
    fallen = days[~good & (days >= 0)]
    recovered = first_successive(days, good, after=int(fallen[0])) if fallen.size else None
    status = "never below" if not fallen.size else "not recovered" if recovered is None else "recovered"
    last = days[-1] if recovered is None else recovered
    nadir = int(np.nanargmin(np.where((days >= 0) & (days <= last), low, np.inf)))
    return Recovery(status, recovered, float(low[nadir]), int(days[nadir]))


def transfusion_supported(course: Course) -> Bools | None:
    """Return whether each calendar day, or one of the 7 days before it, saw a platelet transfusion, shape (D,)."""
    given = course.body.get("platelet_transfusions")
    if given is None:
        return None
    _, total = by_calendar_day(course.since_graft, given, np.fmax)
    before = np.concatenate([np.full(UNSUPPORTED_DAYS + 1, given[0]), total])[: total.size]
    return np.asarray(total > before)


def _blood(course: Course) -> dict[str, Value]:
    """ANC: first of 3 successive days at its level or above after the nadir [ASTCT]; platelets likewise, untransfused.

    Untransfused means: none of the three days, nor any of the 7 days before each of them, saw a platelet transfusion.
    """
    supported, levels = transfusion_supported(course), course.levels
    anc = recovery(course, "anc", levels.anc)
    platelets = recovery(course, "platelets", levels.platelet, supported)
    stable = recovery(course, "platelets", levels.platelet_50, supported)
    found: dict[str, Value] = {"platelet_50_recovery": stable.status, "platelet_50_day": stable.day}
    found |= {f"{name}_level": level for name, level in levels._asdict().items()}
    for name, result in (("anc", anc), ("platelet", platelets)):
        found |= {f"{name}_recovery": result.status, f"{name}_recovery_day": result.day}
        found |= {f"{name}_nadir": result.nadir, f"{name}_nadir_day": result.nadir_day}
    found["neutropenia_days"] = _neutropenia_days(course)
    for name in ("platelet_transfusions", "red_cell_transfusions"):
        found[name] = round(float(course.body[name][-1])) if name in course.body else None
    return found


def _neutropenia_days(course: Course) -> int | None:
    if "anc" not in course.body:
        return None
    days, low = by_calendar_day(course.since_graft, course.body["anc"])
    return int(((low < course.levels.anc) & (days >= 0)).sum())


def _graft_outcome(course: Course, found: Mapping[str, Value]) -> str | None:
    """Return the fate of the graft, ``None`` without one or while the day of judgement is not reached.

    "primary failure": ANC not at its level for 3 days by day 30 (42 after cord blood) [ASTCT]. "autologous recovery":
    it was, but with less than 5 % donor myeloid cells on that day [GF]. "secondary failure": after recovery 3 days
    below that level [GF] without recovery since and without relapse (ours). Else "engrafted".
    """
    status, recovered = found["anc_recovery"], found["anc_recovery_day"]
    if course.graft_day is None or status is None:
        return None
    end, limit = float(course.since_graft[-1]), FAILURE_DAY.get(course.graft_source, FAILURE_DAY["marrow"])
    if status == "not recovered" or (isinstance(recovered, int) and recovered > limit):
        return "primary failure" if end >= limit else None
    donor = course.body.get("donor_myeloid")
    share = None if donor is None else value_at(course.since_graft, donor, min(float(limit), end))
    if share is not None and share < DONOR_MINIMUM:
        return "autologous recovery" if end >= limit else None
    lost = found["disease"] != "relapse" and _lost_again(course, recovered if isinstance(recovered, int) else 0)
    return "secondary failure" if lost else "engrafted"


def _lost_again(course: Course, since: int) -> bool:
    days, low = by_calendar_day(course.since_graft, course.body["anc"])
    level = course.levels.anc
    lost = first_successive(days, low < level, after=since)
    return lost is not None and first_successive(days, low >= level, after=lost) is None


# ---------------------------------------------------------------------------------------------- marrow


def donor_percent(counts: Ints, kinds: tuple[Kind, ...]) -> Floats:
    """Return the donor share of ``kinds`` on the lattice in percent, shape (T,); NaN where there are none."""
    population = counts[:, Count.POPULATION][:, list(kinds)].sum(axis=1)
    return 100.0 * _ratio(population[:, list(DONOR_ORIGINS)].sum(axis=1), population.sum(axis=1))


def leukaemic_fraction(counts: Ints) -> tuple[Floats, Ints]:
    """Return LSC and blasts over all nucleated cells of the patch (both layers), and the latter; each of shape (T,)."""
    population = counts[:, Count.POPULATION].sum(axis=2)
    nucleated = population[:, list(NUCLEATED)].sum(axis=1)
    return _ratio(population[:, list(LEUKAEMIC)].sum(axis=1), nucleated), nucleated


def _landmarks(course: Course) -> dict[str, Value]:
    """Donor percent by lineage (blood: body; HSC, CD34+: patch; second: myeloid of donor 2), lymphocytes per uL."""
    series = {f"chimerism_{name}": course.body.get(f"donor_{name}") for name in LINEAGES}
    hsc, cd34 = (donor_percent(course.counts, kinds) for kinds in ((Kind.HSC,), CD34))
    series |= {"chimerism_hsc": hsc, "chimerism_cd34": cd34, "chimerism_second": course.body.get("donor2_myeloid")}
    if course.graft_day is None:
        series = dict.fromkeys(series)
    series |= {name: course.body.get(name) for name in LYMPHOCYTES}
    return {
        f"{name}_d{day}": None if values is None else value_at(course.since_graft, values, day)
        for name, values in series.items()
        for day in LANDMARKS
    }


def _leukaemia(course: Course) -> dict[str, Value]:
    fraction, nucleated = leukaemic_fraction(course.counts)
    day = course.since_graft
    moments = {"start": float(day[0]), "d0": 0.0, **{f"d{d}": float(d) for d in LANDMARKS}, "end": float(day[-1])}
    found: dict[str, Value] = {}
    for name, when in moments.items():
        share, cells = value_at(day, fraction, when), value_at(day, nucleated, when)
        found[f"blast_percent_{name}"] = None if share is None else 100.0 * share
        found[f"mrd_log10_{name}"] = log10(share) if share else None
        found[f"mrd_limit_log10_{name}"] = -log10(cells) if cells else None
        found[f"mrd_flow_{name}"] = flow_result(share, cells)
    disease, relapse = disease_course(day, fraction, nucleated)
    found["neoplasm_day"] = relapse if course.clonal else None
    if course.clonal:
        disease, relapse = "none" if relapse is None else "new leukaemia", None
    kills = course.counts[:, Count.KILL, list(LEUKAEMIC)].sum(axis=(1, 2))
    return found | {"disease": disease, "relapse_day": relapse, "gvl_kills": int(kills[day > 0].sum())}


def flow_result(fraction: float | None, cells: float | None) -> str | None:
    """Say what flow cytometry would report: cut-off 1e-3, low level down to 1e-4 [ELN].

    A patch of ``cells`` nucleated cells cannot show less than 1 / cells; if that is above the cut-off, an empty
    finding is "not assessable".
    """
    if fraction is None or not cells:
        return None
    if fraction >= FLOW_POSITIVE:
        return "positive"
    if fraction >= FLOW_DETECTED:
        return "low level"
    return "negative" if 1.0 / cells <= FLOW_POSITIVE else "not assessable"


def disease_course(day: Floats, fraction: Floats, nucleated: Ints) -> tuple[str, int | None]:
    """Return the course of the leukaemia and the day of relapse.

    Only records with at least 200 nucleated cells count [ELN]. "none": never a leukaemic cell. "persistent": the
    leukaemic fraction was never below 1 %. "relapse": it was, and later at least 5 % [ELN] throughout a calendar
    day, the first of which is the day of relapse. "remission": below 1 % and no relapse. The 1 % (instead of "below
    5 %") keeps a marrow that hovers around 5 % from relapsing again and again; it is ours.
    """
    if not np.nansum(fraction) > 0:
        return "none", None
    seen = np.where(nucleated >= EVALUABLE_CELLS, fraction, np.nan)
    below = np.flatnonzero(seen < REMISSION)
    if below.size == 0:
        return "persistent", None
    days, low = by_calendar_day(day[below[0] :], seen[below[0] :])
    back = days[low >= RELAPSE]
    return ("relapse", int(back[0])) if back.size else ("remission", None)


def _gvhd(course: Course) -> dict[str, Value]:
    """Highest overall grade (0-4) after the graft and first days of grades I, II and III, and of chronic GVHD."""
    grade = course.body.get("gvhd_grade")
    onsets = (("gvhd_onset_day", 1), ("gvhd_grade2_onset_day", 2), ("gvhd_grade3_onset_day", 3))
    chronic = (("chronic_gvhd_onset_day", 0.0), ("chronic_gvhd_moderate_day", CHRONIC_MODERATE))
    if grade is None or course.graft_day is None or not (course.since_graft >= 0).any():
        return dict.fromkeys(("gvhd_max_grade", *(name for name, _ in (*onsets, *chronic))))
    after = course.since_graft >= 0
    level = np.floor(np.nan_to_num(grade[after]) + _ROUNDING).astype(np.int64)
    found: dict[str, Value] = {"gvhd_max_grade": int(level.max())}
    for name, least in onsets:
        found[name] = _first_day(course.since_graft[after], level >= least)
    severity = course.body.get("chronic_gvhd", np.zeros_like(grade))
    for name, beyond in chronic:
        found[name] = _first_day(course.since_graft, severity > beyond)
    return found


def _first_day(day: Floats, holds: Bools) -> int | None:
    hits = day[holds]
    return int(np.floor(hits[0] + _ROUNDING)) if hits.size else None


def _infections(course: Course) -> dict[str, Value]:
    """Return how many episodes of each infection began after day 0, and the day of the first one."""
    found: dict[str, Value] = {}
    for name in EPISODES:
        so_far = course.body.get(name)
        began = None if so_far is None else np.diff(so_far, prepend=so_far[0]) * (course.since_graft >= 0)
        found[name] = None if began is None else round(float(began.sum()))
        found[f"{name.removesuffix('_episodes')}_day"] = (
            None if began is None else _first_day(course.since_graft, began > 0)
        )
    return found


# ---------------------------------------------------------------------------------------------- death


def _death(course: Course) -> dict[str, Value]:
    """Status at the end, day and cause of death, and the survival that the hazards leave by the end in percent.

    A run ends with its patient, so that the last record is that of the death. Time to event is ``death_day``, or
    ``end_day`` of who is alive (censored). ``None`` where the run does not tell.
    """
    cause = course.body.get("cause_of_death")
    survival = course.body.get("survival")
    found: dict[str, Value] = dict.fromkeys(("vital_status", "death_day", "death_cause"))
    found["survival_end"] = None if survival is None else float(survival[-1])
    if cause is None or not cause[-1] > 0:
        return found if cause is None else found | {"vital_status": "alive"}
    dead = int(np.argmax(cause > 0))
    return found | {
        "vital_status": "dead",
        "death_day": float(course.since_graft[dead]),
        "death_cause": CAUSES[int(cause[dead]) - 1],
    }
