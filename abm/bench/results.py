"""Results as one JSON document and as a table; comparison with an earlier document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from abm.bench.machine import FORMAT, FORMAT_VERSION, label
from abm.errors import ConfigError

#: A workload is slower if its median is below this share of the old one and below all of the old blocks.
TOLERANCE = 0.9

Row = dict[str, Any]


def document(provenance: Row, rows: Sequence[Row]) -> Row:
    """Return what is printed or written: of one workload a flat object, of several their list."""
    return provenance | (rows[0] if len(rows) == 1 else {"results": list(rows)})


def write(made: Row, out: Path) -> Path:
    """Write a document to a file, or under ``<date>-<label>.json`` into a directory; return the file.

    Raises:
        ConfigError: it cannot be written.
    """
    path = out / f"{made['date'][:10]}-{label(made['machine'])}.json" if out.is_dir() else out
    try:
        path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=path, key="--out") from None
    return path


def check_out(out: Path) -> None:
    """Refuse an output that cannot be written, before anything is measured.

    Raises:
        ConfigError: there is no such directory.
    """
    if not out.is_dir() and not out.absolute().parent.is_dir():
        raise ConfigError("expected a directory, or a file in a directory that exists", file=out, key="--out")


def read(path: Path) -> tuple[Row, list[Row]]:
    """Return an earlier document and its results.

    Raises:
        ConfigError: it is not one that ``abm bench`` wrote.
    """
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read these results: {error.strerror}", file=path) from None
    except UnicodeDecodeError:
        raise ConfigError("expected JSON written by `abm bench`, found other bytes", file=path) from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"expected JSON written by `abm bench`: {error.msg}", file=path, line=error.lineno) from None
    found = made.get("format") if isinstance(made, dict) else None
    if found != FORMAT:
        raise ConfigError(
            f'expected "{FORMAT}" (a file of `abm bench`), found {json.dumps(found)}', file=path, key="format"
        )
    if made.get("format_version") != FORMAT_VERSION:
        message = f"expected {FORMAT_VERSION}, found {json.dumps(made.get('format_version'))}"
        raise ConfigError(message, file=path, key="format_version")
    rows = made.get("results", [made])
    if not isinstance(rows, list) or not (rows or made.get("peers")):
        raise ConfigError("expected a list of at least one result", file=path, key="results")
    for number, row in enumerate(rows):
        _check_row(path, f"results[{number}]." if "results" in made else "", row)
    return made, rows


def _check_row(path: Path, prefix: str, row: Any) -> None:  # noqa: ANN401 - any JSON
    """Refuse a result that lacks what a comparison needs."""
    if not isinstance(row, dict):
        raise ConfigError("expected an object", file=path, key=prefix.rstrip("."))
    expected: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "workload": ("text", lambda v: isinstance(v, str)),
        "backend": ("text", lambda v: isinstance(v, str)),
        "shape": ("three whole numbers", lambda v: _numbers(v, 3)),
        "site_updates_per_s": ("a number > 0", lambda v: _numbers([v], 1)),
        "site_updates_per_s_range": ("two numbers > 0", lambda v: _numbers(v, 2)),
    }
    for key, (what, fits) in expected.items():
        if not fits(row.get(key)):
            found = json.dumps(row.get(key)) if key in row else "nothing"
            raise ConfigError(f"expected {what}, found {found}", file=path, key=prefix + key)


def _numbers(values: Any, count: int) -> bool:  # noqa: ANN401 - any JSON
    good = isinstance(values, list) and len(values) == count
    return good and all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in values)


def compare(made: Row, rows: Sequence[Row], path: Path) -> Iterator[tuple[str, bool]]:
    """Yield a line for each result that has an earlier one in ``path``, and whether it is slower for certain.

    Slower is a median below ``TOLERANCE`` of the old one and below the slowest of the old blocks.

    Raises:
        ConfigError: the file holds none of these workloads at this size on this backend.
    """
    old, before = read(path)
    known = {_key(row): row for row in before}
    if not any(_key(row) in known for row in rows):
        held = "; ".join(_name(row) for row in before)
        raise ConfigError(f"expected an earlier result of {'; '.join(map(_name, rows))}; it holds {held}", file=path)
    if not same_machine(made, old):
        yield f"WARNING: {path} comes from another machine or another number of threads", False
    for row in rows:
        if earlier := known.get(_key(row)):
            yield _change(row, earlier)
        else:
            yield f"{_name(row)}: no earlier result", False


def _change(row: Row, earlier: Row) -> tuple[str, bool]:
    now, then = row["site_updates_per_s"], earlier["site_updates_per_s"]
    low, high = earlier["site_updates_per_s_range"]
    slower = now < TOLERANCE * then and now < low
    verdict = "SLOWER" if slower else "faster" if now > max(then / TOLERANCE, high) else "as before"
    return f"{_name(row)}: {verdict}, {now / then:.2f} of {then:.3g} site-updates/s ({low:.3g} .. {high:.3g})", slower


def same_machine(made: Row, old: Row) -> bool:
    """Whether two documents come from like machines."""
    keys = ("cpu", "cores", "gpu", "omp_num_threads")
    machines = [document.get("machine") or {} for document in (made, old)]
    return all(machines[0].get(key) == machines[1].get(key) for key in keys)


def _key(row: Row) -> tuple[Any, ...]:
    return row["workload"], tuple(row["shape"]), row["backend"]


def _name(row: Row) -> str:
    return f"{row['workload']} {'x'.join(str(n) for n in row['shape'])} on {row['backend']}"


def table(row: Row) -> Iterator[str]:
    """Yield one result for people."""
    low, high = row["site_updates_per_s_range"]
    yield f"{_name(row)} ({row['detail']})"
    blocks = f"{len(row['block_s'])} blocks of {row['steps_per_block']} steps"
    yield _line("site-updates/s", f"{row['site_updates_per_s']:.3g} ({low:.3g} .. {high:.3g}; {blocks})")
    if row["agent_updates_per_s"]:
        yield _line(
            "agent-updates/s", f"{row['agent_updates_per_s']:.3g} ({row['agents_per_site']:.2f} agents per site)"
        )
    share, copied = row["share_of_copy"], row["copy_gb_per_s"]
    of_copy = f": {share:.0%} of the {copied:.3g} GB/s that a copy makes" if share else ""
    traffic = f"{row['bytes_per_site_step']:.0f} bytes per site and step, {row['moved_gb_per_s']:.3g} GB/s"
    yield _line("traffic", traffic + of_copy)
    memory, start = row["memory"], row["start"]
    halo = f"{memory['bytes_per_site']} bytes per site, {memory['with_halo_bytes_per_site']:.0f} with the halo"
    peak = start["peak_rss_bytes_per_site"]
    yield _line("memory", halo + (f"; up to the first step the process took {peak:.0f}" if peak else ""))
    size = "x".join(str(n) for n in start["shape"])
    yield _line("first step", f"after {start['cold_s']:.2f} s, {start['warm_s']:.2f} s with compiled kernels ({size})")
    yield from _account(row)


def _line(what: str, text: str) -> str:
    return f"  {what:<18} {text}"


def _account(row: Row) -> Iterator[str]:
    yield _line("time by kernel", f"{'share':>6} {'ms/step':>9} {'calls':>6} {'B/site':>7} {'GB/s':>7}")
    whole = sum(phase["ms_per_step"] for phase in row["phases"].values()) or 1.0
    for name, phase in row["phases"].items():
        rate = "" if phase["gb_per_s"] is None else f"{phase['gb_per_s']:.1f}"
        share, calls, moved = phase["ms_per_step"] / whole, phase["calls_per_step"], phase["bytes_per_site"]
        yield _line(name, f"{share:>6.1%} {phase['ms_per_step']:>9.3f} {calls:>6.3g} {moved:>7.1f} {rate:>7}")
