"""The state does not depend on the number of threads of the host backend."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.backends.team import WORTH_WAKING, pieces
from abm.io import state_hash
from abm.step import Simulation
from tests.conftest import absence
from tests.tiny import tiny_config

pytestmark = pytest.mark.skipif(bool(absence("host")), reason=absence("host") or "there is a compiler")

ROOT = Path(__file__).resolve().parents[2]
#: Large enough to be shared.
SHAPE, STEPS = [33, 36, 34], 4
CODE = """
import sys
from abm.backends import choose
from tests.law.test_threads import advanced
backend, _ = choose("host")
print(backend.threads, advanced(backend, sys.argv[1]))
"""


def advanced(backend: object, ends: str) -> str:
    """Return the state hash of a patient after some steps."""
    simulation = Simulation.start(tiny_config(patch={"shape": SHAPE, "ends": ends}), backend)
    for _ in range(STEPS):
        simulation.advance()
    return state_hash(simulation.snapshot())


@cache
def expected(ends: str) -> str:
    return advanced(NumpyBackend(), ends)


@pytest.mark.parametrize(("threads", "ends"), [(1, "periodic"), (2, "periodic"), (7, "periodic"), (2, "closed")])
def test_state_does_not_depend_on_threads(threads: int, ends: str) -> None:
    assert pieces(SHAPE[0] * SHAPE[1] * SHAPE[2]) >= WORTH_WAKING
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", CODE, ends],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(threads), expected(ends)]
