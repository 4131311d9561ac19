"""Autoimmune diseases against independent solutions of their equations, by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from abm.cells import Kind, Origin
from abm.config import Patch, rules_of
from abm.model.body import Tables
from abm.model.body.immune import INDEX
from abm.model.body.sclerosis import Sclerosis
from tests.unit.body_case import Person, live, make_body

pytestmark = pytest.mark.science

DAYS = 90
NEVER = 1e-12  #: triggers per year in a test that sets its own


def ours(strength: float, memory_share: float, step_h: float) -> NDArray[np.float64]:
    """Return effectors, regulators, bare share and lasting disability after every day; all clones answer."""
    body = make_body(Person(donor="autologous"), Tables.load(rules_of(Patch(), "ms")))
    ill = body.disease
    assert isinstance(ill, Sclerosis)
    object.__setattr__(ill.rules, "trigger_rate", NEVER)
    ill.clones.cells *= memory_share / 1e-4
    ill.clones.resident *= memory_share / 1e-4
    ill.clones.shown[:] = 1.0
    ill.course[0], ill.eloquent = strength, 1.0
    found = []
    for _ in range(DAYS):
        live(body, 1.0, step_h=step_h)
        found.append(ill.course[1:].copy())
    return np.array(found).T


def oracle(strength: float, memory_share: float) -> NDArray[np.float64]:
    """Return the same from the equations, with the numbers of the table written out."""
    body = make_body(Person(donor="autologous"), Tables.load(rules_of(Patch(), "ms")))
    pools = body.lymphocytes.pools[:, Origin.HOST]
    memory, naive, regulatory = (pools[INDEX[k]] for k in (Kind.CD4_MEMORY, Kind.CD4_NAIVE, Kind.TREG))
    starting = 0.1 * memory_share * memory + 0.005 * 0.1 * 3e-6 * naive
    smouldering = 0.12 / 365.25 * memory_share / 1e-4
    made = 0.05 * 3.3e7 / regulatory  # by the thymus at 40 years

    def slope(_: float, y: NDArray[np.float64]) -> list[float]:
        p, e, r, d, z, w = y
        growth = 0.9 * (0.15 + 0.12) / (0.15 + w) * p / (1 + p) / (1 + (r / 1e6) ** 2)
        attack = 0.1 * e**2 / (2e6**2 + e**2)
        return [
            -p / 7,
            starting * p + growth * e - 0.3 * e,
            0.1 * e - 0.1 * r,
            attack * (1 - d) - 0.0231 * d,
            (0.115 * d + smouldering) * (1 - z / 10),
            made * (1 - w) - 0.0025 * e / (e + 1e6) * w,
        ]

    days = np.arange(1, DAYS + 1)
    start = [strength, 0.0, 0.0, 0.0, 3.5, 0.12]
    found = solve_ivp(slope, (0, DAYS), start, "LSODA", days, rtol=1e-9, atol=1e-9)
    assert found.success
    return np.asarray(found.y[1:-1])


@pytest.mark.parametrize("strength", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("memory_share", [1e-5, 3e-7])
def test_effectors_and_regulators(strength: float, memory_share: float) -> None:
    """The same wave as SciPy, within 2 % of its peak: pools and triggers aside, the body only integrates."""
    expected = oracle(strength, memory_share)
    for step_h in (1.0, 6.0):
        found = ours(strength, memory_share, step_h)
        for mine, theirs in zip(found, expected, strict=True):
            assert np.abs(mine - theirs).max() < 0.02 * np.abs(theirs).max()


def test_regulators_end_the_wave_before_the_trigger_does() -> None:
    """Held back by regulators, a wave of ten times the reactive cells is far less than ten times as high."""
    many, few = (oracle(4.0, share)[0].max() for share in (1e-5, 1e-6))
    assert 1.0 < many / few < 5.0
