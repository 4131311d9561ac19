"""Treatment that waits for a complication: a drug that begins when it reaches a grade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isinf

import numpy as np

from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed

#: Complications that a drug may wait for: acute graft-versus-host disease, cytokine release, fever in neutropenia.
AGAINST = ("gvhd", "crs", "fever")
GRADED_EVERY_DAYS = 1.0  #: what is treated is seen on the day on which it is, however soon the drug acts


@dataclass(frozen=True)
class Plan:
    """When a drug begins and how long it is given.

    Attributes:
        grade: least overall grade at which a course begins.
        days: days at full level.
        taper_days: days of the linear taper that follows.
        against: what is graded, one of ``AGAINST``.
    """

    grade: int
    days: float
    taper_days: float
    against: str = AGAINST[0]


class Treatment(Packed):
    """The drugs that wait, or are being given.

    Attributes:
        order: level, least grade, days at full level, days of taper and place in ``AGAINST`` by drug, shape (drugs, 5);
            a grade of 0: none.
        since: days since the course of each drug began, shape (drugs,); infinite between courses.
    """

    STATE = ("order", "since")

    def __init__(self, n_drugs: int) -> None:
        """Start without an order."""
        self.order: Floats = np.zeros((n_drugs, 5))
        self.since: Floats = np.full(n_drugs, inf)

    def plan(self, drug: int, level: float, plan: Plan) -> None:
        """Order a drug, instead of what was ordered of it before."""
        self.order[drug] = level, plan.grade, plan.days, plan.taper_days, AGAINST.index(plan.against)
        self.since[drug] = inf

    def end(self, drug: int) -> None:
        """Withdraw the order of a drug."""
        self.order[drug], self.since[drug] = 0.0, inf

    def begun(self, against: str) -> int:
        """Return the highest grade that has made a course against this complication begin in the last day, 0: none."""
        of_it = (self.order[:, 4] == AGAINST.index(against)) & (self.since < GRADED_EVERY_DAYS)
        return int(self.order[of_it, 1].max(initial=0.0))

    def advance(self, grades: Sequence[int], step_h: float) -> list[tuple[int, float]]:
        """Return index and level of the drugs whose level is set for the coming step.

        A course begins at the ordered grade; once its taper is over, the next one may.

        Args:
            grades: present grades in the order of ``AGAINST``.
            step_h: hours.
        """
        given = []
        for drug in np.flatnonzero(self.order[:, 1]).tolist():
            level, least, days, taper, against = self.order[drug].tolist()
            since = float(self.since[drug])
            if isinf(since) and grades[int(against)] < least:
                continue
            since = 0.0 if isinf(since) else since + step_h / HOURS_PER_DAY
            left = days + taper - since
            self.since[drug] = since if left > 0.0 else inf
            given.append((drug, 0.0 if left <= 0.0 else level if left >= taper else level * left / taper))
        return given
