"""What is calibrated: free numbers of the rule tables with their ranges, and the targets to compare with.

A problem is a file of ``analysis/calibration/``; its bands are those of ``analysis/targets``, not stated again.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import model_validator

from abm import resources
from abm.config import rules_folder
from abm.config_lines import Source, read_source
from abm.config_table import Table, parameter
from abm.errors import ConfigError
from abm.tables import did_you_mean
from abm.validation.protocols import checked, part_of
from abm.validation.targets import Catalogue, Target

SUFFIX = ".toml"
#: Rule tables whose numbers can be changed in patients that are recorded.
REPLAYED = ("body", "residue")
#: What a protocol says whose patients can be recorded.
FOLLOWED = "patient.residual_leukaemia=true"
#: What a replay cannot tell: it follows leukaemia as a whole.
NOT_REPLAYED = ("haplotype_lost_chance", "any_relapse_chance")


class Free(Table):
    """One free number of a rule table."""

    name: Annotated[str, parameter("", "what it is called in results", min_length=1)]
    table: Annotated[str, parameter("", "rule table, without .csv")]
    row: Annotated[dict[str, str], parameter("", "cells that tell its row by column")]
    column: Annotated[str, parameter("", "column that holds it")]
    low: Annotated[float, parameter("as in the table", "lower end of the prior")]
    high: Annotated[float, parameter("as in the table", "upper end of the prior")]
    source: Annotated[str, parameter("", "where the range comes from", min_length=1)]
    status: Annotated[Literal["read", "recalled", "derived", "assumption"], parameter("", "how it is known")]

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.low >= self.high:
            msg = f"low below high; found {self.low:g} and {self.high:g}"
            raise ValueError(msg)
        return self


class Head(Table):
    """What stands above the [[parameter]] tables of a problem."""

    what: Annotated[str, parameter("", "one line", min_length=1)]
    species: Annotated[Literal["human", "mouse"], parameter("", "whose rule tables")]
    targets: Annotated[tuple[str, ...], parameter("", "targets, as in O27.anc", form="a list of texts", strict=False)]
    persons: Annotated[int, parameter("1", "persons followed in each recorded patient; 0: by lattice", ge=0)] = 0


@dataclass(frozen=True)
class Problem:
    """Free numbers and the targets that they are compared with, by name; ``persons`` as in the file."""

    what: str
    species: str
    targets: tuple[str, ...]
    free: tuple[Free, ...]
    persons: int = 0


def find(name: str) -> Path:
    """Return the file of a shipped problem, or the path as it stands.

    Raises:
        ConfigError: there is no such file; names the nearest shipped one.
    """
    shipped = {path.stem: path for path in sorted((resources.folder("analysis") / "calibration").glob(f"*{SUFFIX}"))}
    if name in shipped:
        return shipped[name]
    if not Path(name).is_file():
        raise ConfigError(f"no such problem{did_you_mean(name, shipped)}", file=name)
    return Path(name)


def read_problem(path: Path) -> Problem:
    """Read and check a problem; what is wrong is one line with file, line and key."""
    source = read_source(path)
    rows = source.data.pop("parameter", None)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError("expected at least one [[parameter]]", file=path)
    head = checked(Head, source)
    whole = Source(source.file, {"parameter": rows}, source.lines)
    free = tuple(checked(Free, part_of(whole, ("parameter", i), Free)) for i in range(len(rows)))
    for index, one in enumerate(free):
        if head.persons and one.table not in REPLAYED:
            place = source.place(("parameter", index, "table"))
            message = f"expected {' or '.join(REPLAYED)} in recorded patients, found {one.table!r}"
            raise ConfigError(message, file=place, key="table")
        _check_row(head.species, one, source, index)
    return Problem(head.what, head.species, head.targets, free, head.persons)


def _check_row(species: str, free: Free, source: Source, index: int) -> None:
    """Raise a ConfigError unless exactly one row of the table is meant."""
    place = source.place(("parameter", index, "row"))
    table = rules_folder(species) / f"{free.table}.csv"
    if not table.is_file():
        names = [path.stem for path in rules_folder(species).glob("*.csv")]
        raise ConfigError(f"no such table: {free.table!r}{did_you_mean(free.table, names)}", file=place, key="table")
    header, *rows = _cells(table)
    for column in (*free.row, free.column):
        if column not in header:
            raise ConfigError(f"no such column{did_you_mean(column, header)}", file=place, key=column)
    number = sum(_is_meant(header, row, free) for row in rows)
    if number != 1:
        raise ConfigError(f"expected one row of {table.name}, found {number} with {free.row}", file=place, key="row")


def _cells(table: Path) -> list[list[str]]:
    lines = table.read_text(encoding="utf-8").splitlines()
    return list(csv.reader(line for line in lines if not line.startswith("#")))


def _is_meant(header: list[str], row: list[str], free: Free) -> bool:
    return all(row[header.index(column)] == text for column, text in free.row.items())


def current(problem: Problem) -> list[float]:
    """Return the values that stand in the rule tables now."""
    found = []
    for free in problem.free:
        header, *rows = _cells(rules_folder(problem.species) / f"{free.table}.csv")
        row = next(row for row in rows if _is_meant(header, row, free))
        found.append(float(row[header.index(free.column)]))
    return found


def write_tables(problem: Problem, point: Sequence[float], folder: Path) -> Path:
    """Write the rule tables that a point changes into ``folder``, all else as it stands, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted({free.table for free in problem.free}):
        header, *rows = _cells(rules_folder(problem.species) / f"{name}.csv")
        for free, value in zip(problem.free, point, strict=True):
            if free.table == name:
                row = next(row for row in rows if _is_meant(header, row, free))
                row[header.index(free.column)] = f"{value:.6g}"
        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows([header, *rows])
        (folder / f"{name}.csv").write_text(text.getvalue(), encoding="utf-8")
    return folder


def targets_of(problem: Problem, catalogue: Catalogue, path: Path) -> list[Target]:
    """Return the targets of a problem: single numbers of one cohort each, or of any kind in recorded patients.

    Raises:
        ConfigError: one is not there, or is a share, contrast or correlation, which one patient does not have; or its
            patients have no residual leukaemia, so that they cannot be recorded.
    """
    known = {target.name: target for target in catalogue.targets}
    for name in problem.targets:
        if name not in known:
            raise ConfigError(f"expected a target, found {name!r}{did_you_mean(name, known)}", file=path, key="targets")
        target = known[name]
        if problem.persons:
            _check_recorded(target, catalogue, path)
        elif target.not_modelled or target.contrast or target.statistic not in ("mean", "median"):
            message = f"expected a mean or median of one cohort, found {name}, {target.contrast or target.statistic}"
            raise ConfigError(message, file=path, key="targets")
    return [known[name] for name in problem.targets]


def _check_recorded(target: Target, catalogue: Catalogue, path: Path) -> None:
    """Raise a ConfigError unless the patients of a target can be recorded."""
    if target.observable in NOT_REPLAYED:
        message = f"expected what a replay tells, found {target.name}: leukaemia that escapes is not replayed"
        raise ConfigError(message, file=path, key="targets")
    for name in target.cohorts or ("",):
        protocol = catalogue.protocols.get(name)
        if protocol is None or not protocol.well_mixed or FOLLOWED not in protocol.set:
            message = f"expected cohorts without a lattice and with {FOLLOWED}, found {target.name} of {name or 'none'}"
            raise ConfigError(message, file=path, key="targets")
