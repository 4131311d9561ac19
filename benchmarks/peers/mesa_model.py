"""marrow-lite in Mesa: a cell space with a torus of Moore neighbourhoods, agents activated in random order.

Residents and T cells share the sites of one grid; a site's list of agents has at most one of each. The faces of a
site are looked up among its connections, which Mesa keys by offset.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.model import DEATH, DIVISION, EMPTY, FACES, KILL, TUMOUR, optional, start

NAME = "Mesa"

mesa, MISSING = optional("mesa")
discrete_space, NO_SPACE = optional("mesa.discrete_space")
ModelBase: Any = mesa.Model if mesa else object
AgentBase: Any = discrete_space.CellAgent if discrete_space else object


def available() -> str:
    """Return "" if this peer can run here, else the reason why not."""
    return MISSING or NO_SPACE


class Resident(AgentBase):  # type: ignore[misc]
    """A normal or tumour cell."""

    def __init__(self, model: Any, site: Any, tumour: bool) -> None:
        super().__init__(model)
        self.cell = site
        self.tumour = tumour
        self.killed = False

    def act(self) -> None:
        """Die, divide, or do nothing."""
        draw = self.model.random.random()
        if self.killed or draw < DEATH:
            self.remove()
        elif draw < DEATH + DIVISION:
            faces = [self.cell.connections[face] for face in FACES]
            empty = [site for site in faces if not any(isinstance(agent, Resident) for agent in site.agents)]
            if empty:
                Resident(self.model, self.model.random.choice(empty), self.tumour)


class TCell(AgentBase):  # type: ignore[misc]
    """A T cell."""

    tumour = False

    def __init__(self, model: Any, site: Any) -> None:
        super().__init__(model)
        self.cell = site

    def act(self) -> None:
        """Engage a tumour cell or try to hop."""
        random = self.model.random
        tumours = [agent for agent in self.cell.get_neighborhood(include_center=True).agents if agent.tumour]
        if tumours:
            # whom it kills is removed in the second phase: the other T cells see what was there when the step began
            victim = random.choice(tumours)
            victim.killed |= random.random() < KILL
            return
        site = self.cell.connections[random.choice(FACES)]
        if not any(isinstance(agent, TCell) for agent in site.agents):
            self.move_to(site)


class Model(ModelBase):  # type: ignore[misc]
    """The model as a Mesa model."""

    def __init__(self, n: int, seed: int) -> None:
        super().__init__(seed=seed)
        self.grid = discrete_space.OrthogonalMooreGrid((n, n, n), torus=True, random=self.random)
        resident, motile = start(n, seed)
        for place in map(tuple, np.argwhere(resident != EMPTY).tolist()):
            Resident(self, self.grid[place], bool(resident[place] == TUMOUR))
        for place in map(tuple, np.argwhere(motile).tolist()):
            TCell(self, self.grid[place])

    def step(self) -> None:
        """Advance by one step."""
        self.agents_by_type[TCell].shuffle_do("act")
        self.agents_by_type[Resident].shuffle_do("act")

    def counts(self) -> dict[str, int]:
        """Return the numbers of cells."""
        residents = self.agents_by_type[Resident]
        return {
            "resident": len(residents),
            "tumour": sum(agent.tumour for agent in residents),
            "t_cells": len(self.agents_by_type[TCell]),
        }
