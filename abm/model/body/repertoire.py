"""Receptors of T cells: which share of a pool recognises what, and the class that each cell draws that leaves it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from abm.cells import Kind, Origin, Specificity
from abm.model.body.immune import CD8_CELLS, T_CELLS, Arrival
from abm.philox import Ahead
from abm.streams import Stream
from abm.tables import Folder, Row, read_table

#: Donor type whose rows hold for the patient's own T cells, which have been through the patient's own thymus.
OWN = "autologous"
ANY = "any"
#: Pools with receptors of one kind; regulatory cells suppress without regard to theirs.
CONVENTIONAL = tuple(kind for kind in T_CELLS if kind is not Kind.TREG)
#: Classes of alloreactive CD8 and CD4 cells by side; their number follows ``donors.csv`` and the state of the body.
ALLOREACTIVE = {
    Origin.DONOR: (
        (Specificity.HOST_UBIQUITOUS, Specificity.HOST_HAEMATOPOIETIC),
        (Specificity.HOST_UBIQUITOUS_II, Specificity.HOST_HAEMATOPOIETIC_II),
    ),
    Origin.HOST: ((Specificity.DONOR,), (Specificity.DONOR_II,)),
}
ALLOREACTIVE_CLASSES = {s for by_lineage in ALLOREACTIVE.values() for classes in by_lineage for s in classes}
ALLOREACTIVE_CLASSES |= {
    Specificity.FIRST_DONOR,
    Specificity.FIRST_DONOR_II,
    Specificity.SECOND_DONOR,
    Specificity.SECOND_DONOR_II,
}
_WORD_BITS = 32
CLASSES = Stream.RECEPTOR * 256  #: draws of receptor classes
COLUMNS = ("specificity", "kind", "donor", "frequency")

Share = tuple[Specificity, float]
Repertoire = Mapping[Kind, tuple[Share, ...]]


def read_repertoires(folder: Folder, donors: Iterable[str]) -> dict[str, Repertoire]:
    """Return the classes and their precursor frequencies by donor type and pool, from ``repertoire.csv``."""
    names = [*donors]
    rows: dict[tuple[str, Specificity, Kind], Row] = {}
    for row in read_table(folder / "repertoire.csv", COLUMNS, key=("specificity", "kind", "donor")):
        row.choice("unit", ["1"])
        specificity = Specificity[row.choice("specificity", [s.name for s in Specificity if s])]
        if specificity in ALLOREACTIVE_CLASSES:
            raise row.error("specificity", f"{specificity.name} is alloreactive; its precursors stand in donors.csv")
        kind = Kind[row.choice("kind", [k.name for k in CONVENTIONAL])]
        key = (row.choice("donor", [ANY, *names]), specificity, kind)
        if key in rows:
            raise row.error("specificity", f"{specificity.name} of {kind.name} stands twice for {key[0]}")
        row.number("frequency", 0.0, 1.0)
        rows[key] = row
    return {name: _repertoire(rows, name) for name in {OWN, *names}}


def _repertoire(rows: Mapping[tuple[str, Specificity, Kind], Row], donor: str) -> Repertoire:
    """Return the frequencies of one donor type; its own rows replace those of any donor."""
    chosen = {(s, kind): row for (name, s, kind), row in rows.items() if name == ANY}
    chosen |= {(s, kind): row for (name, s, kind), row in rows.items() if name == donor}
    found: dict[Kind, tuple[Share, ...]] = {}
    for kind in CONVENTIONAL:
        of_kind = [(s, row) for (s, k), row in chosen.items() if k is kind]
        whole = sum(row.number("frequency") for _, row in of_kind)
        if whole > 1.0:
            message = f"the classes of {kind.name} add up to {whole:g} for {donor}, expected at most 1"
            raise of_kind[-1][1].error("frequency", message)
        found[kind] = tuple((s, row.number("frequency")) for s, row in of_kind)
    return found


def alloreactive_shares(kind: Kind, side: Origin, share: float, ubiquitous: float) -> list[Share]:
    """Return the alloreactive classes of a pool.

    Args:
        kind: the pool.
        side: whose cells: HOST or DONOR.
        share: alloreactive precursors per T cell of this side.
        ubiquitous: share of those of a donor that see antigens of all host tissue.
    """
    if share <= 0.0 or kind not in CONVENTIONAL:
        return []
    classes = ALLOREACTIVE[side][0 if kind in CD8_CELLS else 1]
    parts = (ubiquitous, 1.0 - ubiquitous) if len(classes) > 1 else (1.0,)
    return [(s, min(share, 1.0) * part) for s, part in zip(classes, parts, strict=True)]


def draw_classes(
    arrivals: Sequence[Arrival], shares: Callable[[Kind, Origin], Sequence[Share]], draws: Ahead, turn: int
) -> list[Arrival]:
    """Let each lymphocyte draw its receptor class; those of one class stand together.

    Args:
        arrivals: lymphocytes of the pools, without a class.
        shares: the classes of a pool and their shares; the rest of it recognises nothing in the model.
        draws: the draws of the run.
        turn: number of this one.
    """
    pools = [_bounds(tuple(shares(kind, origin))) for kind, origin, *_ in arrivals]
    number = np.arange(len(pools)).repeat(np.array([n for *_, n in arrivals], np.int64))
    line = [(j << _WORD_BITS) + bound for j, (_, bounds) in enumerate(pools) for bound in bounds]  # pool behind pool
    passed = np.searchsorted(np.array(line, np.int64), (number << _WORD_BITS) + draws(turn, number.size), side="right")
    drawn = np.bincount(passed + number, minlength=len(line) + len(pools)).tolist()
    classes = ((*arrival[:2], s) for arrival, (found, _) in zip(arrivals, pools, strict=True) for s in found)
    return [(*which, n) for which, n in zip(classes, drawn, strict=True) if n]


@lru_cache(maxsize=256)  # few change from step to step
def _bounds(shares: tuple[Share, ...]) -> tuple[tuple[Specificity, ...], tuple[int, ...]]:
    """Return the classes, the last for the rest of a pool, and the words at which one ends and the next begins."""
    whole, bounds = 0.0, []
    for _, share in shares:  # added in order: the same bits on every machine
        whole += share
        bounds.append(min(int(whole * (1 << _WORD_BITS)), 1 << _WORD_BITS))
    return (*(s for s, _ in shares), Specificity.NONE), tuple(bounds)
