"""The queue of the host backend: launches are done in their order, whatever Python does meanwhile."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm.backends.host import HostBackend
from abm.backends.team import PIECE_SITES, SHARES, WORTH_WAKING, pieces
from tests.conftest import absence

pytestmark = pytest.mark.skipif(bool(absence("host")), reason=absence("host") or "there is a compiler")

ROOT = Path(__file__).resolve().parents[2]
#: Reads at one end what the launch before wrote at the other. SUM needs any order, but every element once.
SOURCE = """
#include "portable.cuh"
// THREADS
KERNEL(turn)(int64_t n, uint32_t step, uint8_t more, const uint32_t* in, uint32_t* out) {
    FOR_EACH (i, n) { out[i] = in[n - 1 - i] * 3u + step + more; }
}
KERNEL(sum)(int64_t n, const uint32_t* in, int64_t* total) {
    FOR_EACH (i, n) { __atomic_fetch_add(total, int64_t(in[i]), __ATOMIC_RELAXED); }
}
"""
SMALL, LARGE = 100, 3 * WORTH_WAKING * PIECE_SITES + 7
U32 = np.ndarray[Any, np.dtype[np.uint32]]


def write(folder: Path, threads: int) -> Path:
    """Write kernels whose library is that of so many threads alone."""
    folder.mkdir(exist_ok=True)
    (folder / "queued.cu").write_text(SOURCE.replace("THREADS", str(threads)))
    return folder


@pytest.fixture(params=[1, 2, 5])
def backend(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostBackend:
    """A host backend of some threads."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(request.param))
    found = HostBackend(write(tmp_path / "kernels", request.param))
    assert found.threads == request.param
    return found


def turned(values: U32, step: int, more: int) -> U32:
    return values[::-1] * np.uint32(3) + np.uint32(step) + np.uint32(more)


def there_and_back(backend: HostBackend, n: int) -> tuple[list[U32], Callable[[int], None], U32]:
    """Return two arrays, work that takes one to the other and back, and what the first holds."""
    values = np.random.default_rng(3).integers(0, 2**32, n, np.uint32)
    pair = [backend.to_device(values), backend.alloc(n, np.uint32)]
    turns = [backend.prepare("turn", step=0, more=5, **{"in": pair[k], "out": pair[1 - k]}) for k in (0, 1)]

    def work(step: int) -> None:
        for turn in turns:
            turn(n, step=step)

    return pair, work, values


@pytest.mark.parametrize("n", [SMALL, 3 * PIECE_SITES, LARGE])
@pytest.mark.parametrize("recorded", [False, True])
def test_launches_are_done_in_their_order(backend: HostBackend, n: int, recorded: bool) -> None:
    pair, work, expected = there_and_back(backend, n)
    repeat = backend.repeated(work) if recorded else work
    for step in (*range(3 * SHARES), 2**32 - 1):  # more programs than the queue holds
        repeat(step)
        for _ in pair:
            expected = turned(expected, step, 5)
    np.testing.assert_array_equal(backend.to_host(pair[0]), expected)


@pytest.mark.parametrize("n", [0, 1, SHARES + 1, 3 * PIECE_SITES, LARGE])
def test_every_site_is_visited_once(backend: HostBackend, n: int) -> None:
    values, total = np.random.default_rng(n).integers(0, 2**32, n, np.uint32), backend.alloc(1, np.int64)
    backend.launch("sum", n, total=total, **{"in": values})
    assert total[0] == values.sum(dtype=np.int64)


def test_what_is_read_is_of_its_place_in_the_queue(backend: HostBackend) -> None:
    pair, work, first = there_and_back(backend, LARGE)
    readings, expected = [], [first]
    for step in range(5):
        readings.append(backend.read(pair[0]))
        work(step)
        expected.append(turned(turned(expected[-1], step, 5), step, 5))
    backend.clear(pair[0])
    for reading, there in zip(readings, expected, strict=False):
        np.testing.assert_array_equal(reading(), there)
    assert not backend.to_host(pair[0]).any()


def test_a_reading_is_of_its_time_whenever_it_is_asked_for(backend: HostBackend) -> None:
    pair, work, expected = there_and_back(backend, LARGE)
    begin = backend.reader(lambda: work(0), pair[:1], lambda: backend.clear(pair[1]))
    readings = []
    for step in range(4):
        readings.append((begin(), turned(turned(expected, 0, 5), 0, 5)))
        work(step)
        expected = turned(turned(readings[-1][1], step, 5), step, 5)
    for reading, there in reversed(readings):
        for _ in range(2):
            (found,) = reading()
            np.testing.assert_array_equal(found, there)


def test_a_copy_waits_for_what_is_queued(backend: HostBackend) -> None:
    pair, work, values = there_and_back(backend, LARGE)
    work(1)
    backend.copy(pair[0], values)
    work(2)
    np.testing.assert_array_equal(backend.to_host(pair[0]), turned(turned(values, 2, 5), 2, 5))


def test_scalars_are_those_of_the_launch(backend: HostBackend) -> None:
    """A launch that is queued does not see what is given to the next one."""
    given, out = backend.alloc(LARGE, np.uint32), [backend.alloc(LARGE, np.uint32) for _ in range(40)]
    for more, target in enumerate(out):
        turn = backend.prepare("turn", step=0, more=0, **{"in": given, "out": target})
        turn(LARGE, more=255)
        turn(LARGE, more=more)
    for more, target in enumerate(out):
        assert (backend.to_host(target) == more).all()


def test_work_is_recorded_once_and_copies_and_zeros_with_it(backend: HostBackend) -> None:
    pair, work, _ = there_and_back(backend, LARGE)
    done = []

    def more(step: int) -> None:
        done.append(step)
        backend.clear(pair[1])
        backend.copy(pair[0], pair[1])
        work(step)

    repeat = backend.repeated(more)
    zeros = np.zeros(LARGE, np.uint32)
    for step in (7, 9):
        repeat(step)
        np.testing.assert_array_equal(backend.to_host(pair[0]), turned(turned(zeros, step, 5), step, 5))
    assert done == [7]


def test_recorded_work_cannot_wait_and_a_failure_ends_the_recording(backend: HostBackend) -> None:
    pair, work, values = there_and_back(backend, SMALL)
    with pytest.raises(RuntimeError, match="cannot wait for itself"):
        backend.repeated(lambda _: [work(1), backend.sync()])(1)  # type: ignore[arg-type, return-value]
    work(2)
    np.testing.assert_array_equal(backend.to_host(pair[0]), turned(turned(values, 2, 5), 2, 5))


def test_only_whole_memory_is_cleared_in_the_queue(backend: HostBackend) -> None:
    with pytest.raises(ValueError, match="not C-contiguous"):
        backend.clear(backend.alloc((4, 4), np.uint32)[:, 1])


def test_memory_lives_until_it_has_been_used(backend: HostBackend) -> None:
    pair, work, _ = there_and_back(backend, LARGE)
    for step in range(50):
        work(step)
    gone = weakref.ref(pair[0])
    del pair, work
    gc.collect()
    assert gone() is not None or backend.threads == 1
    backend.sync()
    gc.collect()
    assert gone() is None


def test_a_small_launch_is_one_piece() -> None:
    sizes = 0, 1, 2 * PIECE_SITES - 1, 2 * PIECE_SITES, 10**9
    assert [pieces(n) for n in sizes] == [1, 1, 1, 2, SHARES]
    header = (ROOT / "kernels" / "team.cuh").read_text(encoding="utf-8")
    assert f"#define SHARES {SHARES} " in header
    assert f"#define WORTH_WAKING {WORTH_WAKING} " in header


QUEUE_AND_END = """
import os, sys
from pathlib import Path
import numpy as np
from abm.backends.host import HostBackend
from tests.kernels.test_team import LARGE, there_and_back, turned
backend = HostBackend(Path(sys.argv[1]))
assert backend.threads == 3
pair, work, expected = there_and_back(backend, LARGE)
for step in range(50):
    work(step)
    expected = turned(turned(expected, step, 5), step, 5)
"""
FORK = """
child = os.fork()
for _ in range(3):
    work(7)
    expected = turned(turned(expected, 7, 5), 7, 5)
assert (backend.to_host(pair[0]) == expected).all()
if child:
    assert os.waitpid(child, 0)[1] == 0
os._exit(0)
"""


@pytest.mark.parametrize("then", ["", FORK], ids=["end", "fork"])
def test_a_process_may_end_or_fork_while_launches_are_queued(tmp_path: Path, then: str) -> None:
    folder = write(tmp_path / "kernels", 3)
    environment = os.environ | {"OMP_NUM_THREADS": "3", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", QUEUE_AND_END + then, str(folder)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
