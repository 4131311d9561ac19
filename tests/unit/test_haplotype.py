"""Leukaemic stem cells that have lost the HLA haplotype which the donor lacks: how many, what kills them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm import resources
from abm.backends import choose
from abm.cells import LOSS_ANTIGENS, MARKS, Antigen, Kind
from abm.config import load_config
from abm.errors import ConfigError
from abm.model.body import Body, Watch, escape, residue
from abm.model.body.organs import GVH
from abm.model.body.residue import RESIDUAL, StemCells
from abm.setup import load_model, make_watch
from abm.step import Simulation
from tests.unit.body_case import Person, make_body

HAPLO = Path(resources.folder("scenarios")) / "haplo_ptcy.toml"
HLA = 1 << LOSS_ANTIGENS.index(Antigen.HLA_CLASS_I)
STEM = StemCells(
    wake=0.5, divide=0.6, renew=0.66, die=0.0, resting=0.3, open_share=0.55, per_agent=6e6, full=2e9, start=1e6
)


def watched(*settings: str) -> Watch:
    return make_watch(load_model(load_config(HAPLO, ["patient.residual_leukaemia=true", *settings])))


def test_they_are_followed_after_haploidentical_grafts() -> None:
    """By the chance of mutations.csv, and a patient's factor."""
    assert watched().lost == HLA
    assert watched().haplotype == pytest.approx(1e-6)
    assert watched("patient.preexisting_mutants=30").haplotype == pytest.approx(3e-5)
    assert nobody(watched("patient.residual_leukaemia=false"))


@pytest.mark.parametrize("donor", ["sibling", "unrelated", "mismatched", "cord", "twin"])
def test_after_no_other_graft(donor: str) -> None:
    assert nobody(watched(f'patient.donor="{donor}"'))


def nobody(watch: Watch) -> bool:
    return (watch.lost, watch.haplotype, watch.unseen, watch.classes) == (0, 0.0, 0.0, ())


def patient(watch: Watch, donor: str = "haplo") -> Any:
    """Return a body with residual leukaemia, steadily watched by ten million alloreactive cells."""
    body = make_body(Person(donor=donor))
    made = Body(body.tables, body.patient, replace(body.scale, leukaemia=STEM), 1, watch)
    made.allo.effectors[GVH] = 1e7
    return made


def test_their_share_is_what_divisions_have_brought() -> None:
    """From one until they fill a marrow, a thousandth dividing at a time; each daughter that is one may lose it."""
    chance, kept, lost, part = 1e-6, 1.0, 0.0, 1e-3
    while kept + lost < STEM.full:
        born = 2.0 * STEM.renew * part * kept
        lost += chance * born + lost * part * (2.0 * STEM.renew - 1.0)
        kept += (1.0 - chance) * born - part * kept
    found = escape.without_haplotype(STEM, chance)
    assert found == pytest.approx(lost / kept, rel=0.01)
    body = patient(Watch(lost=HLA, haplotype=chance))
    assert body.escaped.cells == pytest.approx(STEM.start * found)
    assert escape.without_haplotype(replace(STEM, renew=0.5), chance) == 0.0
    assert escape.without_haplotype(STEM, 1.0) == 1.0


def test_donor_t_cells_kill_the_others() -> None:
    """What is left of the kill is that by minor antigens of one haplotype of a sibling."""
    body = patient(Watch(lost=HLA, haplotype=1e-4))
    shown = escape.shown(body)
    donors = body.tables.donors
    assert shown == pytest.approx(donors["sibling"].graft_versus_host / 2 / donors["haplo"].graft_versus_host)
    assert 0.0 < shown < 0.2
    for _ in range(24 * 10):
        escape.follow(body, np.zeros((64, 4), np.int64), None, 1.0)
    watching = 1e7 * body.donor.ubiquitous_share
    rules = body.tables.residue
    rate = rules.lsc_kill * watching / (rules.lsc_kill_half + watching)
    spared = body.escaped.log_growth - body.residue.log_growth
    assert spared == pytest.approx(10.0 * rate * (1.0 - shown), rel=0.05)
    assert escape.shown(patient(Watch(), "sibling")) == 1.0


def test_the_lattice_knows_them_by_their_loss() -> None:
    """And counts none of them where receptors are watched, or nobody is followed."""
    assert escape.mark(patient(Watch(lost=HLA, haplotype=1e-4))) == MARKS["loss"][0] + HLA.bit_length() - 1
    assert escape.mark(patient(Watch(spared=2, unseen=0.1))) == MARKS["variant"][0] + 1
    assert escape.mark(patient(Watch())) is None
    assert not patient(Watch(lost=HLA, haplotype=1e-4)).looks


def test_when_they_come_back_they_are_leukaemia_like_any() -> None:
    """To T cells, to NK cells and as a cause of death, while a patient without a lattice is told of by numbers."""
    body = patient(Watch(lost=HLA, haplotype=1e-4))
    before = residue.share(body)
    body.escaped.cells = 0.25 * STEM.full
    assert residue.share(body) == pytest.approx(before + 0.25, abs=1e-4)
    body.escaped.cells = 2.0 * STEM.full
    assert residue.share(body) == 1.0


def test_a_table_without_a_matched_donor_is_refused_at_once() -> None:
    body = patient(Watch(), "haplo")
    tables = replace(body.tables, donors={name: x for name, x in body.tables.donors.items() if name != "sibling"})
    with pytest.raises(ConfigError, match=r"donors\.csv.*donor: expected a donor 'sibling'"):
        Body(tables, body.patient, replace(body.scale, leukaemia=STEM), 1, Watch(lost=HLA, haplotype=1e-4))


def test_files_from_before_go_on_without_them() -> None:
    body = patient(Watch(lost=HLA, haplotype=1e-4))
    arrays = body.pack()
    other = patient(body.watch)
    other.unpack(arrays)
    assert other.observables() == body.observables()
    other.unpack({name: x for name, x in arrays.items() if not name.startswith("escaped.")})
    assert other.escaped is None
    assert other.observables()["escape_risk"] == 0.0


def test_they_come_back_to_the_patch_without_hla() -> None:
    """A leukaemia of few agents that grows fast, a tenth of whose stem cells have lost it."""
    config = load_config(
        HAPLO,
        [
            "patch.shape=[16,16,16]", "time.start_day=0", "time.end_day=40", "patient.blast_fraction=0.004",
            "patient.residual_leukaemia=true", "patient.residual_doubling_days=2", "patient.preexisting_mutants=1e3",
            "events=[]",
        ],
    )  # fmt: skip
    sim = Simulation.start(config, choose("auto")[0])
    assert sim.body.escaped is not None
    assert sim.body.escaped.phase == RESIDUAL
    while not sim.over and not lacking(sim):
        sim.advance()
    assert lacking(sim) > 0


def lacking(sim: Simulation) -> int:
    """Return the leukaemic stem-cell agents of the patch without HLA."""
    marks: np.ndarray[Any, np.dtype[np.int64]] = sim.lattice.marks()
    return int(marks[MARKS["loss"][0] + HLA.bit_length() - 1, Kind.LSC].sum())
