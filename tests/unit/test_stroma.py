"""Stroma of the marrow: what conditioning leaves of it, how it comes back, whose divisions need it."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from abm import resources
from abm.cells import Behaviour, Kind
from abm.model.body.parameters import StromaRules, section
from abm.model.body.stroma import Stroma
from abm.model.rule_tables import BODY_SIGNALS
from abm.model.rules import Rules
from tests.unit.body_case import Person, live, make_body, tables

RULES = section(StromaRules, tables().values, 70.0)
FOLDER = resources.folder("scenarios") / "rules"
FED = (Kind.HSC, Kind.MPP, Kind.CMP, Kind.GMP, Kind.MEP, Kind.MKP)


def test_conditioning_takes_a_part_and_a_tender_stroma_loses_its_square() -> None:
    usual, tender = Stroma(RULES), Stroma(RULES, 2.0)
    for stroma in (usual, tender):
        stroma.injure(1.0)
    assert usual.intact == pytest.approx(exp(-RULES.stroma_injury))
    assert tender.intact == pytest.approx(usual.intact**2)


def test_what_is_lost_comes_back_whatever_the_step() -> None:
    once, often = Stroma(RULES, 3.0), Stroma(RULES, 3.0)
    for stroma in (once, often):
        stroma.injure(1.0)
    lost = 1.0 - once.intact
    once.advance(24.0 * 90)
    for _ in range(90):
        often.advance(24.0)
    assert once.intact == pytest.approx(often.intact)
    assert 1.0 - once.intact == pytest.approx(lost * exp(-90 / RULES.stroma_recovery))


def test_a_healthy_body_has_all_of_it() -> None:
    body = make_body()
    live(body, 2.0)
    assert body.stroma.intact == 1.0
    assert body.signals()["stroma"] == BODY_SIGNALS["stroma"]


def test_busulfan_and_cyclophosphamide_leave_more_than_half_and_tenderness_is_the_patients() -> None:
    left = []
    for tenderness in (1.0, 3.0):
        body = make_body(Person(stroma_tenderness=tenderness))
        body.drugs.give("busulfan", 1.0)
        body.drugs.give("cyclophosphamide", 0.6)
        live(body, 5.0)
        left.append(body.observables()["stroma"])
    assert 0.55 < left[0] < 0.7
    assert left[1] == pytest.approx(left[0] ** 3, abs=0.02)


def test_half_of_it_is_nearly_enough_and_a_tenth_is_not() -> None:
    rules = Rules.load(FOLDER / "human")
    drugs = np.zeros((64, 2))

    def division(intact: float, kind: Kind) -> float:
        rates = rules.rates(BODY_SIGNALS | {"stroma": intact}, drugs, 1.0)
        return float(rates.wild[2 * kind + 1, Behaviour.DIVIDE])

    for kind in FED:
        whole = division(1.0, kind)
        assert division(0.5, kind) > 0.9 * whole > division(0.2, kind) > 0.3 * whole > division(0.1, kind) > 0.0
    assert division(0.1, Kind.PROERYTHROBLAST) == division(1.0, Kind.PROERYTHROBLAST)


def test_b_precursors_die_sooner_where_stroma_is_lost() -> None:
    """Of those that would become B cells less than half do beside what conditioning leaves of it, later nearly all."""
    rules, output = Rules.load(FOLDER / "human"), {}
    for intact in (0.65, 0.95, 1.0):
        rates = rules.rates(BODY_SIGNALS | {"stroma": intact}, np.zeros((64, 2)), 1.0).wild
        through = 1.0
        for kind in (Kind.PRO_B, Kind.PRE_B):
            divide, die = (float(rates[2 * kind + 1, b]) for b in (Behaviour.DIVIDE, Behaviour.DIE))
            through *= (divide / (divide + die)) ** rules.kinds[kind].stages
        output[intact] = through
    assert output[0.65] < 0.45 * output[1.0]
    assert 0.8 * output[1.0] < output[0.95] < output[1.0]


def test_it_is_state_of_the_patient() -> None:
    body, other = make_body(), make_body()
    body.stroma.injure(0.8)
    other.unpack(body.pack())
    assert other.stroma.intact == body.stroma.intact < 1.0


def test_patients_may_begin_with_few_t_cells() -> None:
    few, usual = make_body(Person(t_cells=0.25)), make_body()
    assert few.relative_t_cells == pytest.approx(0.25)
    assert few.observables()["nk"] == usual.observables()["nk"]
    np.testing.assert_allclose(few.allo.precursors, usual.allo.precursors * 0.25)
