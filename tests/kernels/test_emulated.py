"""What a GPU would compute, thread by thread, has the bits of the NumPy twins."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.step import Simulation
from tests.conftest import absence
from tests.kernels.emulated import EmulatedGpu
from tests.kernels.states import random_state
from tests.kernels.test_parity import RULES, run_all, run_list
from tests.tiny import tiny_config

pytestmark = pytest.mark.skipif(bool(absence("host")), reason=absence("host") or "there is a compiler")


@cache
def gpu() -> EmulatedGpu:
    return EmulatedGpu()


@pytest.mark.parametrize("seed", range(8))
def test_a_step_is_bit_identical(seed: int) -> None:
    filling = (0.02, 0.3, 0.6, 0.95)[seed % 4]
    state = random_state((9 + seed % 3, 5 + seed % 4, 6 + seed % 5), seed, filling, RULES, seed % 2, 2)
    expected, _ = run_all(NumpyBackend(), state, seed, 7)
    found, intact = run_all(gpu(), state, seed, 7)
    assert intact
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)


def test_a_list_of_cells_is_bit_identical() -> None:
    state = random_state((10, 6, 7), 3, 0.3, RULES, 0, 1)
    expected, found = run_list(NumpyBackend(), state), run_list(gpu(), state)
    assert expected[1]
    assert found[1]
    for one, other in zip(expected[0], found[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_patient_is_bit_identical() -> None:
    patients = [Simulation.start(tiny_config(), backend) for backend in (NumpyBackend(), gpu())]
    for patient in patients:
        for _ in range(60):
            patient.advance()
    one, other = (patient.snapshot() for patient in patients)
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], err_msg=name)
    np.testing.assert_array_equal(patients[0].last, patients[1].last)
