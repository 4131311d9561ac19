"""What is compared with published data: short functions of a run, each with its unit.

A *curve* has one value for every record; a target takes its mean over some days. The others are one number of a run, or
``None`` where it has none. ``late`` marks days of events: a run in which one never happened counts as later than all
others. Days count from the graft. Names are what ``analysis/targets/*.toml`` calls ``observable``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from abm import endpoints as ends
from abm.cells import TISSUE_MASK, Kind, Tissue

from .read import Run, in_unit

Floats = NDArray[np.float64]
Made = Floats | float | None

PERCENT, COUNT, DAY = "%", "1e9/L", "d"
REFERENCE_KG = 70.0  #: body weight to which productions refer
#: What a microscopist counts as what in an aspirate. CFU-E look like proerythroblasts, other progenitors like blasts.
GRANULOPOIESIS = ("myeloblast", "promyelocyte", "myelocyte", "metamyelocyte", "neutrophil")
ERYTHROBLASTS = ("cfu_e", "proerythroblast", "polychromatic", "orthochromatic")
BLASTS = ("hsc", "mpp", "cmp", "mep", "gmp", "bfu_e", "mkp", "myeloblast", "monoblast", "lsc", "blast")
MEGAKARYOCYTES = ("megakaryocyte", "platelet_forming_mk")
LYMPHOCYTES = (
    "clp", "pro_b", "pre_b", "immature_b", "nk_progenitor", "thymus_seeding",
    "cd8_naive", "cd8_effector", "cd8_memory", "cd4_naive", "cd4_effector", "cd4_memory", "treg", "nk",
)  # fmt: skip
#: Kinds that may come to the patch from the blood: what they gain beyond their births and transitions are arrivals.
ARRIVING = tuple(kind for kind in Kind if kind <= Kind.GMP or kind >= Kind.CD8_NAIVE)
LOSSES = ("die", "drug", "kill", "egress", "left")
ACUTE_DAYS = 3  #: a low count on this many successive days is a fall, one record is noise


@dataclass(frozen=True)
class Observable:
    """One quantity of a run."""

    name: str
    unit: str
    curve: bool
    late: bool
    make: Callable[[Run], Made]

    @property
    def doc(self) -> str:
        """The first sentence on it."""
        return (self.make.__doc__ or "").split("\n")[0]


REGISTRY: dict[str, Observable] = {}


def observable(
    unit: str, *, curve: bool = False, late: bool = False, name: str = ""
) -> Callable[[Callable[[Run], Made]], Callable[[Run], Made]]:
    """Register the function below under ``name``, or under its own."""

    def register(make: Callable[[Run], Made]) -> Callable[[Run], Made]:
        key = name or make.__name__
        REGISTRY[key] = Observable(key, unit, curve, late, make)
        return make

    return register


def measure(run: Run) -> dict[str, Any]:
    """Return all that the run offers, ready for JSON: ``values`` by name, and ``curves`` by name as daily means."""
    zero = (run.graft() or {"day": 0.0})["day"]
    days = np.floor(np.asarray(run.day, np.float64) - zero + 1e-6).astype(np.int64)
    values: dict[str, float | None] = {}
    curves: dict[str, list[float | None]] = {}
    for name, entry in REGISTRY.items():
        made = entry.make(run)
        if entry.curve:
            if made is not None:
                curves[name] = _daily(days, np.asarray(made, np.float64))
        else:
            values[name] = None if made is None or not np.isfinite(float(made)) else float(made)
    return {"first_day": int(days[0]), "values": values, "curves": curves}


def _daily(days: NDArray[np.int64], values: Floats) -> list[float | None]:
    """Return the mean of every calendar day from the first on; ``None`` where there is no number."""
    sums, numbers = (np.bincount(days - days[0], weights=w) for w in (np.nan_to_num(values), np.isfinite(values)))
    return [float(f"{s / n:.5g}") if n else None for s, n in zip(sums, numbers, strict=True)]


# ---------------------------------------------------------------------------------------------- marrow


def _share(run: Run, kinds: Iterable[str]) -> Floats:
    """Return the percent of ``kinds`` among nucleated marrow cells of both layers, shape (T,)."""
    nucleated = run.population([name for name in run.kinds if name != "reticulocyte"])
    return _percent(run.population([name for name in kinds if name in run.kinds]), nucleated)


def _percent(part: Any, whole: Any) -> Floats:  # noqa: ANN401 - any array
    share: Floats = np.full(len(whole), np.nan)
    np.divide(100.0 * np.asarray(part, np.float64), whole, out=share, where=np.asarray(whole) > 0)
    return share


@observable(PERCENT, curve=True)
def granulopoiesis(run: Run) -> Made:
    """Neutrophil lineage from the myeloblast on, of nucleated marrow cells."""
    return _share(run, GRANULOPOIESIS)


@observable(PERCENT, curve=True)
def erythroblasts(run: Run) -> Made:
    """Nucleated red-cell precursors from the CFU-E on, of nucleated marrow cells."""
    return _share(run, ERYTHROBLASTS)


@observable(PERCENT, curve=True)
def marrow_blasts(run: Run) -> Made:
    """Cells that look like blasts: progenitors, myeloblasts, monoblasts, leukaemic cells."""
    return _share(run, BLASTS)


@observable(PERCENT, curve=True)
def promyelocytes(run: Run) -> Made:
    """Promyelocytes of nucleated marrow cells."""
    return _share(run, ["promyelocyte"])


@observable(PERCENT, curve=True)
def marrow_lymphocytes(run: Run) -> Made:
    """T, B and NK cells and their precursors, of nucleated marrow cells."""
    return _share(run, LYMPHOCYTES)


@observable(PERCENT, curve=True)
def megakaryocytes(run: Run) -> Made:
    """Megakaryocytes of nucleated marrow cells."""
    return _share(run, MEGAKARYOCYTES)


@observable("1", curve=True)
def myeloid_erythroid_ratio(run: Run) -> Made:
    """Granulocytic and monocytic cells over nucleated red-cell precursors."""
    myeloid = _share(run, (*GRANULOPOIESIS, "monoblast", "monocyte"))
    return _percent(myeloid, _share(run, ERYTHROBLASTS)) / 100.0


@observable("%/d", curve=True)
def hsc_turnover(run: Run) -> Made:
    """Divisions of stem cells per day, of the stem cells there."""
    per_day = _per_day(run, run.events("birth", "hsc"))
    return _percent(per_day, run.population("hsc"))


@observable("cells")
def unbalanced_cells(run: Run) -> Made:
    """Cells that appear or vanish without an event, all records and kinds added up.

    Of kinds that may arrive from the blood only a loss can be told: the series does not hold arrivals.
    """
    rows = {row: run.counts[:, code].sum(axis=2) for row, code in run.count_rows.items()}
    gained = np.diff(rows["population"], axis=0) - (rows["birth"] + rows["became"] - sum(rows[n] for n in LOSSES))[1:]
    arriving = [run.kinds[kind.name.lower()] for kind in ARRIVING if kind.name.lower() in run.kinds]
    gained[:, arriving] = np.minimum(gained[:, arriving], 0)
    return float(np.abs(gained).sum())


# ---------------------------------------------------------------------------------------------- geometry


def _near_sinusoid(run: Run) -> tuple[float, float] | None:
    """Return the percent of stem cells, and of all marrow sites, within one site (10 um) of a sinusoid."""
    if not run.checkpoints:
        return None
    parts: dict[str, list[Any]] = {"res_hot": [], "tissue": [], "distance": []}
    for shard in sorted(run.checkpoints[-1].glob("shard-*.h5")):
        with h5py.File(shard, "r", locking=False) as file:
            file.visititems(lambda path, item: parts.get(path.rpartition("/")[2], []).append(_array(item)))
    hot, tissue, distance = (np.concatenate(parts[name]) for name in ("res_hot", "tissue", "distance"))
    marrow = (tissue & TISSUE_MASK) == Tissue.MARROW
    hsc = (hot & 63) == Kind.HSC
    if not hsc.any():
        return None
    near = distance <= 1
    return float(100.0 * near[hsc].mean()), float(100.0 * near[marrow].mean())


def _array(item: Any) -> Any:  # noqa: ANN401 - a group or dataset
    return item[()] if isinstance(item, h5py.Dataset) else np.empty((0,))


@observable(PERCENT)
def hsc_near_sinusoid(run: Run) -> Made:
    """Stem cells within 10 um of a sinusoid, at the end of the run."""
    found = _near_sinusoid(run)
    return None if found is None else found[0]


@observable(PERCENT)
def hsc_near_sinusoid_excess(run: Run) -> Made:
    """Distance in points between the stem cells' share near sinusoids and that of random marrow sites."""
    found = _near_sinusoid(run)
    return None if found is None else abs(found[0] - found[1])


# ---------------------------------------------------------------------------------------------- blood


def _body(run: Run, name: str, unit: str) -> Made:
    return in_unit(run.body[name], unit, name) if name in run.body else None


def _register_body(name: str, key: str, unit: str, stored: str, doc: str) -> None:
    def make(run: Run) -> Made:
        return _body(run, name, stored)

    make.__doc__ = doc
    observable(unit, curve=True, name=key)(make)


for _name, _key, _unit, _stored, _doc in (
    ("anc", "anc", COUNT, COUNT, "Neutrophils in blood."),
    ("platelets", "platelets", COUNT, COUNT, "Platelets in blood."),
    ("hb", "hb", "g/L", "g/L", "Haemoglobin."),
    ("cd4", "cd4", COUNT, COUNT, "CD4 T cells in blood."),
    ("cd8", "cd8", COUNT, COUNT, "CD8 T cells in blood."),
    ("b", "b_cells", COUNT, COUNT, "B cells in blood."),
    ("nk", "nk_cells", COUNT, COUNT, "NK cells in blood."),
    ("donor_myeloid", "donor_myeloid", PERCENT, "percent", "Donor share of blood neutrophils and monocytes."),
    ("donor_neutrophils", "donor_neutrophils", PERCENT, "percent", "Donor share of blood neutrophils."),
    ("donor_red", "donor_red", PERCENT, "percent", "Donor share of red cells."),
    ("donor_b", "donor_b", PERCENT, "percent", "Donor share of B cells."),
    ("donor_t", "donor_t", PERCENT, "percent", "Donor share of T cells."),
):
    _register_body(_name, _key, _unit, _stored, _doc)


def _per_day(run: Run, events: Any) -> Floats:  # noqa: ANN401 - any array
    """Return events since the record before, per day; not a number at the first record."""
    rate: Floats = np.full(len(run.day), np.nan)
    rate[1:] = np.asarray(events, np.float64)[1:] / np.diff(run.day)
    return rate


def _production(run: Run, kind: str) -> Made:
    """Return cells that leave the marrow per day and 70 kg, shape (T,)."""
    weights = json.loads(run.provenance.get("exit_cells", "{}"))
    if kind not in weights:
        return None
    patient = float(run.config.get("patient", {}).get("weight_kg", REFERENCE_KG))
    return _per_day(run, run.events("egress", kind)) * (float(weights[kind]) * REFERENCE_KG / patient)


@observable("cells/d", curve=True)
def neutrophil_production(run: Run) -> Made:
    """Neutrophils that enter the blood per day and 70 kg."""
    return _production(run, "neutrophil")


@observable("cells/d", curve=True)
def red_cell_production(run: Run) -> Made:
    """Reticulocytes that enter the blood per day and 70 kg."""
    return _production(run, "reticulocyte")


@observable("cells/d", curve=True)
def platelet_production(run: Run) -> Made:
    """Platelets that enter the blood per day and 70 kg."""
    return _production(run, "platelet_forming_mk")


# ---------------------------------------------------------------------------------------------- endpoints


def _endpoint(run: Run, name: str) -> Made:
    value = run.endpoints().get(name)
    return float(value) if isinstance(value, int | float) else None


@observable(DAY, late=True)
def anc_engraftment_day(run: Run) -> Made:
    """First of 3 successive days with ANC >= 0.5e9/L."""
    return _endpoint(run, "anc_recovery_day")


@observable(DAY, late=True)
def platelet_engraftment_day(run: Run) -> Made:
    """First of 3 successive days with untransfused platelets >= 20e9/L."""
    return _endpoint(run, "platelet_recovery_day")


@observable(DAY, late=True)
def platelet_50_day(run: Run) -> Made:
    """First of 3 successive days with untransfused platelets >= 50e9/L."""
    return _endpoint(run, "platelet_50_day")


@observable("1")
def primary_graft_failure(run: Run) -> Made:
    """1 if the graft failed from the start (ANC below 0.5e9/L on day 30; cord blood 42), 0 if not."""
    outcome = run.endpoints().get("graft_outcome")
    return None if outcome is None else float(outcome == "primary failure")


@observable("1")
def graft_lost(run: Run) -> Made:
    """1 if the graft failed, was lost, or the recovery was the host's own; 0 if not."""
    outcome = run.endpoints().get("graft_outcome")
    return None if outcome is None else float(outcome != "engrafted")


def _treated_days(run: Run) -> tuple[NDArray[np.int64], Floats] | None:
    """Return calendar days since the first treatment and the lowest ANC of each."""
    events = run.config.get("events", [])
    if "anc" not in run.body or not events:
        return None
    zero = min(float(event["day"]) for event in events)
    days, low = ends.by_calendar_day(np.asarray(run.day, np.float64) - zero, in_unit(run.body["anc"], COUNT))
    return days[days >= 0], low[days >= 0]


@observable(COUNT)
def anc_nadir(run: Run) -> Made:
    """Lowest ANC after the first treatment."""
    found = _treated_days(run)
    return None if found is None else float(np.nanmin(found[1]))


@observable(DAY)
def anc_nadir_day(run: Run) -> Made:
    """Day of the lowest ANC, from the first treatment."""
    found = _treated_days(run)
    return None if found is None else float(found[0][int(np.nanargmin(found[1]))])


def _back_to(run: Run, level: float) -> Made:
    """Return the first of 3 successive days at or above ``level`` after the nadir, from the first treatment."""
    found = _treated_days(run)
    if found is None:
        return None
    days, low = found
    nadir = int(np.nanargmin(low))
    if low[nadir] >= level:
        return None
    day = ends.first_successive(days, low >= level, after=int(days[nadir]), successive=ACUTE_DAYS)
    return None if day is None else float(day)


@observable(DAY, late=True)
def anc_back_to_1_5_day(run: Run) -> Made:
    """Day of ANC >= 1.5e9/L after the nadir, from the first treatment."""
    return _back_to(run, 1.5)


@observable(DAY, late=True)
def anc_back_to_1_day(run: Run) -> Made:
    """Day of ANC >= 1.0e9/L after the nadir, from the first treatment."""
    return _back_to(run, 1.0)


@observable(PERCENT)
def days_below_1(run: Run) -> Made:
    """Days with ANC < 1.0e9/L, of all days after the first treatment."""
    found = _treated_days(run)
    return None if found is None else float(100.0 * (found[1] < 1.0).mean())


@observable("1")
def relapse(run: Run) -> Made:
    """1 if the leukaemia came back, 0 if not; none without leukaemia."""
    disease = run.endpoints().get("disease")
    return None if disease in (None, "none") else float(disease == "relapse")


@observable("1")
def gvhd_grade(run: Run) -> Made:
    """Highest overall grade of acute GVHD, 0-4."""
    return _endpoint(run, "gvhd_max_grade")


@observable("1")
def motility_ratio(run: Run) -> Made:
    """Mean square displacement over 6 t, relative to the motility of the rule table (experiment random_walk)."""
    value = run.provenance.get("motility_ratio")
    return None if value is None else float(value)
