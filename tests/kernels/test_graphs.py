"""A step as the CUDA backend launches it, on a CuPy that computes on the CPU: recorded or not, it is the same step."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from abm import phases
from abm.backends import cuda
from abm.backends.cuda import ROUNDS, WITHOUT, CudaBackend, blocks_for, resident
from abm.backends.numpy_backend import NumpyBackend
from abm.bench.meter import Meter
from abm.io import state_hash
from abm.step import Simulation
from benchmarks import forms as bench_forms
from benchmarks.merge import different
from tests.conftest import absence
from tests.kernels.pretended import Graph, Stream, make_cupy, reset
from tests.tiny import TINY, tiny_config

pytestmark = pytest.mark.skipif(bool(absence("host")), reason=absence("host") or "there is a compiler")

STEPS = 14  # conditioning, the graft, both markers
PATCH = {"shape": [10, 9, 8]}
DENSE = {"time": {"start_day": -0.5, "end_day": 2.0}, "events": [e for e in TINY["events"] if e["day"] >= -0.5]}  # type: ignore[attr-defined, index]


@pytest.fixture
def make_backend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., CudaBackend]:
    """Return a maker of the CUDA backend, without some of its forms."""
    reset()

    def make(*left_out: str) -> CudaBackend:
        monkeypatch.setenv(WITHOUT, ",".join(left_out))
        monkeypatch.setattr(cuda, "_BLOCK", 64)
        monkeypatch.setattr(cuda, "_import_cupy", make_cupy)
        return CudaBackend()

    return make


@cache
def expected(*, closed: bool = False) -> str:
    return advanced(NumpyBackend(), closed=closed)


def advanced(backend: Any, steps: int = STEPS, *, closed: bool = False) -> str:
    """Return the state hash of a small patient after some steps."""
    simulation = Simulation.start(config(closed=closed), backend)
    for _ in range(steps):
        simulation.advance()
    return state_hash(simulation.snapshot())


def config(*, closed: bool) -> Any:
    return tiny_config(patch=PATCH | ({"ends": "closed"} if closed else {}), **DENSE)


@pytest.mark.parametrize("closed", [False, True])
def test_recorded_steps_are_the_steps(make_backend: Callable[..., CudaBackend], closed: bool) -> None:
    backend = make_backend()
    assert advanced(backend, closed=closed) == expected(closed=closed)
    assert backend.records
    assert Stream.current is not Stream.null
    assert Graph.launched > STEPS, "most of a step is replayed"
    assert Graph.made < Graph.launched / 2


def test_without_graphs_nothing_is_recorded(make_backend: Callable[..., CudaBackend]) -> None:
    backend = make_backend("graphs", "tiles")
    assert backend.detail == "pretended, CuPy 0, without tiles, graphs"
    assert advanced(backend) == expected()
    assert Stream.current is Stream.null
    assert Graph.made == 0


def test_where_nothing_can_be_recorded_all_is_launched(make_backend: Callable[..., CudaBackend]) -> None:
    backend = make_backend()
    Stream.refuses = True
    assert advanced(backend) == expected()
    assert not backend.records
    assert Graph.launched == 0


def test_recording_may_fail_later(make_backend: Callable[..., CudaBackend]) -> None:
    backend = make_backend()
    simulation = Simulation.start(config(closed=False), backend)
    for step in range(STEPS):
        Stream.refuses = step > 3
        simulation.lattice.repeats.pop(next(iter(simulation.lattice.repeats), None), None)
        simulation.advance()
    assert Graph.made > 0
    assert not backend.records
    assert state_hash(simulation.snapshot()) == expected()


def test_old_recordings_are_forgotten(
    make_backend: Callable[..., CudaBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "MOST_REPEATS", 7)
    lattice = Simulation.start(config(closed=False), make_backend()).lattice
    lattice.repeats.clear()
    done: list[tuple[int, int]] = []
    for variant in (*range(20), 19):
        lattice._repeat(lambda step, variant=variant: done.append((variant, step)), 3, variant, exchanges=False)
        assert len(lattice.repeats) <= 7
    assert done == [*((variant, 3) for variant in range(20)), (19, 3)]
    assert Graph.made == 1, "the last variant is known and recorded"


def test_a_step_that_fails_while_it_is_recorded_says_so(make_backend: Callable[..., CudaBackend]) -> None:
    backend, calls = make_backend(), []

    def work(step: int) -> None:
        calls.append(step)
        if len(calls) > 1:
            msg = "a mistake"
            raise ValueError(msg)

    repeated = backend.repeated(work)
    repeated(3)
    with pytest.raises(ValueError, match="a mistake"):
        repeated(4)
    assert Stream.current.recorded is None, "recording has ended"


def test_two_patients_on_one_device_do_not_meet(make_backend: Callable[..., CudaBackend]) -> None:
    backend = make_backend()
    patients = [Simulation.start(config(closed=closed), backend) for closed in (False, True)]
    for patient in patients:
        patient.advance()
    for _ in range(STEPS - 1):
        for patient in patients:
            patient.advance()
    assert [state_hash(p.snapshot()) for p in patients] == [expected(closed=False), expected(closed=True)]


def test_what_is_metered_is_not_replayed(make_backend: Callable[..., CudaBackend]) -> None:
    meter = Meter(make_backend(), 1)
    simulation = Simulation.start(config(closed=False), meter)
    for _ in range(6):
        simulation.advance()
    launched = Graph.launched
    assert launched
    with meter.metering() as entries:
        for _ in range(STEPS - 6):
            simulation.advance()
    assert Graph.launched == launched
    assert {"engage", "fate", "commit", "census_niche", "bid", "hop"} <= entries.keys()
    assert state_hash(simulation.snapshot()) == expected()


def test_what_is_replayed_is_of_its_step(make_backend: Callable[..., CudaBackend]) -> None:
    backend = make_backend()
    hot, take = (backend.to_device(np.full(n, fill, np.uint32)) for n, fill in ((64, 1 | 1 << 8), (128, 1 << 31)))
    cold = backend.alloc(64, np.uint32)
    at = {"first": 0, "total": 64, "shift": 0, "seed": 5, "word": 0, "value": 3}

    def work(step: int) -> None:
        backend.launch("label", 64, **at, step=step, take=take, hot=hot, cold=cold)

    def labels(do: Callable[[int], None], step: int) -> list[int]:
        backend.clear(cold)
        do(step)
        found: list[int] = backend.to_host(cold).tolist()
        return found

    repeated = backend.repeated(work)
    found = []
    for step in (6, 2**32 - 1, 0, 6):
        found.append(labels(work, step))
        assert labels(repeated, step) == found[-1]
    assert Graph.launched == 3
    assert found[0] == found[-1]
    assert len(set(map(tuple, found))) == 3


def test_forms_are_measured_side_by_side(
    make_backend: Callable[..., CudaBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_forms, "ROUNDS", 2)
    chosen = [make_backend(*left_out) for left_out in ((), ("tiles", "shared_counts"), ("graphs",))]
    rows = bench_forms.measure("marrow-lite", 12, 2, chosen)
    assert [row["detail"] for row in rows] == [backend.detail for backend in chosen]
    assert different(rows) == []
    for row in rows:
        assert len(row["block_s"]) == 2
        assert {"engage", "fate", "commit", "bid", "hop"} <= row["kernel_ms"].keys()
    rows[1]["state_hash"]["hash"] = "0"
    assert different(rows)


def test_blocks_are_enough_and_not_too_many() -> None:
    assert blocks_for(1, 132, 5) == 132
    assert blocks_for(132 * 256 + 1, 132, 5) == 133
    assert blocks_for(10**9, 132, 5) == 132 * 5 * ROUNDS


@pytest.mark.parametrize(
    ("registers", "shared", "expected"),
    [(32, 0, 8), (40, 0, 6), (48, 0, 5), (75, 21_600, 3), (16, 60_000, 3), (255, 0, 1)],
)
def test_what_a_processor_holds(registers: int, shared: int, expected: int) -> None:
    """With 65536 registers, given out by 8 for a thread, 228 kB to share and room for 2048 threads."""
    function = SimpleNamespace(num_regs=registers, shared_size_bytes=shared)
    assert resident(function, make_cupy().cuda.runtime.getDeviceProperties(0)) == expected
