"""Cells from the blood take open sites of a slab; the host learns which while the slab goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abm.comm import SerialComm
from abm.streams import Stream

#: Room for cells at least, and how many times what is needed at most: before the first step a whole day arrives.
ROOM, SPARE = 256, 16
#: Arguments of kernels that are lists of cells, and which.
_LISTS = {"seeking": "hot", "new_hot": "hot", "new_cold": "cold", "last": "last", "place": "place"}


class Lodgement:
    """The lists of cells that look for a site, and the launches that find and give it (``kernels/traffic.cu``)."""

    def __init__(self, backend: Any, comm: SerialComm, known: dict[str, Any]) -> None:  # noqa: ANN401
        """Begin without cells; ``known``: arguments of the kernels by name, but for the lists of cells."""
        self.backend, self.comm = backend, comm
        self.known = known | {"step": 0, "word": Stream.ARRIVAL * 256}
        self.room = 0

    def _make_room(self, n: int) -> None:
        """Allocate lists that hold so many cells."""
        self.room = max(ROOM, 1 << (n - 1).bit_length())
        types = {"hot": np.uint32, "cold": np.uint32, "last": np.int64, "place": np.int64}
        self.lists = {name: self.backend.alloc(self.room, dtype) for name, dtype in types.items()}
        self.probe, self.claim, self.lodge, self.settle = map(self._prepare, ("probe", "claim", "lodge", "settle"))

    def _prepare(self, kernel: str) -> Callable[..., None]:
        given = self.known | {name: self.lists[which] for name, which in _LISTS.items()}
        names = (arg.name for arg in self.backend.kernels[kernel].args)
        launch: Callable[..., None] = self.backend.prepare(kernel, **{name: given[name] for name in names})
        return launch

    def __call__(
        self, step: int, hot: NDArray[np.uint32], cold: NDArray[np.uint32], last: NDArray[np.int64]
    ) -> Callable[[], NDArray[np.int64]]:
        """Let each cell, in order, take its first open candidate that no earlier cell has.

        Args:
            step: number of the step.
            hot: words of the cells, shape (n,), n > 0.
            cold: likewise.
            last: number of the candidate behind the last of each, in the step; those of a cell follow those of the
                cell before.

        Returns:
            What waits for the places and gives them: ``NOWHERE``, or the number of the trial above ``SITE_BITS`` bits
            for the global site, int64 (n,), the same on all ranks.
        """
        n = hot.size
        if n > self.room or self.room > SPARE * max(n, ROOM):
            self._make_room(n)
        for name, values in (("hot", hot), ("cold", cold), ("last", last)):
            self.backend.send(self.lists[name][:n], values)
        place = self.lists["place"][:n]
        if self.comm.size > 1:
            agreed = self._agree(step, place)
            self.settle(n)
            return lambda: agreed
        self.lodge(n, step=step)
        found: Callable[[], NDArray[np.int64]] = self.backend.read(place)
        self.settle(n)
        return found

    def _agree(self, step: int, place: Any) -> NDArray[np.int64]:  # noqa: ANN401
        """Find the places on all slabs: ask and claim in turns until nobody moves."""
        self.backend.clear(place)
        stood, stands = None, self._ask(step, place)
        while stood is None or not np.array_equal(stood, stands):
            self.backend.copy(place, stands)
            self.claim(place.size)
            stood, stands = stands, self._ask(step, place)
        self.backend.copy(place, stands)
        return stands

    def _ask(self, step: int, place: Any) -> NDArray[np.int64]:  # noqa: ANN401
        self.probe(place.size, step=step)
        return self.comm.least(np.array(self.backend.to_host(place)))
