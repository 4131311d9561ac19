"""A new process up to its first step: ``python -m abm.bench.first_step WORKLOAD SIZE BACKEND`` prints JSON."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_rss() -> int:
    """Return the most memory this process has held, bytes; 0 where the system does not say."""
    # not getrusage: its figure is inherited from the process that started this one
    found = re.search(r"^VmHWM:\s*(\d+) kB$", _STATUS.read_text() if _STATUS.exists() else "", re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def main(name: str, size: int, backend_name: str) -> None:
    """Do it and say how long each part took, s."""
    marks = [time.perf_counter()]
    from abm.backends import choose
    from abm.bench.workloads import find

    marks.append(time.perf_counter())
    backend, _ = choose(backend_name)
    marks.append(time.perf_counter())
    before = peak_rss()
    workload = find(name)
    simulation = workload.start(workload.config(size), backend)
    marks.append(time.perf_counter())
    workload.step(simulation)
    backend.sync()
    marks.append(time.perf_counter())
    names = ("import", "backend", "state", "step")
    parts = {part: round(end - start, 3) for part, start, end in zip(names, marks, marks[1:], strict=False)}
    per_site = round((peak_rss() - before) / size**3, 1) if before else None
    print(json.dumps({"parts": parts, "peak_rss_bytes_per_site": per_site}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
