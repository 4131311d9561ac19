"""Neutrophils after docetaxel, and with G-CSF, against the models of Friberg and of Quartino.

Proliferating cells, three stages of maturation and blood, k = 4 / MTT (Friberg, J Clin Oncol 2002):
dP = k P (1 - E) f - k m P;  dT1 = k m (P - T1);  ...;  dC = k m T3 - c C.  Friberg: f = (C0/C)^gamma, m = 1.
Quartino, Pharm Res 2014: f = (G/G0)^gamma, m = (G/G0)^beta with dG = production - (ke + kANC C) G.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from abm.cells import Cycle, Kind, pack_cold, pack_hot
from tests.science.bare_marrow import Rules, agree, deliver, put, start

pytestmark = pytest.mark.science

#: Docetaxel 100 mg/m2: area under the curve 4.6 mg h/L (label) over 807.9 g/mol, umol h/L; slope per umol/L (Friberg).
AREA, SLOPE = 5.7, 8.58
DRUG_HALF_LIFE_H = 4.0  #: nearly all of the area falls into the first day, before the count does
FILGRASTIM_FOLD_H, FILGRASTIM_HALF_LIFE_H = 1111.0, 3.5  #: area per ug/kg over the baseline level, as in body.csv
PROLIFERATING = 1000  #: agents, so few that crowding matters less than their chance
EDGE, STEP_H, DAYS, REPLICATES = 64, 0.5, 22, 12
MOVE = 4.0  #: per day, so that the daughters of a cell do not stand in each other's way
LOOK = (4, 6, 8, 10, 12, 15, 18, 22)


class Model(NamedTuple):
    """Parameters of a model: times in hours, counts in 1e9/L."""

    mtt: float
    gamma: float
    beta: float
    base: float
    clearance: float  #: of blood neutrophils, 1/h
    ke: float
    k_anc: float
    gcsf_ug_per_kg: float = 0.0  #: once a day on days 1 to 7
    drug: bool = True

    @property
    def k(self) -> float:
        """Rate of every step of maturation, 1/h."""
        return 4.0 / self.mtt


#: Friberg's feedback is G-CSF that neutrophils alone clear, faster than their number changes.
FRIBERG = Model(88.7, 0.161, 0.0, 5.05, 4 / 88.7, 1e-6, 40.0)
QUARTINO = Model(133.0, 0.444, 0.234, 3.53, log(2) / 7, 0.592, 5.64)
FILGRASTIM = QUARTINO._replace(gcsf_ug_per_kg=0.02)


def drug_level(model: Model, hour: float) -> float:
    """Return the effect of the drug, by which proliferation is less than 1."""
    decay = log(2) / DRUG_HALF_LIFE_H
    return SLOPE * AREA * decay * float(np.exp(-decay * hour)) if model.drug else 0.0


def course(model: Model) -> Callable[[float], float]:
    """Return the neutrophil count by day in the published model."""
    k, cleared = model.k, model.ke + model.k_anc * model.base

    def slope(hour: float, y: NDArray[np.float64]) -> NDArray[np.float64]:
        stages, count, own, given = y[:4], y[4] * model.base, y[5], y[6]
        gcsf = own + given
        flow = k * gcsf**model.beta * stages
        change = np.empty(7)
        change[0] = k * stages[0] * (1 - drug_level(model, hour)) * gcsf**model.gamma - flow[0]
        change[1:4] = flow[:3] - flow[1:]
        change[4] = model.clearance * (flow[3] / k - y[4])
        change[5] = cleared - (model.ke + model.k_anc * count) * own
        change[6] = -log(2) / FILGRASTIM_HALF_LIFE_H * given
        return change

    y, times, counts = np.array([1.0] * 6 + [0.0]), [0.0], [1.0]
    for day in range(DAYS):
        if model.gcsf_ug_per_kg and 1 <= day <= 7:
            y[6] += model.gcsf_ug_per_kg * FILGRASTIM_FOLD_H * log(2) / FILGRASTIM_HALF_LIFE_H
        span = np.linspace(24 * day, 24 * day + 24, 25)
        found = solve_ivp(slope, (span[0], span[-1]), y, "LSODA", span, rtol=1e-8, atol=1e-10)
        y = found.y[:, -1]
        times += list(span[1:] / 24)
        counts += list(found.y[4, 1:])
    return lambda day: float(np.interp(day, times, np.array(counts) * model.base))


def power_law(exponent: float, low: float = 1e-3, high: float = 1e5, rows: int = 9) -> list[tuple[float, float]]:
    """Return maximum and half of responses of power 1 whose product goes as signal^exponent.

    A product of (1 + s/zero) / (1 + s/pole) with zeros and poles at equal ratios (Oustaloup's recursive approximation).
    """
    ratio = high / low
    rise = ratio ** (exponent / rows)
    return [(rise, low * ratio ** ((i + (1 + exponent) / 2) / rows)) for i in range(rows)]


def answer(rows: list[tuple[float, float]], signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the product of responses, 1 at a signal of 1."""
    return np.prod([(1 + (m - 1) * signal / (h + signal)) / (1 + (m - 1) / (h + 1)) for m, h in rows], axis=0)


@pytest.mark.parametrize("exponent", [FRIBERG.gamma, QUARTINO.gamma, QUARTINO.beta])
def test_responses_can_state_a_power_law(exponent: float) -> None:
    fold = np.geomspace(0.3, 150, 200)
    assert answer(power_law(exponent), fold) == pytest.approx(fold**exponent, rel=0.002)


def make_rules(model: Model, folder: Path) -> Path:
    """Write the model as rule tables: GMP proliferate, metamyelocytes (two stages) and neutrophils mature and leave."""
    per_day = 24 * model.k
    rules = Rules().kind("GMP", 1, "METAMYELOCYTE").kind("METAMYELOCYTE", 2, "NEUTROPHIL").kind("NEUTROPHIL", 0)
    rules.rate("GMP", DIVIDE=per_day * (1 - 1e-6), RENEW=1.0, MATURE=per_day, MOVE=MOVE)
    rules.rate("METAMYELOCYTE", MATURE=per_day, MOVE=MOVE).rate("NEUTROPHIL", EGRESS=per_day, MOVE=MOVE)
    steps = (("GMP", "MATURE"), ("METAMYELOCYTE", "MATURE"), ("NEUTROPHIL", "EGRESS"))
    for kind, behaviour, exponent in (("GMP", "DIVIDE", model.gamma), *((*step, model.beta) for step in steps)):
        for maximum, half in power_law(exponent) if exponent else ():
            rules.response(kind, behaviour, "gcsf", maximum, half)
    pool = model.base * 1e9 * 5.0 * 2.0  # in 5 L of blood, and as many at the walls
    rules.value("body", anc=model.base, neutrophil_production=24 * model.clearance * pool)
    rules.value("body", gcsf_clearance=model.ke, gcsf_clearance_per_anc=model.k_anc)
    kill = model.k * SLOPE * AREA / log(10)
    rules.drug("docetaxel", half_life=DRUG_HALF_LIFE_H, phase_reference=per_day, progenitor=kill)
    return rules.write(folder)


def run(model: Model, folder: Path, seed: int) -> list[float]:
    """Return the neutrophil counts of one patient on the days of ``LOOK``."""
    sim = start(folder, (EDGE,) * 3, DAYS + 1, step_min=round(STEP_H * 60), seed=seed)
    deliver(sim, Kind.NEUTROPHIL, 24 * model.k * PROLIFERATING)
    kinds = (Kind.GMP, Kind.METAMYELOCYTE, Kind.METAMYELOCYTE, Kind.NEUTROPHIL)
    hot, cold = np.zeros(sim.n_sites, np.uint32), np.zeros(sim.n_sites, np.uint32)
    sites = np.random.default_rng(seed).permutation(sim.n_sites)[: 4 * PROLIFERATING].reshape(4, -1)
    for kind, stage, where in zip(kinds, (0, 0, 1, 0), sites, strict=True):
        hot[where], cold[where] = pack_hot(kind=kind, cycle=Cycle.CYCLING), pack_cold(stage=stage)
    put(sim, hot.reshape(sim.domain.shape), cold.reshape(sim.domain.shape))
    sim.advance()  # what is given acts from the next step on
    begin, found = sim.day, []
    if model.drug:
        sim.body.drugs.give("docetaxel", 1.0)
    while len(found) < len(LOOK):
        hour = round((sim.day - begin) * 24 / STEP_H) * STEP_H
        if model.gcsf_ug_per_kg and hour % 24 == 0 and 1 <= hour // 24 <= 7:
            sim.body.cytokines.inject_gcsf(model.gcsf_ug_per_kg)
        sim.advance()
        if sim.day - begin >= LOOK[len(found)] - 1e-6:
            found.append(sim.body.blood.anc)
    return found


def check(model: Model, folder: Path) -> None:
    """Compare the engine under the rules of a model with the model."""
    make_rules(model, folder)
    expected = course(model)
    agree([run(model, folder, seed) for seed in range(REPLICATES)], [expected(day) for day in LOOK])


@pytest.mark.slow
def test_counts_after_docetaxel_follow_friberg(tmp_path: Path) -> None:
    check(FRIBERG, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("model", [QUARTINO, FILGRASTIM], ids=["no G-CSF", "G-CSF"])
def test_counts_after_docetaxel_follow_quartino(model: Model, tmp_path: Path) -> None:
    check(model, tmp_path)


def test_the_models_have_the_nadir_of_the_clinic() -> None:
    """Friberg: nadir on day 6-10 of 0.2-1.2e9/L. Quartino: a little G-CSF helps."""
    days = np.arange(0, DAYS, 0.1)
    friberg, alone, helped = (np.array(list(map(course(model), days))) for model in (FRIBERG, QUARTINO, FILGRASTIM))
    assert 6 <= days[friberg.argmin()] <= 10
    assert 0.2 <= friberg.min() <= 1.2
    assert helped.min() > 1.2 * alone.min()
    normal = [days[(days > 8) & (count >= QUARTINO.base)][0] for count in (helped, alone)]
    assert normal[0] < normal[1] - 2.0
