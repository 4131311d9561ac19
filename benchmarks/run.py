"""Measure all workloads on every backend of this machine, and other frameworks beside them.

    python -m benchmarks.run                        all workloads on all backends that are here
    python -m benchmarks.run --peers                and the frameworks of benchmarks/peers
    python -m benchmarks.run --workload fields --backend host
    python -m benchmarks.run --render               only redraw table and plot from results/

What is measured, and how, is ``abm bench`` (README.md). Results go to ``results/<date>-<label>.json``; table and plot
in README.md are made from the newest of them.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from abm.backends import choose
from abm.bench import machine, results, session
from abm.bench.workloads import WORKLOADS
from abm.errors import AbmError, BackendError
from benchmarks import render
from benchmarks.versus import versus

BACKENDS = ("numpy", "host", "cuda")


def main() -> None:
    """Run what was asked for, write the results, redraw the page."""
    arguments = parse_arguments()
    if not arguments.render:
        write(measure_all(arguments), arguments)
    if not arguments.out:
        render.render()


def parse_arguments() -> argparse.Namespace:
    """Return the command line's choices."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", choices=WORKLOADS, action="append", help="default: all")
    parser.add_argument("--backend", choices=BACKENDS, action="append", help="default: all that are here")
    parser.add_argument("--peers", action="store_true", help="also the frameworks of benchmarks/peers")
    parser.add_argument("--only-peers", action="store_true", help="nothing but them")
    parser.add_argument("--peer", action="append", help="only these of them")
    parser.add_argument("--repeats", type=int, default=7, help="timed blocks, at least 5 (default 7)")
    parser.add_argument("--label", help="part of the result file's name (default: processor and cores)")
    parser.add_argument("--out", type=Path, help="write this file instead, and leave README.md as it is")
    parser.add_argument("--render", action="store_true", help="measure nothing, redraw README.md from results/")
    arguments = parser.parse_args()
    if arguments.repeats < 5:
        parser.error("--repeats: at least 5, a median of fewer says little")
    return arguments


def measure_all(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return one document with everything measured."""
    made = machine.provenance()
    backends = present(arguments.backend or BACKENDS)
    rows: list[dict[str, Any]] = []
    chosen = [case for case in render.CASES if not arguments.workload or case[0] in arguments.workload]
    for case in [] if arguments.only_peers else chosen:
        for name in backends:
            try:
                rows += session.run([case], name, arguments.repeats, say)[1]
            except AbmError as error:  # such as a lattice too large for this machine: the others go on
                say(f"{case[0]} {case[1]}^3 on {name}: not measured: {error}")
    made |= {"results": rows}
    if arguments.peers or arguments.only_peers or arguments.peer:
        from benchmarks.peers.model import PEERS

        peers = {name: module for name, module in PEERS.items() if not arguments.peer or name in arguments.peer}
        ours = [choose(name)[0] for name in backends if name != "numpy"]
        made["peers"] = list(versus(peers, ours, arguments.repeats, seed=1, say=say))
    return made


def present(names: tuple[str, ...] | list[str]) -> list[str]:
    """Return the backends that can be had here, and say why others cannot."""
    found = []
    for name in names:
        try:
            choose(name)
        except BackendError as error:
            say(f"{name}: not measured: {str(error).splitlines()[0]}")
        else:
            found.append(name)
    return found


def write(made: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Write one result file."""
    folder, label = render.RESULTS, arguments.label
    folder.mkdir(exist_ok=True)
    path = arguments.out or (folder / f"{made['date'][:10]}-{label}.json" if label else folder)
    say(f"written: {os.path.relpath(results.write(made, path))}")


def say(line: str) -> None:
    """Print one line of progress."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except AbmError as error:
        sys.exit(f"error: {error}")
