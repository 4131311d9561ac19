"""The events of a scenario: every parameter with its unit, range, default and meaning."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator

from abm.config_antibody import Infused
from abm.config_cells import Product
from abm.config_graft import Edit, MarrowOf, Purified
from abm.config_hiv import Antiretroviral, Ccr5Null
from abm.config_table import Table, parameter
from abm.tables import did_you_mean


class Timed(Table):
    """Base of all events: something is done on a day."""

    day: Annotated[float, parameter("d", "when it is given (the first dose, if there are several)")]

    @field_validator("day")
    @classmethod
    def _inside_run(cls, value: float, info: ValidationInfo) -> float:
        start, end = (info.context or {}).get("days", (None, None))
        if start is not None and value < start:
            msg = f"a day from start_day = {start:g} on"
            raise ValueError(msg)
        if end is not None and value > end:
            msg = f"a day up to end_day = {end:g}"
            raise ValueError(msg)
        return value


def _known_drug(value: str, info: ValidationInfo) -> str:
    known = info.context or {}
    names = known.get("drugs")
    if names is not None and value not in names:
        other = value in known.get("antibodies", ())
        hint = ' (it is an antibody: action = "antibody")' if other else did_you_mean(value, names)
        raise ValueError("a drug of drugs.csv", hint)
    return value


class OfDrug(Timed):
    """Base of the events that name a drug."""

    drug: Annotated[str, parameter("", "name in the rule table drugs.csv")]
    _check_drug = field_validator("drug")(_known_drug)


Doses = Annotated[int, parameter("1", "number of doses", ge=1, le=10_000)]
Every = Annotated[int, parameter("h", "interval between doses", ge=1, le=8760)]


class Chemo(OfDrug):
    """Cytotoxic drug, with exactly one of the dose keys."""

    action: Literal["chemo"]
    dose_mg_per_kg: Annotated[float | None, parameter("mg/kg", "each dose, per body weight", gt=0, le=1e4)] = None
    dose_mg_per_m2: Annotated[float | None, parameter("mg/m2", "each dose, per body surface", gt=0, le=1e5)] = None
    dose_mg: Annotated[float | None, parameter("mg", "each dose, whatever the body", gt=0, le=1e5)] = None
    dose_mg_h_per_l: Annotated[float | None, parameter("mg h/L", "each dose, as exposure (AUC)", gt=0, le=1e4)] = None
    doses: Doses = 1
    every_h: Every = 24
    DOSE_KEYS: ClassVar[tuple[str, ...]] = ("dose_mg_per_kg", "dose_mg_per_m2", "dose_mg", "dose_mg_h_per_l")

    @model_validator(mode="after")
    def _one_dose(self) -> Self:
        given = [key for key in self.DOSE_KEYS if getattr(self, key) is not None]
        if len(given) != 1:
            msg = f"exactly one of the dose keys {', '.join(self.DOSE_KEYS)}; found {', '.join(given) or 'none'}"
            raise ValueError(msg)
        return self

    @property
    def dose(self) -> tuple[str, float]:
        """The dose key that was given and its value."""
        return next((key, value) for key in self.DOSE_KEYS if (value := getattr(self, key)) is not None)


class Tbi(Timed):
    """Total-body irradiation."""

    action: Literal["tbi"]
    dose_gy: Annotated[float, parameter("Gy", "total dose over all fractions", gt=0, le=50)]
    fractions: Annotated[int, parameter("1", "number of equal fractions", ge=1, le=100)] = 1
    every_h: Every = 12


Whose = Annotated[Literal["first", "second"], parameter("", "which of two donors of the type patient.donor")]


def _known_source(value: str, info: ValidationInfo) -> str:
    names = (info.context or {}).get("sources")
    if names is not None and value not in names:
        raise ValueError("a source of sources.csv", did_you_mean(value, names))
    return value


class Graft(Timed):
    """Stem-cell graft; what is not stated is that of sources.csv."""

    action: Literal["graft"]
    source: Annotated[str, parameter("", "where the stem cells come from: a name in the rule table sources.csv")]
    cd34_per_kg: Annotated[
        float | None, parameter("1/kg", "CD34+ cells per recipient weight, such as 5e6", gt=0, le=1e9)
    ] = None
    cd3_per_kg: Annotated[
        float | None, parameter("1/kg", "CD3+ T cells per recipient weight, before depletion", ge=0, le=1e10)
    ] = None
    nucleated_per_kg: Annotated[
        float | None,
        parameter("1/kg", "nucleated cells per recipient weight; sets CD34+ and CD3+ cells left open", gt=0, le=1e11),
    ] = None
    cells: Annotated[
        Purified | None,
        parameter(
            "cells",
            "purified cells instead of CD34+ cells; T cells only if stated",
            form="a table of numbers of cells by kind, such as { hsc = 200 }",
        ),
    ] = None
    potency: Annotated[
        float,
        parameter("1", "cells that engraft, over those usual for its CD34+ or nucleated cells", gt=0, le=100),
    ] = 1.0
    marrow_of: MarrowOf = ""
    edit: Annotated[
        Edit | None,
        parameter("", "how its stem and progenitor cells are edited", form="a table with locus and efficiency"),
    ] = None
    ccr5_null: Ccr5Null = 0.0
    t_depletion_log10: Annotated[float, parameter("log10", "T cells removed from the graft", ge=0, le=6)] = 0.0
    donor: Whose = "first"
    _check_source = field_validator("source")(_known_source)

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Self:
        rivals = ("cells", "cd34_per_kg", "nucleated_per_kg" if self.cells else "marrow_of")
        given = [key for key in rivals if getattr(self, key)]
        if len(given) > 1:
            msg = f"only one of {', '.join(rivals)}; found {', '.join(given)}"
            raise ValueError(msg)
        return self


class Cells(Product, Timed):
    """Infusion of cells other than a graft."""

    action: Literal["cells"]
    donor: Whose = "first"

    @field_validator("donor")
    @classmethod
    def _of_a_donor(cls, value: str, info: ValidationInfo) -> str:
        if value != "first" and info.data.get("receptor"):
            msg = "no donor of engineered T cells, which are made of the patient's own"
            raise ValueError(msg)
        return value


class Drug(OfDrug):
    """Drug that acts while it is on, such as an immunosuppressant."""

    action: Literal["drug"]
    level: Annotated[
        float, parameter("1", "target occupancy while on; drugs that hold T cells down must state it", ge=0, le=1)
    ] = 1.0
    until_day: Annotated[
        float | None,
        parameter(
            "d", "day it is off again; absent: to a stop, which drugs that hold T cells down need then, or the end"
        ),
    ] = None
    taper_days: Annotated[float, parameter("d", "linear taper that ends on until_day", ge=0, le=3650)] = 0.0

    @field_validator("until_day")
    @classmethod
    def _later(cls, value: float | None, info: ValidationInfo) -> float | None:
        day = info.data.get("day")
        if value is not None and day is not None and value <= day:
            msg = f"a day after day = {day:g}"
            raise ValueError(msg)
        return value

    @field_validator("taper_days")
    @classmethod
    def _has_end(cls, value: float, info: ValidationInfo) -> float:
        if value > 0 and info.data.get("until_day", 0) is None:
            msg = "0, or until_day as well"
            raise ValueError(msg)
        return value


class Antibody(Infused, Timed):
    """Antibody: it acts on what shows its target, as long as it is on board."""

    action: Literal["antibody"]
    doses: Doses = 1
    every_h: Every = 24


class Art(Antiretroviral, Timed):
    """Antiretroviral therapy, a dose a day."""

    action: Literal["art"]


class Gcsf(Timed):
    """G-CSF injections."""

    action: Literal["gcsf"]
    dose_ug_per_kg: Annotated[float, parameter("ug/kg", "each dose, per body weight", gt=0, le=1000)]
    doses: Doses = 1
    every_h: Every = 24


class Immunoglobulin(Timed):
    """Immunoglobulin G of donors' plasma, which replaces what plasma cells do not make."""

    action: Literal["immunoglobulin"]
    dose_g_per_kg: Annotated[float, parameter("g/kg", "each dose, per body weight", gt=0, le=5)]
    doses: Doses = 1
    every_h: Every = 672


class Label(Timed):
    """A label that cells take up; it shows where they go and changes nothing."""

    action: Literal["label"]
    marker: Annotated[
        Literal["dna", "histone"],
        parameter(
            "",
            "dna: marrow cells that copy their DNA, inherited (tritiated thymidine); "
            "histone: all stem cells, lost by division (a chase of H2B-GFP)",
        ),
    ]


class BloodLoss(Timed):
    """Blood that is lost at once; plasma makes up for the volume within days, cells have to be made."""

    action: Literal["blood_loss"]
    share: Annotated[float, parameter("1", "lost share of the blood that circulates", gt=0, le=0.5)]


class PlateletLoss(Timed):
    """Platelets that are destroyed at once, as by antibodies; those made from then on are spared."""

    action: Literal["platelet_loss"]
    share: Annotated[float, parameter("1", "destroyed share of all platelets, the spleen's included", gt=0, le=1)]


class Switch(Timed):
    """The safety switch of an edited graft is thrown: cells that carry it die, in marrow and blood."""

    action: Literal["switch"]


class Treat(OfDrug):
    """Drug against a complication: begins at a grade, and again if it is reached after the taper."""

    action: Literal["treat"]
    against: Annotated[
        Literal["gvhd", "crs", "fever"],
        parameter(
            "", "what is graded: acute GVHD, cytokine release by engineered T cells, neutropenia while there is fever"
        ),
    ] = "gvhd"
    grade: Annotated[int, parameter("1", "overall grade at which a course begins", ge=1, le=4)]
    level: Annotated[float, parameter("1", "target occupancy at the full dose", gt=0, le=1)] = 1.0
    days: Annotated[float, parameter("d", "days at the full dose", gt=0, le=3650)]
    taper_days: Annotated[float, parameter("d", "linear taper that follows", ge=0, le=3650)]


class Stop(OfDrug):
    """Ends a drug before its planned end."""

    action: Literal["stop"]


_Event = Chemo | Tbi | Graft | Cells | Drug | Antibody | Art | Gcsf | Label | Stop | Switch | Treat
TherapyEvent = Annotated[_Event | BloodLoss | PlateletLoss | Immunoglobulin, Field(discriminator="action")]
#: Event tables by the name of their action.
ACTIONS: dict[str, type[Timed]] = {
    get_args(table.model_fields["action"].annotation)[0]: table for table in get_args(get_args(TherapyEvent)[0])
}
