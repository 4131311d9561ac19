"""Lent receptors: how hard they strike, where effectors of the lattice are a sample and where they are not."""

from __future__ import annotations

import numpy as np
import pytest

from abm.cells import N_KINDS, N_SPECIFICITIES, Kind, Origin, Specificity
from abm.model.body import immunity
from abm.model.loans import Loans
from abm.model.rules import load_rules
from tests.unit.body_case import Person, make_body, tables
from tests.unit.table_case import FOLDER

RULES = load_rules(FOLDER / "human")
ANTIBODIES = tables().antibodies
ENRICHMENT = 10.0
AFFINITY = ANTIBODIES["blinatumomab"].affinity


def strengths(*, sampled: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return kill strength by row, kind and level under an engager, and the row that each kind holds."""
    loans = Loans.of(RULES, ANTIBODIES, donor_is_self=True, enrichment=ENRICHMENT)
    rows = loans.rows([1.0] * len(loans.lenders), sampled=sampled)
    found = loans.strength[rows["hit_class"].astype(np.int64)] / ENRICHMENT
    return found.reshape(-1, N_KINDS, 4), rows["lent"]


def test_an_effector_made_by_an_engager_kills_as_one_cell() -> None:
    found, row = strengths(sampled=False)
    kind = Kind.CD8_EFFECTOR
    assert found[row[kind], kind, 2] == pytest.approx(AFFINITY)
    assert found[row[Kind.CD4_EFFECTOR], Kind.CD4_EFFECTOR, 2] == pytest.approx(0.2 * AFFINITY)
    assert found[row[kind], kind, 1] == 0.0, "no cell shows CD19 at level 1"


def test_in_a_sample_of_effectors_each_kills_a_tenth_with_either_receptor() -> None:
    found, row = strengths(sampled=True)
    kind = Kind.CD8_EFFECTOR
    assert found[row[kind], kind, 2] == pytest.approx(AFFINITY / ENRICHMENT)
    for sampled in (True, False):
        own, _ = strengths(sampled=sampled)
        assert own[Specificity.HOST_UBIQUITOUS, kind, 3] == pytest.approx(1.0 / ENRICHMENT)
    assert row[kind] >= N_SPECIFICITIES


def test_effectors_are_a_sample_after_a_graft_that_reacts_or_with_engineered_cells() -> None:
    body = make_body()
    assert not immunity.samples_effectors(body), "nothing was grafted yet"
    body.grafted = 1.0
    assert immunity.samples_effectors(body)
    twin = make_body(Person(donor="twin"))
    twin.grafted = 1.0
    assert not twin.allo.reactive(Origin.DONOR)
    assert not immunity.samples_effectors(twin)
    twin.engineered.infuse(Specificity.CAR_CD19, tables().products["car_t"], 1e8)
    assert immunity.samples_effectors(twin)
