"""Variants, mutations and subclones: what the tables say is what cells do, and every mistake in them is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import LOSS_ANTIGENS, MARKS, Antigen, Behaviour, Count, Kind
from abm.config import Config
from abm.errors import ConfigError
from abm.io import state_hash
from abm.model.rules import BODY_SIGNALS, Rules
from abm.setup import load_model
from abm.step import Simulation
from tests.tiny import tiny_config
from tests.unit.table_case import FOLDER, change, copied

VARIANTS = "kind,cycle,variant,name,target,factor,unit,source,status\n"
MUTATIONS = "kind,from,gain,when,probability,unit,source,status\n"
CD33 = LOSS_ANTIGENS.index(Antigen.CD33)


def tables(folder: Path, variants: str, mutations: str) -> Path:
    """Write both tables; returns their folder."""
    folder.mkdir(exist_ok=True)
    (folder / "variants.csv").write_text(VARIANTS + variants, encoding="utf-8")
    (folder / "mutations.csv").write_text(MUTATIONS + mutations, encoding="utf-8")
    return folder


def config(folder: Path, **changes: Any) -> Config:
    """Return the tiny patient with own tables of heredity and little treatment."""
    patch = {"shape": [18, 14, 13], "rules": str(folder)}
    return tiny_config(patch=patch, events=changes.pop("events", []), **changes)


def lost_share(sim: Simulation) -> float:
    return sim.record().values["lost_cd33"]


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_the_shipped_tables_load(species: str) -> None:
    heredity = Rules.load(FOLDER / species).heredity
    assert heredity.variants.names[Kind.BLAST, "cytarabine_resistant"] == 1
    assert {m.kind for m in heredity.mutations if not m.variant} == {Kind.LSC, Kind.BLAST}
    assert {m.kind for m in heredity.mutations if m.variant} == {Kind.LSC, Kind.BLAST, Kind.HSC}
    assert not heredity.subclones


def test_lymphoblasts_lose_cd19() -> None:
    rules = load_model(tiny_config(patient={"disease": "all", "blast_fraction": 0.3})).rules
    cd19 = 1 << LOSS_ANTIGENS.index(Antigen.CD19)
    assert {(s.kind, s.share, s.gain) for s in rules.heredity.subclones} == {
        (kind, 1e-6, cd19) for kind in (Kind.LSC, Kind.BLAST)
    }
    assert any(m.gain == cd19 for m in rules.heredity.mutations)


def test_hazards_of_a_variant_are_multiplied_by_its_factors(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    rows = "BLAST,cycling,2,driver,DIVIDE,1.5,1,s,assumption\nBLAST,any,2,driver,RENEW,1.2,1,s,assumption\n"
    (folder / "variants.csv").write_text(VARIANTS + rows, encoding="utf-8")
    (folder / "mutations.csv").write_text(MUTATIONS + "BLAST,any,driver,division,1e-3,1/division,s,assumption\n")
    rules = Rules.load(folder)
    step = rules.rates(dict(BODY_SIGNALS), np.zeros((64, 2)), 1.0)
    table = step.rates.reshape(4, 128, -1)
    row = 2 * Kind.BLAST + 1
    assert table[2, row, Behaviour.DIVIDE] == pytest.approx(1.5 * table[0, row, Behaviour.DIVIDE])
    np.testing.assert_array_equal(table[[1, 3]], table[[0, 0]])
    np.testing.assert_array_equal(np.delete(table[2], row, axis=0), np.delete(table[0], row, axis=0))
    renew = step.renew.reshape(4, 128)[:, row] / 2**32
    np.testing.assert_allclose(renew, [0.35, 0.35, 0.42, 0.35], rtol=1e-6)
    plain = Rules.load(FOLDER / "human").rates(dict(BODY_SIGNALS), np.zeros((64, 2)), 1.0)
    assert step.ceiling[row] > plain.ceiling[row], "the bound holds for the fastest variant"


def test_a_drug_kills_a_variant_by_its_factor() -> None:
    sim = Simulation.start(tiny_config(), NumpyBackend())
    sim.body.drugs.give("cytarabine", 1.0)
    kills = sim.body.drugs.variant_kills(1.0)
    np.testing.assert_array_equal(kills[0], sim.body.drugs.cell_kills(1.0))
    assert kills[0, Kind.BLAST, 1] > 0.0
    np.testing.assert_allclose(kills[1, Kind.BLAST], 0.1 * kills[0, Kind.BLAST])
    np.testing.assert_array_equal(kills[1, Kind.CMP], kills[0, Kind.CMP])
    np.testing.assert_array_equal(kills[2:], kills[[0, 0]])


def test_daughters_mutate_as_often_as_stated(backend: Any, tmp_path: Path) -> None:
    chance = 0.2
    folder = tables(
        tmp_path / "own",
        "LSC,any,1,v,KILL,1,1,s,assumption\n",
        f"BLAST,any,CD33,division,{chance},1/division,s,assumption\n",
    )
    sim = Simulation.start(config(folder), backend)
    assert lost_share(sim) == 0.0
    births = 0
    for _ in range(24):
        sim.advance()
        births += int(sim.last[Count.BIRTH, Kind.BLAST].sum())
    marks = sim.lattice.marks()
    first = MARKS["loss"][0]
    mutants = int(marks[first + CD33, Kind.BLAST].sum())
    assert marks[:, [k for k in Kind if k is not Kind.BLAST]].sum() == 0, "nobody else mutates"
    assert births > 100
    # in a day hardly a mutant dies or divides: two daughters of each birth, 5 standard deviations
    expected = 2 * births * chance
    assert abs(mutants - expected) < 5 * np.sqrt(expected) + 0.1 * expected


def test_a_subclone_is_there_from_the_start(tmp_path: Path) -> None:
    rows = "ANY_LEUKAEMIC,any,CD33,start,0.25,fraction,s,assumption\nBLAST,any,v,start,0.5,fraction,s,assumption\n"
    folder = tables(tmp_path / "own", "BLAST,any,3,v,DIE,2,1,s,assumption\n", rows)
    sim = Simulation.start(config(folder), NumpyBackend())
    values, population = sim.record().values, sim.last[Count.POPULATION].sum(axis=1)
    n, blasts = population[[Kind.LSC, Kind.BLAST]].sum(), population[Kind.BLAST]
    assert n > 200
    assert abs(values["lost_cd33"] - 0.25) < 5 * np.sqrt(0.25 * 0.75 / n)
    assert abs(values["variant_3"] * n / blasts - 0.5) < 5 * np.sqrt(0.25 / blasts)
    assert values["variant_1"] == 0.0


def test_a_resistant_subclone_outlives_the_drug(backend: Any, tmp_path: Path) -> None:
    rows = "ANY_LEUKAEMIC,any,r,start,0.2,fraction,s,assumption\n"
    folder = tables(tmp_path / "own", "ANY_LEUKAEMIC,any,1,r,cytarabine,0,1,s,assumption\n", rows)
    drug = {"action": "chemo", "drug": "cytarabine", "dose_mg_per_m2": 3000, "doses": 4, "every_h": 12}
    sim = Simulation.start(config(folder, events=[{"day": -2.0, **drug}]), backend)
    before = sim.record().values["variant_1"]
    for _ in range(72):
        sim.advance()
    assert sim.record().values["variant_1"] > 2 * before > 0.0


def test_backends_agree_while_cells_mutate(backend: Any, tmp_path: Path) -> None:
    rows = (
        "ANY_RESIDENT,any,CD33,division,0.2,1/division,s,assumption\n"
        "ANY_RESIDENT,wild_type,fast,division,0.3,1/division,s,assumption\n"
        "CD8_EFFECTOR,any,CCR5,division,0.3,1/division,s,assumption\n"
        "BLAST,any,slow,start,0.3,fraction,s,assumption\n"
    )
    variants = (
        "ANY_RESIDENT,any,1,fast,DIVIDE,1.4,1,s,assumption\nANY_RESIDENT,any,1,fast,busulfan,0.2,1,s,assumption\n"
        "BLAST,any,2,slow,DIVIDE,0.5,1,s,assumption\n"
    )
    folder = tables(tmp_path / "own", variants, rows)
    events = tiny_config().model_dump()["events"]
    sims = [Simulation.start(config(folder, events=events), b) for b in (backend, NumpyBackend())]
    slow = MARKS["variant"][0] + 1
    assert sims[0].lattice.marks()[slow].any()
    for _ in range(48):
        for sim in sims:
            sim.advance()
    assert len({state_hash(sim.snapshot()) for sim in sims}) == 1
    marks = [sim.lattice.marks() for sim in sims]
    np.testing.assert_array_equal(*marks)
    assert (marks[0].sum(axis=(1, 2))[[CD33, MARKS["variant"][0]]] > 0).all()


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("variants.csv", "ANY_LEUKAEMIC,any,1", "ANY_LEUKAEMIA,any,1", "kind: unknown name 'ANY_LEUKAEMIA' .did you"),
        ("variants.csv", ",any,1,", ",any,4,", "variant: expected a whole number >= 1 and <= 3, found '4'"),
        ("variants.csv", ",any,1,", ",none,1,", "cycle: unknown name 'none'"),
        (
            "variants.csv",
            "cytarabine,0.1",
            "cytarabin,0.1",
            "target: unknown name 'cytarabin' .did you mean cytarabine",
        ),
        ("variants.csv", "cytarabine,0.1", "cytarabine,-1", "factor: expected a number >= 0, found '-1'"),
        ("variants.csv", "cytarabine_resistant", "any", "name: expected a name of letters, digits and _, not"),
        ("mutations.csv", "any,CD33", "any,CD34", "gain: unknown name 'CD34'"),
        ("mutations.csv", "any,CD33", "any,WT1", "gain: unknown name 'WT1'"),
        ("mutations.csv", "wild_type,cyt", "wild,cyt", "from: unknown name 'wild' .did you mean wild_type"),
        ("mutations.csv", "CD33,division,1e-7", "CD33,division,1.5", "probability: expected a number >= 0 and <= 1"),
        ("mutations.csv", "CD33,division,1e-7", "CD33,birth,1e-7", "when: unknown name 'birth'"),
        ("mutations.csv", "1e-5,1/division", "1e-5,1/day", "unit: unknown name '1/day' .known: 1/division"),
        ("mutations.csv", "CD123,division,1e-7", "CD123,division,1", "add up to 1, expected at most 1"),
    ],
)
def test_a_mistake_names_its_place(tmp_path: Path, table: str, old: str, new: str, message: str) -> None:
    folder = copied(tmp_path)
    line = change(folder, table, old, new)
    with pytest.raises(ConfigError, match=rf"{table}:{line}: .*{message}"):
        Rules.load(folder)


def test_a_variant_has_one_name_and_a_start_no_mother(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    tables(folder, "BLAST,any,1,a,DIE,1,1,s,assumption\nBLAST,any,1,b,KILL,1,1,s,assumption\n", "x\n")
    with pytest.raises(ConfigError, match=r"variants.csv:3: name: variant 1 of BLAST is a; found b for variant 1"):
        Rules.load(folder)
    tables(folder, "BLAST,any,1,a,DIE,1,1,s,assumption\nBLAST,any,1,a,DIE,2,1,s,assumption\n", "x\n")
    with pytest.raises(ConfigError, match=r"variants.csv:3: target: DIE of a BLAST is set twice"):
        Rules.load(folder)
    rows = "BLAST,a,CD33,start,0.1,fraction,s,assumption\n"
    tables(folder, "BLAST,any,1,a,DIE,1,1,s,assumption\n", rows)
    with pytest.raises(ConfigError, match=r"mutations.csv:2: from: expected any for a share at the start, found 'a'"):
        Rules.load(folder)
