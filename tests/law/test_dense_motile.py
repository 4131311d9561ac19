"""The law where lymphocytes crowd and kill by the thousand: most claims are contested, many targets struck twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from abm.backends.numpy_backend import NumpyBackend
from tests.law.dense import DENSITY, STEPS, dense, strong, trajectory


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return strong(tmp_path_factory.mktemp("strong"))


@pytest.fixture(scope="module")
def reference(rules: Path) -> tuple[str, list[int], float]:
    return trajectory(dense(NumpyBackend(), rules))


def test_it_is_as_crowded_and_deadly_as_said(reference: tuple[str, list[int], float], rules: Path) -> None:
    _, kills, density = reference
    assert len(kills) == STEPS
    assert kills[0] > 10_000
    assert density > 0.9 * DENSITY
    sim = dense(NumpyBackend(), rules)
    sim.advance()
    assert sim.damaged > 1000, "that cells are hit and live"


def test_backends_agree(backend: Any, rules: Path, reference: tuple[str, list[int], float]) -> None:
    assert trajectory(dense(backend, rules)) == reference
