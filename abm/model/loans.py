"""Receptors lent to lymphocytes while an antibody is on board: the rows that follow those of the receptor classes.

A lymphocyte engages what its own receptors or those lent to it see. Some kinds may hold other loans than others: each
set of antibodies that lends to the same kinds together has one row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_KINDS, N_LOANS, N_SPECIFICITIES, Antigen
from abm.errors import ConfigError
from abm.model.body.antibodies import Antibody
from abm.model.rules import Rules

_ALWAYS = 0xFFFFFFFF
Tables = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Loans:
    """What antibodies may lend under the rules of a species.

    Attributes:
        lenders: places among all antibodies of those that lend.
        antigens: what the receptors of each of them bind.
        sets: for each row, who lends (by place among the lenders).
        lent: row by kind of lymphocyte, 0 for none, uint8 (N_KINDS,).
        shown: antigens that cells show by lowest byte of the hot word, uint32 (256,).
        tables: of own receptors alone: receptors, sees, hit_class, without the rows of loans.
        strength: kill strength by class, float32 (HIT_CLASSES,).
        classes: hit class by lender, kind and level, uint8 (lenders, N_KINDS, 4); they rise with strength.
        sampled: likewise where effectors of the lattice are a sample denser than in life, so that each strikes less.
    """

    lenders: Sequence[int]
    antigens: Sequence[Antigen]
    sets: Sequence[tuple[int, ...]]
    lent: NDArray[np.uint8]
    shown: NDArray[np.uint32]
    tables: Tables
    strength: NDArray[np.float32]
    classes: NDArray[np.uint8]
    sampled: NDArray[np.uint8]

    @classmethod
    def of(cls, rules: Rules, antibodies: Mapping[str, Antibody], donor_is_self: bool, enrichment: float) -> Self:
        """Return the loans of all antibodies of a species.

        Args:
            rules: compiled rules of the species.
            antibodies: by name.
            donor_is_self: whether donor and host share their antigens.
            enrichment: effectors of a sample for each of those in life; kill strengths are those of a sample.
        """
        found = [(i, drug, drug.antigen) for i, drug in enumerate(antibodies.values()) if drug.lends]
        lenders = [(i, drug, antigen) for i, drug, antigen in found if antigen is not None]
        by_kind = [tuple(j for j, (_, drug, _) in enumerate(lenders) if k in drug.lends) for k in range(N_KINDS)]
        sets = sorted({who for who in by_kind if who})
        if len(sets) > N_LOANS:
            message = f"expected at most {N_LOANS} groups of kinds that different antibodies lend to, found {len(sets)}"
            raise ConfigError(message, file="antibodies.csv", key="of")
        lent = [N_SPECIFICITIES + sets.index(who) if who else 0 for who in by_kind]
        sight = rules.sight(donor_is_self)
        strengths = {kind: info.strength for kind, info in rules.kinds.items()}
        bound = [(antigen, drug.affinity) for _, drug, antigen in lenders]
        whole = [(antigen, affinity * enrichment) for antigen, affinity in bound]
        classes, strength = rules.recognition.hit_classes(strengths, [*whole, *bound])
        lent_classes = classes[N_SPECIFICITIES:]
        return cls(
            [i for i, _, _ in lenders],
            [antigen for *_, antigen in lenders],
            sets,
            np.array(lent, np.uint8),
            sight["antigens"][:256].astype(np.uint32),
            {
                "receptors": rules.recognition.receptors,
                "sees": sight["sees"].reshape(N_SPECIFICITIES, -1),
                "hit_class": classes[:N_SPECIFICITIES],
            },
            strength,
            lent_classes[: len(lenders)],
            lent_classes[len(lenders) :],
        )

    def held(self, occupancies: Sequence[float]) -> tuple[float, ...]:
        """Return the occupancies of the lenders among those of all antibodies."""
        return tuple(occupancies[i] for i in self.lenders)

    def rows(self, lent: Sequence[float], *, sampled: bool = False) -> Tables:
        """Return the kernel tables under these occupancies of the lenders; ``sampled``: effectors are a denser sample.

        Several antibodies that lend to one kind do so together: the cell holds them with the chance to hold any, and
        strikes as with the best of them.
        """
        shapes = {name: (N_SPECIFICITIES + N_LOANS, *table.shape[1:]) for name, table in self.tables.items()}
        found = {name: np.zeros(shape, self.tables[name].dtype) for name, shape in shapes.items()}
        for name, table in self.tables.items():
            found[name][:N_SPECIFICITIES] = table
        by_lender = self.sampled if sampled else self.classes
        armed = np.zeros(N_SPECIFICITIES + N_LOANS, np.uint32)
        for row, who in enumerate(self.sets, start=N_SPECIFICITIES):
            on = [j for j in who if lent[j] > 0.0]
            free = 1.0
            for j in on:
                found["receptors"][row] |= np.uint32(1 << self.antigens[j])
                free = free * (1.0 - lent[j])
                found["hit_class"][row] = np.maximum(found["hit_class"][row], by_lender[j])
            found["sees"][row] = ((self.shown & found["receptors"][row]) != 0) * np.uint8(3)  # no need of priming
            armed[row] = min(int((1.0 - free) * 4294967296.0), _ALWAYS)
        holders = np.where(armed[self.lent] > 0, self.lent, 0).astype(np.uint8)
        return {name: table.reshape(-1) for name, table in found.items()} | {"lent": holders, "armed": armed}
