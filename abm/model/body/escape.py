"""Leukaemia below one agent that escapes treatment: not seen by engineered T cells, or spared by a drug.

Stem cells that lack every antigen of the receptors given are followed beside all others, by the same equations and
rates (:mod:`abm.model.body.residue`); no engineered T cell kills them. The others are killed at the rate of all that
show the antigen outside the marrow. In a run without such cells those are followed that are a variant on which a drug
acts less. Either were there before treatment, at the shares of ``mutations.csv``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from abm.cells import ENGINEERED, Kind, Origin
from abm.model.body import residue, targets
from abm.model.body.numerics import HOURS_PER_DAY

if TYPE_CHECKING:
    from abm.model.body import Body

#: Which draw of the stream decides whether any of them is left; the first one does so for all others.
DRAW = 1


def start(body: Body) -> residue.Residue | None:
    """Return the stem cells that no receptor of the run will see, or that are spared; ``None``: none is followed."""
    stem, rules = body.scale.leukaemia, body.tables.residue
    if stem is None or rules is None or not (body.watch.classes or body.watch.spared):
        return None
    return residue.Residue(replace(stem, start=stem.start * body.watch.unseen), body.seed, DRAW)


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
        spared: stem-cell agents of the variant that is followed.
    """
    unseen = spared if body.watch.spared else agents(body, population, seen)
    residue.follow(body, population, step_h, unseen, directed(body, population, seen))
    rules = body.tables.residue
    if body.escaped is not None and rules is not None:
        body.escaped.lead(unseen)
        kills = residue.kills(body, rules, step_h, body.watch.spared)
        body.escaped.advance(kills, body.cellularity, step_h / HOURS_PER_DAY)


#: What is measured of it: unit and meaning by name; 0 in patients in whom it is not followed.
OBSERVABLES: dict[str, tuple[str, str]] = {
    "escaped_stem_cells": (
        "cells",
        "of them those that treatment does not reach: without what engineered T cells bind, or a resistant variant",
    ),
    "escape_risk": ("fraction", "probability that such cells are left in somebody with this course"),
}


def observables(escaped: residue.Residue | None) -> dict[str, float]:
    """Return the present values by the names of ``OBSERVABLES``."""
    values = (0.0, 0.0) if escaped is None else (escaped.left, escaped.risk)
    return dict(zip(OBSERVABLES, values, strict=True))
