"""The equations of alloreactivity, chronic GVHD and residual leukaemia, for all patients of a cohort at once.

A copy of what stands in ``abm/model/body`` (organs, restricted, chronic, treatment, residue), on arrays instead of
numbers, in what was recorded of every patient (:mod:`abm.calibration.recorded`). With the numbers under which it was
recorded a patient comes out as before, which a test holds; with others what blood, marrow and pools do stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from abm import endpoints as ends
from abm.calibration import held
from abm.calibration.recorded import Course
from abm.model.body.chronic import STAGES
from abm.model.body.numerics import Floats, runge_kutta
from abm.model.body.organs import DIVISIONS, GRADES, N_STAGES, ORGANS
from abm.model.body.parameters import ChronicRules, MortalityRules, OrganRules
from abm.model.body.residue import ResidueRules
from abm.model.body.treatment import GRADED_EVERY_DAYS

Ints = NDArray[np.int64]
_MANY, _NONE, _MOST = 50.0, 1e-9, 700.0
_TINY = 1e-300  #: keeps a quotient finite where there is nothing


@dataclass(frozen=True)
class Numbers:
    """What the equations take from the rule tables; each number may differ by patient, shape (patients,).

    Attributes:
        organs: alloreactivity and organs; ``chronic``, ``residue``, ``mortality`` likewise.
        thymus_injury: as in ``body.csv``; ``thymus_gvhd``, ``thymus_recovery`` likewise.
        steroid: share of killing that the steroid inhibits at level 1.
    """

    organs: OrganRules
    chronic: ChronicRules
    residue: ResidueRules
    mortality: MortalityRules
    thymus_injury: float
    thymus_gvhd: float
    thymus_recovery: float
    steroid: float


@dataclass(frozen=True)
class Persons:
    """By what patients differ; each attribute of shape (patients,).

    Attributes:
        place: patient of the course in whose blood and marrow this one lives.
        weight: kg.
        graft_versus_host: host-reactive precursors per donor T cell of the pair.
        alloreactivity: relative to that of the recorded pair.
        usual: those of the usual pair of the donor type.
        ubiquitous: share of them that sees all tissue.
        restricted: precursors per donor T cell that see blood cells alone.
        susceptibility: as in ``patient``; ``immunogenicity`` likewise; ``sensitivity``: relative to the recorded one.
        wake: as in ``StemCells``; ``divide``, ``renew``, ``die``, ``resting``, ``open_share``, ``full``, ``start`` too.
        luck: number that decides what is left of the leukaemia, 0-1.
        turn: by how much the numbers that decide the onset of chronic GVHD are turned, 0-1; 0: as recorded.
    """

    place: Ints
    weight: Floats
    graft_versus_host: Floats
    alloreactivity: Floats
    usual: Floats
    ubiquitous: Floats
    restricted: Floats
    susceptibility: Floats
    immunogenicity: Floats
    sensitivity: Floats
    wake: Floats
    divide: Floats
    renew: Floats
    die: Floats
    resting: Floats
    open_share: Floats
    full: Floats
    start: Floats
    luck: Floats
    turn: Floats


class Replay:
    """All patients of a cohort in time; attributes as those of the parts of the body, last axis: patients."""

    def __init__(self, course: Course, persons: Persons, numbers: Numbers) -> None:
        """Start without alloreactive cells."""
        self.course, self.persons, self.numbers = course, persons, numbers
        n = persons.place.size
        self.days = float(course.day[1, 0] - course.day[0, 0])
        self.inflammation, self.host_apc, self.donor_apc = np.zeros(n), np.ones(n), np.zeros(n)
        self.precursors, self.effectors, self.primed, self.exhausted = np.zeros((4, n))
        self.immune, self.injury = np.zeros((2, len(ORGANS), n))
        self.dividing = np.zeros((DIVISIONS, n))
        self.restricted = np.zeros((4 + DIVISIONS, n))  # precursors, effectors, primed, memory, dividing
        self.thymus, self.grade = np.ones(n), np.zeros(n)
        self.breaking, self.exposure = np.zeros((STAGES, n)), np.zeros(n)
        self.onset, self.severity = np.full(n, np.inf), np.zeros(n)
        self.since, self.level, self.began = np.full(n, np.inf), np.zeros(n), np.zeros(n)
        self.cells, self.log_growth, self.losses = persons.start.copy(), np.zeros(n), np.zeros(n)
        self.asleep, self.died = persons.resting.copy(), np.zeros(n)

    def advance(self, step: int) -> None:
        """Let a step go by, in the order of ``Body.advance``."""
        now = {f.name: getattr(self.course, f.name)[step][self.persons.place] for f in fields(self.course)}
        killing = now["killing"] * (1.0 - self.numbers.steroid * self.level)
        self._follow_leukaemia(now, killing)
        self._injure(now)
        leukaemia = np.minimum(self.left / self.persons.full, 1.0)
        lost = self.immune.copy()
        self._fight(now, killing, leukaemia)
        self._fight_restricted(now, killing, leukaemia)
        gained = np.maximum((self.immune - lost).max(axis=0), 0.0)
        self.thymus *= 1.0 - np.minimum(self.numbers.thymus_gvhd * gained, 1.0)
        self._break_tolerance(now)
        self._treat(now)
        self.precursors += now["infused"] * self.persons.alloreactivity
        self.restricted[0] += now["cd3"] * self.persons.restricted
        self._threaten(now, leukaemia)

    def observables(self, *, last: bool = False) -> dict[str, Floats]:
        """Return what is measured, by the names that the body gives; ``overt_risk`` in the ``last`` record alone."""
        left = self.left / self.persons.full
        return {
            "relapse_risk": self.risk,
            "residual_stem_cells": self.left,
            "residual_share": left,
            "residual_if_left": self.share_if_left,
            "overt_risk": self.overt_risk if last else np.zeros(left.shape),
            "gvhd_grade": np.maximum(self.grade, np.where(self.since < GRADED_EVERY_DAYS, self.began, 0.0)),
            "chronic_gvhd": self.severity,
            "chronic_risk": 1.0 - np.exp(-np.minimum(self.exposure, _MOST)),
            "survival": np.exp(-np.minimum(self.died, _MOST)),
        }

    # ------------------------------------------------------------------------------------------ alloreactive cells

    def _injure(self, now: Mapping[str, Floats]) -> None:
        """Let drugs and host T cells kill those of the donor, and conditioning hurt organs and thymus."""
        r, amount = self.numbers.organs, now["injured"]
        self.precursors *= now["kept_resting"]
        self.exhausted *= now["kept_resting"]
        self.effectors *= now["kept_cycling"]
        self.primed *= now["kept_cycling"]
        self.dividing *= now["kept_cycling"]
        resting, cycling = now["kept_resting"], now["kept_cycling"]
        self.restricted *= [resting, cycling, cycling, resting, *([cycling] * DIVISIONS)]
        self.inflammation = self.inflammation + amount
        self.injury += (1.0 - self.immune - self.injury) * (1.0 - np.exp(-r.epithelium_injury * amount))
        self.thymus *= 1.0 - np.minimum(self.numbers.thymus_injury * amount, 1.0)
        self.thymus = 1.0 - (1.0 - self.thymus) * np.exp(-self.days / self.numbers.thymus_recovery)

    def _danger(self, inflammation: Floats, leukaemia: Floats, effectors: Floats, killing: Floats) -> Floats:
        r, held_back = self.numbers.organs, 1.0 - held.reach(self.numbers.organs, inflammation, leukaemia)
        inflamed = inflammation + held.alarm(r, held_back, effectors, self.persons.susceptibility * killing)
        square = inflamed * inflamed
        danger = r.activation_floor + (1.0 - r.activation_floor) * square / (r.injury_half * r.injury_half + square)
        by_leukaemia = r.relapse_danger * r.leukaemia_presentation * leukaemia / (r.relapse_half + leukaemia)
        return danger + by_leukaemia * (1.0 - danger)

    def _meeting(self, precursors: Floats, crowd: Floats) -> Floats:
        crowded = 1.0 + precursors / crowd
        return precursors / crowded * np.power(crowded, self.numbers.organs.priming_slope)

    def _passing(self, started: Floats, dividing: list[Floats]) -> list[Floats]:
        pace = DIVISIONS / self.numbers.organs.programmed_days
        return [started, *(cells * pace for cells in dividing)]

    def _growth(self, signal: Floats, effectors: Floats, most: Floats) -> Floats:
        r = self.numbers.organs
        room = 1.0 - effectors / r.effector_capacity - effectors / np.maximum(most, 1.0)
        return signal * r.effector_growth * np.maximum(room, 0.0)

    def _fight(self, now: Mapping[str, Floats], killing: Floats, leukaemia: Floats) -> None:
        """Advance alloreactive cells and organs."""
        r = self.numbers.organs
        host_apc = np.where(now["grafted"] > 0.0, np.minimum(now["host"] + leukaemia, 1.0), 1.0)
        crowd = np.maximum(r.priming_half * self.persons.graft_versus_host, 1.0)
        organ_kill = [getattr(r, f"{organ}_kill") for organ in ORGANS]
        allowed = now["proliferation"] * now["unregulated"]

        def slope(y: list[Floats]) -> list[Floats]:
            inflammation, apc, precursors, effectors, primed, exhausted = y[:6]
            immune, injury = y[6:9], y[9:12]
            seen = self._danger(inflammation, leukaemia, effectors, killing)
            shed = (immune[0] + immune[1] + immune[2]) / len(ORGANS)
            indirectly = r.indirect_presentation * shed + r.activation_without_pd1 * now["unbraked"]
            signal = seen * (apc * now["activation"]) + indirectly * y[-1] * now["activation"]
            reaching = effectors * held.reach(r, inflammation, leukaemia)
            kill = self.persons.susceptibility * r.tissue_kill * reaching / (r.tissue_kill_half + reaching) * killing
            intact = [1.0 - a - b for a, b in zip(immune, injury, strict=True)]
            mean_intact = (intact[0] + intact[1] + intact[2]) / len(ORGANS)
            started = signal * self._meeting(precursors, crowd) * (r.priming * now["priming"])
            passing = self._passing(started, y[12:-1])
            awoken = exhausted * (r.reinvigoration * now["unbraked"])
            growth = self._growth(signal, effectors, primed * r.effector_burst) * allowed
            progeny = 1.0 + (r.programmed_burst - 1.0) * seen * allowed
            return [
                r.injury_from_loss * (1.0 - mean_intact) + r.injury_from_killing * kill * mean_intact
                - r.injury_decay * inflammation,
                (host_apc - apc) / r.apc_turnover,
                -started,
                passing[-1] * progeny + effectors * (growth - r.effector_death) + awoken * r.reinvigorated_yield,
                passing[-1] + (awoken * r.reinvigorated_yield - effectors * r.effector_death) / r.effector_burst,
                effectors * (r.effector_death * r.exhausted_share) - exhausted * r.exhausted_loss - awoken,
                *(k * kill * h - r.tissue_repair * x for k, h, x in zip(organ_kill, intact, immune, strict=True)),
                *(-r.tissue_repair * x for x in injury),
                *(came - went for came, went in pairwise(passing)),
                (now["donor_apc"] - y[-1]) / r.apc_turnover,
            ]  # fmt: skip

        state = [self.inflammation, self.host_apc, self.precursors, self.effectors, self.primed, self.exhausted]
        y = [*state, *self.immune, *self.injury, *self.dividing, self.donor_apc]
        fastest = self.persons.susceptibility * r.tissue_kill * np.maximum.reduce(organ_kill)
        parts = 1.0 + np.floor(self.days * fastest)
        for part in range(int(parts.max())):
            y = runge_kutta(slope, y, np.where(part < parts, self.days / parts, 0.0))
        self.inflammation, self.host_apc, self.precursors, self.effectors, self.primed, self.exhausted = y[:6]
        self.immune, self.injury, self.dividing = np.array(y[6:9]), np.array(y[9:12]), np.array(y[12:-1])
        self.donor_apc = y[-1]
        self.grade = self._grade()

    def _grade(self) -> Floats:
        r, worst = self.numbers.organs, np.zeros(self.grade.shape)
        for organ, loss in zip(ORGANS, self.immune, strict=True):
            for stage in range(N_STAGES):
                limit = getattr(r, f"{organ}_stage_{stage + 1}")
                worst = np.where(loss >= limit, np.maximum(worst, GRADES[organ][stage]), worst)
        return worst

    def _fight_restricted(self, now: Mapping[str, Floats], killing: Floats, leukaemia: Floats) -> None:
        """Advance the cells that see blood cells alone next to the others."""
        organs, rules = self.numbers.organs, self.numbers.residue
        danger = self._danger(self.inflammation, leukaemia, self.effectors, killing)
        signal = danger * (self.host_apc * now["activation"])
        priming, allowed = signal * organs.priming * now["priming"], now["proliferation"] * now["unregulated"]
        crowd = np.maximum(organs.priming_half * self.persons.restricted, _TINY)
        progeny = 1.0 + (organs.programmed_burst - 1.0) * danger * allowed

        def slope(y: list[Floats]) -> list[Floats]:
            precursors, effectors, primed, memory, *dividing = y
            started = priming * self._meeting(precursors, crowd)
            passing = self._passing(started, dividing)
            ended = organs.effector_death * effectors
            growth = self._growth(signal, effectors, primed * organs.effector_burst) * allowed
            kept = rules.memory_share * ended + (now["memory_growth"] - rules.memory_loss) * memory
            spent = ended / organs.effector_burst
            changed = [-started, passing[-1] * progeny + effectors * growth - ended, passing[-1] - spent, kept]
            return [*changed, *(came - went for came, went in pairwise(passing))]

        self.restricted = np.array(runge_kutta(slope, list(self.restricted), self.days))

    # ---------------------------------------------------------------------------------------------- chronic GVHD

    def _break_tolerance(self, now: Mapping[str, Floats]) -> None:
        r, days = self.numbers.chronic, self.days
        reactive = self.precursors * now["activation"]
        half = np.maximum(r.chronic_half * self.persons.usual, _TINY)
        able = reactive / (half + reactive)
        drive = able * (1.0 - self.thymus)
        kept = np.exp(-days * STAGES / r.chronic_delay)
        ahead = np.array([drive, *self.breaking[:-1]])
        self.breaking = ahead + (self.breaking - ahead) * kept
        broken = self.breaking[-1] + (1.0 - self.breaking[-1]) * r.chronic_without_pd1 * now["unbraked"] * able
        hazard = r.chronic_rate * broken * days
        self.exposure = self.exposure + hazard
        luck = (now["luck"] + self.persons.turn) % 1.0
        begins = np.isinf(self.onset) & (luck < 1.0 - np.exp(-hazard))
        self.onset = np.where(begins, now["day"], self.onset)
        grown = 1.0 - (1.0 - self.severity) * np.exp(-r.chronic_growth * broken * days)
        self.severity = np.where(self.onset < np.inf, grown * np.exp(-days / r.chronic_repair), 0.0)
        self.thymus *= np.exp(-r.chronic_thymus * self.severity * days)

    def _treat(self, now: Mapping[str, Floats]) -> None:
        """Begin, taper or end the steroid."""
        waits = np.isinf(self.since)
        on = (now["least"] > 0.0) & ~(waits & (self.grade < now["least"]))
        since = np.where(waits, 0.0, self.since + self.days)
        left = now["lasting"] + now["taper"] - since
        level = now["ordered"] * np.clip(left / np.maximum(now["taper"], _TINY), 0.0, 1.0)
        self.level = np.where(on, level, self.level)
        self.began = np.where(on & waits, now["least"], self.began)
        self.since = np.where(on, np.where(left > 0.0, since, np.inf), self.since)

    def _threaten(self, now: Mapping[str, Floats], leukaemia: Floats) -> None:
        """Add up the hazards of death."""
        r = self.numbers.mortality
        by_grade = np.select([self.grade >= 4, self.grade >= 3], [r.gvhd_death_4, r.gvhd_death_3], 0.0)
        ratio = np.power(leukaemia / r.leukaemia_half, r.leukaemia_power)
        by_leukaemia = r.leukaemia_death * ratio / (1.0 + ratio)
        self.died = self.died + (now["hazard"] + by_grade + r.chronic_death * self.severity + by_leukaemia) * self.days

    # ------------------------------------------------------------------------------------------------- leukaemia

    def _follow_leukaemia(self, now: Mapping[str, Floats], killing: Floats) -> None:
        """Let its stem cells live under what drugs and T cells did before."""
        who, r = self.persons, self.numbers.residue
        watching = self.effectors * who.ubiquitous + self.numbers.chronic.chronic_effectors * self.severity
        watching = watching + self.restricted[1] + self.restricted[3]
        rate = who.immunogenicity * killing * r.lsc_kill * watching / (r.lsc_kill_half + watching)
        killed = [now[f"drug_{state}"] * who.sensitivity + rate * self.days for state in ("resting", "cycling")]
        after = [share * np.exp(-loss) for share, loss in zip((self.asleep, 1.0 - self.asleep), killed, strict=True)]
        before = np.maximum(after[0] + after[1], _TINY)
        cube = np.power(np.minimum(now["cellularity"], 1.0), 3.0)
        self._pass(np.log(before), None)
        room = (1.0 - (1.0 - who.open_share) * cube * cube) * np.maximum(1.0 - self.share_if_left, 0.0)
        divide = who.divide * room

        shares = [share / before for share in after]
        rates = (-(who.wake + who.die), 2.0 * who.renew * divide, who.wake, -(divide + who.die))
        grown = _pair(shares, rates, self.days)
        growth = grown[0] + grown[1]
        cycling, lost = (shares[1] + grown[1] / growth) / 2.0, 1.0 - who.renew
        self._pass(np.log(growth), (divide * cycling * lost * lost + who.die) * self.days)
        self.asleep = grown[0] / growth
        self.cells = np.where(self.lineages < _NONE, 0.0, self.cells)

    def _pass(self, growth: Floats, deaths: Floats | None) -> None:
        size = np.abs(growth)
        mean = _mean_survival(size)
        mean = np.where(growth > 0.0, mean, mean * np.exp(np.minimum(-growth, _MOST)))
        lost = np.exp(np.minimum(-self.log_growth, _MOST)) * mean * (-growth if deaths is None else deaths)
        there = self.cells > 0.0
        self.losses = np.where(there, self.losses + lost, self.losses)
        self.log_growth = np.where(there, self.log_growth + growth, self.log_growth)

    @property
    def lineages(self) -> Floats:
        """As ``Residue.lineages_left``, shape (patients,)."""
        return self.cells / (1.0 + self.losses)

    @property
    def risk(self) -> Floats:
        """As ``Residue.risk``, likewise."""
        return 1.0 - np.exp(-np.minimum(self.lineages, _MOST))

    @property
    def share_if_left(self) -> Floats:
        """As ``Residue.share_if_left``, likewise."""
        grown = self.cells * np.exp(np.minimum(self.log_growth, _MOST))
        return np.where(self.risk > 0.0, grown / np.maximum(self.risk, _TINY) / self.persons.full, 0.0)

    @property
    def left(self) -> Floats:
        """As ``Residue.left``, likewise."""
        mean = self.lineages
        few = mean <= _MANY
        chance = np.where(few, np.exp(-np.minimum(mean, _MANY)), 0.0)
        below, number, n = chance.copy(), np.zeros(mean.shape), 0
        while (more := few & (self.persons.luck >= below) & (chance > 0.0)).any():
            n += 1
            chance = np.where(more, chance * np.minimum(mean, _MANY) / n, chance)
            below = np.where(more, below + chance, below)
            number = np.where(more, float(n), number)
        return np.where(few, number, mean) * np.exp(np.minimum(self.log_growth, _MOST)) * (1.0 + self.losses)

    @property
    def overt_risk(self) -> Floats:
        """As ``Residue.overt_risk``, likewise."""
        mean, size = self.lineages, np.exp(np.minimum(self.log_growth, _MOST)) * (1.0 + self.losses)
        least = ends.RELAPSE * self.persons.full
        certain = (mean > _MANY) | (mean == 0.0) | (least > _MOST * size)
        x = np.where(certain, 1.0, least / size)
        chance, term = np.exp(-np.minimum(mean, _MANY)), np.exp(-x)
        fewer, found = np.zeros(mean.shape), np.zeros(mean.shape)
        for n in range(1, 4 * int(_MANY)):
            chance = chance * np.minimum(mean, _MANY) / n
            fewer = fewer + term
            term = term * x / n
            found = found + chance * fewer
        return np.where(certain, (mean * size >= least) & (mean > 0.0), found)


def _pair(state: list[Floats], rates: tuple[Floats, Floats, Floats, Floats], days: float) -> list[Floats]:
    """As ``numerics.pair``, likewise."""
    a, b, c, d = rates
    apart = np.sqrt((a - d) * (a - d) + 4.0 * b * c)
    slow = (a + d + apart) / 2.0
    turned, end, (x, y) = days * _mean_survival(apart * days), np.exp(slow * days), state
    return [end * (x + turned * ((a - slow) * x + b * y)), end * (y + turned * (c * x + (d - slow) * y))]


def _mean_survival(exponent: Floats) -> Floats:
    """As ``numerics.mean_survival``, likewise."""
    small = 1.0 - exponent / 2.0 + exponent * exponent / 6.0
    return np.where(exponent < 1e-5, small, -np.expm1(-exponent) / np.maximum(exponent, _TINY))
