"""Lymphocytes outside the marrow: pools by origin, thymus, homeostatic division, traffic to the lattice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_ORIGINS, Kind, Origin, Specificity
from abm.exactmath import LN2, exp
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, chain, renewed, spread, total
from abm.model.body.parameters import LymphocyteRules

T_CELLS = (Kind.CD4_NAIVE, Kind.CD4_MEMORY, Kind.CD8_NAIVE, Kind.CD8_MEMORY, Kind.TREG)
#: Pools, in the order of the rows of ``Lymphocytes.pools``; IMMATURE_B stands for all B cells of the body.
POOLS = (*T_CELLS, Kind.NK, Kind.IMMATURE_B)
INDEX = {kind: row for row, kind in enumerate(POOLS)}
CD4_CELLS = (Kind.CD4_NAIVE, Kind.CD4_MEMORY, Kind.TREG)
CD8_CELLS = (Kind.CD8_NAIVE, Kind.CD8_MEMORY)
CD8_MEMORY = (Kind.CD8_MEMORY,)
#: Cells that hold its receptor, and so use up IL-7.
FED_BY_IL7 = (Kind.CD4_NAIVE, Kind.CD4_MEMORY, Kind.CD8_NAIVE)
#: Pools whose cells enter the marrow lattice.
TRAVELLERS = POOLS[:-1]
#: Pool that takes cells of a kind coming back from the lattice, where it is not the kind's own.
RETURNS = {Kind.CD4_EFFECTOR: Kind.CD4_MEMORY, Kind.CD8_EFFECTOR: Kind.CD8_MEMORY}

Arrival = tuple[Kind, Origin, Specificity, int]
Entry = Callable[[Kind, int, Floats, Floats], None]
Ints = NDArray[np.int64]


class Lymphocytes(Packed):
    """Body pools, thymus and what waits to enter the marrow.

    Attributes:
        pools: cells by pool and origin, shape (len(POOLS), N_ORIGINS).
        thymus: progenitors and thymocytes on their way, shape (stages, N_ORIGINS), in seeding cells.
        thymic_function: 0-1; hurt by conditioning and GVHD.
        waiting: agents due to enter the lattice, shape (len(TRAVELLERS), N_ORIGINS).
        reference_t_cells: T cells of the body at homeostasis; likewise ``reference_il7_uptake``.
        memory_growth: of CD4 memory cells in the last step, 1/d.
    """

    STATE = ("pools", "thymus", "thymic_function", "waiting")

    def __init__(self, rules: LymphocyteRules, age_years: float, cells_per_agent: float, enter: Entry) -> None:
        """Fill the pools as they are at homeostasis, all cells of host origin.

        Args:
            rules: pool sizes and rates for this patient's weight.
            age_years: sets the output of the thymus.
            cells_per_agent: real cells per lattice agent.
            enter: told of cells that a pool has gained but not by division: pool, whether their receptors are new (0)
                or those of naive cells (1), cells and pool by origin.
        """
        self.rules = r = rules
        self._enter = enter
        self._cells_per_agent = cells_per_agent
        sizes = (r.cd4_naive_pool, r.cd4_memory_pool, r.cd8_naive_pool, r.cd8_memory_pool, r.treg_pool, r.nk_pool)
        self._reference = (*sizes, r.b_pool)
        self.pools: Floats = np.zeros((len(POOLS), N_ORIGINS))
        self.pools[:, Origin.HOST] = self._reference
        self.reference_t_cells = total(self._reference[INDEX[kind]] for kind in T_CELLS)
        self._reference_cd8_cells = total(self._reference[INDEX[kind]] for kind in CD8_CELLS)
        fed, little = (total(self._reference[INDEX[kind]] for kind in kinds) for kinds in (FED_BY_IL7, CD8_MEMORY))
        self.reference_il7_uptake = fed + r.il7_cd8_memory * little
        self.thymus = spread(r.thymus_seeding * r.thymus_transit, int(r.thymus_stages), int(Origin.HOST), N_ORIGINS)
        self.thymic_function = 1.0
        self.memory_growth = 0.0
        self.waiting: Floats = np.zeros((len(TRAVELLERS), N_ORIGINS))
        self._emigrants = _emigrants(r, age_years)
        entry = {Kind.TREG: r.treg_marrow_entry, Kind.NK: r.nk_marrow_entry}
        growth = {Kind.CD4_MEMORY: r.cd4_growth, Kind.TREG: r.treg_growth, Kind.CD8_MEMORY: r.cd8_growth}
        replaced = [self._emigrants.get(kind, 0.0) / self._reference[row] for row, kind in enumerate(T_CELLS)]
        self._growth = [(growth.get(kind, r.naive_growth), x) for kind, x in zip(T_CELLS, replaced, strict=True)]
        self._sums: tuple[bytes, dict[Sequence[Kind], float]] = b"", {}
        self._entry = np.array([[entry.get(kind, r.t_marrow_entry)] for kind in TRAVELLERS])

    @property
    def relative_t_cells(self) -> float:
        """T cells relative to homeostasis."""
        return self._held(T_CELLS) / self.reference_t_cells

    @property
    def il7_uptake(self) -> float:
        """Uptake of IL-7 in uptakes of a CD4 cell: CD8 memory takes little, regulatory cells, poor in CD127, none."""
        return self._held(FED_BY_IL7) + self.rules.il7_cd8_memory * self._held(CD8_MEMORY)

    def _held(self, kinds: Sequence[Kind]) -> float:
        """Return the cells of several pools together; sums of the same pools are remembered, asked for twice a step."""
        held = self.pools.tobytes()
        if held != self._sums[0]:
            self._sums = held, {}
        found = self._sums[1]
        if kinds not in found:
            pools = self.pools.tolist()
            found[kinds] = total([total(pools[INDEX[kind]]) for kind in kinds])
        return found[kinds]

    def part(self, shares: Mapping[str, Floats]) -> Self:
        """Return some of the lymphocytes; nobody is told of cells that enter their pools."""
        some = super().part(shares)
        some._enter = lambda *_: None
        return some

    @property
    def relative_cd8_cells(self) -> float:
        """CD8 cells relative to homeostasis."""
        return self._held(CD8_CELLS) / self._reference_cd8_cells

    def advance(self, exits: Mapping[Kind, Floats], lymphopenia: tuple[float, float], step_h: float) -> None:
        """Advance by ``step_h`` hours.

        Args:
            exits: real NK cells, B cells and thymus-seeding cells that left the marrow, each of shape (N_ORIGINS,).
            lymphopenia: drive of homeostatic division by IL-7, 0 at homeostasis, 1 without any T cell; that of CD8
                memory by IL-15.
            step_h: hours.
        """
        r, days = self.rules, step_h / HOURS_PER_DAY
        from_marrow = self.pools[len(T_CELLS) :]
        entering = np.array([exits[Kind.NK_PROGENITOR], exits[Kind.IMMATURE_B]])
        pools = zip((r.nk_production, r.b_production), self._reference[len(T_CELLS) :], strict=True)
        from_marrow[...] = renewed(from_marrow, entering, tuple(made / usual * days for made, usual in pools))
        self._enter(Kind.IMMATURE_B, 0, exits[Kind.IMMATURE_B], self.pools[INDEX[Kind.IMMATURE_B]])
        seeded = chain(self.thymus, exits[Kind.THYMUS_SEEDING], len(self.thymus) / r.thymus_transit * days)
        self._divide(self.thymic_function * seeded / r.thymus_seeding, lymphopenia, days)
        self.thymic_function = 1.0 - (1.0 - self.thymic_function) * exp(-days / r.thymus_recovery)

    def _divide(self, thymic_days: Floats, lymphopenia: tuple[float, float], days: float) -> None:
        """Advance the T-cell pools.

        Without lymphopenia division balances death, but for what the thymus adds to naive and regulatory cells.
        Lymphopenia lets all divide faster and turns naive cells into memory-like ones. CD8 memory cells live on IL-15
        and leave most of the IL-7 to the others, so that, back first, they do not take the place of CD4 cells.

        Args:
            thymic_days: thymic output of the step in days of full output, by origin.
            lymphopenia: 0 at homeostasis, 1 without any T cell; that of CD8 memory cells.
            days: length of the step.
        """
        r = self.rules
        by_il7, by_il15 = lymphopenia
        self.memory_growth = r.cd4_growth * by_il7
        convert = 1.0 - exp(-r.naive_conversion * max(by_il7, 0.0) * days)
        lineages = ((Kind.CD4_NAIVE, Kind.CD4_MEMORY), (Kind.CD8_NAIVE, Kind.CD8_MEMORY))
        for naive, memory in lineages if convert > 0.0 else ():
            converted = self.pools[INDEX[naive]] * convert
            self.pools[INDEX[naive]] -= converted
            self.pools[INDEX[memory]] += 2.0 * converted  # each divides once
            self._enter(memory, 1, 2.0 * converted, self.pools[INDEX[memory]])
        drives = [by_il15 if kind is Kind.CD8_MEMORY else by_il7 for kind in T_CELLS]
        rates = zip(self._growth, drives, strict=True)
        grown = [exp((growth * drive - replaced) * days) for (growth, replaced), drive in rates]
        t_cells = self.pools[: len(T_CELLS)]
        t_cells *= np.array(grown)[:, np.newaxis]
        for kind, emigrants in self._emigrants.items():
            if emigrants > 0.0:
                t_cells[INDEX[kind]] += emigrants * thymic_days
                self._enter(kind, 0, emigrants * thymic_days, t_cells[INDEX[kind]])

    def bleed(self, share: float) -> None:
        """Lose a share (0-1) of the lymphocytes that are in the blood."""
        r = self.rules
        in_blood = {Kind.NK: r.nk_blood_share, Kind.IMMATURE_B: r.b_blood_share}
        kept = [1.0 - share * in_blood.get(kind, r.t_blood_share) for kind in POOLS]
        self.pools = self.pools * np.array(kept)[:, np.newaxis]

    def damage_thymus(self, share: float) -> None:
        """Take away a share (0-1) of what is left of the thymic function."""
        self.thymic_function = self.thymic_function * (1.0 - min(share, 1.0))

    def add(self, kind: Kind, origin: Origin | int, cells: float) -> float:
        """Add cells of a kind, or of one that becomes it in the body, to its pool; returns what that holds now."""
        row = INDEX[RETURNS.get(kind, kind)]
        self.pools[row, origin] += cells
        return float(self.pools[row, origin])

    def queue(self, step_h: float) -> None:
        """Let the step's share of every pool head for the marrow."""
        flow = self.pools[: len(TRAVELLERS)] * (self._entry * (step_h / HOURS_PER_DAY))
        self.waiting += flow / self._cells_per_agent

    def depart(self) -> list[Arrival]:
        """Take whole agents that are due out of the pools; the remainder waits."""
        agents = whole_agents(self.waiting, self.pools[: len(TRAVELLERS)], self._cells_per_agent)
        return [
            (TRAVELLERS[row], Origin(origin), Specificity.NONE, int(agents[row, origin]))
            for row, origin in np.argwhere(agents).tolist()
        ]

    def cells(self, kinds: Sequence[Kind]) -> Floats:
        """Return the cells of several pools together by origin, shape (N_ORIGINS,)."""
        result = np.zeros(N_ORIGINS)
        for kind in kinds:
            result = result + self.pools[INDEX[kind]]
        return result


def whole_agents(waiting: Floats, pool: Floats, cells_per_agent: float) -> Ints:
    """Take the whole agents of ``waiting`` out of it and out of ``pool`` (both change), as far as the pool has them."""
    agents = np.floor(np.minimum(waiting, pool / cells_per_agent))
    waiting -= agents
    pool -= agents * cells_per_agent
    return agents.astype(np.int64)


def _emigrants(r: LymphocyteRules, age_years: float) -> dict[Kind, float]:
    """Return the cells that a whole thymus exports per day at this age, by pool."""
    output = r.thymus_output * exp(LN2 * (r.thymus_age - age_years) / r.thymus_age_half)
    rest = 1.0 - r.thymus_treg_share
    return {
        Kind.CD4_NAIVE: output * rest * r.thymus_cd4_share,
        Kind.CD8_NAIVE: output * rest * (1.0 - r.thymus_cd4_share),
        Kind.TREG: output * r.thymus_treg_share,
    }
