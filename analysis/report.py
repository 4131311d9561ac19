"""The report of one run: ``report.html``, ``endpoints.json``, of snapshots ``clones.csv``, and PNGs by matplotlib."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from . import clones, slices, therapy
from .figures import panels
from .page import page, title
from .panels import Panel
from .read import Run, open_run

NO_PNG = "PNG pictures need matplotlib: pip install matplotlib"


def build(folder: str | Path, say: Callable[[str], None] = print) -> list[Path]:
    """Write the report of the run in ``folder`` into its subfolder ``report``; return the files written.

    Without matplotlib the page is written all the same and ``say`` gets a line on how to get the pictures.

    Raises:
        abm_analysis.read.RunError: there is no readable run.
    """
    run = open_run(folder)
    target = run.path / "report"
    target.mkdir(exist_ok=True)
    figures, plane, found = panels(run), slices.newest(run), clones.censuses(run)
    pictures = _pictures(run, figures, plane, found, target)
    notice = "" if pictures is not None else NO_PNG
    if notice:
        say(notice)
    html, table = target / "report.html", target / "endpoints.json"
    html.write_text(page(run, figures, plane, notice), encoding="utf-8")
    table.write_text(json.dumps(run.endpoints(), indent=1) + "\n", encoding="utf-8")
    tables = [clones.write_table(found, target / "clones.csv")] if found else []
    return [html, table, *tables, *(pictures or [])]


def _pictures(
    run: Run, figures: Sequence[Panel], plane: slices.Slice | None, found: Sequence[clones.Census], target: Path
) -> list[Path] | None:
    """Write the PNGs; ``None`` without matplotlib."""
    try:
        from . import pictures, river
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "matplotlib":
            raise
        return None
    bars = therapy.bars(run.config, float(run.day[-1]) if len(run.day) else 0.0)
    written = [pictures.write_panel(panel, bars, target / f"{panel.key}.png") for panel in figures]
    if figures:
        written.append(pictures.write_overview(figures, bars, title(run), target / "overview.png"))
    if plane is not None:
        written.append(pictures.write_slice(run, plane, target / "slice.png"))
    if len(found) > 1:
        written.append(river.write_river(found, target / "clones.png"))
    return written
