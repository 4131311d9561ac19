"""A scenario file before it is checked: its data, and where each key came from (line or ``--set``)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from abm.errors import ConfigError
from abm.tables import did_you_mean

#: A key's path: table names, list positions and the key itself.
KeyPath = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)(.+?)(\]\]?)\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[\w.\s-])+?)\s*=""")
_TOKEN = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*|[\[\]{}]')


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line number of every table header and key of a valid TOML text.

    Keys inside inline tables and multi-line values are not listed: ask :func:`line_of`, which falls back
    to the key they belong to.
    """
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    depth, quote = 0, ""
    for number, line in enumerate(text.split("\n"), start=1):
        if depth == 0 and not quote:
            if header := _HEADER.match(line):
                table = _table_path(header[1], _parts(header[2]), counts)
                lines.setdefault(table, number)
                continue
            if key := _KEY.match(line):
                lines.setdefault((*table, *_parts(key[1])), number)
        depth, quote = _scan(line, depth, quote)
    return lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """Return the line of ``path`` or of the nearest key above it."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return None


def _parts(dotted: str) -> KeyPath:
    """Split a dotted, possibly quoted key with the TOML parser itself."""
    node = tomllib.loads(f"{dotted} = 0")
    parts: list[str] = []
    while isinstance(node, dict):
        (name, node), *_ = node.items()
        parts.append(name)
    return tuple(parts)


def _table_path(brackets: str, parts: KeyPath, counts: dict[KeyPath, int]) -> KeyPath:
    """Return the path of a header, with the running number of each array of tables above it."""
    path: KeyPath = ()
    for part in parts[:-1]:
        path = (*path, part)
        if path in counts:
            path = (*path, counts[path] - 1)
    path = (*path, parts[-1])
    if brackets == "[[":
        counts[path] = counts.get(path, 0) + 1
        path = (*path, counts[path] - 1)
    return path


def _scan(line: str, depth: int, quote: str) -> tuple[int, str]:
    """Return bracket depth and the open multi-line quote after ``line``."""
    position = 0
    while position < len(line):
        if quote:
            end = line.find(quote, position)
            if end < 0:
                return depth, quote
            position, quote = end + 3, ""
            continue
        token = _TOKEN.search(line, position)
        if token is None:
            break
        position = token.end()
        if token[0] in ('"""', "'''"):
            quote = token[0]
        elif token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
    return depth, quote


@dataclass(frozen=True)
class Source:
    """Parsed scenario with the origin of its keys."""

    file: Path
    data: dict[str, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    overrides: Mapping[KeyPath, str] = field(default_factory=dict)  #: ``--set`` text by key path

    def place(self, path: KeyPath) -> str:
        """Return where ``path`` was written: ``FILE:LINE`` or ``--set KEY=VALUE``."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.overrides:
                return f"--set {self.overrides[path[:end]]}"
        line = line_of(self.lines, path)
        return f"{self.file}" if line is None else f"{self.file}:{line}"


def key_text(path: KeyPath) -> str:
    """Return a key path as users write it: ``events[0].day``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_source(path: Path, overrides: Sequence[str] = ()) -> Source:
    """Parse a TOML file and apply ``key=value`` overrides to it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the scenario: {error.strerror}", file=path) from None
    except UnicodeDecodeError:
        raise ConfigError("the scenario is not UTF-8 text", file=path) from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, str(error)) from None
    written = {_apply(data, override): override for override in overrides}
    return Source(path, data, key_lines(text), written)


def _syntax_error(path: Path, message: str) -> ConfigError:
    found = re.search(r"line (\d+)", message)
    return ConfigError(f"not valid TOML: {message}", file=path, line=int(found[1]) if found else None)


def _apply(data: dict[str, Any], override: str) -> KeyPath:
    """Set one ``table.key=value`` in ``data``; return the key's path, with positions in place of names of events."""
    key, equals, text = override.partition("=")
    path = tuple(int(part) if part.isdigit() else part for part in re.split(r"[.\[\]]+", key.strip().rstrip("]")))
    if not equals or not all(isinstance(part, int) or part for part in path):
        raise ConfigError("expected table.key=value, such as patch.shape=[32,32,32]", file=f"--set {override}")
    if len(path) > 2 and path[0] == "events" and isinstance(path[1], str):
        path = ("events", _event(data.get("events", []), path[1], override), *path[2:])
    node: Any = data
    for position, part in enumerate(path[:-1]):
        node = _child(node, part, override, key_text(path[: position + 1]))
    last = path[-1]
    if isinstance(node, list):
        _child(node, last, override, key_text(path))
    elif not isinstance(node, dict) or isinstance(last, int):
        raise ConfigError("no such key", file=f"--set {override}", key=key_text(path))
    node[last] = _value(text.strip())
    return path


def _event(events: object, name: str, override: str) -> int:
    """Return the position of the first event with this action or drug."""
    tables = [event if isinstance(event, dict) else {} for event in events] if isinstance(events, list) else []
    for index, event in enumerate(tables):
        if name in (event.get("action"), event.get("drug")):
            return index
    names = {str(event[what]) for event in tables for what in ("action", "drug") if what in event}
    raise ConfigError(f"no such event{did_you_mean(name, names)}", file=f"--set {override}", key=f"events.{name}")


def _child(node: Any, part: str | int, override: str, name: str) -> Any:  # noqa: ANN401 - any TOML value
    """Step down one level; tables that a scenario leaves out are made."""
    if isinstance(node, dict) and isinstance(part, str):
        return node.setdefault(part, {})
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return node[part]
    have = f"; the scenario has {len(node)}, counted from 0" if isinstance(node, list) else ""
    raise ConfigError(f"no such entry{have}", file=f"--set {override}", key=name)


def _value(text: str) -> Any:  # noqa: ANN401 - any TOML value
    """Parse an override's value as TOML; a bare word is text, as shells strip quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
