"""The peers of the benchmark: each is the same model, or says why it cannot run here.

Bounds are five standard errors of a mean over SEEDS: the peers draw their own numbers, so they agree in the mean.
"""

from __future__ import annotations

import importlib
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.peers.model import DEATH, DIVISION, PEERS, TUMOUR, optional, start

N = 20
STEPS = 10
SEEDS = range(6)
REFERENCE_SEEDS = range(100, 140)
BOUND = 5.0  #: standard errors


@cache
def run(name: str, seeds: range) -> NDArray[np.float64]:
    """Return (seeds, STEPS + 1, 3): normal, tumour and T cells."""
    peer = importlib.import_module(PEERS[name])
    if reason := peer.available():
        pytest.skip(f"{peer.NAME}: {reason}")
    return np.array([track(peer.Model(N, seed)) for seed in seeds], float)


def track(model: Any) -> list[tuple[int, int, int]]:
    """Return the numbers of cells at the start and after every step."""
    rows = []
    for step in range(STEPS + 1):
        if step:
            model.step()
        counts = model.counts()
        assert set(counts) == {"resident", "tumour", "t_cells"}
        rows.append((counts["resident"] - counts["tumour"], counts["tumour"], counts["t_cells"]))
    return rows


def left_of_tumour(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (seeds, STEPS): the part of the tumour cells of the start that is left after every step."""
    return cells[:, 1:, 1] / cells[:, :1, 1]


@pytest.mark.parametrize("name", PEERS)
def test_peer_begins_with_the_cells_that_all_begin_with(name: str) -> None:
    for seed, found in zip(SEEDS, run(name, SEEDS)[:, 0], strict=True):
        resident, motile = start(N, seed)
        tumour = np.count_nonzero(resident == TUMOUR)
        assert found.tolist() == [np.count_nonzero(resident) - tumour, tumour, np.count_nonzero(motile)]


@pytest.mark.parametrize("name", PEERS)
def test_t_cells_neither_come_nor_go(name: str) -> None:
    t_cells = run(name, SEEDS)[:, :, 2]
    assert (t_cells == t_cells[:, :1]).all()


@pytest.mark.parametrize("name", PEERS)
def test_normal_cells_follow_the_mean_field(name: str) -> None:
    normal, tumour, _ = run(name, SEEDS).sum(axis=0).T
    filled = (normal + tumour) / (len(SEEDS) * N**3)
    # a mother divides unless all 6 face neighbours are taken
    change = normal * (DIVISION * (1 - filled**6) - DEATH)
    expected = normal[0] + change[:-1].sum()
    # every death and division changes the number by one
    sd = math.sqrt(normal[0] * (DEATH + DIVISION) * STEPS)
    assert abs(normal[-1] - expected) < BOUND * sd


@pytest.mark.parametrize("name", PEERS)
def test_tumour_cells_fall_as_in_the_reference(name: str) -> None:
    reference = left_of_tumour(run("numpy", REFERENCE_SEEDS))
    found = left_of_tumour(run(name, SEEDS))
    error = reference.std(axis=0, ddof=1) * math.sqrt(1 / len(SEEDS) + 1 / len(REFERENCE_SEEDS))
    assert (abs(found.mean(axis=0) - reference.mean(axis=0)) < BOUND * error).all()


@pytest.mark.parametrize("name", PEERS)
def test_tumour_cells_fall_faster_than_normal_ones(name: str) -> None:
    normal, tumour, _ = run(name, SEEDS).sum(axis=0).T
    assert tumour[-1] / tumour[0] < 0.5 * normal[-1] / normal[0]


@pytest.mark.parametrize("name", PEERS)
def test_peer_can_be_asked_whether_it_can_run(name: str) -> None:
    peer = importlib.import_module(PEERS[name])
    assert peer.NAME
    assert isinstance(peer.available(), str)


def test_missing_framework_is_named() -> None:
    module, reason = optional("no_such_framework")
    assert module is None
    assert reason.startswith("not installed: ")
    assert "no_such_framework" in reason
