"""Open the directory of a run: time series by name with units, cells by kind and origin, configuration, endpoints.

Names and units come from the files, so that old runs stay readable. In a program: ``open_run(folder)``. In a shell::

    python analysis/read.py DIR                   # what is inside
    python analysis/read.py DIR --csv tidy.csv    # one row per record and quantity
    python analysis/read.py DIR --wide wide.csv   # one row per record, for a spreadsheet
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from abm.endpoints import Course, Value

Array = NDArray[Any]
MINUTES_PER_DAY = 1440.0

#: Events that treat a disease; what follows them in the marrow is judged four weeks later.
TREATMENTS = ("chemo", "tbi", "graft", "cells", "antibody")
#: Spellings of units that mean the same, and factors between units of one quantity.
_SPELLING = {"%": "percent", "share": "fraction", "/uL": "1/uL", "cells/uL": "1/uL", "10^9/L": "1e9/L", "": "1"}
_FACTORS = {
    ("fraction", "percent"): 100.0,
    ("1", "percent"): 100.0,
    ("fraction", "1"): 1.0,
    ("1e9/L", "1/uL"): 1e3,
    ("1/uL", "1e9/L"): 1e-3,
    ("1e6/L", "1/uL"): 1.0,
    ("g/L", "g/dL"): 0.1,
    ("1/L", "1/uL"): 1e-6,
    ("1/L", "1e9/L"): 1e-9,
}


class RunError(Exception):
    """A directory that does not hold a readable run."""


class Column(NamedTuple):
    """One named time series."""

    values: Array  #: shape (T,)
    unit: str
    doc: str = ""


@dataclass(frozen=True)
class Run:
    """One run, read into memory.

    Attributes:
        path: directory of the run.
        config: resolved configuration; empty when it was not found.
        config_text: the same as written, with its comments.
        provenance: versions, digests and seed from the series file and the newest manifest; from ``run.log`` ``phi``
            (how much denser stem cells are than in life) and ``wall_s`` (of the last call that finished).
        step: fate steps at every record, shape (T,).
        day: days of the run at every record, shape (T,).
        body: observables of blood and body by name.
        counts: shape (T, rows, kinds, origins); event rows hold sums since the record before.
        kinds: code of every cell kind by name in lower case; likewise ``origins`` and ``count_rows``.
        checkpoints: checkpoint directories, oldest first.
    """

    path: Path
    config: dict[str, Any]
    config_text: str
    provenance: dict[str, Any]
    step: Array
    day: Array
    body: dict[str, Column]
    counts: Array
    kinds: dict[str, int]
    origins: dict[str, int]
    count_rows: dict[str, int]
    checkpoints: list[Path]

    def table(self) -> dict[str, Column]:
        """Return every one-dimensional series by name: step, day and the body's observables."""
        time = {"step": Column(self.step, "1", "fate steps"), "day": Column(self.day, "d", "day of the run")}
        return {**time, **self.body}

    def events(self, row: str, kind: str | Sequence[str] | None = None, origin: str | None = None) -> Array:
        """Return row ``row`` of the count table summed over ``kind`` and ``origin`` (``None``: all), shape (T,)."""
        names = list(self.kinds) if kind is None else [kind] if isinstance(kind, str) else list(kind)
        codes = [_code(self.kinds, name, "kind") for name in names]
        chosen = list(self.origins.values()) if origin is None else [_code(self.origins, origin, "origin")]
        table = self.counts[:, _code(self.count_rows, row, "count row")]
        return np.asarray(table[:, codes][:, :, chosen].sum(axis=(1, 2)))

    def population(self, kind: str | Sequence[str] | None = None, origin: str | None = None) -> Array:
        """Return the number of cells on the patch at every record, shape (T,)."""
        return self.events("population", kind, origin)

    def graft(self) -> dict[str, Any] | None:
        """Return the first graft of the schedule."""
        grafts = [event for event in self.config.get("events", []) if event.get("action") == "graft"]
        return min(grafts, key=lambda event: event["day"]) if grafts else None

    def second_graft(self) -> dict[str, Any] | None:
        """Return the next graft a week or more after the first; units of one graft come together."""
        first = self.graft()
        grafts = [event for event in self.config.get("events", []) if event.get("action") == "graft"]
        later = [event for event in grafts if first is not None and event["day"] >= first["day"] + 7.0]
        return min(later, key=lambda event: event["day"]) if later else None

    def treated_day(self) -> float | None:
        """Return the day of the first event that treats a disease, a graft included."""
        events = self.config.get("events", [])
        return min((float(event["day"]) for event in events if event.get("action") in TREATMENTS), default=None)

    def day_of(self, step: int) -> float | None:
        """Return the day after so many steps, between records and behind the last; ``None`` if that cannot be told."""
        time = self.config.get("time", {})
        if {"start_day", "step_min"} <= time.keys():
            return float(time["start_day"] + step * time["step_min"] / MINUTES_PER_DAY)
        if len(self.day) < 2:
            return None
        rate = (self.day[-1] - self.day[0]) / (self.step[-1] - self.step[0])
        return float(self.day[0] + (step - self.step[0]) * rate)

    def course(self) -> Course:
        """Return the run in the form, units and codes that ``abm.endpoints`` works on."""
        return self._course

    @cached_property
    def _course(self) -> Course:
        from abm.endpoints import UNITS, Course

        body = {name: in_unit(column, UNITS.get(name), name) for name, column in self.body.items()}
        graft, second = (one or {"day": None, "source": "marrow"} for one in (self.graft(), self.second_graft()))
        day = np.asarray(self.day, dtype=np.float64)
        patient = self.config.get("patient", {})
        return Course(
            day, body, self._current_codes(), graft["day"], graft["source"],
            disease=patient.get("disease", ""),
            species=self.config.get("patch", {}).get("species", "human"),
            treated_day=self.treated_day(),
            regraft_day=second["day"], regraft_source=second["source"],
            autologous=patient.get("donor") == "autologous",
        )  # fmt: skip

    def endpoints(self) -> dict[str, Value]:
        """Return the clinical endpoints by name."""
        return dict(self._endpoints)

    @cached_property
    def _endpoints(self) -> dict[str, Value]:
        from abm.endpoints import endpoints

        return endpoints(self._course)

    def _current_codes(self) -> Array:
        """Return the counts with today's codes of rows, kinds and origins; names unknown today are left out."""
        from abm import cells

        enums = (cells.Count, cells.Kind, cells.Origin)
        known = [{member.name.lower(): member.value for member in enum} for enum in enums]
        shape = (len(self.day), cells.N_COUNTS, cells.N_KINDS, cells.N_ORIGINS)
        if [self.count_rows, self.kinds, self.origins] == known and self.counts.shape == shape:
            return self.counts
        counts = np.zeros(shape, dtype=np.int64)
        old, new = [], []
        for names, enum in zip((self.count_rows, self.kinds, self.origins), enums, strict=True):
            shared = [member for member in enum if member.name.lower() in names]
            old.append([names[member.name.lower()] for member in shared])
            new.append([member.value for member in shared])
        every = range(len(self.day))
        counts[np.ix_(every, *new)] = self.counts[np.ix_(every, *old)]
        return counts


def open_run(folder: str | Path) -> Run:
    """Read the run in ``folder``.

    Raises:
        RunError: there is no readable ``series.h5`` in it.
    """
    path = Path(folder)
    file = path / "series.h5"
    if not file.is_file():
        msg = f"{path}: no series.h5 here, so this is not the directory of a run"
        raise RunError(msg)
    try:
        with h5py.File(file, "r", locking=False) as series:
            attributes = {name: _plain(value) for name, value in series.attrs.items()}
            body = {name: _column(data) for name, data in series["body"].items()}
            step, day, counts = series["step"][()], series["day"][()], series["counts"][()]
    except (OSError, KeyError) as problem:
        msg = f"{file}: not a readable time series ({problem})"
        raise RunError(msg) from problem
    kinds, origins, rows = (_names(attributes.pop(name, {})) for name in ("kinds", "origins", "count_rows"))
    checkpoints = sorted(p for p in path.glob("checkpoint-*[0-9]") if p.is_dir())
    text = _config_text(path, attributes)
    return Run(
        path, _parse(text, path), text, {**_log_facts(path), **_manifest(checkpoints), **attributes},
        step, day, body, counts, kinds, origins, rows, checkpoints,
    )  # fmt: skip


def in_unit(column: Column, unit: str | None, name: str = "") -> Array:
    """Return the values of ``column`` in ``unit`` (``None``: as they are).

    Raises:
        RunError: no factor between the two units is known.
    """
    values = np.asarray(column.values, dtype=np.float64)
    own = _SPELLING.get(column.unit, column.unit)
    if unit is None or own == unit:
        return values
    if (own, unit) not in _FACTORS:
        msg = f"{name}: unit {column.unit!r} cannot be converted to {unit!r}"
        raise RunError(msg)
    return values * _FACTORS[own, unit]


# ---------------------------------------------------------------------------------------------- parts of the files


def _plain(value: Any) -> Any:  # noqa: ANN401 - an HDF5 attribute
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value


def _column(data: h5py.Dataset) -> Column:
    return Column(data[()], str(_plain(data.attrs.get("unit", ""))), str(_plain(data.attrs.get("doc", ""))))


def _names(attribute: str | Mapping[str, int] | Array) -> dict[str, int]:
    """Return codes by lower-case name from a JSON object (name -> code) or a JSON list (position = code)."""
    names = json.loads(attribute) if isinstance(attribute, str) else attribute
    items = names.items() if isinstance(names, Mapping) else ((name, code) for code, name in enumerate(names))
    return {str(_plain(name)).lower(): int(code) for name, code in items if str(_plain(name)).lower() != "empty"}


def _code(names: Mapping[str, int], name: str, what: str) -> int:
    if name.lower() not in names:
        msg = f"unknown {what} {name!r}; this run has {', '.join(names)}"
        raise RunError(msg)
    return names[name.lower()]


def _config_text(path: Path, attributes: Mapping[str, Any]) -> str:
    file = path / "config.toml"
    if not file.is_file():
        return str(attributes.get("config", ""))
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        msg = f"{file}: not UTF-8 text: it is damaged"
        raise RunError(msg) from None


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        msg = f"{path / 'config.toml'}: not valid TOML: {problem}"
        raise RunError(msg) from problem


def _manifest(checkpoints: Sequence[Path]) -> dict[str, Any]:
    """Return the scalar entries of the newest manifest that can be read."""
    for folder in reversed(checkpoints):
        try:
            entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return {name: value for name, value in entries.items() if isinstance(value, str | int | float)}
    return {}


def _log_facts(path: Path) -> dict[str, Any]:
    """Return what only the log knows."""
    try:
        text = (path / "run.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    patterns = {"phi": r"\bphi = ([\d.e+-]+)", "wall_s": r"\bWall time +([\d.]+) s"}
    return {name: float(found[-1]) for name, pattern in patterns.items() if (found := re.findall(pattern, text))}


# ---------------------------------------------------------------------------------------------- tables for people


def tidy_rows(run: Run) -> Iterator[tuple[int, float, str, str, str, float, str]]:
    """Yield (step, day, quantity, kind, origin, value, unit) for every record; zero counts are left out."""
    for name, column in run.body.items():
        for step, day, value in zip(run.step, run.day, column.values, strict=True):
            yield int(step), float(day), name, "", "", float(value), column.unit
    for row in run.count_rows:
        for kind in run.kinds:
            for origin in run.origins:
                values = run.events(row, kind, origin)
                for index in np.flatnonzero(values):
                    yield int(run.step[index]), float(run.day[index]), row, kind, origin, int(values[index]), "cells"


def write_tidy(run: Run, file: Path) -> None:
    """Write one row per record and quantity."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("step", "day", "quantity", "kind", "origin", "value", "unit"))
        writer.writerows(tidy_rows(run))


def write_wide(run: Run, file: Path) -> None:
    """Write one row per record; the header carries the units; cells by kind and origin where there ever were any."""
    columns = {f"{name} ({column.unit or '1'})": column.values for name, column in run.table().items()}
    for kind in run.kinds:
        for origin in run.origins:
            if (cells := run.population(kind, origin)).any():
                columns[f"{kind} {origin} (cells)"] = cells
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def describe(run: Run) -> Iterator[str]:
    """Yield lines that say what the run holds."""
    from abm.summary import summarise

    yield f"{run.path}: {run.config.get('title', 'untitled run')}"
    if len(run.day) == 0:
        yield "no records yet"
        return
    yield f"{len(run.day)} records, day {run.day[0]:g} to {run.day[-1]:g}; {len(run.checkpoints)} checkpoints"
    wide = max(map(len, [*run.body, *run.kinds]), default=0)
    yield f"\n{'observable':<{wide}}  {'unit':<8}  {'first':>10}  {'last':>10}  meaning"
    for name, column in run.body.items():
        yield f"{name:<{wide}}  {column.unit:<8}  {column.values[0]:>10.4g}  {column.values[-1]:>10.4g}  {column.doc}"
    yield f"\n{'cells on the patch':<{wide}}  {'first':>20}  {'last':>10}"
    for kind in run.kinds:
        if (cells := run.population(kind)).any():
            yield f"{kind:<{wide}}  {cells[0]:>20}  {cells[-1]:>10}"
    yield f"\norigins: {', '.join(run.origins)}; count rows: {', '.join(run.count_rows)}\n"
    yield from (f"{label:<46}  {text}" for label, text in summarise(run.endpoints()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is inside a run and export it; return the exit code."""
    parser = argparse.ArgumentParser(description="Say what a run holds; export its time series.")
    parser.add_argument("folder", metavar="DIR", help="directory of a run")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a tidy table: one row per record and quantity")
    parser.add_argument("--wide", type=Path, metavar="FILE", help="write a wide table: one row per record")
    chosen = parser.parse_args(arguments)
    try:
        run = open_run(chosen.folder)
        for file, write in ((chosen.csv, write_tidy), (chosen.wide, write_wide)):
            if file is not None:
                write(run, file)
                print(f"wrote {file}")
        if chosen.csv is None and chosen.wide is None:
            print("\n".join(describe(run)))
    except (RunError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "abm").is_dir():  # not installed: abm stands beside this folder
        sys.path.insert(0, str(checkout))
    sys.exit(main())
