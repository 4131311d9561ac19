"""marrow-lite in mesa-frames: agents are rows of Polars data frames, neighbourhoods are joins.

Every kind of agent that must act at once is an ``AgentSetPolars``. The places are columns of it, not a ``GridPolars``:
in the release on PyPI, 0.1.0a0, the neighbourhoods of a grid that is a torus leave out every site that was already in
the neighbourhood of another agent.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from benchmarks.peers.model import DEATH, DIVISION, EMPTY, FACES, KILL, MOORE, TUMOUR, optional, start

NAME = "mesa-frames"

mesa_frames, MISSING = optional("mesa_frames")
pl, NO_POLARS = optional("polars")
ModelBase: Any = mesa_frames.ModelDF if mesa_frames else object
AgentsBase: Any = mesa_frames.AgentSetPolars if mesa_frames else object


def available() -> str:
    """Return "" if this peer can run here, else the reason why not."""
    return MISSING or NO_POLARS


class Cells(AgentsBase):  # type: ignore[misc]
    """What both kinds of cells have: ``unique_id``, coordinates ``z``, ``y``, ``x`` and, from them, ``site``."""

    agents: Any  # their data frame, a property of the base

    def around(self, cells: Any, offsets: Any) -> Any:
        """Return a row for each of the cells and each of the offsets from it.

        Args:
            cells: Rows of this set.
            offsets: Columns ``dz``, ``dy``, ``dx``.

        Returns:
            The columns of ``cells``, with the coordinates and site of the neighbours.
        """
        return moved_on(cells.join(offsets, how="cross"), self.model.n)

    def shuffled(self, rows: Any) -> Any:
        """Return the rows in random order."""
        return rows.sample(fraction=1.0, shuffle=True, seed=int(self.random.integers(1 << 32)))


class TCells(Cells):
    """All T cells."""

    def step(self) -> None:
        """Engage tumour cells or hop."""
        residents = self.model.residents
        tumours = residents.agents.filter("tumour").select("site", victim="unique_id")
        near = self.around(self.agents.select("unique_id", "z", "y", "x"), self.model.moore)
        engaged = near.join(tumours, on="site").select("unique_id", "victim")
        engaged = self.shuffled(engaged).unique("unique_id", keep="first")
        killed = engaged.filter(self.random.random(len(engaged)) < KILL)
        self.hop(self.agents.join(engaged, on="unique_id", how="anti"))
        residents.agents = residents.agents.join(killed, left_on="unique_id", right_on="victim", how="anti")

    def hop(self, cells: Any) -> None:
        """Let these T cells try to hop."""
        steps = self.model.faces[self.random.integers(6, size=len(cells))]
        moved = moved_on(pl.concat([cells, steps], how="horizontal"), self.model.n)
        moved = moved.join(self.agents, on="site", how="anti").unique("site", keep="any")
        self.agents = pl.concat(
            [self.agents.join(moved, on="unique_id", how="anti"), moved.select(self.agents.columns)]
        )


class Residents(Cells):
    """All normal and tumour cells."""

    def step(self) -> None:
        """Die and divide."""
        draw = pl.Series("draw", self.random.random(len(self.agents)))
        mothers = self.agents.filter(draw.is_between(DEATH, DEATH + DIVISION, closed="left"))
        daughters = self.find_room(mothers)
        self.agents = pl.concat([self.agents.filter(draw >= DEATH), daughters])

    def find_room(self, mothers: Any) -> Any:
        """Return the daughters for which there is an empty site."""
        free = self.around(mothers, self.model.faces).join(self.agents, on="site", how="anti")
        free = self.shuffled(free).unique("unique_id", keep="first").unique("site", keep="any")
        first = self.model.current_id
        self.model.current_id += len(free)
        return free.with_columns(unique_id=pl.int_range(first, first + len(free), dtype=pl.Int64))


class Model(ModelBase):  # type: ignore[misc]
    """The model as a mesa-frames model."""

    def __init__(self, n: int, seed: int) -> None:
        super().__init__(seed=seed)
        self.n = n
        self.faces = pl.DataFrame(np.array(FACES), schema=["dz", "dy", "dx"])
        self.moore = pl.DataFrame(np.array(MOORE), schema=["dz", "dy", "dx"])
        self.t_cells, self.residents = TCells(self), Residents(self)
        resident, motile = start(n, seed)
        tumour = resident[resident != EMPTY] == TUMOUR
        with warnings.catch_warnings():
            # mesa-frames 0.1.0a0 looks numbers up in a way that Polars wants to drop
            warnings.filterwarnings("ignore", message="`is_in` with a collection", category=DeprecationWarning)
            self.t_cells.add(self.number(np.argwhere(motile)))
            self.residents.add(self.number(np.argwhere(resident != EMPTY)).with_columns(tumour=tumour))
            self.agents.add([self.t_cells, self.residents])  # they step in this order

    def number(self, places: Any) -> Any:
        """Return agents at these places, with new numbers."""
        first = self.current_id
        self.current_id += len(places)
        frame = pl.DataFrame(places, schema=["z", "y", "x"])
        numbers = pl.int_range(first, self.current_id, dtype=pl.Int64)
        return frame.select(numbers.alias("unique_id"), "z", "y", "x", site=site_of(self.n))

    def counts(self) -> dict[str, int]:
        """Return the numbers of cells."""
        return {
            "resident": len(self.residents),
            "tumour": int(self.residents.agents["tumour"].sum()),
            "t_cells": len(self.t_cells),
        }


def moved_on(rows: Any, n: int) -> Any:
    """Return the rows with ``dz``, ``dy``, ``dx`` added to their coordinates."""
    steps = [((pl.col(axis) + pl.col(f"d{axis}") + n) % n).alias(axis) for axis in "zyx"]
    return rows.with_columns(steps).drop("dz", "dy", "dx").with_columns(site=site_of(n))


def site_of(n: int) -> Any:
    """Return the expression for the number of a site."""
    return (pl.col("z") * n + pl.col("y")) * n + pl.col("x")
