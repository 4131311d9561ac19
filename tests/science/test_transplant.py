"""What a transplant must do, whatever the parameters: engraftment, aplasia without a graft, alloreactivity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abm import resources
from abm.backends import choose
from abm.cells import Count, Kind, Origin
from abm.config import load_config
from abm.step import Simulation

SCENARIO = Path(resources.folder("scenarios")) / "aml_hsct.toml"
GRAFT = 3  # index of the graft among the events of the scenario

pytestmark = [pytest.mark.science, pytest.mark.slow]


class Course:
    """Daily numbers of one virtual patient on a patch of 40^3 sites."""

    def __init__(self, *changes: str, days: int = 60, seed: int = 1) -> None:
        last = f"time.end_day={days}"
        drug = f"events.2.until_day={days}"
        config = load_config(SCENARIO, ["patch.shape=[40, 40, 40]", last, drug, *changes], seed)
        sim = Simulation.start(config, choose("auto")[0])
        self.values: dict[str, list[float]] = {}
        self.kills = 0
        while sim.step < sim.n_steps:
            sim.advance()
            self.kills += int(sim.last[Count.KILL, [Kind.LSC, Kind.BLAST]].sum())
            if sim.step % 24 == 0:
                for name, value in sim.observables().items():
                    self.values.setdefault(name, []).append(value)
        self.start = int(-config.time.start_day)
        self.donor_cells = int(sim.last[Count.POPULATION, :, Origin.DONOR].sum())

    def after(self, name: str, day: int = 0) -> np.ndarray:
        """Return an observable on each day from ``day`` on."""
        return np.array(self.values[name][self.start + day :])


def test_a_graft_ends_the_aplasia() -> None:
    course = Course()
    anc = course.after("anc")
    assert anc.min() < 0.5
    recovered = int(np.argmax((anc >= 0.5) & (np.arange(anc.size) > anc.argmin())))
    assert 9 <= recovered <= 24
    assert course.after("donor_percent", 40).min() > 90


def test_without_a_graft_nothing_recovers() -> None:
    course = Course(f"events.{GRAFT}.cd34_per_kg=1e-3", f"events.{GRAFT}.cd3_per_kg=0")
    assert course.after("anc", 12).max() < 0.5
    assert course.donor_cells == 0


def test_more_stem_cells_engraft_sooner() -> None:
    days = []
    for dose in ("1e6", "2e7"):
        anc = Course(f"events.{GRAFT}.cd34_per_kg={dose}", days=40).after("anc")
        back = np.flatnonzero((anc >= 0.5) & (np.arange(anc.size) > anc.argmin()))
        days.append(float(back[0]) if back.size else np.inf)  # the smaller graft may take longer than this run
    assert days[1] < days[0]


def test_a_twin_gives_no_gvhd_and_no_graft_versus_leukaemia() -> None:
    course = Course('patient.donor="twin"')
    assert course.kills == 0
    assert max(course.values["gvhd_grade"]) == 0
    assert max(course.values["allo_effectors"]) == 0


def test_t_cell_depletion_lowers_gvhd_and_graft_versus_leukaemia() -> None:
    replete = [Course('patient.donor="unrelated"', seed=seed) for seed in (1, 2)]
    depleted = [
        Course('patient.donor="unrelated"', f"events.{GRAFT}.t_depletion_log10=4", seed=seed) for seed in (1, 2)
    ]
    assert sum(c.kills for c in replete) > sum(c.kills for c in depleted)
    for one, other in zip(replete, depleted, strict=True):
        # four logs fewer T cells (as after selection of CD34+ cells) are far from four logs fewer effectors: priming
        # saturates from some 1e5 T cells per kg on (priming_half of body.csv)
        assert max(one.values["allo_effectors"]) > 3 * max(other.values["allo_effectors"])
        assert max(one.values["gvhd_grade"]) > max(other.values["gvhd_grade"])


def test_untreated_leukaemia_takes_the_marrow_over() -> None:
    path = Path(resources.folder("scenarios")) / "aml_untreated.toml"
    config = load_config(path, ["patch.shape=[40, 40, 40]"])
    sim = Simulation.start(config, choose("auto")[0])
    first = sim.observables()
    while sim.step < sim.n_steps:
        sim.advance()
    last = sim.observables()
    assert last["blast_percent"] > 60 > 10 > first["blast_percent"]
    assert last["anc"] < 0.5 * first["anc"]
    assert last["platelets"] < 0.5 * first["platelets"]
