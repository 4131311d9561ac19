"""Ranges and tick marks of the figures, the same in HTML and PNG."""

from __future__ import annotations

from math import ceil, floor, log10

import numpy as np

from .panels import Panel

DAY_STEPS = (1, 2, 5, 7, 10, 14, 15, 20, 30, 50, 60, 100, 120, 180, 200, 365, 730)
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def day_range(panel: Panel) -> tuple[float, float]:
    """Return first and last day shown."""
    return panel.window or (float(panel.day[0]), float(panel.day[-1]))


def day_ticks(first: float, last: float, most: int) -> list[float]:
    """Return at most about ``most`` round days between ``first`` and ``last``."""
    step = next((s for s in DAY_STEPS if (last - first) / s <= most), max(DAY_STEPS[-1], (last - first) / most))
    return [float(k * step) for k in range(ceil(first / step - 1e-9), floor(last / step + 1e-9) + 1)]


def value_range(panel: Panel) -> tuple[float, float]:
    """Return the ends of the vertical axis: those the panel sets, else round ones that hold the data."""
    values = np.concatenate([line.values[np.isfinite(line.values)] for line in panel.lines if line.drawn])
    if panel.scale == "stack":
        values = np.sum([np.nan_to_num(line.values) for line in panel.lines], axis=0)
    if panel.scale == "log":
        values = values[values > 0]
        low = panel.low or 10.0 ** floor(log10(values.min()) if values.size else 0)
        top = max(values.max(initial=low * 10), panel.low or 0)
        return low, max(panel.high or 0.0, 10.0 ** (log10(top) + 0.08))
    low = float(values.min(initial=0.0 if panel.low is None else panel.low))
    top = float(values.max(initial=low)) * 1.05
    high = max(top, low + 1e-9) if panel.high is None else max(panel.high, float(values.max(initial=low)))
    return low, high if high > low + 1e-9 else low + 1.0


def value_ticks(panel: Panel, low: float, high: float) -> list[tuple[float, str]]:
    """Return positions and texts of the labelled ticks."""
    if panel.scale == "log":
        decades = range(ceil(log10(low) - 1e-9), floor(log10(high) + 1e-9) + 1)
        every = max(1, ceil(len(decades) / 7))
        plain = decades[0] >= -2 and decades[-1] <= 4 if decades else True
        ticks = [(10.0**k, power(k, plain=plain)) for k in decades if k % every == 0]
        cut = any((line.values < low).any() for line in panel.lines)
        return [(value, f"≤ {text}" if cut and value <= low * 1.001 else text) for value, text in ticks]
    step = round_step((high - low) / 5)
    return [(k * step, signed(k * step)) for k in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def minor_ticks(panel: Panel, low: float, high: float) -> list[float]:
    """Return the positions 2-9 of every decade of a log axis that has few decades."""
    if panel.scale != "log" or log10(high / low) > 3.5:
        return []
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    return [m * 10.0**k for k in decades for m in range(2, 10) if low <= m * 10.0**k <= high]


def signed(value: float) -> str:
    """Return a number with a true minus sign."""
    return f"{value:g}".replace("-", "−")


def power(exponent: int, *, plain: bool) -> str:
    """Return a power of ten as 0.01 or as 10⁻²."""
    return f"{10.0**exponent:g}" if plain or exponent == 0 else f"10{str(exponent).translate(_SUPERSCRIPT)}"


def short(value: float, decimals: int | None = None) -> str:
    """Return a number for a read-out: about three digits, no exponent above 0.001."""
    if not np.isfinite(value):
        return "–"
    if decimals is not None:
        return f"{value:.{decimals}f}"
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        exponent = floor(log10(abs(value)))
        return f"{value / 10.0**exponent:.1f}·10{str(exponent).translate(_SUPERSCRIPT)}"
    digits = max(0, 2 - floor(log10(abs(value))))
    return f"{value:,.{digits}f}".replace(",", " ")


def round_step(least: float) -> float:
    """Return the smallest round number that is not below ``least``: 1, 2, 2.5 or 5 times a power of ten."""
    scale = 10.0 ** floor(log10(least))
    return next(m * scale for m in (1, 2, 2.5, 5, 10) if m * scale >= least * (1 - 1e-9))
