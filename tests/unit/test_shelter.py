"""Contact with stroma: what survives chemotherapy lies beside it; the kill of all cells stays what the tables say."""

from __future__ import annotations

import dataclasses
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm import resources
from abm.backends.numpy_backend import NumpyBackend
from abm.cells import N_BESIDE, N_KINDS, N_ORIGINS, STROMA_BIT, TISSUE_MASK, Cycle, Kind, Tissue
from abm.config import Config, rules_of
from abm.errors import ConfigError
from abm.io import state_hash
from abm.model.body import Body
from abm.model.body.drugs import LEUKAEMIC
from abm.model.body.residue import kills
from abm.model.body.shelter import factor, read_shelter, split
from abm.step import Simulation
from tests.unit.body_case import live, make_body

RULES = resources.folder("scenarios") / "rules"
SHARE = 0.5
INDUCTION: dict[str, Any] = {
    "seed": 2,
    "patch": {"shape": [32, 32, 32]},
    "time": {"start_day": 0.0, "end_day": 3.0, "step_min": 240},
    "patient": {"disease": "aml", "blast_fraction": 0.8},
    "events": [
        {"day": 0.0, "action": "chemo", "drug": "cytarabine", "dose_mg_per_m2": 200.0, "doses": 3, "every_h": 24},
        {"day": 0.0, "action": "chemo", "drug": "daunorubicin", "dose_mg_per_m2": 60.0, "doses": 3, "every_h": 24},
    ],
}


def beside(apart: int, touching: int) -> np.ndarray:
    """Return so many leukaemic cells of each kind and cycle state."""
    counts = np.zeros((N_BESIDE, N_KINDS, N_ORIGINS), np.int64)
    for kind in LEUKAEMIC:
        counts[0::2, kind, 0], counts[1::2, kind, 0] = apart, touching
    return counts


def treated(spared: float = SHARE, **doses: float) -> Body:
    """Return a body with shares of reference courses on board, in which contact spares this share of the hazard."""
    body = make_body()
    live(body, 0.1)
    body.tables = dataclasses.replace(body.tables, shelter=spared)
    for drug, courses in doses.items():
        body.drugs.give(drug, courses)
    return body


def never() -> np.ndarray:
    """Count nobody: for where counting would be wasted."""
    pytest.fail("the cells beside stroma were counted for nothing")


@pytest.mark.parametrize("spared", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("touching", [1e-4, 0.2, 0.5, 0.999])
@pytest.mark.parametrize("kill", [1e-6, 0.1, 2.0, 10.0, 30.0])
def test_the_kill_of_the_whole_is_what_it_should_be(kill: float, touching: float, spared: float) -> None:
    raised = factor(kill, touching, spared)
    left = touching * exp(-(1.0 - spared) * raised * kill) + (1.0 - touching) * exp(-raised * kill)
    assert left == pytest.approx(exp(-kill), rel=1e-9)
    assert 1.0 < raised <= 1.0 / (1.0 - spared)


def test_where_contact_makes_no_difference_nothing_is_raised() -> None:
    assert factor(2.0, 0.0, SHARE) == 1.0
    assert factor(2.0, 0.3, 0.0) == pytest.approx(1.0)
    assert factor(2.0, 1.0, SHARE) * (1.0 - SHARE) == pytest.approx(1.0), "where all are in contact"


@pytest.mark.parametrize("cycle", list(Cycle))
def test_leukaemic_cells_alone_are_killed_unequally(cycle: Cycle) -> None:
    body = treated(cytarabine=0.2, daunorubicin=0.2)
    whole = body.variant_hazards()
    population = beside(600, 300).sum(axis=0)
    held, bare = split(body, whole, population, lambda: beside(600, 300))
    assert bare is not None
    others = [kind for kind in Kind if kind not in LEUKAEMIC]
    np.testing.assert_array_equal(held[:, others], whole[:, others])
    assert not bare[:, others].any()
    for kind in LEUKAEMIC:
        kept, more, told = (float(x[0, kind, cycle]) * body.step_h for x in (held, bare, whole))
        assert kept / (kept + more) == pytest.approx(1.0 - SHARE)
        assert kept < told < kept + more
        assert (2.0 * exp(-kept - more) + exp(-kept)) / 3.0 == pytest.approx(exp(-told))


def test_every_variant_meets_the_kill_that_is_stated_for_it() -> None:
    """Where it lies counts, not where the others do: as the wild type dies it is left at stroma, a variant is not."""
    body = treated(cytarabine=0.2)
    stated = np.array([1.0, 0.1, 1.0, 1.0])
    body.drugs._variants = {"cytarabine": stated[:, np.newaxis, np.newaxis]}
    lie = {0: (100, 300), 1: (300, 100)}
    counts = np.zeros((N_BESIDE, N_KINDS, N_ORIGINS), np.int64)
    for variant, (apart, touching) in lie.items():
        for cycle in Cycle:
            row = 4 * variant + 2 * cycle
            counts[row, Kind.BLAST, 0], counts[row + 1, Kind.BLAST, 0] = apart, touching
    whole = body.variant_hazards()
    held, bare = split(body, whole, counts.sum(axis=0), lambda: counts)
    assert bare is not None
    for variant, (apart, touching) in lie.items():
        kept, more, told = (float(x[variant, Kind.BLAST, Cycle.CYCLING]) * body.step_h for x in (held, bare, whole))
        left = (apart * exp(-kept - more) + touching * exp(-kept)) / (apart + touching)
        assert left == pytest.approx(exp(-told))


def test_the_number_followed_without_places_meets_the_kill_of_the_tables() -> None:
    bodies = [treated(spared, cytarabine=0.2, daunorubicin=0.2) for spared in (0.0, 0.9)]
    rules = bodies[0].tables.residue
    assert rules is not None
    assert kills(bodies[0], rules, 1.0) == kills(bodies[1], rules, 1.0)


def test_nobody_is_counted_where_it_does_not_matter() -> None:
    there, nobody = beside(6, 3).sum(axis=0), np.zeros((N_KINDS, N_ORIGINS), np.int64)
    lost = treated(cytarabine=0.2)
    lost.stroma.intact = 0.0
    cases = [
        (treated(), there),
        (treated(0.0, cytarabine=0.2), there),
        (treated(cytarabine=0.2), nobody),
        (lost, there),
    ]
    for body, population in cases:
        whole = body.variant_hazards()
        found, bare = split(body, whole, population, never)
        assert found is whole
        assert bare is None


def test_conditioning_takes_the_shelter_with_the_stroma() -> None:
    shares = []
    for intact in (1.0, 0.5):
        body = treated(cytarabine=0.2)
        body.stroma.intact = intact
        held, bare = split(body, body.variant_hazards(), beside(6, 3).sum(axis=0), lambda: beside(6, 3))
        assert bare is not None
        more = float(bare[0, Kind.BLAST, Cycle.CYCLING])
        shares.append(more / (more + float(held[0, Kind.BLAST, Cycle.CYCLING])))
    assert shares == pytest.approx([SHARE, SHARE / 2.0])


def marrow_beside_stroma(sim: Simulation) -> float:
    """Return the share of marrow sites that touch stroma: what chance gives cells that do not care."""
    tissue = sim.lattice.owned("tissue")
    stroma = (tissue & STROMA_BIT) != 0
    near = stroma.copy()
    for axis in range(3):
        near |= np.roll(stroma, 1, axis) | np.roll(stroma, -1, axis)
    return float(near[(tissue & TISSUE_MASK) == Tissue.MARROW].mean())


def induced(backend: Any, spared: float | None, steps: int = 15, **changes: Any) -> Simulation:
    """Return a leukaemia after some steps of cytarabine and daunorubicin; ``None``: what the table says."""
    sim = Simulation.start(Config.model_validate(INDUCTION | changes), backend)
    if spared is not None:
        sim.body.tables = dataclasses.replace(sim.body.tables, shelter=spared)
    for _ in range(steps):
        sim.advance()
    return sim


def residue_of(sim: Simulation) -> tuple[int, float]:
    """Return the leukaemic cells that are left, and how much more often than by chance they touch stroma."""
    apart, touching = sim.lattice.beside_stroma().reshape(-1, 2, N_KINDS * N_ORIGINS).sum(axis=(0, 2)).tolist()
    return apart + touching, touching / (apart + touching) / marrow_beside_stroma(sim)


def test_what_is_left_lies_at_stroma_and_is_as_much_as_without(backend: Any) -> None:
    (left, chance), (as_many, enriched) = (residue_of(induced(backend, spared)) for spared in (0.0, None))
    assert left > 300
    assert abs(chance - 1.0) < 0.25
    assert enriched > 1.5
    assert as_many == pytest.approx(left, rel=0.2)


def test_every_backend_finds_the_same(backend: Any) -> None:
    small = {"patch": {"shape": [12, 10, 14]}}
    mine, twin = (induced(one, None, 8, **small) for one in (backend, NumpyBackend()))
    assert state_hash(mine.snapshot()) == state_hash(twin.snapshot())
    np.testing.assert_array_equal(mine.lattice.beside_stroma(), twin.lattice.beside_stroma())


def test_without_a_drug_not_a_bit_differs() -> None:
    quiet = {"events": [], "patch": {"shape": [12, 10, 14]}}
    with_it, without = (induced(NumpyBackend(), spared, 6, **quiet) for spared in (0.9, 0.0))
    assert state_hash(with_it.snapshot()) == state_hash(without.snapshot())


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_every_species_has_a_share(species: str) -> None:
    assert 0.0 < read_shelter(RULES / species) <= 0.95


@pytest.mark.parametrize("disease", ["none", "all", "cml", "burkitt", "dlbcl", "follicular", "hodgkin", "myeloma"])
def test_every_tumour_has_a_share_of_its_own_or_that_of_the_species(disease: str) -> None:
    patch = Config.model_validate({}).patch
    shares = [read_shelter(rules_of(patch, name)) for name in (disease, "none")]
    assert 0.0 < shares[0] <= 0.95
    assert (shares[0] == shares[1]) == (disease == "none")


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ("spared,1.0", r"shelter.csv: spared: expected a share from 0 to 0.95, found 1"),
        ("spared,-0.1", r"shelter.csv: spared: expected a share from 0 to 0.95, found -0.1"),
        ("shared,0.5", r"shelter.csv:2: name: .*spared"),
    ],
)
def test_a_share_that_cannot_be_is_refused(tmp_path: Path, found: str, complaint: str) -> None:
    (tmp_path / "shelter.csv").write_text(f"name,value,unit,source,status\n{found},1,s,read\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=complaint):
        read_shelter(tmp_path)
