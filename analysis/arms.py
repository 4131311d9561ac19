"""Arms of patients side by side: median and range of what is observed over time, as a picture and a table.

``abm compare`` calls this. An arm is all runs whose folders have one name before ``-seedN``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import ceil
from pathlib import Path
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray

from .panels import UNITS
from .read import Column, Run, RunError, open_run

Floats = NDArray[np.float64]
#: Of Okabe and Ito, told apart by colour-blind readers as well; with line styles, so that print in grey will do.
STYLES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", "-."), ("#cc79a7", ":"), ("#000000", "-"), ("#e69f00", "--"))
#: Units drawn on an axis of logarithms, which is linear from this value down to nothing.
LINEAR_BELOW = {"1e9/L": 0.01, "copies/mL": 1.0, "cells": 1e5}
NOTHING = 1e-9  #: of any unit: less is told as 0


@dataclass(frozen=True)
class Arm:
    """Patients who were treated alike: median, lowest and highest of those observed on a day; shapes (T,)."""

    name: str
    day: Floats
    median: Mapping[str, Floats]
    low: Mapping[str, Floats]
    high: Mapping[str, Floats]
    patients: NDArray[np.int64]  #: observed on the day: who has died or was followed for less time is not


def gather(folders: Sequence[Path]) -> dict[str, list[Run]]:
    """Return the runs of every arm, in the order they are named.

    Raises:
        RunError: a folder holds no run, or one without records.
    """
    found: dict[str, list[Run]] = {}
    for folder in folders:
        run = open_run(folder)
        if not len(run.day):
            msg = f"{folder}: the run has no records yet"
            raise RunError(msg)
        found.setdefault(re.sub(r"-seed\d+$", "", folder.resolve().name), []).append(run)
    return found


def columns_of(found: Mapping[str, Sequence[Run]], names: Sequence[str]) -> dict[str, Column]:
    """Return every observable as one of the runs has it: unit and meaning are those of all.

    Raises:
        RunError: too many arms to tell apart, or a run does not hold one of the names.
    """
    if len(found) > len(STYLES):
        msg = f"expected at most {len(STYLES)} arms, found {len(found)}: {', '.join(found)}"
        raise RunError(msg)
    runs = [run for patients in found.values() for run in patients]
    for run in runs:
        for name in names:
            if name not in run.body:
                near = get_close_matches(name, run.body, 1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                msg = f"{run.path}: no observable {name}{hint}; `abm describe --observables` lists them"
                raise RunError(msg)
    return {name: runs[0].body[name] for name in names}


def lines(arms: Sequence[Arm], columns: Mapping[str, Column]) -> Iterator[str]:
    """Yield what is seen on the last day of each arm: median and range of the patients still followed."""
    names = [f"{name} ({UNITS.get(column.unit, column.unit) or '1'})" for name, column in columns.items()]
    table = [["arm", "patients", "last day", *names]]
    for arm in arms:
        seen = [f"{_told(arm.median[x])} ({_told(arm.low[x])} to {_told(arm.high[x])})" for x in columns]
        table.append([arm.name, f"{arm.patients[-1]}/{arm.patients.max()}", f"{arm.day[-1]:g}", *seen])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for first, *rest in table:
        yield "  ".join([f"{first:<{widths[0]}}", *(f"{x:>{n}}" for x, n in zip(rest, widths[1:], strict=True))])


def _told(values: Floats) -> str:
    """Return the last value in three digits; what is next to nothing as nothing."""
    last = float(values[-1])
    return f"{last if abs(last) >= NOTHING else 0.0:.3g}"


def summed(name: str, runs: Sequence[Run], names: Sequence[str]) -> Arm:
    """Return an arm on the days of the run that was followed longest."""
    day = np.asarray(max(runs, key=lambda run: float(run.day[-1])).day, dtype=np.float64)
    followed = np.array([(day >= run.day[0] - 1e-9) & (day <= run.day[-1] + 1e-9) for run in runs])
    median: dict[str, Floats] = {}
    low: dict[str, Floats] = {}
    high: dict[str, Floats] = {}
    for each in names:
        values = np.array([np.interp(day, run.day, run.body[each].values.astype(np.float64)) for run in runs])
        ranked = np.sort(np.where(followed, values, np.nan), axis=0)  # nothing to see comes last
        seen = np.isfinite(ranked).sum(axis=0)
        column, last = np.arange(len(day)), np.maximum(seen, 1) - 1
        low[each], high[each] = ranked[0], ranked[last, column]
        median[each] = 0.5 * (ranked[last // 2, column] + ranked[(last + 1) // 2, column])
    return Arm(name, day, median, low, high, followed.sum(axis=0))


def draw(arms: Sequence[Arm], columns: Mapping[str, Column], out: Path) -> None:
    """Draw a panel for each observable: medians as lines, the range of the patients shaded."""
    from matplotlib.figure import Figure

    across = min(2, len(columns))
    rows = ceil(len(columns) / across)
    figure = Figure(figsize=(5.2 * across, 3.2 * rows + 0.5), layout="constrained")
    panels = list(figure.subplots(rows, across, squeeze=False).flat)
    for panel, (name, column) in zip(panels, columns.items(), strict=False):
        for arm, (colour, style) in zip(arms, STYLES, strict=False):
            label = f"{arm.name} (n = {arm.patients.max()})"
            panel.plot(arm.day, arm.median[name], style, color=colour, lw=1.6, label=label)
            panel.fill_between(arm.day, arm.low[name], arm.high[name], color=colour, alpha=0.18, lw=0)
        if column.unit in LINEAR_BELOW:
            panel.set_yscale("symlog", linthresh=LINEAR_BELOW[column.unit])
        panel.set_ylim(bottom=0)
        panel.axvline(0.0, color="0.75", lw=0.8)
        unit = UNITS.get(column.unit, column.unit)
        panel.set_title("\n".join(wrap(column.doc, 60)), fontsize=9)
        panel.set(xlabel="day", ylabel=f"{name}, {unit}" if unit else name)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(columns) :]:
        panel.remove()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2, frameon=False, fontsize=9,
                  title="median; shaded: lowest to highest of the patients")  # fmt: skip
    figure.savefig(out, dpi=110)


def write(arms: Sequence[Arm], columns: Mapping[str, Column], out: Path) -> None:
    """Write a row for each arm, observable and day."""
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("arm", "day", "observable", "unit", "patients", "median", "low", "high"))
        for arm in arms:
            for name, column in columns.items():
                values = zip(arm.day, arm.patients, arm.median[name], arm.low[name], arm.high[name], strict=True)
                for day, patients, *rest in values:
                    writer.writerow((arm.name, f"{day:g}", name, column.unit, patients, *(f"{x:.6g}" for x in rest)))
