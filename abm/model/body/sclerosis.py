"""Relapsing multiple sclerosis: myelin-reactive T cells, the regulatory cells they call up, lesions and disability.

A trigger, such as an infection, makes antigen-presenting cells show myelin to the myelin-reactive CD4 T cells of the
body whose antigen it shows. Activated ones expand as long as the trigger lasts and until regulatory cells that they
induce hold them back (form: Velez de Mendizabal, BMC Syst Biol 2011), and destroy myelin; part of the axons that lose
it are lost for good.

Memory cells are followed by clone (:class:`PathogenicClones`): what ablation extinguishes does not come back. Those
resident in the nervous system hardly meet drugs, answer triggers as the others do, and cost axons without relapses.
Regulatory cells of the thymus hold growth back as far as they work: in patients only a part of them does, new ones
do, and each wave of effectors wears some out. So who has got a new pool of them stays well, though clones survived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from abm.cells import Kind
from abm.exactmath import exp, power
from abm.model.body.autoimmunity import DAYS_PER_YEAR, Follower, PoolShares, trigger
from abm.model.body.drugs import DRUG_TARGETS, RADIATION_TARGETS
from abm.model.body.immune import Lymphocytes
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, runge_kutta, total
from abm.model.body.parameters import in_unit
from abm.model.body.pathogenic import PathogenicClones

RELAPSE, LESION = 0, 1
#: Most of the scale of disability.
MOST_DISABLED = 10.0


@dataclass(frozen=True)
class SclerosisRules:
    """``sclerosis.csv``."""

    trigger_rate: float = in_unit("1/a")
    trigger_spread: float = in_unit("1")
    trigger_duration: float = in_unit("d")
    memory_activation: float = in_unit("1/d")
    naive_activation: float = in_unit("1/d")
    clones: float = in_unit("1")
    clone_exponent: float = in_unit("1")
    shown_share: float = in_unit("1")
    resident_share: float = in_unit("1")
    resident_exposure: float = in_unit("1")
    memory_turnover: float = in_unit("1/d")
    effector_growth: float = in_unit("1/d")
    effector_death: float = in_unit("1/d")
    regulator_induction: float = in_unit("1/d")
    regulator_death: float = in_unit("1/d")
    regulator_half: float = in_unit("cells")
    working_share: float = in_unit("1")
    working_half: float = in_unit("1")
    working_loss: float = in_unit("1/d")
    demyelination: float = in_unit("1/d")
    demyelination_half: float = in_unit("cells")
    remyelination: float = in_unit("1/d")
    axon_loss: float = in_unit("points/d")
    smouldering_loss: float = in_unit("points/a")
    eloquent_share: float = in_unit("1")
    acute_disability: float = in_unit("points")
    disability_start: float = in_unit("points")
    relapse_effectors: float = in_unit("cells")
    lesion_effectors: float = in_unit("cells")
    event_interval: float = in_unit("d")


class Sclerosis(Packed):
    """The disease of one patient.

    Attributes:
        course: trigger that lasts, effectors, regulators (cells), demyelinated share of what effectors can reach,
            lasting disability (points), shape (5,).
        events: relapses and new lesions so far, shape (2,); ``since``: days since the last one, likewise.
        above: whether the effectors are above what makes one, likewise.
        eloquent: whether the lesions of the last trigger lie where a loss of axons is felt.
        turn: steps so far.
    """

    STATE = ("course", "events", "since", "above", "eloquent", "turn")

    def __init__(
        self,
        rules: SclerosisRules,
        naive: PoolShares,
        clones: PathogenicClones,
        working: PoolShares,
        seed: int,
        usual: float,
        resident: float,
    ) -> None:
        """Start between two relapses.

        Args:
            rules: of the table.
            naive: myelin-reactive share of naive CD4 cells.
            clones: myelin-reactive memory CD4 cells.
            working: share of the regulatory cells that works.
            seed: of the run.
            usual: regulatory cells for each conventional CD4 cell at homeostasis.
            resident: myelin-reactive cells in the nervous system of the typical untreated patient.
        """
        self.rules, self.naive, self.clones, self.working, self._seed = rules, naive, clones, working, seed
        self.course: Floats = np.array([0.0, 0.0, 0.0, 0.0, rules.disability_start])
        self.events: Floats = np.zeros(2)
        self.since: Floats = np.full(2, rules.event_interval)
        self.above: Floats = np.zeros(2)
        self.eloquent = 0.0
        self.turn = 0.0
        self._limits = (rules.relapse_effectors, rules.lesion_effectors)
        self._usual, self._usual_resident = usual, resident

    @property
    def followers(self) -> Mapping[str, Follower]:
        """Who keeps account of cells that enter the pools."""
        return {"self_reactive": self.naive, "pathogenic": self.clones, "working": self.working}

    def survive(self, by_drug: Floats, by_radiation: Floats) -> None:
        """Let drugs and radiation kill effectors and induced regulatory cells as T cells in cycle, memory as memory.

        Radiation reaches the nervous system in full, a drug in part.
        """
        resting, cycling = (float(by_drug[DRUG_TARGETS.index(name)]) for name in ("t_resting", "t_cycling"))
        irradiated = float(by_radiation[RADIATION_TARGETS.index("lymphocyte_memory")])
        self.course[1:3] *= exp(-cycling - irradiated)
        memory = exp(-resting - irradiated)
        self.survive_of(slice(None), memory)
        if memory < 1.0:
            self.clones.survive_in_tissue(power(exp(-resting), self.rules.resident_exposure) * exp(-irradiated))

    def survive_plasma(self, share: float) -> None:
        """Plasma cells take no part in it."""

    def survive_of(self, origins: slice, share: float) -> None:
        """Keep only this share of the memory cells of some origins."""
        if share < 1.0:
            self.clones.survive(origins, share)

    def advance(self, lymphocytes: Lymphocytes, inhibition: Mapping[str, float], step_h: float) -> None:
        """Let a step go by."""
        r = self.rules
        strength, place = trigger(self._seed, int(self.turn), r.trigger_rate, r.trigger_spread, step_h)
        if strength > 0.0:
            self.course[0] += strength
            self.eloquent = float(place < r.eloquent_share)
            self.clones.show(r.shown_share, int(self.turn))
        self.turn += 1.0
        days = step_h / HOURS_PER_DAY
        self.clones.advance(lymphocytes.memory_growth, r.memory_turnover, days)
        memory = self.clones.answering(r.shown_share)
        naive = r.shown_share * self.naive.cells(Kind.CD4_NAIVE, lymphocytes)
        starting = (r.memory_activation * memory + r.naive_activation * naive) * (1.0 - inhibition["activation"])
        growth = r.effector_growth * self.unregulated(lymphocytes) * (1.0 - inhibition["proliferation"])
        harm = 1.0 - inhibition["killing"]
        smouldering = r.smouldering_loss / DAYS_PER_YEAR * total(self.clones.resident) / self._usual_resident * harm
        state = runge_kutta(lambda y: self.slope(y, starting, growth, harm, smouldering), self.course.tolist(), days)
        self.course = np.array(state)
        effectors = state[1]
        self.working.share *= exp(-r.working_loss * days * effectors / (effectors + r.relapse_effectors))
        self._count(days)

    def unregulated(self, lymphocytes: Lymphocytes) -> float:
        """Return the growth that regulatory cells of the thymus allow, relative to that in the patient at the start.

        What counts is how many that work there are for each conventional CD4 cell.
        """
        r = self.rules
        working = self.working.cells(Kind.TREG, lymphocytes)
        conventional = total(lymphocytes.cells((Kind.CD4_NAIVE, Kind.CD4_MEMORY)))
        found = working / max(conventional, 1.0) / self._usual
        return (r.working_half + r.working_share) / (r.working_half + found)

    def slope(self, y: list[float], starting: float, growth: float, harm: float, smouldering: float) -> list[float]:
        """Return the rates of change per day of ``course``.

        Args:
            y: as ``course``.
            starting: self-reactive cells that a trigger of strength 1 activates per day.
            growth: of effectors under a strong trigger and without regulatory cells, 1/d.
            harm: share of their killing that drugs leave.
            smouldering: points lost per day to resident cells.
        """
        r = self.rules
        shown, effectors, regulators, bare, lost = y
        free = r.regulator_half * r.regulator_half / (r.regulator_half * r.regulator_half + regulators * regulators)
        crowd = effectors * effectors
        attack = r.demyelination * harm * crowd / (r.demyelination_half * r.demyelination_half + crowd)
        return [
            -shown / r.trigger_duration,
            starting * shown + effectors * (growth * free * shown / (1.0 + shown) - r.effector_death),
            r.regulator_induction * effectors - r.regulator_death * regulators,
            attack * (1.0 - bare) - r.remyelination * bare,
            (r.axon_loss * self.eloquent * bare + smouldering) * (1.0 - lost / MOST_DISABLED),
        ]

    def _count(self, days: float) -> None:
        """Count an event where effectors rise above its limit, long enough after the last one of its kind."""
        self.since = self.since + days
        for event, limit in enumerate(self._limits):
            above = float(self.course[1] >= limit)
            if above > self.above[event] and self.since[event] >= self.rules.event_interval:
                self.events[event] += 1.0
                self.since[event] = 0.0
            self.above[event] = above

    def observables(self) -> dict[str, float]:
        """Return what is measured of it."""
        _, effectors, regulators, bare, lost = self.course.tolist()
        return {
            "myelin_memory": self.clones.total,
            "myelin_clones": float(self.clones.number),
            "myelin_effectors": effectors,
            "myelin_regulators": regulators,
            "ms_relapses": float(self.events[RELAPSE]),
            "ms_lesions": float(self.events[LESION]),
            "edss": min(lost + self.rules.acute_disability * bare, MOST_DISABLED),
        }
