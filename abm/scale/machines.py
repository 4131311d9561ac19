"""Figures of machines, each with its source: given, measured, a data sheet, or assumed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite, prod
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from abm import resources
from abm.bench.meter import HOMING, OTHERS, Meter
from abm.cells import Kind, Origin, Specificity
from abm.config import Config
from abm.domain import Domain
from abm.errors import ConfigError
from abm.memory import host_memory
from abm.phases import HALO
from abm.scale.count import count
from abm.setup import Model
from abm.step import Simulation
from abm.tables import did_you_mean

#: Accelerators: memory, GB, and its bandwidth, GB/s (NVIDIA data sheets, SXM forms; A100 with 80 GB).
GPUS = {"a100": (80.0, 2039.0), "h100": (80.0, 3350.0), "h200": (141.0, 4800.0)}
DEVICES = ("host", *GPUS)
#: Share of the bandwidth that the kernels of a GPU are assumed to reach until they are measured; 0.39 to 0.56 of the
#: copy rate were measured on the host backend.
SHARE = 0.30

#: Unit of each figure, and what it says.
UNITS = {
    "rate": ("site-updates/s", "kernels of one rank on a thick slab"),
    "memory": ("GB", "of a device; on the host, of a node"),
    "step_s": ("s", "body, Python and launches of a step, on every rank at once"),
    "candidates": ("per site", "sites tried in a step by cells from the blood, over sites of the lattice"),
    "candidate_s": ("s", "to draw and settle one of them; every rank does all of them"),
    "motile": ("per site", "cells of the motile layer, which travel as a list, over sites"),
    "copy": ("GB/s", "between arrays and message buffers"),
    "copy_us": ("us", "each such copy, besides"),
    "node_link": ("GB/s", "between ranks of a node"),
    "link": ("GB/s", "between nodes, each way"),
    "latency": ("us", "each exchange, and each stage of a collective"),
    "cores": ("", "that pack the files of one rank"),
    "pack": ("GB/s", "of raw state that a core hashes and compresses"),
    "stored": ("B/site", "in a checkpoint"),
    "files": ("GB/s", "of the file system, for all ranks together"),
}
_HERE = "measured: 2 cores of an AMD EPYC"

#: Seconds of computing behind figures of this machine, at most this many sites along each edge, and candidates tried.
TRIAL_S, TRIAL_LENGTH, TRIAL_CELLS = 2.0, 128, 4000


class Figure(NamedTuple):
    """A number of a machine and where it comes from."""

    value: float
    source: str


@dataclass(frozen=True)
class Machine:
    """What ranks run on.

    Attributes:
        device: one of ``DEVICES``.
        figures: by the names of ``UNITS``.
        node: ranks of a node.
        node_cores: cores that ranks of a node share for computing; 0: each rank has a device of its own.
        threads: of a rank that computes on the host.
    """

    device: str
    figures: Mapping[str, Figure]
    node: int
    node_cores: int = 0
    threads: int = 1

    def __getitem__(self, name: str) -> float:
        """Return a figure by name."""
        return self.figures[name].value

    def slow(self, ranks: int) -> float:
        """Return how many times slower ranks compute that share too few cores."""
        return max(1.0, min(ranks, self.node) * self.threads / self.node_cores) if self.node_cores else 1.0


class Options(NamedTuple):
    """What a user may say of a machine; ``None``: the default."""

    ranks: int | None = None
    device: str | None = None
    rate: float | None = None
    link: float | None = None
    latency: float | None = None
    ranks_per_node: int | None = None
    checkpoint_gb_per_s: float | None = None

    @property
    def asked(self) -> bool:
        """Whether anything was said."""
        return any(value is not None for value in self)

    def check(self) -> None:
        """Refuse what no machine can have.

        Raises:
            ConfigError: which option, and what was expected.
        """
        if self.device is not None and self.device not in DEVICES:
            raise ConfigError(f"no such device {self.device!r}{did_you_mean(self.device, DEVICES)}", key="--device")
        for name, value in self._asdict().items():
            low = 1 if name in ("ranks", "ranks_per_node") else 0
            if isinstance(value, int | float) and not (isfinite(value) and value >= low and value > 0):
                expected = "a whole number >= 1" if low else "a number > 0"
                raise ConfigError(f"expected {expected}, found {value:g}", key=f"--{name.replace('_', '-')}")


def machine(model: Model, options: Options, backend: Any) -> Machine:  # noqa: ANN401 - any backend
    """Return the machine that is meant.

    Args:
        model: of the run, whose traffic and candidates count.
        options: what the user says, checked.
        backend: for figures of this machine; runs for some seconds, unless the device is a GPU or the rate is given.
    """
    device = options.device or "host"
    if device == "host":
        figures = _host(model, options, backend)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = min(getattr(backend, "threads", 1), cores)
        node = options.ranks_per_node or max(1, cores // threads)
        figures["cores"] = Figure(max(1.0, cores / node), "measured: cores of this machine over ranks of a node")
        made = Machine(device, figures, node, cores, threads)
    else:
        made = Machine(device, _gpu(model, device), options.ranks_per_node or 8)
    given = (options.rate, options.link, options.latency, options.checkpoint_gb_per_s)
    told = zip(("rate", "link", "latency", "files"), given, strict=True)
    return replace(made, figures={**made.figures, **{k: Figure(v, "given") for k, v in told if v is not None}})


def _common() -> dict[str, Figure]:
    return {
        "step_s": Figure(1.5e-3, f"{_HERE}, 64^3 sites"),
        "candidates": Figure(2.4e-3, "measured: healthy human marrow, 64^3 to 256^3 sites"),
        "motile": Figure(0.010, "measured: healthy human marrow, 64^3 sites"),
        "candidate_s": Figure(1e-7, f"{_HERE}, 128^3 sites"),
        "node_link": Figure(8.0, f"{_HERE}, MPICH, 16 MiB to either side"),
        "latency": Figure(10.0, "assumed; 5 us measured with MPICH inside a machine"),
        "link": Figure(25.0, "assumed: one adapter of 200 Gbit/s a node"),
        "pack": Figure(0.13, f"{_HERE}, healthy marrow of 256^3 sites"),
        "stored": Figure(6.8, "measured: aml_hsct of 64^3 sites at its end; 4.1 at its start"),
        "cores": Figure(8.0, "assumed"),
    }


#: What was seen of the host beside a GPU: benchmarks/NOTES.md.
_BESIDE = "measured: 16 cores of a Xeon beside an H200, aml_hsct"
MEASURED = {
    "h200": {
        "step_s": Figure(2.4e-3, f"{_BESIDE} of 64^3 sites, kernels included"),
        "candidate_s": Figure(2.3e-8, f"{_BESIDE} of 480^3 sites: all of a step of 18 ms that no kernel takes"),
    }
}


def _gpu(model: Model, device: str) -> dict[str, Figure]:
    """Return the figures of a GPU: few are measured yet."""
    gigabytes, bandwidth = GPUS[device]
    per_site = count(model, Domain(model.config.patch.shape, HALO)).per_site
    share = f"assumed, not yet measured: {SHARE:.0%} of {bandwidth:g} GB/s (data sheet), {per_site:.0f} B a site"
    return _common() | {
        "rate": published(device) or Figure(SHARE * bandwidth * 1e9 / per_site, share),
        "memory": Figure(gigabytes, "data sheet"),
        "copy": Figure(10.0, "assumed: pageable memory through PCIe"),
        "copy_us": Figure(10.0, "assumed: CuPy call and transfer"),
        "files": Figure(10.0, "assumed: a parallel file system"),
        **MEASURED.get(device, {}),
    }


def published(device: str, folder: Path | None = None) -> Figure | None:
    """Return the rate of a GPU in the newest of ``benchmarks/results`` that has one; None where there is none."""
    folder = folder or resources.folder("kernels").parent / "benchmarks" / "results"
    found: list[tuple[str, float, str]] = []
    for path in folder.glob("*.json"):
        made = json.loads(path.read_text(encoding="utf-8"))
        if device in str((made.get("machine") or {}).get("gpu")).lower():
            found += [
                (made["date"], row["site_updates_per_s"], f"measured: {row['workload']} in {path.name}")
                for row in made.get("results", [made])
                if row.get("backend") == "cuda" and row.get("workload") == "homeostasis-256"
            ]
    return Figure(*max(found)[1:]) if found else None


def _host(model: Model, options: Options, backend: Any) -> dict[str, Figure]:  # noqa: ANN401
    """Return the figures of this machine."""
    figures = _common() | {
        "memory": Figure(host_memory() / 1e9, "measured: free on this machine, which stands for a node"),
        "copy": Figure(_copy_rate(), "measured: copies of 1 MiB on this machine"),
        "copy_us": Figure(2.0, f"{_HERE}"),
        "files": Figure(1.0, "assumed: a local disk"),
    }
    if options.rate is None:
        figures |= trial(model.config, backend)
    return figures


def _copy_rate() -> float:
    """Return GB/s of copies of a size that messages have."""
    source = np.ones(1 << 24, np.uint8)
    target = np.zeros_like(source)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - began)
    return source.size / sorted(seconds)[2] / 1e9


def trial(config: Config, backend: Any) -> dict[str, Figure]:  # noqa: ANN401
    """Return what some seconds of a small patch tell: rate of the kernels, time of all else, candidates."""
    shape = tuple(min(length, TRIAL_LENGTH) for length in config.patch.shape)
    small = config.model_copy(update={"patch": config.patch.model_copy(update={"shape": shape})})
    meter = Meter(backend, (shape[0] + 2 * HALO) * shape[1] * shape[2])
    simulation = Simulation.start(small, meter)
    tried = _note_candidates(simulation)
    simulation.advance()  # not timed: first touch of memory and tables
    tried.clear()
    began, steps = time.perf_counter(), _Steps()
    while not steps.kernels or (time.perf_counter() - began < TRIAL_S and len(steps.kernels) < small.n_steps - 1):
        steps.add(simulation, meter)
    kernels, rest = median(steps.kernels), median(steps.rest)
    thick = count(simulation.model, simulation.domain)
    motile, tries = np.count_nonzero(simulation.lattice.owned("mot_hot")), sum(tried) / len(steps.kernels)
    each = _candidate_s(simulation)
    source = f"measured: {' x '.join(map(str, shape))} sites, {len(steps.kernels)} steps"
    return {
        "rate": Figure(thick.moved / thick.per_site / kernels, f"{source} on {backend.detail}"),
        "step_s": Figure(max(rest - tries * each, 0.0), source),
        "candidates": Figure(tries / prod(shape), source),
        "candidate_s": Figure(each, f"{source}, {TRIAL_CELLS} cells"),
        "motile": Figure(motile / prod(shape), source),
    }


class _Steps:
    """Seconds of each step, in kernels and in all else but exchanges."""

    def __init__(self) -> None:
        self.kernels: list[float] = []
        self.rest: list[float] = []

    def add(self, simulation: Simulation, meter: Meter) -> None:
        """Do a step."""
        began = time.perf_counter()
        with meter.metering() as entries:
            simulation.advance()
        whole = time.perf_counter() - began
        spent = {name: entry.seconds for name, entry in entries.items() if name not in (*HOMING, "transfer")}
        self.kernels.append(sum(seconds for name, seconds in spent.items() if name not in OTHERS.values()))
        self.rest.append(whole - sum(spent.values()))


def _note_candidates(simulation: Simulation) -> list[int]:
    """Return a list that will get the number of candidate sites of each step."""
    tried: list[int] = []
    draw = simulation.circulation.requests

    def requests(*args: Any) -> Any:  # noqa: ANN401
        drawn = draw(*args)
        tried.append(int(drawn.last[-1]))
        return drawn

    simulation.circulation.requests = requests  # type: ignore[assignment]
    return tried


def _candidate_s(simulation: Simulation) -> float:
    """Return the time that one candidate site takes a rank, s."""
    cells = [(Kind.CD4_NAIVE, Origin.HOST, Specificity.NONE, TRIAL_CELLS)]
    seconds = []
    for step in range(3):
        began = time.perf_counter()
        drawn = simulation.circulation.requests(cells, step, simulation.config.step_h)
        simulation.lattice.lodge(step, *drawn)()
        seconds.append((time.perf_counter() - began) / int(drawn.last[-1]))
    return min(seconds)
