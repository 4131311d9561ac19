"""marrow-lite in Repast4Py: a context with a periodic grid for either layer, agents activated in random order.

A grid of single occupancy refuses a second agent at a site, which settles conflicts. One process holds the whole
lattice; the rate of a site is what is compared.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from benchmarks.peers.model import DEATH, DIVISION, EMPTY, FACES, KILL, NORMAL, TUMOUR, optional, start

NAME = "Repast4Py"
T_CELL = 3  #: type of agent, next to NORMAL and TUMOUR

with warnings.catch_warnings():
    # built without MPI it says so, and one process is all there is here
    warnings.filterwarnings("ignore", message="repast4py is using its single-rank", category=RuntimeWarning)
    repast4py, MISSING = optional("repast4py")
(core, context, space, geometry, random), REASONS = zip(
    *(optional(f"repast4py.{name}") for name in ("core", "context", "space", "geometry", "random")), strict=True
)
AgentBase: Any = core.Agent if core else object


def available() -> str:
    """Return "" if this peer can run here, else the reason why not."""
    return MISSING or next(filter(None, REASONS), "")


class Cell(AgentBase):  # type: ignore[misc]
    """A resident or T cell; ``type`` says which, the grid says where."""

    def __init__(self, number: int, kind: int) -> None:
        super().__init__(id=number, type=kind, rank=0)
        self.killed = False


class Layer:
    """A context, its grid, and the making of cells in it."""

    def __init__(self, name: str, n: int) -> None:
        mpi = repast4py.MPI
        alone = getattr(mpi, "COMM_SELF", mpi.COMM_WORLD)  # without MPI there is only the latter, of size 1
        self.n = n
        self.n_made = 0
        self.context = context.SharedContext(alone)
        box = geometry.BoundingBox(0, n, 0, n, 0, n)
        single = space.OccupancyType.Single
        self.grid = space.SharedGrid(name, box, space.BorderType.Periodic, single, 0, alone)
        self.context.add_projection(self.grid)

    def make(self, kind: int, place: Any) -> None:
        """Put a new cell at ``place``, which must be empty."""
        cell = Cell(self.n_made, kind)
        self.n_made += 1
        self.context.add(cell)
        self.grid.move(cell, place)

    def neighbour(self, place: Any, face: int) -> Any:
        """Return the face neighbour of a place."""
        x, y, z = FACES[face]
        return space.DiscretePoint((place.x + x) % self.n, (place.y + y) % self.n, (place.z + z) % self.n)

    def count(self, kind: int) -> int:
        """Return the number of cells of a kind."""
        return int(self.context.size([kind])[kind]) if self.context.contains_type(kind) else 0


class Model:
    """The model; draws are made for all agents of a phase at once, since single ones from NumPy are slow."""

    def __init__(self, n: int, seed: int) -> None:
        random.init(seed)
        self.rng = random.default_rng
        self.find_around = geometry.find_3d_nghs_periodic
        self.borders = np.array([0, n - 1] * 3)
        self.residents, self.t_cells = Layer("residents", n), Layer("t_cells", n)
        resident, motile = start(n, seed)
        for place in np.argwhere(resident != EMPTY).tolist():
            self.residents.make(int(resident[tuple(place)]), space.DiscretePoint(*place))
        for place in np.argwhere(motile).tolist():
            self.t_cells.make(T_CELL, space.DiscretePoint(*place))

    def step(self) -> None:
        """Advance by one step."""
        cells = self.t_cells.context.agents(shuffle=True)
        for cell, *draws in zip(cells, *self.rng.random((3, len(cells))).tolist(), strict=True):
            self.act(cell, *draws)
        cells = self.residents.context.agents(shuffle=True)
        for cell, draw in zip(cells, self.rng.random(len(cells)).tolist(), strict=True):
            if cell.killed or draw < DEATH:
                self.residents.context.remove(cell)
            elif draw < DEATH + DIVISION:
                self.divide(cell)

    def counts(self) -> dict[str, int]:
        """Return the numbers of cells."""
        tumour = self.residents.count(TUMOUR)
        return {
            "resident": self.residents.count(NORMAL) + tumour,
            "tumour": tumour,
            "t_cells": self.t_cells.count(T_CELL),
        }

    def act(self, cell: Any, pick: float, kill: float, face: float) -> None:
        """Let a T cell engage a tumour cell or try to hop."""
        grid = self.t_cells.grid
        place = grid.get_location(cell)
        tumours = self.tumours_around(place)
        if tumours:
            # whom it kills is removed in the second phase: the other T cells see what was there when the step began
            tumours[int(pick * len(tumours))].killed |= kill < KILL
        else:
            grid.move(cell, self.t_cells.neighbour(place, int(face * 6)))

    def tumours_around(self, place: Any) -> list[Any]:
        """Return the tumour cells at a place and the 26 around it."""
        at = space.DiscretePoint(0, 0, 0)
        found = []
        # rows in one piece: a point that is reset from an array takes no notice of its strides
        for near in np.ascontiguousarray(self.find_around(place.coordinates, self.borders).T):
            at._reset_from_array(near)
            resident = self.residents.grid.get_agent(at)
            if resident is not None and resident.type == TUMOUR:
                found.append(resident)
        return found

    def divide(self, mother: Any) -> None:
        """Put a daughter on a random empty face neighbour, if there is any."""
        grid = self.residents.grid
        place = grid.get_location(mother)
        around = [self.residents.neighbour(place, face) for face in range(6)]
        empty = [near for near in around if grid.get_agent(near) is None]
        if empty:
            self.residents.make(mother.type, empty[int(self.rng.random() * len(empty))])
