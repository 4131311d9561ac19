"""Alloreactivity and the organs it hurts: the well-mixed model of priming, expansion, killing and repair.

Two directions share one form: donor T cells against the host (graft versus host), and host T cells that survived
conditioning against the graft (host versus graft). Only the first hurts organs; both kill the other side's lymphocytes.
Those of one graft compete for antigen-presenting cells, so that ten times the T cells are not ten times the harm.

Antigen-presenting cells turn over to what the marrow makes: those of the host fade, those of the donor rise. Those of
the host show what they are made of; those of the donor what tissue that dies of GVHD sheds of the host (indirectly),
and intact tissue where PD-1 does not hold T cells in tolerance of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from abm.cells import Kind, Origin, Specificity
from abm.errors import ConfigError
from abm.exactmath import exp, power
from abm.model.body.immune import Arrival
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, runge_kutta, total
from abm.model.body.parameters import OrganRules
from abm.tables import Folder, did_you_mean, read_table

GVH, HVG = 0, 1
ORGANS = ("skin", "gut", "liver")
N_STAGES = 4
DIVISIONS = 3  #: stages of programmed division, so that next to no cell is through it much too early
_ONE_CELL = 1.0  #: keeps a quotient finite
#: Overall grade reached with stage 1, 2, 3, 4 of one organ alone (MAGIC: Harris, BBMT 2016).
GRADES = {"skin": (1, 1, 2, 4), "gut": (2, 3, 3, 4), "liver": (2, 3, 3, 4)}
#: Whose effectors travel to the marrow, and what they see there; slots of ``Alloimmunity.waiting``.
DEPARTURES = (
    (GVH, Origin.DONOR, Specificity.HOST_UBIQUITOUS),
    (GVH, Origin.DONOR, Specificity.HOST_HAEMATOPOIETIC),
    (HVG, Origin.HOST, Specificity.DONOR),
)
QUANTITIES = ("graft_versus_host", "host_versus_graft", "ubiquitous_share", "shares_antigens")


@dataclass(frozen=True)
class Donor:
    """Who the graft comes from.

    Attributes:
        graft_versus_host: effective host-reactive precursors per donor T cell.
        host_versus_graft: effective donor-reactive precursors per host T cell.
        ubiquitous_share: effectors that see antigens of all host tissue; the others see blood-restricted ones.
        shares_antigens: whether donor cells show the same minor antigens as the host.
    """

    graft_versus_host: float
    host_versus_graft: float
    ubiquitous_share: float
    shares_antigens: bool

    def of_pair(self, factor: float) -> Donor:
        """Return the donor of one pair, whose precursors are ``factor`` times those of the usual one, both ways."""
        shares = (self.graft_versus_host * factor, self.host_versus_graft * factor)
        if max(shares) > 1.0:
            message = f"expected at most 1 precursor per T cell, found {max(shares):g} ({factor:g} times donors.csv)"
            raise ConfigError(message, key="patient.alloreactivity")
        return replace(self, graft_versus_host=shares[0], host_versus_graft=shares[1])


def read_donors(folder: Folder) -> dict[str, Donor]:
    """Return the donor types of ``donors.csv`` by name."""
    values: dict[str, dict[str, float]] = {}
    rows = read_table(folder / "donors.csv", ("donor", "quantity", "value"))
    for row in rows:
        row.choice("unit", ["1"])
        found, quantity = values.setdefault(row.text("donor"), {}), row.choice("quantity", QUANTITIES)
        if quantity in found:
            raise row.error("quantity", f"{quantity} of {row.text('donor')} stands twice")
        found[quantity] = row.number("value", 0.0, 1.0)
        if quantity == "shares_antigens" and found[quantity] not in (0.0, 1.0):
            raise row.error("value", f"expected 0 or 1, found {row.text('value')!r}")
    for name, found in values.items():
        if missing := [quantity for quantity in QUANTITIES if quantity not in found]:
            raise rows[0].error("donor", f"{name} lacks {', '.join(missing)}")
    return {
        name: Donor(v["graft_versus_host"], v["host_versus_graft"], v["ubiquitous_share"], v["shares_antigens"] > 0.0)
        for name, v in values.items()
    }


def find_donor(donors: dict[str, Donor], name: str) -> Donor:
    """Return the donor type ``name``."""
    if name not in donors:
        raise ConfigError(f"unknown donor {name!r}{did_you_mean(name, donors)}", key="patient.donor")
    return donors[name]


@dataclass(frozen=True)
class Surroundings:
    """What alloreactivity depends on besides its own state, constant over a step.

    Attributes:
        host_apc: level that host antigen-presenting cells turn over to, 0-1; likewise ``donor_apc``.
        donor_antigen: donor cells of the marrow relative to homeostasis, 0-1; likewise ``leukaemia``.
        host_apc_killed: rate at which NK cells of the donor kill antigen-presenting cells of the host, 1/d.
        activation: share of activation that immunosuppression leaves; likewise ``proliferation`` and ``killing``.
        priming: factor by which blocked checkpoints raise priming.
        unbraked: blocked share of the checkpoint that holds exhausted cells back, and others away from intact tissue.
        unregulated: share of their growth that regulatory cells of the graft leave to its alloreactive ones.
    """

    host_apc: float = 1.0
    donor_antigen: float = 0.0
    leukaemia: float = 0.0
    activation: float = 1.0
    proliferation: float = 1.0
    killing: float = 1.0
    priming: float = 1.0
    unbraked: float = 0.0
    unregulated: float = 1.0
    donor_apc: float = 0.0
    host_apc_killed: float = 0.0


class Alloimmunity(Packed):
    """Inflammation, antigen-presenting cells, alloreactive T cells and the loss of tissue.

    Attributes:
        inflammation: 1 is what myeloablative conditioning leaves on day 0.
        host_apc: host antigen-presenting cells relative to a healthy body; likewise ``donor_apc``.
        precursors: alloreactive T cells not yet activated, by direction (GVH, HVG), cells, shape (2,).
        effectors: activated ones in the whole body, likewise.
        primed: cells activated so far, likewise; each gives a burst of limited size, and is spent as that dies.
        dividing: those that see the host and go through their programmed divisions, by stage, shape (DIVISIONS,).
        exhausted: those of the effectors that outlived their response but act no more, likewise.
        immune_loss: share of each organ's epithelium lost to effectors, shape (3,) in the order of ``ORGANS``.
        injury_loss: share lost to conditioning, likewise.
        waiting: agents due to enter the lattice, shape (3,) in the order of ``DEPARTURES``.
    """

    STATE = (
        "inflammation",
        "host_apc",
        "donor_apc",
        "precursors",
        "effectors",
        "primed",
        "dividing",
        "exhausted",
        "immune_loss",
        "injury_loss",
        "waiting",
    )

    def __init__(self, rules: OrganRules, donor: Donor, cells_per_agent: float, susceptibility: float = 1.0) -> None:
        """Start healthy, without alloreactive cells; tissue is killed ``susceptibility`` times as fast as usual."""
        self.rules, self.donor, self._susceptibility = rules, donor, susceptibility
        self._cells_per_agent = cells_per_agent
        self._crowd = max(rules.priming_half * donor.graft_versus_host, _ONE_CELL)  # each antigen has its own crowd
        self._organ_kill = [float(getattr(rules, f"{organ}_kill")) for organ in ORGANS]
        self._stage_losses = {o: [getattr(rules, f"{o}_stage_{s + 1}") for s in range(N_STAGES)] for o in ORGANS}
        self.inflammation, self.host_apc, self.donor_apc = 0.0, 1.0, 0.0
        self.precursors: Floats = np.zeros(2)
        self.effectors: Floats = np.zeros(2)
        self.primed: Floats = np.zeros(2)
        self.dividing: Floats = np.zeros(DIVISIONS)
        self.exhausted: Floats = np.zeros(2)
        self.immune_loss: Floats = np.zeros(len(ORGANS))
        self.injury_loss: Floats = np.zeros(len(ORGANS))
        self.waiting: Floats = np.zeros(3)

    @property
    def integrity(self) -> Floats:
        """Intact share of each organ, shape (3,) in the order of ``ORGANS``."""
        return 1.0 - self.immune_loss - self.injury_loss

    def advance(self, around: Surroundings, step_h: float) -> None:
        """Advance by ``step_h`` hours by the classical Runge-Kutta method, in parts that tender tissue can follow."""
        days, y = step_h / HOURS_PER_DAY, self._vector()
        if self._at_rest(y, around):
            return
        parts = self.parts(days)
        for _ in range(parts):
            y = runge_kutta(lambda y: self._slope(y, around), y, days / parts)
        self._take(y)

    def parts(self, days: float) -> int:
        """Return into how many parts a step is divided, so that less is killed in each than there is tissue."""
        return 1 + int(days * self._susceptibility * self.rules.tissue_kill * max(self._organ_kill))

    @property
    def untouched(self) -> bool:
        """Whether nothing goes on that does not need a graft: no inflammation, effector or wound."""
        cells = (*self.exhausted, *self.effectors, *self.dividing)
        states = (self.precursors[GVH], self.inflammation, self.donor_apc, *cells)
        return self.host_apc == 1.0 and not any(states) and not self.immune_loss.any() and not self.injury_loss.any()

    def _at_rest(self, y: list[float], around: Surroundings) -> bool:
        """Whether all rates of change are exactly zero: no inflammation, effector or wound, and nothing to react to."""
        inflammation, host_apc, precursors, rejecting, *effectors = y[:6]
        active = (inflammation, precursors, rejecting * around.donor_antigen, *effectors, *y[8:-1])
        return host_apc == around.host_apc and y[-1] == around.donor_apc and not any(active)

    def _vector(self) -> list[float]:
        cells = (self.precursors, self.effectors, self.primed, self.exhausted)
        parts = (*cells, self.immune_loss, self.injury_loss, self.dividing)
        return [self.inflammation, self.host_apc, *(x for part in parts for x in part.tolist()), self.donor_apc]

    def _take(self, y: list[float]) -> None:
        self.inflammation, self.host_apc = y[0], y[1]
        self.precursors, self.effectors, self.primed, self.exhausted = (np.array(y[i : i + 2]) for i in (2, 4, 6, 8))
        self.immune_loss, self.injury_loss, self.dividing = (np.array(y[i : i + 3]) for i in (10, 13, 16))
        self.donor_apc = y[19]

    def _slope(self, y: list[float], around: Surroundings) -> list[float]:
        """Return the rates of change per day of the vector ``y`` (plain floats: arrays this short cost more)."""
        r, (inflammation, host_apc, precursors, rejecting, effectors, rejectors), primed = self.rules, y[:6], y[6:8]
        exhausted, immune, injury, dividing, donor_apc = y[8:10], y[10:13], y[13:16], y[16:19], y[19]
        danger, apc = self.danger(inflammation, around, effectors), host_apc * around.activation
        signal = danger * apc + self.indirectly(immune, around) * donor_apc * around.activation
        rejection = r.rejection_danger * around.donor_antigen * apc
        kill = self.tissue_kill(effectors * self.reach(inflammation, around.leukaemia)) * around.killing
        intact = [1.0 - a - b for a, b in zip(immune, injury, strict=True)]
        mean_intact = total(intact) / len(ORGANS)
        inflamed = r.injury_from_loss * (1.0 - mean_intact) + r.injury_from_killing * kill * mean_intact
        priming, woken = r.priming * around.priming, r.reinvigoration * around.unbraked
        started, refused = signal * self.meeting(precursors, self._crowd) * priming, rejection * rejecting * priming
        allowed = around.proliferation * around.unregulated
        growth = self.growth(signal, effectors, primed[GVH] * r.effector_burst) * allowed
        passing = self.passing(started, dividing)
        progeny = passing[-1] * self.progeny(danger, allowed) + effectors * growth
        attack = self._response(passing[-1], progeny, effectors, exhausted[GVH], woken, r.effector_burst)
        growth = self.growth(rejection, rejectors, primed[HVG] * r.rejection_burst) * around.proliferation
        progeny = refused + rejectors * growth
        defence = self._response(refused, progeny, rejectors, exhausted[HVG], woken, r.rejection_burst)
        both = (x for pair in zip(attack, defence, strict=True) for x in pair)
        fading = (around.host_apc - host_apc) / r.apc_turnover - around.host_apc_killed * host_apc
        changes = [inflamed - r.injury_decay * inflammation, fading]
        changes += [-started, -refused, *both]
        organs = zip(self._organ_kill, intact, immune, strict=True)
        changes += [k * kill * h - r.tissue_repair * x for k, h, x in organs]
        changes += [-r.tissue_repair * x for x in injury]
        changes += [came - went for came, went in pairwise(passing)]
        return [*changes, (around.donor_apc - donor_apc) / r.apc_turnover]

    def _response(
        self, started: float, born: float, effectors: float, exhausted: float, woken: float, burst: float
    ) -> tuple[float, float, float]:
        """Return the rates of change of effectors, primed and exhausted cells of one direction, cells per day.

        Args:
            started: primed cells that become effectors per day.
            born: effectors that come of them and of division, per day.
            effectors: cells, likewise ``exhausted``.
            exhausted: see ``effectors``.
            woken: rate at which exhausted cells act again, 1/d.
            burst: effectors that a primed cell comes to.
        """
        r = self.rules
        awoken, ended = exhausted * woken, effectors * r.effector_death
        again = awoken * r.reinvigorated_yield
        spent = ended * r.exhausted_share - exhausted * r.exhausted_loss - awoken
        return born - ended + again, started + (again - ended) / burst, spent

    def danger(self, inflammation: float, around: Surroundings, effectors: float = 0.0) -> float:
        """Return how strongly injury, or leukaemia in the marrow, drives donor T cells that see the host, 0-1."""
        r, danger = self.rules, self.danger_of_injury(inflammation + self.alarm(inflammation, around, effectors))
        # away from injured tissue, as is the graft; presentation is full long before the marrow is
        wakes = r.relapse_danger * r.leukaemia_presentation
        by_leukaemia = wakes * around.leukaemia / (r.relapse_half + around.leukaemia)
        return danger + by_leukaemia * (1.0 - danger)

    def alarm(self, inflammation: float, around: Surroundings, effectors: float) -> float:
        """Return the inflammation that effectors held by leukaemia make where it is, and nowhere else.

        A share of what as many would come to make in tissue, which takes them about as long as their own numbers need.
        """
        held = 1.0 - self.reach(inflammation, around.leukaemia)
        if held == 0.0:
            return 0.0
        r = self.rules
        kill = r.marrow_alarm * self.tissue_kill(effectors * held) * around.killing
        lost = total(k * kill / (k * kill + r.tissue_repair) for k in self._organ_kill) / len(ORGANS)
        return held * (r.injury_from_loss * lost + r.injury_from_killing * kill * (1.0 - lost)) / r.injury_decay

    def danger_of_injury(self, inflammation: float) -> float:
        """Return how strongly injury alone drives donor T cells, 0-1."""
        r, square = self.rules, inflammation * inflammation
        return r.activation_floor + (1.0 - r.activation_floor) * square / (r.injury_half * r.injury_half + square)

    def indirectly(self, lost: list[float], around: Surroundings) -> float:
        """Return how strongly as many antigen-presenting cells as a healthy donor has drive its T cells, 0-1.

        ``lost``: share of each organ lost to effectors, which has shed antigens of the host.
        """
        r, shed = self.rules, total(lost) / len(ORGANS)
        return r.indirect_presentation * shed + r.activation_without_pd1 * around.unbraked

    def meeting(self, precursors: float, crowd: float) -> float:
        """Return the precursors that are primed as if alone; at ``crowd`` of them competition halves that of each."""
        crowded = 1.0 + precursors / crowd
        return precursors / crowded * power(crowded, self.rules.priming_slope)

    def passing(self, started: float, dividing: list[float]) -> list[float]:
        """Return the cells per day that enter each stage of programmed division, and those that are through it."""
        pace = DIVISIONS / self.rules.programmed_days
        return [started, *(cells * pace for cells in dividing)]

    def progeny(self, danger: float, allowed: float) -> float:
        """Return what a primed cell becomes by programmed divisions, where danger goes on and drugs allow them."""
        return 1.0 + (self.rules.programmed_burst - 1.0) * danger * allowed

    def growth(self, signal: float, effectors: float, most: float) -> float:
        """Return the growth rate of effectors per day, as far as the body and their burst have room.

        ``most`` is what the burst may still come to, those that live included: who dies makes no room in it, so that a
        response contracts although its antigen is still there, down to what newly primed cells make.
        """
        r = self.rules
        room = 1.0 - effectors / r.effector_capacity - effectors / max(most, _ONE_CELL)
        return signal * r.effector_growth * max(room, 0.0)

    def tissue_kill(self, effectors: float) -> float:
        """Return the rate at which this many effectors kill epithelium, per day."""
        return self._susceptibility * self.rules.tissue_kill * effectors / (self.rules.tissue_kill_half + effectors)

    def reach(self, inflammation: float, leukaemia: float) -> float:
        """Return the share of effectors that come to harm tissue, 0-1: leukaemia holds others where blood cells are.

        Where their antigen is they stay, and tissue that is not inflamed does not call them.
        """
        r, square = self.rules, inflammation * inflammation
        held = r.leukaemia_hold * leukaemia / (r.leukaemia_hold_half + leukaemia)
        return 1.0 - held * (1.0 - square / (r.injury_half * r.injury_half + square))

    def survival_of_other_side(self, direction: int, step_h: float) -> float:
        """Return the share of lymphocytes that survives the effectors of ``direction`` for ``step_h`` hours."""
        r, effectors = self.rules, float(self.effectors[direction])
        return exp(-r.blood_kill * effectors / (r.blood_kill_half + effectors) * step_h / HOURS_PER_DAY)

    def injure(self, amount: float) -> None:
        """Add conditioning injury: inflammation, and loss of what is intact of every organ."""
        self.inflammation += amount
        self.injury_loss += self.integrity * (1.0 - exp(-self.rules.epithelium_injury * amount))

    def survive(self, direction: int, precursors: float, effectors: float) -> None:
        """Keep only these shares of the precursors and effectors of one direction."""
        self.precursors[direction] *= precursors
        self.effectors[direction] *= effectors
        self.primed[direction] *= effectors
        if direction == GVH:
            self.dividing *= effectors
        self.exhausted[direction] *= precursors

    def grade(self) -> int:
        """Return the overall grade of acute GVHD, 0-4, from the stages of the organs (immune-mediated loss only)."""
        grades = [0]
        for organ, loss in zip(ORGANS, self.immune_loss.tolist(), strict=True):
            stage = len([limit for limit in self._stage_losses[organ] if loss >= limit])
            grades.append(GRADES[organ][stage - 1] if stage else 0)
        return max(grades)

    def reactive(self, origin: Origin) -> bool:
        """Whether T cells of ``origin`` hold cells that recognise the other side."""
        return (self.donor.host_versus_graft if origin is Origin.HOST else self.donor.graft_versus_host) > 0.0

    def queue(self, step_h: float, entry_per_day: float, lasting: float = 0.0) -> None:
        """Let the step's share of the effectors head for the marrow, those ``lasting`` of chronic GVHD among them."""
        per_agent = self._cells_per_agent / self.rules.effector_enrichment
        flow = (self.effectors + np.array([lasting, 0.0])) * (entry_per_day * step_h / HOURS_PER_DAY) / per_agent
        share = self.donor.ubiquitous_share
        self.waiting += np.array([flow[GVH] * share, flow[GVH] * (1.0 - share), flow[HVG]])

    def depart(self) -> list[Arrival]:
        """Return the whole agents that are due; the remainder waits.

        ``effectors`` counts the whole body, marrow included (as the mean-field model does), so that nothing is taken
        out here or added when they leave the marrow: the lattice shows a sample of them, unbiased at any patch size.
        """
        agents = np.floor(self.waiting)
        self.waiting -= agents
        due = zip(DEPARTURES, agents.tolist(), strict=True)
        return [(Kind.CD8_EFFECTOR, origin, specificity, int(n)) for (_, origin, specificity), n in due if n > 0.0]

    def wait_again(self, origin: Origin, specificity: Specificity, agents: int) -> None:
        """Let agents that found no site wait for the next step."""
        slot = [(whose, seen) for _, whose, seen in DEPARTURES].index((origin, specificity))
        self.waiting[slot] += agents
