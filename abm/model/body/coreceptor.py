"""CD4 cells without functional CCR5, which R5 virus cannot enter: their share of every pool.

They come with a graft whose stem cells lack it, through the thymus and as its T cells. Virus takes the others, so that
their share rises by itself where it is partial.
"""

from __future__ import annotations

import numpy as np

from abm.cells import N_ORIGINS, Kind, Origin
from abm.model.body.clones import NEW
from abm.model.body.numerics import Floats, Packed

#: Pools that virus infects; the first one through CXCR4 alone.
TARGETS = (Kind.CD4_NAIVE, Kind.CD4_MEMORY, Kind.TREG)
_ROW = {kind: row for row, kind in enumerate(TARGETS)}


class Coreceptor(Packed):
    """Shares of CCR5-null cells.

    Attributes:
        stem: of the stem cells that feed the thymus, by origin, shape (N_ORIGINS,).
        null: of the pools, shape (len(TARGETS), N_ORIGINS).
    """

    STATE = ("stem", "null")

    def __init__(self) -> None:
        """Start with CCR5 on all."""
        self.stem: Floats = np.zeros(N_ORIGINS)
        self.null: Floats = np.zeros((len(TARGETS), N_ORIGINS))

    def join(self, origin: Origin, share: float, joined: Floats) -> None:
        """Take in T cells; ``joined``: which part of each pool of this origin they now are, by ``TARGETS``."""
        self.null[:, origin] += (share - self.null[:, origin]) * joined

    def enter(self, kind: Kind, source: int, cells: Floats, pool: Floats) -> None:
        """Let new or naive cells enter a pool, which holds them already; both by origin."""
        if kind in _ROW:
            row = _ROW[kind]
            share = self.stem if source == NEW else self.null[_ROW[Kind.CD4_NAIVE]]
            part = np.minimum(cells / np.maximum(pool, 1.0), 1.0)
            self.null[row] += (share - self.null[row]) * part
