"""What every table of a scenario is made of: parameters with unit, limits and one sentence."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from abm.tables import did_you_mean


def parameter(unit: str, doc: str, *, form: str = "", **limits: Any) -> Any:  # noqa: ANN401 - a pydantic FieldInfo
    """Declare a parameter: its unit (empty for none), one sentence, its form if not plain, and its limits."""
    extra: JsonDict = {"unit": unit}
    if form:
        extra["form"] = form
    return Field(description=doc, json_schema_extra=extra, **limits)


def each_once(found: tuple[str, ...], known: Collection[str], what: str) -> tuple[str, ...]:
    """Return the names that were found; a ``ValueError`` if one is not known or stands twice."""
    for name in found:
        if name not in known:
            raise ValueError(what, f"; it holds {name}{did_you_mean(name, known)}")
    if len(set(found)) < len(found):
        msg = "each antigen once"
        raise ValueError(msg)
    return found


class Table(BaseModel):
    """Base of all configuration tables: immutable, no unknown keys, no silent conversion, no inf or nan."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
