"""Stem cells in a finite number of niches against the model of niche occupancy by Ashcroft, Manz & Bonhoeffer.

PNAS 2017: clone i has n_i cells in N niches and s_i in the blood; rates of division (beta), detachment (d), attachment
(a) and death in the blood (delta):
dn_i/dt = -d n_i + a s_i (1 - n/N);  ds_i/dt = beta n_i + d n_i - a s_i (1 - n/N) - delta s_i.
"""

from __future__ import annotations

from math import exp
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from abm.cells import NICHE_SINUSOIDAL, Count, Cycle, Kind, Origin, pack_hot
from tests.science.bare_marrow import Rules, agree, put, start

pytestmark = pytest.mark.science

EDGE, APART = 32, 4
NICHES, SITES = (EDGE // APART) ** 3, EDGE**3
#: Per day. Division and detachment as the paper has them for the mouse (1/39 and 0.46). Attachment and death in the
#: blood are slower, by the same factor: a step resolves them, and neither the occupancy nor where a cell goes changes.
BETA, DETACH, DELTA = 1 / 39, 0.46, 0.6
TRIALS_PER_H = 280  #: random sites a cell in the blood tries
ATTACH = 24 * TRIALS_PER_H * NICHES / SITES
LEAVE = 24.0  #: of a daughter that stands beside the niche for the blood
STEP_MIN, DAYS, REPLICATES = 15, 12, 10
LOOK = (1, 4, 12)  #: days on which the lattice is compared
GRAFTS = {"small graft": (30, 1.0), "large graft": (300, 1.0), "large graft, niches emptied": (300, 0.1)}


class Cells(NamedTuple):
    """Host and donor cells in niches, in marrow beside them and in blood."""

    niche: NDArray[np.float64]
    beside: NDArray[np.float64]
    blood: NDArray[np.float64]


def occupancy() -> float:
    """Return the share of niches that are taken in the steady state: d delta = a beta (1 - n/N)."""
    return 1 - DETACH * DELTA / (ATTACH * BETA)


def by_step(cells: Cells, step_h: float, days: float) -> list[Cells]:
    """Return the state at every step: the paper's equations with the chances that a step of the lattice gives them."""
    found, day_h = [cells], step_h / 24
    leave, divides, enters, dies = DETACH * day_h, BETA * day_h, LEAVE * day_h, 1 - exp(-DELTA * day_h)
    for _ in range(round(days / day_h)):
        niche, beside, blood = found[-1]
        empty = (NICHES - niche.sum()) / SITES
        settled = blood * (1 - (1 - empty) ** (TRIALS_PER_H * step_h))
        niche, blood = niche + settled, blood - settled
        blood = (blood + leave * niche + enters * beside) * (1 - dies)
        beside = beside + divides * niche - enters * beside
        found.append(Cells(niche - leave * niche, beside, blood))
    return found


def by_equations(cells: Cells, days: float) -> Cells:
    """Return the end of the paper's equations, with daughters that first stand beside the niche."""

    def slope(_: float, y: NDArray[np.float64]) -> NDArray[np.float64]:
        niche, beside, blood = y.reshape(3, 2)
        settle = ATTACH * blood * (1 - niche.sum() / NICHES)
        into_blood = DETACH * niche + LEAVE * beside
        change = (settle - DETACH * niche, BETA * niche - LEAVE * beside, into_blood - settle - DELTA * blood)
        return np.concatenate(change)

    found = solve_ivp(slope, (0, days), np.concatenate(cells), "LSODA", rtol=1e-9, atol=1e-9)
    return Cells(*found.y[:, -1].reshape(3, 2))


def grafted(graft: str) -> Cells:
    """Return what a graft starts from: donor cells in the blood, the host's in what is left of the niches."""
    donors, left = GRAFTS[graft]
    niche = round(NICHES * occupancy() * left)
    return Cells(np.array([niche, 0.0]), np.zeros(2), np.array([0.0, donors]))


def run(folder: Path, cells: Cells, seed: int) -> list[NDArray[np.float64]]:
    """Return host and donor cells in niches and in blood on the days of ``LOOK``, by the engine."""
    tissue = np.zeros((EDGE,) * 3, np.uint8)
    tissue[(slice(None, None, APART),) * 3] = NICHE_SINUSOIDAL
    sim = start(folder, tissue.shape, DAYS, step_min=STEP_MIN, seed=seed, tissue=tissue)
    hot = np.zeros(tissue.shape, np.uint32).reshape(-1)
    sites = np.random.default_rng(seed).permutation(np.flatnonzero(tissue))
    hot[sites[: int(cells.niche[0])]] = pack_hot(kind=Kind.HSC, cycle=Cycle.CYCLING)
    put(sim, hot.reshape(tissue.shape))
    sim.circulation.infuse({Kind.HSC: float(cells.blood[1])}, Origin.DONOR, 0)
    found = []
    for day in LOOK:
        while sim.day < day:
            sim.advance()
        blood = np.bincount(sim.circulation.hot >> 6 & 3, minlength=2)
        found.append(np.stack([sim.last[Count.NICHE, Kind.HSC, :2], blood[:2]]).astype(np.float64))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules of the model: stem cells divide, leave their niche and look for another one; nothing else."""
    rules = Rules().kind("HSC", 1, flags="NICHE_SEEKER")
    rules.rate("HSC", DIVIDE=BETA, RENEW=1.0, EGRESS=LEAVE).rate("HSC", "quiescent", SWITCH=0.01)
    rules.response("HSC", "EGRESS", "niche", DETACH / LEAVE, 0.01, 4)
    rules.value("traffic", hsc_trials=TRIALS_PER_H, hsc_clearance=DELTA / 24)
    return rules.write(tmp_path_factory.mktemp("niches"))


def test_steps_become_the_equations_of_the_paper() -> None:
    """The recursion goes over into the equations as the step shrinks, at least in proportion to it."""
    cells = grafted("large graft, niches emptied")
    exact = np.concatenate(by_equations(cells, 5))
    error = [np.abs(np.concatenate(by_step(cells, step_h, 5)[-1]) - exact).max() for step_h in (0.02, 0.01)]
    assert error[1] < 1e-3 * NICHES
    assert error[0] > 1.8 * error[1]


def test_steady_state_is_that_of_the_paper() -> None:
    """The equations settle at 1 - n/N = d delta / (a beta), with s = beta n / delta in the blood."""
    rest = by_equations(grafted("small graft"), 4000)
    assert rest.niche.sum() / NICHES == pytest.approx(occupancy(), rel=1e-3)
    assert rest.blood.sum() == pytest.approx(BETA * rest.niche.sum() / DELTA, rel=1e-3)


@pytest.mark.parametrize(
    "graft", ["small graft", *(pytest.param(name, marks=pytest.mark.slow) for name in list(GRAFTS)[1:])]
)
def test_donor_and_host_share_the_niches_as_the_model_has_it(folder: Path, graft: str) -> None:
    cells = grafted(graft)
    theory = by_step(cells, STEP_MIN / 60, DAYS)
    expected = [np.stack([theory[day * 24 * 60 // STEP_MIN][i] for i in (0, 2)]) for day in LOOK]
    agree([run(folder, cells, seed) for seed in range(REPLICATES)], expected)


def test_chimerism_needs_empty_niches() -> None:
    """Into full niches a graft of half the host's stem cells brings less donor than into emptied ones."""
    share = {name: by_step(grafted(name), 0.25, DAYS)[-1].niche for name in GRAFTS}
    donor = {name: float(niche[1] / niche.sum()) for name, niche in share.items()}
    assert donor["small graft"] < donor["large graft"] < donor["large graft, niches emptied"]
    assert donor["large graft"] < 0.5 < donor["large graft, niches emptied"]
