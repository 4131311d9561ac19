"""Kernels compiled once by the machine's C++ compiler and called through ctypes.

The library is cached on disk under ``<key>-<checksum>.so``: the key names source, flags, compiler and CPU
(a ``-march=native`` library must never meet another CPU), the checksum is that of the file's own bytes, so
a torn file is recognised before it is mapped. Files appear under their final name by one atomic rename;
concurrent builders cost time, not correctness.

What is launched is queued for the threads of the library (:mod:`abm.backends.team`), so that Python goes on meanwhile.

Environment: ``CXX`` (compiler), ``ABM_CXXFLAGS`` (added flags, e.g. sanitizers), ``ABM_CACHE_DIR``, ``OMP_NUM_THREADS``
(threads, that of Python included).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from abm.backends.numpy_backend import Array, NumpyArrays, Work, check_copy
from abm.backends.team import Prepared, Reader, Repeated, Team, launchers
from abm.errors import BackendError
from abm.kernel import assemble, first_errors

#: Contraction to fma and fast-math change bits: both are off for good.
FLAGS = (
    "-O3",
    "-std=c++17",
    "-ffp-contract=off",
    "-fno-fast-math",
    "-fno-trapping-math",
    "-fno-math-errno",
    "-fPIC",
    "-shared",
    "-pthread",
)
#: Wanted, but a compiler without them still gives the same results, only slower.
OPTIONAL_FLAGS = ("-march=native",)
COMPILERS = ("g++", "clang++", "c++")


class HostBackend(NumpyArrays):
    """Arrays are NumPy arrays, kernels are C++ on several threads. All methods but launches wait for what is queued."""

    name = "host"
    rings = True
    musters = True

    def __init__(self, folder: Path | None = None, extra_flags: Sequence[str] = ()) -> None:
        """Load the library from the cache, or compile it.

        Args:
            folder: kernels (default: the shipped ones).
            extra_flags: added to the compiler's flags, after those of ``ABM_CXXFLAGS``.

        Raises:
            BackendError: no compiler, the sources do not compile, or ``OMP_NUM_THREADS`` is no number of threads.
        """
        super().__init__(folder)
        threads = wanted_threads()
        extra = (*shlex.split(os.environ.get("ABM_CXXFLAGS", "")), *extra_flags)
        build = _Build(find_compiler(), extra, assemble(folder) + launchers(self.kernels))
        library, self.path, _ = build.load()
        self._team = Team(library, self.kernels, threads)
        self.threads = self._team.threads
        self.detail = f"{build.version.splitlines()[0]}, threads: {self.threads}"

    def prepare(self, kernel_name: str, **args: Any) -> Callable[..., None]:
        """Return a launch that may be repeated with other numbers of sites and other scalars."""
        return Prepared(self._team, *self._bind(kernel_name, args))

    def launch(self, kernel_name: str, n: int, **args: Any) -> None:
        """Run a kernel over ``n`` sites and wait for it; see :meth:`abm.kernel.Kernel.bind` for the checks."""
        self.prepare(kernel_name, **args)(n)
        self.sync()

    def repeated(self, work: Callable[[int], None]) -> Callable[[int], None]:
        """Return what does the work: the first time it is recorded, and from then on queued as a whole."""
        return Repeated(self._team, work)

    def chunk(self, plane: int, stages: int) -> int:
        """Return 0: pieces that fit into the caches gained nothing, and every launch is one more wait for a thread."""
        del plane, stages
        return 0

    def to_host(self, array: Array) -> Array:
        """Return the array itself, after all queued work."""
        self.sync()
        return array

    def read(self, array: Array) -> Callable[[], Array]:
        """Queue a copy; return what waits for the copy alone, not for work queued after it, and gives it."""
        if self._team.idle:
            return super().read(array)
        copied = np.empty_like(array)
        number = self._team.copy(copied, array)

        def wait() -> Array:
            self._team.wait(number)
            return copied

        return wait

    def reader(self, before: Work, arrays: Sequence[Array], after: Work) -> Callable[[], Callable[[], list[Array]]]:
        """Return what does some work, begins to read arrays, and does other work: all of it recorded, then queued."""
        return Reader(self._team, before, arrays, after)

    def clear(self, array: Array) -> None:
        """Set all elements to zero."""
        self._team.clear(array)

    def copy(self, dst: Array, src: Array, kept: bool = False) -> None:  # noqa: FBT001, FBT002 - the meter passes on places
        """Copy ``src`` into ``dst``: same shape, same dtype."""
        del kept
        check_copy(dst, src)
        if self._team.records:
            self._team.copy(dst, src)
        else:
            self.sync()
            dst[...] = src

    def send(self, dst: Array, values: Array) -> None:
        """Queue a copy of values that nobody changes any more: same shape, same dtype, C-contiguous."""
        check_copy(dst, values)
        if self._team.idle:
            dst[...] = values
        else:
            self._team.copy(dst, values)

    def sync(self) -> None:
        """Wait for all that is queued, and help with it."""
        self._team.sync()


class _Build:
    """One source, one compiler: finds the library in a cache folder or makes it there."""

    def __init__(self, compiler: Sequence[str], extra: Sequence[str], source: str) -> None:
        self.compiler = tuple(compiler)
        self.extra = tuple(extra)
        self.source = source
        self.version = _output((*compiler, "--version"))

    def load(self) -> tuple[ctypes.CDLL, Path, tuple[str, ...]]:
        """Return the loaded library, its path and the flags it was built with."""
        problems: list[str] = []
        for folder in cache_folders():
            try:
                path, flags = self.find_or_make(folder)
                return ctypes.CDLL(str(path)), path, flags
            except OSError as error:  # not writable, full, mounted noexec: try the next folder
                problems.append(f"{folder}: {error}")
        msg = "no folder can hold the compiled kernels; set ABM_CACHE_DIR to one\n  " + "\n  ".join(problems)
        raise BackendError(msg)

    def find_or_make(self, folder: Path) -> tuple[Path, tuple[str, ...]]:
        """Return a checked library in ``folder`` and its flags."""
        flags = (*FLAGS, *OPTIONAL_FLAGS, *self.extra)
        path = find(folder, self.key(flags))
        if path is None:
            flags = (*FLAGS, *filter(self.accepts, OPTIONAL_FLAGS), *self.extra)
            path = find(folder, self.key(flags)) or self.make(folder, flags)
        return path, flags

    def key(self, flags: Sequence[str]) -> str:
        """Name everything the machine code depends on."""
        parts = (cpu(), *self.compiler, self.version, *flags, self.source)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    def accepts(self, flag: str) -> bool:
        """Whether the compiler can build a trivial library with ``flag``."""
        with tempfile.TemporaryDirectory(prefix="abm-") as work:
            return self.run("int abm_probe;\n", (*FLAGS, flag), Path(work)).returncode == 0

    def make(self, folder: Path, flags: Sequence[str]) -> Path:
        """Compile into ``folder`` and return the library's final path."""
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="build-", dir=folder) as work:
            done = self.run(self.source, flags, Path(work))
            if done.returncode:
                msg = f"{' '.join(self.compiler)} cannot compile the kernels:\n{first_errors(done.stderr)}"
                raise BackendError(msg)
            library = Path(work, "kernels.so")
            path = folder / f"{self.key(flags)}-{checksum(library)}.so"
            library.replace(path)
        return path

    def run(self, source: str, flags: Sequence[str], work: Path) -> subprocess.CompletedProcess[str]:
        """Run the compiler on ``source`` in the folder ``work``."""
        (work / "kernels.cpp").write_text(source, encoding="utf-8")
        command = (*self.compiler, *flags, "-o", "kernels.so", "kernels.cpp")
        return subprocess.run(command, cwd=work, capture_output=True, text=True, errors="replace", check=False)


def find_compiler() -> tuple[str, ...]:
    """Return the command of the C++ compiler: ``$CXX``, or the first known one on the path."""
    wanted = shlex.split(os.environ.get("CXX", ""))
    for command in [wanted] if wanted else [[name] for name in COMPILERS]:
        found = shutil.which(command[0])
        if found:
            return os.path.abspath(found), *command[1:]  # it will be run in another folder
    looked = f"CXX={' '.join(wanted)}" if wanted else ", ".join(COMPILERS)
    msg = (
        f"the host backend needs a C++17 compiler, none found ({looked}): "
        "install one (e.g. 'apt install g++', 'dnf install gcc-c++', 'module load gcc'), or use --backend numpy"
    )
    raise BackendError(msg)


def cache_folders() -> Iterator[Path]:
    """Yield the cache folder, then, should it be unusable, one that ends with the process."""
    explicit, xdg = os.environ.get("ABM_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME")
    with suppress(RuntimeError):  # no home folder
        yield Path(explicit).expanduser() if explicit else (Path(xdg) if xdg else Path.home() / ".cache") / "abm"
    yield Path(_private_folder().name)


@cache
def _private_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="abm-")


def find(folder: Path, key: str) -> Path | None:
    """Return the intact library of ``key`` in ``folder``; remove damaged ones."""
    for path in sorted(folder.glob(f"{key}-*.so")):
        if path.stem == f"{key}-{checksum(path)}":
            return path
        with suppress(OSError):
            path.unlink()
    return None


def checksum(path: Path) -> str:
    """Return the checksum that a library carries in its name."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def cpu() -> str:
    """Describe the processor as far as ``-march=native`` looks at it."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        wanted = ("vendor_id", "cpu family", "model", "model name", "flags", "Features", "CPU part")
        found = {line.split(":")[0].strip(): line for line in lines}  # the last processor stands for all
        return "\n".join(found[name] for name in wanted if name in found)
    return f"{platform.machine()} {platform.processor()}"


def _output(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        msg = f"the C++ compiler does not run: {error}"
        raise BackendError(msg) from error


def wanted_threads() -> int:
    """Return the threads the user wants, or one for each core.

    Raises:
        BackendError: ``OMP_NUM_THREADS`` is no number of threads.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    first = given.split(",")[0].strip()  # the others are for loops in loops
    if not first:
        return cores()
    if not first.isdecimal() or int(first) == 0:
        msg = f"OMP_NUM_THREADS={given}: expected a number of threads, at least 1"
        raise BackendError(msg)
    return int(first)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
