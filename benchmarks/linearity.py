"""Measure how the time of a step grows with the lattice: a site must cost the same in a small one and in a large one.

    python -m benchmarks.linearity                  four sizes of healthy marrow, full rules
    python -m benchmarks.linearity --quick          the first two
    python -m benchmarks.linearity --workload marrow-lite

One patient of each shape stands in memory and they take turns, so that a change of the machine's load meets all of
them; shapes are compared turn by turn, and the median of these ratios counts. In a turn each advances about as many
sites, a small patient by more steps than a large one; the first of them are not timed, as they find the caches full of
another's cells. Healthy marrow is at its steady state, so that it does not matter which steps they are.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from abm import resources
from abm.backends import choose
from abm.bench import machine, results
from abm.bench.workloads import WORKLOADS, Workload, find
from abm.config import load_config
from abm.errors import AbmError
from abm.step import Simulation

Shape = tuple[int, int, int]
Row = dict[str, Any]
RESULTS = Path(__file__).resolve().parent / "results"
SHAPES: tuple[Shape, ...] = ((64, 64, 64), (128, 128, 128), (256, 256, 256), (256, 512, 512))
#: Steps that are timed in a turn, at least; site-updates of a turn, at least; one step in so many is not timed before.
STEPS, SITES, WARM = 5, 1 << 23, 5


def start(workload: Workload, shape: Shape, backend: Any) -> Simulation:  # noqa: ANN401 - any backend
    """Return a patient of a shape before the first step."""
    config = load_config(resources.folder("scenarios") / workload.scenario, [f"patch.shape={list(shape)}"])
    return workload.start(config, backend)


def time_of_a_site(workload: Workload, patient: Simulation) -> float:
    """Return the time per site-update, ns, over the next steps of a patient but the first ones."""
    steps = max(STEPS, SITES // patient.n_sites)
    gc.collect()
    for _ in range(steps // WARM):
        workload.step(patient)
    patient.backend.sync()
    began = time.perf_counter()
    for _ in range(steps):
        workload.step(patient)
    patient.backend.sync()
    return (time.perf_counter() - began) / steps / patient.n_sites * 1e9


def measure(name: str, shapes: Sequence[Shape], backend: Any, turns: int) -> list[Row]:  # noqa: ANN401
    """Return one row per shape: median and range of the time per site-update, and over the cheapest shape."""
    workload = find(name)
    patients = {}
    for shape in shapes:
        patients[shape] = start(workload, shape, backend)
        say(f"started: {written(shape)}")
    times: dict[Shape, list[float]] = {shape: [] for shape in shapes}
    for turn in range(turns):
        for shape, found in times.items():
            found.append(time_of_a_site(workload, patients[shape]))
        say(f"turn {turn + 1} of {turns}: {', '.join(f'{found[-1]:.1f}' for found in times.values())} ns")
    return compare(times)


def compare(times: dict[Shape, list[float]]) -> list[Row]:
    """Return one row per shape from its times turn by turn; the cheapest shape has the least median."""
    cheapest = times[min(times, key=lambda shape: statistics.median(times[shape]))]
    return [
        {
            "shape": list(shape),
            "ns_per_site_update": round(statistics.median(found), 3),
            "range": [round(min(found), 3), round(max(found), 3)],
            "over_cheapest": round(statistics.median(a / b - 1.0 for a, b in zip(found, cheapest, strict=True)), 4),
            "turns": [round(value, 3) for value in found],
        }
        for shape, found in times.items()
    ]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table."""
    lines = ["| sites | ns per site-update | range | over the cheapest |", "|---|---|---|---|"]
    for row in rows:
        value, (low, high) = row["ns_per_site_update"], row["range"]
        lines.append(
            f"| {written(row['shape'])} | {value:.1f} | {low:.1f} - {high:.1f} | {row['over_cheapest']:+.0%} |"
        )
    return "\n".join(lines)


def written(shape: Sequence[int]) -> str:
    """Return a shape as people write it, x first."""
    return " x ".join(str(n) for n in reversed(shape))


def say(line: str) -> None:
    """Print one line of progress."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print a table, write the result."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--workload", choices=[n for n, w in WORKLOADS.items() if not w.burn_in], default="homeostasis-256"
    )
    parser.add_argument("--backend", choices=("host", "numpy", "cuda"), default="host")
    parser.add_argument("--turns", type=int, default=9, help="default 9")
    parser.add_argument("--quick", action="store_true", help="only the two smallest")
    arguments = parser.parse_args()
    backend, _ = choose(arguments.backend)
    made = machine.provenance() | {
        "load_before": os.getloadavg()[0],
        "workload": arguments.workload,
        "backend": backend.detail,
    }
    made["linearity"] = measure(
        arguments.workload, SHAPES[:2] if arguments.quick else SHAPES, backend, max(arguments.turns, 1)
    )
    print(table(made["linearity"]))
    path = RESULTS / f"{made['date'][:10]}-linearity-{arguments.workload}.json"
    say(f"written: {os.path.relpath(results.write(made, path))}")


if __name__ == "__main__":
    try:
        main()
    except AbmError as error:
        sys.exit(f"error: {error}")
