"""The command ``abm bench``. Imports of weight happen inside, so that ``--help`` is instant."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from abm.cli_options import BACKEND

#: Exit code of `abm bench --compare` if something became slower.
EXIT_SLOWER = 1


@click.command(
    epilog="""\b
Workloads, and their sizes (sites along each edge):
  marrow-lite      100  the lattice alone, as every framework can state it
  hsct-full         64  leukaemic marrow before transplantation, full rules
  homeostasis-256  256  healthy marrow, full rules, far larger than the caches
  motile-heavy      64  a lymphocyte on every fifth site, full rules
  fields           128  sweeps of the diffusing fields alone
Without a workload: marrow-lite, hsct-full and fields.

\b
Examples:
  abm bench marrow-lite
  abm bench marrow-lite --size 256 --backend cuda --json
  abm bench --out old.json          now, on an idle machine
  abm bench --compare old.json      later; exit code 1 if anything became slower
"""
)
@click.argument("workload", required=False)
@click.option("--size", type=int, metavar="N", help="Sites along each edge, instead of the workload's own.")
@BACKEND
@click.option(
    "--repeats", type=click.IntRange(5), default=7, show_default=True, help="Timed blocks; the median counts."
)
@click.option("--threads", type=click.IntRange(1), help="Threads of the host backend.  [default: all cores]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the JSON to a file, or as DATE-MACHINE.json into a folder."
)
@click.option("--compare", type=click.Path(path_type=Path), metavar="OLD.json", help="Compare with a file of --out.")
def bench(
    workload: str | None,
    size: int | None,
    backend: str,
    repeats: int,
    threads: int | None,
    as_json: bool,
    out: Path | None,
    compare: Path | None,
) -> None:
    """Measure site-updates per second, memory traffic, time by kernel and start-up on WORKLOAD.

    Progress goes to stderr. Measure on an idle machine: one busy neighbour costs the host backend far more than its
    share of the processor.
    """
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read when the kernels are loaded
    from abm.bench import results, session
    from abm.bench.workloads import DEFAULT

    if compare:
        results.read(compare)  # a wrong file is told before anything is measured
    if out:
        results.check_out(out)
    asked = [(name, size) for name in ((workload,) if workload else DEFAULT)]
    made, rows = session.run(asked, backend, repeats, lambda line: click.echo(line, err=True))
    document = results.document(made, rows)
    if out:
        click.echo(f"written: {results.write(document, out)}", err=True)
    click.echo(json.dumps(document) if as_json else "\n".join(line for row in rows for line in results.table(row)))
    changes = list(results.compare(made, rows, compare)) if compare else []
    for line, _ in changes:
        click.echo(line, err=as_json)
    if any(slower for _, slower in changes):
        sys.exit(EXIT_SLOWER)
