"""Patients without a lattice: the body under its schedule, beside a marrow that is killed and grows back.

Alloreactivity lives in the body and asks the marrow only how much of it is whose. That makes cohorts cheap that a
lattice cannot give, and shows what is chance of the lattice and what is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from abm import resources
from abm.cells import N_COUNTS, N_KINDS, N_ORIGINS, Count, Cycle, Kind, Origin
from abm.config import load_config
from abm.exactmath import LN2, exp
from abm.model.body import Body, Scale, daily_production
from abm.model.body.organs import GVH, HVG
from abm.setup import load_model
from abm.validation.cases import cases
from abm.validation.targets import read_catalogue

AGENTS = 80_000
EXITS_PER_DAY = 2400
CELLS_PER_AGENT = 1.2e7
DOUBLING_D = 2.1  #: of a marrow that grows back (Stiehl model of engraftment)
SEED = 1e-3  #: donor share of a full marrow that a graft starts with
ACUTE_UNTIL = 100


class Marrow:
    """How much of a full marrow is of the host and of the donor."""

    def __init__(self) -> None:
        """Start full of host cells."""
        self.host, self.donor = 1.0, 0.0

    def advance(self, body: Body, step_h: float, *, grafted: bool) -> NDArray[np.int64]:
        """Let drugs and the other side kill and both grow into what is empty; return the counts of the step."""
        kill = float(body.drugs.cell_kills(step_h)[Kind.MYELOCYTE, Cycle.CYCLING])
        room = max(1.0 - self.host - self.donor, 0.0)
        growth = exp(LN2 / DOUBLING_D * room * step_h / 24.0 - kill)
        self.host *= growth * body.allo.survival_of_other_side(GVH, step_h)
        self.donor *= growth * body.allo.survival_of_other_side(HVG, step_h)
        if grafted:
            self.donor = max(self.donor, SEED)
        table = np.zeros((N_COUNTS, N_KINDS, N_ORIGINS), np.int64)
        for origin, level in ((Origin.HOST, self.host), (Origin.DONOR, self.donor)):
            table[Count.POPULATION, Kind.MYELOCYTE, origin] = round(AGENTS * level)
            for kind in body.scale.exit_cells:
                table[Count.EGRESS, kind, origin] = round(EXITS_PER_DAY * step_h / 24.0 * level)
        return table


def course(scenario: Path, overrides: Sequence[str], seed: int) -> Mapping[str, list[float]]:
    """Return the observables of the body once a day from the graft on, by name; the run starts before it."""
    config = load_config(scenario, overrides, seed)
    model = load_model(config)
    weight = config.patient.weight_kg
    exits = {kind: cells / EXITS_PER_DAY for kind, cells in daily_production(model.tables, weight).items()}
    body, marrow = Body(model.tables, config.patient, Scale(CELLS_PER_AGENT, exits, AGENTS, 1.0), seed), Marrow()
    seen: dict[str, list[float]] = {}
    for step, doses in enumerate(model.schedule):
        day = config.time.start_day + (step + 1) * config.step_h / 24.0
        counts = marrow.advance(body, config.step_h, grafted=body.grafted > 0.0)
        body.advance(config.step_h, day, counts, doses)
        if day > 0.0 and (step + 1) % round(24.0 / config.step_h) == 0:
            for name, value in body.observables().items():
                seen.setdefault(name, []).append(value)
    return seen


def cohort(protocol: str, patients: int, *more: str) -> list[Mapping[str, list[float]]]:
    """Return the courses until day 100 of the patients of a protocol, drawn from its priors."""
    found = read_catalogue().protocols[protocol]
    path = resources.folder("scenarios") / f"{found.scenario}.toml"
    end = f"time.end_day={ACUTE_UNTIL}"
    members = cases(protocol, found, quick=False, seeds=patients)
    return [course(path, (*case.overrides, end, *more), case.seed) for case in members]


def worst_grades(protocol: str, patients: int, *more: str) -> list[int]:
    """Return the worst grade of acute GVHD of every patient."""
    return [int(max(seen["gvhd_grade"])) for seen in cohort(protocol, patients, *more)]


def peak_effectors(protocol: str, patients: int, *more: str) -> list[float]:
    """Return the peak of the donor T cells activated against the host of every patient."""
    return [max(seen["allo_effectors"]) for seen in cohort(protocol, patients, *more)]
