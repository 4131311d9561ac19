"""What is given to the patient in one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from abm.cells import Kind, Origin, Specificity
from abm.config_graft import Edit
from abm.model.body.treatment import Plan

DoseKind = Literal[
    "immunosuppression_level",
    "treatment",
    "infusion",
    "antibody",
    "drug",
    "radiation",
    "gcsf",
    "graft",
    "cells",
    "art",
    "label",
    "blood_loss",
    "platelet_loss",
    "switch",
    "immunoglobulin",
]
#: Kinds in the order in which they are given when they fall into the same step.
ORDER: tuple[DoseKind, ...] = get_args(DoseKind)


@dataclass(frozen=True)
class Dose:
    """One dose, in units that need no further knowledge of the patient.

    Attributes:
        kind: what it is.
        name: drug or antibody, graft source, cell product, marker of a label, or "tbi".
        amount: drug: share of the reference course; antibody: mg, infusion of one: mg/h; radiation: Gy; gcsf: ug/kg;
            immunosuppression_level and treatment: 0-1; art: chance that a dose is taken; blood_loss and platelet_loss:
            the lost share; switch: the share of its carriers that dies; immunoglobulin: g/kg.
        cd34: CD34+ cells of a graft that can lodge.
        cells: purified cells of a graft that can lodge, by kind.
        marrow_of: checkpoint of which the stem and progenitor cells of a graft are taken; empty: of no run.
        nucleated: nucleated cells of such a graft, times the share that can lodge.
        carried: bits of the hot word that its edited cells carry.
        cd3: CD3+ T cells of a graft or cell product, after T-cell depletion.
        receptor: class of the receptor that a gene has brought into them.
        lacks: loss bits that they carry, as they stand in the hot word.
        origin: whose cells a graft or product holds.
        edit: how the stem and progenitor cells of a graft are edited; None: not at all.
        ccr5_null: share of the cells of a graft, or of lymphocytes of its donor, without functional CCR5.
        if_blast_fraction: leukaemic share of nucleated marrow cells from which on a cell product is given.
        plan: when a treatment begins and how long it lasts.
    """

    kind: DoseKind
    name: str
    amount: float = 0.0
    cd34: float = 0.0
    cd3: float = 0.0
    origin: Origin = Origin.DONOR
    plan: Plan | None = None
    cells: tuple[tuple[Kind, float], ...] = ()
    marrow_of: str = ""
    nucleated: float = 0.0
    carried: int = 0
    edit: Edit | None = None
    receptor: Specificity = Specificity.NONE
    lacks: int = 0
    ccr5_null: float = 0.0
    if_blast_fraction: float = 0.0
