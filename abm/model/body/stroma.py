"""Stroma of the marrow: reticular cells and sinusoids whose factors stem and progenitor cells divide on.

Conditioning kills part of it, and it comes back over months. There is a reserve: what half of it makes is nearly
enough, so that most grafts take as if it were whole, and in a few patients, whose stroma was scarce or tender, they
take late or never (a signal of responses.csv).
"""

from __future__ import annotations

from abm.exactmath import exp
from abm.model.body.numerics import HOURS_PER_DAY, Packed
from abm.model.body.parameters import StromaRules


class Stroma(Packed):
    """What is left of the stroma.

    Attributes:
        intact: share of that of a healthy marrow, 0-1.
    """

    STATE = ("intact",)

    def __init__(self, rules: StromaRules, tenderness: float = 1.0) -> None:
        """Start whole; conditioning takes ``tenderness`` times as much as usual, in logarithms."""
        self.rules, self._tenderness = rules, tenderness
        self.intact = 1.0

    def injure(self, injury: float) -> None:
        """Lose what conditioning of this intensity (1: myeloablative) kills."""
        self.intact = self.intact * exp(-self.rules.stroma_injury * self._tenderness * injury)

    def advance(self, step_h: float) -> None:
        """Grow back for ``step_h`` hours."""
        lost = 1.0 - self.intact
        if lost > 0.0:
            self.intact = 1.0 - lost * exp(-step_h / HOURS_PER_DAY / self.rules.stroma_recovery)
