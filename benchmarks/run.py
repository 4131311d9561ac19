"""Measure site-updates per second of the shipped scenarios on every backend of this machine.

    python -m benchmarks.run                       all workloads, all backends present
    python -m benchmarks.run --workload aml --backend host --repeats 9

A site-update is one lattice site advanced by one fate step, all its sub-steps and the body included. After a
warm-up, blocks of steps are timed one after the other; the median block counts. Memory bandwidth is measured
in the same process right before, so that figures from different machines can be compared. Results go to
``benchmarks/results/<date>-<label>.json`` with all that is needed to judge them later.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import json
import math
import os
import platform
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import abm
from abm.backends import choose
from abm.config import load_config
from abm.errors import BackendError
from abm.kernel import digest
from abm.resources import folder
from abm.step import Simulation

HERE = Path(__file__).resolve().parent

#: Name -> scenario file and the size it is measured at, [nz, ny, nx].
WORKLOADS = {
    "aml": ("aml_hsct.toml", (64, 64, 64)),
    "homeostasis": ("homeostasis.toml", (128, 128, 128)),
}
BACKENDS = ("numpy", "host", "cuda")
#: Aimed-at duration of one timed block, s; the steps that fit are counted during warm-up.
BLOCK_S = 1.0
MAX_BLOCK_STEPS = 240
#: Elements of each triad array: 64 MiB, larger than any cache it could hide in.
TRIAD_N = 1 << 23


def main() -> None:
    """Run what was asked for, print a table, write the results."""
    arguments = parse_arguments()
    machine = describe_machine()
    bandwidth = triad_gb_per_s(arguments.repeats)
    print(f"{machine['cpu']}, {machine['cores']} cores; triad {bandwidth or 'not measured'} GB/s")
    if machine["load_at_start"] > 0.5:
        print(f"WARNING: load {machine['load_at_start']}: other programs are running, the figures will be too low")
    rows = []
    for name in arguments.workload:
        for backend_name in arguments.backend:
            try:
                backend, reason = choose(backend_name)
            except BackendError as error:
                print(f"{name:12} {backend_name:6} not measured: {str(error).splitlines()[0]}")
                continue
            rows.append(measure(name, backend, reason, arguments.repeats))
            print(table_line(rows[-1]), flush=True)
    write(machine, bandwidth, rows, arguments.label or default_label(machine))


def write(machine: dict[str, Any], bandwidth: float | None, rows: list[dict[str, Any]], label: str) -> None:
    """Write one result file."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    result = {
        "format_version": 1,
        "date": now,
        "abm": abm.__version__,
        "git": git_commit(),
        "kernel_digest": digest(),
        "machine": machine,
        "triad_gb_per_s": bandwidth,
        "results": rows,
    }
    path = HERE / "results" / f"{now[:10]}-{label}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written: {os.path.relpath(path)}")


def parse_arguments() -> argparse.Namespace:
    """Return the command line's choices."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", choices=WORKLOADS, action="append", help="default: all")
    parser.add_argument("--backend", choices=BACKENDS, action="append", help="default: all that are present")
    parser.add_argument("--repeats", type=int, default=7, help="timed blocks, at least 5 (default 7)")
    parser.add_argument("--label", help="part of the result file's name (default: processor and cores)")
    arguments = parser.parse_args()
    if arguments.repeats < 5:
        parser.error("--repeats: at least 5, a median of fewer says little")
    arguments.workload = arguments.workload or list(WORKLOADS)
    arguments.backend = arguments.backend or list(BACKENDS)
    return arguments


def measure(workload: str, backend: Any, reason: str, repeats: int) -> dict[str, Any]:
    """Time blocks of steps of one workload on one backend."""
    scenario, shape = WORKLOADS[workload]
    config = load_config(folder("scenarios") / scenario, overrides=[f"patch.shape={list(shape)}"])
    began = time.perf_counter()
    simulation = Simulation.start(config, backend)
    start_s = time.perf_counter() - began

    def block(steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            simulation.advance()
        backend.sync()
        return time.perf_counter() - begin

    block(2)  # first touches, lazy compilation
    steps = min(max(math.ceil(BLOCK_S / (block(2) / 2)), 1), MAX_BLOCK_STEPS)
    seconds = [block(steps) for _ in range(repeats)]
    median = statistics.median(seconds)
    updates = simulation.n_sites * steps
    return {
        "workload": workload,
        "shape": list(shape),
        "backend": backend.name,
        "backend_reason": reason,
        "n_agents": simulation.n_agents,
        "start_s": round(start_s, 3),
        "steps_per_block": steps,
        "block_s": [round(value, 4) for value in seconds],
        "site_updates_per_s": updates / median,
        "site_updates_per_s_range": [updates / max(seconds), updates / min(seconds)],
    }


def table_line(row: dict[str, Any]) -> str:
    """Return one result as a line of the printed table."""
    low, high = row["site_updates_per_s_range"]
    size = "x".join(str(n) for n in row["shape"])
    return (
        f"{row['workload']:12} {row['backend']:6} {size:>12} {row['n_agents']:>9} agents "
        f"{row['site_updates_per_s']:9.3g} site-updates/s ({low:.3g} .. {high:.3g})"
    )


def triad_gb_per_s(repeats: int) -> float | None:
    """Measure memory bandwidth with the STREAM triad on all cores; None without a compiler."""
    with tempfile.TemporaryDirectory() as work:
        library = Path(work) / "triad.so"
        flags = ("-O3", "-march=native", "-fopenmp", "-fPIC", "-shared")
        try:
            subprocess.run(
                [os.environ.get("CXX", "g++"), *flags, "-o", str(library), str(HERE / "triad.cpp")],
                check=True,
                capture_output=True,
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        triad = ctypes.CDLL(str(library)).triad
    arrays = [np.ones(TRIAD_N) for _ in range(3)]
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    seconds = [timed(lambda: triad(ctypes.c_int64(TRIAD_N), *pointers)) for _ in range(repeats + 1)][1:]
    return round(3 * arrays[0].nbytes / statistics.median(seconds) / 1e9, 1)


def timed(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes, s."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def describe_machine() -> dict[str, Any]:
    """Return what the figures depend on; no host or user name."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load_at_start": round(os.getloadavg()[0], 2),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "compiler": first_line([os.environ.get("CXX", "g++"), "--version"]),
        "gpu": first_line(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]),
    }


def cpu_model() -> str:
    """Return the processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def default_label(machine: dict[str, Any]) -> str:
    """Return a file-name form of processor and cores."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"\(\w+\)|@.*", "", str(machine["cpu"]).lower()))
    return "-".join([*words, str(machine["cores"]), "cores"])


def git_commit() -> str | None:
    """Return the commit of the checkout, marked if the working tree differs from it."""
    commit = first_line(["git", "-C", str(HERE), "rev-parse", "HEAD"])
    changed = first_line(["git", "-C", str(HERE), "status", "--porcelain", "--untracked-files=no"])
    return f"{commit}+changes" if commit and changed else commit


def first_line(command: Sequence[str]) -> str | None:
    """Return the first line a command prints, or None if it cannot be run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    lines = done.stdout.splitlines()
    return lines[0] if lines else None


if __name__ == "__main__":
    main()
