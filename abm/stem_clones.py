"""Stem-cell clones over decades, well mixed and at their true number: what a patch is too small and too slow for.

The niches are full. A place becomes free when its cell leaves it, and goes to a daughter of any stem cell, in
proportion to how often they divide; daughters mutate as ``mutations.csv`` says, and what a variant changes stands in
``variants.csv``. A clone is what descends from one mutation. The rules are those of the lattice; space, blood and the
rest of the marrow are left out. A life of 1e5 stem cells takes about a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from abm.cells import GAIN_KIND, GAIN_VARIANT, N_KINDS, N_VARIANTS, Behaviour, Cycle, Kind, pack_cold, pack_hot
from abm.config import Config
from abm.exactmath import power
from abm.model.body import Dose, Tables
from abm.model.body.drugs import DRUG_TARGETS, LN10, RADIATION_TARGETS, drug_target
from abm.model.editing import Product
from abm.model.heredity import RADIATION
from abm.model.rule_tables import BODY_SIGNALS
from abm.model.rules import Rules
from abm.model.surroundings import stem_answers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
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
        fastest: at which stem cells divide while niches are empty, all daughters of which find one.
    """

    leave: Floats
    divide: Floats
    gains: tuple[Gain, ...]
    fastest: float = inf

    @classmethod
    def of(cls, config: Config, rules: Rules, inflammation: float = 0.0, occupancy: float = 1.0) -> StemRates:
        """Take them from the rules.

        Args:
            config: of the patient.
            rules: rule tables.
            inflammation: a lasting level of ``inflammation_body``.
            occupancy: share of the niches that hold a stem cell at homeostasis, which says how empty they may become;
                1: they are filled at once.
        """
        signals = dict(BODY_SIGNALS) | {"inflammation_body": inflammation}
        table = _rates(rules, signals)
        in_niche, _ = stem_answers(rules)
        empty = (
            inf if occupancy == 1.0 else _dividing(_rates(rules, signals | {"niche_vacancy": 1 / (1 - occupancy)}))[0]
        )
        mutations = [m for m in rules.heredity.mutations if m.kind is Kind.HSC]
        return cls(
            leave=table[:, _QUIET, Behaviour.EGRESS] * in_niche,
            divide=_dividing(table),
            gains=tuple(
                Gain(m.variant, m.probability, (m.gain >> GAIN_VARIANT) & (N_VARIANTS - 1), m.gain >> GAIN_KIND)
                for m in mutations
            ),
            fastest=float(empty),
        )

    @property
    def fitness(self) -> Floats:
        """Growth of a small clone of each variant among the wild type, 1/a."""
        born = self.leave[0] * self.divide / self.divide[0]
        return np.asarray(born - self.leave)


def _rates(rules: Rules, signals: dict[str, float]) -> Floats:
    """Return the rates of each variant per year, shape (N_VARIANTS, 128, N_BEHAVIOURS)."""
    step = rules.rates(signals, np.zeros((64, 2)), 24.0)
    return step.rates.reshape(N_VARIANTS, 128, -1).astype(np.float64) * DAYS_PER_YEAR


def _dividing(table: Floats) -> Floats:
    """Return how often stem cells divide that wake and rest in turn, by variant."""
    wake, divide = table[:, _QUIET, Behaviour.SWITCH], table[:, _AWAKE, Behaviour.DIVIDE]
    return np.asarray(wake * divide / (wake + divide))


def log10_kill(tables: Tables, dose: Dose, kind: Kind = Kind.HSC) -> Floats:
    """Return log10 of the resting stem cells that a dose kills, by variant, shape (N_VARIANTS,); 0: it kills none."""
    everyone = np.ones((N_VARIANTS, N_KINDS, 2))
    target = drug_target(kind, Cycle.QUIESCENT)
    if dose.kind == "drug":
        name, kill = dose.name, tables.drugs[dose.name].log10_kill[DRUG_TARGETS.index(target)] * dose.amount
    elif dose.kind == "radiation":
        place, gy = RADIATION_TARGETS.index(target), dose.amount
        name, kill = RADIATION, (tables.radiation.alpha[place] * gy + tables.radiation.beta[place] * gy * gy) / LN10
    else:
        return np.zeros(N_VARIANTS)
    return kill * np.asarray(tables.variants.get(name, everyone)[:, kind, Cycle.QUIESCENT])


class Clones(NamedTuple):
    """Clones of stem cells, the wild type first, each of shape (clones,).

    Attributes:
        size: stem cells.
        variant: of each clone.
        born: year in which it arose.
        number: by which it is known wherever it goes.
    """

    size: Ints
    variant: Ints
    born: Floats
    number: Ints


class StemClones:
    """One marrow.

    Attributes:
        size: stem cells by clone; the first one is the wild type.
        variant, born, number: of each clone, as in :class:`Clones`.
        transformed: years in which a daughter became a leukaemic stem cell.
        niches: stem cells that there is room for.
        year: time since the start.
    """

    def __init__(self, rates: StemRates, cells: int, seed: int) -> None:
        """Start without any mutation; ``rates`` may be replaced at any time."""
        self.rates = rates
        self._random = np.random.Generator(np.random.Philox(key=seed))
        self.niches = cells
        self.size = np.array([cells], np.int64)
        self.variant, self.number = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self.born = np.zeros(1)
        self.transformed: list[float] = []
        self.year = 0.0
        self._begun = 0

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
        for _ in range(activated):
            graft.begin(product.variant, each)
        return graft

    @property
    def vaf(self) -> Floats:
        """Variant allele frequency of every clone but the wild type, each with its mutation on one of two alleles."""
        return np.asarray(0.5 * self.size[1:] / max(self.size.sum(), 1))

    def share(self, variant: int) -> float:
        """Share of the stem cells that are this variant."""
        return float(self.size[self.variant == variant].sum() / max(self.size.sum(), 1))

    def begin(self, variant: int, cells: int) -> None:
        """Let cells of the wild type be a clone from now on, all of them if there are fewer."""
        cells = min(cells, int(self.size[0]))
        self.size[0] -= cells
        self._add(np.array([cells]), np.array([variant]))

    def advance(self, years: float) -> None:
        """Advance by a step that is short against the time a cell stays in its niche, about a year.

        Niches that treatment has emptied are taken as fast as cells can divide.
        """
        r, n = self.rates, self.size
        gone = self._random.binomial(n, r.leave[self.variant] * years)
        stay = n - gone
        weight = stay * r.divide[self.variant]
        left = int(stay.sum())  # without any there is nobody who could fill a niche
        most = min(self.niches - left, r.fastest * years * left) if left else 0.0
        born = self._random.multinomial(int(most), weight / weight.sum()) if most >= 1.0 else np.zeros_like(stay)
        self.size = stay + born
        self.year += years
        # daughters that stay in a niche: one of each division of those in place, and those that took a free one
        self._mutate(stay * r.divide[self.variant] * years + born)
        self._forget()

    def expose(self, log10_kill: Floats, divisions: float, leukaemic: float = 0.0) -> None:
        """Let a drug or radiation kill; who survives may have gained a mutation.

        Args:
            log10_kill: of each variant, shape (N_VARIANTS,).
            divisions: in which a cell gains as many mutations as one that survives where nine of ten of the wild type
                die.
            leukaemic: the same of leukaemic stem cells; those that arose before are taken as one cell each.
        """
        lives = self._random.random(len(self.transformed)) < power(0.1, leukaemic)
        self.transformed = [year for year, yes in zip(self.transformed, lives, strict=True) if yes]
        survival = np.array([power(0.1, float(kill)) for kill in log10_kill])
        self.size = self._random.binomial(self.size, survival[self.variant])
        self._mutate(np.asarray(self.size * (divisions * float(log10_kill[0])), np.float64))
        self._forget()

    def collect(self, cells: int) -> Clones:
        """Return a graft of so many cells, or of all there are; the marrow makes up for them at once."""
        taken = self._random.multivariate_hypergeometric(self.size, min(cells, int(self.size.sum())))
        return Clones(taken, self.variant.copy(), self.born.copy(), self.number.copy())

    def engraft(self, graft: Clones) -> None:
        """Let cells that were collected earlier lodge beside those that are left, as far as there is room."""
        place = {number: place for place, number in enumerate(self.number.tolist())}
        new = np.array([number not in place for number in graft.number.tolist()])
        there = [place[number] for number in graft.number[~new].tolist()]
        self.size[there] += graft.size[~new]
        self._append(Clones(*(part[new] for part in graft)))
        most = min(self.niches, int(self.size.sum()))
        self.size = self._random.multivariate_hypergeometric(self.size, most)
        self._forget()

    def _mutate(self, daughters: Floats) -> None:
        size, variant = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
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
        self._add(np.concatenate(size), np.concatenate(variant))

    def _add(self, size: Ints, variant: Ints) -> None:
        """Add clones that begin now."""
        first = self._begun + 1
        self._begun += size.size
        self._append(Clones(size, variant, np.full(size.size, self.year), np.arange(first, first + size.size)))

    def _append(self, clones: Clones) -> None:
        for name, part in clones._asdict().items():
            setattr(self, name, np.concatenate([getattr(self, name), part]))

    def _forget(self) -> None:
        """Drop clones without a cell; the wild type stays first."""
        alive = self.size > 0
        alive[0] = True
        for name in Clones._fields:
            setattr(self, name, getattr(self, name)[alive])
