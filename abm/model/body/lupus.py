"""Systemic lupus: nuclear-reactive B cells, T-cell help, plasma cells, autoantibody, complexes, interferon, organs.

Complexes of autoantibody and nuclear antigen make plasmacytoid cells release type I interferon, which helps the B cells
that make the antibody: a loop with two states, active disease and remission, between which deep depletion of B cells or
of everything can switch. All but the vaccine titre is relative to active disease.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from abm.cells import Kind
from abm.exactmath import LN2, exp
from abm.model.body.autoimmunity import Follower, PoolShares, trigger
from abm.model.body.drugs import DRUG_TARGETS, RADIATION_TARGETS
from abm.model.body.immune import Lymphocytes
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, runge_kutta
from abm.model.body.parameters import in_unit

#: Places in ``Lupus.course``.
NAMES = ("trigger", "b", "interferon", "help", "short", "long", "antibody", "activity", "vaccine", "titre")
INTERFERON, HELP, SHORT, LONG, ANTIBODY, ACTIVITY, VACCINE, TITRE = range(2, len(NAMES))
#: Places of cells that drugs and radiation kill, with the classes of the two whose hazards they meet.
KILLED_AS = (
    ((HELP,), "t_resting", "lymphocyte_memory"),
    ((SHORT,), "t_cycling", "lymphocyte_memory"),
    ((LONG, VACCINE), "plasma", "maturing"),
)


@dataclass(frozen=True)
class LupusRules:
    """``lupus.csv``."""

    born_share: float = in_unit("1")
    active_share: float = in_unit("1")
    expansion: float = in_unit("1/d")
    help_half: float = in_unit("1")
    help_turnover: float = in_unit("d")
    complex_half: float = in_unit("1")
    interferon_turnover: float = in_unit("d")
    short_lived: float = in_unit("d")
    long_lived: float = in_unit("d")
    long_lived_share: float = in_unit("1")
    antibody_half_life: float = in_unit("d")
    activity_start: float = in_unit("points")
    activity_turnover: float = in_unit("d")
    flare: float = in_unit("points")
    trigger_rate: float = in_unit("1/a")
    trigger_spread: float = in_unit("1")
    trigger_duration: float = in_unit("d")


class Lupus(Packed):
    """The disease of one patient.

    Attributes:
        course: by ``NAMES``: trigger that lasts, nuclear-reactive B cells, interferon, T-cell help, short- and
            long-lived plasma cells that make autoantibody, autoantibody, activity (points), long-lived plasma cells
            that make antibody against vaccines and its titre; shape (10,).
        flares: flares so far; ``flaring``: whether one is on.
        turn: steps so far.
    """

    STATE = ("course", "flares", "flaring", "turn")

    def __init__(self, rules: LupusRules, reactive: PoolShares, seed: int, b_pool: float, b_turnover: float) -> None:
        """Start in active disease.

        Args:
            rules: of the table.
            reactive: nuclear-reactive share of the B cells.
            seed: of the run.
            b_pool: B cells of the body at homeostasis.
            b_turnover: share of them that is replaced per day.
        """
        self.rules, self.reactive, self._seed = rules, reactive, seed
        self._active, self._turnover = rules.active_share * b_pool, b_turnover
        self._interferon = _saturated(1.0, rules.complex_half)
        self._help = self._interferon / (1.0 + rules.help_half)
        start = (0.0, 1.0, self._interferon, self._help, 1.0, 1.0, 1.0, rules.activity_start, 1.0, 1.0)
        self.course: Floats = np.array(start)
        self.flares, self.flaring, self.turn = 0.0, 1.0, 0.0

    @property
    def followers(self) -> Mapping[str, Follower]:
        """Who keeps account of cells that enter the pools."""
        return {"self_reactive": self.reactive}

    def survive(self, by_drug: Floats, by_radiation: Floats) -> None:
        """Let drugs and radiation kill helpers as resting T cells, young plasma cells as cycling ones.

        Long-lived ones die as all of them do (``plasma.py``).
        """
        for places, drug, radiation in KILLED_AS:
            hazard = float(by_drug[DRUG_TARGETS.index(drug)]) + float(by_radiation[RADIATION_TARGETS.index(radiation)])
            for place in places:
                self.course[place] *= exp(-hazard)

    def survive_of(self, origins: slice, share: float) -> None:
        """B cells are a share of their pool, and lost with it."""

    def survive_plasma(self, share: float) -> None:
        """Keep only this share of the plasma cells, young and long-lived ones."""
        for place in (SHORT, LONG, VACCINE):
            self.course[place] *= share

    def advance(self, lymphocytes: Lymphocytes, inhibition: Mapping[str, float], step_h: float) -> None:
        """Let a step go by."""
        r, days = self.rules, step_h / HOURS_PER_DAY
        strength, _ = trigger(self._seed, int(self.turn), r.trigger_rate, r.trigger_spread, step_h)
        self.turn += 1.0
        self.course[0] += strength
        b = self.reactive.cells(Kind.IMMATURE_B, lymphocytes) / self._active
        self.course[1] = b
        left = (1.0 - inhibition["activation"], 1.0 - inhibition["proliferation"])
        self.course = np.array(runge_kutta(lambda y: self.slope(y, *left), self.course.tolist(), days))
        if b * self._active >= 1.0:  # less than a cell does not grow
            self.reactive.share *= float(self.course[1]) / b
        flaring = float(self.course[ACTIVITY] >= r.flare)
        self.flares += float(flaring > self.flaring)
        self.flaring = flaring

    def slope(self, y: list[float], activation: float, proliferation: float) -> list[float]:
        """Return the rates of change per day of ``course``, under what drugs leave of activation and proliferation.

        Loss and influx of B cells are those of the pool and not part of it; in active disease growth makes up for them.
        """
        r = self.rules
        shown, b, interferon, helped, short, long, antibody, activity, vaccine, titre = y
        complexes = _saturated(antibody * (1.0 + shown), r.complex_half)
        called = interferon * b / (b + r.help_half) * activation
        aid = helped / self._help
        growth = r.expansion * proliferation * aid - (r.expansion - self._turnover) * b
        clearance = LN2 / r.antibody_half_life
        made = (1.0 - r.long_lived_share) * short + r.long_lived_share * long
        return [
            -shown / r.trigger_duration,
            b * growth,
            (complexes - interferon) / r.interferon_turnover,
            (called - helped) / r.help_turnover,
            (b * aid * proliferation - short) / r.short_lived,
            (short - long) / r.long_lived,
            clearance * (made - antibody),
            (r.activity_start * complexes / self._interferon - activity) / r.activity_turnover,
            0.0,
            clearance * (vaccine - titre),
        ]

    def observables(self) -> dict[str, float]:
        """Return what is measured of it."""
        y = self.course.tolist()
        return {
            "nuclear_b": y[1],
            "autoantibody": y[ANTIBODY],
            "interferon": y[INTERFERON] / self._interferon,
            "vaccine_titre": y[TITRE],
            "sledai": y[ACTIVITY],
            "sle_flares": self.flares,
        }


def _saturated(level: float, half: float) -> float:
    """Return the Hill function of power 2."""
    return level * level / (half * half + level * level)
