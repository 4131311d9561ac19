"""The figure of a schedule of several therapies from four finished runs: with all of it, and without each part.

    python -m analysis.combination ALL NO_IMATINIB NO_PD1 NO_GRAFT docs/combination.png

The runs are those of ``combo_hsct_tki_ici`` that docs/combinations.md tells.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes

from .read import Run, RunError, open_run
from .sheet import BLUE, GREEN, GREY, RED, SOFT, legends, save, sheet

#: Arms in the order of the runs: name, colour. The first is wider: others may lie on it.
ARMS = (("all three", RED), ("without imatinib", GREY), ("without PD-1 blocked", BLUE), ("without the graft", GREEN))
WIDTHS = (3.0, 1.2, 1.2, 1.2)
#: What is given: name, first and last day.
GIVEN = (("imatinib", -68, -8), ("graft", -2, 2), ("imatinib", 90, 180), ("PD-1 blocked", 150, 234))
MOST, LEAST = 1e8, 5.0  #: leukaemic stem cells that the axis shows


class Plot(NamedTuple):
    """A panel: observable, title with unit, ends of its axis, whether that is logarithmic."""

    observable: str
    title: str
    ends: tuple[float, float]
    logarithmic: bool = False


PLOTS = (
    Plot("residual_stem_cells", "leukaemic stem cells of the marrow", (LEAST, MOST), logarithmic=True),
    Plot("gvhd_grade", "acute GVHD, grade", (-0.1, 4.1)),
    Plot("chronic_gvhd", "chronic GVHD, severity 0-1", (-0.02, 1.02)),
)


def draw(runs: Sequence[Run], out: Path) -> None:
    """Write the figure, a curve for each run in the order of ``ARMS``.

    Raises:
        RunError: a run does not follow residual leukaemia.
    """
    figure, (panels,) = sheet(1, len(PLOTS), (11.0, 3.6))
    for run, (name, colour), width in zip(runs, ARMS, WIDTHS, strict=True):
        if "residual_stem_cells" not in run.body or not run.body["residual_stem_cells"].values.any():
            raise RunError(f"{run.path}: expected a run with residual_leukaemia = true ({name})")
        for panel, plot in zip(panels, PLOTS, strict=True):
            values = run.body[plot.observable].values
            shown = values.clip(plot.ends[0]) if plot.logarithmic else values
            panel.plot(run.day, shown, color=colour, label=name, gid=plot.observable, linewidth=width)
    ends = max(float(run.day[0]) for run in runs), min(float(run.day[-1]) for run in runs)
    for panel, plot in zip(panels, PLOTS, strict=True):
        panel.set_title(plot.title, fontsize=9)
        panel.set(yscale="log" if plot.logarithmic else "linear", xlim=ends, ylim=plot.ends)
        panel.set_xlabel("days from the graft")
    _schedule(panels[0])
    legends(panels[2:], loc="upper left")
    save(figure, out)


def _schedule(panel: Axes) -> None:
    """Mark above the curves what is given when."""
    for number, (name, first, last) in enumerate(GIVEN):
        height = MOST / (3.0 if number % 2 == 0 else 20.0)
        panel.plot([first, last], [height, height], color="black", linewidth=3, solid_capstyle="butt")
        panel.text(last + 8, height, name, va="center", fontsize=8)
        panel.axvline(first, color=SOFT, linewidth=0.6, zorder=0)


if __name__ == "__main__":
    if len(sys.argv) != len(ARMS) + 2:
        sys.exit("usage: python -m analysis.combination ALL NO_IMATINIB NO_PD1 NO_GRAFT OUT.png")
    try:
        draw([open_run(word) for word in sys.argv[1:-1]], Path(sys.argv[-1]))
    except RunError as error:
        sys.exit(f"error: {error}")
