"""Which cells of the body engineered T cells see, and their loss.

The lattice counts whom a receptor class sees. What lies outside the marrow is of the same make as the marrow's cells of
that kind and origin: of B cells, monocytes, granulocytes and blasts the same share shows the antigen, but for grafts
that are edited, of which the body follows the share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from abm.cells import ENGINEERED, N_KINDS, N_ORIGINS, Antigen, Kind, Origin, Specificity
from abm.exactmath import exp
from abm.model.body import fratricide, phagocytes, plasma
from abm.model.body.antibodies import PD_1_AXIS
from abm.model.body.edited import FOLLOWED
from abm.model.body.engineered import Encounter
from abm.model.body.fratricide import Fratricide
from abm.model.body.immune import INDEX
from abm.model.body.numerics import HOURS_PER_DAY, Floats, total

if TYPE_CHECKING:
    from abm.model.body import Body

#: Blood cells that a receptor may see, by the kind whose make they have, with their place in ``Blood``.
BLOOD = {Kind.MONOCYTE: "monocytes", Kind.NEUTROPHIL: "neutrophils", Kind.EOSINOPHIL: "eosinophils",
         Kind.BLAST: "blasts"}  # fmt: skip
#: What is lost with them: the label of cells.
LABELS = {"labelled_neutrophils": Kind.NEUTROPHIL}
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Watch:
    """The receptor classes and antigens of a run that are watched.

    Attributes:
        classes: in the order of the first rows of what the lattice counts.
        shown: whether a cell that has lost nothing is seen, bool (classes, N_KINDS, N_ORIGINS).
        antigens: in the order of the other rows: those with which cells take in a drug that is given.
        lost: loss bits of a cell that none of the classes sees; 0 if no loss hides from all of them.
        unseen: share of leukaemic stem cells that have these, or are the spared variant, at the start.
        fratricide: which lymphocytes the classes see.
        promoters: lineage in which the progeny of an edited graft shows an added receptor, by its origin.
        spared: variant of leukaemic stem cells on which a drug of the run acts less; 0: none is followed.
        plasma: whether each class sees plasma cells.
        rivals: whether cells of a second donor are given.
        haplotype: chance of a daughter to have lost the HLA haplotype that the donor lacks; 0: none is followed.
    """

    classes: tuple[Specificity, ...] = ()
    shown: NDArray[np.bool_] | None = None
    antigens: tuple[Antigen, ...] = ()
    lost: int = 0
    unseen: float = 0.0
    fratricide: Fratricide = Fratricide()
    promoters: Mapping[Origin, str] = field(default_factory=dict)
    spared: int = 0
    plasma: tuple[bool, ...] = ()
    rivals: bool = False
    haplotype: float = 0.0


@dataclass(frozen=True)
class Seen:
    """Cells seen in one step.

    Attributes:
        antigen: cells of the whole body by class, shape (len(ENGINEERED),).
        shares: seen share by class, kind and origin, shape (len(ENGINEERED), N_KINDS, N_ORIGINS).
    """

    antigen: Floats
    shares: Floats


def look(body: Body, seen: Ints, population: Ints) -> Seen:
    """Return whom the watched classes see.

    Args:
        body: the body.
        seen: agents that each sees on the lattice, int64 (classes, N_KINDS, N_ORIGINS).
        population: all agents, int64 (N_KINDS, N_ORIGINS).
    """
    shares = np.zeros((len(ENGINEERED), N_KINDS, N_ORIGINS))
    antigen = np.zeros(len(ENGINEERED))
    for row, receptor in enumerate(body.watch.classes):
        share = _share_seen(body, row, seen[row], population)
        found = int(seen[row].sum()) * body.scale.cells_per_agent
        found = found + total(body.lymphocytes.pools[INDEX[Kind.IMMATURE_B]] * share[Kind.IMMATURE_B])
        for kind, name in BLOOD.items():
            found = found + total(getattr(body.blood, name)[:N_ORIGINS] * share[kind])
        place = ENGINEERED.index(receptor)
        shares[place], antigen[place] = share, found
    return Seen(antigen, shares)


def _share_seen(body: Body, row: int, seen: Ints, population: Ints) -> Floats:
    """Return the share of the cells outside the marrow that a class sees, (N_KINDS, N_ORIGINS).

    It is that of the lattice. Of kinds of which the lattice has none it is all that show the antigen, less what the
    edit of a graft hides; of B cells always, since those of the marrow are new and those of the body months old.
    """
    watch, edited = body.watch, body.edited
    shown = np.zeros((N_KINDS, N_ORIGINS)) if watch.shown is None else watch.shown[row].astype(np.float64)
    counted = population > 0
    for kind in (*FOLLOWED, Kind.EOSINOPHIL) if edited.present else ():
        like = Kind.NEUTROPHIL if kind is Kind.EOSINOPHIL else kind  # of the same progenitors
        hides = _hides(body, row, kind)
        shown[kind] *= np.where(hides, 1.0 - edited.complete(like), 1.0)
        if kind is Kind.IMMATURE_B:
            counted[kind] &= ~hides
    return np.where(counted, seen / np.maximum(population, 1), shown)


def _hides(body: Body, row: int, kind: Kind) -> NDArray[np.bool_]:
    """Return whether the edit of each origin hides a kind from a class, shape (N_ORIGINS,)."""
    hides: NDArray[np.bool_] = body.watch.fratricide.hiding[row, kind] & body.edited.bits.astype(np.uint32) != 0
    return hides


def strike(body: Body, seen: Seen, hazard: Floats, days: float) -> None:
    """Let cells outside the marrow die at the hazard (1/d) of each class that sees them."""
    for row, receptor in enumerate(body.watch.classes):
        place = ENGINEERED.index(receptor)
        if not hazard[place]:
            continue
        share, dies = seen.shares[place], 1.0 - exp(-float(hazard[place]) * days)
        body.lymphocytes.pools[INDEX[Kind.IMMATURE_B]] *= 1.0 - share[Kind.IMMATURE_B] * dies
        for name, kind in [*((name, kind) for kind, name in BLOOD.items()), *LABELS.items()]:
            getattr(body.blood, name)[:N_ORIGINS] *= 1.0 - share[kind] * dies
        for kind in FOLLOWED if body.edited.present else ():
            body.edited.spare_kind(kind, np.where(_hides(body, row, kind), share[kind], 1.0), dies)


def meet(body: Body, seen: Ints, population: Ints) -> tuple[Seen, Encounter]:
    """Return whom the engineered T cells of a body see, and what they meet in this step.

    Args:
        body: the body.
        seen: agents that each watched class sees on the lattice, int64 (classes, N_KINDS, N_ORIGINS).
        population: all agents, int64 (N_KINDS, N_ORIGINS).
    """
    met = look(body, seen, population)
    for row, receptor in enumerate(body.watch.classes if body.watch.fratricide.possible else ()):
        met.antigen[ENGINEERED.index(receptor)] += fratricide.seen(body, row)
    return met, Encounter(
        met.antigen,
        body.cytokines.il7(body.relative_t_cells),
        1.0 - body.drugs.inhibition("proliferation"),
        1.0 - body.drugs.inhibition("killing"),
        body.drugs.inhibition("il6"),
        body.exhaustion.tiring_left(body.antibodies.blocked(PD_1_AXIS)),
    )


def hazards(body: Body, around: Encounter) -> Floats:
    """Return the rate at which a cell that shows the antigen of a class is killed, 1/d, shape (N_CLASSES,)."""
    return body.engineered.hazard(around) + phagocytes.hazard(body, around.antigen)


def encounter(body: Body, seen: Ints, population: Ints, step_h: float) -> None:
    """Advance the engineered T cells of a body by what they see, and kill what they see outside the marrow."""
    met, around = meet(body, seen, population)
    hazard, days = hazards(body, around), step_h / HOURS_PER_DAY
    strike(body, met, hazard, days)
    fratricide.strike(body, hazard, days)
    plasma.strike(body, hazard, days)
    body.engineered.advance(around, step_h)
