"""What cells inherit beside their kind: variants, how they differ, and by which mutations they arise.

``variants.csv`` names up to three variants of a kind (the ``resist`` bits of the cold word) and by what factor a
hazard, a renewal or the kill by a drug differs from the wild type. ``mutations.csv`` says what a daughter may gain in a
division (an antigen is lost, or it becomes a variant or another kind), and which share of cells has it at the start.

An agent stands for many cells, but gains or loses a thing as a whole: a probability of 1e-7 per division of a cell is
one per division of an agent. That keeps the mean over runs; a mutant share smaller than one agent is all of an agent in
some runs and nothing in the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from abm.cells import (
    FIRST_MOTILE,
    GAIN_KIND,
    GAIN_VARIANT,
    LOSS_ANTIGENS,
    N_BEHAVIOURS,
    N_KINDS,
    N_VARIANTS,
    Antigen,
    Behaviour,
    Cycle,
    Flag,
    Kind,
)
from abm.model.rule_tables import ANY_RESIDENT, CYCLES, KindInfo
from abm.tables import RANGE, Folder, Row, once, read_names, read_table

Floats = NDArray[np.float64]
ANY_LEUKAEMIC = "ANY_LEUKAEMIC"
WILD_TYPE, ANY = "wild_type", "any"
#: What stands for radiation among the drugs that a variant may answer to otherwise.
RADIATION = "radiation"
_BEHAVIOURS = tuple(b.name for b in Behaviour if b is not Behaviour.DRUG)
_UNITS = {"division": "1/division", "start": "fraction"}
_CHANCES = 4294967296.0


class Subclone(NamedTuple):
    """A share of the cells of a kind that has something at the start."""

    kind: Kind
    share: float
    gain: int


def with_progeny(
    subclones: Sequence[Subclone], fates: Mapping[Kind, Sequence[tuple[Kind, float]]]
) -> tuple[Subclone, ...]:
    """Return shares at the start, of stem cells also for all marrow cells that descend from them by ``fates.csv``."""
    line = [Kind.HSC]
    for kind in line:
        line += [after for after, _ in fates.get(kind, ()) if after not in line]
    stem = [subclone for subclone in subclones if subclone.kind is Kind.HSC]
    return (*subclones, *(subclone._replace(kind=kind) for kind in line[1:] for subclone in stem))


class Mutation(NamedTuple):
    """What each daughter of a cell gains with this probability."""

    kind: Kind
    variant: int
    probability: float
    gain: int


@dataclass(frozen=True)
class Variants:
    """``variants.csv``: how variants of cells differ from the wild type.

    Attributes:
        names: number of a variant by kind and name.
        factor: of each behaviour by variant and row of the rate table, shape (4, 128, N_BEHAVIOURS); 1 if not stated.
        drugs: of the kill by a drug or by radiation, by its name, variant, kind and cycle state, shape (4, 64, 2).
    """

    names: Mapping[tuple[Kind, str], int]
    factor: Floats
    drugs: Mapping[str, Floats]

    @property
    def differ(self) -> bool:
        """Whether any hazard of any variant differs from the wild type."""
        return bool((self.factor != 1.0).any())


def read_variants(folder: Folder, kinds: Mapping[Kind, KindInfo]) -> Variants:
    """Return the variants of a folder."""
    names: dict[tuple[Kind, str], int] = {}
    factor = np.ones((N_VARIANTS, N_KINDS * 2, N_BEHAVIOURS))
    drugs: dict[str, Floats] = {}
    known = [*read_names(folder / "drugs.csv"), RADIATION]
    seen: set[tuple[Kind, int, int, str]] = set()
    columns = ("kind", "cycle", "variant", "name", "target", "factor")
    for row in read_table(folder / "variants.csv", columns, RANGE, key=("kind",)):
        variant, name = row.integer("variant", 1, N_VARIANTS - 1), _name(row)
        target = row.choice("target", [*_BEHAVIOURS, *known])
        row.choice("unit", ["1"])
        value = row.number("factor", 0.0)
        cycles = [Cycle(c) for c in CYCLES[row.choice("cycle", CYCLES)]]
        for kind in which(row, kinds):
            _name_variant(row, names, kind, name, variant)
            for cycle in cycles:
                if (kind, cycle, variant, target) in seen:
                    raise row.error("target", f"{target} of {name} {kind.name} is set twice")
                seen.add((kind, cycle, variant, target))
                if target in known:
                    drugs.setdefault(target, np.ones((N_VARIANTS, N_KINDS, 2)))[variant, kind, cycle] = value
                else:
                    factor[variant, kind * 2 + cycle, Behaviour[target]] = value
    return Variants(names, factor, drugs)


def _name(row: Row) -> str:
    name = row.text("name")
    if not name.isidentifier() or name in (WILD_TYPE, ANY, *(a.name for a in Antigen), *(k.name for k in Kind)):
        expected = f"a name of letters, digits and _, not {WILD_TYPE}, {ANY}, an antigen or a kind"
        raise row.error("name", f"expected {expected}, found {name!r}")
    return name


def _name_variant(row: Row, names: dict[tuple[Kind, str], int], kind: Kind, name: str, variant: int) -> None:
    """Note the name of a variant; a kind has one name for each and one variant of each name."""
    for (other, known), number in names.items():
        if other is kind and (known == name) != (number == variant):
            raise row.error("name", f"variant {number} of {kind.name} is {known}; found {name} for variant {variant}")
    names[kind, name] = variant


def which(row: Row, kinds: Mapping[Kind, KindInfo]) -> list[Kind]:
    """Return the kinds that a row is about."""
    name = row.choice("kind", [*(k.name for k in kinds), ANY_RESIDENT, ANY_LEUKAEMIC])
    if name == ANY_RESIDENT:
        return [kind for kind in kinds if kind < FIRST_MOTILE]
    if name == ANY_LEUKAEMIC:
        return [kind for kind, info in kinds.items() if info.flags >> Flag.LEUKAEMIC & 1]
    return [Kind[name]]


@dataclass(frozen=True)
class Heredity:
    """Variants, and the mutations and subclones through which they and antigen losses come about."""

    variants: Variants
    mutations: tuple[Mutation, ...]
    subclones: tuple[Subclone, ...]

    @classmethod
    def load(cls, folder: Folder, kinds: Mapping[Kind, KindInfo], losable: frozenset[Antigen]) -> Self:
        """Read the tables of a folder; ``losable``: antigens that a cell can lose."""
        variants = read_variants(folder, kinds)
        mutations: list[Mutation] = []
        subclones: list[Subclone] = []
        total = np.zeros((N_KINDS, N_VARIANTS))
        columns = ("kind", "from", "gain", "when", "probability")
        for row in once(read_table(folder / "mutations.csv", columns, RANGE, key=("kind",)), columns[:4]):
            when = row.choice("when", _UNITS)
            row.choice("unit", [_UNITS[when]])
            probability = row.number("probability", 0.0, 1.0)
            for kind in which(row, kinds) if _can_be_gained(row, kinds) else ():
                gain, mothers = _gain(row, kind, kinds, variants, losable), _mothers(row, kind, variants)
                if when == "start":
                    subclones.append(Subclone(kind, probability, gain))
                    continue
                mutations += [Mutation(kind, mother, probability, gain) for mother in mothers]
                total[kind, mothers] += probability
                if (most := float(total[kind].max())) > 1.0:
                    message = f"the chances of a daughter of {kind.name} add up to {most:g}, expected at most 1"
                    raise row.error("probability", message)
        return cls(variants, tuple(mutations), tuple(subclones))

    def tables(self) -> dict[str, NDArray[np.generic]]:
        """Return the kernel tables of mutations, in rows of kind and variant of the mother; chances add up in a row."""
        possible = [m for m in self.mutations if m.probability > 0.0]
        rows = sorted(possible, key=lambda m: (m.kind, m.variant))  # stable: in the order of the table
        owner = np.array([m.kind * N_VARIANTS + m.variant for m in rows], np.int64)
        chances: list[int] = []
        total: dict[tuple[Kind, int], float] = {}
        for m in rows:
            total[m.kind, m.variant] = total.get((m.kind, m.variant), 0.0) + m.probability
            chances.append(min(round(total[m.kind, m.variant] * _CHANCES), 0xFFFFFFFF))
        counts = np.bincount(owner, minlength=N_KINDS * N_VARIANTS)
        return {
            "mutation_start": np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
            "mutation_chance": np.array(chances, np.uint32),
            "mutation_gain": np.array([m.gain for m in rows], np.uint32),
        }


def _can_be_gained(row: Row, kinds: Mapping[Kind, KindInfo]) -> bool:
    """Whether what a row names may be there: a folder with few kinds of its own has none of the others to become."""
    name = row.text("gain")
    return name not in Kind.__members__ or Kind[name] in kinds


def _gain(row: Row, kind: Kind, kinds: Mapping[Kind, KindInfo], variants: Variants, losable: frozenset[Antigen]) -> int:
    """Return what is gained as the kernels have it: a loss bit, or above all of them a variant, or another kind."""
    names = {name: number for (owner, name), number in variants.names.items() if owner is kind}
    antigens = {a.name: j for j, a in enumerate(LOSS_ANTIGENS) if a in losable}
    others = {k.name: k for k in kinds if k < FIRST_MOTILE and kind < FIRST_MOTILE and k is not kind}
    gain = row.choice("gain", [*antigens, *names, *others])
    if gain in others:
        if row.text("when") == "start":
            raise row.error("gain", f"expected an antigen or a variant for a share at the start, found {gain}")
        return others[gain] << GAIN_KIND
    return 1 << antigens[gain] if gain in antigens else names[gain] << GAIN_VARIANT


def _mothers(row: Row, kind: Kind, variants: Variants) -> list[int]:
    """Return the variants in which a mutation happens."""
    names = {WILD_TYPE: 0} | {name: number for (owner, name), number in variants.names.items() if owner is kind}
    found = row.choice("from", [ANY, *names])
    if row.text("when") == "start" and found != ANY:
        raise row.error("from", f"expected {ANY} for a share at the start, found {found!r}")
    return list(range(N_VARIANTS)) if found == ANY else [names[found]]
