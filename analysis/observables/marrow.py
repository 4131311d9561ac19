"""Marrow: differential count, stem cells, geometry, balance of cells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np

from abm.cells import TISSUE_MASK, Kind, Tissue, is_motile
from abm.endpoints import CD34

from ..read import Run
from .registry import PERCENT, Floats, Made, observable, per_day, percent

#: What a microscopist counts as what in an aspirate. CFU-E look like proerythroblasts, other progenitors like blasts,
#: but stem cells like small lymphocytes (van Bekkum, Blood 1971); most precursors of monocytes are promonocytes.
GRANULOPOIESIS = (
    "myeloblast", "promyelocyte", "myelocyte", "metamyelocyte", "neutrophil", "eosinophil_myelocyte", "eosinophil",
)  # fmt: skip
ERYTHROBLASTS = ("cfu_e", "proerythroblast", "polychromatic", "orthochromatic")
BLASTS = ("mpp", "cmp", "mep", "gmp", "bfu_e", "mkp", "myeloblast", "lsc", "blast")
MEGAKARYOCYTES = ("megakaryocyte", "platelet_forming_mk")
LYMPHOCYTES = (
    "hsc", "clp", "pro_b", "pre_b", "immature_b", "nk_progenitor", "thymus_seeding",
    "cd8_naive", "cd8_effector", "cd8_memory", "cd4_naive", "cd4_effector", "cd4_memory", "treg", "nk",
    "cd4_hiv_eclipse", "cd4_hiv_productive", "cd4_hiv_latent",
)  # fmt: skip
#: Kinds that may come to the patch from the blood, as grafts, leukaemic stem cells and lymphocytes do: what they gain
#: beyond their births and transitions are arrivals.
ARRIVING = tuple(kind for kind in Kind if kind in CD34 or kind is Kind.LSC or is_motile(kind))
LOSSES = ("die", "drug", "kill", "egress", "left")


def _share(run: Run, kinds: Iterable[str]) -> Floats:
    """Return the percent of ``kinds`` among nucleated marrow cells of both layers, shape (T,)."""
    nucleated = run.population([name for name in run.kinds if name != "reticulocyte"])
    return percent(run.population([name for name in kinds if name in run.kinds]), nucleated)


@observable(PERCENT, curve=True)
def granulopoiesis(run: Run) -> Made:
    """Granulocytic lineages from the myeloblast on, of nucleated marrow cells."""
    return _share(run, GRANULOPOIESIS)


@observable(PERCENT, curve=True)
def erythroblasts(run: Run) -> Made:
    """Nucleated red-cell precursors from the CFU-E on, of nucleated marrow cells."""
    return _share(run, ERYTHROBLASTS)


@observable(PERCENT, curve=True)
def marrow_blasts(run: Run) -> Made:
    """Cells that look like blasts: progenitors, myeloblasts, leukaemic cells."""
    return _share(run, BLASTS)


@observable(PERCENT, curve=True)
def promyelocytes(run: Run) -> Made:
    """Promyelocytes of nucleated marrow cells."""
    return _share(run, ["promyelocyte"])


@observable(PERCENT, curve=True)
def marrow_lymphocytes(run: Run) -> Made:
    """T, B and NK cells and their precursors, and stem cells, which look alike, of nucleated marrow cells."""
    return _share(run, LYMPHOCYTES)


@observable(PERCENT, curve=True)
def megakaryocytes(run: Run) -> Made:
    """Megakaryocytes of nucleated marrow cells."""
    return _share(run, MEGAKARYOCYTES)


@observable("1", curve=True)
def myeloid_erythroid_ratio(run: Run) -> Made:
    """Granulocytic and monocytic cells over nucleated red-cell precursors."""
    myeloid = _share(run, (*GRANULOPOIESIS, "monoblast", "monocyte"))
    return percent(myeloid, _share(run, ERYTHROBLASTS)) / 100.0


@observable("%/d", curve=True)
def hsc_turnover(run: Run) -> Made:
    """Divisions of stem cells per day, of the stem cells there."""
    return percent(per_day(run, run.events("birth", "hsc")), run.population("hsc"))


@observable(PERCENT, curve=True)
def host_hsc_left(run: Run) -> Made:
    """Stem cells of the host, of those there were at the start."""
    host = run.population("hsc", "host")
    return percent(host, np.full(len(host), host[0]))


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
    if not all(parts.values()):
        return None  # a checkpoint of another format
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


@observable("1")
def motility_ratio(run: Run) -> Made:
    """Mean square displacement over 6 t, relative to the motility of the rule table.

    The experiment ``random_walk`` measures it; a run does not follow single cells.
    """
    del run
    return None


@observable("1")
def competitive_loss(run: Run) -> Made:
    """Blood cells from fresh marrow over those from as many cells of a mouse that was transplanted.

    The experiment ``serial_transfer`` measures it, and the next one; a run is one transfer.
    """
    del run
    return None


@observable("1")
def serial_transfers(run: Run) -> Made:
    """Transfers of marrow from mouse to mouse after which blood returned."""
    del run
    return None
