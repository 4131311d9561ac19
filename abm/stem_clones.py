"""Stem-cell clones over decades, well mixed and at their true number: what a patch is too small and too slow for.

The niches are full. A place becomes free when its cell leaves it, and goes to a daughter of any stem cell, in
proportion to how often they divide; daughters mutate as ``mutations.csv`` says, and what a variant changes stands in
``variants.csv``. A clone is what descends from one mutation. The rules are those of the lattice; space, blood and the
rest of the marrow are left out. A life of 1e5 stem cells takes about a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from abm.cells import GAIN_KIND, GAIN_VARIANT, N_VARIANTS, Behaviour, Cycle, Kind, pack_cold, pack_hot
from abm.config import Config
from abm.model.editing import Product
from abm.model.rule_tables import BODY_SIGNALS
from abm.model.rules import Rules
from abm.well_mixed import local_answers

Floats = NDArray[np.float64]
DAYS_PER_YEAR = 365.25
_QUIET, _AWAKE = Kind.HSC * 2 + Cycle.QUIESCENT, Kind.HSC * 2 + Cycle.CYCLING


class Gain(NamedTuple):
    """What a daughter of a variant gains with this probability: another variant, or a kind that is none of the HSC."""

    mother: int
    probability: float
    variant: int
    kind: int


@dataclass(frozen=True)
class StemRates:
    """Rates of stem cells in full niches, per year.

    Attributes:
        leave: at which a cell leaves its niche, by variant; likewise ``divide``.
        gains: what daughters gain.
    """

    leave: Floats
    divide: Floats
    gains: tuple[Gain, ...]

    @classmethod
    def of(cls, config: Config, rules: Rules, inflammation: float = 0.0) -> StemRates:
        """Take them from the rules, at a lasting level of ``inflammation_body``."""
        signals = dict(BODY_SIGNALS) | {"inflammation_body": inflammation}
        step = rules.rates(signals, np.zeros((64, 2)), 24.0)
        table = step.rates.reshape(N_VARIANTS, 128, -1).astype(np.float64) * DAYS_PER_YEAR
        _, in_niche, _ = local_answers(config, rules)
        wake, divide = table[:, _QUIET, Behaviour.SWITCH], table[:, _AWAKE, Behaviour.DIVIDE]
        mutations = [m for m in rules.heredity.mutations if m.kind is Kind.HSC]
        return cls(
            leave=table[:, _QUIET, Behaviour.EGRESS] * in_niche,
            divide=wake * divide / (wake + divide),
            gains=tuple(
                Gain(m.variant, m.probability, (m.gain >> GAIN_VARIANT) & (N_VARIANTS - 1), m.gain >> GAIN_KIND)
                for m in mutations
            ),
        )

    @property
    def fitness(self) -> Floats:
        """Growth of a small clone of each variant among the wild type, 1/a."""
        born = self.leave[0] * self.divide / self.divide[0]
        return np.asarray(born - self.leave)


class StemClones:
    """One marrow.

    Attributes:
        size: stem cells by clone; the first one is the wild type.
        variant: of each clone.
        born: year in which it arose.
        transformed: years in which a daughter became a leukaemic stem cell.
        year: time since the start.
    """

    def __init__(self, rates: StemRates, cells: int, seed: int) -> None:
        """Start without any mutation; ``rates`` may be replaced at any time."""
        self.rates = rates
        self._random = np.random.Generator(np.random.Philox(key=seed))
        self.size = np.array([cells], np.int64)
        self.variant = np.zeros(1, np.int64)
        self.born = np.zeros(1)
        self.transformed: list[float] = []
        self.year = 0.0

    @classmethod
    def of_graft(cls, rates: StemRates, cells: int, founders: int, product: Product, seed: int) -> Self:
        """Start from an edited graft of so many stem cells, which have filled all niches in equal parts.

        Founders in which a gene of growth was hit are a clone each; all others are the wild type.
        """
        hot = np.full(founders, pack_hot(kind=Kind.HSC), np.uint32)
        kept = product(hot, np.zeros(founders, np.uint32))[1]
        activated = int(np.count_nonzero(kept >= pack_cold(resist=1)))
        graft = cls(rates, cells, seed)
        each = cells // kept.size
        graft.size = np.array([cells - activated * each, *[each] * activated], np.int64)
        graft.variant = np.array([0, *[product.variant] * activated], np.int64)
        graft.born = np.zeros(activated + 1)
        return graft

    @property
    def vaf(self) -> Floats:
        """Variant allele frequency of every clone but the wild type, each with its mutation on one of two alleles."""
        return np.asarray(0.5 * self.size[1:] / self.size.sum())

    def share(self, variant: int) -> float:
        """Share of the stem cells that are this variant."""
        return float(self.size[self.variant == variant].sum() / self.size.sum())

    def advance(self, years: float) -> None:
        """Advance by a step that is short against the time a cell stays in its niche, about a year."""
        r, n = self.rates, self.size
        gone = self._random.binomial(n, r.leave[self.variant] * years)
        stay = n - gone
        weight = stay * r.divide[self.variant]
        born = self._random.multinomial(int(gone.sum()), weight / weight.sum())
        self.size = stay + born
        self.year += years
        # daughters that stay in a niche: one of each division of those in place, and those that took a free one
        self._mutate(stay * r.divide[self.variant] * years + born)
        alive = self.size > 0
        alive[0] = True
        self.size, self.variant, self.born = self.size[alive], self.variant[alive], self.born[alive]

    def _mutate(self, daughters: Floats) -> None:
        size, variant = [self.size], [self.variant]
        for gain in self.rates.gains:
            mothers = self.variant == gain.mother
            found = np.where(mothers, self._random.poisson(daughters * (gain.probability * mothers)), 0)
            found = np.minimum(found, self.size)
            self.size -= found
            new = int(found.sum())
            if gain.kind:
                self.transformed += [self.year] * new
            elif new:
                size.append(np.ones(new, np.int64))
                variant.append(np.full(new, gain.variant))
        self.size, self.variant = np.concatenate(size), np.concatenate(variant)
        self.born = np.concatenate([self.born, np.full(self.size.size - self.born.size, self.year)])
