"""Driver mutations of stem cells: hits one after the other, leukaemia at the last, and mistakes in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import GAIN_KIND, MARKS, Behaviour, Count, Kind
from abm.config import Config
from abm.errors import ConfigError
from abm.model.heredity import Subclone, with_progeny
from abm.model.rules import BODY_SIGNALS, Rules
from abm.setup import load_model
from abm.step import Simulation
from abm.validation.lives import chip_life, growth
from tests.unit.table_case import copied
from tests.unit.test_heredity import MUTATIONS, VARIANTS, tables

PATCH = {"shape": [24, 22, 21]}


def carriers(sim: Simulation, kind: Kind) -> list[int]:
    """Return the cells of a kind by variant, from 1 on."""
    first, n = MARKS["variant"]
    return [int(x) for x in sim.lattice.marks()[first : first + n, kind].sum(axis=1)]


def test_the_shipped_drivers() -> None:
    rules = load_model(Config.model_validate({"patient": {"disease": "chip"}})).rules
    names = {name for kind, name in rules.heredity.variants.names if kind is Kind.HSC}
    assert names == {"one_hit", "two_hits", "tp53"}
    rates = rules.rates(dict(BODY_SIGNALS), np.zeros((64, 2)), 1.0).rates.reshape(4, 128, -1)
    wake = rates[:, 2 * Kind.HSC, Behaviour.SWITCH]
    assert wake[1:] / wake[0] == pytest.approx([1.2, 1.7, 1.08], rel=1e-5)
    assert {m.gain >> GAIN_KIND for m in rules.heredity.mutations if m.kind is Kind.HSC} == {0, Kind.LSC}
    plain = load_model(Config()).rules
    assert not [m for m in plain.heredity.mutations if m.kind is Kind.HSC and not m.variant], "nobody else has any"


def test_a_patient_starts_with_a_clone_that_its_blood_cells_show() -> None:
    own = {"disease": "chip", "hsc_variants": {"one_hit": 0.3, "tp53": 0.2}}
    tables_ = {"patch": PATCH, "patient": own, "time": {"start_day": 0, "end_day": 1}}
    sim = Simulation.start(Config.model_validate(tables_), NumpyBackend())
    seen = sim.record().values
    share = carriers(sim, Kind.HSC)[0] / sim.last[Count.POPULATION, Kind.HSC].sum()
    assert seen["hsc_variant_1"] == pytest.approx(share)
    assert seen["vaf"] == pytest.approx(0.25, abs=0.03)  # as many as of the stem cells that they descend from
    for kind in (Kind.MPP, Kind.GMP, Kind.METAMYELOCYTE, Kind.POLYCHROMATIC, Kind.PRE_B):
        assert sum(carriers(sim, kind)) > 0, kind
    assert seen["variant_1"] == 0.0


def test_what_has_no_stem_cells_of_its_own_shares_nothing_with_them() -> None:
    """Leukaemic stem cells: what a share of them has at the start is theirs alone."""
    theirs = Subclone(Kind.LSC, 0.1, 1)
    assert with_progeny([theirs], {Kind.HSC: ((Kind.MPP, 1.0),)}) == (theirs,)


def test_the_last_hit_makes_a_leukaemic_stem_cell(tmp_path: Path, backend: Any) -> None:
    """Every daughter of a variant stem cell is one: none of the variant is left behind, and the ledger closes."""
    folder = tables(
        tmp_path / "own",
        "HSC,any,2,two_hits,SWITCH,50,1,s,assumption\n",
        "HSC,any,two_hits,start,0.5,fraction,s,assumption\nHSC,two_hits,LSC,division,1,1/division,s,assumption\n",
    )
    setup = {"patch": PATCH | {"rules": str(folder)}, "time": {"start_day": 0, "end_day": 20, "step_min": 60}}
    sim = Simulation.start(Config.model_validate(setup), backend)
    before, became = carriers(sim, Kind.HSC)[1], 0
    assert before > 5
    for _ in range(24 * 8):
        sim.advance()
        became += int(sim.last[Count.BECAME, Kind.LSC].sum())
    assert became > 2
    assert carriers(sim, Kind.HSC)[1] < before
    assert carriers(sim, Kind.LSC) == [0, 0, 0], "leukaemic stem cells begin as their own wild type"
    assert sim.last[Count.POPULATION, Kind.LSC].sum() > 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "HSC,any,LSC,start,0.1,fraction,s,assumption",
            "gain: expected an antigen or a variant for a share",
        ),
        ("HSC,any,HSC,division,0.1,1/division,s,assumption", "gain: unknown name 'HSC'"),
        ("HSC,any,CD8_NAIVE,division,0.1,1/division,s,assumption", "gain: unknown name 'CD8_NAIVE'"),
        ("HSC,any,LSK,division,0.1,1/division,s,assumption", "gain: unknown name 'LSK' .did you mean LSC"),
    ],
)
def test_what_a_daughter_cannot_become(tmp_path: Path, row: str, message: str) -> None:
    folder = copied(tmp_path)
    (folder / "variants.csv").write_text(VARIANTS + "HSC,any,1,v,DIE,1,1,s,assumption\n")
    (folder / "mutations.csv").write_text(MUTATIONS + row + "\n")
    with pytest.raises(ConfigError, match=rf"mutations.csv:2: {message}"):
        Rules.load(folder)


def test_a_variant_is_not_called_as_a_kind(tmp_path: Path) -> None:
    folder = tables(copied(tmp_path), "HSC,any,1,LSC,DIE,1,1,s,assumption\n", "HSC,any,LSC,division,0,1/division,s,x\n")
    with pytest.raises(ConfigError, match=r"variants.csv:2: name: expected .* or a kind, found 'LSC'"):
        Rules.load(folder)


def test_what_a_patient_with_clones_cannot_have() -> None:
    with pytest.raises(ValueError, match="0 for a patient without a malignancy"):
        Config.model_validate({"patient": {"disease": "chip", "blast_fraction": 0.2}})


def test_growth_is_that_of_the_first_clone_that_is_found() -> None:
    """A clone of 0.8 % is not followed, and a second one later on does not matter; ten years as it is told."""
    ages: list[dict[float, float]] = [
        {},
        {3.0: 0.008},
        *({3.0: 0.011 * 1.1**year, 4.0: 0.3 * year} for year in range(12)),
    ]
    assert growth(ages) == pytest.approx(10.0)
    assert growth(ages[:8]) is None
    lost: list[dict[float, float]] = [{3.0: 0.02}, *({} for _ in range(12))]
    assert growth(lost) == -100.0


def test_a_life_tells_what_is_compared() -> None:
    values = chip_life(1)["values"]
    assert values["chip_young"] in (0.0, 1.0)
    assert (values["chip_leukaemia"] is None) == (values["chip_old"] == 0.0)
    assert values == chip_life(1)["values"]
