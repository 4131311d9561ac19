"""Equal stem cells that replace each other drift: fixation and clone sizes against the Moran process.

Moran, Proc Camb Philos Soc 1958; on graphs: Lieberman, Hauert & Nowak, Nature 2005.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.linalg import expm_multiply

from abm.cells import NICHE_SINUSOIDAL, Count, Cycle, Kind, Origin, Tissue, pack_hot
from abm.step import Simulation
from tests.science.bare_marrow import Rules, agree, put, start

pytestmark = pytest.mark.science

STEP_H = 0.25
#: Closed niches: cubes of 2 x 2 x 2 sites in bone, where a cell that dies leaves room for a daughter of a neighbour.
EDGE, APART, CELLS = 36, 4, 8
CUBES = (EDGE // APART) ** 3
DIVIDE = 96.0  #: per day: a place is taken again in the next step
#: Niches that share the blood: a cell that leaves comes back, or is replaced by a daughter of any other.
BOX, NICHES = 16, 64
BETA, DETACH, DELTA, TRIALS_PER_H, LEAVE = 2.0, 8.0, 24.0, 5120, 48.0


def cubes() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the tissue and the sites of each closed niche, shape (cubes, cells)."""
    grid = np.indices((EDGE,) * 3) % APART
    tissue = np.where((grid < 2).all(axis=0), NICHE_SINUSOIDAL, Tissue.BONE).astype(np.uint8)
    cube = np.ravel_multi_index(tuple(np.indices((EDGE,) * 3) // APART), (EDGE // APART,) * 3).reshape(-1)
    sites = np.flatnonzero(tissue == NICHE_SINUSOIDAL)
    return tissue, sites[np.argsort(cube[sites], kind="stable")].reshape(CUBES, CELLS)


def closed(folder: Path, death: float, marked: int, seed: int) -> tuple[Simulation, NDArray[np.int64]]:
    """Start stem cells in closed niches, ``marked`` of each by the donor's origin, on places drawn at random."""
    rules = Rules().kind("HSC", 1, flags="NICHE_SEEKER")
    rules.rate("HSC", DIVIDE=DIVIDE, RENEW=1.0, DIE=death).rate("HSC", "quiescent", SWITCH=1e-6)
    rules.response("HSC", "MOVE", "niche", 0.5, 1.0)  # a table has at least one row; nothing moves
    tissue, sites = cubes()
    sim = start(rules.write(folder), tissue.shape, 1000, step_min=round(STEP_H * 60), seed=seed, tissue=tissue)
    hot = np.zeros(tissue.size, np.uint32)
    hot[sites] = pack_hot(kind=Kind.HSC, cycle=Cycle.CYCLING)
    chosen = np.random.default_rng(seed).permuted(np.tile(np.arange(CELLS), (CUBES, 1)), axis=1)[:, :marked]
    hot[np.take_along_axis(sites, chosen, axis=1)] = pack_hot(kind=Kind.HSC, origin=Origin.DONOR, cycle=Cycle.CYCLING)
    put(sim, hot.reshape(tissue.shape))
    return sim, sites


def share(sim: Simulation, sites: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the donor share of each closed niche."""
    hot = sim.lattice.owned("res_hot").reshape(-1)[sites]
    donor = (hot >> 6 & 3) == Origin.DONOR
    return np.asarray((donor & (hot != 0)).sum(axis=1) / (hot != 0).sum(axis=1))


@pytest.mark.parametrize("marked", [1, 2, 4])
def test_a_marked_cell_takes_its_niche_with_probability_of_its_share(tmp_path: Path, marked: int) -> None:
    """Fixation i/N, whatever the geometry: all founders of a niche are alike."""
    sim, sites = closed(tmp_path, 4.0, marked, seed=marked)
    for _ in range(1600):
        sim.advance()
    found = share(sim, sites)
    assert np.mean(found % 1.0 > 0) < 0.005  # all but a few are of one origin
    agree(found, marked / CELLS)


def drift_on_a_cube(marked: int, generations: float) -> tuple[float, float]:
    """Return mean and variance of the marked cells after so many deaths per cell: all 2^8 states of the process."""
    corner = np.arange(CELLS)
    states = np.arange(2**CELLS)
    rows, columns, rates = [], [], []
    for dead in corner:
        for axis in (1, 2, 4):
            parent = (states >> (dead ^ axis)) & 1
            after = (states & ~(1 << dead)) | (parent << dead)
            rows += [after, states]
            columns += [states, states]
            rates += [np.full(states.size, 1 / 3), np.full(states.size, -1 / 3)]
    flow = coo_array((np.concatenate(rates), (np.concatenate(rows), np.concatenate(columns)))).tocsr()
    size = np.array([int(state).bit_count() for state in states])
    begin = (size == marked) / (size == marked).sum()
    chances = expm_multiply(flow * generations, begin)
    mean = float(chances @ size)
    return mean, float(chances @ (size - mean) ** 2)


def test_clone_sizes_in_a_closed_niche_vary_as_the_process_on_its_graph(tmp_path: Path) -> None:
    death, marked, steps = 0.4, 4, 300
    sim, sites = closed(tmp_path, death, marked, seed=11)
    for _ in range(steps):
        sim.advance()
    mean, variance = drift_on_a_cube(marked, steps * death * STEP_H / 24)
    found = share(sim, sites) * CELLS
    agree(found, mean)
    agree((found - mean) ** 2, variance)


@pytest.mark.slow
def test_clones_in_niches_that_share_the_blood_drift_as_in_a_moran_process(tmp_path: Path) -> None:
    """Sum of squared shares 1 - (1 - 1/n) exp(-2 r t / n) of n clones of one cell.

    r: rate at which a place goes to a daughter of another cell. What enters a niche is a daughter (beta of them for d
    that left their niche), and niches fill as fast as they empty, d: r = d beta / (d + beta).
    """
    rules = Rules().kind("HSC", 1, flags="NICHE_SEEKER")
    rules.rate("HSC", DIVIDE=BETA, RENEW=1.0, EGRESS=LEAVE).rate("HSC", "quiescent", SWITCH=1e-6)
    rules.response("HSC", "EGRESS", "niche", DETACH / LEAVE, 0.01, 4)
    rules.value("traffic", hsc_trials=TRIALS_PER_H, hsc_clearance=DELTA / 24)
    rules.write(tmp_path)
    days = 12
    found = np.array([shared(tmp_path, days, seed) for seed in range(40)])
    replaced = DETACH * BETA / (DETACH + BETA)
    held = found[:, 1].mean()
    agree(found[:, 0], 1 - (1 - 1 / held) * np.exp(-2 * replaced * days / held))


def shared(folder: Path, days: int, seed: int) -> tuple[float, float]:
    """Return the sum of squared clone shares at the end, and the mean number of niches that are taken."""
    tissue = np.zeros((BOX,) * 3, np.uint8)
    tissue[(slice(None, None, BOX // 4),) * 3] = NICHE_SINUSOIDAL
    sim = start(folder, tissue.shape, days, step_min=round(STEP_H * 60), seed=seed, tissue=tissue)
    niches = tissue != 0
    hot, cold = np.zeros(tissue.shape, np.uint32), np.zeros(tissue.shape, np.uint32)
    hot[niches], cold[niches] = pack_hot(kind=Kind.HSC, cycle=Cycle.CYCLING), np.arange(NICHES)
    put(sim, hot, cold)
    held = []
    while sim.step < sim.n_steps:
        sim.advance()
        held.append(int(sim.last[Count.NICHE, Kind.HSC].sum()))
    clones = sim.lattice.owned("res_cold")[niches & (sim.lattice.owned("res_hot") != 0)] & 0xFFFF
    sizes = np.bincount(clones)
    return float(np.sum((sizes / sizes.sum()) ** 2)), float(np.mean(held))
