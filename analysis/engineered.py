"""The figure of engineered T cells from a finished run: they and interleukin 6, and what they kill.

abm run cart_all --out cart_all
python -m analysis.engineered cart_all docs/car_t.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from .read import Run, RunError, in_unit, open_run

#: Panels: title, then what is drawn in it as observable, unit (``None``: its own), line; and the least value.
PANELS = (
    ("engineered T cells of the body", ("engineered_body", None, "C4-"), 1e6),
    ("leukaemic cells, % of the marrow", ("blast_percent", "percent", "k-"), 0.1),
    ("B cells of the blood, 1e9/L", ("b", "1e9/L", "C0-"), 1e-3),
    ("interleukin 6, fold", ("il6", None, "C3-"), 1.0),
)


def draw(run: Run, out: Path) -> None:
    """Write the figure; days are those of the run, and what is below the least value of a panel is not drawn.

    Raises:
        RunError: nobody got engineered cells.
    """
    if not run.body["engineered_body"].values.any():
        raise RunError(f"{run.path}: no engineered T cells in this run")
    figure = Figure(figsize=(9.6, 2.6), layout="constrained")
    for axis, (title, (name, unit, line), least) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        values = in_unit(run.body[name], unit, name)
        axis.semilogy(run.day, values.clip(least / 10.0), line)
        axis.set(title=title, xlabel="day", xlim=(float(run.day[0]), float(run.day[-1])), ylim=(least, None))
        axis.title.set_fontsize(8.5)
    with mpl.rc_context({"svg.hashsalt": "engineered"}):
        figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m analysis.engineered RUN OUT.svg")
    try:
        draw(open_run(sys.argv[1]), Path(sys.argv[2]))
    except RunError as error:
        sys.exit(f"error: {error}")
