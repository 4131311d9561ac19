"""One patient of a cohort: run the scenario, measure everything. Here stands what decides a result."""

from __future__ import annotations

import time
from pathlib import Path

from abm.backends import choose
from abm.config import load_config
from abm.step import Simulation
from abm.validation.cases import Case
from abm.validation.following import Result, follow
from abm.well_mixed import WellMixed

__all__ = ["FORMAT_VERSION", "Result", "simulate"]

FORMAT_VERSION = 2


def simulate(case: Case) -> Result:
    """Run one patient and return all its observables."""
    began = time.monotonic(), time.process_time()
    if case.experiment:
        from abm.validation.experiments import EXPERIMENTS

        measured = EXPERIMENTS[case.experiment](case.seed)
    else:
        measured = _measure(case)
    spent = {"wall_s": round(time.monotonic() - began[0], 2), "cpu_s": round(time.process_time() - began[1], 2)}
    facts = {"protocol": case.protocol, "seed": case.seed, "key": case.key, "drawn": [list(p) for p in case.drawn]}
    return {"format_version": FORMAT_VERSION, **facts, **spent, **measured}


def _measure(case: Case) -> Result:
    """Run a scenario, on the lattice or well mixed."""
    config = load_config(Path(case.scenario), case.overrides, case.seed)
    if case.well_mixed:
        return follow(WellMixed(config), config, "well mixed")
    backend, _ = choose("auto")
    return follow(Simulation.start(config, backend), config, backend.name)
