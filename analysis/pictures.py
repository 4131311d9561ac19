"""Panels as PNG, by matplotlib, for slides and papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .axes import day_range, day_ticks, value_range, value_ticks
from .draw import LANES
from .figures import PALETTE
from .panels import Panel
from .read import Run
from .slices import SITE_UM, TISSUES, Slice, by_group, by_origin, tissue_masks
from .therapy import Bar, stretches

DOTS_PER_INCH = 200
#: Meaning of the colours in the treatment strip.
STRIP = {
    "chemo": "cytotoxic",
    "tbi": "irradiation",
    "drug": "drug",
    "antibody": "antibody",
    "art": "antiretrovirals",
    "treat": "ordered in case of need",
    "gcsf": "G-CSF",
    "cells": "cells",
    "label": "label",
    "switch": "safety switch",
    "blood_loss": "loss of blood",
    "platelet_loss": "loss of platelets",
    "immunoglobulin": "immunoglobulin G",
}
GREY, SOFT = "#6b7078", "#e3e6ea"
#: Colours of marrow space and of the tissues of ``slices.TISSUES``.
TISSUE = {"marrow": "#fbf3f0", "bone": "#cfc7b4", "sinusoid": "#f2b8b5", "arteriole": "#d9787a", "fat": "#f7e7b0"}


def colour(name: str) -> str:
    """Return the palette colour for white paper."""
    return PALETTE[name][0]


def write_panel(panel: Panel, therapy: Sequence[Bar], file: Path) -> Path:
    """Draw one panel."""
    figure = Figure(figsize=(9.6, 4.2) if panel.wide else (6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    _draw(axes, panel, therapy)
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    _explain(figure, therapy)
    figure.savefig(file, dpi=DOTS_PER_INCH)
    return file


def write_overview(panels: Sequence[Panel], therapy: Sequence[Bar], title: str, file: Path) -> Path:
    """Draw all panels of the whole run on one sheet."""
    chosen = [panel for panel in panels if not panel.wide]
    rows = -(-len(chosen) // 3)
    figure = Figure(figsize=(16.0, 3.9 * rows + 0.5), layout="constrained")
    figure.suptitle(f"{title}\n", fontsize=15, fontweight="bold", x=0.01, ha="left")
    _explain(figure, therapy)
    for number, panel in enumerate(chosen):
        axes = figure.add_subplot(rows, 3, number + 1)
        _draw(axes, panel, therapy)
        if len(panel.lines) > 1:
            axes.legend(fontsize=7, frameon=True, framealpha=0.75, edgecolor="none", loc="best", ncols=2)
    figure.savefig(file, dpi=0.75 * DOTS_PER_INCH)
    return file


def _explain(figure: Figure, therapy: Sequence[Bar]) -> None:
    """Say at the top right what the colours of the treatment strip mean."""
    given = {bar.action for bar in therapy}
    lines = [Line2D([], [], color=colour(LANES[action][1]), linewidth=4) for action in STRIP if action in given]
    texts = [text for action, text in STRIP.items() if action in given]
    if "graft" in given:
        lines.append(Line2D([], [], color=colour("ink"), marker="v", linestyle="none"))
        texts.append("graft")
    if lines:
        figure.legend(lines, texts, loc="outside upper right", ncols=5, frameon=False, fontsize=8, handlelength=1.2)


def _draw(axes: Axes, panel: Panel, therapy: Sequence[Bar]) -> None:
    first, last = day_range(panel)
    low, high = value_range(panel)
    if panel.scale == "log":
        axes.set_yscale("log")
    axes.set_xlim(first, last)
    axes.set_ylim(low, high)
    _curves(axes, panel, low)
    _findings(axes, panel, last)
    _strip(axes, panel, therapy, (first, last))
    axes.set_xticks(day_ticks(first, last, 12 if panel.wide else 8))
    ticks = value_ticks(panel, low, high)
    axes.set_yticks([value for value, _ in ticks], [text for _, text in ticks])
    axes.grid(axis="y", color=SOFT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(colors=GREY, labelsize=9, left=False)
    axes.set_title(panel.title, loc="left", fontsize=12, fontweight="bold", pad=26)
    axes.set_xlabel("day", color=GREY)
    axes.set_ylabel(panel.unit, color=GREY)


def _curves(axes: Axes, panel: Panel, low: float) -> None:
    for band in panel.bands:
        axes.axvspan(band.start, band.end, color=colour("red"), alpha=0.05 + 0.06 * band.level, linewidth=0)
        axes.text(band.start, low, f" {band.label}", va="bottom", fontsize=8, color=GREY, clip_on=True)
    if panel.scale == "stack":
        shares = [np.nan_to_num(line.values) for line in panel.lines]
        colours = [colour(line.colour) for line in panel.lines]
        axes.stackplot(panel.day, shares, labels=[line.label for line in panel.lines], colors=colours, linewidth=0)
        return
    if panel.shade_below is not None:
        axes.fill_between(panel.day, low, panel.shade_below.values, color=SOFT, linewidth=0)
    for line in panel.lines:
        if line.drawn:
            style = (0, (3, 2)) if line.dashed else "solid"
            shown = np.clip(line.values, low, None)
            axes.plot(panel.day, shown, color=colour(line.colour), linestyle=style, linewidth=1.8, label=line.label)


def _findings(axes: Axes, panel: Panel, last: float) -> None:
    low, high = axes.get_ylim()
    for value, text in panel.thresholds:
        if low < value < high:
            axes.axhline(value, color=GREY, linewidth=0.9, linestyle=(0, (1, 2)))
            axes.annotate(text, (1.0, value), (3, 0), xycoords=("axes fraction", "data"), va="center",
                          textcoords="offset points", fontsize=8, color=GREY)  # fmt: skip
    for day, value, text in panel.marks:
        axes.plot([day], [value], "o", color="white", markeredgecolor=colour("ink"), markersize=7, zorder=5)
        right = day < axes.get_xlim()[0] + 0.7 * (last - axes.get_xlim()[0])
        axes.annotate(text, (day, value), (7 if right else -7, -13), textcoords="offset points", fontsize=9,
                      fontweight="bold", ha="left" if right else "right")  # fmt: skip
    for label, all_days in panel.ticks:
        days = all_days[(all_days >= axes.get_xlim()[0]) & (all_days <= last)]  # others would be drawn beside the axes
        if len(days):
            axes.plot(days, np.zeros(len(days)), "|", transform=axes.get_xaxis_transform(), color=colour("red"),
                      markersize=9, label=label, clip_on=False)  # fmt: skip


def _strip(axes: Axes, panel: Panel, therapy: Sequence[Bar], days: tuple[float, float]) -> None:
    """The treatments as thin bars above the plot, in three lanes, and a line down from every graft."""
    transform = axes.get_xaxis_transform()
    least = (days[1] - days[0]) / 150
    for bar in therapy:
        if bar.end < days[0] or bar.start > days[1]:
            continue
        lane, name = LANES.get(bar.action, (2, "grey"))
        if bar.action == "graft":
            axes.axvline(bar.start, color=colour("ink"), linewidth=0.8)
            axes.plot([bar.start], [1.025], "v", transform=transform, color=colour("ink"), clip_on=False, markersize=6)
            continue
        for start, end in stretches(bar, gap=1.5 * least):
            if end >= days[0] and start <= days[1]:
                start, end = max(start, days[0]), min(end, days[1])
                axes.barh(1.085 - 0.028 * lane, max(end - start, least), left=start, height=0.018, align="center",
                          color=colour(name), transform=transform, clip_on=False)  # fmt: skip


def write_slice(run: Run, plane: Slice, file: Path) -> Path:
    """Draw a marrow plane twice, coloured by group of kinds and by origin."""
    figure = Figure(figsize=(11.0, 7.2))
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.2, top=0.9, wspace=0.12)
    for number, (split, title) in enumerate(((by_group, "by lineage"), (by_origin, "by origin"))):
        axes = figure.add_subplot(1, 2, number + 1)
        ny, nx = plane.tissue.shape
        image = np.full((ny, nx, 4), to_rgba(TISSUE["marrow"]))
        for _, style, mask in tissue_masks(plane):
            image[mask] = to_rgba(TISSUE[style])
        axes.imshow(image, extent=(0, nx * SITE_UM, ny * SITE_UM, 0), interpolation="nearest")
        size = (0.92 * 72 * 5.1 / max(nx, ny)) ** 2  # square of the cell's diameter in points
        for label, name, resident, motile in split(run, plane):
            for mask, scale, rim in ((resident, 1.0, "none"), (motile, 0.35, "white")):
                y, x = (np.argwhere(mask).T + 0.5) * SITE_UM
                axes.scatter(x, y, s=size * scale, color=colour(name), edgecolors=rim, linewidths=0.4)
            if resident.any() or motile.any():
                axes.scatter([], [], s=30, color=colour(name), label=label)
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
        axes.set_xlabel("µm")
        if axes.get_legend_handles_labels()[1]:  # a plane may hold no cell
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, frameon=False, fontsize=9)
    tissues = [Patch(color=TISSUE[style], label=label) for label, style in TISSUES.items()]
    figure.legend(handles=tissues, loc="upper right", ncols=4, frameon=False, fontsize=9)
    figure.savefig(file, dpi=DOTS_PER_INCH)
    return file
