"""What is measured in the patient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.cells import N_KINDS, Kind, Origin
from abm.diversity import chao1, morisita_horn, shannon, simpson
from abm.model.body import b_clones, escape, hiv_course, plasma, residue, rivals, selection, threats
from abm.model.body.antibodies import CTLA_4_AXIS, PD_1_AXIS
from abm.model.body.blood import Blood
from abm.model.body.clones import LINEAGES, SAMPLE, share_made
from abm.model.body.immune import CD4_CELLS, CD8_CELLS, INDEX, T_CELLS, Lymphocytes
from abm.model.body.infection import BACTERIA, PATHOGENS, episode_rate
from abm.model.body.numerics import Floats, total
from abm.model.body.organs import GVH, HVG, ORGANS, Alloimmunity

if TYPE_CHECKING:
    from abm.model.body import Body
    from abm.model.body.rivals import Rivals

_COUNT = "1e9/L"
_FOLD = "fold over baseline"
_LINEAGES = {
    "neutrophils": "blood neutrophils",
    "monocytes": "blood monocytes",
    "myeloid": "blood neutrophils and monocytes",
    "t": "T cells",
    "b": "B cells",
    "nk": "NK cells",
    "platelets": "platelets, transfused ones left out",
    "red": "red cells, transfused ones left out",
}
_CLONES = (
    ("shannon", "nats", f"Shannon entropy of the clones of {SAMPLE} cells"),
    ("simpson", "1", "Simpson diversity: chance that two cells are of different clones"),
    ("chao1", "clones", f"Chao1 estimate of the number of clones from {SAMPLE} cells"),
    ("overlap_start", "1", "Morisita-Horn overlap of their clones with those at the start"),
    ("overlap_graft", "1", "Morisita-Horn overlap of their clones with those of the last graft"),
)
#: Rows of the shares in ``Edited``, by the word that stands for each.
_EDITED = {
    "edited": "carry at least one edited allele",
    "altered": "have lost both alleles, or carry what was added",
}
#: Quantities of autoimmune diseases; 0 in patients without the disease.
AUTOIMMUNE = {
    "myelin_memory": ("cells", "myelin-reactive memory CD4 cells"),
    "myelin_clones": ("1", "clones of the start of which there is a myelin-reactive memory CD4 cell"),
    "myelin_effectors": ("cells", "myelin-reactive CD4 cells that a trigger has activated"),
    "myelin_regulators": ("cells", "regulatory cells that these have induced"),
    "ms_relapses": ("1", "relapses of multiple sclerosis since the start"),
    "ms_lesions": ("1", "times that new lesions of multiple sclerosis appeared since the start"),
    "nuclear_b": ("1", "nuclear-reactive B cells relative to active lupus"),
    "autoantibody": ("1", "autoantibody against nuclear antigens relative to active lupus"),
    "interferon": ("1", "type I interferon relative to active lupus"),
    "vaccine_titre": ("1", "antibody against former vaccines in a patient with lupus, relative to the start"),
    "sledai": ("1", "activity of lupus, points of SLEDAI-2K"),
    "sle_flares": ("1", "flares of lupus since the start"),
    "edss": ("1", "expanded disability status scale, 0-10"),
}
#: name -> (unit, meaning).
OBSERVABLES: dict[str, tuple[str, str]] = {
    "anc": (_COUNT, "absolute neutrophil count"),
    "labelled_neutrophils": (
        "fraction",
        "DNA label in the neutrophils of the blood, of what they would hold if all were labelled",
    ),
    "monocytes": (_COUNT, "monocytes"),
    "eosinophils": (_COUNT, "eosinophils and basophils"),
    "platelets": (_COUNT, "platelets, transfused ones included"),
    "hb": ("g/L", "haemoglobin, transfused red cells included"),
    "reticulocytes": (_COUNT, "reticulocytes"),
    "blasts": (_COUNT, "leukaemic cells in blood"),
    "lymphocytes": (_COUNT, "T, B and NK cells"),
    "cd4": (_COUNT, "CD4 T cells, regulatory and engineered ones included"),
    "cd4_naive": (_COUNT, "naive CD4 T cells"),
    "cd8": (_COUNT, "CD8 T cells, alloreactive effectors and engineered ones included"),
    "b": (_COUNT, "B cells"),
    "nk": (_COUNT, "NK cells"),
    **{f"donor_{name}": ("fraction", f"donor share of {doc}") for name, doc in _LINEAGES.items()},
    **{f"donor2_{name}": ("fraction", f"share of the second donor in {_LINEAGES[name]}") for name in ("myeloid", "t")},
    **{
        f"{lineage}_{name}": (unit, f"{lineage.upper()} cells: {doc}")
        for lineage in LINEAGES
        for name, unit, doc in _CLONES
    },
    **{
        f"{word}_share_{name}": ("fraction", f"share of {doc} that {meaning}")
        for word, meaning in _EDITED.items()
        for name, doc in _LINEAGES.items()
        if name != "myeloid"
    },
    "gcsf": ("fold", f"G-CSF, injected included, {_FOLD}"),
    "epo": ("fold", f"erythropoietin, {_FOLD}"),
    "tpo": ("fold", f"thrombopoietin, {_FOLD}"),
    "flt3l": ("fold", f"FLT3 ligand, {_FOLD}"),
    "il7": ("fold", f"interleukin 7, {_FOLD}"),
    "drugs": ("1", "cytotoxic drugs on board, each relative to the peak of one reference dose, added up"),
    "cni": ("1", "inhibited share of T-cell activation"),
    "antibodies": ("nmol/L", "antibodies on board that are not bound to cells"),
    "lent": ("fraction", "T cells that hold a receptor lent to them, of those that can"),
    "exhaustion": ("fraction", "mean exhaustion of the T cells of the body that lent receptors engage"),
    "pd1_blocked": ("fraction", "PD-1 or its ligand blocked by antibodies"),
    "ctla4_blocked": ("fraction", "CTLA-4 blocked by antibodies"),
    "host_apc": ("1", "antigen-presenting cells of the host, relative to a healthy body"),
    "donor_apc": ("1", "antigen-presenting cells of the donor, relative to a healthy body"),
    "inflammation": ("1", "systemic inflammation; 1 is what myeloablative conditioning leaves on day 0"),
    "gvhd_grade": ("1", "acute GVHD, overall grade 0-4; for the first day of its treatment at least that treated"),
    "chronic_gvhd": ("fraction", "severity of chronic GVHD"),
    "chronic_risk": ("fraction", "probability that chronic GVHD has begun by now in somebody with this course"),
    **{organ: ("fraction", f"intact share of the {organ}") for organ in ORGANS},
    "stroma": ("fraction", "stroma of the marrow that conditioning has left, or that has grown back"),
    "thymus": ("fraction", "thymic function relative to this age"),
    "red_cell_transfusions": ("1", "red-cell transfusions so far"),
    "platelet_transfusions": ("1", "platelet transfusions so far"),
    "days_since_platelet_transfusion": ("d", "days since the last platelet transfusion; inf before the first"),
    "allo_effectors": ("cells", "donor T cells activated against the host, in the whole body"),
    "host_versus_graft_effectors": ("cells", "host T cells activated against the graft, in the whole body"),
    **{f"{name}_load": ("1", f"{name}: load over that at which it is told") for name in PATHOGENS},
    **{f"{name}_episodes": ("1", f"{name}: episodes so far") for name in PATHOGENS},
    "infection_rate": ("1/d", "severe bacterial infections to be expected per day in this state"),
    "survival": ("fraction", "probability to have survived all hazards so far, were there a draw"),
    "gvhd_death_risk": ("fraction", "probability to have died of GVHD by now, were it the only cause of death"),
    "cause_of_death": (
        "1",
        "0: alive; 1: infection, 2: bleeding, 3: anaemia, 4: GVHD, 5: leukaemia, 6: toxicity; "
        "always 0 unless the patient may die",
    ),
    "engineered_t": (_COUNT, "engineered T cells in blood"),
    "engineered_body": ("cells", "engineered T cells of the whole body"),
    "engineered_exhausted": ("fraction", "exhausted share of engineered effectors"),
    "macrophages": ("cells", "macrophages of the whole body with a receptor that a gene has added"),
    "il6": ("fold", f"interleukin 6 by engineered T cells, {_FOLD}"),
    "crs_grade": ("1", "cytokine release, grade 0-4 of this moment"),
    "cellularity": ("1", "resident marrow cells relative to homeostasis"),
    **hiv_course.OBSERVABLES,
    **{f"{x}_new": ("fraction", f"{x.upper()} cells with receptors made since the start") for x in LINEAGES},
    **AUTOIMMUNE,
    **residue.OBSERVABLES,
    **escape.OBSERVABLES,
    **plasma.OBSERVABLES,
    **rivals.OBSERVABLES,
    **{f"b_{name}": (unit, f"naive and memory B cells: {doc}") for name, unit, doc in _CLONES},
    "b_new": ("fraction", "naive and memory B cells with receptors made since the start"),
    "plasma_overlap_start": (
        "1",
        "Morisita-Horn overlap of long-lived plasma-cell clones with those at the start",
    ),
    "plasma_new": ("fraction", "long-lived plasma cells with receptors made since the start"),
    **selection.OBSERVABLES,
}


def observables(body: Body) -> dict[str, float]:
    """Return the present values by the names of :data:`OBSERVABLES`."""
    values = _blood(body) | _lymphocytes(body) | _clones(body) | _factors(body) | _damage(body)
    values |= _infections(body) | _engineered(body) | hiv_course.observables(body)
    values |= dict.fromkeys(AUTOIMMUNE, 0.0) | (body.disease.observables() if body.disease is not None else {})
    values |= residue.observables(body.residue) | escape.observables(body.escaped) | body.plasma.observables()
    values |= rivals.observables(body.rivals) | _b_clones(body) | selection.observables(body)
    shares = body.chimerism()
    values |= {f"donor_{name}": float(x[Origin.DONOR] + x[Origin.DONOR2]) for name, x in shares.items()}
    for which, word in enumerate(_EDITED):
        found = body.edited.shares(body.blood, body.lymphocytes, which)
        values |= {f"{word}_share_{name}": share for name, share in found.items()}
    values |= {f"donor2_{name}": float(shares[name][Origin.DONOR2]) for name in ("myeloid", "t")}
    return {name: values[name] for name in OBSERVABLES}


def chimerism(
    blood: Blood, lymphocytes: Lymphocytes, allo: Alloimmunity, of_donors: Rivals | None = None
) -> dict[str, Floats]:
    """Return the share of every origin in each lineage, each of shape (4,); 0 where no cell is."""
    t_cells = lymphocytes.cells(T_CELLS)
    first, second = float(t_cells[Origin.DONOR]), float(t_cells[Origin.DONOR2])
    of_second = second / (first + second) if second > 0.0 else 0.0  # both donors' cells expand alike
    t_cells[Origin.DONOR] += allo.effectors[GVH] * (1.0 - of_second)
    t_cells[Origin.DONOR2] += allo.effectors[GVH] * of_second
    t_cells[Origin.HOST] += allo.effectors[HVG]
    if of_donors is not None:
        t_cells[list(rivals.RIVALS)] += of_donors.effectors
    b_cells, nk_cells = (lymphocytes.cells([kind]) for kind in (Kind.IMMATURE_B, Kind.NK))
    cells = blood.by_origin() | {"t": t_cells, "b": b_cells, "nk": nk_cells}
    wholes = {name: total(found) for name, found in cells.items()}
    return {
        name: cells[name] / wholes[name] if wholes[name] > 0.0 else np.zeros_like(cells[name]) for name in _LINEAGES
    }


def _blood(body: Body) -> dict[str, float]:
    blood = body.blood
    return {
        "anc": blood.anc,
        "labelled_neutrophils": total(blood.labelled_neutrophils) / max(total(blood.neutrophils), 1.0),
        "monocytes": blood.concentration(blood.monocytes),
        "eosinophils": blood.concentration(blood.eosinophils),
        "platelets": blood.platelet_count,
        "hb": blood.hb,
        "reticulocytes": blood.concentration(blood.reticulocytes),
        "blasts": blood.concentration(blood.blasts),
        "red_cell_transfusions": blood.red_cell_transfusions,
        "platelet_transfusions": blood.platelet_transfusions,
        "days_since_platelet_transfusion": body.day - blood.last_platelet_transfusion,
    }


def _lymphocytes(body: Body) -> dict[str, float]:
    pools, rules, blood = body.lymphocytes, body.lymphocytes.rules, body.blood
    cd4 = blood.concentration(pools.cells(CD4_CELLS)) * rules.t_blood_share
    helpers = blood.concentration(np.array([body.engineered.helpers])) * rules.t_blood_share
    killers = body.engineered.total - body.engineered.helpers
    cd4 = cd4 + helpers
    cd8_cells = np.concatenate([pools.cells(CD8_CELLS), [killers]])
    cd8 = blood.concentration(cd8_cells) * rules.t_blood_share
    effectors = body.allo.effectors if body.rivals is None else body.allo.effectors + body.rivals.effectors
    cd8 = cd8 + blood.concentration(effectors) * rules.effector_blood_share
    b = blood.concentration(pools.pools[INDEX[Kind.IMMATURE_B]]) * rules.b_blood_share
    nk = blood.concentration(pools.pools[INDEX[Kind.NK]]) * rules.nk_blood_share
    naive = blood.concentration(pools.pools[INDEX[Kind.CD4_NAIVE]]) * rules.t_blood_share
    return {"lymphocytes": cd4 + cd8 + b + nk, "cd4": cd4, "cd4_naive": naive, "cd8": cd8, "b": b, "nk": nk}


def _clones(body: Body) -> dict[str, float]:
    kept, values = body.clones, dict[str, float]()
    for j, cells in enumerate(kept.repertoire(body.lymphocytes.pools)):
        values |= _measured([*LINEAGES][j], cells, kept.start[j], kept.graft[j])
    return values


def _b_clones(body: Body) -> dict[str, float]:
    kept, plasma_cells = body.b_clones, b_clones.plasma_cells(body)
    return _measured("b", b_clones.repertoire(body), kept.start, kept.graft) | {
        "plasma_overlap_start": morisita_horn(plasma_cells, kept.plasma),
        "plasma_new": share_made(plasma_cells),
    }


def _measured(lineage: str, cells: Floats, start: Floats, graft: Floats) -> dict[str, float]:
    """Return what is measured of the clones of a lineage; ``start``, ``graft``: those of then."""
    overlaps = (morisita_horn(cells, other) for other in (start, graft))
    found = (shannon(cells), simpson(cells), chao1(cells), *overlaps, share_made(cells))
    names = (*(name for name, *_ in _CLONES), "new")
    return {f"{lineage}_{name}": x for name, x in zip(names, found, strict=True)}


def _factors(body: Body) -> dict[str, float]:
    drugs = body.drugs
    cytotoxic = {drug.name for drug in drugs.drugs if drug.reference}
    signals = body.signals()
    return {name: signals[name] for name in ("gcsf", "epo", "tpo", "flt3l", "il7", "cni")} | {
        "drugs": total(level for name, level in drugs.concentrations().items() if name in cytotoxic),
        "antibodies": total(body.antibodies.concentration(i) for i in range(len(body.antibodies.known))),
        "lent": body.antibodies.lent(np.zeros(N_KINDS))[0],
        "exhaustion": body.exhaustion.level,
        "pd1_blocked": body.antibodies.blocked(PD_1_AXIS),
        "ctla4_blocked": body.antibodies.blocked(CTLA_4_AXIS),
    }


def _infections(body: Body) -> dict[str, float]:
    found, host = body.infections, threats.host(body)
    values = {f"{name}_load": float(load) for name, load in zip(PATHOGENS, found.load, strict=True)}
    values |= {f"{name}_episodes": float(n) for name, n in zip(PATHOGENS, found.episodes, strict=True)}
    return values | {"infection_rate": episode_rate(BACTERIA, found.pathogens[BACTERIA], host)}


def _engineered(body: Body) -> dict[str, float]:
    cells = body.engineered
    in_blood = cells.total * body.lymphocytes.rules.t_blood_share
    return {
        "engineered_t": body.blood.concentration(np.array([in_blood])),
        "engineered_body": cells.total,
        "engineered_exhausted": cells.exhausted_share(),
        "macrophages": total(body.phagocytes.macrophages) if body.phagocytes is not None else 0.0,
        "il6": cells.il6,
        "crs_grade": float(cells.grade()),
    }


def _damage(body: Body) -> dict[str, float]:
    allo = body.allo
    return {organ: float(intact) for organ, intact in zip(ORGANS, allo.integrity, strict=True)} | {
        "host_apc": allo.host_apc,
        "donor_apc": allo.donor_apc,
        "inflammation": allo.inflammation,
        "gvhd_grade": float(max(allo.grade(), body.treatment.begun("gvhd"))),
        "chronic_gvhd": body.chronic.severity,
        "chronic_risk": body.chronic.risk,
        "stroma": body.stroma.intact,
        "thymus": body.lymphocytes.thymic_function,
        "allo_effectors": float(allo.effectors[GVH]),
        "host_versus_graft_effectors": float(allo.effectors[HVG]),
        "survival": body.mortality.survival,
        "gvhd_death_risk": body.mortality.risk("GVHD"),
        "cause_of_death": body.mortality.cause,
        "cellularity": body.cellularity,
    }
