"""Lymphoblastic leukaemia under an engager given for four weeks on end, by the shipped scenario."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import pytest

from abm import resources
from abm.backends import choose
from abm.cells import FIRST_MOTILE, Count, Kind
from abm.config import Config
from abm.model.body.immune import CD8_CELLS
from abm.step import Simulation

pytestmark = pytest.mark.science

DAYS = 49
FOUR_WEEKS = {"doses": 1, "dose_mg": 0.784, "infusion_h": 672}


@cache
def course() -> tuple[list[float], list[float]]:
    """Return the leukaemic share of the resident cells and CD8 T cells of the body, over those before, by day."""
    scenario = tomllib.loads(
        (Path(resources.folder("scenarios")) / "blinatumomab_tfi.toml").read_text(encoding="utf-8")
    )
    dose = {key: value for key, value in scenario["events"][0].items() if key != "every_h"}
    scenario |= {"events": [dose | FOUR_WEEKS], "time": {"start_day": 0, "end_day": DAYS}}
    sim = Simulation.start(Config.model_validate(scenario), choose("auto")[0])
    at_rest = sim.body.lymphocytes.cells(CD8_CELLS).sum()
    leukaemic, cd8 = [], []
    for day in range(1, DAYS + 1):
        while sim.day < day:
            sim.advance()
        cells = sim.last[Count.POPULATION, :FIRST_MOTILE].sum(axis=1)
        leukaemic.append(float(cells[[Kind.LSC, Kind.BLAST]].sum() / cells.sum()))
        cd8.append(float(sim.body.lymphocytes.cells(CD8_CELLS).sum() / at_rest))
    return leukaemic, cd8


def test_leukaemia_falls_below_a_twentieth_within_four_weeks() -> None:
    """Complete remission in 43 % after two cycles (Kantarjian, NEJM 2017); seed 1 is among them."""
    leukaemic, _ = course()
    assert max(leukaemic[:7]) > 0.5
    assert leukaemic[27] < 0.05


def test_cd8_cells_of_the_body_multiply_two_to_fourfold_and_contract() -> None:
    """Expansion two- to fourfold (Klinger, Blood 2012: from memory, unchecked)."""
    _, cd8 = course()
    peak = cd8.index(max(cd8))
    assert 2.0 < cd8[peak] < 5.0
    assert 14 <= peak < 42
    assert cd8[-1] < 0.98 * cd8[peak]
