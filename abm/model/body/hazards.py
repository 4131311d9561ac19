"""Hazards of death that the body brings to cells of the lattice: drugs, radiation, antibodies, the donor's NK cells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from abm.cells import N_KINDS, Kind
from abm.model.body import natural_killers
from abm.model.body.numerics import Floats

if TYPE_CHECKING:
    from abm.model.body import Body


def by_kind(body: Body, kinds: Iterable[Kind]) -> Floats:
    """Return the death hazard per hour of the wild type in the coming step, shape (64, 2); 0 of kinds not asked for."""
    table = np.zeros((N_KINDS, 2))
    rows = [int(kind) for kind in kinds]
    if body.step_h > 0.0 and body.drugs.acting:
        table[rows] = body.drugs.cell_kills(body.step_h)[rows] / body.step_h
    for others in _beside_drugs(body):
        table[rows] += others[rows]
    return table


def by_variant(body: Body, pace: Floats | None) -> Floats:
    """Return the same by variant, (4, 64, 2), or (1, 64, 2) where all are alike; ``pace``: of division, (64,)."""
    table: Floats = np.zeros((1, N_KINDS, 2))
    if body.step_h > 0.0 and body.drugs.acting:
        table = body.drugs.variant_kills(body.step_h, pace) / body.step_h
    for others in _beside_drugs(body):
        table = table + others
    return table


def _beside_drugs(body: Body) -> list[Floats]:
    """Return the hazards that all variants share, each of shape (64, 2)."""
    found = [body.antibodies.hazards()[..., -1]] if body.antibodies.acting else []
    if body.killers is not None:
        found.append(natural_killers.hazards(body, body.killers))
    return found
