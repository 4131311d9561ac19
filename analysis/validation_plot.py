"""Small inline SVG plots of targets: the published band, and what was simulated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import ceil, floor, isfinite, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .axes import day_ticks, round_step, signed

Floats = NDArray[np.float64]
Entry = Mapping[str, Any]

WIDTH, HEIGHT = 350.0, 170.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 8.0, 22.0
DOT, PILE = 3, 13  #: radius of a patient's dot, and how many fit on each other
MOST_CURVES = 40  #: patients drawn; the median is that of all
#: Colour of each result, a class of the page's palette.
COLOURS = {"pass": "green", "near": "orange", "miss": "red", "undecided": "purple", "not modelled": "grey"}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def text(value: float | None) -> str:
    """Return a number with three digits; powers of ten where it is very large or small."""
    if value is None or not isfinite(value):
        return "–"
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        power = floor(log10(abs(value)) + 1e-12)
        return f"{signed(float(f'{value / 10.0**power:.3g}'))}·10{str(power).translate(_SUPERSCRIPT)}"
    return signed(float(f"{value:.3g}"))


class Scale:
    """Maps numbers to positions along one axis."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        """Map ``low`` to ``start`` and ``high`` to ``end``; what lies beyond stays at the edge."""
        self.low, self.high = low, high if high > low else low + 1.0
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        """Return the position of a value."""
        value = min(max(value, self.low), self.high)
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 4) -> list[float]:
        """Return round numbers between the ends."""
        step = round_step((self.high - self.low) / most)
        return [k * step for k in range(ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9) + 1)]


def svg(entry: Entry, results: Mapping[str, Sequence[Entry]]) -> str:
    """Return the plot of one target; nothing for one that is not modelled."""
    if entry["result"] == "not modelled":
        return ""
    curves = [_curve(result, entry) for name in entry["protocols"] for result in results.get(name, ())]
    found = [curve for curve in curves if curve is not None]
    over_time = found and ("day" in entry or "days" in entry)
    parts = list(_over_time(entry, found) if over_time else _strip(entry))
    low, high = entry["band"]
    label = f"{entry['what']}: observed {text(entry['observed'])}, band {text(low)} to {text(high)}"
    return f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _curve(result: Entry, entry: Entry) -> tuple[Floats, Floats] | None:
    values = result["curves"].get(entry["observable"])
    if values is None:
        return None
    days = result["first_day"] + 0.5 + np.arange(len(values))  # a value is the mean of its day
    return days, np.array([np.nan if value is None else value for value in values], dtype=np.float64)


# ---------------------------------------------------------------------------------------------- over time


def _over_time(entry: Entry, curves: Sequence[tuple[Floats, Floats]]) -> Iterator[str]:
    first, last = curves[0][0][0] - 0.5, max(days[-1] for days, _ in curves) + 0.5
    every = np.concatenate([values[np.isfinite(values)] for _, values in curves])
    if not every.size:
        return
    marks = _levels(entry)
    low, high = min(float(every.min()), *marks), max(float(every.max()), *marks)
    low = 0.0 if 0.0 <= low < 0.5 * high else low - 0.05 * (high - low)
    x, y = Scale(first, last, LEFT, WIDTH - RIGHT), Scale(low, high + 0.04 * (high - low), HEIGHT - BOTTOM, TOP)
    yield from _axes(x, y, day_ticks(first, last, 6))
    yield f'<text class="soft end" x="{LEFT - 10}" y="{HEIGHT - BOTTOM + 15}">day</text>'
    yield from _target(entry, x, y)
    for days, values in curves[:MOST_CURVES]:
        yield f'<path class="patient" d="{_path(x, y, days, values)}"/>'
    if len(curves) > 1:
        length = min(len(values) for _, values in curves)
        together = np.array([values[:length] for _, values in curves])
        seen = np.isfinite(together).any(axis=0)
        middle = np.full(length, np.nan)
        middle[seen] = np.nanmedian(together[:, seen], axis=0)
        yield f'<path class="line ink" d="{_path(x, y, curves[0][0][:length], middle)}"/>'


def _levels(entry: Entry) -> list[float]:
    """Return the values that the axis must show: the band, or for a share the thresholds of a hit."""
    if entry["statistic"] == "share":
        return [entry[key] for key in ("at_least", "at_most") if key in entry]
    return list(entry["band"])


def _target(entry: Entry, x: Scale, y: Scale) -> Iterator[str]:
    start, end = entry.get("days") or (entry["day"], entry["day"])
    left, right = x(start), max(x(end + 1), x(start) + 4)
    if entry["statistic"] == "share":
        for level in _levels(entry):
            yield f'<path class="threshold" d="M{LEFT} {y(level):.1f}H{WIDTH - RIGHT}"/>'
        yield _band(left, TOP, right - left, HEIGHT - BOTTOM - TOP)
        return
    low, high = entry["band"]
    top, foot = y(high), y(low)
    yield _band(left, top, right - left, max(foot - top, 2.0))


def _band(x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="band" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _path(x: Scale, y: Scale, days: Floats, values: Floats) -> str:
    words, pen = [], False
    for day, value in zip(days, values, strict=True):
        if isfinite(value):
            words.append(f"{'L' if pen else 'M'}{x(day):.1f} {y(value):.1f}")
        pen = bool(isfinite(value))
    return "".join(words)


def _axes(x: Scale, y: Scale, x_ticks: Sequence[float]) -> Iterator[str]:
    foot = HEIGHT - BOTTOM
    lines = "".join(f"M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" for value in y.ticks())
    yield f'<path class="grid" d="{lines}"/><path class="axis" d="M{LEFT} {foot}H{WIDTH - RIGHT}"/>'
    yield from (f'<text class="left" x="{LEFT - 5}" y="{y(v) + 4:.1f}">{text(v)}</text>' for v in y.ticks())
    yield from (f'<text class="mid" x="{x(v):.1f}" y="{foot + 15:.1f}">{text(v)}</text>' for v in x_ticks)


# ---------------------------------------------------------------------------------------------- one number


def _strip(entry: Entry) -> Iterator[str]:
    """One axis: the band, a dot for every patient, the statistic with its interval."""
    low, high = entry["band"]
    ends = [end for end in entry["ci"] or () if end is not None]
    single = [] if _of_cohort(entry) else [value for value in entry["values"] if value is not None]
    shown = [low, high, *ends, *single, *([] if entry["observed"] is None else [entry["observed"]])]
    room = 0.12 * (max(shown) - min(shown)) or 1.0
    x = Scale(min(shown) - room, max(shown) + room, 14.0, WIDTH - 14.0)
    top, foot = TOP + 8, HEIGHT - BOTTOM
    width = max(x(high) - x(low), 2.0)
    yield _band(x(low), top, width, foot - top)
    yield f'<path class="axis" d="M14 {foot}H{WIDTH - 14}"/>'
    yield from (f'<text class="mid" x="{x(v):.1f}" y="{foot + 15:.1f}">{text(v)}</text>' for v in x.ticks(5))
    if "centre" in entry:
        yield f'<path class="threshold" d="M{x(entry["centre"]):.1f} {top}V{foot}"/>'
    piled: Counter[int] = Counter()  # patients of nearly the same value stand on each other, as high as there is room
    for value in single:
        column = round(x(value) / (2 * DOT))
        y = foot - 2 * DOT - 2 * DOT * min(piled[column], PILE)
        piled[column] += 1
        yield f'<circle class="dot" cx="{x(value):.1f}" cy="{y:.1f}" r="{DOT}"/>'
    yield from _statistic(entry, x, ends, top + 26)


def _of_cohort(entry: Entry) -> bool:
    """Whether the statistic is in another unit than the single patients' values."""
    return entry["statistic"] in ("share", "correlation") or "contrast" in entry


def _statistic(entry: Entry, x: Scale, ends: Sequence[float], y: float) -> Iterator[str]:
    colour = COLOURS[entry["result"]]
    if ends:
        right = x(ends[1]) if len(ends) == 2 else x.end  # an open end: some of the cohort never get there
        caps = f"M{x(ends[0]):.1f} {y - 5:.1f}v10" + (f"M{right:.1f} {y - 5:.1f}v10" if len(ends) == 2 else "")
        yield f'<path class="line {colour}" d="M{x(ends[0]):.1f} {y:.1f}H{right:.1f}{caps}"/>'
    if entry["observed"] is not None:
        yield f'<circle class="fill {colour}" cx="{x(entry["observed"]):.1f}" cy="{y:.1f}" r="5"/>'
    late = sum(value is None for value in entry["values"])
    if late and not _of_cohort(entry):
        note = f"{late} of {len(entry['values'])} not reached"
        yield f'<text class="small end" x="{WIDTH - 14}" y="{TOP + 4}">{note}</text>'
