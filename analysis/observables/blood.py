"""Blood: counts, donor shares, daily production."""

from __future__ import annotations

import json
from math import inf

import numpy as np

from ..read import Run, in_unit
from .registry import COUNT, DAY, PERCENT, Floats, Made, observable, per_day

REFERENCE_KG = 70.0  #: body weight to which productions refer
UNIT_OF_PLATELETS = 3e11  #: cells of an apheresis unit, at least: by definition


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
    ("labelled_hsc", "labelled_hsc", PERCENT, "percent", "Stem cells that carry a label."),
    ("donor_red", "donor_red", PERCENT, "percent", "Donor share of red cells."),
    ("donor_b", "donor_b", PERCENT, "percent", "Donor share of B cells."),
    ("donor_t", "donor_t", PERCENT, "percent", "Donor share of T cells."),
    ("survival", "survival", PERCENT, "percent", "Survival that infection, bleeding and anaemia leave of many."),
):
    _register_body(_name, _key, _unit, _stored, _doc)


def _made(run: Run, kind: str) -> Floats | None:
    """Return cells that have left the marrow since the record before, per 70 kg, shape (T,)."""
    weights = json.loads(run.provenance.get("exit_cells", "{}"))
    if kind not in weights:
        return None
    patient = float(run.config.get("patient", {}).get("weight_kg", REFERENCE_KG))
    made: Floats = run.events("egress", kind) * (float(weights[kind]) * REFERENCE_KG / patient)
    return made


def _production(run: Run, kind: str) -> Made:
    """Return cells that leave the marrow per day and 70 kg, shape (T,)."""
    made = _made(run, kind)
    return None if made is None else per_day(run, made)


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


@observable(DAY)
def platelet_output_day(run: Run) -> Made:
    """Day since the graft by which the marrow has made 3e11 platelets per 70 kg, as many as a transfused unit holds."""
    made, day = _made(run, "platelet_forming_mk"), run.course().since_graft
    if made is None or run.graft() is None:
        return None
    total = np.cumsum(np.where(day > 0, made, 0.0))
    return float(np.interp(UNIT_OF_PLATELETS, total, day)) if total[-1] >= UNIT_OF_PLATELETS else inf


@observable(PERCENT, curve=True)
def first_donor(run: Run) -> Made:
    """Share of the first of two donors in blood neutrophils and monocytes; with one donor, that one's."""
    both = _body(run, "donor_myeloid", "percent")
    second = _body(run, "donor2_myeloid", "percent")
    return both if both is None or second is None else both - second
