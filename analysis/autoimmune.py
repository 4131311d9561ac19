"""The figure of autoimmune disease from three finished runs: sclerosis, lupus after a graft and after CAR-T cells.

    abm run ms_reset --out ms_reset
    abm run sle_reset --out sle_reset
    abm run sle_cart --out sle_cart
    python -m analysis.autoimmune ms_reset sle_reset sle_cart docs/autoimmune.png

A row of the figure is a run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes

from .read import Run, RunError, in_unit, open_run
from .sheet import BLUE, GREEN, GREY, RED, SOFT, legends, save, sheet


class Curve(NamedTuple):
    """An observable, its unit in the figure (``None``: its own), its name there, colour and width of its line."""

    observable: str
    unit: str | None
    name: str
    colour: str
    width: float = 1.3


class Plot(NamedTuple):
    """A panel: title with unit, curves, highest value (``None``: as it comes), least one of a logarithmic scale."""

    title: str
    curves: Sequence[Curve]
    most: float | None = None
    least: float | None = None


SCLEROSIS = (
    Plot(
        "myelin-reactive CD4 cells of the body",
        (Curve("myelin_effectors", None, "effectors", RED), Curve("myelin_memory", None, "memory", "black")),
        least=1e3,
    ),
    Plot(
        "relapses, lesions, EDSS (points)",
        (
            Curve("ms_lesions", None, "times of new lesions", "0.7", 3.5),  # wider: a relapse is a new lesion too
            Curve("ms_relapses", None, "relapses", RED),
            Curve("edss", None, "EDSS", BLUE),
        ),
    ),
    Plot(
        "T cells with new receptors, %",
        (Curve("cd4_new", "percent", "CD4", BLUE), Curve("cd8_new", "percent", "CD8", GREEN)),
        most=105.0,
    ),
)
LUPUS = (
    Plot("SLEDAI, points", (Curve("sledai", None, "", RED),), most=14.0),
    Plot(
        "relative to active disease",
        (
            Curve("autoantibody", None, "autoantibody", RED),
            Curve("interferon", None, "interferon", GREY),
            Curve("vaccine_titre", None, "vaccine titre", GREEN),
        ),
        most=1.6,
    ),
    Plot(
        "B cells",
        (
            Curve("b", "1e9/L", "B cells of the blood, 1e9/L", BLUE),
            Curve("nuclear_b", None, "nuclear-reactive, relative", RED),
        ),
        least=1e-4,
    ),
)
#: Rows of the figure: what they are called, the observable that such a patient has, panels.
ROWS = (
    ("sclerosis: autograft", "edss", SCLEROSIS),
    ("lupus: autograft", "sledai", LUPUS),
    ("lupus: CAR-T cells", "sledai", LUPUS),
)


def draw(runs: Sequence[Run], out: Path) -> None:
    """Write the figure, a row for each run; a grey line is day 0, that of the graft or of the cells.

    Raises:
        RunError: a run is not of the disease of its row.
    """
    figure, rows = sheet(len(ROWS), len(SCLEROSIS), (9.6, 7.2))
    for run, (treatment, needed, plots), panels in zip(runs, ROWS, rows, strict=True):
        if needed not in run.body or not run.body[needed].values.any():
            raise RunError(f"{run.path}: expected a run of {treatment}, found no {needed}")
        for panel, plot in zip(panels, plots, strict=True):
            _draw(panel, run, plot)
        panels[0].set_ylabel(treatment, fontsize=9)
        legends(panels)
    for panel in rows[-1]:
        panel.set_xlabel("day")
    save(figure, out)


def _draw(panel: Axes, run: Run, plot: Plot) -> None:
    for observable, unit, name, colour, width in plot.curves:
        values = in_unit(run.body[observable], unit, observable)
        shown = values if plot.least is None else values.clip(plot.least / 10.0)
        panel.plot(run.day, shown, color=colour, linewidth=width, label=name or None, gid=observable)
    panel.axvline(0.0, color=SOFT, linewidth=0.8)
    panel.set_title(plot.title, fontsize=9)
    panel.set(xlim=(float(run.day[0]), float(run.day[-1])), yscale="linear" if plot.least is None else "log")
    panel.set_ylim(plot.least or 0.0, plot.most)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: python -m analysis.autoimmune MS_RESET SLE_RESET SLE_CART OUT.png")
    try:
        draw([open_run(word) for word in sys.argv[1:4]], Path(sys.argv[4]))
    except RunError as error:
        sys.exit(f"error: {error}")
