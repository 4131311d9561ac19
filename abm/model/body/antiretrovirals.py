"""Antiretroviral therapy: daily doses, taken or forgotten, and the share of infections they block.

A dose is drawn when it is due, so that decades of it cost no schedule.
"""

from __future__ import annotations

from abm.exactmath import LN2, exp
from abm.model.body.hiv_rules import HivRules
from abm.model.body.numerics import HOURS_PER_DAY, Packed
from abm.philox import philox_scalar
from abm.streams import Stream

_WORDS = 4294967296.0
_DRAW = Stream.VIRUS * 256 + 1


class Antiretrovirals(Packed):
    """What is taken and what is on board.

    Attributes:
        adherence: chance that a dose is taken; 0: none is due.
        level: concentration over that before the next dose if none is ever missed.
        due: hours until the next dose.
        doses: doses due so far.
    """

    STATE = ("adherence", "level", "due", "doses")

    def __init__(self, rules: HivRules, seed: int) -> None:
        """Start without therapy."""
        self._quotient, self._fold, self._seed = rules.art_quotient, rules.resistance_fold, seed
        self._rate = LN2 / rules.art_half_life
        self._dose = exp(self._rate * HOURS_PER_DAY) - 1.0
        self.adherence, self.level, self.due, self.doses = 0.0, 0.0, 0.0, 0.0

    def order(self, adherence: float) -> None:
        """Begin, change or (with 0) end the therapy; the first dose is due at once."""
        if self.adherence == 0.0:
            self.due = 0.0
        self.adherence = adherence

    def blocked(self, *, resistant: bool = False) -> float:
        """Return the share of infections that the present level blocks, of virus that does or does not resist."""
        inhibition = self._quotient * self.level / (self._fold if resistant else 1.0)
        return inhibition / (1.0 + inhibition)

    def advance(self, hours: float) -> tuple[float, float]:
        """Take what is due, let ``hours`` go by; return the shares blocked at half time: sensitive, resistant virus."""
        while self.adherence > 0.0 and self.due <= 0.0:
            if philox_scalar(self._seed, int(self.doses), 0, _DRAW)[0] < self.adherence * _WORDS:
                self.level += self._dose
            self.doses += 1.0
            self.due += HOURS_PER_DAY
        self.due -= hours
        half = exp(-self._rate * hours / 2.0)
        self.level = self.level * half
        blocked = self.blocked(), self.blocked(resistant=True)
        self.level = self.level * half
        return blocked
