"""Products of engineered T cells: dose and composition, from ``products.csv``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from abm.tables import Folder, Row, read_table

#: States of engineered T cells, in the order of the columns of their pools: an infused product holds the first three.
NAIVE, MEMORY, EFFECTOR, EXHAUSTED = range(4)
PHENOTYPES = ("naive", "memory", "effector")
UNITS = {"dose": "1/kg", "cd4_share": "1"} | dict.fromkeys(PHENOTYPES, "1")
_TOLERANCE = 1e-4  #: by which the phenotypes of a product may differ from 1


@dataclass(frozen=True)
class Product:
    """One block of ``products.csv``.

    Attributes:
        dose: usual dose, cells per kg.
        cd4_share: CD4 cells among its T cells.
        phenotypes: shares of naive, memory and effector cells.
    """

    dose: float
    cd4_share: float
    phenotypes: tuple[float, ...]


def read_products(folder: Folder) -> dict[str, Product]:
    """Return the products by name."""
    blocks: dict[str, dict[str, Row]] = {}
    for row in read_table(folder / "products.csv", ("product", "quantity", "value")):
        quantity = row.choice("quantity", UNITS)
        row.choice("unit", [UNITS[quantity]])
        found = blocks.setdefault(row.text("product"), {})
        if quantity in found:
            raise row.error("quantity", f"{quantity} of {row.text('product')} stands twice")
        found[quantity] = row
    return {name: _product(name, rows) for name, rows in blocks.items()}


def _product(name: str, rows: Mapping[str, Row]) -> Product:
    any_row = next(iter(rows.values()))
    if missing := [quantity for quantity in UNITS if quantity not in rows]:
        raise any_row.error("product", f"{name} lacks {', '.join(missing)}")
    shares = tuple(rows[name].number("value", 0.0, 1.0) for name in PHENOTYPES)
    whole = sum(shares)
    if abs(whole - 1.0) > _TOLERANCE:
        message = f"naive, memory and effector cells of {name} add up to {whole:g}, expected 1"
        raise rows[PHENOTYPES[0]].error("value", message)
    return Product(rows["dose"].number("value", 1.0), rows["cd4_share"].number("value", 0.0, 1.0), shares)
