"""What an infusion of cells other than a graft holds: donor lymphocytes or engineered T cells."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ValidationInfo, field_validator, model_validator

from abm.cells import ENGINEERED, LOSS_ANTIGENS, Antigen, Specificity, pack_hot
from abm.config_table import Table, each_once, parameter
from abm.tables import did_you_mean

#: Products of unmodified donor cells, rows of grafts.csv: all lymphocytes, or regulatory T cells alone.
DONOR_CELLS = ("dli", "treg")


class Product(Table):
    """A cell product."""

    product: Annotated[
        str,
        parameter("", "dli or treg: donor lymphocytes, regulatory ones; or a product of products.csv, such as car_t"),
    ]
    cd3_per_kg: Annotated[
        float | None, parameter("1/kg", "donor lymphocytes: CD3+ T cells per recipient weight", gt=0, le=1e10)
    ] = None
    if_blast_fraction: Annotated[
        float,
        parameter("1", "donor lymphocytes: given if at least this share of nucleated marrow cells is leukaemic",
                  ge=0, le=1),
    ] = 0.0  # fmt: skip
    receptor: Annotated[
        str,
        parameter("", "engineered T cells: their receptor class, which sees the antigens of receptors.csv"),
    ] = ""
    cells_per_kg: Annotated[
        float | None,
        parameter("1/kg", "engineered T cells per recipient weight; absent: as products.csv", gt=0, le=1e10),
    ] = None

    lacks: Annotated[
        tuple[str, ...],
        parameter("", "engineered T cells: antigens that an edit took from them, such as CD45",
                  form="a list of antigens", strict=False),
    ] = ()  # fmt: skip

    @field_validator("product")
    @classmethod
    def _known_product(cls, value: str, info: ValidationInfo) -> str:
        names = (info.context or {}).get("products")
        if names is not None and value not in (known := [*DONOR_CELLS, *names]):
            raise ValueError("dli, treg or a product of products.csv", did_you_mean(value, known))
        return value

    @field_validator("receptor")
    @classmethod
    def _known_receptor(cls, value: str) -> str:
        names = [receptor.name for receptor in ENGINEERED]
        if value and value not in names:
            raise ValueError("a receptor class of engineered T cells", did_you_mean(value, names))
        return value

    @field_validator("lacks")
    @classmethod
    def _known_antigens(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return each_once(value, [antigen.name for antigen in LOSS_ANTIGENS], "antigens with a loss bit")

    @model_validator(mode="after")
    def _fitting_keys(self) -> Self:
        keys = ("cd3_per_kg", "receptor", "cells_per_kg", "lacks")
        donor = self.product in DONOR_CELLS
        needed, foreign = (keys[0], keys[1:]) if donor else (keys[1], (keys[0], "if_blast_fraction"))
        given = [key for key in (*keys, "if_blast_fraction") if getattr(self, key)]
        if needed not in given or set(given) & set(foreign):
            found = ", ".join(given) or "none"
            msg = f"{needed}, and no {' or '.join(foreign)}, for product {self.product}; found {found}"
            raise ValueError(msg)
        return self

    @property
    def receptor_class(self) -> Specificity:
        """The receptor class; NONE of donor lymphocytes."""
        return Specificity[self.receptor] if self.receptor else Specificity.NONE

    @property
    def loss(self) -> int:
        """Bits of the hot word of the antigens that an edit took from engineered T cells."""
        return pack_hot(loss=sum(1 << LOSS_ANTIGENS.index(Antigen[name]) for name in self.lacks))
