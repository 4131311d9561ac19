"""How much of a graft must lack CCR5: HIV RNA after it, from the file of ``abm sweep``, against 1 - 1/R0.

    python -m analysis.threshold sweep.csv R0 picture.png

The file needs the columns ``hiv_load`` and ``ccr5_null``; R0 is ``hiv_reproduction`` on the day of exposure.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NEEDED = ("seed", "day", "hiv_load", "ccr5_null")
#: Days before the end over which the highest load counts.
LAST = 365.0
DETECTED = 50.0  #: copies/mL


def read(path: Path) -> tuple[list[str], Floats]:
    """Return the names of the columns of a sweep and its numbers, shape (rows, columns); first the graft's share.

    Raises:
        ValueError: one line, with the file and what is missing.
    """
    with path.open(encoding="utf-8", newline="") as file:
        names, *rows = list(csv.reader(file)) or [[]]
    if missing := [name for name in NEEDED if name not in names]:
        msg = f"{path}: expected the columns {', '.join(NEEDED)}; missing: {', '.join(missing)}"
        raise ValueError(msg)
    if not rows:
        msg = f"{path}: expected at least one patient, found none"
        raise ValueError(msg)
    return names, np.array(rows, np.float64)


def measure(names: Sequence[str], rows: Floats) -> list[Mapping[str, float]]:
    """Return by patient the graft's share, the highest load of the last year and the share of CD4 cells at the end."""
    column = {name: rows[:, names.index(name)] for name in NEEDED}
    found: list[Mapping[str, float]] = []
    for share, seed in sorted({(share, seed) for share, seed in zip(rows[:, 0], column["seed"], strict=True)}):
        theirs = (rows[:, 0] == share) & (column["seed"] == seed)
        late = theirs & (column["day"] >= column["day"][theirs].max() - LAST)
        end = np.flatnonzero(theirs)[-1]
        found.append({"share": share, "load": float(column["hiv_load"][late].max()), "null": column["ccr5_null"][end]})
    return found


def draw(found: Sequence[Mapping[str, float]], r0: float, out: Path) -> None:
    """Draw load and protected share of the CD4 cells against the share of the graft."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    above, beside = figure.subplots(1, 2)
    shares = [100.0 * one["share"] for one in found]
    above.semilogy(shares, [max(one["load"], 1.0) for one in found], "o", color="#b3423a")
    above.axhline(DETECTED, color="#888888", lw=0.8, ls=":")
    above.set_ylabel("highest HIV RNA of the last year, copies/mL")
    beside.plot(shares, [100.0 * one["null"] for one in found], "o", color="#2c6fa6")
    beside.plot([0, 100], [0, 100], color="#888888", lw=0.8, ls=":")
    beside.axhline(100.0 * (1.0 - 1.0 / r0), color="black", lw=0.8, ls="--")
    beside.set_ylabel("CD4 cells without CCR5 at the end, %")
    for axes in (above, beside):
        axes.axvline(100.0 * (1.0 - 1.0 / r0), color="black", lw=0.8, ls="--")
        axes.set_xlabel("stem and T cells of the graft without CCR5, %")
    above.set_title(f"dashed: 1 - 1/R0 = {100 * (1 - 1 / r0):.0f} % (R0 = {r0:.1f})", fontsize=9)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python -m analysis.threshold SWEEP.csv R0 OUT.png")
    try:
        draw(measure(*read(Path(sys.argv[1]))), float(sys.argv[2]), Path(sys.argv[3]))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"error: {error}")
