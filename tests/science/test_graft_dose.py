"""Days to engraftment by dose of stem cells against the model of Stiehl, Ho & Marciniak-Czochra.

Bone Marrow Transplant 2014, three stages with feedback on self-renewal, s = 1 / (1 + k C3):
dC1 = (2 a1 s - 1) p1 C1;  dC2 = 2 (1 - a1 s) p1 C1 + (2 a2 s - 1) p2 C2;  dC3 = 2 (1 - a2 s) p2 C2 - d3 C3.
"""

from __future__ import annotations

from itertools import pairwise
from math import exp
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from abm.cells import Cycle, Kind, pack_hot
from tests.science.bare_marrow import Rules, agree, deliver, scatter, start

pytestmark = pytest.mark.science

#: Cells per kg in the steady state and rates per day, as published; a2 and p2 follow from them.
C1, C2, C3 = 1e7, 2e9, 4e8
P1, A1, D3 = 0.1, 0.85, 2.3
ANC, ENGRAFTED = 4.0, 0.5
FEEDBACK = 2 * A1 - 1  #: k C3: half of the stem cells' daughters are stem cells in the steady state
P2 = (D3 * C3 - P1 * C1) / C2
A2 = A1 * (1 + P1 * C1 / (P2 * C2))
DOSES = (1e6, 4e6, 16e6)  #: stem cells per kg
STEM = 800  #: agents that stand for C1
EDGE, STEP_H, DAYS, REPLICATES = 72, 1.0, 45, 5
LEAVE = 48.0  #: neutrophils for the blood, per day
MOVE = 6.0  #: per day, so that the daughters of a cell do not stand in each other's way


def engraftment_day(dose: float) -> float:
    """Return when neutrophils come back to 0.5e9/L in the model."""

    def slope(_: float, y: NDArray[np.float64]) -> list[float]:
        stem, progenitor, mature = y
        s = 1 / (1 + FEEDBACK * mature / C3)
        from_stem, from_progenitor = 2 * (1 - A1 * s) * P1 * stem, 2 * (1 - A2 * s) * P2 * progenitor
        grow = (2 * A2 * s - 1) * P2 * progenitor
        return [(2 * A1 * s - 1) * P1 * stem, from_stem + grow, from_progenitor - D3 * mature]

    def recovered(_: float, y: NDArray[np.float64]) -> float:
        return float(y[2] / C3 * ANC - ENGRAFTED)

    recovered.direction = 1  # type: ignore[attr-defined]
    found = solve_ivp(slope, (0, 60), [dose, 0.0, C3], "LSODA", events=recovered, rtol=1e-8, atol=1.0)
    return float(found.t_events[0][0])


def by_step(dose: float) -> float:
    """Return the same of the model in steps of the lattice: difference equations, and a step until a cell leaves."""
    step, stem, progenitor, marrow, mature = STEP_H / 24, dose, 0.0, 0.0, C3
    day, fallen, kept = 0.0, False, exp(-D3 * step)
    while not (fallen and mature / C3 * ANC >= ENGRAFTED):
        s = 1 / (1 + FEEDBACK * mature / C3)
        first, second, leaving = P1 * step * stem, P2 * step * progenitor, marrow * min(LEAVE * step, 1)
        stem += (2 * A1 * s - 1) * first
        progenitor += 2 * (1 - A1 * s) * first + (2 * A2 * s - 1) * second
        marrow += 2 * (1 - A2 * s) * second - leaving
        mature = mature * kept + leaving * (1 - kept) / (D3 * step)
        day, fallen = day + step, fallen or mature / C3 * ANC < ENGRAFTED
    return day


def test_steps_of_an_hour_delay_the_model_by_hours() -> None:
    """Growth at a rate g is slower by g^2 / 2 times the step: 1 % of the days."""
    for dose in DOSES:
        assert 0.0 < by_step(dose) - engraftment_day(dose) < 0.3


def test_a_doubling_of_the_dose_saves_two_days() -> None:
    """About 2.1 days for each doubling over the doses of the clinic, as published with the model."""
    days = [engraftment_day(dose) for dose in (1e6, 2e6, 4e6, 8e6, 16e6)]
    assert all(1.8 < earlier - later < 2.6 for earlier, later in pairwise(days))
    assert days[0] == pytest.approx(27.0, abs=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MPP as stem cells, GMP as progenitors: the response of their renewal to G-CSF is the model's feedback.

    G-CSF that follows the count at once, half of it cleared by neutrophils, is g = 2 / (1 + x) at x times the normal
    count, and a Hill function far below its maximum is 1 / (1 + half / g): both together 1 / (1 + k x) up to a factor.
    """
    far, half = 1e6, 2 * FEEDBACK / (1 - FEEDBACK)
    rules = Rules().kind("MPP", 1, "GMP").kind("GMP", 1, "NEUTROPHIL").kind("NEUTROPHIL", 0)
    for kind, rate, renew in (("MPP", P1, A1), ("GMP", P2, A2)):
        rules.rate(kind, DIVIDE=rate, RENEW=renew / (1 + FEEDBACK), MOVE=MOVE)
        rules.response(kind, "RENEW", "gcsf", far, half)
    rules.rate("NEUTROPHIL", EGRESS=LEAVE)
    rules.value("body", gcsf_clearance=4.0, gcsf_clearance_per_anc=4.0 / ANC, anc=ANC)
    rules.value("body", neutrophil_production=D3 * ANC * 1e9 * 5.0 * 2.0)  # blood of 5 L, as much again at the walls
    return rules.write(tmp_path_factory.mktemp("graft_dose"))


def run(folder: Path, dose: float, seed: int) -> float:
    """Return the day of engraftment of one patient without any cell but the graft's."""
    sim = start(folder, (EDGE,) * 3, DAYS, step_min=round(STEP_H * 60), seed=seed)
    deliver(sim, Kind.NEUTROPHIL, D3 * C3 / C1 * STEM)
    scatter(sim, {pack_hot(kind=Kind.MPP, origin=1, cycle=Cycle.CYCLING): round(dose / C1 * STEM)})
    fallen = False
    while not (fallen and sim.body.blood.anc >= ENGRAFTED):
        sim.advance()
        fallen = fallen or sim.body.blood.anc < ENGRAFTED
        assert sim.step < sim.n_steps, "no engraftment"
    return sim.day


@pytest.fixture(scope="module")
def days(folder: Path) -> NDArray[np.float64]:
    """Days of engraftment, shape (replicates, doses)."""
    return np.array([[run(folder, dose, seed) for dose in DOSES] for seed in range(REPLICATES)])


@pytest.mark.slow
def test_the_lattice_engrafts_when_the_model_does(days: NDArray[np.float64]) -> None:
    agree(days, [by_step(dose) for dose in DOSES])


@pytest.mark.slow
def test_the_lattice_gains_the_days_of_the_model_by_each_doubling(days: NDArray[np.float64]) -> None:
    expected = [engraftment_day(dose) for dose in DOSES]
    doublings = np.log2(DOSES[-1] / DOSES[0])
    agree((days[:, 0] - days[:, -1]) / doublings, (expected[0] - expected[-1]) / doublings)
