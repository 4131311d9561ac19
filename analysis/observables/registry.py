"""The registry of observables, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..read import Run

Floats = NDArray[np.float64]
Made = Floats | float | None

PERCENT, COUNT, DAY = "%", "1e9/L", "d"


@dataclass(frozen=True)
class Observable:
    """One quantity of a run; ``chance``: a probability in percent, of which a cohort tells the mean."""

    name: str
    unit: str
    curve: bool
    make: Callable[[Run], Made]
    chance: bool = False

    @property
    def doc(self) -> str:
        """The first sentence on it."""
        return (self.make.__doc__ or "").split("\n")[0]


REGISTRY: dict[str, Observable] = {}


def observable(
    unit: str, *, curve: bool = False, name: str = "", chance: bool = False
) -> Callable[[Callable[[Run], Made]], Callable[[Run], Made]]:
    """Register the function below under ``name``, or under its own."""

    def register(make: Callable[[Run], Made]) -> Callable[[Run], Made]:
        key = name or make.__name__
        REGISTRY[key] = Observable(key, unit, curve, make, chance)
        return make

    return register


def percent(part: Any, whole: Any) -> Floats:  # noqa: ANN401 - any array
    """Return 100 ``part`` / ``whole``; not a number where the whole is nothing."""
    share: Floats = np.full(len(whole), np.nan)
    np.divide(100.0 * np.asarray(part, np.float64), whole, out=share, where=np.asarray(whole) > 0)
    return share


def per_day(run: Run, events: Any) -> Floats:  # noqa: ANN401 - any array
    """Return events since the record before, per day; not a number at the first record."""
    rate: Floats = np.full(len(run.day), np.nan)
    rate[1:] = np.asarray(events, np.float64)[1:] / np.diff(run.day)
    return rate


def smooth(day: Floats, values: Floats, width: float) -> Floats:
    """Return the mean over ``width`` days around every record, shape (T,)."""
    half = width / 2.0
    return np.array([values[(day > d - half) & (day <= d + half)].mean() for d in day])
