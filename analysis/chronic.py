"""The figure of chronic myeloid leukaemia on a kinase inhibitor from a finished run: blood, marrow and stem cells.

abm run imatinib_stop --out imatinib_stop
python -m analysis.chronic imatinib_stop docs/imatinib_stop.svg
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from . import observables
from .observables.residual import EARLY, LATE
from .read import Run, RunError, in_unit, open_run

#: Where the expected slopes of ln BCR-ABL stand, and the days of treatment over which each is read, by observable.
TARGETS = Path(__file__).parent / "targets" / "H.toml"
WHEN = {"bcr_abl_slope_early": EARLY, "bcr_abl_slope_late": LATE}
HOURS_PER_DAY = 24.0


def course(run: Run) -> tuple[float, float]:
    """Return the first day of the drug and the day after its last dose.

    Raises:
        RunError: no drug is given as chemo.
    """
    given = [event for event in run.config.get("events", []) if event["action"] == "chemo"]
    if not given:
        raise RunError(f"{run.path}: no event gives a drug by its dose (chemo)")
    first = given[0]
    return first["day"], first["day"] + first["doses"] * first["every_h"] / HOURS_PER_DAY


def draw(run: Run, out: Path) -> None:
    """Write the figure; the days on the drug are shaded, published slopes (O62) are dashed.

    Raises:
        RunError: the patient has no chronic myeloid leukaemia, or gets no drug.
    """
    transcript = observables.REGISTRY["bcr_abl"].make(run)
    if transcript is None:
        raise RunError(f"{run.path}: no chronic myeloid leukaemia in this run")
    begun, ended = course(run)
    transcript = np.asarray(transcript, np.float64)
    panels = (
        ("BCR-ABL in blood, %", transcript, "k."),
        ("leukaemic cells, % of the marrow", in_unit(run.body["blast_percent"], "percent", "blast_percent"), "k-"),
        ("leukaemic stem cells of the marrow", run.body["residual_stem_cells"].values, "k-"),
    )
    figure = Figure(figsize=(9.6, 2.6), layout="constrained")
    for axis, (title, values, line) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axis.axvspan(begun, ended, color="0.92", lw=0)
        axis.semilogy(run.day, np.where(values > 0.0, values, np.nan), line, ms=1.5)
        axis.set(title=title, xlabel="day", xlim=(float(run.day[0]), float(run.day[-1])))
        axis.title.set_fontsize(8.5)
    _slopes(figure.axes[0], run, transcript, begun)
    with mpl.rc_context({"svg.hashsalt": "chronic"}):
        figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)


def expected() -> dict[str, float]:
    """Return the published slopes of ln BCR-ABL by observable, 1/d."""
    targets = tomllib.loads(TARGETS.read_text(encoding="utf-8"))["target"]
    return {found["observable"]: found["centre"] for found in targets if found.get("observable") in WHEN}


def _slopes(axis: Axes, run: Run, values: NDArray[np.float64], begun: float) -> None:
    """Draw the published slopes, each through the middle of what is found over its days, where anything is."""
    for name, slope in expected().items():
        days = begun + np.array(WHEN[name])
        among = (run.day >= days[0]) & (run.day <= days[1]) & (values > 0.0)
        if among.any():
            level = float(np.mean(np.log(values[among]) - slope * run.day[among]))
            axis.semilogy(days, np.exp(level + slope * days), "C3--")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m analysis.chronic RUN OUT.svg")
    try:
        draw(open_run(Path(sys.argv[1])), Path(sys.argv[2]))
    except RunError as error:
        sys.exit(f"error: {error}")
