"""Our engine and other frameworks side by side on marrow-lite: blocks of both in turn, and the ratio of each pair."""

from __future__ import annotations

import importlib
import math
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from abm.bench.measure import Case
from abm.bench.workloads import find
from abm.cells import Count, Kind

WORKLOAD = "marrow-lite"
#: Sites along each edge, largest first: the first at which a step of the peer takes at most so long is measured.
SIZES, LONGEST_STEP_S = (100, 64, 48, 32), 5.0
#: The size at which that is found out.
TRIAL_SIZE = 24
#: Aimed-at duration of one timed block, s.
BLOCK_S = 0.5
MAX_CHUNKS = 10
#: Steps that are timed from a fresh start, at most; one before them is not.
PERIOD = find(WORKLOAD).period

Row = dict[str, Any]
Say = Callable[[str], None]


def versus(peers: dict[str, str], backends: list[Any], repeats: int, seed: int, say: Say) -> Iterator[Row]:
    """Yield one result per peer and backend of ours; a peer that cannot run here yields the reason.

    Args:
        peers: module by name.
        backends: ours.
        repeats: pairs of blocks.
        seed: of the first cells, of the peer's random numbers and of ours.
        say: takes one line of progress at a time.
    """
    for name, module_name in peers.items():
        module, reason = load(module_name)
        if reason:
            say(f"{name}: not measured: {reason}")
            yield {"peer": name, "reason": reason}
            continue
        size, steps = extent(module, seed)
        for backend in backends:
            say(f"{name} against {backend.name}, {size}^3 sites, {steps} steps a block")
            yield {"peer": name, "version": installed(name)} | pairs(module, backend, size, steps, repeats, seed, say)


def load(module_name: str) -> tuple[Any, str]:
    """Return the module of a peer, or the reason why it cannot run."""
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        return None, str(error)
    return module, module.available()


def extent(module: Any, seed: int) -> tuple[int, int]:  # noqa: ANN401 - the module of a peer
    """Return the size at which a peer is measured and the steps of a block."""
    model = module.Model(TRIAL_SIZE, seed)
    timed(model.step)
    per_site = timed(model.step) / TRIAL_SIZE**3
    size = next((size for size in SIZES if per_site * size**3 <= LONGEST_STEP_S), SIZES[-1])
    steps = math.ceil(BLOCK_S / (per_site * size**3))
    return size, min(max(steps, 1), PERIOD * MAX_CHUNKS)


def pairs(module: Any, backend: Any, size: int, steps: int, repeats: int, seed: int, say: Say) -> Row:  # noqa: ANN401
    """Time blocks of ours and of the peer in turn."""
    case = Case(find(WORKLOAD), size, backend)
    our_steps = case.steps_per_block(PERIOD * MAX_CHUNKS)
    ours: list[float] = []
    theirs: list[float] = []
    counts: Row = {}
    for number in range(repeats):
        ours.append(size**3 * our_steps / case.block(our_steps)[0])
        seconds, counts = peer_block(module, size, steps, seed)
        theirs.append(size**3 * steps / seconds)
        say(f"  pair {number + 1} of {repeats}: {ours[-1]:.3g} and {theirs[-1]:.3g} site-updates/s")
    return {
        "backend": backend.name,
        "shape": [size] * 3,
        "seed": seed,
        "steps_per_block": [our_steps, steps],
        "ours": spread(ours),
        "theirs": spread(theirs),
        "ratio": spread([one / other for one, other in zip(ours, theirs, strict=True)]),
        "counts_after": (steps - 1) % PERIOD + 2,
        "their_counts": counts,
        "our_counts": our_counts(case, (steps - 1) % PERIOD + 1),
    }


def peer_block(module: Any, size: int, steps: int, seed: int) -> tuple[float, Row]:  # noqa: ANN401
    """Return the time of ``steps`` steps, each ``PERIOD`` of them on a fresh model, and the cells at the end."""
    seconds = 0.0
    while steps > 0:
        chunk = min(steps, PERIOD)
        model = module.Model(size, seed)
        model.step()  # not timed: compiles, touches memory
        seconds += timed(lambda: [model.step() for _ in range(chunk)])  # noqa: B023 - called at once
        steps -= chunk
    return seconds, dict(model.counts())


def our_counts(case: Case, steps: int) -> Row:
    """Return our numbers of cells after one step and ``steps`` more, by the names the peers use."""
    case.set_back()
    case.advance(steps)
    by_kind = case.simulation.last[Count.POPULATION].sum(axis=1)
    tumour, normal, t_cells = (int(by_kind[kind]) for kind in (Kind.BLAST, Kind.MPP, Kind.CD8_EFFECTOR))
    return {"resident": normal + tumour, "tumour": tumour, "t_cells": t_cells}


def spread(values: list[float]) -> Row:
    """Return median and range."""
    return {"median": statistics.median(values), "range": [min(values), max(values)], "values": values}


def installed(name: str) -> str | None:
    """Return the version of the framework, if it is a package of this name."""
    for package in (name, f"{name}-cuda13x", f"{name}-cuda12x"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None


def timed(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes, s."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
