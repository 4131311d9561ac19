"""Measure how the time of a step grows with the lattice: a site must cost the same in a small one and in a large one.

    python -m benchmarks.linearity                  four sizes of healthy marrow, full rules
    python -m benchmarks.linearity --quick          the first two
    python -m benchmarks.linearity --workload marrow-lite

All shapes are timed over the same steps of the patient; a shape is started anew for each of the repeats, and shapes
take turns, so that a change of the machine's load meets all of them.
"""

from __future__ import annotations

import argparse
import gc
import math
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
from abm.bench.workloads import WORKLOADS, find
from abm.config import load_config
from abm.errors import AbmError

Shape = tuple[int, int, int]
Row = dict[str, Any]
RESULTS = Path(__file__).resolve().parent / "results"
SHAPES: tuple[Shape, ...] = ((64, 64, 64), (128, 128, 128), (256, 256, 256), (256, 512, 512))
#: Steps that are timed after one that is not; a small lattice repeats its start until so many sites were advanced.
STEPS, SITES = 6, 1 << 24


def time_of_a_site(name: str, shape: Shape, backend: Any) -> list[float]:  # noqa: ANN401 - any backend
    """Return the time per site-update, ns, of one or more patients of a shape over the same steps."""
    workload = find(name)
    config = load_config(resources.folder("scenarios") / workload.scenario, [f"patch.shape={list(shape)}"])
    found = []
    for _ in range(max(1, SITES // math.prod(shape) // STEPS)):
        simulation = workload.start(config, backend)
        workload.step(simulation)
        gc.collect()
        backend.sync()
        began = time.perf_counter()
        for _ in range(STEPS):
            workload.step(simulation)
        backend.sync()
        found.append((time.perf_counter() - began) / STEPS / config.n_sites * 1e9)
        del simulation
    return found


def measure(name: str, shapes: Sequence[Shape], backend: Any, repeats: int) -> list[Row]:  # noqa: ANN401
    """Return one row per shape: median and range of the time per site-update."""
    times: dict[Shape, list[float]] = {shape: [] for shape in shapes}
    for number in range(repeats):
        for shape in shapes:
            times[shape] += time_of_a_site(name, shape, backend)
            say(f"{number + 1} of {repeats}: {written(shape)}: {times[shape][-1]:.1f} ns")
    return [
        {
            "shape": list(shape),
            "ns_per_site_update": round(statistics.median(found), 3),
            "range": [round(min(found), 3), round(max(found), 3)],
        }
        for shape, found in times.items()
    ]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table, each against the cheapest."""
    least = min(row["ns_per_site_update"] for row in rows)
    lines = ["| sites | ns per site-update | range | over the cheapest |", "|---|---|---|---|"]
    for row in rows:
        value, (low, high) = row["ns_per_site_update"], row["range"]
        lines.append(f"| {written(row['shape'])} | {value:.1f} | {low:.1f} - {high:.1f} | {value / least - 1:+.0%} |")
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
    parser.add_argument("--repeats", type=int, default=3, help="default 3")
    parser.add_argument("--quick", action="store_true", help="only the two smallest")
    arguments = parser.parse_args()
    backend, _ = choose(arguments.backend)
    made = machine.provenance() | {
        "load_before": os.getloadavg()[0],
        "workload": arguments.workload,
        "backend": backend.detail,
    }
    made["linearity"] = measure(
        arguments.workload, SHAPES[:2] if arguments.quick else SHAPES, backend, max(arguments.repeats, 1)
    )
    print(table(made["linearity"]))
    path = RESULTS / f"{made['date'][:10]}-linearity-{arguments.workload}.json"
    say(f"written: {os.path.relpath(results.write(made, path))}")


if __name__ == "__main__":
    try:
        main()
    except AbmError as error:
        sys.exit(f"error: {error}")
