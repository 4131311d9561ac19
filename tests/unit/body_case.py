"""A body without a lattice: constant egress at homeostasis, and what tests ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abm import resources
from abm.cells import N_COUNTS, N_KINDS, N_ORIGINS, Count, Kind, Origin
from abm.model.body import Body, Dose, Scale, Tables, daily_production

CELLS_PER_AGENT = 1.2e7
CELLS_PER_HSC = 150.0
AGENTS = 80_000
EXITS_PER_DAY = 2400  #: agents of each producing kind that leave per day; divides into steps of 15 min


@dataclass(frozen=True)
class Person:
    """What the body needs to know of the patient."""

    weight_kg: float = 70.0
    age_years: float = 40.0
    donor: str = "sibling"
    donor_age_years: float | None = None
    alloreactivity: float = 1.0
    autoreactivity: float = 1.0
    gvhd_susceptibility: float = 1.0
    donor_antibodies: float = 0.0
    t_cells: float = 1.0
    stroma_tenderness: float = 1.0
    missing_self: float = 0.0
    missing_self_graft: float = 0.0
    cmv_carrier: bool = True
    treat_infections: bool = True
    engineered_fitness: float = 1.0
    leukaemia_sensitivity: float = 1.0
    leukaemia_immunogenicity: float = 1.0
    restricted_alloreactivity: float = 1.0

    @property
    def donor_type(self) -> str:
        """The donor's name in donors.csv."""
        return self.donor

    @property
    def between_donors(self) -> str:
        """The type as which two donors see each other."""
        return self.donor


def tables(species: str = "human") -> Tables:
    """Return the shipped rule tables of the body."""
    return Tables.load(resources.folder("scenarios") / "rules" / species)


def make_body(
    person: Person | None = None, found: Tables | None = None, cells_per_agent: float = 0.0, seed: int = 0
) -> Body:
    """Return a body at homeostasis for a patch of ``AGENTS`` resident agents."""
    found, person = found or tables(), person or Person()
    exits = {k: cells / EXITS_PER_DAY for k, cells in daily_production(found, person.weight_kg).items()}
    weight = cells_per_agent or CELLS_PER_AGENT * person.weight_kg / found.values["reference_weight"]
    return Body(found, person, Scale(weight, exits, AGENTS, CELLS_PER_HSC), seed)


def counts(body: Body, step_h: float, host: float = 1.0, donor: float = 0.0) -> NDArray[np.int64]:
    """Return the count table of a patch that holds and delivers these multiples of homeostasis, by origin."""
    table = np.zeros((N_COUNTS, N_KINDS, N_ORIGINS), np.int64)
    for origin, level in ((Origin.HOST, host), (Origin.DONOR, donor)):
        table[Count.POPULATION, Kind.MYELOCYTE, origin] = round(AGENTS * level)
        for kind in body.scale.exit_cells:
            table[Count.EGRESS, kind, origin] = round(EXITS_PER_DAY * step_h / 24 * level)
    return table


def live(
    body: Body, days: float, step_h: float = 1.0, host: float = 1.0, donor: float = 0.0, doses: Sequence[Dose] = ()
) -> None:
    """Advance ``body`` by ``days``; ``doses`` are given in the first step; no lymphocyte enters the marrow."""
    table = counts(body, step_h, host, donor)
    for step in range(round(days * 24 / step_h)):
        body.advance(step_h, body.day + step_h / 24, table, doses if step == 0 else ())
