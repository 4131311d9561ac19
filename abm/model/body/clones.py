"""Clones of T cells and naive B cells: a sample of every pool, as a sequencing run sees it, and what is measured on it.

A pool of 1e11 cells and up to 1e8 clones is kept as ``SAMPLE`` slots by origin. Each slot holds the clone of a cell
drawn from the pool at random and so stands for an equal part of it: a clone's size is its share of the slots times the
pool. Random death and even division leave such a sample what it is; cells that enter a pool replace slots in
proportion, chosen at random. Clones below one cell in ``SAMPLE`` are seen by chance; Chao1 estimates how many were not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm.cells import COLD, N_ORIGINS, Kind, Origin, Specificity
from abm.exactmath import power
from abm.model.body.immune import CD4_CELLS, CD8_CELLS, INDEX, T_CELLS, Arrival
from abm.model.body.numerics import Floats, Packed, total
from abm.model.body.repertoire import OWN
from abm.philox import Ahead, philox
from abm.streams import Stream
from abm.tables import Folder, Row, TableFile, read_table

#: Pools whose cells have rearranged receptors.
ROWS = (*T_CELLS, Kind.IMMATURE_B)
_ROW_OF = {kind: row for row, kind in enumerate(ROWS)}
#: What a repertoire is measured of.
LINEAGES = {"cd4": CD4_CELLS, "cd8": CD8_CELLS}
#: Slots of a pool and origin: few enough that they go to all ranks with the rest of the body in every step.
SAMPLE = 256
#: Where the cells of a pool come from that enter it: new receptors, or the naive pool of the same lineage.
NEW, NAIVE = 0, 1
NAIVE_OF = {Kind.CD4_MEMORY: Kind.CD4_NAIVE, Kind.CD8_MEMORY: Kind.CD8_NAIVE}
#: Pool whose sample gives the clone of a lymphocyte that comes from none of them.
_LIKE = {Kind.CD8_EFFECTOR: Kind.CD8_NAIVE, Kind.CD4_EFFECTOR: Kind.CD4_NAIVE}
#: Clone numbers, exact in float64: one range by person and pool, one for receptors made during the run.
FIRST_OF_PERSON, PER_POOL, _MADE = float(1 << 46), float(1 << 42), float(1 << 50)
_MOST_CLONES = 1e12
_CLASS_SHIFT = 10  #: so that classes differ in what is kept of a number
_CLONE_BITS = next(f.bits for f in COLD if f.name == "clone")
_SLOTS, _RANKS, _CELLS = (Stream.RECEPTOR * 256 + draw for draw in (1, 2, 3))
_WORDS = float(1 << 32)
_TOGETHER = 16  #: entries that take their slots at once, where nobody looks before

Words = NDArray[np.uint32]
Ints = NDArray[np.int64]


class CloneRules(NamedTuple):
    """How many clones a pool holds and how unequal they are: size falls as rank^-exponent."""

    clones: float
    exponent: float


def read_clones(folder: Folder) -> dict[Kind, CloneRules]:
    """Return the clones of every pool from ``clones.csv``."""
    found = read_sizes(folder / "clones.csv", [kind.name for kind in ROWS])
    return {Kind[name]: rules for name, rules in found.items()}


def read_sizes(path: TableFile, names: Sequence[str]) -> dict[str, CloneRules]:
    """Return the clones of pools of these names, which a table must all hold."""
    found: dict[str, CloneRules] = {}
    rows: list[Row] = read_table(path, ("kind", "clones", "exponent"))
    for row in rows:
        name = row.choice("kind", names)
        if name in found:
            raise row.error("kind", f"{name} stands twice in this table")
        row.choice("unit", ["1"])
        found[name] = CloneRules(row.number("clones", 1.0, _MOST_CLONES), row.number("exponent", 0.0, 1.0))
    if missing := [name for name in names if name not in found]:
        raise rows[-1].error("kind", f"missing: {', '.join(missing)}")
    return found


class Entry(NamedTuple):
    """Cells that enter a pool: their slots, number of the draw, their clones (``None``: of naive cells)."""

    kind: Kind
    origin: int
    slots: int
    turn: int
    ids: Floats | None


class Clones(Packed):
    """The samples of a patient.

    Attributes:
        ids: clone numbers, shape (len(ROWS), N_ORIGINS, SAMPLE); 0: the origin has had no cell in this pool.
        due: slots to be replaced by cells that have entered, by source, shape (len(ROWS), N_ORIGINS, 2), below 1.
        made: receptors made so far.
        turn: draws made so far.
        start: CD4 and CD8 cells of the patient before anything happened, shape (2, SAMPLE).
        graft: T cells of the last graft, likewise; 0 before.
    """

    STATE = ("ids", "due", "made", "turn", "start", "graft")

    def __init__(self, rules: Mapping[Kind, CloneRules], seed: int, person: Mapping[Origin, int]) -> None:
        """Draw the pools of the host; ``person``: whose receptors the cells of an origin have."""
        self._rules, self._seed, self._person = rules, seed, person
        self._cells = Ahead(seed, _CELLS)
        self._entering: list[Entry] = []
        self._ids: Floats = np.zeros((len(ROWS), N_ORIGINS, SAMPLE))
        self.due: Floats = np.zeros((len(ROWS), N_ORIGINS, 2))
        self.made, self.turn = 0.0, 0.0
        self.start: Floats = np.zeros((len(LINEAGES), SAMPLE))
        self.graft: Floats = np.zeros((len(LINEAGES), SAMPLE))
        for kind in ROWS:
            self.infuse(kind, Origin.HOST, 1.0, 1.0)

    @property
    def ids(self) -> Floats:
        """The samples as they are now; who has entered takes slots when somebody looks."""
        self.settle()
        return self._ids

    @ids.setter
    def ids(self, ids: Floats) -> None:
        self._entering.clear()  # they entered what is replaced
        self._ids = ids

    def infuse(self, kind: Kind, origin: Origin | int, cells: float, pool: float) -> None:
        """Let cells of a person's own repertoire, as it is at rest, join a pool that then holds ``pool`` cells."""
        if kind in ROWS and pool > 0.0:
            n = min(int(SAMPLE * cells / pool + 0.5), SAMPLE)
            words = self._draw(kind, origin, n, _RANKS)
            first = FIRST_OF_PERSON * (self._person[Origin(origin)] + 1) + PER_POOL * _ROW_OF[kind]
            ids = np.array([first + rank(self._rules[kind], w) for w in words.tolist()])
            self._entering.append(Entry(kind, origin, n, self._next_turn(), ids))

    def enter(self, kind: Kind, source: int, cells: Floats, pool: Floats) -> None:
        """Let cells enter a pool, both by origin; the pool holds them already. They take their slots in `settle`."""
        row = _ROW_OF[kind]
        # numbers of Python: for so few, NumPy takes three times as long
        for origin, n_cells in enumerate(cells.tolist()):
            if n_cells > 0.0:
                slots = self.due.item(row, origin, source) + SAMPLE * (n_cells / max(pool.item(origin), n_cells))
                n = min(int(slots), SAMPLE)
                self.due[row, origin, source] = slots - n
                if n:
                    ids = self._new(n) if source == NEW else None
                    self._entering.append(Entry(kind, origin, n, self._next_turn(), ids))
        if len(self._entering) >= _TOGETHER:
            self.settle()

    def _new(self, n: int) -> Floats:
        self.made += n
        return _MADE + self.made - np.arange(n, dtype=np.float64)

    def _next_turn(self) -> int:
        self.turn += 1.0
        return int(self.turn) - 1

    def settle(self) -> None:
        """Let the cells that have entered take slots at random, one pool after the other, in the order they came in.

        What each does depends on its turn, and not on how many steps later that is.
        """
        if not self._entering:
            return
        naive = iter(self._naive_slots())
        for (kind, origin, n, _, ids), slots in zip(self._entering, self._slots(), strict=True):
            found = self._ids[_ROW_OF[NAIVE_OF[kind]], origin, next(naive)] if ids is None else ids
            self._ids[_ROW_OF[kind], origin, slots[:n]] = found
        self._entering.clear()

    def _slots(self) -> Ints:
        """Return all slots of a pool in the order in which the cells of each entry take them, (entries, SAMPLE)."""
        # the draws of all at once: NumPy takes as long for one
        places = np.array([_place(entry.kind, entry.origin) for entry in self._entering])
        turns = np.array([entry.turn for entry in self._entering])
        sites = places[:, np.newaxis] + np.arange(SAMPLE)
        words = philox(self._seed, sites, np.broadcast_to(turns[:, np.newaxis], sites.shape), _SLOTS)[0]
        # the order of the words, equal ones by slot: no two of these numbers are equal, and they are sorted faster
        numbers = np.sort(words.astype(np.uint64) * np.uint64(SAMPLE) + np.arange(SAMPLE, dtype=np.uint64), axis=1)
        return (numbers % np.uint64(SAMPLE)).astype(np.int64)

    def _naive_slots(self) -> list[Ints]:
        """Return the slots of the naive cells that each entry without clones of its own comes of."""
        entries = [entry for entry in self._entering if entry.ids is None]
        if not entries:
            return []
        sites = [np.arange(n) + _place(NAIVE_OF[kind], origin) for kind, origin, n, *_ in entries]
        turns = np.repeat([entry.turn for entry in entries], [entry.slots for entry in entries])
        words = philox(self._seed, np.concatenate(sites), turns, _RANKS)[0]
        return np.split(slots_of(words), [*accumulate(entry.slots for entry in entries)][:-1])

    def _draw(self, kind: Kind, origin: Origin | int, n: int, word: int) -> Words:
        return philox(self._seed, np.arange(n) + _place(kind, origin), int(self.turn), word)[0]

    def repertoire(self, pools: Floats) -> Floats:
        """Return the clones of ``SAMPLE`` cells of each of ``LINEAGES``, shape (2, SAMPLE); 0 without any.

        They are taken from the pools (rows as ``immune.POOLS``) in proportion.
        """
        return np.stack([self._of_lineage(kinds, pools) for kinds in LINEAGES.values()])

    def _of_lineage(self, kinds: Sequence[Kind], pools: Floats) -> Floats:
        ids = self.ids
        return sampled([(ids[_ROW_OF[k], o], size) for k in kinds for o, size in enumerate(pools[INDEX[k]].tolist())])

    def mark_graft(self, pools: Floats) -> None:
        """Remember the T cells of pools as those of the graft."""
        self.graft = self.repertoire(pools)

    def draw_ahead(self, turn: int) -> None:
        """Draw now what `of_cells` will need."""
        self._cells.prepare(turn)

    def of_cells(self, arrivals: Sequence[Arrival], turn: int) -> Words:
        """Return the clone that each cell of the arrivals carries in its word, in their order, shape (cells,).

        What is kept of a clone's number fits the word; cells of another receptor class are another clone. 0: cells
        without rearranged receptors.
        """
        cells = np.array([n for *_, n in arrivals], np.int64)
        samples = [_sample(kind, origin, specificity) for kind, origin, specificity, _ in arrivals]
        first, classes, has_clone = np.array(samples, np.int64).reshape(-1, 3).repeat(cells, axis=0).T
        found = self.ids.reshape(-1)[first + slots_of(self._cells(turn, int(cells.sum())))].astype(np.int64)
        ids = (found ^ classes << _CLASS_SHIFT) * has_clone
        folded = ids ^ ids >> _CLONE_BITS ^ ids >> 2 * _CLONE_BITS
        kept: Words = (folded & ((1 << _CLONE_BITS) - 1)).astype(np.uint32)
        return kept


@lru_cache(maxsize=1024)  # the cells that arrive in a step are of a few classes
def _sample(kind: Kind, origin: Origin, specificity: Specificity) -> tuple[int, int, int]:
    """Return where the sample of a cell's clones begins among all ids, its receptor class, whether it has a clone."""
    pool = _LIKE.get(kind, kind)
    if pool not in ROWS:
        return 0, 0, 0
    return (ROWS.index(pool) * N_ORIGINS + int(origin)) * SAMPLE, int(specificity), 1


def _place(kind: Kind, origin: int) -> int:
    """Return the site from which on the draws of a pool are numbered."""
    return (int(kind) * N_ORIGINS + int(origin)) << 32


def slots_of(words: Words) -> Ints:
    """Return a slot for each word."""
    return (words.astype(np.uint64) * np.uint64(SAMPLE) >> np.uint64(32)).astype(np.int64)


def rank(rules: CloneRules, word: int) -> float:
    """Return the rank (from 1) of the clone of a cell drawn at random, by the inverse of the cumulative size."""
    u, last = (word + 0.5) / _WORDS, rules.clones + 1.0
    rest = 1.0 - rules.exponent
    rank = power(last, u) if rest == 0.0 else power(1.0 + u * (_reach(rules) - 1.0), 1.0 / rest)
    return float(min(int(rank), int(rules.clones)))


@lru_cache(maxsize=32)  # asked for with every cell that is drawn
def _reach(rules: CloneRules) -> float:
    """Return the cumulative size of all clones, as it comes out before it is scaled."""
    return power(rules.clones + 1.0, 1.0 - rules.exponent)


def sampled(pools: Sequence[tuple[Floats, float]]) -> Floats:
    """Return the clones of ``SAMPLE`` cells of several pools in proportion; 0 without any.

    Args:
        pools: the sample of each pool, shape (SAMPLE,), and its cells.
    """
    found, whole, so_far, taken = np.zeros(SAMPLE), total(size for _, size in pools), 0.0, 0
    for ids, size in pools if whole > 0.0 else ():
        so_far += size
        upto = int(SAMPLE * so_far / whole + 0.5)
        found[taken:upto] = ids[: upto - taken]
        taken = upto
    return found


# -- measures of a sample: clone numbers of its cells, shape (cells,); 0 is not a clone


def share_made(cells: Floats) -> float:
    """Return the share of cells with receptors that were made since the start; 0 without cells."""
    n = int((cells > 0.0).sum())
    return int((cells > _MADE).sum()) / n if n else 0.0


def persons(donor: str) -> dict[Origin, int]:
    """Return whose receptors the cells of an origin have: an autologous graft has the patient's."""
    first = 0 if donor == OWN else 1
    return {Origin.HOST: 0, Origin.DONOR: first, Origin.DONOR2: 2, Origin.PRODUCT: first}
