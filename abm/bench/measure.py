"""Measures one workload on one backend: rate, traffic, time by kernel, memory, start-up."""

from __future__ import annotations

import gc
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from abm import resources
from abm.bench.meter import Entry, Meter
from abm.bench.workloads import Workload, check_size, find
from abm.errors import BackendError, ConfigError
from abm.io import state_hash
from abm.memory import refusal
from abm.phases import HALO
from abm.state import Snapshot
from abm.step import Simulation

#: Aimed-at duration of one timed block, s.
BLOCK_S = 0.5
#: A block sets the state back at most so often: on a fast device that takes longer than what is timed.
MAX_CHUNKS = 10
#: Larger lattices are not set back to their start (the copy would not fit) and not hashed: all blocks together stay
#: inside one period.
KEPT_SITES = 1 << 26
#: Start-up is measured at no more than this length: beyond, it is the time to make the tissue.
START_LENGTH = 128
#: The state is hashed after so many steps from the start, so that backends can be compared.
HASHED_STEP = 2

Row = dict[str, Any]
Say = Callable[[str], None]


class Case:
    """A workload at one size on one backend, ready to advance.

    Raises:
        ConfigError: the size cannot be had here.
    """

    def __init__(self, workload: Workload, size: int, backend: Any) -> None:  # noqa: ANN401 - any backend
        """Check, allocate and fill."""
        check_size(size)
        self.workload = workload
        config = workload.config(size)
        if message := refusal(config.patch.shape, backend, bytes_per_site(config)):
            raise ConfigError(message, key="--size")
        self.meter = Meter(backend, lattice_sites(config))
        began = time.perf_counter()
        self.simulation = workload.ready(size, self.meter)
        self.meter.sync()
        self.start_s = time.perf_counter() - began
        self.sites = config.n_sites
        self._start = kept(self.simulation.snapshot()) if self.sites <= KEPT_SITES else None

    def advance(self, steps: int) -> float:
        """Do some steps; return how long they took, s."""
        began = time.perf_counter()
        for _ in range(steps):
            self.workload.step(self.simulation)
        self.meter.sync()
        return time.perf_counter() - began

    def set_back(self) -> None:
        """Return to the start and do one step, so that everything is in place again."""
        if self._start is not None:
            restore(self.simulation, self._start)
            self.advance(1)

    def block(self, steps: int) -> tuple[float, float]:
        """Return the time of ``steps`` steps, s, of at most one period each from the start, and agents per step."""
        seconds, agents, left = 0.0, 0.0, steps
        while left > 0:
            chunk = min(left, self.workload.period)
            self.set_back()
            before = self.simulation.n_agents
            seconds += self.advance(chunk)
            agents += chunk * (before + self.simulation.n_agents) / 2
            left -= chunk
        return seconds, agents / steps

    def steps_per_block(self, limit: int) -> int:
        """Return how many steps last about ``BLOCK_S``."""
        self.set_back()
        return min(max(math.ceil(BLOCK_S / self.advance(1)), 1), limit)

    def hash(self) -> Row | None:
        """Return step and state hash ``HASHED_STEP`` steps on, or None where that takes too much memory."""
        if self._start is None:
            return None
        restore(self.simulation, self._start)
        self.advance(HASHED_STEP)
        return {"step": self.simulation.step, "hash": state_hash(self.simulation.snapshot())}


def kept(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot that nothing else holds arrays of."""
    return replace(snapshot, body={name: array.copy() for name, array in snapshot.body.items()})


def restore(simulation: Simulation, snapshot: Snapshot) -> None:
    """Set a simulation back in place: as ``Simulation.restore`` does, without new arrays."""
    for name, array in snapshot.arrays.items():
        simulation.lattice.load(name, array)
    body = dict(kept(snapshot).body)
    circulation = simulation.circulation
    circulation.hot, circulation.cold = body.pop("circulation_hot"), body.pop("circulation_cold")
    simulation.flux, simulation.last = body.pop("output.flux"), body.pop("last_counts")
    simulation.body.unpack(body)
    simulation.step = snapshot.step
    simulation.ledger.open()
    simulation.lattice.exchange("tissue", "distance")


def lattice_sites(config: Any) -> int:  # noqa: ANN401 - a Config
    """Return the elements of a lattice array, halo included."""
    nz, ny, nx = config.patch.shape
    return int((nz + 2 * HALO) * ny * nx)


def bytes_per_site(config: Any) -> int:  # noqa: ANN401 - a Config
    """Return the bytes of all lattice arrays per site."""
    return Simulation.memory(config)[-1][1]


def measure(name: str, size: int | None, backend: Any, repeats: int, copy_gb_per_s: float | None, say: Say) -> Row:  # noqa: ANN401
    """Return everything measured about one workload.

    Args:
        name: of the workload.
        size: sites along each edge; None: the workload's own.
        backend: where to compute.
        repeats: timed blocks.
        copy_gb_per_s: rate at which this machine copies memory, if known.
        say: takes one line of progress at a time.
    """
    workload = find(name)
    size = workload.size if size is None else size
    say(f"{name} {size}^3 on {backend.name}: starting")
    case = Case(workload, size, backend)
    gc.collect()
    gc.freeze()  # as `abm run` does
    row: Row = {"workload": name, "shape": [size] * 3, "backend": backend.name, "detail": backend.detail}
    row["threads"] = getattr(backend, "threads", None)
    row["state_hash"] = case.hash()
    row |= rates(case, repeats, say)
    say(f"{name}: time by kernel")
    row |= account(case, row, copy_gb_per_s)
    row["memory"] = memory(case, backend)
    del case
    say(f"{name}: start-up")
    row["start"] = start_up(name, min(size, START_LENGTH), backend.name)
    return row


def rates(case: Case, repeats: int, say: Say) -> Row:
    """Time blocks of steps; the median counts, the range is kept."""
    period, is_kept = case.workload.period, case.sites <= KEPT_SITES
    steps = case.steps_per_block(period * MAX_CHUNKS if is_kept else max(1, (period - 2) // repeats))
    seconds, agents = [], []
    for number in range(repeats):
        duration, present = case.block(steps)
        seconds.append(duration)
        agents.append(present)
        rate = case.sites * steps / seconds[-1]
        say(f"  block {number + 1} of {repeats}: {steps} steps, {rate:.3g} site-updates/s")
    updates = case.sites * steps
    rate = updates / statistics.median(seconds)
    share = statistics.mean(agents) / case.sites
    return {
        "steps_per_block": steps,
        "block_s": [round(value, 6) for value in seconds],
        "site_updates_per_s": rate,
        "site_updates_per_s_range": [updates / max(seconds), updates / min(seconds)],
        "agents_per_site": round(share, 4),
        "agent_updates_per_s": None if case.workload.fields_only else rate * share,
        "start_state_s": round(case.start_s, 3),
        "set_back": is_kept,
    }


def account(case: Case, row: Row, copy_gb_per_s: float | None) -> Row:
    """Meter some steps, apart from the timed ones: time and bytes by kernel, and what is left to body and host."""
    case.set_back()
    steps = min(row["steps_per_block"], case.workload.period)
    with case.meter.metering() as entries:
        whole = case.advance(steps)
    entries["body and host"] = Entry(steps, max(whole - sum(e.seconds for e in entries.values()), 0.0))
    per_site = sum(e.bytes for e in entries.values()) / (case.sites * steps)
    gb_per_s = per_site * row["site_updates_per_s"] / 1e9
    return {
        "bytes_per_site_step": round(per_site, 2),
        "moved_gb_per_s": round(gb_per_s, 3),
        "copy_gb_per_s": copy_gb_per_s,
        "share_of_copy": round(gb_per_s / copy_gb_per_s, 4) if copy_gb_per_s else None,
        "metered_step_ms": round(whole / steps * 1e3, 4),
        "phases": {name: phase(entry, case.sites, steps) for name, entry in by_time(entries)},
    }


def by_time(entries: dict[str, Entry]) -> Iterable[tuple[str, Entry]]:
    """Return the entries, longest first."""
    return sorted(entries.items(), key=lambda item: -item[1].seconds)


def phase(entry: Entry, sites: int, steps: int) -> Row:
    """Return one line of the account."""
    rate = entry.bytes / entry.seconds / 1e9 if entry.seconds and entry.bytes else None
    return {
        "ms_per_step": round(entry.seconds / steps * 1e3, 4),
        "calls_per_step": round(entry.calls / steps, 2),
        "bytes_per_site": round(entry.bytes / (sites * steps), 2),
        "gb_per_s": None if rate is None else round(rate, 2),
    }


def memory(case: Case, backend: Any) -> Row:  # noqa: ANN401
    """Return what the lattice takes."""
    config = case.simulation.config
    per_site = bytes_per_site(config)
    nz = config.patch.shape[0]
    found: Row = {
        "bytes_per_site": per_site,
        "with_halo_bytes_per_site": round(per_site * (nz + 2 * HALO) / nz, 2),
    }
    if ask := getattr(backend, "memory", None):
        free, total = ask()
        found["device_used_bytes_per_site"] = round((total - free) / case.sites, 2)
    return found


def start_up(name: str, size: int, backend: str) -> Row:
    """Return how long a new process takes to its first step, with an empty kernel cache and with a filled one."""
    row: Row = {"shape": [size] * 3}
    with tempfile.TemporaryDirectory(prefix="abm-bench-") as cache:
        for state in ("cold", "warm"):
            began = time.perf_counter()
            said = first_step(name, size, backend, cache)
            row[f"{state}_s"] = round(time.perf_counter() - began, 3)
    row["warm_parts"] = said["parts"]
    row["peak_rss_bytes_per_site"] = said["peak_rss_bytes_per_site"]
    return row


def first_step(name: str, size: int, backend: str, cache: str) -> Row:
    """Run ``abm.bench.first_step`` with its own kernel caches and return what it says."""
    package = str(Path(resources.__file__).resolve().parents[1])
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    caches = {"ABM_CACHE_DIR": cache, "CUPY_CACHE_DIR": cache, "CUDA_CACHE_PATH": cache}
    done = subprocess.run(
        [sys.executable, "-m", "abm.bench.first_step", name, str(size), backend],
        env=os.environ | caches | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BackendError(f"a new process cannot do a first step: {done.stderr.strip()[-500:]}")
    said: Row = json.loads(done.stdout)
    return said
