"""Pathogenic clones: the self-reactive memory T cells of a patient, clone by clone and in whole cells.

They die of what kills their pool and divide as it does, but each clone is a number of cells, drawn at random where it
is small: ablation may extinguish it, and what is lost does not come back. New clones come from naive cells that turn
into memory cells. A part of each clone is resident in the diseased tissue, where little of a drug arrives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_ORIGINS, Kind, Origin
from abm.exactmath import exp, power
from abm.model.body.autoimmunity import Follower, PoolShares
from abm.model.body.chance import drawn
from abm.model.body.clones import NAIVE, NAIVE_OF
from abm.model.body.numerics import Floats, total
from abm.philox import philox
from abm.streams import Stream

#: Draws of ``Stream.BODY``.
_LOST, _BORN, _FOUNDED, _GIVEN, _SHOWN, _REACHED = range(33, 39)
_WORDS = 4294967296.0
#: A clone of more cells than this changes by the mean: chance then is below 3 %.
FEW = 1000.0


class PathogenicClones(Follower):
    """Self-reactive cells of one memory pool.

    Attributes:
        cells: of every clone of the start by origin, and last those of all clones founded since, shape
            (clones + 1, N_ORIGINS).
        resident: cells of the clones of the start in the tissue, where they stay, shape (clones,).
        shown: whether the last trigger showed the antigen of a clone, shape (clones,).
        turn: draws so far.
    """

    STATE = ("cells", "resident", "shown", "turn")

    def __init__(self, kind: Kind, sizes: Floats, graft: Floats, naive: PoolShares, seed: int,
                 resident: float = 0.0) -> None:  # fmt: skip
        """Start a patient.

        Args:
            kind: the memory pool.
            sizes: cells of the patient's clones at the start, shape (clones,).
            graft: those of a clone per cell of the pool in a graft, the last for new clones, shape (clones + 1,).
            naive: self-reactive share of the naive cells from which new clones come.
            seed: of the run.
            resident: share of the cells at the start that is resident in the tissue.
        """
        self.kind, self._graft, self._naive, self._seed = kind, graft, naive, seed
        self.cells: Floats = np.zeros((sizes.size + 1, N_ORIGINS))
        self.cells[:-1, Origin.HOST] = sizes * (1.0 - resident)
        self.resident: Floats = sizes * resident
        self.shown: Floats = np.zeros(sizes.size)
        self.turn = 0.0

    @property
    def number(self) -> int:
        """Clones of the start of which there is a cell."""
        return int((self.cells[:-1].sum(axis=1) + self.resident > 0.0).sum())

    @property
    def total(self) -> float:
        """Self-reactive cells of all clones."""
        return total(self.cells) + total(self.resident)

    def answering(self, share: float) -> float:
        """Return the cells that see what the last trigger shows; of the many new clones ``share`` does."""
        old = total(self.cells[:-1] * self.shown[:, np.newaxis]) + total(self.resident * self.shown)
        return old + share * total(self.cells[-1])

    def show(self, share: float, turn: int) -> None:
        """Let a trigger show the antigens of this share of the clones, drawn at random."""
        words = philox(self._seed, np.arange(self.shown.size), turn, Stream.BODY * 256 + _SHOWN)[0]
        self.shown = (words < share * _WORDS).astype(np.float64)

    def enter(self, kind: Kind, source: int, cells: Floats, _pool: Floats) -> None:
        """Let cells enter a pool, by origin; ``source`` as in :class:`Clones`."""
        if kind is self.kind and source == NAIVE:
            naive = np.array([self._naive.of(NAIVE_OF[kind], origin) for origin in range(N_ORIGINS)])
            few = np.ones(N_ORIGINS, bool)
            self.cells[-1] += self._drawn(cells * naive, few, _FOUNDED)

    def infuse(self, kind: Kind, origin: Origin, cells: float, _pool: float) -> None:
        """Let cells of a graft join."""
        if kind is self.kind and cells > 0.0:
            self.cells[:, origin] += self._drawn(self._graft * cells, self._graft > 0.0, _GIVEN)

    def survive(self, origins: slice, kept: float) -> None:
        """Keep each cell of these origins with this probability."""
        self.cells[:, origins] = self._left(self.cells[:, origins], kept, _LOST)

    def survive_in_tissue(self, kept: float) -> None:
        """Keep each resident cell with this probability."""
        self.resident = self._left(self.resident, kept, _REACHED)

    def _left(self, some: Floats, kept: float, draw: int) -> Floats:
        """Return who is left if each cell is kept with this probability."""
        # draw what is rarer, so that its chance is that of a binomial number
        if kept > 0.5:
            left = some - self._drawn(some * (1.0 - kept), some < FEW, draw)
        else:
            left = self._drawn(some * kept, some < FEW, draw)
        return np.clip(left, 0.0, some)

    def advance(self, growth: float, turnover: float, days: float) -> None:
        """Let cells die at the rate ``turnover`` and divide, so that they become more at the rate ``growth`` (1/d)."""
        after = exp(growth * days)
        kept = min(exp(-turnover * days), after)
        born = self._drawn(self.cells * (after - kept), self.cells < FEW, _BORN)
        self.survive(slice(None), kept)
        self.cells = self.cells + born

    def _drawn(self, means: Floats, few: NDArray[np.bool_], draw: int) -> Floats:
        """Return whole numbers where they are of few cells, the means elsewhere."""
        numbers = np.maximum(means, 0.0)
        flat, places = numbers.reshape(-1), np.flatnonzero(few & (numbers > 0.0))
        if places.size:
            words = philox(self._seed, places, int(self.turn), Stream.BODY * 256 + draw)[0]
            flat[places] = drawn(flat[places], words)
        self.turn += 1.0
        return numbers


def unequal_sizes(clones: int, exponent: float) -> Floats:
    """Return the shares of clones whose size falls as rank^-exponent, shape (clones,)."""
    sizes = [power(float(rank), -exponent) for rank in range(1, clones + 1)]
    return np.array(sizes) / total(sizes)
