"""HIV in the body against the standard model by SciPy, and against what is published of acute infection and therapy."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from abm.model.body import Dose
from abm.model.body.coreceptor import TARGETS
from abm.model.body.hiv_course import surroundings
from abm.model.body.immune import INDEX
from abm.model.body.numerics import total
from tests.unit.hiv_case import days_of, infected, virus_of

pytestmark = pytest.mark.science

FOUNDERS, HORIZON_D = 1e5, 40
#: Without chance, T cells against it, latent cells and mutants there is only the standard model left.
BARE = {
    "founder_cells": FOUNDERS,
    "dissemination": 0.0,
    "ctl_kill": 0.0,
    "latent_share": 0.0,
    "x4_mutation": 0.0,
    "resistance_mutation": 0.0,
}


def standard_model(cells: float) -> NDArray[np.float64]:
    """Return the virus of every hour: target, infected and productive cells and free virus, as published.

    Perelson, Nat Rev Immunol 2002, with an eclipse compartment; ``cells``: memory and regulatory CD4 cells.
    """
    turnover, share, eclipse, death, clearance, made, volume_ml = 0.010, 0.10, 1.0, 0.5, 23.0, 20.0, 15e3
    beta = 2.13e-6 * 2.0 / volume_ml  # per virion

    def slope(_: float, y: NDArray[np.float64]) -> list[float]:
        pool, target, waiting, productive, virus = y
        entered = beta * virus * target
        return [
            -entered,
            turnover * (share * pool - target) - entered,
            entered - waiting / eclipse,
            waiting / eclipse - death * productive,
            made * productive - clearance * virus,
        ]

    hours = np.arange(HORIZON_D * 24) / 24
    start = [cells, share * cells, FOUNDERS, 0.0, 0.0]
    found = solve_ivp(slope, (0, HORIZON_D), start, "LSODA", hours, rtol=1e-9, atol=1e-3)
    return np.asarray(2.0 * found.y[4] / volume_ml)


def bare_course(step_h: float) -> NDArray[np.float64]:
    """Return the load of the model at the same times, its pools changed by the virus alone."""
    body = infected(**BARE)
    hiv, pools, loads = virus_of(body), body.lymphocytes.pools, []
    host = surroundings(body)
    for step in range(round(HORIZON_D * 24 / step_h)):
        loads.append(total(hiv.loads))
        hiv.advance(pools, host, (step + 1) * step_h / 24, step_h)
    return np.array(loads)


@pytest.mark.parametrize("step_h", [1.0, 3.0, 12.0])
def test_it_is_the_standard_model(step_h: float) -> None:
    body = infected(**BARE)
    cells = total(body.lymphocytes.pools[[INDEX[kind] for kind in TARGETS[1:]]])
    expected, found = standard_model(cells)[:: round(step_h)], bare_course(step_h)
    growing = (expected > 1.0) & (expected < 1e5) & (np.arange(expected.size) < expected.argmax())
    rates = [np.polyfit(np.flatnonzero(growing), np.log(loads[growing]), 1)[0] for loads in (expected, found)]
    assert rates[1] == pytest.approx(rates[0], rel=0.02)
    assert found.max() == pytest.approx(expected.max(), rel=0.03)
    assert abs(int(found.argmax()) - int(expected.argmax())) * step_h <= 12.0
    late = slice(round(25 * 24 / step_h), None)
    assert found[late] == pytest.approx(expected[late], rel=0.1)


@cache
def acute(seed: int) -> tuple[float, NDArray[np.float64]]:
    """Return R0 and the daily load of an untreated patient."""
    body = infected(seed=seed)
    start = virus_of(body).reproduction_number(body.lymphocytes.pools)
    return start, np.array([seen["hiv_load"] for seen in days_of(body, 60)])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_acute_infection(seed: int) -> None:
    """Little, JEM 1999: doubling in 10 h, peak near day 21, R0 19; Ribeiro, J Virol 2010: 8."""
    start, load = acute(seed)
    assert 8 <= start <= 19
    growing = np.flatnonzero((load > 50) & (load < 1e5) & (np.arange(60) < load.argmax()))
    slope = np.polyfit(growing, np.log(load[growing]), 1)[0]
    assert 7 <= 24 * np.log(2) / slope <= 16
    assert 14 <= load.argmax() + 1 <= 28
    assert load.max() > 5e5
    assert load[-1] < load.max() / 5


@cache
def spread(null: float) -> float:
    """Return by what factor the infected cells have grown between the first and the third month.

    The share of CCR5-null cells is held at what it is, T cells against the virus do nothing: what is left is R0.
    """
    body = infected(null=null, founder_cells=1e6, ctl_kill=0.0, x4_mutation=0.0, latent_share=0.0)
    hiv = virus_of(body)
    cells = []
    for _ in days_of(body, 40, 3.0):
        cells.append(total(hiv.productive) + total(hiv.eclipse))
    return cells[-1] / cells[19]


def test_virus_is_controlled_above_one_minus_one_over_r0_and_only_there() -> None:
    start = infected()
    r0 = virus_of(start).reproduction_number(start.lymphocytes.pools)
    threshold = 1 - 1 / r0
    shares = threshold + np.array([-0.06, -0.03, -0.015, 0.015, 0.03, 0.06])
    grown = [spread(float(share)) for share in shares]
    assert all(factor > 1 for factor in grown[:3])
    assert all(factor < 1 for factor in grown[3:])
    assert grown == sorted(grown, reverse=True)


def test_first_phase_decay_under_therapy() -> None:
    """0.3-1.0 per day (Little, JEM 1999; Perelson, Science 1996)."""
    body = infected(day=-400.0)
    body.catch_up(0.0)
    load = np.array([seen["hiv_load"] for seen in days_of(body, 10, doses=(Dose("art", "art", 1.0),))])
    decay = -np.polyfit(np.arange(1, 8), np.log(load[1:8]), 1)[0]
    assert 0.3 <= decay <= 1.0


def test_virus_without_r5_targets_comes_back_as_x4_if_there_is_any() -> None:
    """Kordelas, NEJM 2014: after a graft without CCR5 an X4 virus rebounded."""
    loads = {}
    for strain in (0, 1):
        body = infected(day=1e6, null=1.0)
        hiv = virus_of(body)
        hiv.productive[strain, 0] = 1e4
        loads[strain] = [seen["hiv_load"] for seen in days_of(body, 60, 3.0)]
    assert loads[0][-1] == 0.0
    assert loads[1][-1] > 1e3


def test_untreated_patients_carry_mutation_over_cost_of_resistance() -> None:
    body = infected(day=-400.0, x4_mutation=0.0)
    body.catch_up(0.0)
    assert body.observables()["hiv_resistant"] == pytest.approx(1e-5 / 0.06, rel=0.1)


def test_doses_left_out_select_resistant_virus() -> None:
    """Rosenbloom, Nat Med 2012: virus held by all doses comes back resistant where many are missed."""
    found = {}
    for adherence in (0.3, 1.0):
        body = infected(day=-300.0)
        body.catch_up(0.0)
        seen = [*days_of(body, 100, 3.0, doses=(Dose("art", "art", adherence),))]
        found[adherence] = max(s["hiv_load"] for s in seen[40:]), seen[-1]["hiv_resistant"]
    assert found[1.0][0] < 50
    assert found[0.3][0] > 1000
    assert found[0.3][1] > 0.9


@pytest.mark.slow
def test_forgotten_doses_let_virus_through() -> None:
    """Suppressed at full adherence, not at a tenth of the doses: three days without one are too many."""
    found = {}
    for adherence in (1.0, 0.1):
        body = infected(day=-800.0, art_day=-400.0)
        body.catch_up(0.0)
        doses = (Dose("art", "art", adherence),)
        found[adherence] = max(seen["hiv_load"] for seen in days_of(body, 180, 3.0, doses))
    assert found[1.0] < 50
    assert found[0.1] > 200
