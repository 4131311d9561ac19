"""Treatment that waits for the disease: a drug that begins when acute GVHD reaches a grade."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isinf

import numpy as np

from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed


@dataclass(frozen=True)
class Plan:
    """When a drug begins and how long it is given.

    Attributes:
        grade: least overall grade at which a course begins.
        days: days at full level.
        taper_days: days of the linear taper that follows.
    """

    grade: int
    days: float
    taper_days: float


class Treatment(Packed):
    """The drug that waits, or is being given.

    Attributes:
        order: index of the drug, level, least grade, days at full level, days of taper, shape (5,); a grade of 0: none.
        since: days since the course began; infinite between courses.
    """

    STATE = ("order", "since")

    def __init__(self) -> None:
        """Start without an order."""
        self.order: Floats = np.zeros(5)
        self.since = inf

    def plan(self, drug: int, level: float, plan: Plan) -> None:
        """Order a drug, instead of what was ordered before."""
        self.order = np.array([drug, level, plan.grade, plan.days, plan.taper_days], dtype=np.float64)
        self.since = inf

    def end(self, drug: int) -> None:
        """Withdraw the order of a drug, if it is the one that stands."""
        if int(self.order[0]) == drug:
            self.order, self.since = np.zeros(5), inf

    def advance(self, grade: int, step_h: float) -> tuple[int, float] | None:
        """Return index and level of the drug in the coming step, ``None`` if nothing is given or changed.

        A course begins at the ordered grade; once its taper is over, the next one may.
        """
        drug, level, least, days, taper = self.order.tolist()
        if least == 0.0 or (isinf(self.since) and grade < least):
            return None
        self.since = 0.0 if isinf(self.since) else self.since + step_h / HOURS_PER_DAY
        left = days + taper - self.since
        if left <= 0.0:
            self.since = inf
            return int(drug), 0.0
        return int(drug), level if left >= taper else level * left / taper
