"""Lymphocytes of the donor for a relapse, without a lattice: leukaemia that grows and is killed as blood cells are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from abm.config import rules_of
from abm.config_models import Patch
from abm.exactmath import LN2, exp
from abm.model.body import Tables
from abm.model.body.organs import GVH, Alloimmunity, Surroundings
from abm.model.body.parameters import OrganRules, section
from abm.validation.draws import draw
from abm.validation.targets import read_catalogue

pytestmark = [pytest.mark.science, pytest.mark.slow]

PATIENTS, DAYS, STEP_H, WEIGHT_KG = 100, 240, 12.0, 70.0
REMISSION = 1e-3  #: of a full marrow
FATAL = 0.95  #: share of the marrow at which an acute leukaemia ends the course
STEROID = 0.4  #: killing left by prednisolone, given from grade II on


@dataclass(frozen=True)
class Leukaemia:
    """Disease, growth per day and share of the marrow when lymphocytes are given."""

    disease: str
    growth: float
    burden: float
    acute: bool


AML = Leukaemia("none", LN2 / 10.0, 0.3, acute=True)  # doubles in 10 (4-30) d
CML = Leukaemia("cml", 0.008, 0.8, acute=False)  # net growth of chronic-phase stem cells (Michor, Nature 2005)


@cache
def tables_of(disease: str) -> Tables:
    """Return the rule tables of man with a disease."""
    return Tables.load(rules_of(Patch(species="human"), disease))


def treat(disease: Leukaemia, cd3_per_kg: float, alloreactivity: float) -> tuple[bool, int]:
    """Return whether a patient comes into remission, and the worst grade of GVHD."""
    tables = tables_of(disease.disease)
    donor = tables.donors["sibling"].of_pair(alloreactivity)
    allo = Alloimmunity(section(OrganRules, tables.values, WEIGHT_KG), donor, 1.2e7)
    allo.host_apc = burden = disease.burden
    allo.precursors[GVH] = cd3_per_kg * WEIGHT_KG * donor.graft_versus_host
    worst = 0
    for _ in range(round(DAYS * 24 / STEP_H)):
        grown = exp(disease.growth * (1.0 - burden) * STEP_H / 24)
        burden *= grown * allo.survival_of_other_side(GVH, STEP_H)
        killing = STEROID if worst >= 2 else 1.0
        allo.advance(Surroundings(burden, 1.0 - burden, leukaemia=burden, killing=killing), STEP_H)
        worst = max(worst, allo.grade())
        if burden < REMISSION:
            return True, worst
        if disease.acute and burden > FATAL:
            break
    return False, worst


@cache
def cohort(disease: Leukaemia, cd3_per_kg: float) -> tuple[float, float]:
    """Return the shares of patients in remission and with GVHD of grade II-IV; the same pairs for all."""
    key = "patient.alloreactivity"
    prior = read_catalogue().protocols["gvhd_sibling"].priors[key]
    found = [treat(disease, cd3_per_kg, draw(prior, key, seed)) for seed in range(1, PATIENTS + 1)]
    return float(np.mean([cured for cured, _ in found])), float(np.mean([grade >= 2 for _, grade in found]))


def test_lymphocytes_cure_cml_far_more_often_than_aml() -> None:
    """73 % (64-86) and 20 % (10-30): a slow leukaemia gives T cells the time to expand (Kolb 1995)."""
    chronic, acute = cohort(CML, 1e8)[0], cohort(AML, 1e8)[0]
    assert 0.0 < acute < 0.5 * chronic


def test_fewer_lymphocytes_cause_less_gvhd() -> None:
    """21, 45, 55 % by dose (Bar 2013); 26, 53, 62 % (Guglielmi 2002)."""
    assert cohort(CML, 1e7)[1] < cohort(CML, 1e8)[1]


def test_without_lymphocytes_no_leukaemia_goes() -> None:
    assert treat(CML, 0.0, 1.0) == treat(AML, 0.0, 1.0) == (False, 0)
