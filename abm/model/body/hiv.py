"""HIV-1 in the body: target cells, infected cells, virus, latent cells, and the T cells that hold it down.

The standard model (Perelson 2002) by coreceptor and origin: target cells are a part of the CD4 pools, from which
infection takes them; free virus lives an hour and follows the cells that make it. Events that are few are drawn, so
that an infection may die out, break out of its latent cells, turn to another coreceptor, or resist its therapy.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_ORIGINS, Origin
from abm.exactmath import LN2, exp
from abm.model.body.antiretrovirals import Antiretrovirals
from abm.model.body.chance import drawn
from abm.model.body.coreceptor import TARGETS, Coreceptor
from abm.model.body.hiv_rules import HivRules
from abm.model.body.immune import INDEX
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, column_totals, total, turnover
from abm.philox import philox
from abm.streams import Stream

#: Strains by the coreceptor they use beside CD4; the last two resist a part of the therapy.
STRAINS = ("r5", "x4", "r5_resistant", "x4_resistant")
R5, X4, RESISTANT = slice(0, None, 2), slice(1, None, 2), slice(2, None)
#: What one change at the site of resistance makes of a strain.
_CHANGED = [2, 3, 0, 1]
#: Longest step: virus grows by a fifth in it at most, and the scheme is of second order.
SUBSTEP_H = 3.0
_ML_PER_L = 1000.0
_COPIES = 2.0  #: RNA molecules in a virion
_PER_MILLION = 1e-6
_ROWS = [INDEX[kind] for kind in TARGETS]
_DRAWS = 7  #: kinds of events drawn in a sub-step
_NONE = 1e-300  #: keeps a quotient finite

Words = NDArray[np.uint32]


@dataclass(frozen=True)
class Exposure:
    """What the scenario says of it.

    Attributes:
        day: of exposure.
        art_day: since when the patient has been on therapy; infinite: is not.
    """

    day: float
    art_day: float = inf


@dataclass(frozen=True)
class Host:
    """What the infection depends on besides its own state, constant over a step.

    Attributes:
        precursors: naive CD8 cells specific for the virus, by origin.
        activation: share of T-cell activation that immunosuppression leaves; likewise ``proliferation``, ``killing``.
    """

    precursors: Floats
    activation: float = 1.0
    proliferation: float = 1.0
    killing: float = 1.0


class Hiv(Packed):
    """One infected patient.

    Attributes:
        ready: target cells among the cells of each pool, shape (len(TARGETS), N_ORIGINS), 0-1.
        eclipse: infected cells before the first virus leaves them, shape (len(STRAINS), N_ORIGINS); likewise
            ``productive`` and ``latent``; ``sheltered``: those of the latent ones that no treatment reaches.
        loads: RNA copies per mL of plasma by strain, shape (len(STRAINS),).
        effectors: CD8 effectors against the virus, by origin; ``memory`` likewise.
        onset: day on which the infection becomes systemic; infinite once it has.
        turn: draws made so far.
    """

    STATE = ("ready", "eclipse", "productive", "latent", "sheltered", "loads", "effectors", "memory", "onset", "turn")

    def __init__(self, rules: HivRules, exposure: Exposure, seed: int) -> None:
        """Start before the exposure; ``seed`` is that of the run."""
        self.rules, self.exposure, self._seed = rules, exposure, seed
        self._share = np.array([[rules.target_naive], [rules.target_memory], [rules.target_memory]])
        self.ready: Floats = np.repeat(self._share, N_ORIGINS, axis=1)
        cells = (len(STRAINS), N_ORIGINS)
        self.eclipse, self.productive, self.latent = np.zeros(cells), np.zeros(cells), np.zeros(cells)
        self.sheltered: Floats = np.zeros(cells)
        self.loads: Floats = np.zeros(len(STRAINS))
        self.effectors: Floats = np.zeros(N_ORIGINS)
        self.memory: Floats = np.zeros(N_ORIGINS)
        self.onset, self.turn = exposure.day + rules.dissemination, 0.0
        self.coreceptor = Coreceptor()
        self.art = Antiretrovirals(rules, seed)
        x4, loss = rules.x4_infectivity, 1.0 - rules.resistance_cost
        self._infectivity = rules.infectivity * _PER_MILLION * np.array([1.0, x4, loss, x4 * loss])
        self._copies_per_day = _COPIES * rules.plasma_virions / (rules.extracellular_fluid * _ML_PER_L)

    @property
    def parts(self) -> dict[str, Packed]:
        """State of its own kind, by name."""
        return {"hiv": self, "coreceptor": self.coreceptor, "antiretrovirals": self.art}

    def reproduction_number(self, pools: Floats) -> float:
        """Return how many cells one R5-infected cell infects without T cells against it, as things stand now."""
        targets = pools[_ROWS] * self.ready * (1.0 - self.coreceptor.null)
        copies = self._copies_per_day / self.rules.virion_clearance
        force = self.rules.infectivity * _PER_MILLION * copies * (1.0 - self.art.blocked())
        return force * total(targets[1:]) / self.rules.infected_death

    def advance(self, pools: Floats, host: Host, day: float, step_h: float) -> None:
        """Advance by ``step_h`` hours up to ``day``; takes infected cells out of the pools of the body."""
        if day >= self.onset:
            self.eclipse[0, Origin.HOST] += self.rules.founder_cells
            self.onset = inf
        n = max(1, int(step_h / SUBSTEP_H + 0.5))
        shape = (n, _DRAWS, *self.latent.shape)
        size = n * _DRAWS * self.latent.size
        words = philox(self._seed, np.arange(size), int(self.turn), Stream.VIRUS * 256)[0]
        self.turn += 1.0
        for of_substep in words.reshape(shape):
            self._substep(pools, host, step_h / n, of_substep)

    def _substep(self, pools: Floats, host: Host, hours: float, words: Words) -> None:
        r, days = self.rules, hours / HOURS_PER_DAY
        sensitive, resistant = self.art.advance(hours)
        self.ready += (self._share - self.ready) * (1.0 - exp(-r.target_turnover * days))
        if not (self.eclipse.any() or self.productive.any() or self.latent.any() or self.loads.any()):
            self._respond(host, 0.0, days)
            return
        leaving = r.infected_death + self.kill_rate(host)
        half_time = self.productive + (self.eclipse / r.eclipse - self.productive * leaving) * (days / 2.0)
        makers = np.array([max(total(cells), 0.0) for cells in half_time])
        cleared = r.virion_clearance * days
        self.loads, gone = turnover(self.loads, makers * (self._copies_per_day * days), cleared)
        free = 1.0 - np.array([sensitive, sensitive, resistant, resistant])
        entered = self._mutate(self._infect(pools, gone * self._infectivity * free * (days / cleared), words[0]), words)
        hidden = np.minimum(drawn(entered * r.latent_share, words[2]), entered)
        woken = np.minimum(drawn(self.latent * (r.reactivation * days), words[3]), self.latent)
        kept = exp(-LN2 / r.latent_half_life * days)
        self.sheltered = self.sheltered * (1.0 - woken / np.maximum(self.latent, _NONE)) * kept + hidden * r.sheltered
        self.latent = (self.latent - woken) * kept + hidden
        begun = _leave(self.eclipse, entered - hidden, days / r.eclipse, words[4])
        self.eclipse = self.eclipse + (entered - hidden) - begun
        dead = _leave(self.productive, begun + woken, leaving * days, words[5])
        self.productive = self.productive + (begun + woken) - dead
        self._respond(host, total(makers), days)

    def _infect(self, pools: Floats, hazards: Floats, words: Words) -> Floats:
        """Take the cells out of their pools that virus enters; return them by strain and origin.

        ``hazards``: of a target cell that the strain can enter, over the sub-step, by strain.
        """
        cells, null = pools[_ROWS], self.coreceptor.null
        targets = cells * self.ready
        by_r5, by_x4 = total(hazards[R5]), total(hazards[X4])
        either, alone = 1.0 - exp(-by_r5 - by_x4), 1.0 - exp(-by_x4)
        of_r5 = by_r5 / (by_r5 + by_x4) if by_r5 > 0.0 else 0.0
        with_ccr5 = targets * (1.0 - null)
        r5 = with_ccr5 * np.array([[0.0], [either * of_r5], [either * of_r5]])
        x4 = with_ccr5 * np.array([[alone], [either * (1.0 - of_r5)], [either * (1.0 - of_r5)]])
        x4_null = targets * null * alone
        means = np.stack([column_totals(r5), column_totals(x4 + x4_null)])
        shares = hazards / np.maximum(np.array([by_r5, by_x4, by_r5, by_x4]), _NONE)
        entered = np.minimum(drawn(means[[0, 1, 0, 1]] * shares[:, np.newaxis], words), column_totals(targets))
        ratio = (entered[:2] + entered[RESISTANT]) / np.maximum(means, _NONE)
        from_null = x4_null * ratio[1]
        taken = np.minimum(r5 * ratio[0] + x4 * ratio[1] + from_null, targets)
        left = np.maximum(cells - taken, 1.0)
        self.ready = np.minimum((targets - taken) / left, 1.0)
        self.coreceptor.null = np.minimum(np.maximum(cells * null - from_null, 0.0) / left, 1.0)
        pools[_ROWS] = cells - taken
        return entered

    def _mutate(self, entered: Floats, words: Words) -> Floats:
        """Let some of the viruses that entered cells be of another strain, by reverse transcription."""
        entered = entered.copy()
        turned = np.minimum(drawn(entered[R5] * self.rules.x4_mutation, words[1, R5]), entered[R5])
        entered[R5] -= turned
        entered[X4] += turned
        changed = np.minimum(drawn(entered * self.rules.resistance_mutation, words[6]), entered)
        return entered - changed + changed[_CHANGED]

    def hazards(self) -> Floats:
        """Return the hazard of a target cell that a strain can enter, per day, by strain."""
        sensitive, resistant = 1.0 - self.art.blocked(), 1.0 - self.art.blocked(resistant=True)
        free = np.array([sensitive, sensitive, resistant, resistant])
        hazards: Floats = self.loads * self._infectivity * free
        return hazards

    def kill_rate(self, host: Host) -> float:
        """Return the rate at which effectors clear productively infected cells, per day."""
        effectors = total(self.effectors)
        return self.rules.ctl_kill * host.killing * effectors / (self.rules.ctl_kill_half + effectors)

    def _respond(self, host: Host, infected: float, days: float) -> None:
        """Let T cells against the virus answer this many productively infected cells."""
        r = self.rules
        stimulus = infected / (infected + r.ctl_half)
        start = 1.0 - exp(-r.ctl_priming * stimulus * host.activation * days)
        recalled = self.memory * start
        kept = self.effectors * (r.ctl_memory * (1.0 - exp(-r.ctl_death * days)))
        growth = exp((r.ctl_growth * stimulus * host.proliferation - r.ctl_death) * days)
        self.effectors = self.effectors * growth + host.precursors * start + recalled
        self.memory = (self.memory - recalled) * exp(-r.ctl_memory_death * days) + kept

    def survive(self, resting: float, cycling: float) -> None:
        """Keep only these shares of latent and memory cells, and of infected and effector cells."""
        self.latent = self.sheltered + (self.latent - self.sheltered) * resting
        self.memory = self.memory * resting
        self.eclipse, self.productive = self.eclipse * cycling, self.productive * cycling
        self.effectors = self.effectors * cycling

    def survive_of(self, origins: slice, share: float) -> None:
        """Keep only this share of all cells of some origins."""
        latent, safe = self.latent[:, origins], self.sheltered[:, origins]
        self.latent[:, origins] = safe + (latent - safe) * share
        for cells in (self.eclipse, self.productive, self.memory, self.effectors):
            cells[..., origins] *= share


def _leave(cells: Floats, entering: Floats, exponent: float, words: Words) -> Floats:
    """Return how many leave a compartment in the sub-step, those that enter during it among them."""
    _, mean = turnover(cells, entering, exponent)
    return np.minimum(drawn(mean, words), cells + entering)
