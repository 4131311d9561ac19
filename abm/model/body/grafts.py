"""What a graft or a cell product holds: shares of its cells by kind; usual doses and homing by source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from abm.cells import Kind, is_motile
from abm.exactmath import LN2, exp
from abm.model.body.parameters import LymphocyteRules
from abm.tables import RANGE, Folder, Row, read_table

CD34_UNIT, CD3_UNIT = "1/CD34", "1/CD3"
_TOLERANCE = 1e-4  #: by which the shares of one source may differ from 1
#: Kinds that shares of CD3+ cells are stated for besides T cells.
BESIDE_T = (Kind.NK, Kind.IMMATURE_B)


#: Naive and memory cells of a lineage, of which both together are as many at any age of the donor.
LINEAGES = {"cd4": (Kind.CD4_NAIVE, Kind.CD4_MEMORY), "cd8": (Kind.CD8_NAIVE, Kind.CD8_MEMORY)}


@dataclass(frozen=True)
class Graft:
    """Composition of one source.

    Attributes:
        cd34: lattice share of each stem and progenitor kind (fraction times enrichment); adds up to 1.
        cd3: T subsets, NK and B cells (as IMMATURE_B) per CD3+ cell.
        enrichment: how many times denser than in life each stem and progenitor kind is on the lattice.
    """

    cd34: Mapping[Kind, float]
    cd3: Mapping[Kind, float]
    enrichment: Mapping[Kind, float]

    def lymphocytes(self, donor_age: float | None, rules: LymphocyteRules) -> dict[Kind, float]:
        """Return ``cd3`` as of a donor of this age (years): the older, the fewer naive T cells; ``None``: as is."""
        found = dict(self.cd3)
        if donor_age is None:
            return found
        for name, (naive, memory) in LINEAGES.items():
            both, half = found.get(naive, 0.0) + found.get(memory, 0.0), getattr(rules, f"{name}_naive_age_half")
            share = found.get(naive, 0.0) * exp(LN2 * (rules.graft_age - donor_age) / half)
            if both > 0.0:
                found[naive] = min(share, both)
                found[memory] = both - found[naive]
        return found


class Usual(NamedTuple):
    """A usual range, and who says so."""

    low: float
    high: float
    source: str


@dataclass(frozen=True)
class Source:
    """How much of a graft is infused, and how it homes.

    Attributes:
        dose: usual dose per recipient weight by quantity of ``DOSES``, 1/kg.
        ranges: its usual range, likewise.
        seeding: share of the CD34+ cells that can lodge, relative to fresh adult cells.
        purified_seeding: share of purified cells that can.
        delay: hours from infusion until they can.
    """

    dose: Mapping[str, float]
    ranges: Mapping[str, Usual]
    seeding: float
    purified_seeding: float
    delay: float


#: Quantities of ``sources.csv`` that are cells per kg, and all of them with their units.
DOSES = ("nucleated", "cd34", "cd3")
SEEDING = ("seeding", "purified_seeding")
SOURCE_UNITS = dict.fromkeys(DOSES, "1/kg") | dict.fromkeys(SEEDING, "1") | {"delay": "h"}
MOST_DELAY_H = 240.0


def read_sources(folder: Folder, grafts: Mapping[str, Graft]) -> dict[str, Source]:
    """Return the stem-cell sources of ``sources.csv`` by name; each must have its composition in ``grafts``."""
    blocks: dict[str, dict[str, Row]] = {}
    rows = read_table(folder / "sources.csv", ("graft", "quantity", "value"), RANGE)
    for row in rows:
        name = row.choice("graft", [name for name, graft in grafts.items() if graft.cd34])
        quantity = row.choice("quantity", SOURCE_UNITS)
        row.choice("unit", [SOURCE_UNITS[quantity]])
        if quantity in blocks.setdefault(name, {}):
            raise row.error("quantity", f"{quantity} of {name} stands twice")
        row.outside("value")  # checks that the range is one
        blocks[name][quantity] = row
    for name, found in blocks.items():
        if missing := [quantity for quantity in SOURCE_UNITS if quantity not in found]:
            raise rows[0].error("graft", f"{name} lacks {', '.join(missing)}")
    return {name: _source(found) for name, found in blocks.items()}


def _source(rows: Mapping[str, Row]) -> Source:
    """Make one source of its rows by quantity."""
    dose = {name: rows[name].number("value", 0.0 if name == "cd3" else 1e-9) for name in DOSES}
    stated = {name: rows[name] for name in DOSES if all(rows[name].values.get(end) for end in RANGE)}
    ranges = {name: Usual(row.number("low"), row.number("high"), row.text("source")) for name, row in stated.items()}
    seeding, purified = (rows[name].number("value", 0.0, 1.0) for name in SEEDING)
    return Source(dose, ranges, seeding, purified, rows["delay"].number("value", 0.0, MOST_DELAY_H))


def read_grafts(folder: Folder) -> dict[str, Graft]:
    """Return the sources of ``grafts.csv`` by name."""
    blocks: dict[str, list[Row]] = {}
    for row in read_table(folder / "grafts.csv", ("graft", "kind", "fraction", "enrichment")):
        blocks.setdefault(row.text("graft"), []).append(row)
    return {name: _graft(name, rows) for name, rows in blocks.items()}


def _graft(name: str, rows: list[Row]) -> Graft:
    cd34: dict[Kind, float] = {}
    cd3: dict[Kind, float] = {}
    enrichment: dict[Kind, float] = {}
    fractions: list[float] = []
    resident = [k.name for k in Kind if k is not Kind.EMPTY and not is_motile(k)]
    lymphocytes = [k.name for k in Kind if is_motile(k)] + [Kind.IMMATURE_B.name]
    for row in rows:
        stem = row.choice("unit", (CD34_UNIT, CD3_UNIT)) == CD34_UNIT
        kind = Kind[row.choice("kind", resident if stem else lymphocytes)]
        if kind in (cd34 if stem else cd3):
            raise row.error("kind", f"{kind.name} of {name} stands twice")
        fraction = row.number("fraction", 0.0)
        denser = row.number("enrichment", 0.0)
        if stem:
            cd34[kind], enrichment[kind] = fraction * denser, denser
            fractions.append(fraction)
        else:
            cd3[kind] = fraction * denser
    for part, parts in (("CD34+", fractions), ("CD3+", [x for kind, x in cd3.items() if kind not in BESIDE_T])):
        whole = sum(parts)
        if parts and abs(whole - 1.0) > _TOLERANCE:
            raise rows[0].error("fraction", f"the {part} fractions of {name} add up to {whole:g}, expected 1")
    return Graft(cd34, cd3, enrichment)
