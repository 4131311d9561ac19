"""Sheets of panels for the pages of docs/: axes without boxes, legends of one size, one resolution."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOTS_PER_INCH = 110
#: Colours of curves, by name; the green is bluish, so that readers who see no red tell it from the red.
RED, BLUE, GREEN, GREY, PURPLE = "#b3423a", "#2c6fa6", "#009e73", "#7f858c", "#7a57b0"
SOFT = "0.75"  #: of lines that mark a day or a value


def sheet(rows: int, columns: int, size_inch: tuple[float, float]) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure and its panels, row by row."""
    figure = Figure(figsize=size_inch, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, [list(row) for row in panels]


def legends(panels: Sequence[Axes], **how: Any) -> None:
    """Give a legend to every panel with a curve that has a name, where it covers least."""
    for panel in panels:
        if panel.get_legend_handles_labels()[1]:
            panel.legend(fontsize=8, frameon=False, **how)


def save(figure: Figure, out: Path) -> None:
    """Write the figure as PNG."""
    figure.savefig(out, dpi=DOTS_PER_INCH)
