"""From pydantic's list of errors to lines a biologist can act on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from abm.config_lines import KeyPath, Source, key_text, line_of
from abm.tables import did_you_mean, nearest

_LIMITS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))


class Located(NamedTuple):
    """Where an error is: the key's path, its declaration, and the table it stands in."""

    path: KeyPath
    field: FieldInfo | None
    table: type[BaseModel] | None


@dataclass(frozen=True)
class Explainer:
    """Turns errors of one model into messages.

    Attributes:
        root: model of the whole scenario.
        actions: model of an event by the name of its action.
    """

    root: type[BaseModel]
    actions: Mapping[str, type[BaseModel]]

    def lines(self, error: ValidationError, source: Source) -> list[str]:
        """Return one line per problem, in the order of the file."""
        messages: dict[KeyPath, str] = {}
        explained: set[KeyPath] = set()  # keys already named as the right spelling of an unknown one
        for detail in sorted(error.errors(include_url=False), key=lambda d: d["type"] == "missing"):
            place = self.locate(detail)
            if detail["type"] == "missing" and place.path in explained:
                continue
            if detail["type"] == "extra_forbidden":
                meant = _meant(str(place.path[-1]), place.table)
                explained.update((*place.path[:-1], name) for name in meant)
            messages.setdefault(place.path, self.message(detail, place))
        ordered = sorted(messages, key=lambda path: line_of(source.lines, path) or 0)
        return [f"{source.place(path)}: {key_text(path)}: {messages[path]}" for path in ordered]

    def locate(self, detail: ErrorDetails) -> Located:
        """Walk pydantic's location through the models, leaving out union branches and event tags."""
        path: KeyPath = ()
        field: FieldInfo | None = None
        table: type[BaseModel] | None = self.root
        parent: type[BaseModel] | None = None
        for part in detail["loc"]:
            if table is not None and part in table.model_fields:
                field, parent = table.model_fields[str(part)], table
                path, table = (*path, part), model_of(field)
            elif field is None and table is None and part in self.actions:
                table = parent = self.actions[str(part)]
            elif field is not None and table is None and _extra(field, "form"):
                break
            elif isinstance(part, int) or table is not None:
                path, field, parent, table = (*path, part), None, table, None
        if detail["type"].startswith("union_tag"):
            path = (*path, "action")
        return Located(path, field, parent)

    def message(self, detail: ErrorDetails, place: Located) -> str:
        """Return what is wrong at ``place`` and what would be right."""
        kind, found = detail["type"], detail["input"]
        actions = f"one of {', '.join(self.actions)}"
        if kind == "extra_forbidden":
            return self.unknown_key(str(place.path[-1]), place.table)
        if kind == "union_tag_not_found":
            return f"missing; expected {actions}"
        if kind == "union_tag_invalid":
            tag = str(detail["ctx"]["tag"])
            return f"expected {actions}, found {_shown(tag)}{_hint(tag, self.actions)}"
        if kind == "missing" and place.field is not None and not _extra(place.field, "form"):
            return f"missing; expected {expectation(place.field)}"
        expected, hint = _expected(detail, place.field)
        shown = "" if isinstance(found, dict | BaseModel) and kind == "value_error" else f", found {_shown(found)}"
        return f"expected {expected}{shown}{hint}"

    def unknown_key(self, key: str, table: type[BaseModel] | None) -> str:
        """Return the message for a key its table does not have."""
        meant = _meant(key, table)
        if meant and meant[0].startswith(f"{key}_"):
            return f"missing unit; use {'one of ' * (len(meant) > 1)}{', '.join(meant)}"
        homes = [name for name, field in self.root.model_fields.items() if key in _keys(model_of(field))]
        if homes:
            return f"unknown key here; it belongs in [{homes[0]}]"
        return f"unknown key{did_you_mean(key, _keys(table))}"


def expectation(field: FieldInfo) -> str:
    """Return what a value of this parameter looks like: kind, range and unit."""
    form, unit = _extra(field, "form"), _extra(field, "unit")
    if form:
        return form
    options = options_of(field)
    if options:
        return f"one of {', '.join(options)}"
    return " ".join(
        word for word in (_noun(field), limits(field), f"({unit})" if unit not in ("", "1") else "") if word
    )


def limits(field: FieldInfo) -> str:
    """Return the allowed range of a number, such as ``> 0 and <= 300``."""
    bounds = {name: getattr(mark, name) for mark in field.metadata for name, _ in _LIMITS if hasattr(mark, name)}
    return " and ".join(f"{sign} {_bound(bounds[name])}" for name, sign in _LIMITS if name in bounds)


def _bound(value: float) -> str:
    """Return an end of a range: whole numbers in full, such as the largest seed."""
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def options_of(field: FieldInfo) -> list[str]:
    """Return the allowed words of a parameter that is one of several, or one of them or something else."""
    kinds = (field.annotation, *get_args(field.annotation))
    return [str(word) for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]


def _expected(detail: ErrorDetails, field: FieldInfo | None) -> tuple[str, str]:
    """Return what was expected and a hint at the nearest valid value."""
    if detail["type"] == "value_error":
        expected, *hint = detail["ctx"]["error"].args
        return str(expected), "".join(hint)
    if detail["type"].startswith(("model", "dict")):
        return "a table", ""
    if field is None:
        return detail["msg"].removeprefix("Input should be "), ""
    return expectation(field), _hint(detail["input"], options_of(field))


def _keys(table: type[BaseModel] | None) -> Mapping[str, FieldInfo]:
    return table.model_fields if table else {}


def _meant(key: str, table: type[BaseModel] | None) -> list[str]:
    """Return the keys of ``table`` that ``key`` probably stands for: with a unit added, or spelled right."""
    with_unit = [n for n, f in _keys(table).items() if n.startswith(f"{key}_") and _extra(f, "unit") not in ("", "1")]
    near = nearest(key, _keys(table))
    return with_unit or ([near] if near else [])


def _hint(found: object, options: Mapping[str, Any] | list[str]) -> str:
    near = nearest(found, options) if isinstance(found, str) else None
    return f" (did you mean {near}?)" if near else ""


def _extra(field: FieldInfo, name: str) -> str:
    return str(field.json_schema_extra.get(name, "")) if isinstance(field.json_schema_extra, dict) else ""


def model_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the table a key opens, if it does; it may be optional."""
    kinds = get_args(field.annotation) or (field.annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _noun(field: FieldInfo) -> str:
    kinds = get_args(field.annotation) or (field.annotation,)
    nouns = ((bool, "true or false"), (float, "a number"), (int, "a whole number"), (str, "text"))
    return next((noun for kind, noun in nouns if kind in kinds), "[[events]] tables")


def _shown(value: object) -> str:
    """Return a found value as it would stand in TOML, shortened."""
    text = repr(value) if isinstance(value, float) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
