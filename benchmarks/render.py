"""Table and plot of README.md, made from the newest of the files in ``results/``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from abm.bench import results

HERE = Path(__file__).resolve().parent
README, RESULTS = HERE / "README.md", HERE / "results"
PLOT = RESULTS / "site_updates.png"
#: The generated part of README.md stands between these lines.
BEGIN, END = "<!-- results: made by `python -m benchmarks.run --render` -->", "<!-- end of results -->"
#: What is measured: workload and sites along each edge.
CASES = (
    ("marrow-lite", 100),
    ("marrow-lite", 256),
    ("hsct-full", 64),
    ("hsct-full", 128),
    ("homeostasis-256", 256),
    ("motile-heavy", 64),
    ("fields", 128),
)
BACKENDS = ("cuda", "host", "numpy")
COLOURS = {"cuda": "#2a7f3f", "host": "#1f5fa8", "numpy": "#8fa9c4", "peer": "#b06a2c"}
NOT_YET = "not yet measured"

Row = dict[str, Any]
#: (workload, sites along each edge, backend) or (peer, backend) -> result and the document it stands in.
Newest = dict[tuple[Any, ...], tuple[Row, Row]]


#: Words in the names of result files that hold other things than the rate of what ships.
NOT_RATES = {"scaling", "linearity", "forms"}


def render() -> None:
    """Rewrite the generated part of README.md, and the plot."""
    rows, peers = newest(RESULTS)
    draw(rows, peers)
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text("\n".join([before + BEGIN, "", *page(rows, peers), "", END]) + after, encoding="utf-8")


def newest(folder: Path) -> tuple[Newest, Newest]:
    """Return the newest result of every case and of every peer."""
    rows: Newest = {}
    peers: Newest = {}
    files = [results.read(path) for path in folder.glob("*.json") if not NOT_RATES & set(path.stem.split("-"))]
    for document, found in sorted(files, key=lambda file: str(file[0]["date"])):
        rows |= {(row["workload"], row["shape"][0], row["backend"]): (row, document) for row in found}
        peers |= {(row["peer"], row["backend"]): (row, document) for row in document.get("peers", []) if "ratio" in row}
    return rows, peers


def page(rows: Newest, peers: Newest) -> Iterator[str]:
    """Yield the lines of the generated part."""
    yield "| workload | sites | backend | site-updates/s | range | traffic, of copy rate | machine, date |"
    yield "|---|---|---|---|---|---|---|"
    for workload, size in cases(rows):
        for backend in BACKENDS:
            if (workload, size) not in CASES and (workload, size, backend) not in rows:
                continue
            cells = result(*rows[key]) if (key := (workload, size, backend)) in rows else [NOT_YET, "", "", ""]
            yield f"| {' | '.join([f'`{workload}`', f'{size}^3', backend, *cells])} |"
    if rows or peers:
        yield ""
        yield f"![Site-updates per second by workload, backend and framework]({PLOT.relative_to(HERE).as_posix()})"
    if peers:
        yield ""
        yield "| framework | sites | its site-updates/s | ours | ours / its, pair by pair | machine, date |"
        yield "|---|---|---|---|---|---|"
        for row, document in sorted(peers.values(), key=lambda found: -found[0]["ratio"]["median"]):
            yield f"| {' | '.join(against(row, document))} |"


def cases(rows: Newest) -> list[tuple[str, int]]:
    """Return what the page shows: the cases that are always measured, and what else was."""
    return [*CASES, *sorted({(workload, size) for workload, size, _ in rows} - set(CASES))]


def result(row: Row, document: Row) -> list[str]:
    """Return the cells of one result."""
    low, high = row["site_updates_per_s_range"]
    share = f"{row['share_of_copy']:.0%}" if row.get("share_of_copy") else ""
    traffic = f"{row['bytes_per_site_step']:.0f} B/site, {share}" if share else ""
    return [
        f"**{row['site_updates_per_s']:.2g}**",
        f"{low:.2g} - {high:.2g}",
        traffic,
        origin(document, row["backend"], threads_of(row)),
    ]


def against(row: Row, document: Row) -> list[str]:
    """Return the cells of one comparison."""
    name = f"{row['peer']} {row['version']}" if row.get("version") else row["peer"]
    low, high = row["ratio"]["range"]
    ours = f"{row['ours']['median']:.2g} ({row['backend']})"
    ratio = f"**{row['ratio']['median']:.3g}** ({low:.3g} - {high:.3g})"
    return [
        name,
        f"{row['shape'][0]}^3",
        f"{row['theirs']['median']:.2g}",
        ours,
        ratio,
        origin(document, row["backend"]),
    ]


def origin(document: Row, backend: str, threads: int | None = None) -> str:
    """Return device, threads and date of a result."""
    of = document["machine"]
    device = of["gpu"].split(",")[0] if backend == "cuda" else of["cpu"]
    threads = threads or int(of["omp_num_threads"] or of["cores"])
    count = "" if backend == "cuda" else ", 1 thread" if threads == 1 else f", {threads} threads"
    return f"{device}{count}, {document['date'][:10]}"


def threads_of(row: Row) -> int | None:
    """Return the threads of a result; the NumPy backend has one."""
    return 1 if row["backend"] == "numpy" else row.get("threads")


def draw(rows: Newest, peers: Newest) -> None:
    """Draw all rates as bars on a logarithmic axis."""
    ours = [
        (f"{workload} {size}^3, {backend}", rows[workload, size, backend][0], backend)
        for workload, size in cases(rows)
        for backend in BACKENDS
        if (workload, size, backend) in rows
    ]
    shown = [(name, row["site_updates_per_s"], row["site_updates_per_s_range"], who) for name, row, who in ours]
    theirs = {row["peer"]: row for row, _ in peers.values()}  # measured against each backend of ours: one will do
    shown += [
        (f"marrow-lite {row['shape'][0]}^3, peer {name}", row["theirs"]["median"], row["theirs"]["range"], "peer")
        for name, row in theirs.items()
    ]
    if not shown:
        return
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.28 * len(shown) + 0.9), layout="constrained")
    names, rates, ranges, who = zip(*reversed(shown), strict=True)
    low, high = ([abs(rate - ends[side]) for rate, ends in zip(rates, ranges, strict=True)] for side in (0, 1))
    bars = axes.barh(names, rates, xerr=[low, high], color=[COLOURS[x] for x in who], error_kw={"lw": 1, "capsize": 2})
    axes.set(xscale="log", xlabel="site-updates per second (median of blocks; whiskers: slowest and fastest)")
    axes.bar_label(bars, fmt="%.2g", padding=6, fontsize=7)
    axes.margins(x=0.15)
    axes.grid(axis="x", alpha=0.3)
    axes.tick_params(labelsize=8)
    figure.savefig(PLOT, dpi=100)
    pyplot.close(figure)
