"""What the code itself says of a step on several ranks: arrays, messages and launches.

They are counted, not written down again: the phases of one step run on a backend of paper, which holds no memory and
computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from abm.bench.meter import moved
from abm.comm import SerialComm
from abm.domain import Domain
from abm.kernel import Kernel, load_topics
from abm.messages import CELL, Edges, longest_list
from abm.phases import HALO, Phases
from abm.setup import Model, sweep_settings

Array = NDArray[Any]


#: Bytes of a word of a cell.
WORD = 4


class Launch(NamedTuple):
    """One kernel over ``sites`` sites, that moves ``per_site`` bytes for each, as its signature tells."""

    kernel: str
    sites: int
    per_site: float


class Side(NamedTuple):
    """One message to one neighbour: bytes of the planes in it, their arrays, and sites whose cells it lists."""

    planes: int
    arrays: int
    sites: int

    @property
    def copied(self) -> int:
        """Bytes that one rank alone copies instead: cells with their planes."""
        return self.planes + 2 * WORD * self.sites

    def size(self, filled: float) -> float:
        """Return its bytes if such a part of the sites holds a cell."""
        return self.planes + CELL * filled * self.sites


class PaperBackend:
    """Gives arrays without memory and notes what is launched."""

    name, detail = "paper", "counts, computes nothing"

    def __init__(self, lattice_sites: int) -> None:
        """Count for local arrays of so many sites, halo included."""
        self.kernels: dict[str, Kernel] = load_topics()
        self.lattice_sites = lattice_sites
        self.allocated = 0
        self.launches: list[Launch] = []

    def alloc(self, shape: int | Sequence[int], dtype: DTypeLike) -> Array:
        """Return an array of which all elements are one."""
        array = np.broadcast_to(np.zeros((), dtype), shape)
        self.allocated += array.nbytes
        return array

    def prepare(self, kernel_name: str, **args: Any) -> Callable[..., None]:  # noqa: ANN401
        """Return a launch that is only noted."""
        per_site = moved(self.kernels[kernel_name], args, self.lattice_sites)

        def launch(n: int, **scalars: Any) -> None:  # noqa: ANN401
            del scalars
            if n:
                self.launches.append(Launch(kernel_name, n, per_site))

        return launch

    def chunk(self, plane: int, stages: int) -> int:
        """All planes at once."""
        del plane, stages
        return 0

    def clear(self, array: Array) -> None:
        """Do nothing."""


class PaperComm(SerialComm):
    """One of several ranks, which notes what it would send."""

    def __init__(self, rank: int, size: int) -> None:
        """Stand for a rank."""
        self.rank, self.size = rank, size
        self.sides: list[Side] = []
        self.kinds: dict[tuple[Any, ...], Side] = {}

    def exchange(self, backend: Any, domain: Domain, edges: Edges) -> None:  # noqa: ANN401
        """Note the message to either side."""
        del backend
        side = Side(edges.dense, len(edges.planes), longest_list(domain, edges.cells) // CELL)
        self.sides.append(side)
        self.kinds[edges.kind] = side


class Counted(NamedTuple):
    """What the code says about one rank.

    Attributes:
        arrays: bytes of all arrays on the device, halo included.
        kinds: of messages; four buffers for each of them are kept, and a list where arrays live.
        sides: of each exchange of a step, its message; two such go out.
        launches: of a step.
    """

    arrays: int
    kinds: tuple[Side, ...]
    sides: tuple[Side, ...]
    launches: tuple[Launch, ...]

    @property
    def buffers(self) -> int:
        """Bytes of message buffers, long enough for layers without an empty site."""
        return int(sum(4 * kind.size(1.0) for kind in self.kinds))

    @property
    def lists(self) -> int:
        """Bytes of the lists on the device."""
        return sum(CELL * kind.sites + 8 for kind in self.kinds if kind.sites)

    @property
    def moved(self) -> float:
        """Bytes that the kernels of a step move."""
        return sum(launch.sites * launch.per_site for launch in self.launches)

    @property
    def per_site(self) -> float:
        """Bytes per site and step where a slab is so thick that its halo does not count."""
        return sum(launch.per_site for launch in self.launches)


#: Kernels of the steps in which a drug acts on leukaemia of the patch.
OCCASIONAL = ("census_stroma",)


def count(model: Model, domain: Domain) -> Counted:
    """Return memory, messages and launches of one slab: ``Simulation`` up to the first step, then a step of it."""
    backend, comm = PaperBackend(prod(domain.local_shape)), PaperComm(domain.rank, domain.size)
    lattice = Phases(backend, replace(domain, closed=False), comm, model.config.seed)
    arrays = backend.allocated
    pointers = {arg.name for kernel in backend.kernels.values() for arg in kernel.args if arg.is_pointer}
    lattice.constants = {name: np.zeros(1) for name in pointers - set(lattice.arrays) - {"counts"}}
    lattice.exchange("tissue", "distance")
    lattice.exchange("res_hot", motile_depth=HALO)
    for name in swept(model):
        lattice.exchange(name)
    backend.launches, comm.sides = [], []
    advance(model, lattice)
    return Counted(arrays, tuple(comm.kinds.values()), tuple(comm.sides), tuple(backend.launches))


def advance(model: Model, lattice: Phases) -> None:
    """Do the phases of ``Simulation.advance`` in their order; both layers are taken to have cells.

    Of most steps: no drug acts on leukaemia (``OCCASIONAL``), and nobody is struck.
    """
    lattice.exchange("res_hot", "res_cold", *swept(model), motile_depth=HALO)
    lattice.contacts(0, counted=sees_neighbours(model))
    for name in swept(model):
        lattice.sweep(name, sweep_settings(model.fields[name]))
    for layer in ("res", "mot"):
        lattice.fate(layer, 0, 0)
    lattice.census_niche()
    for substep in range(model.substeps):
        lattice.motile_substep(0, substep)


def swept(model: Model) -> list[str]:
    """Return the fields that a rule looks at."""
    read = {signal.name.lower() for signal in model.rules.local_signals}
    return [name for name in model.fields if name in read]


def sees_neighbours(model: Model) -> bool:
    """Whether neighbours are counted: in leukaemia, and where a therapy may bring such cells."""
    return model.config.patient.disease != "none" or bool(model.config.events)
