"""What the kernels of a slab count, and how it reaches the host while the slab goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_COUNTS, N_KINDS, N_ORIGINS, N_PARTS
from abm.comm import SerialComm
from abm.errors import LedgerError

#: Room for stem cells that leave a slab in one step, per plane of it.
LEAVERS_PER_PLANE = 256
#: So many of them are read with the counts; more wait for what the device does meanwhile.
READ_AHEAD = 1024


class Tallies:
    """Counters and lists that kernels fill in a step."""

    def __init__(self, backend: Any, comm: SerialComm, planes: int) -> None:  # noqa: ANN401 - any backend
        """Make room for a slab of so many planes."""
        self.backend, self.comm = backend, comm
        self.room = planes * LEAVERS_PER_PLANE
        self.numbers = backend.alloc(2, np.int64)
        self.n_leavers, self.n_damaged = self.numbers[:1], self.numbers[1:]
        self.leaver_site = backend.alloc(self.room, np.int64)
        self.leaver_words = backend.alloc(2 * self.room, np.uint32)
        ahead = min(self.room, READ_AHEAD)
        self.first_leavers = self.leaver_site[:ahead], self.leaver_words[: 2 * ahead]
        self.counts = backend.alloc(N_PARTS * N_COUNTS * N_KINDS * N_ORIGINS, np.uint32)
        self.totals = backend.alloc(N_COUNTS * N_KINDS * N_ORIGINS, np.int64)
        self.collect = backend.prepare("collect", counts=self.counts, totals=self.totals)
        self.watched: tuple[int, ...] = ()
        self.readers: dict[bool, Callable[[], Callable[[], list[Any]]]] = {}

    def watch(self, receptors: Sequence[int]) -> None:
        """Make room to count the residents that each of some receptors (antigen masks) sees; none: no such count."""
        self.watched = tuple(receptors)
        rows = max(len(self.watched) * N_KINDS * N_ORIGINS, 1)
        self.seen = self.backend.alloc(N_PARTS * rows, np.uint32)
        self.seen_totals = self.backend.alloc(rows, np.int64)
        self.collect_seen = self.backend.prepare("collect", counts=self.seen, totals=self.seen_totals)
        self.readers.clear()

    def begin_to_read(self, *, seen: bool) -> Callable[[], list[Any]]:
        """Begin to read what was counted and listed, also who was ``seen``, and count and list anew."""
        if seen not in self.readers:
            arrays = [self.numbers, *self.first_leavers, self.totals, *([self.seen_totals] if seen else [])]
            add_up = self._add_up_all if seen else self._add_up
            self.readers[seen] = self.backend.reader(add_up, arrays, lambda: self.backend.clear(self.numbers))
        return self.readers[seen]()

    def _add_up(self) -> None:
        self.collect(self.totals.size)

    def _add_up_all(self) -> None:
        self._add_up()
        self.collect_seen(self.seen_totals.size)


class Reading:
    """What was counted since the last reading. It is begun here, and waited for when it is asked for.

    All ranks must ask for the same.
    """

    def __init__(self, tallies: Tallies, *, seen: bool = False) -> None:
        """Begin to read; ``seen``: also who is seen."""
        self.tallies, self._wait = tallies, tallies.begin_to_read(seen=seen)

    def counts(self) -> NDArray[np.int64]:
        """Return events and cells over all ranks, int64 (N_COUNTS, 64, 4)."""
        return self.tallies.comm.sum_int64(self._wait()[3].reshape(N_COUNTS, N_KINDS, N_ORIGINS))

    def seen(self) -> NDArray[np.int64]:
        """Return who was seen over all ranks, int64 (receptors, 64, 4)."""
        return self.tallies.comm.sum_int64(self._wait()[4].reshape(-1, N_KINDS, N_ORIGINS))

    def damaged(self) -> int:
        """Return how many residents had damage left over all ranks, before the events of the step."""
        return int(self.tallies.comm.sum_int64(self._wait()[0][1:]).sum())

    def leavers(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Return hot and cold words of the chosen kinds that left, in global site order.

        Raises:
            LedgerError: they were too many.
        """
        numbers, site, words, *_ = self._wait()
        tallies, found = self.tallies, int(numbers[0])
        if found > tallies.room:
            msg = f"{found} stem cells leave in one step; at most {tallies.room} can be kept"
            raise LedgerError(msg)
        if found > site.size:
            site = np.asarray(tallies.backend.to_host(tallies.leaver_site[:found]))
            words = np.asarray(tallies.backend.to_host(tallies.leaver_words[: 2 * found]))
        picked = tallies.comm.gather_planes(words.reshape(-1, 2)[np.argsort(site[:found])])
        return picked[:, 0].copy(), picked[:, 1].copy()
