"""Regulatory T cells of the donor: the usual few change nothing, an infusion of them holds GVHD back."""

from __future__ import annotations

import pytest

from abm.cells import Count, Kind, Origin
from abm.model.body import Body, Dose
from abm.model.body.immune import INDEX
from abm.model.body.immunity import _surroundings
from abm.model.body.organs import GVH
from abm.model.body.regulation import allowed_growth
from tests.unit.body_case import Person, counts, live, make_body

CD3 = 2.5e7 * 70.0
MARROW = Dose("graft", "marrow", cd34=2e8, cd3=CD3)


def transplanted(ratio: float) -> Body:
    """Return a body 40 days after mismatched marrow without drugs, with ``ratio`` Treg per T cell of the graft."""
    body = make_body(Person(donor="mismatched"))
    live(body, 7.0, 6.0, host=0.01, doses=[Dose("drug", "busulfan", 1.0), Dose("drug", "cyclophosphamide", 0.6)])
    doses = [MARROW, *([Dose("cells", "treg", cd3=ratio * CD3)] if ratio else [])]
    live(body, 40.0, 6.0, host=0.0, donor=0.8, doses=doses)
    return body


def test_growth_is_halved_where_the_table_says() -> None:
    body = make_body()
    pools, rules = body.lymphocytes.pools, body.allo.rules
    assert allowed_growth(body.lymphocytes.pools, 0.0, rules) == 1.0, "no donor cell is there"
    pools[INDEX[Kind.CD4_NAIVE], Origin.DONOR] = 1e9
    for ratio, share in ((rules.treg_usual, 1.0), (rules.treg_usual + rules.treg_half, 0.5), (1.0, 1 / 7)):
        pools[INDEX[Kind.TREG], Origin.DONOR] = ratio * 1e9
        assert allowed_growth(body.lymphocytes.pools, 0.0, rules) == pytest.approx(share)
    assert allowed_growth(body.lymphocytes.pools, 1e9, rules) > 1 / 7, "effectors count as conventional cells"


def test_the_regulatory_cells_of_a_usual_graft_change_nothing() -> None:
    body = transplanted(0.0)
    assert allowed_growth(body.lymphocytes.pools, float(body.allo.effectors[GVH]), body.allo.rules) == 1.0


def test_those_in_the_marrow_count() -> None:
    body = transplanted(1.0)
    agents = 50
    table = counts(body, 6.0, host=0.0, donor=0.8)
    seen = _surroundings(body, table[Count.POPULATION]).unregulated
    body.lymphocytes.pools[INDEX[Kind.TREG], Origin.DONOR] -= agents * body.scale.cells_per_agent
    table[Count.POPULATION, Kind.TREG, Origin.DONOR] = agents
    assert body.lymphocytes.pools.min() >= 0.0
    assert _surroundings(body, table[Count.POPULATION]).unregulated == pytest.approx(seen)
    assert seen < 1.0
    table[Count.POPULATION, Kind.TREG, Origin.DONOR] = 0
    assert _surroundings(body, table[Count.POPULATION]).unregulated > seen


def test_as_many_regulatory_as_other_cells_prevent_gvhd() -> None:
    """1:1 saves most mice from GVHD (Edinger 2003); a tenth as many do little."""
    none, few, many = (transplanted(ratio) for ratio in (0.0, 0.1, 1.0))
    losses = [float(body.allo.immune_loss.max()) for body in (none, few, many)]
    assert losses[0] > 0.5, "without drugs a mismatched graft means severe GVHD"
    assert losses[1] > 0.5 * losses[0]
    assert losses[2] < 0.4 * losses[0]


def test_they_bring_no_precursors_of_attackers() -> None:
    body = make_body()
    live(body, 0.1, 2.4, doses=[Dose("cells", "treg", cd3=1e9)])
    assert body.allo.precursors[GVH] == 0.0
    assert body.lymphocytes.pools[INDEX[Kind.TREG], Origin.DONOR] == pytest.approx(1e9, rel=1e-3)
