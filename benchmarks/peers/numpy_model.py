"""marrow-lite as array expressions in NumPy.

The lattice is flat, with a halo one site wide, so that a neighbour is a fixed offset away; ``home`` leads from a site
of the halo to the site it stands for. What happens to few sites (T cells, deaths, divisions) is done on lists of
sites. Several claims on one site are settled by writing them all: whoever can read its own number back has won.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.model import DEATH, DIVISION, EMPTY, FACES, KILL, MOORE, TUMOUR, level, start

NAME = "NumPy"


def available() -> str:
    """Return "" if this peer can run here, else the reason why not."""
    return ""


class Model:
    """The model; ``xp`` and what draws random numbers are all that another array library replaces."""

    xp: Any = np

    def __init__(self, n: int, seed: int) -> None:
        xp = self.xp
        self.side = n + 2
        self.rng = self.generator(seed)
        resident, motile = start(n, seed)
        strides = np.array([self.side * self.side, self.side, 1])
        self.faces = xp.asarray(np.array(FACES) @ strides)
        self.moore = xp.asarray(np.array(MOORE) @ strides)
        inside = np.arange(self.side**3).reshape(3 * (self.side,))[1:-1, 1:-1, 1:-1]
        self.home = xp.asarray(np.pad(inside, 1, mode="wrap").ravel())
        self.resident = xp.asarray(np.pad(resident, 1, mode="wrap").ravel())
        self.motile = xp.asarray(np.pad(motile, 1).ravel().astype(bool))
        self.t_cells = xp.asarray(inside[motile > 0])
        self.claims = xp.zeros(self.side**3, xp.int32)

    def generator(self, seed: int) -> Any:
        """Return the source of random numbers."""
        return np.random.Generator(np.random.SFC64(seed))

    def draw(self, count: int) -> Any:
        """Return random numbers of 16 bits, (count,)."""
        return np.frombuffer(self.rng.bytes(2 * count), np.uint16)

    def step(self) -> None:
        """Advance by one step."""
        engaged = self.find_tumours()[self.t_cells]
        free = self.xp.flatnonzero(~engaged)
        victims = self.engage(self.t_cells[engaged])
        self.hop(free)
        self.resident[victims] = EMPTY
        self.decide_fates()

    def counts(self) -> dict[str, int]:
        """Return the numbers of cells."""
        inside = self.resident.reshape(3 * (self.side,))[1:-1, 1:-1, 1:-1]
        return {
            "resident": int(self.xp.count_nonzero(inside)),
            "tumour": int(self.xp.count_nonzero(inside == TUMOUR)),
            "t_cells": int(self.xp.count_nonzero(self.motile)),
        }

    def find_tumours(self) -> Any:
        """Return for every site whether it or one of the 26 around it holds a tumour cell; nonsense in the halo."""
        cube = self.resident.reshape(3 * (self.side,))
        cube[0], cube[-1] = cube[-2], cube[1]
        cube[:, 0], cube[:, -1] = cube[:, -2], cube[:, 1]
        cube[:, :, 0], cube[:, :, -1] = cube[:, :, -2], cube[:, :, 1]
        near = self.resident == TUMOUR
        for stride in (1, self.side, self.side * self.side):
            near[stride:-stride] |= near[: -2 * stride] | near[2 * stride :]
        return near

    def engage(self, sites: Any) -> Any:
        """Return the sites of the tumour cells that the T cells at ``sites``, each next to one, kill."""
        sites = sites[self.draw(sites.size) < level(KILL)]
        if not sites.size:
            return sites
        around = sites + self.moore[:, None]
        picked, _ = self.pick(self.resident[around] == TUMOUR)
        return self.home[sites + self.moore[picked]]

    def hop(self, movers: Any) -> None:
        """Let the T cells of these numbers try to hop."""
        here = self.t_cells[movers]
        there = self.home[here + self.faces[self.scale(self.draw(movers.size), 6)]]
        may = ~self.motile[there]
        movers, here, there = movers[may], here[may], there[may]
        won = self.claim(there)
        self.motile[here[won]] = False
        self.motile[there[won]] = True
        self.t_cells[movers[won]] = there[won]

    def decide_fates(self) -> None:
        """Let residents die and divide."""
        draw = self.draw(self.resident.size)
        sites = self.xp.flatnonzero(draw < level(DEATH + DIVISION))
        sites = sites[(self.resident[sites] != EMPTY) & (self.home[sites] == sites)]
        dies = draw[sites] < level(DEATH)
        self.divide(sites[~dies])
        self.resident[sites[dies]] = EMPTY

    def divide(self, mothers: Any) -> None:
        """Put daughters next to the residents at ``mothers``."""
        if not mothers.size:
            return
        around = self.home[mothers + self.faces[:, None]]
        picked, able = self.pick(self.resident[around] == EMPTY)
        target = self.home[mothers + self.faces[picked]][able]
        won = self.claim(target)
        self.resident[target[won]] = self.resident[mothers[able][won]]

    def pick(self, candidates: Any) -> tuple[Any, Any]:
        """Pick one of the candidates in every column.

        Args:
            candidates: (places, columns), whether a place can be picked.

        Returns:
            A place for every column, and whether there was any to pick.
        """
        seen = candidates.cumsum(axis=0, dtype=np.uint8)
        nth = self.scale(self.draw(candidates.shape[1]), seen[-1])
        picked = (seen <= nth).sum(axis=0)
        return picked % len(candidates), seen[-1] > 0

    def claim(self, targets: Any) -> Any:
        """Return for every one of the claims on sites whether it wins."""
        numbers = self.xp.arange(targets.size, dtype=np.int32)
        self.claims[targets] = numbers
        return self.claims[targets] == numbers

    def scale(self, draw: Any, limit: Any) -> Any:
        """Return 16-bit draws as numbers below ``limit``."""
        return (draw.astype(np.uint32) * limit) >> 16
