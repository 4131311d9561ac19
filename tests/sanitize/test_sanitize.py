"""The shipped kernels run under sanitizers, in a process of their own: of addresses, undefined behaviour, threads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from abm.backends.host import find_compiler
from abm.errors import BackendError

ROOT = Path(__file__).resolve().parents[2]

FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g -O1"

#: One mistake of each sort the sanitizers are here to find.
FAULTY = """
#include "portable.cuh"
KERNEL(overrun)(int64_t n, const int32_t* in, int32_t* out) {
    FOR_EACH (i, n) {
        out[i] = in[i + 1];
    }
}
KERNEL(race)(int64_t n, const int32_t* in, int32_t* out) {
    FOR_EACH (i, n) {
        out[0] += in[i];
    }
}
KERNEL(overshift)(int64_t n, const int32_t* in, int32_t* out) {
    FOR_EACH (i, n) {
        out[i] = 1 << in[i];
    }
}
"""

FAULTY_RUN = """
import sys
from pathlib import Path
import numpy as np
from abm.backends.host import HostBackend
from tests.kernels.emulated import EmulatedGpu
backend = {"host": HostBackend, "emulated": EmulatedGpu}[sys.argv[4]](Path(sys.argv[1]))
given = np.full(int(sys.argv[3]) if sys.argv[2] == "race" else 2000, 40, np.int32)
out = backend.alloc(2000, np.int32)
backend.launch(sys.argv[2], int(sys.argv[3]), **{"in": given, "out": out})
print("survived")
"""

#: A patch that is large enough to be shared by threads, from conditioning to the graft.
THREADED_RUN = """
from abm.backends import choose
from abm.step import Simulation
from tests.tiny import tiny_config
simulation = Simulation.start(tiny_config(patch={"shape": [33, 32, 32]}), choose("host")[0])
for _ in range(3):
    simulation.advance()
simulation.snapshot()
print("survived")
"""

#: What a GPU would do, in one order of threads, on slabs that end within a warp and beyond one.
EMULATED_RUN = """
from tests.kernels.emulated import EmulatedGpu
from tests.kernels.states import random_state, ring
from tests.kernels.test_emulated import SLABS
from tests.kernels.test_parity import RULES, assert_collects, run_all
gpu = EmulatedGpu()
for shape, rank, size in SLABS:
    state = random_state(shape, 3, 0.4, RULES, rank, size)
    assert run_all(gpu, state if size > 1 else ring(state), 3, 7)[1]
assert_collects(gpu)
print("survived")
"""

SCENARIO = """
seed = 7

[patch]
shape = [12, 12, 12]
species = "human"

[time]
start_day = -0.5
end_day = 0.25

[patient]
disease = "aml"
blast_fraction = 0.3

[[events]]
day = -0.25
action = "tbi"
dose_gy = 4.0

[[events]]
day = 0.0
action = "graft"
source = "blood"
cd34_per_kg = 5e8
cd3_per_kg = 1e10
"""


@cache
def preload(*names: str) -> str:
    """Return the sanitizer runtime, under one of these names, that must be loaded before Python, or an empty string."""
    try:
        compiler = find_compiler()
    except BackendError:
        return ""
    for name in names:
        done = subprocess.run([*compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        path = Path(done.stdout.strip())
        if path.is_absolute() and path.exists():
            return str(path.resolve())
    return ""


ADDRESS = "libasan.so", "libclang_rt.asan-x86_64.so"
THREAD = "libtsan.so", "libclang_rt.tsan-x86_64.so"
#: The runtime for threads knows only the addresses that a process has without randomization.
UNRANDOMIZED = [found, "-R", "env"] if (found := shutil.which("setarch")) else []
pytestmark = pytest.mark.skipif(not preload(*ADDRESS), reason="no C++ compiler with an AddressSanitizer runtime")
needs_thread_sanitizer = pytest.mark.skipif(
    not (preload(*THREAD) and UNRANDOMIZED), reason="no ThreadSanitizer runtime, or no setarch"
)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the sanitizers; the library's cache is shared by the tests of a session."""
    environment = {
        **os.environ,
        "LD_PRELOAD": preload(*ADDRESS),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",  # the interpreter itself leaks at exit
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "ABM_CXXFLAGS": FLAGS,
        "ABM_CACHE_DIR": str(folder / "cache"),
        "OMP_NUM_THREADS": "2",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faulty")
    (folder / "faulty.cu").write_text(FAULTY)
    return folder


@pytest.mark.parametrize("backend", ["host", "emulated"])
@pytest.mark.parametrize(
    ("kernel", "n", "report", "line"),
    [
        ("overrun", "2000", "heap-buffer-overflow", "faulty.cu:5"),
        ("overshift", "2000", "shift exponent 40 is too large", "faulty.cu:15"),
    ],
)
def test_sanitizers_are_awake_and_name_the_line(
    faulty: Path, kernel: str, n: str, report: str, line: str, backend: str
) -> None:
    done = run(faulty, "-c", FAULTY_RUN, str(faulty), kernel, n, backend)
    assert done.returncode != 0
    assert "survived" not in done.stdout
    assert report in done.stderr
    assert line in done.stderr


@pytest.mark.parametrize("backend", ["host", "emulated"])
def test_sanitizers_do_not_cry_wolf(faulty: Path, backend: str) -> None:
    done = run(faulty, "-c", FAULTY_RUN, str(faulty), "overrun", "1999", backend)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "survived\n"


@pytest.mark.skipif(not find_spec("abm.step"), reason="the time step is not written yet")
def test_all_kernels_are_clean_in_a_short_simulation(tmp_path: Path) -> None:
    scenario = tmp_path / "tiny.toml"
    scenario.write_text(SCENARIO)
    out = tmp_path / "out"
    done = run(tmp_path, "-m", "abm", "run", str(scenario), "--out", str(out), "--backend", "host")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Sanitizer" not in done.stderr
    assert "runtime error" not in done.stderr


def test_what_a_gpu_would_do_is_clean(tmp_path: Path) -> None:
    done = run(tmp_path, "-c", EMULATED_RUN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "survived\n"
    assert "runtime error" not in done.stderr


def run_threads(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python on three threads with the sanitizer for them."""
    environment = {
        **os.environ,
        "ABM_CXXFLAGS": "-fsanitize=thread -g -O1",
        "ABM_CACHE_DIR": str(folder / "cache"),
        "OMP_NUM_THREADS": "3",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TSAN_OPTIONS": "exitcode=66",
    }
    command = [*UNRANDOMIZED, f"LD_PRELOAD={preload(*THREAD)}", sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)


@needs_thread_sanitizer
def test_the_sanitizer_of_threads_is_awake_and_names_the_line(faulty: Path) -> None:
    done = run_threads(faulty, "-c", FAULTY_RUN, str(faulty), "race", "3000000", "host")
    assert done.returncode == 66, done.stderr
    assert "data race" in done.stderr
    assert "faulty.cu:10" in done.stderr


@needs_thread_sanitizer
def test_threads_do_not_race_in_a_short_simulation(tmp_path: Path) -> None:
    done = run_threads(tmp_path, "-c", THREADED_RUN)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "survived\n"
    assert "ThreadSanitizer" not in done.stderr
