"""Engineered T cells in the whole body: expansion by the antigen they meet, contraction, memory, exhaustion.

Effectors and the cells that show their antigen meet in pairs, ``E A / (E + A + search)`` of them at a time: with few
effectors each has a target, with few targets each target has an effector. An engaged effector kills and divides, as
far as IL-7 and IL-15 let it; what ends the expansion is that the antigen is gone, whatever the dose was. Nothing here
knows a receptor by name: rows are receptor classes, and what a class sees is counted on the lattice.

The pools count the whole body, marrow included; as with alloreactive effectors the lattice shows a sample of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from abm.cells import ENGINEERED, Kind, Origin, Specificity
from abm.exactmath import LN2, exp, power
from abm.model.body.immune import Arrival
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, runge_kutta, some, total
from abm.model.body.parameters import EngineeredRules
from abm.model.body.products import EFFECTOR, EXHAUSTED, MEMORY, NAIVE, Product

N_CLASSES, N_STATES = len(ENGINEERED), 4
#: Classes that every checkpoint holds; younger ones only with cells, so that a state without them is what it was.
N_STORED = 6
#: Effectors of the lattice by lineage, in the order of ``Engineered.waiting``.
LINEAGES = (Kind.CD8_EFFECTOR, Kind.CD4_EFFECTOR)


@dataclass(frozen=True)
class Encounter:
    """What engineered T cells meet, constant over a step.

    Attributes:
        antigen: cells of the body that each class sees, shape (N_CLASSES,).
        il7: interleukin 7 (with which interleukin 15 goes), fold over baseline.
        proliferation: share of division that drugs leave; likewise ``killing``.
        il6_blocked: blocked share of the interleukin-6 receptor.
        tiring: share of exhaustion that blocked checkpoints leave.
    """

    antigen: Floats
    il7: float = 1.0
    proliferation: float = 1.0
    killing: float = 1.0
    il6_blocked: float = 0.0
    tiring: float = 1.0


class Engineered(Packed):
    """Pools by receptor class, and the interleukin 6 that their engagement sets free.

    Attributes:
        cells: naive, memory, effector and exhausted cells, shape (N_CLASSES, N_STATES).
        cd4: CD4 cells among those of a class, shape (N_CLASSES,).
        waiting: agents due to enter the lattice, shape (N_CLASSES, len(LINEAGES)).
        il6: interleukin 6, fold over baseline.
        felt: interleukin 6 as far as its receptor is free, fold over baseline.
    """

    STATE = ("cells", "cd4", "waiting", "il6", "felt")

    def __init__(self, rules: EngineeredRules, fitness: float, cells_per_agent: float) -> None:
        """Start without engineered cells.

        Args:
            rules: rates.
            fitness: division rate of this patient's cells over the usual one.
            cells_per_agent: real cells per effector agent of the lattice.
        """
        self.rules, self._fitness, self._cells_per_agent = rules, fitness, cells_per_agent
        self.cells: Floats = np.zeros((N_CLASSES, N_STATES))
        self.cd4: Floats = np.zeros(N_CLASSES)
        self.waiting: Floats = np.zeros((N_CLASSES, len(LINEAGES)))
        self.il6, self.felt = 1.0, 1.0

    @property
    def present(self) -> bool:
        """Whether there is any engineered cell."""
        return some(self.cells)

    @property
    def total(self) -> float:
        """Engineered cells of all classes."""
        return total(self.cells)

    @property
    def helpers(self) -> float:
        """CD4 cells among them."""
        return total(share * total(cells) for share, cells in zip(self.cd4.tolist(), self.cells, strict=True))

    def pack(self) -> dict[str, Floats]:
        """Return all state by name; of the classes behind the first ``N_STORED`` only up to the last with cells."""
        held = np.flatnonzero(self.cells.any(axis=1) | self.waiting.any(axis=1) | (self.cd4 != 0.0))
        rows = max([N_STORED, *(held + 1).tolist()])
        return {name: array[:rows] if array.ndim else array for name, array in super().pack().items()}

    def unpack(self, arrays: Mapping[str, Floats]) -> None:
        """Take over the state that :meth:`pack` returned."""
        whole = dict(arrays)
        for name in ("cells", "cd4", "waiting"):
            missing = max(N_CLASSES - len(whole[name]), 0)
            whole[name] = np.concatenate([whole[name], np.zeros((missing, *np.shape(whole[name])[1:]))])
        super().unpack(whole)

    def infuse(self, receptor: Specificity, product: Product, cells: float) -> None:
        """Put a product into the pools of its class."""
        row = ENGINEERED.index(receptor)
        before = total(self.cells[row])
        self.cd4[row] = (self.cd4[row] * before + product.cd4_share * cells) / (before + cells)
        self.cells[row] += np.array([*product.phenotypes, 0.0]) * cells

    def survive(self, resting: float, cycling: float) -> None:
        """Keep only these shares of resting cells and of effectors, exhausted ones included."""
        self.cells *= np.array([resting, resting, cycling, cycling])

    def hazard(self, around: Encounter) -> Floats:
        """Return the rate at which a cell that shows the antigen of a class is killed in the body, 1/d."""
        r, effectors = self.rules, self.cells[:, EFFECTOR]
        return r.engineered_kill * around.killing * effectors / (effectors + around.antigen + r.engineered_search)

    def advance(self, around: Encounter, step_h: float) -> None:
        """Advance by ``step_h`` hours: one step of the classical Runge-Kutta method for each class that is there."""
        days = step_h / HOURS_PER_DAY
        killed = 0.0
        for row in np.flatnonzero(self.cells.any(axis=1)).tolist():
            antigen, state = float(around.antigen[row]), self.cells[row].tolist()
            killed = killed + self.rules.engineered_kill * self._met(state, antigen) * state[EFFECTOR]
            after = runge_kutta(partial(self._slope, antigen=antigen, around=around), state, days)
            self.cells[row] = [max(x, 0.0) for x in after]
        self._release(killed * around.killing, around.il6_blocked, step_h)

    def _met(self, state: list[float], antigen: float) -> float:
        """Return the share of effectors that are engaged."""
        return antigen / (antigen + state[EFFECTOR] + self.rules.engineered_search)

    def _slope(self, state: list[float], antigen: float, around: Encounter) -> list[float]:
        """Return the rates of change per day of one class."""
        r, met = self.rules, self._met(state, antigen)
        naive, memory, effector, exhausted = state
        il7 = power(around.il7, r.engineered_il7_power)
        il7 = il7 / (il7 + power(r.engineered_il7_half, r.engineered_il7_power))
        by_il6 = 1.0 + (r.engineered_growth_without_il6 - 1.0) * around.il6_blocked
        growth = r.engineered_growth * self._fitness * il7 * by_il6 * around.proliferation * met
        woken = (r.engineered_naive_activation * met * naive, r.engineered_memory_activation * met * memory)
        tired = r.engineered_exhaustion * around.tiring * met * effector
        rested = r.engineered_recovery * (1.0 - met) * exhausted
        dying = r.engineered_death * effector
        return [
            -woken[NAIVE] - r.engineered_memory_loss * naive,
            r.engineered_memory_share * dying - woken[MEMORY] - r.engineered_memory_loss * memory,
            growth * effector - dying - tired + rested + woken[NAIVE] + woken[MEMORY],
            tired - rested - r.engineered_death * exhausted,
        ]

    def _release(self, kills_per_day: float, blocked: float, step_h: float) -> None:
        """Let macrophages answer with interleukin 6 to what dies by engineered cells."""
        wanted = 1.0 + kills_per_day / self.rules.il6_kills
        self.il6 = wanted + (self.il6 - wanted) * exp(-LN2 / self.rules.il6_half_life * step_h)
        self.felt = 1.0 + (self.il6 - 1.0) * (1.0 - blocked)

    def grade(self) -> int:
        """Return the grade of cytokine release, 0-4, by the interleukin 6 that is felt."""
        r = self.rules
        limits = (r.il6_grade_1, r.il6_grade_2, r.il6_grade_3, r.il6_grade_4)
        return len([limit for limit in limits if self.felt >= limit])

    # -- marrow

    def queue(self, step_h: float) -> None:
        """Let the step's share of the effectors head for the marrow."""
        if not self.present:
            return
        flow = self.cells[:, EFFECTOR] * (self.rules.engineered_marrow_entry * step_h / HOURS_PER_DAY)
        self.waiting += (flow / self._cells_per_agent)[:, np.newaxis] * np.stack([1.0 - self.cd4, self.cd4], axis=1)

    def depart(self) -> list[Arrival]:
        """Return the whole agents that are due; the remainder waits.

        Nothing is taken out of the pools, so that agents that find no site are not missed.
        """
        if not self.waiting.any():
            return []
        agents = np.floor(self.waiting)
        self.waiting -= agents
        return [
            (kind, Origin.PRODUCT, receptor, int(agents[row, column]))
            for row, receptor in enumerate(ENGINEERED)
            for column, kind in enumerate(LINEAGES)
            if agents[row, column] > 0.0
        ]

    def exhausted_share(self) -> float:
        """Return the exhausted share of effectors; 0 without any."""
        active = total(self.cells[:, EFFECTOR]) + total(self.cells[:, EXHAUSTED])
        return total(self.cells[:, EXHAUSTED]) / active if active > 0.0 else 0.0
