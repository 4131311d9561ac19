"""What a teaching scenario tells of a therapy: the course with it, beside the same patient without it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from abm import resources
from abm.backends import choose
from abm.config import load_config
from abm.step import Simulation

pytestmark = [pytest.mark.science, pytest.mark.slow]

#: What takes the therapy away.
WITHOUT = {
    "dli_aml": ("events.cells.cd3_per_kg=1e-3",),
    "dli_escalating": tuple(f"events.{place}.cd3_per_kg=1e-3" for place in (4, 5, 6)),
    "checkpoint_after_allo": ("events.nivolumab.dose_mg_per_kg=1e-9",),
    "combo_hsct_tki_ici": ("events.nivolumab.dose_mg_per_kg=1e-9",),
}


@cache
def end(scenario: str, *changes: str) -> dict[str, float]:
    """Return the observables of the end of a run."""
    path = Path(resources.folder("scenarios")) / f"{scenario}.toml"
    sim = Simulation.start(load_config(path, changes), choose("auto")[0])
    while not sim.over:
        sim.advance()
    return sim.observables()


@pytest.mark.parametrize("scenario", ["dli_aml", "dli_escalating", "checkpoint_after_allo"])
def test_the_therapy_brings_the_remission(scenario: str) -> None:
    assert end(scenario)["blast_percent"] < 1.0
    assert end(scenario, *WITHOUT[scenario])["blast_percent"] > 10.0


def test_lymphocytes_do_nothing_to_a_leukaemia_that_t_cells_hardly_see() -> None:
    assert end("dli_aml", "patient.leukaemia_immunogenicity=0.1")["blast_percent"] > 10.0


def test_blocked_pd1_adds_chronic_gvhd_and_takes_leukaemia() -> None:
    scenario = "combo_hsct_tki_ici"
    blocked, held = end(scenario), end(scenario, *WITHOUT[scenario])
    assert blocked["residual_stem_cells"] < 0.5 * held["residual_stem_cells"]
    assert blocked["chronic_gvhd"] > 0.5 > held["chronic_gvhd"]
