"""How an antibody is given: what it is, its dose, how long the infusion runs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import ValidationInfo, field_validator, model_validator

from abm.config_table import Table, parameter
from abm.tables import did_you_mean


class Infused(Table):
    """An antibody, with exactly one of the dose keys."""

    drug: Annotated[str, parameter("", "name in the rule table antibodies.csv")]
    dose_mg: Annotated[float | None, parameter("mg", "each dose", gt=0, le=1e4)] = None
    dose_mg_per_kg: Annotated[float | None, parameter("mg/kg", "each dose, per body weight", gt=0, le=1e3)] = None
    dose_mg_per_m2: Annotated[float | None, parameter("mg/m2", "each dose, per body surface", gt=0, le=1e4)] = None
    infusion_h: Annotated[float, parameter("h", "each dose runs in over this time; 0: at once", ge=0, le=8760)] = 0.0
    DOSE_KEYS: ClassVar[tuple[str, ...]] = ("dose_mg", "dose_mg_per_kg", "dose_mg_per_m2")

    @field_validator("drug")
    @classmethod
    def _known_antibody(cls, value: str, info: ValidationInfo) -> str:
        known = info.context or {}
        names = known.get("antibodies")
        if names is not None and value not in names:
            other = value in known.get("drugs", ())
            hint = ' (it is a drug of drugs.csv: action = "chemo" or "drug")' if other else did_you_mean(value, names)
            raise ValueError("an antibody of antibodies.csv", hint)
        return value

    @model_validator(mode="after")
    def _one_dose(self) -> Self:
        given = [key for key in self.DOSE_KEYS if getattr(self, key) is not None]
        if len(given) != 1:
            msg = f"exactly one of the dose keys {', '.join(self.DOSE_KEYS)}; found {', '.join(given) or 'none'}"
            raise ValueError(msg)
        return self

    def mg(self, weight_kg: float, surface_m2: float) -> float:
        """Return each dose in mg."""
        return (
            (self.dose_mg or 0.0) + (self.dose_mg_per_kg or 0.0) * weight_kg + (self.dose_mg_per_m2 or 0.0) * surface_m2
        )
