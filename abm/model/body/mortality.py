"""Death as competing hazards: infection, bleeding, anaemia, GVHD, leukaemia, toxicity of conditioning.

The hazards add up in every run, so that the survival that they leave can be averaged over patients who do not die; one
who may die does so by a draw. For the average, death of bacteria follows the neutrophil count, as in many patients of
whom some catch an infection; who may die dies of the infections that came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from abm.exactmath import exp
from abm.model.body.infection import BACTERIA
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, total
from abm.model.body.parameters import MortalityRules

#: What one dies of, in the order of ``Mortality.exposure``; ``Mortality.cause`` counts from 1.
CAUSES = ("infection", "bleeding", "anaemia", "GVHD", "leukaemia", "toxicity")
_TWO32 = 4294967296.0


@dataclass(frozen=True)
class Illness:
    """What threatens besides low counts.

    Attributes:
        grade: overall grade of acute GVHD, 0-4.
        chronic: severity of chronic GVHD, 0-1.
        leukaemia: leukaemic cells of the marrow relative to a full one, 0-1.
        injury: mean loss of epithelium to conditioning, 0-1.
        protected: share of bacterial infections that prophylaxis prevents.
    """

    grade: int = 0
    chronic: float = 0.0
    leukaemia: float = 0.0
    injury: float = 0.0
    protected: float = 0.0


HEALTHY = Illness()


class Mortality(Packed):
    """Hazards so far, and the death of the patient if it has come.

    Attributes:
        exposure: cumulative hazard by cause, shape (len(CAUSES),).
        cause: 0 while alive, then 1 + the place of the cause in ``CAUSES``.
        day: when the patient died; infinite while alive.
    """

    STATE = ("exposure", "cause", "day")

    def __init__(self, rules: MortalityRules, anc: float, platelets: float, hb: float) -> None:
        """Start alive; ``anc``, ``platelets`` (1e9/L) and ``hb`` (g/L) are those of a healthy adult."""
        self.rules = rules
        self._usual = self._at(anc, platelets, hb)
        self.exposure: Floats = np.zeros(len(CAUSES))
        self.cause = 0.0
        self.day = float("inf")

    @property
    def dead(self) -> bool:
        """Whether the patient has died."""
        return self.cause > 0.0

    @property
    def survival(self) -> float:
        """Probability that somebody with these hazards is alive."""
        return exp(-min(total(self.exposure), 700.0))

    def risk(self, cause: str) -> float:
        """Return the probability that somebody with these hazards has died of ``cause``, were there no other."""
        return 1.0 - exp(-min(float(self.exposure[CAUSES.index(cause)]), 700.0))

    def hazards(self, anc: float, platelets: float, hb: float, illness: Illness = HEALTHY) -> Floats:
        """Return the hazards in 1/d by cause at these counts (1e9/L; g/L), beyond those of a healthy adult."""
        infection, *others = (
            max(now - usual, 0.0) for now, usual in zip(self._at(anc, platelets, hb), self._usual, strict=True)
        )
        low = (infection * (1.0 - illness.protected), *others)
        r = self.rules
        gvhd = (0.0, 0.0, 0.0, r.gvhd_death_3, r.gvhd_death_4)[illness.grade] + r.chronic_death * illness.chronic
        leukaemia = r.leukaemia_death * (1.0 - _lack(illness.leukaemia, r.leukaemia_half, r.leukaemia_power))
        toxicity = r.toxicity_death * illness.injury * illness.injury
        return np.array([*low, gvhd, leukaemia, toxicity])

    def _at(self, anc: float, platelets: float, hb: float) -> tuple[float, float, float]:
        r = self.rules
        return (
            r.infection_death * _lack(anc, r.infection_anc, r.infection_power),
            r.bleeding_death * _lack(platelets, r.bleeding_platelets, r.bleeding_power),
            r.anaemia_death * _lack(hb, r.anaemia_hb, r.anaemia_power),
        )

    def advance(
        self, hazards: Floats, infections: Sequence[float], day: float, step_h: float, draw: int | None
    ) -> None:
        """Let a step go by.

        Args:
            hazards: 1/d by cause during the step, bacteria averaged over patients.
            infections: hazard of the infections that are there, 1/d, in the order of ``infection.PATHOGENS``.
            day: day at its end.
            step_h: its length, hours.
            draw: 32 random bits that decide whether the patient dies and of what; ``None``: nobody dies.
        """
        days = step_h / HOURS_PER_DAY
        own = total(infections)
        averaged = hazards.copy()
        averaged[0] += own - infections[BACTERIA]
        self.exposure = self.exposure + averaged * days
        if draw is None or self.dead:
            return
        added = np.array([own, *hazards[1:].tolist()]) * days
        whole = total(added)
        if whole <= 0.0:
            return
        chance, luck = 1.0 - exp(-whole), draw / _TWO32
        if luck < chance:
            self.cause, self.day = 1.0 + _cause(added, luck / chance * whole), day


def _cause(hazards: Floats, mark: float) -> int:
    """Return the cause into whose stretch of all hazards, laid end to end, ``mark`` falls."""
    end = 0.0
    for cause, hazard in enumerate(hazards.tolist()):
        end = end + hazard
        if mark < end:
            return cause
    return len(CAUSES) - 1  # the very end, by rounding


def _lack(count: float, half: float, power: float) -> float:
    """Return 1 without any cell, 1/2 at ``half``, 0 at many: half^power / (half^power + count^power)."""
    ratio = count / half
    while power > 1.0:
        ratio, power = ratio * ratio, power / 2.0
    return 1.0 / (1.0 + ratio)
