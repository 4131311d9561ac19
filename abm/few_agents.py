"""Grafts that are a handful of agents, so that chance decides whether they take."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, exp

from abm import setup
from abm.cells import Kind
from abm.config import Config, Graft
from abm.model import therapy
from abm.model.body import Body, giving

#: Stem-cell agents below which a graft is noted, and from which on less than 1 in 20 fails: at most exp(-3), as they
#: come in whole numbers, which vary less than Poisson ones, and most of them stay.
FEW, ENOUGH = 2.0, 3.0


def few_agents(config: Config) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for every day whose grafts together bring so few stem-cell agents that none may take."""
    grafts = {index: event for index, event in enumerate(config.events) if isinstance(event, Graft)}
    if any(graft.marrow_of for graft in grafts.values()) or not grafts:
        return  # a former run says how many cells come
    agents = stem_cell_agents(config)
    for day in sorted({graft.day for graft in grafts.values()}):
        of_day = [index for index, graft in grafts.items() if graft.day == day]
        expected = sum(agents[index] for index in of_day)
        if 0.0 < expected < FEW:
            yield f"events.{of_day[0]}.source", _said(config, expected)


def stem_cell_agents(config: Config) -> dict[int, float]:
    """Return the stem-cell agents expected of each graft by the number of its event.

    The niches of the patch are those of marrow without bone and vessels, so that this is right to some tens of percent.
    """
    model = setup.load_model(config)
    niches = model.tissue["niche_density"] * setup.SITE_UM**3 * 1e-9 * config.n_sites
    body = Body(model.tables, config.patient, setup.make_scale(model, setup.Census(round(niches), config.n_sites)))
    found: dict[int, float] = {}
    for index, event in enumerate(config.events):
        if isinstance(event, Graft):
            time = config.n_steps, config.step_h, config.time.start_day
            doses = [dose for step in therapy.compile([event], model.tables, config.patient, *time) for dose in step]
            found[index] = sum(giving.graft_agents(body, dose).get(Kind.HSC, 0.0) for dose in doses)
    return found


def _said(config: Config, expected: float) -> str:
    length = ceil((config.n_sites * ENOUGH / expected) ** (1 / 3))
    failures = 100.0 * exp(-expected)
    few = f"brings about {expected:.2g} stem-cell agents to this patch, and fails by chance in up to about"
    remedy = f"patch.shape from [{length}, {length}, {length}] on, or {ENOUGH / expected:.2g} times the dose"
    return f"{few} {failures:.0f} % of patients; in less than 5 % from {ENOUGH:g} agents on: {remedy}"
