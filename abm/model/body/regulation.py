"""Regulatory T cells of the donor hold back the expansion of its alloreactive ones."""

from __future__ import annotations

from abm.cells import Kind, Origin
from abm.model.body.immune import INDEX, T_CELLS
from abm.model.body.numerics import Floats
from abm.model.body.parameters import OrganRules

_ONE_CELL = 1.0  #: keeps a quotient finite


def allowed_growth(lymphocytes: Floats, effectors: float, rules: OrganRules) -> float:
    """Return the share of their growth that regulatory cells leave to alloreactive cells of the graft.

    What the usual few do is part of the parameters of alloreactivity; those beyond ``treg_usual`` per conventional T
    cell halve growth at ``treg_half`` more.

    Args:
        lymphocytes: cells by pool and origin, those that are in the marrow included, shape (len(POOLS), 4).
        effectors: activated alloreactive cells, which stand in none of the pools.
        rules: parameters.
    """
    theirs: list[float] = [pool[Origin.DONOR] + pool[Origin.DONOR2] for pool in lymphocytes.tolist()]
    regulatory = theirs[INDEX[Kind.TREG]]
    conventional = effectors
    for kind in T_CELLS:
        if kind is not Kind.TREG:
            conventional = conventional + theirs[INDEX[kind]]
    excess = regulatory / max(conventional, _ONE_CELL) - rules.treg_usual
    return float(1.0 / (1.0 + max(excess, 0.0) / rules.treg_half))
