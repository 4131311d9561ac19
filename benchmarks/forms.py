"""What each form that only a GPU has brings: ``python -m benchmarks.forms WORKLOAD N STEPS OUT``.

The state is made once, at N x N x N sites, and handed to the CUDA backend with all forms and without each. Blocks of
STEPS steps alternate between them, so that a change of the clock rate meets all. OUT holds a result for each, with the
form that is left out in ``detail``, and the time of each kernel from steps of its own. Exit code 1 if states differ.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from abm.backends import choose
from abm.backends.cuda import FORMS, WITHOUT
from abm.bench import machine, results
from abm.bench.measure import bytes_per_site, kept, lattice_sites, restore
from abm.bench.meter import Meter
from abm.bench.workloads import check_size, find
from abm.errors import AbmError
from abm.io import state_hash
from abm.memory import refusal
from abm.step import Simulation
from benchmarks.merge import different

ROUNDS = 5
#: Steps before a block: of each sort two may have to be recorded, one for each place of the fields.
WARM = 4
METERED = 2

Row = dict[str, Any]


def backends() -> list[Any]:
    """Return the CUDA backend with all forms, and without each."""
    made = []
    for left_out in ("", *FORMS):
        os.environ[WITHOUT] = left_out
        made.append(choose("cuda")[0])
    return made


def measure(name: str, size: int, steps: int, chosen: Sequence[Any]) -> list[Row]:
    """Return a result for each backend.

    Raises:
        ConfigError: the size cannot be had here.
    """
    check_size(size)
    workload = find(name)
    config = workload.config(size)
    if message := refusal(config.patch.shape, chosen[0], bytes_per_site(config) * len(chosen)):
        raise config.error("patch.shape", message)
    first = workload.ready(size, chosen[0])
    start = kept(first.snapshot())
    meters = [Meter(backend, lattice_sites(config)) for backend in chosen]
    patients = [Simulation.restore(config, meter, kept(start)) for meter in meters]
    blocks: list[list[float]] = [[] for _ in chosen]
    for _ in range(ROUNDS):
        for patient, seconds in zip(patients, blocks, strict=True):
            restore(patient, start)
            advance(patient, WARM)
            seconds.append(advance(patient, steps))
    return [
        result(name, patient, steps, seconds) | {"state_hash": hashed(patient), "kernel_ms": metered(patient)}
        for patient, seconds in zip(patients, blocks, strict=True)
    ]


def advance(patient: Simulation, steps: int) -> float:
    """Do some steps; return how long they took, s."""
    patient.backend.sync()
    began = time.perf_counter()
    for _ in range(steps):
        patient.advance()
    patient.backend.sync()
    return time.perf_counter() - began


def result(name: str, patient: Simulation, steps: int, seconds: Sequence[float]) -> Row:
    """Return the rate, as ``abm bench`` writes it."""
    updates = patient.n_sites * steps
    return {
        "workload": name,
        "shape": list(patient.config.patch.shape),
        "backend": patient.backend.name,
        "detail": patient.backend.detail,
        "steps_per_block": steps,
        "block_s": [round(value, 6) for value in seconds],
        "site_updates_per_s": updates / statistics.median(seconds),
        "site_updates_per_s_range": [updates / max(seconds), updates / min(seconds)],
    }


def hashed(patient: Simulation) -> Row:
    """Return the state after the last block."""
    return {"step": patient.step, "hash": state_hash(patient.snapshot())}


def metered(patient: Simulation) -> dict[str, float]:
    """Return the ms of each kernel in a step, launch by launch."""
    with patient.backend.metering() as entries:
        advance(patient, METERED)
    return {name: round(entry.seconds / METERED * 1e3, 4) for name, entry in entries.items()}


def main(name: str, size: int, steps: int, out: Path) -> bool:
    """Measure, write, print a line for each; return whether all states are the same."""
    provenance = machine.provenance()
    rows = measure(name, size, steps, backends())
    results.write(results.document(provenance, rows), out)
    for row in rows:
        print(f"{row['site_updates_per_s']:.3g} site-updates/s: {row['detail']}")
    lines = different(rows)
    print(*lines or ["the same states"], sep="\n")
    return not lines


if __name__ == "__main__":
    try:
        sys.exit(0 if main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])) else 1)
    except AbmError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
