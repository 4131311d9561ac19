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
LYMPHOMA = [Kind.LSC, Kind.BLAST]


def course(first_dose: int) -> np.ndarray:
    """Return lymphoma cells of the patch on every day from ``GIVEN`` on, the drug given from ``first_dose`` on."""
    changes = [f"events.nivolumab.day={first_dose}", f"time.end_day={UNTIL}", "patient.alloreactivity=0.1"]
    config = load_config(resources.folder("scenarios") / "checkpoint_lymphoma.toml", changes, 5)
    patient, found = Simulation.start(config, choose("auto")[0]), []
    while not patient.over:
        patient.advance()
        if patient.day >= GIVEN and patient.step % 6 == 0:
            found.append(int(patient.record().counts[Count.POPULATION, LYMPHOMA].sum()))
    return np.array(found)


def test_t_cells_of_its_own_antigens_are_held_by_pd1_and_clear_it_once_that_is_blocked() -> None:
    """Response without a graft in 87 % (Ansell, NEJM 2015): not for T cells against the host."""
    held, freed = course(UNTIL + 100), course(GIVEN)
    assert held[0] > 50
    assert held[-1] > 2 * held[0], "lymphoma grows among T cells that PD-L1 holds"
    assert freed.min() < 0.5 * freed[0]
