"""What every table of a scenario is made of: parameters with unit, limits and one sentence."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict


def parameter(unit: str, doc: str, *, form: str = "", **limits: Any) -> Any:  # noqa: ANN401 - a pydantic FieldInfo
    """Declare a parameter: its unit (empty for none), one sentence, its form if not plain, and its limits."""
    extra: JsonDict = {"unit": unit}
    if form:
        extra["form"] = form
    return Field(description=doc, json_schema_extra=extra, **limits)


class Table(BaseModel):
    """Base of all configuration tables: immutable, no unknown keys, no silent conversion, no inf or nan."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
