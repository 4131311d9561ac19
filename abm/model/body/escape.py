"""Leukaemia below one agent that escapes treatment: not seen by T cells, or spared by a drug.

Stem cells that lack every antigen of the receptors given are followed beside all others, by the same equations and
rates (:mod:`abm.model.body.residue`); no engineered T cell kills them. The others are killed at the rate of all that
show the antigen outside the marrow. In a run without such cells those are followed that are a variant on which a drug
acts less. Either were there before treatment, at the shares of ``mutations.csv``.

After a haploidentical graft, where no other cells are followed so, they are those that have lost the haplotype that the
donor lacks (Vago, N Engl J Med 2009), at the share that divisions have brought since the first leukaemic stem cell.
Donor T cells see of them what they see of one haplotype of a matched sibling's recipient: minor antigens.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from abm.cells import ENGINEERED, LOSS_ANTIGENS, MARKS, Antigen, Kind, Origin
from abm.errors import ConfigError
from abm.exactmath import log
from abm.model.body import residue, targets
from abm.model.body.numerics import HOURS_PER_DAY
from abm.model.body.organs import find_donor

if TYPE_CHECKING:
    from abm.model.body import Body

#: Which draw of the stream decides whether any of them is left; the first one does so for all others.
DRAW = 1
#: Donors of ``donors.csv``: of one foreign haplotype, and of none.
HAPLOIDENTICAL, MATCHED = "haplo", "sibling"
_HAPLOTYPES = 2.0


def start(body: Body) -> residue.Residue | None:
    """Return the stem cells that no receptor of the run will see, or that are spared; ``None``: none is followed."""
    stem, rules = body.scale.leukaemia, body.tables.residue
    watch = body.watch
    if stem is None or rules is None or not (watch.classes or watch.spared or watch.haplotype):
        return None
    if watch.haplotype and MATCHED not in body.tables.donors:
        message = f"expected a donor {MATCHED!r}, whose T cells see what is left of leukaemia that lost a haplotype"
        raise ConfigError(message, file="donors.csv", key="donor")
    share = without_haplotype(stem, watch.haplotype) if watch.haplotype else watch.unseen
    return residue.Residue(replace(stem, start=stem.start * share), body.seed, DRAW)


def without_haplotype(stem: residue.StemCells, chance: float) -> float:
    """Return the share of stem cells that have lost a haplotype, ``chance`` per daughter, when they fill a marrow.

    They grow from one to ``full`` by 2 renew - 1 a division, of whose daughters 2 renew are stem cells.
    """
    gain = 2.0 * stem.renew - 1.0
    return min(chance * 2.0 * stem.renew * log(max(stem.full, 1.0)) / gain, 1.0) if gain > 0.0 else 0.0


def shown(body: Body) -> float:
    """Return the share of what donor T cells see of leukaemia that those followed show to them, 0-1."""
    if not body.watch.haplotype:
        return 1.0
    found = find_donor(body.tables.donors, HAPLOIDENTICAL).graft_versus_host
    minor = find_donor(body.tables.donors, MATCHED).graft_versus_host / _HAPLOTYPES
    return min(minor / found, 1.0) if found > 0.0 else 1.0


def mark(body: Body) -> int | None:
    """Return the row of ``MARKS`` by which the lattice knows those followed; ``None``: by none, or none is followed."""
    if body.escaped is None or body.watch.classes:
        return None
    if body.watch.spared:
        return MARKS["variant"][0] + body.watch.spared - 1
    return MARKS["loss"][0] + LOSS_ANTIGENS.index(Antigen.HLA_CLASS_I)


def agents(body: Body, population: NDArray[np.int64], seen: NDArray[np.int64] | None) -> int:
    """Return the stem-cell agents of the patch that no watched class sees; 0 if nobody looked."""
    if body.escaped is None or seen is None:
        return 0
    most = seen[: len(body.watch.classes), Kind.LSC].sum(axis=1).max()
    return int(population[Kind.LSC].sum()) - int(most)


def directed(body: Body, population: NDArray[np.int64], seen: NDArray[np.int64] | None) -> float:
    """Return the rate at which engineered T cells kill leukaemic stem cells that they see, 1/d."""
    if body.escaped is None or seen is None or not body.engineered.present or body.watch.shown is None:
        return 0.0
    able = body.patient.leukaemia_immunogenicity
    hazard = able * body.engineered.hazard(targets.meet(body, seen, population)[1])
    sees = body.watch.shown[:, Kind.LSC, Origin.HOST]
    return float(sum(hazard[ENGINEERED.index(c)] for c, yes in zip(body.watch.classes, sees, strict=True) if yes))


def follow(
    body: Body, population: NDArray[np.int64], seen: NDArray[np.int64] | None, step_h: float, spared: int = 0
) -> None:
    """Let residual leukaemia live through a step: what treatment reaches, and what it does not.

    Args:
        body: the body.
        population: all agents, int64 (N_KINDS, N_ORIGINS).
        seen: residents that each watched class sees, int64 (classes, 64, N_ORIGINS); ``None``: nobody looked.
        step_h: hours.
        spared: stem-cell agents of those followed, if the lattice knows them by a mark.
    """
    unseen = agents(body, population, seen) if body.watch.classes else spared
    residue.follow(body, population, step_h, unseen, directed(body, population, seen))
    rules = body.tables.residue
    if body.escaped is not None and rules is not None:
        body.escaped.lead(unseen)
        kills = residue.kills(body, rules, step_h, body.watch.spared, shown(body))
        body.escaped.advance(kills, body.cellularity, step_h / HOURS_PER_DAY)


#: What is measured of it: unit and meaning by name; 0 in patients in whom it is not followed.
OBSERVABLES: dict[str, tuple[str, str]] = {
    "escaped_stem_cells": (
        "cells",
        "of them those that treatment does not reach: without what T cells bind, or a resistant variant",
    ),
    "escape_risk": ("fraction", "probability that such cells are left in somebody with this course"),
}


def observables(escaped: residue.Residue | None) -> dict[str, float]:
    """Return the present values by the names of ``OBSERVABLES``."""
    values = (0.0, 0.0) if escaped is None else (escaped.left, escaped.risk)
    return dict(zip(OBSERVABLES, values, strict=True))
