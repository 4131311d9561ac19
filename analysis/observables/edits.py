"""Edited grafts: what of the blood is edited, whether the share stays, what a drug against the lost antigen leaves."""

from __future__ import annotations

from math import inf

import numpy as np

from ..read import Run, in_unit
from .registry import COUNT, DAY, PERCENT, Floats, Made, observable

#: Percent of the T cells before conditioning from which on engineered ones are seen, as for donor T cells in mice.
SEEN = 0.5
AFTER = 20.0  #: days after a directed drug in which counts fall
#: CD34+CD38- and CD34+CD38+ cells of the marrow.
PRIMITIVE, COMMITTED = ("hsc", "mpp"), ("cmp", "clp", "mep", "gmp")
EARLY, LATE = (80.0, 100.0), (640.0, 730.0)  #: month 3 and month 24


def _share(run: Run, name: str) -> Made:
    return in_unit(run.body[name], "percent", name) if name in run.body else None


@observable(PERCENT, curve=True)
def edited_neutrophils(run: Run) -> Made:
    """Neutrophils of the blood with at least one edited allele."""
    return _share(run, "edited_share_neutrophils")


@observable(PERCENT, curve=True)
def altered_neutrophils(run: Run) -> Made:
    """Neutrophils of the blood whose edit is complete: without the antigen, or with the gene."""
    return _share(run, "altered_share_neutrophils")


@observable(PERCENT, curve=True)
def altered_monocytes(run: Run) -> Made:
    """Monocytes of the blood whose edit is complete: without the antigen, or with the gene."""
    return _share(run, "altered_share_monocytes")


@observable(PERCENT, curve=True)
def altered_leucocytes(run: Run) -> Made:
    """Leucocytes of the blood that do not show an antigen of myeloid cells: completely edited ones, and lymphocytes.

    Eosinophils count as neutrophils.
    """
    counts, shares = ("anc", "eosinophils", "monocytes", "lymphocytes"), ("neutrophils", "neutrophils", "monocytes")
    if not {*counts, *(f"altered_share_{name}" for name in shares)} <= set(run.body):
        return None
    cells = [np.asarray(in_unit(run.body[name], COUNT), np.float64) for name in counts]
    without = [np.asarray(_share(run, f"altered_share_{name}"), np.float64) for name in shares]
    whole = sum(cells)
    lacking = sum((n * share for n, share in zip(cells[:3], without, strict=True)), 100.0 * cells[3])
    return np.where(whole > 0.0, lacking / np.where(whole > 0.0, whole, 1.0), 0.0)


@observable(PERCENT, curve=True)
def altered_t(run: Run) -> Made:
    """T cells whose edit is complete: without the antigen, or with the gene."""
    return _share(run, "altered_share_t")


@observable(PERCENT)
def infused_t_lost(run: Run) -> Made:
    """Loss of infused engineered T cells by the end of the run, from their most."""
    if "engineered_body" not in run.body or not np.any(run.body["engineered_body"].values > 0):
        return None
    cells = np.asarray(run.body["engineered_body"].values, np.float64)
    return 100.0 * (1.0 - float(cells[-1] / cells.max()))


@observable(DAY)
def altered_t_seen_day(run: Run) -> Made:
    """First day from the graft with more completely edited T cells in blood than 0.5 % of what it held at the start.

    Mice that are to tell when T cells come back keep those of the host after 5 Gy, where 0.5 % are as many; of the few
    that 11 Gy leaves the very first emigrant would be more.
    """
    share, graft = _share(run, "altered_share_t"), run.graft()
    if share is None or graft is None or not graft.get("edit") or not {"cd4", "cd8"} <= set(run.body):
        return None
    t_cells = np.asarray(in_unit(run.body["cd4"], COUNT) + in_unit(run.body["cd8"], COUNT), np.float64)
    hits = np.asarray(run.day, np.float64)[np.asarray(share) * t_cells > SEEN * t_cells[0]]
    return float(hits[0]) - float(graft["day"]) if hits.size else inf


@observable(PERCENT)
def edited_share_change(run: Run) -> Made:
    """Edited share of neutrophils in month 24 less that in month 3, in points."""
    share, graft = _share(run, "edited_share_neutrophils"), run.graft()
    if share is None or graft is None or not graft.get("edit"):
        return None
    since = np.asarray(run.day, np.float64) - float(graft["day"])
    chosen = [(since >= first) & (since <= last) for first, last in (EARLY, LATE)]
    if not all(days.any() for days in chosen):
        return None
    early, late = (float(np.mean(np.asarray(share)[days])) for days in chosen)
    return late - early


@observable(COUNT, curve=True)
def monocytes(run: Run) -> Made:
    """Monocytes in blood."""
    return in_unit(run.body["monocytes"], COUNT) if "monocytes" in run.body else None


@observable("cells", curve=True)
def primitive_cells(run: Run) -> Made:
    """CD34+CD38- agents of the marrow: stem cells and multipotent progenitors."""
    return np.asarray(run.population(PRIMITIVE), np.float64)


@observable("cells", curve=True)
def committed_cells(run: Run) -> Made:
    """CD34+CD38+ agents of the marrow: committed progenitors."""
    return np.asarray(run.population(COMMITTED), np.float64)


def _after_directed(run: Run) -> tuple[Floats, float] | None:
    """Return the days since a drug or T cells against CD33 were given first, and how long the run goes on."""
    events = run.config.get("events", [])
    given = [float(e["day"]) for e in events if e.get("receptor") == "CAR_CD33" or e.get("drug") == "gemtuzumab"]
    if not given:
        return None
    since = np.asarray(run.day, np.float64) - min(given)
    return since, float(since[-1])


@observable(COUNT)
def directed_anc_nadir(run: Run) -> Made:
    """Lowest ANC within 20 days of a drug or T cells against CD33."""
    found = _after_directed(run)
    if found is None or "anc" not in run.body or found[1] < AFTER:
        return None
    return float(np.min(in_unit(run.body["anc"], COUNT)[(found[0] > 0.0) & (found[0] <= AFTER)]))


@observable("log10")
def leukaemia_kill(run: Run) -> Made:
    """Log kill of leukaemic agents within 30 days of T cells against CD33; one agent is the least that is seen."""
    found = _after_directed(run)
    if found is None or found[1] < AFTER:
        return None
    agents = np.asarray(run.population(("lsc", "blast")), np.float64)
    before = agents[found[0] <= 0.0][-1]
    after = np.min(agents[(found[0] > 0.0) & (found[0] <= 30.0)])
    return float(np.log10(before / max(after, 1.0))) if before > 0 else None


@observable("1")
def vector_leukaemia(run: Run) -> Made:
    """1 if a leukaemic stem cell came of a clone that a vector had made grow within eight years of a graft, 0 if not.

    The experiments ``gammaretroviral_leukaemia`` and ``lentiviral_leukaemia`` measure it: a patch is too small for it.
    """
    del run
    return None
