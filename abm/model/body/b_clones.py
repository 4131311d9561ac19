"""Clones of B cells that have met antigen: a sample of memory and of long-lived plasma cells, as those of T cells.

Naive B cells are one of the pools of :class:`Clones`, filled by the marrow. Antigen calls naive cells and memory cells
in proportion: the more memory is left, the fewer of those that switch class are new clones. Cells that settle in the
niches of the marrow are of the clones of memory cells at that time, and stay for years. Even division and random death
leave a sample what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from abm.cells import N_ORIGINS, Kind, Origin
from abm.exactmath import LN2
from abm.model.body.autoimmunity import DAYS_PER_YEAR
from abm.model.body.clones import (
    FIRST_OF_PERSON,
    PER_POOL,
    ROWS,
    SAMPLE,
    CloneRules,
    rank,
    read_sizes,
    sampled,
    slots_of,
)
from abm.model.body.immune import INDEX
from abm.model.body.numerics import Floats, Packed
from abm.philox import philox
from abm.streams import Stream
from abm.tables import Folder

if TYPE_CHECKING:
    from abm.model.body import Body

MEMORY, PLASMA = range(2)
NAMES = ("MEMORY", "PLASMA")  #: rows of the table, in this order
_SLOTS, _RANKS, _SOURCES = (Stream.RECEPTOR * 256 + draw for draw in (4, 5, 6))
_B = INDEX[Kind.IMMATURE_B]


def read_b_clones(folder: Folder) -> tuple[CloneRules, ...]:
    """Return the clones of memory and of plasma cells from ``b_clones.csv``."""
    found = read_sizes(folder / "b_clones.csv", NAMES)
    return tuple(found[name] for name in NAMES)


class BClones(Packed):
    """The samples of a patient.

    Attributes:
        ids: clone numbers of memory and plasma cells, shape (2, N_ORIGINS, SAMPLE); 0: the origin has had none.
        due: slots to be replaced by cells that have entered, shape (2, N_ORIGINS), below 1.
        turn: draws made so far.
        start: B cells of the patient before anything happened, shape (SAMPLE,); ``graft``: of the last graft, 0 before.
        plasma: plasma cells at the start, likewise.
    """

    STATE = ("ids", "due", "turn", "start", "graft", "plasma")

    def __init__(self, rules: Sequence[CloneRules], seed: int, person: Mapping[Origin, int]) -> None:
        """Draw the cells of the host; ``person``: whose receptors the cells of an origin have."""
        self._rules, self._seed, self._person = rules, seed, person
        self.ids: Floats = np.zeros((len(NAMES), N_ORIGINS, SAMPLE))
        self.due: Floats = np.zeros((len(NAMES), N_ORIGINS))
        self.turn = 0.0
        self.start: Floats = np.zeros(SAMPLE)
        self.graft: Floats = np.zeros(SAMPLE)
        for row in (MEMORY, PLASMA):
            self.infuse(row, Origin.HOST, 1.0)
        self.plasma: Floats = self.ids[PLASMA, Origin.HOST].copy()

    def of(self, row: int, origin: int) -> Floats:
        """Return the sample of an origin, shape (SAMPLE,)."""
        sample: Floats = self.ids[row, origin]
        return sample

    def infuse(self, row: int, origin: Origin, share: float) -> None:
        """Let cells of a person's own repertoire, as it is at rest, be this share of the cells that they join."""
        n = min(int(SAMPLE * share + 0.5), SAMPLE)
        if n:
            words = philox(self._seed, np.arange(n) + _place(row, origin), int(self.turn), _RANKS)[0]
            first = FIRST_OF_PERSON * (self._person[origin] + 1) + PER_POOL * (len(ROWS) + row)
            self._replace(row, origin, np.array([first + rank(self._rules[row], word) for word in words.tolist()]))

    def renew(self, row: int, origin: int, share: float, source: Callable[[], Floats]) -> None:
        """Let cells of the clones that ``source`` returns (SAMPLE,), drawn at random, be this share of those they join.

        It is asked only if one takes a slot.
        """
        slots = float(self.due[row, origin]) + SAMPLE * min(share, 1.0)
        n = min(int(slots), SAMPLE)
        self.due[row, origin] = slots - n
        if n:
            words = philox(self._seed, np.arange(n) + _place(row, origin), int(self.turn), _SOURCES)[0]
            self._replace(row, origin, source()[slots_of(words)])

    def _replace(self, row: int, origin: int, ids: Floats) -> None:
        """Let cells take the slots of others at random."""
        words = philox(self._seed, np.arange(SAMPLE) + _place(row, origin), int(self.turn), _SLOTS)[0]
        self.ids[row, origin, np.argsort(words, kind="stable")[: ids.size]] = ids
        self.turn += 1.0


def _place(row: int, origin: int) -> int:
    """Return the site from which on the draws of a sample are numbered."""
    return (row * N_ORIGINS + int(origin)) << 32


def repertoire(body: Body, origins: Sequence[Origin] = tuple(Origin)) -> Floats:
    """Return the clones of ``SAMPLE`` B cells, naive and memory cells of these origins in proportion; 0 without any."""
    sizes, cells = list[tuple[Floats, float]](), body.lymphocytes.pools[_B].tolist()
    for origin in origins:
        memory = cells[origin] * body.plasma.memory_share(origin)
        sizes += [(_naive(body, origin), cells[origin] - memory), (body.b_clones.of(MEMORY, origin), memory)]
    return sampled(sizes)


def start(body: Body) -> None:
    """Remember the B cells of a patient before anything happens."""
    body.b_clones.start = repertoire(body)


def infuse(body: Body, kind: Kind, origin: Origin, cells: float, pool: float) -> None:
    """Let the memory cells among the B cells of a graft join a pool, which holds all of them already."""
    if kind is Kind.IMMATURE_B and cells > 0.0:
        held = pool * body.plasma.memory_share(origin)
        body.b_clones.infuse(MEMORY, origin, min(cells * body.plasma.rules.switched_share / max(held, 1.0), 1.0))


def mark_graft(body: Body, origin: Origin) -> None:
    """Remember the B cells of an origin as those of the graft."""
    body.b_clones.graft = repertoire(body, (origin,))


def follow(body: Body, new: Sequence[tuple[float, float]]) -> None:
    """Let B cells become memory cells and these plasma cells.

    Args:
        body: the patient.
        new: share of the memory cells and of the plasma cells that have become so, by origin.
    """
    held = body.b_clones
    for origin, (switched, settled) in enumerate(new):
        if switched > 0.0:
            held.renew(MEMORY, origin, switched, partial(_naive, body, origin))
        if settled > 0.0:
            held.renew(PLASMA, origin, settled, partial(held.of, MEMORY, origin))


def _naive(body: Body, origin: int) -> Floats:
    """Return the sample of naive B cells of an origin, shape (SAMPLE,)."""
    sample: Floats = body.clones.ids[ROWS.index(Kind.IMMATURE_B), origin]
    return sample


def plasma_cells(body: Body) -> Floats:
    """Return the clones of ``SAMPLE`` long-lived plasma cells; 0 without any."""
    return sampled([*zip(body.b_clones.ids[PLASMA], body.plasma.long_lived, strict=True)])


def naive_share(half_life_years: float, turnover: float, memory: float) -> float:
    """Return which share of the cells that switch class is naive: all where no memory is left.

    Args:
        half_life_years: of the share of a clone in a healthy person's memory.
        turnover: of B cells, 1/d: that of memory cells, which keep their share of them.
        memory: cells among B cells, relative to a healthy person.
    """
    usual = min(LN2 / (half_life_years * DAYS_PER_YEAR) / turnover, 1.0)
    return usual / (usual + (1.0 - usual) * memory) if memory > 0.0 else 1.0
