"""Donor T cells that see antigens of blood cells alone: leukaemia, and no organ.

Half of the known minor antigens stand on blood cells alone (``ubiquitous_share`` of donors.csv). How many of these
differ in a pair says little about those of all tissues, so that their precursors vary on their own and a patient may
have graft-versus-leukaemia without graft-versus-host disease. They answer to the same antigen-presenting cells as
other alloreactive cells, under the same drugs, by the same rules. Once the blood is the donor's, leukaemia alone shows
what they see: a share of those that end their response stays as memory, and divides in lymphopenia as CD8 memory does.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, runge_kutta
from abm.model.body.organs import DIVISIONS, GVH, find_donor

if TYPE_CHECKING:
    from abm.model.body import Body
    from abm.model.body.organs import Alloimmunity, Surroundings
    from abm.model.body.residue import ResidueRules


class RestrictedTCells(Packed):
    """Those of one patient, in cells of the whole body.

    Attributes:
        precursors: not yet activated.
        effectors: activated.
        primed: activated so far; each gives a burst of limited size, and is spent as that dies.
        dividing: those that go through their programmed divisions, by stage, shape (DIVISIONS,).
        memory: left of those that have ended their response.
    """

    STATE = ("precursors", "effectors", "primed", "dividing", "memory")

    def __init__(self, rules: ResidueRules, per_t_cell: float) -> None:
        """Start without any; ``per_t_cell``: precursors per donor T cell."""
        self.rules, self.per_t_cell = rules, per_t_cell
        self.precursors = self.effectors = self.primed = self.memory = 0.0
        self.dividing: Floats = np.zeros(DIVISIONS)

    @property
    def watching(self) -> float:
        """Cells that kill what they see."""
        return self.effectors + self.memory

    def infuse(self, cd3: float) -> None:
        """Take over the precursors among so many donor T cells."""
        self.precursors += cd3 * self.per_t_cell

    def survive(self, resting: float, cycling: float) -> None:
        """Keep only these shares of cells at rest and in cycle."""
        self.precursors *= resting
        self.memory *= resting
        self.effectors *= cycling
        self.primed *= cycling
        self.dividing *= cycling

    def advance(self, allo: Alloimmunity, around: Surroundings, memory_growth: float, step_h: float) -> None:
        """Advance by ``step_h`` hours next to the other alloreactive cells, whose signals they share.

        Args:
            allo: those others.
            around: what both depend on.
            memory_growth: of CD8 memory cells, 1/d.
            step_h: hours.
        """
        state = [self.precursors, self.effectors, self.primed, self.memory, *self.dividing.tolist()]
        if not any(state):
            return
        organs, rules = allo.rules, self.rules
        danger = allo.danger(allo.inflammation, around, float(allo.effectors[GVH]))
        signal = danger * (allo.host_apc * around.activation)
        priming, allowed = signal * organs.priming * around.priming, around.proliferation * around.unregulated
        crowd, progeny = organs.priming_half * self.per_t_cell, allo.progeny(danger, allowed)

        def slope(y: list[float]) -> list[float]:
            precursors, effectors, primed, memory, *dividing = y
            started = priming * allo.meeting(precursors, crowd)
            passing = allo.passing(started, dividing)
            ended = organs.effector_death * effectors
            return [
                -started,
                passing[-1] * progeny
                + effectors * allo.growth(signal, effectors, primed * organs.effector_burst) * allowed
                - ended,
                passing[-1] - ended / organs.effector_burst,
                rules.memory_share * ended + (memory_growth - rules.memory_loss) * memory,
                *(came - went for came, went in pairwise(passing)),
            ]

        found = runge_kutta(slope, state, step_h / HOURS_PER_DAY)
        self.precursors, self.effectors, self.primed, self.memory = found[:4]
        self.dividing = np.array(found[4:])


def start(body: Body) -> RestrictedTCells | None:
    """Return those of a patient whose residual leukaemia is followed, with the usual precursors of the donor type."""
    rules, patient = body.tables.residue, body.patient
    if rules is None or body.scale.leukaemia is None:
        return None
    usual = find_donor(body.tables.donors, patient.donor_type)
    pair = usual.graft_versus_host * (1.0 - usual.ubiquitous_share) * patient.restricted_alloreactivity
    return RestrictedTCells(rules, pair)
