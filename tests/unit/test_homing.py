"""Cells from the blood on their way into the marrow: asked early, told late, the account the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import NOWHERE, Count, Kind, Origin, Specificity
from abm.homing import Homing
from abm.model.traffic import Circulation, arrivals_by_slot
from abm.step import Simulation
from tests.tiny import tiny_config
from tests.unit.test_engine import TRIALS


class Blood:
    """A body of which lymphocytes leave once."""

    def __init__(self, *lymphocytes: Any) -> None:
        self.leaving, self.back = [*lymphocytes], cast("list[Any]", [])
        self.exhaustion = SimpleNamespace(of_arrivals=self.none)
        self.hiv = None
        self.antibodies, self.seed, self.turn = SimpleNamespace(borrowers=()), 0, 0.0

    def lymphocyte_arrivals(self) -> list[Any]:
        leaving, self.leaving = self.leaving, []
        return leaving

    def none(self, arrivals: Any, *_: Any) -> np.ndarray:
        return np.zeros(sum(n for *_, n in arrivals), np.uint32)

    clones_of = edits_of = none

    def settle(self, turned_away: Any) -> None:
        self.back += turned_away


def homing(blood: Blood, places: list[int], *stem: Kind) -> tuple[Homing, list[str]]:
    """Return the traffic between a body and a lattice on which cells find these places, and what was asked of it."""
    circulation, asked = Circulation(TRIALS, 1), cast("list[str]", [])
    for kind in stem:
        circulation.infuse({kind: 1.0}, Origin.HOST, 0)

    def lodge(step: int, hot: Any, cold: Any, last: Any) -> Any:
        asked.append("lodge")
        assert hot.size == cold.size == last.size == len(places)
        return lambda: asked.append("wait") or np.array(places)

    return Homing(cast("Any", blood), circulation, cast("Any", SimpleNamespace(lodge=lodge)), 1.0), asked


def test_those_who_find_no_site_go_back() -> None:
    naive, tregs = ((kind, Origin.HOST, Specificity.NONE, 3) for kind in (Kind.CD8_NAIVE, Kind.TREG))
    blood = Blood(naive, tregs)
    traffic, asked = homing(blood, [NOWHERE, 5, 4, NOWHERE, 3, 2, 1, NOWHERE], Kind.HSC, Kind.GMP)
    seeking = traffic.begin(0)
    assert asked == ["lodge"], "nothing has waited yet"
    assert (seeking[Kind.HSC, 0], seeking[Kind.GMP, 0], seeking[Kind.TREG, 0], seeking.sum()) == (1, 1, 3, 8)
    settled = traffic.end()
    assert blood.back == [(Kind.CD8_NAIVE, Origin.HOST, Specificity.NONE, 1), (Kind.TREG, *tregs[1:3], 1)]
    assert arrivals_by_slot(traffic.circulation.hot)[:, 0].nonzero()[0].tolist() == [Kind.HSC]
    assert (settled[Kind.HSC, 0], settled[Kind.GMP, 0], settled[Kind.TREG, 0], settled.sum()) == (0, 1, 2, 5)
    assert traffic.end() is settled
    assert asked == ["lodge", "wait"], "who asks again does not give them back again"


def test_where_nobody_comes_nothing_is_asked() -> None:
    traffic, asked = homing(Blood(), [])
    assert not traffic.begin(0).any()
    assert not traffic.end().any()
    assert asked == []


@pytest.mark.parametrize(
    ("there", "seeks", "settles", "expected"),
    [(1, 0, 0, True), (1, 1, 0, True), (0, 0, 0, False), (0, 1, 0, False), (0, 1, 1, True)],
)
def test_cells_tire_where_effectors_are(there: int, seeks: int, settles: int, expected: bool) -> None:
    simulation = Simulation.start(tiny_config(), NumpyBackend())
    assert simulation.model.tables.exhaustion.tiring > 0.0
    seeking, settled = (np.zeros_like(simulation.last[0]) for _ in range(2))
    simulation.last[Count.POPULATION, Kind.CD8_EFFECTOR] = 0
    simulation.last[Count.POPULATION, Kind.CD4_EFFECTOR, Origin.HOST] = there
    seeking[Kind.CD8_EFFECTOR, Origin.DONOR], settled[Kind.CD8_EFFECTOR, Origin.DONOR] = seeks, settles
    waited = []
    simulation.homing.end = lambda: waited.append(1) or settled
    assert simulation.homing.any_of(simulation.effectors, simulation.last, seeking) is expected
    assert bool(waited) is (seeks > there), "only where the answer depends on it"


class Sender(NumpyBackend):
    """A backend that tells what it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[int] = []

    def send(self, dst: Any, values: Any) -> None:
        self.sent.append(values.size)
        super().send(dst, values)


def test_tables_are_sent_when_they_are_new() -> None:
    lattice = Simulation.start(tiny_config(), backend := Sender()).lattice
    backend.sent.clear()
    one, other = np.full(128, 7, np.uint32), np.full(128, 8, np.uint32)
    for table in (one, one, other, one, one):
        lattice.set_constants({"take": table})
        np.testing.assert_array_equal(lattice.constants["take"], table)
    assert backend.sent == [128, 128], "the first makes the table, the same one again is there already"
