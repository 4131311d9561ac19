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
from abm.phases import Phases
from abm.setup import Model, sweep_settings

Array = NDArray[Any]


class Launch(NamedTuple):
    """One kernel over ``sites`` sites, that moves ``per_site`` bytes for each, as its signature tells."""

    kernel: str
    sites: int
    per_site: float


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
        self.sides: list[tuple[int, int]] = []
        self.buffers: dict[tuple[Any, ...], int] = {}

    def exchange(self, backend: Any, domain: Domain, arrays: Sequence[Any], depths: Sequence[int]) -> None:  # noqa: ANN401
        """Note bytes and arrays of the message to either side, and the buffers for it."""
        del backend, domain
        side = sum(depth * array[0].nbytes for array, depth in zip(arrays, depths, strict=True))
        self.sides.append((side, len(arrays)))
        self.buffers[*depths, *((a.dtype, a.shape) for a in arrays)] = 4 * side


class Counted(NamedTuple):
    """What the code says about one rank.

    Attributes:
        arrays: bytes of all arrays on the device, halo included.
        buffers: bytes of message buffers on the host.
        sides: of each exchange of a step, bytes of one message and number of arrays in it; two messages go out.
        launches: of a step.
    """

    arrays: int
    buffers: int
    sides: tuple[tuple[int, int], ...]
    launches: tuple[Launch, ...]

    @property
    def moved(self) -> float:
        """Bytes that the kernels of a step move."""
        return sum(launch.sites * launch.per_site for launch in self.launches)

    @property
    def per_site(self) -> float:
        """Bytes per site and step where a slab is so thick that its halo does not count."""
        return sum(launch.per_site for launch in self.launches)


def count(model: Model, domain: Domain) -> Counted:
    """Return memory, messages and launches of one slab: ``Simulation`` up to the first step, then a step of it."""
    backend, comm = PaperBackend(prod(domain.local_shape)), PaperComm(domain.rank, domain.size)
    lattice = Phases(backend, replace(domain, closed=False), comm, model.config.seed)
    arrays = backend.allocated
    pointers = {arg.name for kernel in backend.kernels.values() for arg in kernel.args if arg.is_pointer}
    lattice.constants = {name: np.zeros(1) for name in pointers - set(lattice.arrays) - {"counts"}}
    lattice.exchange("tissue", "distance")
    lattice.exchange("res_hot", "mot_hot")
    for name in swept(model):
        lattice.exchange(name)
    backend.launches, comm.sides = [], []
    advance(model, lattice)
    return Counted(arrays, sum(comm.buffers.values()), tuple(comm.sides), tuple(backend.launches))


def advance(model: Model, lattice: Phases) -> None:
    """Do the phases of ``Simulation.advance`` in their order; both layers are taken to have cells."""
    lattice.exchange("res_hot", "res_cold", "mot_hot", "mot_cold", *swept(model))
    lattice.contacts(0, counted=sees_neighbours(model))
    for name in swept(model):
        lattice.sweep(name, sweep_settings(model.fields[name]))
    for layer in ("res", "mot"):
        lattice.fate(layer, 0, 0)
    lattice.census()
    for substep in range(model.substeps):
        lattice.motile_substep(0, substep)


def swept(model: Model) -> list[str]:
    """Return the fields that a rule looks at."""
    read = {signal.name.lower() for signal in model.rules.local_signals}
    return [name for name in model.fields if name in read]


def sees_neighbours(model: Model) -> bool:
    """Whether neighbours are counted: in leukaemia, and where a therapy may bring such cells."""
    return model.config.patient.disease != "none" or bool(model.config.events)
