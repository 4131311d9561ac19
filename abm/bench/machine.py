"""The machine a figure belongs to: its parts, its versions, and how fast it copies memory."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import abm
from abm import kernel
from abm.backends import choose
from abm.backends.host import find_compiler
from abm.errors import BackendError

#: What a file of results says it is, and its version.
FORMAT, FORMAT_VERSION = "abm-bench", 2
#: Elements of each array that is copied: 256 MiB of doubles, larger than caches.
COPY_N = 1 << 25
REPEATS = 7
#: The two kernels of STREAM that memory bandwidth is known by, in the form of the engine's own kernels.
STREAM = """#include "portable.cuh"
KERNEL(stream_copy)(int64_t n, const double* b, double* a) {
    FOR_EACH (i, n) a[i] = b[i];
}
KERNEL(stream_triad)(int64_t n, const double* b, const double* c, double* a) {
    FOR_EACH (i, n) a[i] = b[i] + 3.0 * c[i];
}
"""


def provenance() -> dict[str, Any]:
    """Return everything needed to judge a figure later; no host or user name."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "abm": abm.__version__,
        "git": git_commit(),
        "kernel_digest": kernel.digest(),
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """Return processor, GPU, compiler and versions."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "load_at_start": round(os.getloadavg()[0], 2),
        "gpu": first_line(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]),
        "system": f"{platform.system()} {platform.machine()}",
        "compiler": compiler(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cupy": next((v for name in ("cupy-cuda13x", "cupy-cuda12x", "cupy") if (v := installed(name))), None),
    }


def copy_rates(backend: Any) -> dict[str, float | None]:  # noqa: ANN401 - any backend
    """Return the GB/s this machine copies at, where ``backend`` keeps its arrays; every byte read or written counts.

    On a GPU copies of the device are timed. Elsewhere it is the copy and the triad of STREAM on all threads, compiled
    like the engine's kernels, or NumPy's copy on one thread where there is no compiler.
    """
    if backend.name == "cuda":
        one, other = (backend.alloc(COPY_N, np.float64) for _ in range(2))
        return {"copy": rate(2, lambda: (backend.copy(one, other), backend.sync())), "triad": None}
    try:
        host = stream()
    except BackendError:
        source, target = np.ones(COPY_N), np.ones(COPY_N)
        return {"copy": rate(2, lambda: np.copyto(target, source)), "triad": None}
    a, b, c = (host.alloc(COPY_N, np.float64) for _ in range(3))
    for array in (b, c):  # each thread touches its part first; memory never written would be read from a cache
        host.launch("stream_copy", COPY_N, a=array, b=a)
    return {
        "copy": rate(2, lambda: host.launch("stream_copy", COPY_N, a=a, b=b)),
        "triad": rate(3, lambda: host.launch("stream_triad", COPY_N, a=a, b=b, c=c)),
    }


def stream() -> Any:  # noqa: ANN401 - the host backend
    """Return a host backend that has the kernels of STREAM."""
    with tempfile.TemporaryDirectory(prefix="abm-bench-") as folder:
        Path(folder, "stream.cu").write_text(STREAM, encoding="utf-8")
        return choose("host", Path(folder))[0]


def rate(arrays: int, work: Callable[[], object]) -> float:
    """Return the median rate, GB/s, of ``work`` that passes once through some arrays."""
    seconds = []
    for _ in range(REPEATS + 1):  # the first touches the memory
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return round(arrays * COPY_N * 8 / statistics.median(seconds[1:]) / 1e9, 2)


def label(of: dict[str, Any]) -> str:
    """Return a machine as a part of a file name."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"\(\w+\)|@.*", "", str(of["gpu"] or of["cpu"]).split(",")[0].lower()))
    return "-".join([*words, str(of["cores"]), "cores"])


def cpu_model() -> str:
    """Return the processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def compiler() -> str | None:
    """Return the first line of what the C++ compiler says of itself."""
    try:
        return first_line([*find_compiler(), "--version"])
    except BackendError:
        return None


def installed(name: str) -> str | None:
    """Return the version of a package, if it is installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Return the commit of the checkout, marked if the working tree differs from it; None outside a checkout."""
    top = Path(abm.__file__).resolve().parents[1]
    if not (top / ".git").exists():
        return None
    commit = first_line(["git", "-C", str(top), "rev-parse", "HEAD"])
    changed = first_line(["git", "-C", str(top), "status", "--porcelain", "--untracked-files=no"])
    return f"{commit}+changes" if commit and changed else commit


def first_line(command: Sequence[str]) -> str | None:
    """Return the first line a command prints, or None if it cannot be run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    lines = done.stdout.splitlines()
    return lines[0] if lines else None
