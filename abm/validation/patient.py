"""One patient of a cohort: run the scenario, measure everything. Here stands what decides a result."""

from __future__ import annotations

import json
import time
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from abm import io, resources
from abm.backends import choose
from abm.config import load_config
from abm.run import UNITS, provenance
from abm.step import Simulation
from abm.validation.cases import Case

FORMAT_VERSION = 1

Result = dict[str, Any]


def simulate(case: Case) -> Result:
    """Run one patient and return all its observables."""
    began = time.monotonic()
    if case.experiment:
        from abm.validation.experiments import EXPERIMENTS

        measured = EXPERIMENTS[case.experiment](case.seed)
    else:
        measured = _measure(case)
    spent = round(time.monotonic() - began, 2)
    facts = {"protocol": case.protocol, "seed": case.seed, "key": case.key, "drawn": [list(p) for p in case.drawn]}
    return {"format_version": FORMAT_VERSION, **facts, "wall_s": spent, **measured}


def _measure(case: Case) -> Result:
    """Run a scenario into files as a user would, and read them as a report does."""
    config = load_config(Path(case.scenario), case.overrides, case.seed)
    backend, _ = choose("auto")
    simulation = Simulation.start(config, backend)
    exits = {kind.name.lower(): cells for kind, cells in simulation.scale.exit_cells.items()}
    made = {**provenance(config, backend.name), "exit_cells": json.dumps(exits)}
    series = io.Series(UNITS, made)
    series.append(simulation.record())
    every = config.output.series_h * 60 // config.time.step_min
    while not simulation.over:
        simulation.advance()
        if simulation.step % every == 0 or simulation.over:
            series.append(simulation.record())
    resources.load_analysis()
    observables, read = import_module("abm_analysis.observables"), import_module("abm_analysis.read")
    with TemporaryDirectory(prefix="abm-validate-") as name:
        folder = Path(name)
        series.write(folder)
        io.write_checkpoint(folder, simulation.snapshot(), keep=1)
        measured: Result = observables.measure(read.open_run(folder))
    return measured
