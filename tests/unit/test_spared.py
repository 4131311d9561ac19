"""Leukaemic stem cells that a drug spares: which variant, who kills it, how it comes back to the patch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm import resources
from abm.backends import choose
from abm.cells import MARKS, Kind, Origin
from abm.config import load_config
from abm.model import leukaemia
from abm.model.body import Body, Dose, Watch
from abm.model.body.residue import RESIDUAL, StemCells
from abm.model.traffic import Circulation
from abm.setup import load_model, make_watch, subclones
from abm.step import Simulation
from tests.unit.body_case import counts, make_body

SCENARIOS = Path(resources.folder("scenarios"))
RAS = 2  #: its number in diseases/aml_flt3/variants.csv
FLT3 = SCENARIOS / "flt3_aml.toml"
STEM = StemCells(
    wake=0.5, divide=0.6, renew=0.66, die=0.005, resting=0.3, open_share=0.55, per_agent=6e6, full=2e9, start=1e6
)


@pytest.mark.parametrize(
    ("drugs", "expected"),
    [({"gilteritinib"}, (RAS, 2e-7)), ({"cytarabine"}, (0, 0.0)), ({"imatinib"}, (0, 0.0)), (set(), (0, 0.0))],
)
def test_which_variant_a_drug_spares(drugs: set[str], expected: tuple[int, float]) -> None:
    """Of cytarabine there are resistant cells by mutation alone, none at the start."""
    model = load_model(load_config(FLT3, ["patient.preexisting_mutants=1"]))
    assert leukaemia.spared(model.rules.heredity.variants, drugs, subclones(model)) == expected


def test_it_is_followed_where_residual_leukaemia_is() -> None:
    settings = ["patient.residual_leukaemia=true", "patient.preexisting_mutants=10"]
    watch = make_watch(load_model(load_config(FLT3, settings)))
    assert watch.spared == RAS
    assert watch.unseen == pytest.approx(2e-6)
    assert make_watch(load_model(load_config(FLT3, ["patient.residual_leukaemia=false"]))).spared == 0


def after(days: int, drug: str | None, amount: float = 2.0) -> Any:
    """Return a body whose leukaemia of less than an agent, a hundredth of it resistant, lived under a drug."""
    model = load_model(load_config(FLT3, []))
    body = make_body()
    scale = replace(body.scale, leukaemia=STEM)
    made = Body(model.tables, body.patient, scale, 1, Watch(unseen=1e-2, spared=RAS))
    table = counts(made, 4.0)
    for step in range(days * 6):
        doses = [Dose("drug", drug, amount)] if drug and step % 6 == 0 else []
        made.advance(4.0, made.day + 4.0 / 24.0, table, doses)
    return made


def test_a_drug_kills_the_others_alone() -> None:
    free, treated = after(40, None), after(40, "gilteritinib")
    assert treated.residue.log_growth < free.residue.log_growth - 2.0
    assert treated.escaped.log_growth == pytest.approx(free.escaped.log_growth, rel=0.02)
    assert treated.observables()["escaped_stem_cells"] > 1e4
    assert not treated.looks  # no kernel looks for what a receptor would see


def test_a_drug_that_does_not_spare_them_kills_both() -> None:
    free, treated = after(10, None), after(10, "busulfan", 0.05)
    assert treated.escaped.log_growth < free.escaped.log_growth - 2.0
    assert treated.escaped.log_growth == pytest.approx(treated.residue.log_growth, abs=0.1)


def test_cells_of_a_variant_enter_the_blood() -> None:
    blood = Circulation({}, 1)
    blood.infuse({Kind.LSC: 3.0}, Origin.HOST, 0, 1, 0, RAS)
    blood.infuse({Kind.LSC: 4.0}, Origin.HOST, 0, 2)
    found = [blood.number(Kind.LSC, 0, variant) for variant in (None, 0, 1, RAS)]
    assert found == [7, 4, 0, 3]


def test_what_comes_back_to_the_patch_is_resistant() -> None:
    """A leukaemia of few agents, a tenth of whose stem cells resist, and a drug that takes the others."""
    config = load_config(
        FLT3,
        [
            "patch.shape=[16,16,16]", "time.end_day=40", "patient.blast_fraction=0.02", "patient.may_die=false",
            "patient.residual_leukaemia=true", "patient.residual_doubling_days=2", "patient.preexisting_mutants=5e5",
            "events.0.dose_mg=360", "seed=3",
        ],
    )  # fmt: skip
    sim, residual = Simulation.start(config, choose("auto")[0]), False
    while not sim.over and not (residual and resistant(sim)):
        sim.advance()
        assert sim.body.escaped is not None
        residual |= sim.body.escaped.phase == RESIDUAL and resistant(sim) == 0
    assert residual
    assert resistant(sim) > 0


def resistant(sim: Simulation) -> int:
    """Return the leukaemic stem-cell agents of the patch that are RAS mutants."""
    marks: np.ndarray[Any, np.dtype[np.int64]] = sim.lattice.marks()
    return int(marks[MARKS["variant"][0] + RAS - 1, Kind.LSC].sum())
