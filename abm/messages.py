"""What a slab tells its neighbours: planes of arrays, and the cells of a sparse layer as a list shorter than planes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from abm.domain import Domain

#: A listed cell: site, hot and cold word, uint32 each; bytes.
CELL = 12


class Sparse(NamedTuple):
    """A layer in which most sites are empty: its words, local arrays, and the planes of it that a neighbour reads.

    What cold words say where no cell is does not matter.
    """

    hot: Any
    cold: Any
    depth: int


class Edges(NamedTuple):
    """What neighbours read of a slab: the nearest planes of local arrays (nz + 2 halo, ny, nx), and a sparse layer.

    Attributes:
        planes: the arrays, and how many planes of each (<= nz).
        cells: the layer, if there is one.
    """

    planes: Sequence[tuple[Any, int]]
    cells: Sparse | None = None

    @property
    def kind(self) -> tuple[Any, ...]:
        """What messages of the same size and place have in common."""
        planes = ((array.dtype, array.shape, depth) for array, depth in self.planes)
        return (*planes, self.cells and (id(self.cells.hot), id(self.cells.cold), self.cells.depth))

    @property
    def dense(self) -> int:
        """Bytes of the planes."""
        return sum(depth * array[0].nbytes for array, depth in self.planes)


class Message:
    """One kind of message, its buffers and how it is put together and taken apart.

    Attributes:
        buffers: bytes from below, from above, to below, to above; as long as the longest such message.
    """

    def __init__(self, backend: Any, domain: Domain, edges: Edges, *, on_device: bool) -> None:  # noqa: ANN401
        """Allocate buffers: of the GPU, or pinned on the host where arrays live on one."""
        self.backend, self.domain, self.dense = backend, domain, edges.dense
        self.list = None if edges.cells is None else CellList(backend, domain, edges.cells)
        longest = edges.dense + longest_list(domain, edges.cells)
        self.buffers = [backend.buffer(longest, on_device=on_device) for _ in range(4)]

    def pack(self, buffer: Any, edges: Edges, *, up: bool) -> Any:  # noqa: ANN401
        """Copy the planes nearest to the slab above or below; returns the part of the buffer that is the message."""
        for part, array, depth in _parts(buffer, edges.planes):
            self.backend.copy(part, array[self._planes(depth, top=up, inside=True)])
        if self.list is None:
            return buffer
        listed = self.list.take(buffer[self.dense :], self._planes(self.list.depth, top=up, inside=True))
        return buffer[: self.dense + listed]

    def unpack(self, message: Any, edges: Edges, *, above: bool) -> None:  # noqa: ANN401
        """Fill the halo planes above or below."""
        for part, array, depth in _parts(message, edges.planes):
            self.backend.copy(array[self._planes(depth, top=above, inside=False)], part, True)
        if self.list:
            self.list.put(message[self.dense :], self._planes(self.list.depth, top=above, inside=False))

    def _planes(self, depth: int, *, top: bool, inside: bool) -> slice:
        """Return so many local planes on one side of one end of the slab."""
        end = self.domain.halo + (self.domain.n_owned if top else 0)
        first = end - depth if top == inside else end
        return slice(first, first + depth)


class CellList:
    """Takes the cells of some planes of a layer, and puts them on others."""

    def __init__(self, backend: Any, domain: Domain, cells: Sparse) -> None:  # noqa: ANN401
        """Hold a list of all cells that the planes can have."""
        self.backend, self.plane, self.hot, self.depth = backend, domain.plane, cells.hot, cells.depth
        self.words = backend.alloc(longest_list(domain, cells) // 4, np.uint32)
        self.found = backend.alloc(1, np.int64)
        layer = {"first": 0, "hot": cells.hot, "cold": cells.cold, "listed": self.words}
        _, ny, nx = domain.shape
        self._pack = backend.prepare("pack", ny=ny, nx=nx, n_listed=self.found, **layer)
        self._unpack = backend.prepare("unpack", **layer)

    def take(self, buffer: Any, planes: slice) -> int:  # noqa: ANN401
        """List the cells of the planes at the start of a buffer; returns the bytes of the list."""
        self.backend.clear(self.found)
        self._pack(self.depth * self.plane, first=planes.start * self.plane)
        size = CELL * int(np.asarray(self.backend.to_host(self.found))[0])
        if size:
            self.backend.copy(buffer[:size].view(np.uint32), self.words[: size // 4])
        return size

    def put(self, listed: Any, planes: slice) -> None:  # noqa: ANN401
        """Let the cells of the planes be those of a list."""
        self.backend.clear(self.hot[planes])
        if listed.nbytes:
            self.backend.copy(self.words[: listed.nbytes // 4], listed.view(np.uint32), True)
            self._unpack(listed.nbytes // CELL, first=planes.start * self.plane)


def longest_list(domain: Domain, cells: Sparse | None) -> int:
    """Return the bytes of a list of planes on which no site is empty."""
    return 0 if cells is None else CELL * cells.depth * domain.plane


def _parts(buffer: Any, planes: Sequence[tuple[Any, int]]) -> Iterator[tuple[Any, Any, int]]:  # noqa: ANN401
    """Return for each array its part of a buffer, seen as planes, and their number."""
    start = 0
    # wide items first, so that each array, and a list behind them, begins at a multiple of its own
    for array, depth in sorted(planes, key=lambda pair: -pair[0].dtype.itemsize):
        shape = (depth, *array.shape[1:])
        size = int(np.prod(shape)) * np.dtype(array.dtype).itemsize
        yield buffer[start : start + size].view(array.dtype).reshape(shape), array, depth
        start += size
