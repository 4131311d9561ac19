"""How pairs of donor and patient differ in the cells that recognise each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from abm.cells import Origin
from abm.errors import ConfigError
from abm.model.body import Dose
from abm.model.body.organs import GVH, HVG
from tests.unit.body_case import Person, live, make_body, tables

GRAFT = Dose("graft", "blood", cd34=3.5e8, cd3=2e10, origin=Origin.DONOR)


def precursors(alloreactivity: float) -> tuple[float, float]:
    body = make_body(Person(alloreactivity=alloreactivity))
    host = float(body.allo.precursors[HVG])
    live(body, 1 / 24, doses=[GRAFT])
    return host, float(body.allo.precursors[GVH])


def test_precursors_of_both_sides_follow_the_pair() -> None:
    usual, strong = precursors(1.0), precursors(5.0)
    assert usual[1] == pytest.approx(2e10 * tables().donors["sibling"].graft_versus_host)
    assert strong == pytest.approx((5.0 * usual[0], 5.0 * usual[1]))
    assert precursors(0.0) == (0.0, 0.0)


def test_more_precursors_than_t_cells_are_refused() -> None:
    found = tables()
    donors = {"sibling": replace(found.donors["sibling"], graft_versus_host=0.2)}
    with pytest.raises(ConfigError, match=r"patient.alloreactivity: expected at most 1 precursor per T cell, found 2"):
        make_body(Person(alloreactivity=10.0), replace(found, donors=donors))
