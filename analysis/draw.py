"""Panels as inline SVG. Colours are CSS classes, so that the page decides between light, dark and print."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import log10

import numpy as np
from numpy.typing import NDArray

from .axes import day_range, day_ticks, minor_ticks, short, signed, value_range, value_ticks
from .panels import Panel
from .therapy import Bar, stretches

Floats = NDArray[np.float64]

LEFT, RIGHT, TOP, BOTTOM = 56, 36, 26, 36  #: margins, in SVG units
#: Lane in the therapy strip and colour of every action.
LANES = {
    "chemo": (0, "red"),
    "tbi": (0, "red"),
    "drug": (1, "purple"),
    "antibody": (1, "blue"),
    "art": (1, "green"),
    "treat": (1, "orange"),
    "gcsf": (2, "green"),
    "cells": (2, "blue"),
    "graft": (2, "ink"),
    "label": (2, "purple"),
    "switch": (2, "red"),
    "blood_loss": (2, "red"),
    "platelet_loss": (2, "red"),
    "immunoglobulin": (2, "sky"),
}


@dataclass(frozen=True)
class Frame:
    """Maps days and values of a panel to SVG coordinates."""

    panel: Panel
    width: float
    height: float
    days: tuple[float, float]
    values: tuple[float, float]

    @property
    def right(self) -> float:
        """Right edge of the plot."""
        return self.width - RIGHT

    @property
    def foot(self) -> float:
        """Lower edge of the plot."""
        return self.height - BOTTOM

    def x(self, day: float) -> float:
        """Return the horizontal position of ``day``."""
        first, last = self.days
        return LEFT + (day - first) / (last - first) * (self.right - LEFT)

    def y(self, value: float) -> float:
        """Return the vertical position of ``value``, at the edge if it lies outside."""
        low, high = self.values
        value = min(max(value, low), high)
        if self.panel.scale == "log":
            return self.foot - log10(value / low) / log10(high / low) * (self.foot - TOP)
        return self.foot - (value - low) / (high - low) * (self.foot - TOP)


def svg(panel: Panel, therapy: Sequence[Bar]) -> str:
    """Return the panel as one SVG element."""
    width, height = (1060, 360) if panel.wide else (520, 300)
    frame = Frame(panel, width, height, day_range(panel), value_range(panel))
    layers: tuple[Callable[[Frame], Iterator[str]], ...] = (_bands, _grid, _curves, _thresholds, _ticks, _marks)
    parts = [part for layer in layers for part in layer(frame)]
    parts += _strip(frame, therapy)
    parts.append(f'<line class="cross" x1="0" x2="0" y1="{TOP}" y2="{frame.foot}"/>')
    first, last = frame.days
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" tabindex="0" aria-label="{escape(alternative(panel))}" '
        f'data-left="{LEFT}" data-right="{frame.right:g}" data-first="{first:g}" data-last="{last:g}" '
        f'data-width="{width}">{"".join(parts)}</svg>'
    )


def alternative(panel: Panel) -> str:
    """Return a sentence that stands for the picture."""
    ends = [f"{line.label} {short(line.values[0])} to {short(line.values[-1])}" for line in panel.lines if line.drawn]
    return f"{panel.title} ({panel.unit}), first to last record: {'; '.join(ends)}"


def legend(panel: Panel) -> str:
    """Return the legend as a list whose numbers follow the pointer; at rest they are the last ones shown."""
    items, last = [], int(np.searchsorted(panel.day, day_range(panel)[1] + 1e-6)) - 1
    for number, line in enumerate(panel.lines):
        shape = "area" if panel.scale == "stack" else "none" if not line.drawn else "dash" if line.dashed else "solid"
        value = short(line.values[last], line.decimals)
        readout = f'<output data-line="{number}" data-decimals="{_or_empty(line.decimals)}">{value}</output>'
        items.append(f'<li><i class="{shape} {line.colour}"></i>{escape(line.label)} {readout}</li>')
    for label, days in panel.ticks:
        if len(days):
            count = "1 day" if len(days) == 1 else f"{len(days)} days"
            items.append(f'<li><i class="tick red"></i>{escape(label)} <output>{count}</output></li>')
    return f'<ul class="legend">{"".join(items)}</ul>'


def _or_empty(value: int | None) -> str:
    return "" if value is None else str(value)


def _rect(colour: str, x: float, y: float, width: float, height: float, more: str = "", inside: str = "") -> str:
    size = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="fill {colour}" {size} {more}>{inside}</rect>'


# ---------------------------------------------------------------------------------------------- layers


def _bands(frame: Frame) -> Iterator[str]:
    for band in frame.panel.bands:
        x, width = frame.x(band.start), frame.x(band.end) - frame.x(band.start)
        yield _rect("red", x, TOP, width, frame.foot - TOP, f'opacity="{0.06 + 0.07 * band.level:.2f}"')
        if width > 9:
            yield f'<text class="small" x="{x + 3:.1f}" y="{frame.foot - 5}">{band.label}</text>'


def _grid(frame: Frame) -> Iterator[str]:
    minor = "".join(f"M{LEFT} {frame.y(v):.1f}H{frame.right:g}" for v in minor_ticks(frame.panel, *frame.values))
    major = value_ticks(frame.panel, *frame.values)
    lines = "".join(f"M{LEFT} {frame.y(v):.1f}H{frame.right:g}" for v, _ in major)
    yield f'<path class="minor" d="{minor}"/><path class="grid" d="{lines}"/>'
    yield from (f'<text class="left" x="{LEFT - 7}" y="{frame.y(v) + 4:.1f}">{text}</text>' for v, text in major)
    days = day_ticks(*frame.days, most=12 if frame.panel.wide else 8)
    ticks = "".join(f"M{frame.x(d):.1f} {frame.foot}v5" for d in days)
    yield f'<path class="axis" d="M{LEFT} {frame.foot}H{frame.right:g}{ticks}"/>'
    for day in days:
        yield f'<text class="mid" x="{frame.x(day):.1f}" y="{frame.foot + 18}">{signed(day)}</text>'
    yield f'<text class="mid soft" x="{(LEFT + frame.right) / 2:.0f}" y="{frame.foot + 33}">day</text>'


def _curves(frame: Frame) -> Iterator[str]:
    panel = frame.panel
    if panel.scale == "stack":
        yield from _stack(frame)
        return
    if panel.shade_below is not None:
        top = _path(frame, panel.shade_below.values)
        yield f'<path class="hidden-zone" d="{top}L{frame.right:g} {frame.foot}H{LEFT}Z"/>'
    for line in panel.lines:
        if line.drawn:
            style = f"line {line.colour} dashed" if line.dashed else f"line {line.colour}"
            yield f'<path class="{style}" d="{_path(frame, line.values)}"/>'


def _path(frame: Frame, values: Floats) -> str:
    """Return path data through the finite values inside the window, interrupted at NaN; lone points become dots."""
    first, last = frame.days
    words, pen = [], False
    inside = (frame.panel.day >= first) & (frame.panel.day <= last)
    for day, value in zip(frame.panel.day[inside], values[inside], strict=True):
        if not np.isfinite(value):
            pen = False
            continue
        point = f"{frame.x(day):.1f} {frame.y(value):.1f}"
        words.append(f"L{point}" if pen else f"M{point}h0")
        pen = True
    return "".join(words)


def _stack(frame: Frame) -> Iterator[str]:
    base = np.zeros_like(frame.panel.day)
    xs = [f"{frame.x(day):.1f}" for day in frame.panel.day]
    for line in frame.panel.lines:
        top = base + np.nan_to_num(line.values)
        upper = [f"{x} {frame.y(v):.1f}" for x, v in zip(xs, top, strict=True)]
        lower = [f"{x} {frame.y(v):.1f}" for x, v in zip(xs, base, strict=True)]
        yield f'<path class="area {line.colour}" d="M{"L".join(upper + lower[::-1])}Z"/>'
        base = top


def _thresholds(frame: Frame) -> Iterator[str]:
    for value, text in frame.panel.thresholds:
        if frame.values[0] < value < frame.values[1]:
            y = frame.y(value)
            yield f'<path class="threshold" d="M{LEFT} {y:.1f}H{frame.right:g}"/>'
            yield f'<text class="small" x="{frame.right + 4:g}" y="{y + 4:.1f}">{escape(text)}</text>'


def _ticks(frame: Frame) -> Iterator[str]:
    first, last = frame.days
    for _, days in frame.panel.ticks:
        marks = "".join(f"M{frame.x(day):.1f} {frame.foot - 1}v-8" for day in days if first <= day <= last)
        yield f'<path class="tick red" d="{marks}"/>'


def _marks(frame: Frame) -> Iterator[str]:
    for day, value, text in frame.panel.marks:
        x, y = frame.x(day), frame.y(value)
        late = x > frame.width * 0.7
        place = f'class="left strong halo" x="{x - 8:.1f}"' if late else f'class="strong halo" x="{x + 8:.1f}"'
        yield f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
        yield f'<text {place} y="{y + 16:.1f}">{escape(text)}</text>'


def _strip(frame: Frame, therapy: Sequence[Bar]) -> Iterator[str]:
    """The treatments as thin bars above the plot, in three lanes, and a line down from every graft."""
    first, last = frame.days
    for bar in therapy:
        if bar.end < first or bar.start > last:
            continue
        lane, colour = LANES.get(bar.action, (2, "grey"))
        x, y = frame.x(max(bar.start, first)), 3 + 6 * lane
        title = escape(f"{bar.label}: {bar.detail}" if bar.detail else bar.label)
        if bar.action == "graft":
            yield f'<path class="graft" d="M{x:.1f} {TOP}V{frame.foot}"/>'
            yield f'<path class="fill ink" d="M{x - 5:.1f} {TOP - 8}h10l-5 8z"><title>{title}</title></path>'
            continue
        for start, end in stretches(bar, gap=5 / (frame.x(1.0) - frame.x(0.0))):
            if end >= first and start <= last:
                left, right = frame.x(max(start, first)), frame.x(min(end, last))
                yield _rect(colour, left, y, max(right - left, 3.0), 4, 'rx="1"', f"<title>{title}</title>")
