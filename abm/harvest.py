"""Marrow of a former run as a graft: its stem and progenitor cells, with their clones.

The graft holds each kind in its share of the marrow it comes from: one that has not filled its niches again gives fewer
stem cells per nucleated cell.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from abm import io
from abm.cells import COLD, HOT, Cycle, EditBit, Field, Kind, Origin, pack_hot
from abm.errors import CheckpointError
from abm.model.body import Dose
from abm.philox import philox, philox_scalar
from abm.state import Snapshot
from abm.streams import Stream

Words = NDArray[np.uint32]

_SHIFT = {field.name: np.uint32(field.shift) for field in HOT}
_KIND = np.uint32(63)
_TWO32 = 4294967296.0


def _mask(table: Iterable[Field], *names: str) -> np.uint32:
    return np.uint32(sum(((1 << field.bits) - 1) << field.shift for field in table if field.name in names))


#: What a cell takes along: what it inherits, and how far it has come. Labels and states of the moment stay behind.
_KEPT_HOT = _mask(HOT, "kind", "loss", "edits")
_KEPT_COLD = _mask(COLD, "clone", "stage", "resist")
_EDITS = _mask(HOT, "loss", "edits")
_EDITED = np.uint32(pack_hot(edits=1 << EditBit.EDITED))


@dataclass(frozen=True)
class Harvest:
    """The cells of a marrow that can lodge in another one.

    Attributes:
        hot, cold: their words, in the order of their sites, shape (n,).
        nucleated: nucleated resident cells of the whole patch.
    """

    hot: Words
    cold: Words
    nucleated: int

    @classmethod
    def of(cls, snapshot: Snapshot, kinds: Iterable[Kind]) -> Harvest:
        """Take the cells of ``kinds`` from a whole lattice."""
        hot, cold = (snapshot.arrays[name].reshape(-1) for name in ("res_hot", "res_cold"))
        kind = hot & _KIND
        chosen = np.isin(kind, [int(k) for k in kinds])
        nucleated = int(((kind != Kind.EMPTY) & (kind != Kind.RETICULOCYTE)).sum())
        return cls(hot[chosen] & _KEPT_HOT, cold[chosen] & _KEPT_COLD, nucleated)

    @property
    def carried(self) -> int:
        """What its edited cells carry, as bits of the hot word; 0 without such cells."""
        edited = self.hot[(self.hot & _EDITED) != 0] & _EDITS
        return int(np.bitwise_or.reduce(edited)) if edited.size else 0

    def draw(self, agents: float, origin: Origin, seed: int, step: int, index: int) -> tuple[Words, Words]:
        """Return the words of the cells among ``agents`` nucleated ones of this marrow.

        Numbers are rounded at random. Cells are drawn with replacement: an agent stands for many cells of its clone.

        Args:
            agents: nucleated agents of the graft.
            origin: whose cells they are in the recipient.
            seed: that of the recipient.
            step: number of the step.
            index: number of the graft among those of this step.
        """
        place = (origin + 4 * index) << 32
        found: list[NDArray[np.int64]] = []
        for kind in np.unique(self.hot & _KIND).tolist():
            members = np.flatnonzero((self.hot & _KIND) == kind)
            expected = agents * members.size / self.nucleated
            luck = philox_scalar(seed, place + kind, step, Stream.HARVEST * 256)[0]
            n = int(expected) + int(luck < (expected - int(expected)) * _TWO32)
            r = philox(seed, np.arange(n) + place + (kind << 24), step, Stream.HARVEST * 256 + 1)[0]
            found.append(members[(r.astype(np.uint64) * np.uint64(members.size) >> np.uint64(32)).astype(np.int64)])
        chosen = np.concatenate(found) if found else np.zeros(0, np.int64)
        resting = np.where((self.hot[chosen] & _KIND) == Kind.HSC, Cycle.QUIESCENT, Cycle.CYCLING).astype(np.uint32)
        whose = np.uint32(origin) << _SHIFT["origin"]
        return self.hot[chosen] | whose | (resting << _SHIFT["cycle"]), self.cold[chosen]


def read_harvest(checkpoint: Path, kinds: Iterable[Kind], species: str) -> Harvest:
    """Read the marrow of a checkpoint.

    Raises:
        CheckpointError: it is damaged, of another species, or holds no cell of ``kinds``.
    """
    snapshot = io.read_checkpoint(checkpoint)
    of = tomllib.loads(str(snapshot.meta.get("config", ""))).get("patch", {}).get("species", species)
    if of != species:
        msg = f"{checkpoint}: expected marrow of {species}, found that of {of}"
        raise CheckpointError(msg)
    found = Harvest.of(snapshot, kinds)
    if not found.hot.size:
        msg = f"{checkpoint}: no stem or progenitor cell in this marrow"
        raise CheckpointError(msg)
    return found


def with_edits(schedule: Sequence[tuple[Dose, ...]], harvests: Mapping[str, Harvest]) -> list[tuple[Dose, ...]]:
    """Return the doses of every step, grafts taken from a former run with what its edited cells carry."""
    carried = {name: harvest.carried for name, harvest in harvests.items()}
    return [tuple(replace(d, carried=carried.get(d.marrow_of, 0)) for d in doses) for doses in schedule]
