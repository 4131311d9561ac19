"""One patient of a cohort: run the scenario, measure everything. Here stands what decides a result."""

from __future__ import annotations

import json
import time
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from abm import io, resources
from abm.backends import choose
from abm.config import Config, load_config
from abm.model.body import Scale
from abm.run import UNITS, provenance
from abm.step import Simulation
from abm.validation.cases import Case
from abm.well_mixed import WellMixed

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
    """Run a scenario, on the lattice or well mixed."""
    config = load_config(Path(case.scenario), case.overrides, case.seed)
    if case.well_mixed:
        return follow(WellMixed(config), config, "well mixed")
    backend, _ = choose("auto")
    return follow(Simulation.start(config, backend), config, backend.name)


class Followed(Protocol):
    """A patient that can be followed: on the lattice, or well mixed."""

    step: int

    @property
    def scale(self) -> Scale:
        """How its cells count in the body."""

    @property
    def over(self) -> bool:
        """Whether there is no further step."""

    def advance(self) -> None:
        """Do one step."""

    def record(self) -> io.Record:
        """Return the state, and the events since the record before."""


def follow(patient: Followed, config: Config, backend: str) -> Result:
    """Run a patient to the end into files as a user would, and read them as a report does."""
    exits = {kind.name.lower(): cells for kind, cells in patient.scale.exit_cells.items()}
    series = io.Series(UNITS, {**provenance(config, backend), "exit_cells": json.dumps(exits)})
    series.append(patient.record())
    every = config.output.series_h * 60 // config.time.step_min
    while not patient.over:
        patient.advance()
        if patient.step % every == 0 or patient.over:
            series.append(patient.record())
    resources.load_analysis()
    observables, read = import_module("abm_analysis.observables"), import_module("abm_analysis.read")
    with TemporaryDirectory(prefix="abm-validate-") as name:
        folder = Path(name)
        series.write(folder)
        if isinstance(patient, Simulation):
            io.write_checkpoint(folder, patient.snapshot(), keep=1)
        measured: Result = observables.measure(read.open_run(folder))
    return measured
