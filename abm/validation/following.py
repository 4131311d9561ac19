"""Any patient in time: run to the end into files as a user would, and measured as a report does."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from abm import io, resources
from abm.config import Config
from abm.model.body import Scale
from abm.run import UNITS, provenance
from abm.step import Simulation

Result = dict[str, Any]


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
