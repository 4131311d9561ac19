"""Who may engage whom: antigens, who shows them and how densely, receptor classes; compiled from the rule tables.

A lymphocyte engages a cell if and only if ``antigens & receptors != 0``. A peptide is seen only with the HLA class that
presents it: where that is missing or lost, so is the peptide, and it is at most as dense.

The code book of bits and classes stands in ``abm/cells.py``, not in the tables: checkpoints hold the loss bits and
receptor classes of every cell, and a run may go on under other tables. What an antigen is and who shows it is data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from abm.cells import (
    HIT_CLASSES,
    LOSS_ANTIGENS,
    N_KINDS,
    N_LEVELS,
    N_ORIGINS,
    N_SPECIFICITIES,
    Antigen,
    Kind,
    Origin,
    Specificity,
)
from abm.errors import ConfigError
from abm.tables import Folder, Row, once, read_table

#: What an antigen is. Minor histocompatibility antigens follow the origin of a cell, all others its kind.
GROUPS = ("minor_h", "hla", "lineage", "checkpoint", "leukaemia", "viral", "self", "entry")
MINOR = "minor_h"
#: Whose cells a name of origins.csv stands for; engineered products are of the donor, whichever it is.
OF_ORIGIN = {
    "HOST": (Origin.HOST,),
    "DONOR": (Origin.DONOR, Origin.DONOR2, Origin.PRODUCT),
    "FIRST_DONOR": (Origin.DONOR,),
    "SECOND_DONOR": (Origin.DONOR2,),
}
_HLA = (Antigen.HLA_CLASS_I, Antigen.HLA_CLASS_II)
_NO_HLA = "-"

Expression = dict[Kind, dict[Antigen, int]]
OriginKey = tuple[Origin, bool]  # whose cell, whether the donor is identical to the host


class AntigenInfo(NamedTuple):
    """One row of antigens.csv."""

    group: str
    presented_by: Antigen | None
    can_be_lost: bool


@dataclass(frozen=True)
class Recognition:
    """Recognition as the tables of a species state it.

    Attributes:
        antigens: what each antigen is.
        expression: level (1-3) of the antigens that a kind shows, whatever its origin.
        minor: minor histocompatibility antigens by origin.
        level_strength: kill strength by the level of what is seen, relative to the highest, shape (4,).
        level_molecules: molecules on a cell by level, likewise.
        receptors: antigen mask by receptor class, uint32 (N_SPECIFICITIES,).
        affinity: kill strength by receptor class, relative to the best, shape (N_SPECIFICITIES,).
    """

    antigens: Mapping[Antigen, AntigenInfo]
    expression: Expression
    minor: Mapping[OriginKey, frozenset[Antigen]]
    level_strength: NDArray[np.float64]
    level_molecules: NDArray[np.float64]
    receptors: NDArray[np.uint32]
    affinity: NDArray[np.float64]

    @classmethod
    def load(cls, folder: Folder, kinds: Mapping[Kind, object]) -> Self:
        """Read antigens.csv, expression.csv, levels.csv, origins.csv and receptors.csv of a folder."""
        antigens = _read_antigens(folder)
        return cls(
            antigens,
            _read_expression(folder, antigens, kinds),
            _read_origins(folder, antigens),
            *_read_levels(folder),
            *_read_receptors(folder, antigens),
        )

    def shown(self, kind: Kind, origin: Origin, donor_is_self: bool) -> dict[Antigen, int]:
        """Return the level of every antigen that a cell shows."""
        own = self.expression.get(kind, {})
        levels = own | dict.fromkeys(self.minor[origin, donor_is_self], N_LEVELS)
        presented = {a: self.antigens[a].presented_by for a in levels}
        limited = {
            a: level if (by := presented[a]) is None else min(level, own.get(by, 0)) for a, level in levels.items()
        }
        return {a: level for a, level in limited.items() if level}

    def masks(self, kinds: Mapping[Kind, object], donor_is_self: bool) -> NDArray[np.uint32]:
        """Return the antigens shown at level 1, 2 and 3 or more, uint32 (3, 256), by the lowest byte of the hot word.

        That byte is the kind with the origin above it.
        """
        table = np.zeros((N_LEVELS, N_ORIGINS, N_KINDS), np.uint32)
        for kind in kinds:
            for origin in Origin:
                for antigen, level in self.shown(kind, origin, donor_is_self).items():
                    table[:level, origin, kind] |= np.uint32(1 << antigen)
        return table.reshape(N_LEVELS, -1)

    def losses(self) -> NDArray[np.uint32]:
        """Return the antigens that each loss bit takes away, uint32 (9,): an HLA class takes its peptides with it."""
        masks = np.zeros(len(LOSS_ANTIGENS), np.uint32)
        for j, lost in enumerate(LOSS_ANTIGENS):
            if self.antigens[lost].can_be_lost:
                gone = [lost, *(a for a, info in self.antigens.items() if info.presented_by is lost)]
                masks[j] = sum(1 << a for a in gone)
        return masks

    def sees(self, masks: NDArray[np.uint32], is_apc: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return who sees whom by receptor class and lowest byte of the target's hot word, uint8 (32 * 256,).

        Bit 0: effectors do, bit 1: other lymphocytes do, which need an antigen-presenting cell (``is_apc`` by kind).
        """
        kind = np.arange(masks.shape[1]) % N_KINDS
        binds = (masks[0] & self.receptors[:, None] != 0) & (kind != Kind.EMPTY)
        table: NDArray[np.uint8] = binds.astype(np.uint8) | (binds & is_apc[kind]).astype(np.uint8) * 2
        return table.reshape(-1)

    def _levels_met(self) -> NDArray[np.uint32]:
        """Return the antigens that some cell shows at just this level, uint32 (4,)."""
        levels = np.zeros(N_LEVELS + 2, np.uint32)
        for donor_is_self in (False, True):
            at_least = np.zeros((N_LEVELS + 2, N_ORIGINS * N_KINDS), np.uint32)
            at_least[1 : N_LEVELS + 1] = self.masks(self.expression, donor_is_self)
            levels[:-1] |= np.bitwise_or.reduce(at_least[:-1] & ~at_least[1:], axis=1)
        return levels[:-1]

    def hit_classes(
        self, strength: Mapping[Kind, float], lent: Sequence[tuple[Antigen, float]] = ()
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return the class of every kill strength that occurs, and the strength of each class.

        A receptor has no strength at levels at which no cell shows what it binds: classes are few.

        Args:
            strength: of an effector of each kind with the best receptor on the highest level.
            lent: antigen and affinity of receptors that may be lent; above 1 where a cell strikes for more than one.

        Returns:
            The class by receptor class, kind and level seen, then by affinity lent, kind and level, uint8
            (32 + len(lent), 64, 4); strengths, float32 (HIT_CLASSES,).
        """
        by_kind = np.zeros(N_KINDS)
        by_kind[list(strength)] = list(strength.values())
        affinity = np.append(self.affinity, [value for _, value in lent])
        masks = np.append(self.receptors, np.array([1 << antigen for antigen, _ in lent], np.uint32))
        met = (masks[:, None] & self._levels_met()) != 0
        product = np.round(affinity[:, None, None] * by_kind[:, None] * self.level_strength * met[:, None, :], 6)
        distinct, classes = np.unique(np.append(product, 0.0), return_inverse=True)
        if distinct.size > HIT_CLASSES:
            found = ", ".join(f"{value:g}" for value in distinct)
            raise ConfigError(
                f"expected at most {HIT_CLASSES} different kill strengths (kind x affinity x level; 0 is one), "
                f"found {distinct.size}: {found}",
                file="kinds.csv",
                key="strength",
            )
        strengths = np.zeros(HIT_CLASSES, np.float32)
        strengths[: distinct.size] = distinct
        return classes[:-1].astype(np.uint8).reshape(product.shape), strengths


def _antigen(row: Row, column: str = "antigen") -> Antigen:
    return Antigen[row.choice(column, [a.name for a in Antigen])]


def _known(row: Row, antigens: Mapping[Antigen, AntigenInfo]) -> Antigen:
    return Antigen[row.choice("antigen", [a.name for a in antigens])]


def _read_antigens(folder: Folder) -> dict[Antigen, AntigenInfo]:
    found: dict[Antigen, AntigenInfo] = {}
    path = folder / "antigens.csv"
    for row in read_table(path, ("antigen", "group", "presented_by", "can_be_lost")):
        antigen = _antigen(row)
        if antigen in found:
            raise row.error("antigen", f"{antigen.name} stands twice in this table")
        by = row.choice("presented_by", [_NO_HLA, *(a.name for a in _HLA)])
        lost = row.choice("can_be_lost", ("yes", "no")) == "yes"
        if lost and antigen not in LOSS_ANTIGENS:
            raise row.error("can_be_lost", f"{antigen.name} has no loss bit in a cell; expected no, found 'yes'")
        presented = None if by == _NO_HLA else Antigen[by]
        found[antigen] = AntigenInfo(row.choice("group", GROUPS), presented, lost)
    if missing := [a.name for a in Antigen if a not in found]:
        raise ConfigError(f"missing: {', '.join(missing)}", file=path, key="antigen")
    return found


def _read_expression(
    folder: Folder, antigens: Mapping[Antigen, AntigenInfo], kinds: Mapping[Kind, object]
) -> Expression:
    found: Expression = {}
    for row in read_table(folder / "expression.csv", ("kind", "antigen", "level"), key=("kind",)):
        kind, antigen = Kind[row.choice("kind", [k.name for k in kinds])], _known(row, antigens)
        if antigens[antigen].group == MINOR:
            raise row.error("antigen", f"{antigen.name} follows the origin of a cell; it belongs in origins.csv")
        if antigen in found.setdefault(kind, {}):
            raise row.error("antigen", f"{kind.name} {antigen.name} stands twice in this table")
        found[kind][antigen] = row.integer("level", 1, N_LEVELS)
    return found


def _read_levels(folder: Folder) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return kill strength and molecules by level, each of shape (N_LEVELS + 1,); denser is never weaker."""
    strength, molecules = np.zeros(N_LEVELS + 1), np.zeros(N_LEVELS + 1)
    rows = {}
    path = folder / "levels.csv"
    for row in read_table(path, ("level", "molecules", "strength")):
        level = row.integer("level", 1, N_LEVELS)
        if level in rows:
            raise row.error("level", f"level {level} stands twice in this table")
        rows[level], strength[level] = row, row.number("strength", 0.0, 1.0)
        molecules[level] = row.number("molecules", 1.0)
    if missing := [str(level) for level in range(1, N_LEVELS + 1) if level not in rows]:
        raise ConfigError(f"missing: {', '.join(missing)}", file=path, key="level")
    for level in range(2, N_LEVELS + 1):
        for column in ("molecules", "strength"):
            rows[level].number(column, rows[level - 1].number(column))
    return strength, molecules


def _read_origins(folder: Folder, antigens: Mapping[Antigen, AntigenInfo]) -> dict[OriginKey, frozenset[Antigen]]:
    found: dict[OriginKey, set[Antigen]] = {(o, s): set() for o in Origin for s in (False, True)}
    columns = ("origin", "relation", "antigen")
    for row in once(read_table(folder / "origins.csv", columns), columns):
        origins = OF_ORIGIN[row.choice("origin", OF_ORIGIN)]
        relation, antigen = row.choice("relation", ("any", "self", "other")), _known(row, antigens)
        if antigens[antigen].group != MINOR:
            raise row.error("antigen", f"{antigen.name} follows the kind of a cell; it belongs in expression.csv")
        for is_self in (False, True):
            if relation == "any" or (relation == "self") == is_self:
                for origin in origins:
                    found[origin, is_self].add(antigen)
    return {key: frozenset(value) for key, value in found.items()}


def _read_receptors(
    folder: Folder, antigens: Mapping[Antigen, AntigenInfo]
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Return antigen mask and affinity by receptor class."""
    masks, affinity = np.zeros(N_SPECIFICITIES, np.uint32), np.zeros(N_SPECIFICITIES)
    columns = ("specificity", "antigen", "affinity")
    for row in once(read_table(folder / "receptors.csv", columns), columns[:2]):
        specificity = Specificity[row.choice("specificity", [s.name for s in Specificity if s])]
        value = row.number("affinity", 0.0, 1.0)
        if masks[specificity] and affinity[specificity] != value:
            expected = f"expected {affinity[specificity]:g} as in its other rows"
            raise row.error("affinity", f"{specificity.name} has one affinity: {expected}, found {value:g}")
        masks[specificity] |= np.uint32(1 << _known(row, antigens))
        affinity[specificity] = value
    return masks, affinity
