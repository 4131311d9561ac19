"""What a figure over time is made of: curves, bands and findings; and a run thinned to what a figure can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from abm import endpoints as ends

from .read import Run

Floats = NDArray[np.float64]

#: How units are printed.
UNITS = {"1e9/L": "×10⁹/L", "1/uL": "/µL", "percent": "%", "1e12/L": "×10¹²/L", "1": "", "fold": "× normal"}
IMMUNITY = "Immunity and growth factors"
MOST_POINTS = 800  #: records drawn per panel; longer runs are thinned evenly


def positive(values: Floats) -> Floats:
    """Return the values with nothing in place of those that a logarithmic axis cannot show."""
    return np.where(values > 0, values, np.nan)


class Line(NamedTuple):
    """One curve."""

    label: str
    values: Floats  #: shape (T,); NaN where there is nothing to show
    colour: str
    dashed: bool = False
    drawn: bool = True  #: False: only in the read-out
    decimals: int | None = None


class Band(NamedTuple):
    """A shaded stretch of days, stronger for a higher ``level`` (1-4)."""

    start: float
    end: float
    level: int
    label: str


@dataclass(frozen=True)
class Panel:
    """One figure over time."""

    key: str  #: file name and anchor
    section: str
    title: str
    unit: str  #: of the vertical axis, as printed
    day: Floats  #: shape (T,), days of the run
    lines: Sequence[Line]
    scale: str = "linear"  #: "linear", "log" or "stack"
    low: float | None = None  #: ends of the vertical axis
    high: float | None = None
    thresholds: Sequence[tuple[float, str]] = ()
    marks: Sequence[tuple[float, float, str]] = ()  #: day, value, label of single findings
    ticks: Sequence[tuple[str, Floats]] = ()  #: label and days of happenings, drawn at the foot
    bands: Sequence[Band] = ()
    window: tuple[float, float] | None = None  #: days shown; ``None``: all
    wide: bool = False
    note: str = ""
    shade_below: Line | None = None  #: region under this line cannot be seen

    @property
    def has_data(self) -> bool:
        """Whether there is anything to draw."""
        return any(np.isfinite(line.values).any() for line in self.lines)


@dataclass
class Source:
    """A run thinned to what a figure can show, with its endpoints."""

    run: Run
    course: ends.Course = field(init=False)
    found: Mapping[str, ends.Value] = field(init=False)
    index: NDArray[np.int64] = field(init=False)
    day: Floats = field(init=False)
    zero: float = field(init=False)  #: day of the run from which endpoints count

    def __post_init__(self) -> None:
        """Choose the records to draw."""
        self.course = self.run.course()
        self.found = ends.endpoints(self.course)
        records = len(self.run.day)
        self.index = np.unique(np.linspace(0, records - 1, min(records, MOST_POINTS)).round().astype(np.int64))
        self.day = self.course.day[self.index]
        self.zero = self.course.graft_day or 0.0

    def pick(self, values: ArrayLike) -> Floats:
        """Return the drawn records of a whole series."""
        return np.asarray(values, dtype=np.float64)[self.index]

    def lines(self, *wanted: tuple[str, str, str]) -> list[Line]:
        """Return a line for every (observable, label, colour) that the run has."""
        body = self.course.body
        return [Line(label, self.pick(body[name]), colour) for name, label, colour in wanted if name in body]

    def unit(self, name: str) -> str:
        """Return the printed unit of an observable."""
        own = ends.UNITS.get(name) or (self.run.body[name].unit if name in self.run.body else "")
        return UNITS.get(own, own)

    def given(self, name: str) -> Floats:
        """Return the days on which a cumulative number rose."""
        if name not in self.course.body:
            return np.empty(0)
        return self.course.day[1:][np.diff(self.course.body[name]) > 0]
