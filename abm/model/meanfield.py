"""Homeostasis in the well-mixed limit: pools and fluxes of the hierarchy per stem-cell niche.

Gives the cells a patch starts with and how many real cells one lattice exit stands for. It is only a starting
point and a yardstick: the trajectory is decided by the lattice.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_KINDS, Behaviour, Kind
from abm.model.rules import Rules

MAX_STAGES = 32


@dataclass(frozen=True)
class Homeostasis:
    """Mean-field steady state for one occupied niche.

    Attributes:
        pool: cells per kind and stage, shape (64, 32).
        exits: cells that leave for the blood per day, by kind, shape (64,).
        cycling: share of cells in cycle, by kind, shape (64,).
    """

    pool: NDArray[np.float64]
    exits: NDArray[np.float64]
    cycling: NDArray[np.float64]

    @property
    def by_kind(self) -> NDArray[np.float64]:
        """Cells per kind, shape (64,); correctly rounded sums, the same on every machine."""
        return np.array([fsum(stages) for stages in self.pool.tolist()])

    @property
    def cells_per_niche(self) -> float:
        """All resident cells per occupied niche."""
        return fsum(self.pool.ravel().tolist())


def homeostasis(
    rules: Rules,
    commit_share: float,
    open_share: NDArray[np.float64] | None = None,
    leaving: NDArray[np.float64] | None = None,
) -> Homeostasis:
    """Solve the chain of kinds from the HSC downwards.

    Args:
        rules: rule tables.
        commit_share: share of surplus HSC daughters that commit (the others are lost in the blood).
        open_share: share of divisions that find an open neighbour, by kind, shape (64,); crowding slows, it does not
            lose cells. ``None``: all do.
        leaving: mean answer of EGRESS to the distance from a sinusoid, likewise. ``None``: all lie next to one.
    """
    rates = rules.base[1::2].copy()
    rates[:, Behaviour.DIVIDE] *= 1.0 if open_share is None else open_share
    rates[:, Behaviour.EGRESS] *= 1.0 if leaving is None else leaving
    pool = np.zeros((N_KINDS, MAX_STAGES))
    exits, cycling = np.zeros(N_KINDS), np.zeros(N_KINDS)
    influx = dict.fromkeys(rules.kinds, 0.0)
    activation = rules.base[Kind.HSC * 2, Behaviour.SWITCH]
    division = rules.base[Kind.HSC * 2 + 1, Behaviour.DIVIDE]
    cycling[Kind.HSC] = activation / (activation + division)
    pool[Kind.HSC, 0] = 1.0
    for following, share in rules.fates[Kind.HSC]:
        influx[following] += division * cycling[Kind.HSC] * commit_share * share
    for kind in _downstream(rules):
        row = rates[kind]
        out, pool[kind] = _pass_through(rules.kinds[kind].stages, influx[kind], row, kind in rules.fates)
        cycling[kind] = float(row[Behaviour.DIVIDE] > 0)
        exits[kind] = row[Behaviour.EGRESS] * fsum(pool[kind].tolist())
        for following, share in rules.fates.get(kind, ()):
            influx[following] += out * share
    return Homeostasis(pool, exits, cycling)


def _downstream(rules: Rules) -> list[Kind]:
    """Return the descendants of the HSC so that every kind follows its sources."""
    order: list[Kind] = []

    def visit(kind: Kind) -> None:
        for following, _ in rules.fates.get(kind, ()):
            visit(following)
        if kind not in order:
            order.append(kind)

    visit(Kind.HSC)
    return order[-2::-1]


def _pass_through(
    stages: int, influx: float, row: NDArray[np.float64], goes_on: bool
) -> tuple[float, NDArray[np.float64]]:
    """Return the flux out of the last stage and the pool of each stage."""
    loss = row[Behaviour.DIE] + row[Behaviour.EGRESS]
    renew = row[Behaviour.RENEW]
    step = row[Behaviour.MATURE] + row[Behaviour.DIVIDE] * (1.0 - 2.0 * renew)
    gain = row[Behaviour.MATURE] + row[Behaviour.DIVIDE] * 2.0 * (1.0 - renew)
    pool = np.zeros(MAX_STAGES)
    flux = influx
    for stage in range(stages):
        pool[stage] = flux / (step + loss)
        flux = gain * pool[stage]
    if not goes_on and flux > 0.0:
        pool[stages] = flux / loss
    return flux, pool
