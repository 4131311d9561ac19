"""What ``abm describe`` and ``abm check`` print: parameters, rules, and the size of a run before it starts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from abm import observe, resources
from abm.backends import Backend, choose
from abm.config import Config, rules_folder
from abm.config_errors import expectation, model_of
from abm.config_events import ACTIONS, Timed
from abm.errors import ConfigError
from abm.memory import refusal
from abm.model import body
from abm.notes import notes
from abm.run_folder import own_tables
from abm.scale.machines import Options
from abm.scale.text import lines
from abm.scenario_files import shipped_names
from abm.step import Simulation
from abm.tables import PROVENANCE, Row, did_you_mean, nearest, read_header, read_table, rule_files

#: Seconds of computing behind an estimate of the duration.
TRIAL_S = 2.0
#: The trial is made on a patch of at most this length.
TRIAL_LENGTH = 64
COMMENT_COLUMN = 30


def defaults() -> list[str]:
    """Return a scenario with all defaults, every key explained, and all events as comments."""
    lines = [*_tables(Config(), absent=True), "# Events, in any number and order. Required keys stand without a value."]
    for action, table in ACTIONS.items():
        lines += ["", *(f"# {line}" for line in _event(action, table))]
    return lines


def scenario(config: Config) -> list[str]:
    """Return a resolved scenario, every key explained."""
    lines = _tables(config)
    for event in config.events:
        lines += _table("[[events]]", event)
    return lines


def parameters(pattern: str) -> list[str]:
    """Return a line for every parameter of a name, all of it or its end, in which ``*`` stands for anything.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    known = dict(_parameters())
    for wanted in (pattern, f"{pattern}.*"):
        if found := [line for key, line in known.items() if fnmatchcase(f".{key}", f"*.{wanted}")]:
            return found
    ends = {".".join(parts[i:]) for parts in (key.split(".") for key in known) for i in range(len(parts))}
    word, names = pattern.strip("*."), sorted({*ends, *shipped_names()})
    near = next((name for name in names if word and name.startswith(word)), None) or nearest(word, names)
    meant = f"did you mean {near}?" if near else "`abm describe` lists all parameters"
    raise ConfigError(f"no such scenario or parameter ({meant})", key=pattern)


def _parameters() -> Iterator[tuple[str, str]]:
    """Yield name and line of every parameter of a scenario; those of events are named by their action."""
    tables: list[tuple[str, type[BaseModel]]] = [("", Config)]
    tables += [(f"events.{action}.", table) for action, table in ACTIONS.items()]
    while tables:
        above, table = tables.pop(0)
        for name, field in table.model_fields.items():
            if (inner := model_of(field)) is not None:
                tables.append((f"{above}{name}.", inner))
            elif field.description is not None:
                key, absent = f"{above}{name}", field.default is None
                line = _padded(_assignment(key, None), _meaning(field)) if absent else _line(key, field.default, field)
                yield key, line


def schema() -> list[str]:
    """Return the JSON Schema of scenarios."""
    return [json.dumps(Config.json_schema(), indent=2)]


def rules(species: str, table: str | None) -> list[str]:
    """Return the rule tables of a species (or one of them), a line per rule with unit, status and source."""
    return [line for name, path in _tables_of(species, table).items() for line in _rule_lines(name, path)]


def copied(species: str, table: str | None, out: Path) -> list[str]:
    """Copy the rule tables of a species (or one of them) into a folder, where they may be changed; return their paths.

    Rows that are different in a disease stay where they are: a folder of own tables cannot replace them.

    Raises:
        ConfigError: one of them is there already; nothing is written.
    """
    files = {out / path.name: path for name, path in _tables_of(species, table).items() if "/" not in name}
    if not files:
        raise ConfigError("expected a table of the species: rows of a disease cannot be replaced", file="--copy")
    for file in files:
        if file.exists():
            raise ConfigError("already there; expected a folder without it", file=file)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, path in files.items():
            file.write_bytes(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=out) from None
    return [str(file) for file in files]


def observables() -> list[str]:
    """Return name, unit and meaning of what a run records; first what a patient without a lattice has as well."""
    parts = (
        ("# Blood and body: in every run and in `abm sweep`.", body.OBSERVABLES),
        ("# The patch of marrow: in runs only.", observe.OBSERVABLES),
    )
    text: list[str] = []
    for title, names in parts:
        text += [title, *(f"{name:<34}{unit:<12}{meaning}" for name, (unit, meaning) in names.items()), ""]
    return text[:-1]


def _tables_of(species: str, table: str | None) -> dict[str, Path]:
    """Return the files of a species' rule tables by name, or of one of them."""
    if species not in resources.species_names():
        raise ConfigError(f"no such species{did_you_mean(species, resources.species_names())}", key="--rules")
    folder = rules_folder(species)
    paths = {path.relative_to(folder).with_suffix("").as_posix(): path for path in rule_files(folder)}
    wanted = None if table is None else table.removesuffix(".csv")
    if wanted is not None and wanted not in paths:
        raise ConfigError(f"no such rule table{did_you_mean(wanted, list(paths))}", file=folder, key=wanted)
    return {name: path for name, path in paths.items() if wanted in (None, name)}


def plan(config: Config, backend_name: str, *, timed: bool, **scale: Any) -> Iterator[str]:  # noqa: ANN401
    """Check everything a run needs and yield what it will take, line by line.

    Args:
        config: of the run.
        backend_name: one of ``abm.backends.NAMES``.
        timed: run some steps to estimate the duration.
        scale: ranks and their machine, by the names of :class:`Options`, if the run is not meant for this process.
    """
    meant = Options(**scale)
    meant.check()
    Simulation.validate(config)
    nz, ny, nx = config.patch.shape
    yield f"scenario   valid; {config.patch.species}, {len(config.events)} events"
    if tables := own_tables(config):
        yield f"own tables {', '.join(tables)} of {config.patch.rules}"
    yield from (f"note       {text}" for text in notes(config))
    yield f"patch      {nz} x {ny} x {nx} = {config.n_sites} sites of 10 um ({config.n_sites * 1e-6:g} mm3)"
    days = f"day {config.time.start_day:g} to {config.time.end_day:g}"
    yield f"time       {days}, {config.n_steps} steps of {config.step_h:g} h"
    *arrays, (_, total) = Simulation.memory(config)
    yield f"memory     {total} bytes per site, {total * config.n_sites / 2**20:.0f} MiB"
    yield f"           {', '.join(f'{name} {per_site}' for name, per_site in arrays)}"
    backend, reason = choose(backend_name)
    yield f"backend    {reason}"
    if not meant.asked and (message := refusal(config.patch.shape, backend, total)):
        raise config.error("patch.shape", message)
    if timed:
        speed = _speed(config, backend)
        seconds = config.n_sites * config.n_steps / speed
        yield f"duration   about {seconds:.0f} s at {speed:.2g} site-updates/s, as on the first days, without files"
    if meant.asked:
        yield from lines(config, meant, choose("host")[0] if backend.name == "cuda" else backend)


def _speed(config: Config, backend: Backend) -> float:
    """Return site-updates per second on a patch of at most 64 sites' length."""
    shape = tuple(min(length, TRIAL_LENGTH) for length in config.patch.shape)
    small = config.model_copy(update={"patch": config.patch.model_copy(update={"shape": shape})})
    trial = Simulation.start(small, backend)
    trial.advance()  # not timed: first touch of memory and tables
    began, steps = time.monotonic(), 0
    while steps == 0 or (time.monotonic() - began < TRIAL_S and steps < small.n_steps - 1):
        trial.advance()
        steps += 1
    return small.n_sites * steps / (time.monotonic() - began)


def _tables(config: Config, *, absent: bool = False) -> list[str]:
    """Return the keys and tables of a scenario without its events; ``absent``: with keys that have no value, too."""
    lines = []
    for name, field in Config.model_fields.items():
        if model_of(field) is None and name != "events":
            lines.append(_line(name, getattr(config, name), field))
    for name, field in Config.model_fields.items():
        if model_of(field) is not None:
            lines += ["", *_table(f"[{name}]", getattr(config, name), absent=absent)]
    return [*lines, ""]


def _table(header: str, values: BaseModel, *, absent: bool = False) -> list[str]:
    return [_padded(header, (type(values).__doc__ or "").splitlines()[0]), *_keys(values, absent=absent)]


def _keys(values: BaseModel, above: str = "", *, absent: bool = False) -> list[str]:
    """Return a line for every key; those of a table in a table are dotted, those without a value comments."""
    lines = []
    for name, field in type(values).model_fields.items():
        value, key = getattr(values, name), f"{above}{name}"
        if isinstance(value, BaseModel):
            lines += _keys(value, f"{key}.", absent=absent)
        elif value is not None or absent:
            lines.append(f"{'# ' * (value is None)}{_line(key, value, field)}")
    return lines


def _event(action: str, table: type[Timed]) -> list[str]:
    lines = [_padded("[[events]]", (table.__doc__ or "").splitlines()[0]), f'action = "{action}"']
    for name, field in table.model_fields.items():
        if name != "action":
            lines.append(_line(name, field.default, field))
        if (inner := model_of(field)) is not None:
            lines += [_line(f"{name}.{key}", part.default, part) for key, part in inner.model_fields.items()]
    return lines


def _line(name: str, value: object, field: FieldInfo) -> str:
    """Return ``key = value  # range (unit), default: sentence``."""
    if field.description is None:  # the action of an event
        return _assignment(name, value)
    required, text = field.is_required(), _meaning(field)
    if not required and value != field.default:
        text += f" [default {_toml(field.default)}]"
    given = value is not None and not (required and value is field.default)
    return _padded(_assignment(name, value) if given else f"{name} =", text)


def _meaning(field: FieldInfo) -> str:
    return f"{expectation(field)}{', required' * field.is_required()}: {field.description}"


def _assignment(name: str, value: object) -> str:
    return f"{name} = {_toml(value)}"


def _toml(value: object) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, dict):
        pairs = ", ".join(tomli_w.dumps({key: item}).strip() for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return "absent" if value is None else tomli_w.dumps({"v": value}).removeprefix("v = ").strip()


def _padded(text: str, comment: str) -> str:
    return f"{text:<{COMMENT_COLUMN}}  # {comment}"


def _rule_lines(name: str, path: Path) -> list[str]:
    columns = read_header(path)
    comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return [f"{name}.csv", *comments, *(_rule(row, columns) for row in read_table(path, columns)), ""]


def _rule(row: Row, columns: list[str]) -> str:
    cells = [f"{name}={row.text(name)}" for name in columns if name not in PROVENANCE and row.text(name)]
    return f"  {' '.join(cells)}  [{row.text('unit')}]  {row.text('status')}: {row.text('source')}"
