"""Which backend is chosen and why; how the host library is built, cached and repaired."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from abm.backends import choose
from abm.backends.host import HostBackend, cache_folders, cores, find_compiler
from abm.errors import BackendError

SOURCE = """
#include "portable.cuh"
KERNEL(fill)(int64_t n, uint32_t value, uint32_t* out) {
    FOR_EACH (i, n) {
        out[i] = value + CONSTANT;
    }
}
"""

ROOT = Path(__file__).resolve().parents[2]

try:
    COMPILER = find_compiler()
except BackendError:
    COMPILER = ()
needs_compiler = pytest.mark.skipif(not COMPILER, reason="no C++ compiler")


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernels folder of one topic and an empty cache."""
    monkeypatch.setenv("ABM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("ABM_CXXFLAGS", raising=False)
    return write(tmp_path / "kernels", 1)


def write(folder: Path, constant: int) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "fill.cu").write_text(SOURCE.replace("CONSTANT", str(constant)))
    return folder


def cached(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").iterdir())


def value(backend: HostBackend) -> int:
    out = backend.alloc(1, np.uint32)
    backend.launch("fill", 1, value=41, out=out)
    return int(out[0])


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python from the checkout in an environment of its own."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "CXX") if name in os.environ}
    env = {**kept, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)


@needs_compiler
def test_library_is_compiled_once(kernels: Path, tmp_path: Path) -> None:
    assert value(HostBackend(kernels)) == 42
    (library,) = cached(tmp_path)
    before = library.stat().st_mtime_ns
    assert value(HostBackend(kernels)) == 42
    assert cached(tmp_path) == [library]
    assert library.stat().st_mtime_ns == before


@needs_compiler
def test_changed_source_and_flags_are_compiled_anew(kernels: Path, tmp_path: Path) -> None:
    assert value(HostBackend(kernels)) == 42
    write(kernels, 2)
    assert value(HostBackend(kernels)) == 43
    assert value(HostBackend(kernels, extra_flags=["-O1"])) == 43
    assert len(cached(tmp_path)) == 3


@needs_compiler
@pytest.mark.parametrize("damage", [b"", b"not a library", None])
def test_damaged_library_is_replaced(kernels: Path, tmp_path: Path, damage: bytes | None) -> None:
    HostBackend(kernels)
    (library,) = cached(tmp_path)
    torn = library.read_bytes()[:5000] if damage is None else damage
    library.unlink()  # this process still maps the old file
    library.write_bytes(torn)
    assert value(HostBackend(kernels)) == 42
    (repaired,) = cached(tmp_path)
    assert repaired.stat().st_size > 5000


@needs_compiler
def test_concurrent_builders_all_succeed(kernels: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        backends = list(pool.map(HostBackend, [kernels] * 4))
    assert [value(backend) for backend in backends] == [42] * 4
    assert all(path.suffix == ".so" for path in cached(tmp_path)), "a build folder was left behind"


@needs_compiler
def test_unusable_cache_folder_is_replaced_by_a_private_one(
    kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ABM_CACHE_DIR", str(tmp_path / "file" / "cache"))
    backend = HostBackend(kernels)
    assert value(backend) == 42
    assert backend.path.parent == list(cache_folders())[1]


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ABM_CACHE_DIR", str(tmp_path / "own"))
    assert next(cache_folders()) == tmp_path / "own"
    monkeypatch.delenv("ABM_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert next(cache_folders()) == tmp_path / "abm"


@needs_compiler
def test_compiler_errors_are_shown_with_file_and_line(kernels: Path) -> None:
    (kernels / "fill.cu").write_text(SOURCE)  # CONSTANT is not defined
    with pytest.raises(BackendError, match=r"cannot compile the kernels:\n.*fill\.cu:5:.*CONSTANT"):
        HostBackend(kernels)
    backend, reason = choose("auto", kernels)
    assert backend.name in ("numpy", "cuda")
    assert "CONSTANT" in reason
    assert "\n" not in reason


@needs_compiler
def test_compiler_without_native_still_builds(kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = tmp_path / "poor"
    wrapper.write_text(
        '#!/bin/sh\nfor a; do case "$a" in -march=native) echo "unknown $a" >&2; exit 1;; esac; done\n'
        f'exec {" ".join(COMPILER)} "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("CXX", str(wrapper))
    for _ in range(2):
        assert value(HostBackend(kernels)) == 42
    assert len(cached(tmp_path)) == 1


@needs_compiler
def test_extra_flags_come_from_the_environment(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (kernels / "fill.cu").write_text(SOURCE)
    monkeypatch.setenv("ABM_CXXFLAGS", "-DCONSTANT=5 -O1")
    assert value(HostBackend(kernels)) == 46


@needs_compiler
@pytest.mark.parametrize(("given", "threads"), [("1", 1), ("3", 3), ("2,1", 2), ("1000", 64), ("", cores())])
def test_thread_count_is_that_of_omp_num_threads(given: str, threads: int) -> None:
    done = run_python("from abm.backends import choose; print(choose('host')[1])", OMP_NUM_THREADS=given)
    assert done.returncode == 0, done.stderr
    assert f"threads: {min(threads, 64)} (" in done.stdout


@needs_compiler
@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_threads_is_named(given: str, kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    with pytest.raises(
        BackendError, match=f"OMP_NUM_THREADS={given}: expected a number of threads, at least 1"
    ) as said:
        HostBackend(kernels)
    assert said.value.exit_code == 2


def test_without_a_compiler_auto_falls_back_and_says_why() -> None:
    done = run_python("from abm.backends import choose; print(choose()[1])", PATH="", CXX="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("numpy: ", "cuda: "))
    if done.stdout.startswith("numpy: "):
        assert "no host: the host backend needs a C++17 compiler" in done.stdout


def test_without_a_compiler_host_is_an_error_that_helps() -> None:
    code = """
from abm.backends import choose
from abm.errors import BackendError
try:
    choose("host")
except BackendError as error:
    print(error, error.exit_code)
"""
    done = run_python(code, PATH="", CXX="")
    assert done.returncode == 0, done.stderr
    assert "apt install g++" in done.stdout
    assert done.stdout.endswith(" 2\n")


def test_wrong_cxx_is_named(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -v")
    with pytest.raises(BackendError, match="CXX=no-such-compiler -v"):
        HostBackend(kernels)


def test_compiler_that_does_not_run_is_named(kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(BackendError, match="the C.. compiler does not run: .*broken"):
        HostBackend(kernels)


def test_unknown_backend_is_named() -> None:
    with pytest.raises(BackendError, match="unknown backend 'gpu'; there are auto, numpy, host, cuda"):
        choose("gpu")


def test_missing_cuda_is_an_error_that_helps() -> None:
    try:
        backend, _ = choose("cuda")
    except BackendError as error:
        assert "CuPy" in str(error)  # noqa: PT017
    else:
        assert backend.name == "cuda"


def test_importing_the_backends_does_not_import_cupy() -> None:
    done = run_python("import sys, abm.backends; print('cupy' in sys.modules)")
    assert done.stdout == "False\n", done.stderr
