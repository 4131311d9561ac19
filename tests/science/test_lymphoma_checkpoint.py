"""PD-1 blocked in a Hodgkin lymphoma that is back after a graft, with next to no host-reactive T cells of the donor."""

from __future__ import annotations

import numpy as np
import pytest

from abm import resources
from abm.backends import choose
from abm.cells import Count, Kind
from abm.config import load_config
from abm.step import Simulation

pytestmark = [pytest.mark.science, pytest.mark.slow]

GIVEN, UNTIL = 120, 200
SEEDS = (5, 6, 7)  #: together: in a single patient few T cells of the patch decide
NOTHING = 1e-9  #: mg/kg
LYMPHOMA = [Kind.LSC, Kind.BLAST]


def course(dose_mg_per_kg: float, seed: int) -> np.ndarray:
    """Return the lymphoma cells of the patch on every day from the first dose on."""
    drug = {"dose_mg_per_kg": dose_mg_per_kg, "doses": 6}
    changes = [f"time.end_day={UNTIL}", "patient.alloreactivity=0.1"]
    changes += [f"events.nivolumab.{name}={value}" for name, value in drug.items()]
    config = load_config(resources.folder("scenarios") / "checkpoint_lymphoma.toml", changes, seed)
    patient, found = Simulation.start(config, choose("auto")[0]), []
    while not patient.over:
        patient.advance()
        if patient.day >= GIVEN and patient.step % 6 == 0:
            found.append(int(patient.record().counts[Count.POPULATION, LYMPHOMA].sum()))
    return np.array(found)


def test_t_cells_of_its_own_antigens_are_held_by_pd1_and_clear_it_once_that_is_blocked() -> None:
    """Responses in 87 % without a graft (Ansell, NEJM 2015): not by T cells against the host."""
    held, freed = (np.sum([course(dose, seed) for seed in SEEDS], axis=0) for dose in (NOTHING, 3.0))
    assert held[0] > 150
    assert held[-1] > 1.5 * held[0], "lymphoma grows among T cells that PD-L1 holds"
    assert freed.mean() < 0.7 * held.mean()
