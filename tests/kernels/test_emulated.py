"""What a GPU would compute, thread by thread, has the bits of the NumPy twins, whatever the order of threads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from abm.backends.cuda import FORMS, WITHOUT, forms
from abm.backends.numpy_backend import NumpyBackend
from abm.errors import BackendError
from abm.step import Simulation
from tests.conftest import absence
from tests.kernels.emulated import DOWNWARDS, UPWARDS, EmulatedGpu
from tests.kernels.states import State, random_state, ring
from tests.kernels.test_parity import RULES, assert_collects, run_all, run_list
from tests.tiny import tiny_config

pytestmark = pytest.mark.skipif(bool(absence("host")), reason=absence("host") or "there is a compiler")

#: Slabs (lattice, rank, ranks): shorter and longer than a warp, no multiple of anything, and ones over whose end the
#: global sites start again in the middle of a warp.
SLABS = [((9, 5, 6), 1, 2), ((8, 3, 37), 0, 1), ((11, 8, 10), 0, 2), ((8, 9, 66), 1, 2), ((8, 1, 1), 0, 1)]
#: Forms and threads of a block: one by one, none, all.
CHOICES = [*(((form,), 64) for form in FORMS if form != "graphs"), ((), 64), (FORMS, 32), (FORMS, 256)]

#: Mistakes that the emulation is here to find, each in a kernel that is right but for it.
FAULTY = """
#include "portable.cuh"
KERNEL(rotate)(int64_t n, uint32_t with_barrier, const uint32_t* in, uint32_t* out) {
    SHARED uint32_t box[THREADS];
    box[threadIdx.x] = in[threadIdx.x];
    if (with_barrier != 0u) __syncthreads();
    if (blockIdx.x == 0) out[threadIdx.x] = box[(threadIdx.x + 1) % THREADS];
}
KERNEL(vote)(int64_t n, uint32_t lanes, uint32_t* out) {
    if (threadIdx.x % WARP >= lanes) return;
    out[threadIdx.x] = bit_count(__ballot_sync(ALL_LANES, true));
}
KERNEL(part)(int64_t n, uint32_t lanes, uint32_t* out) {
    if (threadIdx.x < lanes) __syncwarp();
    __syncthreads();
    out[threadIdx.x] = 1u;
}
KERNEL(empty)(int64_t n, uint32_t* out) {
    SHARED uint32_t number;
    count(&number);
    __syncthreads();
    out[threadIdx.x] = number;
}
KERNEL(last)(int64_t n, uint32_t* counter, uint32_t* out) {
    const uint32_t before = *counter;
    count(counter);
    out[threadIdx.x] = before;
}
"""


@cache
def gpu(chosen: tuple[str, ...] = FORMS, threads: int = 64) -> EmulatedGpu:
    return EmulatedGpu(threads=threads, forms=chosen)


def assert_same(state: State, backend: EmulatedGpu, seed: int) -> None:
    """Compare all kernels with their twins in three orders of threads."""
    expected, _ = run_all(NumpyBackend(), state, seed, 7)
    for order in (UPWARDS, DOWNWARDS, 2 + seed):
        backend.device.order = order
        found, intact = run_all(backend, state, seed, 7)
        assert intact
        for name, array in expected.items():
            np.testing.assert_array_equal(array, found[name], err_msg=f"{name}, order {order}")
        assert_collects(backend)


@pytest.mark.parametrize("seed", range(8))
def test_a_step_is_bit_identical(seed: int) -> None:
    filling = (0.02, 0.3, 0.6, 0.95)[seed % 4]
    state = random_state((9 + seed % 3, 5 + seed % 4, 6 + seed % 5), seed, filling, RULES, seed % 2, 2)
    assert_same(state, gpu(), seed)


@pytest.mark.parametrize("slab", SLABS, ids=str)
@pytest.mark.parametrize("filling", [0.0, 0.4, 1.0])
def test_any_slab_is_bit_identical(slab: tuple[tuple[int, int, int], int, int], filling: float) -> None:
    shape, rank, size = slab
    assert_same(random_state(shape, 3, filling, RULES, rank, size), gpu(), 3)


@pytest.mark.parametrize("filling", [0.05, 0.6])
def test_a_ring_is_bit_identical(filling: float) -> None:
    assert_same(ring(random_state((9, 6, 35), 4, filling, RULES, 0, 1)), gpu(), 4)


@pytest.mark.parametrize(("chosen", "threads"), CHOICES, ids=str)
def test_any_choice_of_forms_is_bit_identical(chosen: tuple[str, ...], threads: int) -> None:
    assert_same(random_state((8, 9, 35), 5, 0.5, RULES, 0, 1), gpu(chosen, threads), 5)


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


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> EmulatedGpu:
    folder = tmp_path_factory.mktemp("faulty")
    (folder / "faulty.cu").write_text(FAULTY)
    return EmulatedGpu(folder)


@pytest.fixture
def run(faulty: EmulatedGpu) -> Iterator[Any]:
    def run(kernel: str, order: int, **args: Any) -> list[int]:
        faulty.device.order = order
        out = np.zeros(64, np.uint32)
        faulty.launch(kernel, 64, out=out, **args)
        return out.tolist()

    return run


def test_a_missing_barrier_shows(run: Any) -> None:
    given = np.arange(64, dtype=np.uint32)
    right = np.roll(given, -1).tolist()
    for order in (UPWARDS, DOWNWARDS, 2, 3):
        assert run("rotate", order, with_barrier=1, **{"in": given}) == right
        assert run("rotate", order, with_barrier=0, **{"in": given}) != right


@pytest.mark.parametrize("order", [UPWARDS, DOWNWARDS, 2])
def test_threads_that_wait_for_nobody_are_an_error(run: Any, order: int) -> None:
    assert run("vote", order, lanes=32) == [32] * 64
    with pytest.raises(RuntimeError, match=r"kernel vote: block \d, thread \d+, in __ballot_sync: .* has ended"):
        run("vote", order, lanes=31)
    assert run("part", order, lanes=32) == run("part", order, lanes=0) == [1] * 64
    with pytest.raises(RuntimeError, match=r"kernel part: .* threads wait apart"):
        run("part", order, lanes=7)


def test_shared_memory_is_not_zero_at_first(run: Any) -> None:
    assert run("empty", UPWARDS) == [(0xA5A5A5A5 + 64) % 2**32] * 64


def test_what_depends_on_the_order_of_atomic_operations_shows(run: Any) -> None:
    outcomes = [run("last", order, counter=np.zeros(1, np.uint32)) for order in (UPWARDS, DOWNWARDS, 2, 3)]
    assert len(set(map(tuple, outcomes))) == 4


def test_forms_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert forms() == FORMS
    monkeypatch.setenv(WITHOUT, "gather,tiles")
    assert forms() == ("shared_counts", "graphs")
    monkeypatch.setenv(WITHOUT, "gather,bricks")
    with pytest.raises(BackendError, match=r"ABM_CUDA_WITHOUT=gather,bricks: there is no 'bricks'; expected any of"):
        forms()
