"""What a graft or a cell product holds: shares of its CD34+ and CD3+ cells by kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from abm.cells import Kind, is_motile
from abm.tables import Folder, Row, read_table

CD34_UNIT, CD3_UNIT = "1/CD34", "1/CD3"
_TOLERANCE = 1e-4  #: by which the shares of one source may differ from 1
#: Kinds that shares of CD3+ cells are stated for besides T cells.
BESIDE_T = (Kind.NK, Kind.IMMATURE_B)


@dataclass(frozen=True)
class Graft:
    """Composition of one source.

    Attributes:
        cd34: lattice share of each stem and progenitor kind (fraction times enrichment); adds up to 1.
        cd3: T subsets, NK and B cells (as IMMATURE_B) per CD3+ cell.
    """

    cd34: Mapping[Kind, float]
    cd3: Mapping[Kind, float]


def read_grafts(folder: Folder) -> dict[str, Graft]:
    """Return the sources of ``grafts.csv`` by name."""
    blocks: dict[str, list[Row]] = {}
    for row in read_table(folder / "grafts.csv", ("graft", "kind", "fraction", "enrichment")):
        blocks.setdefault(row.text("graft"), []).append(row)
    return {name: _graft(name, rows) for name, rows in blocks.items()}


def _graft(name: str, rows: list[Row]) -> Graft:
    cd34: dict[Kind, float] = {}
    cd3: dict[Kind, float] = {}
    resident = [k.name for k in Kind if k is not Kind.EMPTY and not is_motile(k)]
    lymphocytes = [k.name for k in Kind if is_motile(k)] + [Kind.IMMATURE_B.name]
    for row in rows:
        stem = row.choice("unit", (CD34_UNIT, CD3_UNIT)) == CD34_UNIT
        kind = Kind[row.choice("kind", resident if stem else lymphocytes)]
        if kind in (cd34 if stem else cd3):
            raise row.error("kind", f"{kind.name} of {name} stands twice")
        share = row.number("fraction", 0.0) * row.number("enrichment", 0.0)
        if stem:
            cd34[kind] = share
        else:
            cd3[kind] = share
    for part, shares in (("CD34+", cd34), ("CD3+", {k: x for k, x in cd3.items() if k not in BESIDE_T})):
        whole = sum(shares.values())
        if shares and abs(whole - 1.0) > _TOLERANCE:
            raise rows[0].error("fraction", f"the {part} shares of {name} add up to {whole:g}, expected 1")
    return Graft(cd34, cd3)
