"""Negative selection: thymocytes that see what the thymus shows are deleted; those that escape join the pools.

Receptors are generated at random and before selection: a class is as frequent among thymocytes as in the naive pool of
a healthy person over its escape there. A thymocyte is deleted at a rate that goes with the affinity of its class and
with how much of its antigen the thymus shows: exp(-strength * affinity * shown) escape. Epithelium shows the antigens
of tissues, as far as conditioning and GVHD have left it; dendritic cells, which come from the marrow, show those of
blood cells of their own origin. Nobody shows viruses: of what sees them nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from abm.cells import N_ORIGINS, Antigen, Kind, Origin, Specificity
from abm.exactmath import exp
from abm.model.body.autoimmunity import Follower
from abm.model.body.clones import NEW
from abm.model.body.immune import INDEX
from abm.model.body.numerics import Floats, total
from abm.model.body.repertoire import ALLOREACTIVE_CLASSES
from abm.model.body.sclerosis import Sclerosis
from abm.tables import Folder, Row, once, read_table

if TYPE_CHECKING:
    from abm.model.body import Body

#: Pools that the thymus fills with cells of which some recognise something.
NAIVE_POOLS = (Kind.CD4_NAIVE, Kind.CD8_NAIVE)
_MOST = 50.0  #: deletion: one thymocyte in exp(50) escapes
#: Class by which each column of the series is measured.
_MEASURED = {
    "escape_self": Specificity.MYELIN,
    "escape_host": Specificity.HOST_UBIQUITOUS,
    "escape_host_blood": Specificity.HOST_HAEMATOPOIETIC,
    "escape_donor": Specificity.DONOR,
}


class Shown(NamedTuple):
    """How much each of those who show antigen in the thymus shows, relative to a healthy person's own."""

    epithelium: float
    host_cells: float
    donor_cells: float


#: In a healthy person; of a donor the donor's own stand for those of the host.
HEALTHY = Shown(1.0, 1.0, 0.0)


class Selected(NamedTuple):
    """Deletion of one receptor class by who shows what it sees, each in full: -ln of what escapes."""

    specificity: Specificity
    by: Shown

    def escape(self, shown: Shown) -> float:
        """Return the share of the thymocytes of this class that is not deleted."""
        return exp(-total(strength * amount for strength, amount in zip(self.by, shown, strict=True)))


def read_selection(folder: Folder) -> tuple[Selected, ...]:
    """Return the receptor classes that the thymus deletes, from ``selection.csv`` and ``receptors.csv``."""
    shown: dict[Antigen, tuple[str, float]] = {}
    rows: list[Row] = read_table(folder / "selection.csv", ("antigen", "shown_by", "strength"))
    for row in once(rows, ("antigen",)):
        row.choice("unit", ["1"])
        antigen = Antigen[row.choice("antigen", [antigen.name for antigen in Antigen])]
        shown[antigen] = row.choice("shown_by", Shown._fields), row.number("strength", 0.0, _MOST)
    found: dict[Specificity, Shown] = {}
    for row in read_table(folder / "receptors.csv", ("specificity", "antigen", "affinity")):
        antigen = Antigen[row.choice("antigen", [antigen.name for antigen in Antigen])]
        if antigen in shown:
            specificity = Specificity[row.choice("specificity", [s.name for s in Specificity if s])]
            who, strength = shown[antigen]
            before = found.get(specificity, Shown(0.0, 0.0, 0.0))
            deletion = getattr(before, who) + strength * row.number("affinity", 0.0, 1.0)
            found[specificity] = before._replace(**{who: deletion})
    return tuple(Selected(specificity, by) for specificity, by in found.items())


class Selection(Follower):
    """What of each self-reactive class the naive pools of a patient hold.

    Attributes:
        classes: those that the thymus deletes; ``followed``: those of them that are not alloreactive.
        relative: cells of a class in a naive pool over those in the healthy person it came of, by class (in the order
            of ``followed``), pool and origin, shape (classes, len(NAIVE_POOLS), N_ORIGINS).
        shown: what the thymus shows in this step; set by :func:`look`.
    """

    STATE = ("relative",)

    def __init__(self, classes: Sequence[Selected]) -> None:
        """Start with pools as a healthy thymus makes them."""
        self.classes = {selected.specificity: selected for selected in classes}
        self.followed = tuple(specificity for specificity in self.classes if specificity not in ALLOREACTIVE_CLASSES)
        self.relative: Floats = np.ones((len(self.followed), len(NAIVE_POOLS), N_ORIGINS))
        self.look(HEALTHY)

    def look(self, shown: Shown) -> None:
        """Let the cells that leave the thymus from now on be selected by what it shows."""
        self.shown = shown
        self._now = [self.relative_escape(specificity) for specificity in self.followed]

    def escape(self, specificity: Specificity, shown: Shown) -> float:
        """Return the share of the thymocytes of a class that escapes; 1 where nothing it sees is shown."""
        selected = self.classes.get(specificity)
        return 1.0 if selected is None else selected.escape(shown)

    def relative_escape(self, specificity: Specificity) -> float:
        """Return what escapes now over what does in a healthy person."""
        return self.escape(specificity, self.shown) / self.escape(specificity, HEALTHY)

    def generated(self, specificity: Specificity, frequency: float) -> float:
        """Return how frequent a class is before selection, of its frequency in the naive pool of a healthy person."""
        return frequency / self.escape(specificity, HEALTHY)

    def enter(self, kind: Kind, source: int, cells: Floats, pool: Floats) -> None:
        """Let what has escaped join a pool, which holds it already; both by origin."""
        if kind in NAIVE_POOLS and source == NEW:
            for origin, (n, whole) in enumerate(zip(cells.tolist(), pool.tolist(), strict=True)):
                if n > 0.0:
                    self._mix(kind, origin, self._now, n / max(whole, n))

    def infuse(self, kind: Kind, origin: Origin, cells: float, pool: float) -> None:
        """Let cells of a graft, made in the thymus of a healthy person, join a pool that then holds ``pool`` cells."""
        if kind in NAIVE_POOLS and cells > 0.0:
            self._mix(kind, origin, [1.0] * len(self.followed), cells / max(pool, cells))

    def _mix(self, kind: Kind, origin: int, theirs: Sequence[float], share: float) -> None:
        """Let cells be a share of a pool that they have entered."""
        column = NAIVE_POOLS.index(kind)
        for row, relative in enumerate(theirs):
            held = float(self.relative[row, column, origin])
            self.relative[row, column, origin] = held + (relative - held) * share

    def of(self, specificity: Specificity, kind: Kind, origin: Origin | int) -> float:
        """Return the cells of a class in a pool over those in the healthy person it came of."""
        if specificity not in self.followed or kind not in NAIVE_POOLS:
            return 1.0
        return float(self.relative[self.followed.index(specificity), NAIVE_POOLS.index(kind), origin])


def epithelium(body: Body) -> float:
    """Return how much of the body's antigens the epithelium of the thymus shows, relative to a healthy one.

    What is missing of 1 lets self-reactive cells escape; where T cells see the host it breaks tolerance (chronic GVHD).
    """
    return body.lymphocytes.thymic_function


def shown(body: Body) -> Shown:
    """Return what the thymus of a patient shows now: monocytes of the blood stand for its dendritic cells."""
    by_origin = body.blood.relative_monocytes().tolist()
    host, donors = by_origin[Origin.HOST], total(by_origin[Origin.DONOR :])
    if body.donor.shares_antigens:  # cells of such a graft show what the host's do
        host, donors = host + donors, 0.0
    return Shown(epithelium(body), min(host, 1.0), min(donors, 1.0))


def look(body: Body) -> None:
    """Let the cells that leave the thymus in this step be selected by what it shows now."""
    body.selection.look(shown(body))
    if isinstance(body.disease, Sclerosis):
        body.disease.naive.let_through = body.selection.relative_escape(Specificity.MYELIN)


#: name -> (unit, meaning).
OBSERVABLES: Mapping[str, tuple[str, str]] = {
    "escape_self": ("fraction", "thymocytes that see antigens of the body's tissues and escape negative selection now"),
    "escape_host": ("fraction", "the same, of those that see minor antigens of all host tissue at full affinity"),
    "escape_host_blood": ("fraction", "the same, of those that see minor antigens of the host's blood cells"),
    "escape_donor": ("fraction", "the same, of those that see minor antigens of the donor; 1 without donor cells"),
    "self_reactive": ("fraction", "naive CD4 cells that see antigens of the body's tissues"),
}


def observables(body: Body) -> dict[str, float]:
    """Return what is measured, by the names of ``OBSERVABLES``."""
    now, cells = shown(body), body.lymphocytes.pools[INDEX[Kind.CD4_NAIVE]].tolist()
    found = {name: body.selection.escape(specificity, now) for name, specificity in _MEASURED.items()}
    shares = [dict(body.repertoire(o, Kind.CD4_NAIVE)).get(Specificity.MYELIN, 0.0) for o in Origin]
    whole = total(cells)
    reactive = total(n * share for n, share in zip(cells, shares, strict=True))
    return found | {"self_reactive": reactive / whole if whole > 0.0 else 0.0}
