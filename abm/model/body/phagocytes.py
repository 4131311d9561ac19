"""Myeloid cells with an added receptor: macrophages, and the neutrophils of the blood.

Of the monocytes that leave the blood a share becomes macrophages and lives on for weeks. They and the cells that show
the antigen meet in pairs, as engineered T cells do (``engineered.py``), but they neither divide nor remember: how many
there are is what the marrow makes. The pool counts the whole body, marrow included; the lattice shows a sample of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from abm.cells import ENGINEERED, N_ORIGINS, Kind, Origin, Specificity
from abm.exactmath import exp
from abm.model.body.edited import MYELOID
from abm.model.body.immune import Arrival
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, total
from abm.model.body.parameters import PhagocyteRules, section

if TYPE_CHECKING:
    from abm.model.body import Body


class Phagocytes(Packed):
    """The macrophages of a body that show an added receptor.

    Attributes:
        macrophages: cells by origin, shape (N_ORIGINS,).
        waiting: agents due to enter the lattice, likewise.
    """

    STATE = ("macrophages", "waiting")

    def __init__(self, rules: PhagocyteRules, cells_per_agent: float) -> None:
        """Start without any; ``cells_per_agent``: real cells per effector agent of the lattice."""
        self.rules, self._cells_per_agent = rules, cells_per_agent
        self.macrophages: Floats = np.zeros(N_ORIGINS)
        self.waiting: Floats = np.zeros(N_ORIGINS)

    @classmethod
    def of(cls, body: Body) -> Self | None:
        """Return those of a body whose grafts bring them; ``None``: none does."""
        if not body.edited.shown_by(MYELOID):
            return None
        rules = section(PhagocyteRules, body.tables.values, body.weight_kg)
        return cls(rules, body.scale.cells_per_agent / body.allo.rules.effector_enrichment)

    def advance(self, monocytes: Floats, step_h: float) -> None:
        """Advance by ``step_h`` hours, in which these monocytes with the receptor leave the blood, (N_ORIGINS,)."""
        r, days = self.rules, step_h / HOURS_PER_DAY
        self.macrophages = self.macrophages * exp(-days / r.macrophage_life) + monocytes * r.macrophage_share
        entering = self.macrophages * (r.macrophage_marrow_share / r.macrophage_life * days)
        self.waiting = self.waiting + entering / self._cells_per_agent

    def survive(self, share: float | Floats) -> None:
        """Keep only this share of all, or of each origin."""
        self.macrophages = self.macrophages * share

    def hazard(self, antigen: Floats, receptors: Sequence[Specificity], neutrophils: Floats) -> Floats:
        """Return the rate at which a cell that shows the antigen of a class is killed by them, 1/d, (N_CLASSES,).

        Args:
            antigen: cells of the body that each class sees, shape (N_CLASSES,).
            receptors: class that the myeloid cells of each origin show.
            neutrophils: of the blood that show it, by origin, shape (N_ORIGINS,).
        """
        r, found = self.rules, np.zeros(len(ENGINEERED))
        for receptor in {receptor for receptor in receptors if receptor in ENGINEERED}:
            own, place = [known is receptor for known in receptors], ENGINEERED.index(receptor)
            macrophages, short_lived = total(self.macrophages[own]), total(neutrophils[own])
            met = macrophages + short_lived + antigen[place] + r.phagocyte_search
            found[place] = (r.macrophage_kill * macrophages + r.neutrophil_kill * short_lived) / met
        return found

    def depart(self, receptors: Sequence[Specificity]) -> list[Arrival]:
        """Return the whole agents that are due; the remainder waits. Nothing is taken out of the pool."""
        agents = np.floor(self.waiting)
        self.waiting = self.waiting - agents
        return [
            (Kind.MACROPHAGE, Origin(origin), receptors[origin], int(agents[origin]))
            for origin in np.flatnonzero(agents).tolist()
        ]


def advance(body: Body, step_h: float) -> None:
    """Let monocytes of a body that carry the receptor turn into macrophages."""
    if body.phagocytes is None:
        return
    leaving = body.blood.monocytes_leaving(step_h)
    body.phagocytes.advance(leaving * body.edited.showing(Kind.MONOCYTE), step_h)


def hazard(body: Body, antigen: Floats) -> Floats:
    """Return the rate at which a cell that shows the antigen of a class is killed by myeloid cells, 1/d."""
    if body.phagocytes is None:
        return np.zeros(len(ENGINEERED))
    neutrophils = body.blood.neutrophils[:N_ORIGINS] * body.edited.showing(Kind.NEUTROPHIL)
    return body.phagocytes.hazard(antigen, body.edited.myeloid_receptors(), neutrophils)


def purge(body: Body, kill: float) -> None:
    """Let this share of the macrophages die that carry a safety switch."""
    if body.phagocytes is not None:
        body.phagocytes.survive(1.0 - kill * body.edited.switched())
