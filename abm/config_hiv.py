"""HIV infection of the patient, and what is taken against it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ValidationInfo, field_validator

from abm.config_table import Table, parameter

Ccr5Null = Annotated[
    float, parameter("1", "share of its cells without functional CCR5; 1: donor homozygous for delta32", ge=0, le=1)
]


class Infected(Table):
    """What a patient may be infected with."""

    infection: Annotated[Literal["none", "hiv"], parameter("", "virus that the patient carries or will meet")] = "none"
    infection_day: Annotated[
        float | None,
        parameter("d", "day of exposure; what lies before the run is lived through in the body alone", ge=-36500),
    ] = None
    art_day: Annotated[
        float | None,
        parameter("d", "first day of antiretroviral therapy, before the run; absent: none until an event", ge=-36500),
    ] = None

    @field_validator("infection_day", "art_day")
    @classmethod
    def _needs_infection(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("infection") == "none":
            msg = 'nothing for a patient without infection (or infection = "hiv")'
            raise ValueError(msg)
        return value

    @field_validator("infection_day")
    @classmethod
    def _inside_run(cls, value: float | None, info: ValidationInfo) -> float | None:
        _, end = (info.context or {}).get("days", (None, None))
        if value is not None and end is not None and value > end:
            msg = f"a day up to end_day = {end:g}"
            raise ValueError(msg)
        return value

    @field_validator("art_day")
    @classmethod
    def _after_exposure(cls, value: float | None, info: ValidationInfo) -> float | None:
        exposed = info.data.get("infection_day")
        if value is not None and exposed is not None and value < exposed:
            msg = f"a day from infection_day = {exposed:g} on"
            raise ValueError(msg)
        return value


class Antiretroviral(Table):
    """How antiretroviral therapy is taken, a dose a day."""

    adherence: Annotated[float, parameter("1", "chance that a dose is taken", gt=0, le=1)] = 1.0
    until_day: Annotated[float | None, parameter("d", "day of the first dose left out; absent: never")] = None

    @field_validator("until_day")
    @classmethod
    def _later(cls, value: float | None, info: ValidationInfo) -> float | None:
        day = info.data.get("day")
        if value is not None and day is not None and value <= day:
            msg = f"a day after day = {day:g}"
            raise ValueError(msg)
        return value
