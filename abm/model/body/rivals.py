"""Two donors in one patient, such as two units of cord blood: T cells of each against the blood cells of the other.

They follow the equations of T cells against the host (:mod:`abm.model.body.organs`), but what wakes them is the other
donor's blood, which presents itself: few cells of it suffice, as of leukaemia, and it goes on without inflammation, as
the rejection of a graft by the host does. Each side kills lymphocytes and marrow cells of the other, the T cells that
see it among them, so that who is ahead stays ahead. How many precursors see the other differs between pairs by orders
of magnitude, and one way from the other (Russell, Bone Marrow Transplant 2001): one draw for each side.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from abm.cells import FIRST_MOTILE, Kind, Origin, Specificity
from abm.exactmath import exp, log
from abm.model.body.immune import Arrival
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, runge_kutta
from abm.model.body.organs import DIVISIONS, find_donor
from abm.philox import philox_scalar
from abm.streams import Stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from abm.model.body import Body
    from abm.model.body.organs import Alloimmunity, Surroundings

#: Whose T cells: the order of all arrays here.
RIVALS = (Origin.DONOR, Origin.DONOR2)
#: What effectors of each see in the marrow.
SEEN = (Specificity.SECOND_DONOR, Specificity.FIRST_DONOR)
#: Spread (standard deviation) of the logarithm of the odds of a uniform number: pi over the root of three.
_OF_ODDS = 1.8137993642342178
_WORDS = 4294967296.0


class Rivals(Packed):
    """T cells of each donor that see the other, in cells of the whole body; arrays in the order of ``RIVALS``.

    Attributes:
        per_t_cell: precursors per T cell of each.
        precursors: not yet activated, shape (2,).
        effectors: activated, likewise.
        primed: activated so far, likewise; each gives a burst of limited size, and is spent as that dies.
        dividing: those that go through their programmed divisions, by stage, shape (2, DIVISIONS).
        waiting: agents due to enter the lattice, shape (2,).
    """

    STATE = ("precursors", "effectors", "primed", "dividing", "waiting")

    def __init__(self, per_t_cell: tuple[float, float], cells_per_agent: float) -> None:
        """Start without any; ``cells_per_agent``: real cells per effector agent of the lattice."""
        self.per_t_cell, self._cells_per_agent = per_t_cell, cells_per_agent
        self.precursors: Floats = np.zeros(2)
        self.effectors: Floats = np.zeros(2)
        self.primed: Floats = np.zeros(2)
        self.dividing: Floats = np.zeros((2, DIVISIONS))
        self.waiting: Floats = np.zeros(2)

    def infuse(self, origin: Origin, cd3: float) -> None:
        """Take over the precursors among so many T cells of a donor."""
        if origin in RIVALS:
            side = RIVALS.index(origin)
            self.precursors[side] += cd3 * self.per_t_cell[side]

    def survive(self, resting: float, cycling: float, side: int | slice = slice(None)) -> None:
        """Keep only these shares of the cells at rest and in cycle, of both sides or of one."""
        self.precursors[side] *= resting
        for cells in (self.effectors, self.primed, self.dividing):
            cells[side] *= cycling

    def advance(self, allo: Alloimmunity, around: Surroundings, shown: tuple[float, float], step_h: float) -> None:
        """Advance by ``step_h`` hours.

        Args:
            allo: T cells against the host, which make the inflammation.
            around: what both depend on.
            shown: presentation of the other donor to each side, 0-1.
            step_h: hours.
        """
        for side, presented in enumerate(shown):
            state = [float(x[side]) for x in (self.precursors, self.effectors, self.primed)]
            state += self.dividing[side].tolist()
            if any(state):
                found = self._advanced(side, state, allo, around, presented, step_h / HOURS_PER_DAY)
                self.precursors[side], self.effectors[side], self.primed[side] = found[:3]
                self.dividing[side] = found[3:]

    def _advanced(
        self, side: int, state: list[float], allo: Alloimmunity, around: Surroundings, presented: float, days: float
    ) -> list[float]:
        """Return what ``state`` (precursors, effectors, primed, dividing) of one side becomes."""
        r = allo.rules
        by_injury = allo.danger_of_injury(allo.inflammation)
        danger = by_injury + r.rejection_danger * (1.0 - by_injury)
        signal = danger * presented * around.activation
        priming, allowed = signal * r.priming * around.priming, around.proliferation * around.unregulated
        crowd, progeny = max(r.priming_half * self.per_t_cell[side], 1.0), allo.progeny(danger, allowed)

        def slope(y: list[float]) -> list[float]:
            precursors, effectors, primed, *dividing = y
            started = priming * allo.meeting(precursors, crowd)
            passing = allo.passing(started, dividing)
            ended = r.effector_death * effectors
            grown = effectors * allo.growth(signal, effectors, primed * r.effector_burst) * allowed
            changes = [-started, passing[-1] * progeny + grown - ended, passing[-1] - ended / r.effector_burst]
            return changes + [came - went for came, went in pairwise(passing)]

        return runge_kutta(slope, state, days)

    def survival_of_other(self, side: int, allo: Alloimmunity, step_h: float) -> float:
        """Return the share of the other donor's blood cells that survives the effectors of one side for a step."""
        r, effectors = allo.rules, float(self.effectors[side])
        return exp(-r.blood_kill * effectors / (r.blood_kill_half + effectors) * step_h / HOURS_PER_DAY)

    def queue(self, entry_per_day: float, step_h: float) -> None:
        """Let the step's share of the effectors head for the marrow."""
        self.waiting += self.effectors * (entry_per_day * step_h / HOURS_PER_DAY / self._cells_per_agent)

    def depart(self) -> list[Arrival]:
        """Return the whole agents that are due; the remainder waits (``effectors`` counts the whole body)."""
        agents = np.floor(self.waiting)
        self.waiting -= agents
        due = zip(RIVALS, SEEN, agents.tolist(), strict=True)
        return [(Kind.CD8_EFFECTOR, origin, seen, int(n)) for origin, seen, n in due if n > 0.0]

    def wait_again(self, specificity: Specificity, agents: int) -> None:
        """Let agents that found no site wait for the next step."""
        self.waiting[SEEN.index(specificity)] += agents


def start(body: Body) -> Rivals | None:
    """Return those of a patient who gets cells of two donors that differ; ``None``: nobody sees anybody."""
    usual = find_donor(body.tables.donors, body.patient.between_donors).graft_versus_host
    if not body.watch.rivals or usual == 0.0 or body.donor.shares_antigens:
        return None
    spread = body.allo.rules.rival_spread
    draws = [(philox_scalar(body.seed, 0, 0, Stream.RIVALS * 256 + side)[0] + 0.5) / _WORDS for side in range(2)]
    first, second = (min(usual * exp(spread / _OF_ODDS * log(u / (1.0 - u))), 1.0) for u in draws)
    return Rivals((first, second), body.scale.cells_per_agent / body.allo.rules.effector_enrichment)


def presented(body: Body, population: NDArray[np.int64]) -> tuple[float, float]:
    """Return how far the other donor is presented to each side, 0-1: full long before the marrow is its own."""
    pools, half = body.lymphocytes.pools.sum(axis=0).tolist(), body.allo.rules.relapse_half
    residents = population[:FIRST_MOTILE].sum(axis=0).tolist()
    shares = [(residents[o] + pools[o] / body.scale.cells_per_agent) / body.scale.reference_cellularity for o in RIVALS]
    first, second = (share / (half + share) for share in shares)
    return second, first


def classes(body: Body, origin: Origin, t_cells: float) -> tuple[Specificity, Specificity, float] | None:
    """Return the classes of CD8 and CD4 cells of a donor that see the other, and their share of its T cells."""
    rivals = body.rivals
    if rivals is None or origin not in RIVALS:
        return None
    side = RIVALS.index(origin)
    share = float(rivals.precursors[side]) / t_cells if t_cells > 0.0 else 0.0
    helpers = (Specificity.SECOND_DONOR_II, Specificity.FIRST_DONOR_II)
    return (SEEN[side], helpers[side], min(share, 1.0)) if share > 0.0 else None


def observables(rivals: Rivals | None) -> dict[str, float]:
    """Return the present values by the names of ``OBSERVABLES``."""
    cells = [0.0, 0.0] if rivals is None else rivals.effectors.tolist()
    return dict(zip(OBSERVABLES, cells, strict=True))


#: What is measured: unit and meaning by name; 0 in patients without a second donor.
OBSERVABLES: dict[str, tuple[str, str]] = {
    "first_against_second": ("cells", "T cells of the first donor activated against the second, in the whole body"),
    "second_against_first": ("cells", "T cells of the second donor activated against the first, in the whole body"),
}
