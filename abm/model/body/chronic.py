"""Chronic GVHD: tolerance that a hurt thymus and lasting host-reactive donor T cells break, and what follows.

Two things have to come together: donor T cells that recognise the host and were neither activated nor deleted, and a
thymus too damaged to delete more of them and to send out regulatory cells. What both make builds up over weeks; disease
begins by chance at a rate in proportion to it, grows, hurts the thymus again, and heals over years. Its effectors keep
visiting the marrow, so that it keeps leukaemia down. Fibrosis and B cells are not told apart from the rest.

Those that have escaped the thymus are held by PD-1 in the tissue. Where it is blocked, tolerance is lost at once, by as
much as there are host-reactive cells.

How many T cells see each antigen counts, as it does for priming: a foreign HLA type brings more antigens, each with T
cells of its own, and not a faster loss of tolerance.
"""

from __future__ import annotations

from math import inf

import numpy as np

from abm.exactmath import exp
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, some
from abm.model.body.parameters import ChronicRules
from abm.philox import philox_scalar
from abm.streams import Stream

STAGES = 3  #: of the loss of tolerance: next to no chronic GVHD begins in the first weeks
_TWO32 = 4294967296.0


class ChronicDisease(Packed):
    """Chronic GVHD of one patient.

    Attributes:
        breaking: stages of the loss of tolerance, 0-1, the last of which is what is lost, shape (STAGES,).
        exposure: hazard of its onset so far.
        onset: day on which it began; infinite before.
        severity: 0-1.
    """

    STATE = ("breaking", "exposure", "onset", "severity")

    def __init__(self, rules: ChronicRules, seed: int) -> None:
        """Start without it; ``seed`` is that of the run."""
        self.rules, self._seed = rules, seed
        self.breaking: Floats = np.zeros(STAGES)
        self.exposure, self.onset, self.severity = 0.0, inf, 0.0

    def advance(
        self, reactive: float, thymic_function: float, step: int, day: float, step_h: float, unbraked: float = 0.0
    ) -> None:
        """Advance by ``step_h`` hours that end on ``day``.

        Args:
            reactive: donor T cells of the usual pair that hold as many host-reactive ones as are not yet activated, as
                far as drugs let them act.
            thymic_function: 0-1: how much of the body's antigens its epithelium shows to thymocytes (``selection.py``).
            step: number of the step, which is that of its draw.
            day: day at the end of the step.
            step_h: hours.
            unbraked: blocked share of PD-1, 0-1.
        """
        if reactive == 0.0 and self.exposure == 0.0 and not some(self.breaking):
            return  # nothing has begun
        r, days = self.rules, step_h / HOURS_PER_DAY
        able = reactive / (r.chronic_half + reactive)
        drive = able * (1.0 - thymic_function)
        kept = exp(-days * STAGES / r.chronic_delay)
        stages = self.breaking.tolist()
        ahead = (drive, *stages[:-1])
        self.breaking[:] = [before + (x - before) * kept for x, before in zip(stages, ahead, strict=True)]
        lost = self.broken + (1.0 - self.broken) * r.chronic_without_pd1 * unbraked * able
        hazard = r.chronic_rate * lost * days
        self.exposure += hazard
        if hazard > 0.0 and self.onset == inf:
            luck = philox_scalar(self._seed, 0, step, Stream.CHRONIC * 256)[0] / _TWO32
            if luck < 1.0 - exp(-hazard):
                self.onset = day
        if self.onset < inf:
            grown = 1.0 - (1.0 - self.severity) * exp(-r.chronic_growth * lost * days)
            self.severity = grown * exp(-days / r.chronic_repair)

    @property
    def broken(self) -> float:
        """Tolerance that is lost with PD-1 unblocked, 0-1."""
        return float(self.breaking[-1])

    @property
    def risk(self) -> float:
        """Probability that it has begun in somebody with this course."""
        return 1.0 - exp(-min(self.exposure, 700.0))

    @property
    def effectors(self) -> float:
        """Donor T cells that it keeps active against the host."""
        return self.rules.chronic_effectors * self.severity

    def thymic_damage(self, step_h: float) -> float:
        """Return the share of thymic function lost to it in a step."""
        return 1.0 - exp(-self.rules.chronic_thymus * self.severity * step_h / HOURS_PER_DAY)
