"""Leukaemic stem cells that engineered T cells do not see: how many there are, who kills them, how they come back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm import resources
from abm.backends import choose
from abm.cells import ENGINEERED, LOSS_ANTIGENS, N_KINDS, N_ORIGINS, Antigen, Count, Kind, Origin, Specificity, pack_hot
from abm.config import load_config
from abm.model import leukaemia
from abm.model.body import Watch, escape
from abm.model.body.residue import RESIDUAL, StemCells
from abm.model.heredity import Subclone
from abm.model.recognition import Recognition
from abm.setup import load_model, make_watch
from abm.step import Simulation
from tests.unit.body_case import counts, make_body

SCENARIOS = Path(resources.folder("scenarios"))
RULES = SCENARIOS / "rules" / "human"
CAR, DUAL = Specificity.CAR_CD19, Specificity.CAR_CD19_CD123
STEM = StemCells(
    wake=2.0, divide=0.5, renew=0.7, die=0.005, resting=0.1, open_share=0.55, per_agent=6e6, full=2e9, start=1e8
)
CD19, CD123 = (1 << LOSS_ANTIGENS.index(antigen) for antigen in (Antigen.CD19, Antigen.CD123))
HLA = 1 << LOSS_ANTIGENS.index(Antigen.HLA_CLASS_I)


@pytest.fixture(scope="module")
def recognition() -> Recognition:
    model = load_model(load_config(SCENARIOS / "cart_all.toml", []))
    return model.rules.recognition


def shares(**by_antigen: float) -> list[Subclone]:
    found = [(1 << LOSS_ANTIGENS.index(Antigen[name]), share) for name, share in by_antigen.items()]
    return [Subclone(kind, share, gain) for gain, share in found for kind in (Kind.LSC, Kind.BLAST)]


@pytest.mark.parametrize(
    ("receptors", "known", "expected"),
    [
        ((CAR,), {"CD19": 1e-6}, (CD19, 1e-6)),
        ((DUAL,), {"CD19": 1e-6}, (CD19 | CD123, 0.0)),
        ((DUAL,), {"CD19": 1e-3, "CD123": 1e-4}, (CD19 | CD123, 1e-7)),
        ((CAR, Specificity.CAR_CD20), {"CD19": 1e-6}, (0, 0.0)),  # CD20 has no loss bit
        ((Specificity.TCR_TRANSGENE,), {"HLA_CLASS_I": 1e-5}, (HLA, 1e-5)),  # a peptide goes with what presents it
        ((), {"CD19": 1e-6}, (0, 0.0)),
    ],
)
def test_what_hides_from_receptors(
    recognition: Recognition, receptors: tuple[Specificity, ...], known: dict[str, float], expected: tuple[int, float]
) -> None:
    bits, share = leukaemia.hidden(recognition, receptors, shares(**known))
    assert (bits, share) == (expected[0], pytest.approx(expected[1]))


def test_the_share_at_the_start_is_that_of_the_table_and_the_patient() -> None:
    config = load_config(SCENARIOS / "cart_all.toml", ["patient.residual_leukaemia=true"])
    assert make_watch(load_model(config)).unseen == pytest.approx(1e-6)
    more = load_config(SCENARIOS / "cart_all.toml", ["patient.preexisting_mutants=100"])
    assert make_watch(load_model(more)).unseen == pytest.approx(1e-4)


def after_ten_days(effectors: float, *, unseen: float = 1e-2, seen: bool = True) -> Any:
    """Return a body whose leukaemia of less than an agent lived ten days under engineered effectors."""
    shown = np.zeros((1, N_KINDS, N_ORIGINS), bool)
    shown[0, Kind.LSC] = True
    watch = Watch((CAR,), shown, (), CD19, unseen)
    body = make_body()
    stem = replace(STEM, start=1e6)
    body = type(body)(body.tables, body.patient, replace(body.scale, leukaemia=stem), 1, watch)
    table = counts(body, 4.0)
    looked = np.zeros((1, N_KINDS, N_ORIGINS), np.int64)
    for _ in range(60):
        body.engineered.cells[ENGINEERED.index(CAR), 2] = effectors
        body.advance(4.0, body.day + 4.0 / 24.0, table, (), seen=looked if seen else None)
    return body


def test_engineered_t_cells_kill_what_they_see_alone() -> None:
    free, struck = after_ten_days(0.0), after_ten_days(1e10)
    assert struck.residue.risk < 1e-6 < 0.999 < free.residue.risk
    assert struck.escaped.log_growth == pytest.approx(free.escaped.log_growth, rel=0.02)
    assert struck.escaped.risk > 0.999
    assert struck.observables()["escaped_stem_cells"] > 1e4
    assert after_ten_days(1e10, seen=False).residue.risk > 0.999  # nobody looked


def test_without_such_cells_nothing_is_left_of_them() -> None:
    body = after_ten_days(1e10, unseen=0.0)
    assert (body.escaped.left, body.escaped.risk) == (0.0, 0.0)


def test_who_leads_follows_the_cells_that_are_not_seen() -> None:
    body = after_ten_days(0.0)
    population = np.zeros((N_KINDS, N_ORIGINS), np.int64)
    population[Kind.LSC, Origin.HOST] = 12
    looked = np.zeros((1, N_KINDS, N_ORIGINS), np.int64)
    looked[0, Kind.LSC, Origin.HOST] = 9
    assert escape.agents(body, population, looked) == 3
    assert escape.agents(body, population, None) == 0


def test_files_carry_it_on() -> None:
    body = after_ten_days(1e10)
    other = type(body)(body.tables, body.patient, body.scale, 1, body.watch)
    other.unpack(body.pack())
    assert other.observables() == body.observables()
    plain = type(body)(body.tables, body.patient, body.scale, 1)  # nobody is given engineered cells
    assert {name.split(".")[0] for name in body.pack().keys() - plain.pack().keys()} == {"escaped"}


def test_what_comes_back_to_the_patch_lacks_the_antigen() -> None:
    """Children with much leukaemia, a hundredth of which lacks CD19, under many T cells: agents with the loss bit."""
    config = load_config(
        SCENARIOS / "cart_all.toml",
        [
            "patch.shape=[20,20,20]", "time.step_min=120", "output.series_h=24", "time.start_day=-1", "time.end_day=30",
            "patient.blast_fraction=0.02", "patient.residual_leukaemia=true", "patient.residual_doubling_days=2",
            "patient.preexisting_mutants=1e3", "events=[{day=0,action='cells',product='car_t',receptor='CAR_CD19'}]",
        ],
    )  # fmt: skip
    sim, hidden = Simulation.start(config, choose("auto")[0]), False
    while not sim.over and not (hidden and lacking(sim)):
        sim.advance()
        assert sim.body.escaped is not None
        hidden |= sim.body.escaped.phase == RESIDUAL and lacking(sim) == 0
    assert hidden
    assert lacking(sim) > 0
    assert sim.last[Count.POPULATION, Kind.LSC].sum() >= lacking(sim)


def lacking(sim: Simulation) -> int:
    """Return the leukaemic stem-cell agents of the patch without CD19."""
    hot = sim.lattice.owned("res_hot").reshape(-1)
    stem = hot[(hot & np.uint32(63)) == Kind.LSC]
    return int(((stem & np.uint32(pack_hot(loss=CD19))) != 0).sum())
