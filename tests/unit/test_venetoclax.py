"""Venetoclax and azacitidine: which cells they kill, in which state, and who resists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm.backends import choose
from abm.backends.numpy_backend import NumpyBackend
from abm.cells import Count, Cycle, Kind
from abm.config import Config, load_config
from abm.errors import ConfigError
from abm.setup import load_model
from abm.step import Simulation

LEUKAEMIC = [Kind.LSC, Kind.BLAST]
AML: dict[str, Any] = {
    "seed": 3,
    "patch": {"shape": [20, 20, 20]},
    "time": {"start_day": 0.0, "end_day": 28.0, "step_min": 240},
    "patient": {"disease": "aml_ras", "blast_fraction": 0.5, "preexisting_mutants": 10.0},
}
VENETOCLAX = {"day": 0.0, "action": "chemo", "drug": "venetoclax", "dose_mg": 400.0, "doses": 28}
AZACITIDINE = {"day": 0.0, "action": "chemo", "drug": "azacitidine", "dose_mg_per_m2": 75.0, "doses": 7}


def kills(drug: str) -> np.ndarray[Any, Any]:
    """Return the kill of a whole course by variant, kind and cycle state, as e-folds."""
    sim = Simulation.start(Config.model_validate(AML), NumpyBackend())
    sim.body.drugs.give(drug, 1.0)
    return sim.body.drugs.variant_kills(1e4)


def treated(*events: dict[str, Any]) -> Simulation:
    """Return a patient at the end of a course."""
    sim = Simulation.start(Config.model_validate(AML | {"events": [*events]}), choose("auto")[0])
    while not sim.over:
        sim.advance()
    return sim


def leukaemic(sim: Simulation) -> int:
    return int(sim.last[Count.POPULATION, LEUKAEMIC].sum())


def test_venetoclax_kills_leukaemia_at_rest_and_in_cycle_but_hardly_a_resistant_one() -> None:
    wild, cytarabine_resistant, resistant, _ = kills("venetoclax")
    for kind in LEUKAEMIC:
        for cycle in (Cycle.QUIESCENT, Cycle.CYCLING):
            assert wild[kind, cycle] == pytest.approx(0.8 * np.log(10), rel=1e-3)
            assert resistant[kind, cycle] == pytest.approx(0.1 * wild[kind, cycle], rel=1e-6)
    np.testing.assert_array_equal(wild, cytarabine_resistant)
    assert not wild[[Kind.HSC, Kind.NEUTROPHIL]].any()
    assert 0.0 < wild[Kind.GMP, Cycle.CYCLING] < wild[Kind.BLAST, Cycle.CYCLING]


def test_azacitidine_acts_in_cycle_and_whatever_resists_venetoclax() -> None:
    (wild,) = kills("azacitidine")  # all variants alike
    assert wild[Kind.LSC, Cycle.QUIESCENT] < 0.2 * wild[Kind.LSC, Cycle.CYCLING]


def test_a_dose_leaves_with_its_half_life() -> None:
    sim = Simulation.start(Config.model_validate(AML | {"events": [VENETOCLAX]}), NumpyBackend())
    (first, *_) = (dose for doses in sim.model.schedule for dose in doses)
    sim.body.drugs.give("venetoclax", first.amount)
    half, whole = (sim.body.drugs.cell_kills(hours)[Kind.BLAST, Cycle.CYCLING] for hours in (26.0, 1e4))
    assert half == pytest.approx(0.5 * whole, rel=1e-3)
    assert whole == pytest.approx(0.8 / 28 * np.log(10), rel=1e-3)


def test_both_drugs_together_leave_least_and_the_resistant_share_rises() -> None:
    alone, venetoclax, both = (treated(*given) for given in ((AZACITIDINE,), (VENETOCLAX,), (AZACITIDINE, VENETOCLAX)))
    assert leukaemic(both) < 0.7 * min(leukaemic(alone), leukaemic(venetoclax))
    assert venetoclax.record().values["variant_2"] > 0.4  # from a fifth at the start


def test_only_aml_with_mutated_ras_has_the_subclone_at_the_start() -> None:
    for disease, some in (("aml_ras", True), ("aml", False)):
        patient = AML["patient"] | {"disease": disease}
        sim = Simulation.start(Config.model_validate(AML | {"patient": patient}), NumpyBackend())
        assert (sim.record().values["variant_2"] > 0.0) == some
        gains = load_model(sim.config).rules.heredity
        assert (Kind.LSC, "venetoclax_resistant") in gains.variants.names


def test_a_dose_relative_to_the_surface_is_one_line(tmp_path: Path) -> None:
    case = tmp_path / "case.toml"
    case.write_text(
        "[time]\nstart_day = 0\nend_day = 3\n[[events]]\nday = 0\n"
        'action = "chemo"\ndrug = "venetoclax"\ndose_mg_per_m2 = 400\n'
    )
    with pytest.raises(ConfigError, match=r"case.toml:8: .*venetoclax has no reference dose in mg/m2; use dose_mg"):
        load_model(load_config(case))
