"""What autoimmune diseases share: self-reactive lymphocytes as a share of the body's pools, and what sets them off.

A pool that drugs, cell therapy or time change takes its self-reactive cells with it. New ones come with the cells that
enter it: few with those that thymus or marrow have made, as many as in the patient with the patient's own graft.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from abm.cells import N_ORIGINS, Kind, Origin
from abm.exactmath import exp, power
from abm.model.body.clones import NAIVE_OF, NEW
from abm.model.body.immune import INDEX, Lymphocytes
from abm.model.body.numerics import Floats, Packed
from abm.philox import philox_scalar
from abm.streams import Stream

DAYS_PER_YEAR = 365.25
#: Draw of ``Stream.BODY`` that decides whether a trigger comes, and how strong it is.
_TRIGGER = 32
_TWO32 = 4294967296.0


class Follower(Packed, ABC):
    """Keeps account of some cells of the body's pools: told of cells that enter a pool, but not by division."""

    @abstractmethod
    def enter(self, kind: Kind, source: int, cells: Floats, pool: Floats) -> None:
        """Let cells enter a pool, which holds them already, both by origin; ``source`` as in :class:`Clones`."""

    @abstractmethod
    def infuse(self, kind: Kind, origin: Origin, cells: float, pool: float) -> None:
        """Let cells of a graft join a pool that then holds ``pool`` cells."""


class PoolShares(Follower):
    """Cells of one property, such as self-reactive ones, as a share of pools.

    Attributes:
        share: of the cells of a pool by origin, shape (pools, N_ORIGINS).
        let_through: cells of the property among new T cells over those that a healthy thymus lets through.
    """

    STATE = ("share",)

    def __init__(self, born: Mapping[Kind, float], patient: Mapping[Kind, float], graft: Mapping[Kind, float]) -> None:
        """Start a patient.

        Args:
            born: share of the cells that enter a pool with new receptors, by pool.
            patient: share of the patient's pools at the start, likewise; these pools are followed.
            graft: share of those of a graft, likewise.
        """
        self._born, self._graft = born, graft
        self.kinds = tuple(patient)
        self.let_through = 1.0
        self.share: Floats = np.zeros((len(self.kinds), N_ORIGINS))
        self.share[:, Origin.HOST] = [patient[kind] for kind in self.kinds]

    def enter(self, kind: Kind, source: int, cells: Floats, pool: Floats) -> None:
        """Let cells enter a pool, which holds them already, both by origin; ``source`` as in :class:`Clones`."""
        if kind not in self.kinds:
            return
        row = self.kinds.index(kind)
        for origin, (n, whole) in enumerate(zip(cells.tolist(), pool.tolist(), strict=True)):
            if n > 0.0:
                theirs = self._born[kind] * self.let_through if source == NEW else self.of(NAIVE_OF[kind], origin)
                self._mix(row, origin, theirs, n, whole)

    def infuse(self, kind: Kind, origin: Origin, cells: float, pool: float) -> None:
        """Let cells of a graft join a pool that then holds ``pool`` cells."""
        if kind in self.kinds and cells > 0.0:
            self._mix(self.kinds.index(kind), origin, self._graft[kind], cells, pool)

    def _mix(self, row: int, origin: int, theirs: float, cells: float, pool: float) -> None:
        share = float(self.share[row, origin])
        self.share[row, origin] = share + (theirs - share) * (cells / max(pool, cells))

    def of(self, kind: Kind, origin: int) -> float:
        """Return the share of a pool."""
        return float(self.share[self.kinds.index(kind), origin])

    def cells(self, kind: Kind, lymphocytes: Lymphocytes) -> float:
        """Return the cells of the property in a pool, of all origins."""
        found = 0.0
        for origin in range(N_ORIGINS):
            found = found + self.of(kind, origin) * float(lymphocytes.pools[INDEX[kind], origin])
        return found


def trigger(seed: int, turn: int, per_year: float, spread: float, step_h: float) -> tuple[float, float]:
    """Return the strength of a trigger that comes in this step, 0 if none does, and a number in 0-1 drawn with it.

    Their times are a Poisson process; their strengths have a median of 1 and the odds of exceeding x are
    x^(-1/spread) (log-logistic).
    """
    first, second, third, _ = philox_scalar(seed, 0, turn, Stream.BODY * 256 + _TRIGGER)
    if first / _TWO32 >= 1.0 - exp(-per_year / DAYS_PER_YEAR * step_h / 24.0):
        return 0.0, 0.0
    luck = (second + 0.5) / _TWO32
    return power(luck / (1.0 - luck), spread), third / _TWO32
