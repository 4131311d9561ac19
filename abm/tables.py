"""Rule tables: CSV files in which every number carries its unit, its source and how sure we are of it.

One row is one physical line. ``#`` starts a comment line. Every table ends with the columns
``unit, source, status``; a wrong table is one :class:`ConfigError` that names file, line and column.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from abm.errors import ConfigError

#: Columns every table has.
PROVENANCE = ("unit", "source", "status")
#: Optional columns: the range that the source states for a number.
RANGE = ("low", "high")
#: Columns that such a range may be about.
RANGED = ("value", "probability", "factor")
#: How a number is known: read in the cited source, recalled, derived from others, or assumed.
STATUSES = ("read", "recalled", "derived", "assumption")


@dataclass(frozen=True)
class Amended:
    """A table some rows of which are replaced, or to which some are added, by those of another file."""

    base: Path
    rows: Path

    def __str__(self) -> str:
        """Return both files, for messages."""
        return f"{self.base} with {self.rows}"


#: Where a table stands.
TableFile = Path | Amended


@dataclass(frozen=True)
class Overlay:
    """The tables of one folder, some of them replaced by those of others: read like a folder.

    Attributes:
        base: tables of the species.
        over: whole tables that count instead of those of the same name.
        rows: tables whose rows replace those they agree with in the key of the table, and add others; a table that the
            others lack counts as it is.
        beside: the same; where both have a table, that of ``rows`` counts.
    """

    base: Path
    over: Path | None = None
    rows: Path | None = None
    beside: Path | None = None

    def __truediv__(self, name: str) -> TableFile:
        """Return where the table ``name`` stands."""
        mine = self.over / name if self.over else None
        table = mine if mine is not None and mine.is_file() else self.base / name
        for folder in (self.rows, self.beside):
            if folder is not None and (rows := folder / name).is_file():
                return Amended(table, rows) if table.is_file() else rows
        return table

    def __str__(self) -> str:
        """Return all folders, for messages."""
        return " with ".join(str(folder) for folder in self.folders)

    @property
    def folders(self) -> list[Path]:
        """All folders."""
        return [folder for folder in (self.base, self.over, self.rows, self.beside) if folder is not None]

    def is_dir(self) -> bool:
        """Whether all folders are there."""
        return all(folder.is_dir() for folder in self.folders)


#: What holds the rule tables of a run.
Folder = Path | Overlay


def nearest(found: str, options: Iterable[str]) -> str | None:
    """Return the option that ``found`` is probably a misspelling of."""
    by_lower = {name.lower(): name for name in sorted(options)}
    near = get_close_matches(found.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[near[0]] if near else None


def did_you_mean(found: str, options: Iterable[str]) -> str:
    """Return ``" (did you mean X?)"`` for the option nearest to ``found``, or all options if none is near."""
    names = sorted(set(options))
    near = nearest(found, names)
    if near is not None:
        return f" (did you mean {near}?)"
    return f" (known: {', '.join(names)})" if names else ""


@dataclass(frozen=True)
class Row:
    """One line of a table: cells by column name, stripped of blanks."""

    file: Path
    line: int
    values: Mapping[str, str]

    def error(self, column: str, message: str) -> ConfigError:
        """Return an error that points at ``column`` of this row."""
        return ConfigError(message, file=self.file, line=self.line, key=column)

    def text(self, column: str) -> str:
        """Return the cell as it stands; an empty cell is an empty string."""
        return self.values[column]

    def number(self, column: str, minimum: float | None = None, maximum: float | None = None) -> float:
        """Return the cell as a finite number inside ``[minimum, maximum]``."""
        text = self.values[column]
        try:
            value = math.nan if "_" in text else float(text)
        except ValueError:
            value = math.nan
        return self._inside(column, value, "a number", minimum, maximum)

    def outside(self, column: str) -> str | None:
        """Return what is to be said of a number outside its stated range ``low``-``high``; ``None`` if nothing.

        A range is what the source allows a calibration, not what the model can bear: to leave it is no error.
        """
        value, ends = self.number(column), [self.values.get(name, "") for name in RANGE]
        low, high = (self.number(name) if text else None for name, text in zip(RANGE, ends, strict=True))
        if low is not None and high is not None and low > high:
            raise self.error(RANGE[0], f"expected at most {RANGE[1]} = {high:g}, found {low:g}")
        if (low is None or value >= low) and (high is None or value <= high):
            return None
        place = f"{self.file}:{self.line}: {column}"
        return f"{place}: found {value:g}, outside {ends[0]}-{ends[1]} {self.text('unit')} ({self.text('source')})"

    def integer(self, column: str, minimum: int | None = None, maximum: int | None = None) -> int:
        """Return the cell as a whole number inside ``[minimum, maximum]``."""
        text = self.values[column]
        digits = text[1:] if text[:1] in ("-", "+") else text
        value = int(text) if digits.isascii() and digits.isdigit() else math.nan
        self._inside(column, value, "a whole number", minimum, maximum)
        return int(value)

    def choice(self, column: str, options: Iterable[str]) -> str:
        """Return the cell, which must be one of ``options``."""
        text, names = self.values[column], list(options)
        if text not in names:
            raise self.error(column, f"unknown name {text!r}{did_you_mean(text, names)}")
        return text

    def _inside(self, column: str, value: float, what: str, low: float | None, high: float | None) -> float:
        if math.isfinite(value) and (low is None or value >= low) and (high is None or value <= high):
            return value
        limits = [f"{sign} {limit:g}" for sign, limit in ((">=", low), ("<=", high)) if limit is not None]
        expected = " ".join([what, " and ".join(limits)]).strip()
        raise self.error(column, f"expected {expected}, found {self.values[column]!r}")


def read_table(
    path: TableFile, columns: Sequence[str], optional: Sequence[str] = (), key: Sequence[str] = ()
) -> list[Row]:
    """Read a rule table with these ``columns`` (``unit, source, status`` are implied) and any ``optional`` ones.

    ``key``: columns by which rows of an amended table replace others; none: it may not be amended.
    """
    if isinstance(path, Amended):
        if not key:
            raise ConfigError("this table can only be replaced as a whole", file=path.rows)
        rows = read_table(path.rows, columns, optional)
        new = {tuple(row.text(name) for name in key) for row in rows}
        kept = [r for r in read_table(path.base, columns, optional) if tuple(r.text(name) for name in key) not in new]
        return kept + rows
    wanted = (*columns, *(name for name in PROVENANCE if name not in columns))
    lines = _physical_lines(path)
    if not lines:
        raise ConfigError(f"the table is empty; expected a header row: {','.join(wanted)}", file=path)
    number, header = lines[0]
    _check_header(path, number, header, wanted, optional)
    rows = [_row(path, line, header, cells) for line, cells in lines[1:]]
    if not rows:
        raise ConfigError("the table has a header but no rows", file=path, line=number)
    return rows


def once(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a table in which no two may agree in all of ``columns``: one would count for nothing."""
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        cells = tuple(row.text(name) for name in columns)
        if cells in seen:
            raise row.error(columns[-1], f"{' '.join(cells)} stands twice in this table")
        seen.add(cells)
        yield row


def out_of_range(folder: Folder) -> list[str]:
    """Return a line for every number of a folder outside the range that its source states beside it."""
    places = folder.folders if isinstance(folder, Overlay) else [folder]
    found: list[str] = []
    for name in sorted({path.name for place in places for path in place.glob("*.csv")}):
        table = folder / name
        for file in [table.base, table.rows] if isinstance(table, Amended) else [table]:
            columns = read_header(file)
            if set(RANGE) & set(columns):
                ranged = next(column for column in RANGED if column in columns)
                found += [said for row in read_table(file, columns) if (said := row.outside(ranged)) is not None]
    return found


def read_values(path: TableFile, units: Mapping[str, str]) -> dict[str, float]:
    """Read a ``name,value`` table: every name of ``units`` exactly once, in exactly that unit.

    Args:
        path: the CSV file.
        units: unit by parameter name; the table must hold these names and no others.

    Returns:
        Value by name, in the order of ``units``.
    """
    found: dict[str, float] = {}
    for row in read_table(path, ("name", "value"), RANGE, key=("name",)):
        name = row.choice("name", units)
        if name in found:
            raise row.error("name", f"{name!r} stands twice in this table")
        if row.text("unit") != units[name]:
            raise row.error("unit", f"{name} is expected in {units[name]!r}, found {row.text('unit')!r}")
        found[name] = row.number("value")
    missing = [name for name in units if name not in found]
    if missing:
        raise ConfigError(f"missing: {', '.join(missing)}", file=str(path), key="name")
    return {name: found[name] for name in units}


def read_header(path: Path) -> list[str]:
    """Return the columns of a table as they stand."""
    lines = _physical_lines(path)
    return lines[0][1] if lines else []


def read_names(path: TableFile) -> list[str]:
    """Return the distinct entries of a table's first column, whatever its other columns are."""
    names: list[str] = []
    for file in [path.base, path.rows] if isinstance(path, Amended) else [path]:
        columns = read_header(file)
        names += [row.text(columns[0]) for row in read_table(file, columns)]
    return list(dict.fromkeys(names))


def rule_files(folder: Path) -> list[Path]:
    """Return the tables of a rule folder and those below it, such as of diseases, by name."""
    return sorted(folder.rglob("*.csv"))


def rules_digest(folder: Path) -> str:
    """Return the SHA-256 of all tables of a rule folder and those below it: names and bytes, in name order."""
    digest = hashlib.sha256()
    for path in rule_files(folder):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _physical_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return (line number, stripped cells) of every line that is neither blank nor a comment."""
    text = _text(path)
    lines = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            cells = next(csv.reader([stripped], strict=True, skipinitialspace=True))
        except csv.Error as error:
            raise ConfigError(f"unreadable row ({error}); is the table truncated?", file=path, line=number) from None
        lines.append((number, [cell.strip() for cell in cells]))
    return lines


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read this rule table: {error.strerror}", file=path) from None
    last = content.count(b"\n") + 1
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        raise ConfigError("the table holds NUL bytes: it is damaged", file=path, line=line)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError("the table is not UTF-8 text", file=path, line=line) from None
    if text and not text.endswith("\n"):
        raise ConfigError("the last line has no line end: the table is truncated", file=path, line=last)
    return text


def _check_header(path: Path, line: int, header: list[str], wanted: Sequence[str], optional: Sequence[str]) -> None:
    for name in header:
        if name not in wanted and name not in optional:
            message = f"unknown column{did_you_mean(name, [*wanted, *optional])}"
            raise ConfigError(message, file=path, line=line, key=name or "''")
        if header.count(name) > 1:
            raise ConfigError("this column stands twice", file=path, line=line, key=name)
    missing = [name for name in wanted if name not in header]
    if missing:
        raise ConfigError(f"missing column: {', '.join(missing)}", file=path, line=line)


def _row(path: Path, line: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        found = f"expected {len(header)} cells ({','.join(header)}), found {len(cells)}"
        raise ConfigError(f"{found}; is the row truncated?", file=path, line=line)
    row = Row(path, line, dict(zip(header, cells, strict=True)))
    for column in PROVENANCE:
        if not row.text(column):
            raise row.error(column, "empty; every row states its unit ('1' if none), source and status")
    row.choice("status", STATUSES)
    return row
