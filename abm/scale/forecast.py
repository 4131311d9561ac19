"""Memory, time and files of a run on some ranks, from what the code counts and what the machine can do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, log2
from typing import NamedTuple

import numpy as np

from abm.cells import N_COUNTS, N_KINDS, N_ORIGINS
from abm.comm import SerialComm
from abm.domain import Domain
from abm.model.body import Body
from abm.model.tissue_raster import REACH
from abm.scale.count import WORD, Counted, count
from abm.scale.machines import Machine
from abm.setup import Census, Model, make_domain, make_scale
from abm.state import checkpoint_fields
from abm.step import SWEEPS_BEFORE_START

MIB = 2.0**20

# Host memory of a process beside lattice and messages, as measured on Linux with glibc: 64^3 to 256^3 sites, 1-4 ranks.
#: Python, NumPy, HDF5 and kernels; what MPI adds to that; what CUDA adds (assumed), bytes.
PROCESS, MPI, CUDA = 65 * MIB, 17 * MIB, 500 * MIB
#: While cells are made; copies of tissue and cells that stay up to the first step; bytes per owned site.
CELLS, STARTED = 50, 10
#: Heap that making the tissue leaves behind: bytes per owned site, at most so many bytes.
HEAP, HEAP_MOST = 50, 100 * MIB
#: Compressed chunks that wait to be written: bytes per owned site; and buffers.
CHUNKS, WRITER = 3, 10 * MIB
#: Shapes of the tissue of the whole lattice, on every rank: while they are made, kept; bytes per site of the lattice.
SHAPES_MADE, SHAPES_KEPT = 2.9, 1.2
#: Working memory per site of the planes that tissue is made on; planes on which its levels are set.
TISSUE, SAMPLED = 6, 112
#: Bytes of a cell's candidate site while cells from the blood look for a place; hours of such cells at the start.
CANDIDATE, FIRST_H = 120, 24.0
#: Seconds per site on one core of an AMD EPYC: shapes of the whole lattice; bone and vessels of a slab, of the planes
#: around it and of the sampled ones; the rest of its tissue, and its cells.
SHAPES_S, FRAME_S, FILL_S = 6e-9, 1.1e-7, 2.1e-7
#: How often a message is copied on its way out and in: the host copies what it received twice.
COPIES = {"host": 3, "gpu": 2}
#: To list the cells of a layer and to put them where they belong takes as many calls as to copy so many arrays.
LISTING = 3
#: Of a GPU: context of CUDA (assumed), and a copy of the largest array while the lattice is filled, bytes (per site).
CONTEXT, LOADING = 600 * MIB, 4


class Memory(NamedTuple):
    """Bytes of one rank.

    Attributes:
        arrays: all arrays of the lattice, halo included.
        device: the most its device holds.
        host: the most its process holds in host memory; with the host backend the arrays are part of it.
        running: what the process holds between checkpoints.
    """

    arrays: float
    device: float
    host: float
    running: float


class StepTime(NamedTuple):
    """Seconds of a step, where they go."""

    compute: float
    exchange: float
    homing: float
    host: float
    collectives: float

    @property
    def total(self) -> float:
        """Seconds of a step."""
        return sum(self)


class Files(NamedTuple):
    """A checkpoint: raw bytes of a rank, stored bytes of all ranks, seconds."""

    raw: float
    stored: float
    seconds: float


@dataclass(frozen=True)
class Forecast:
    """One lattice on some ranks of a machine.

    Attributes:
        model: of the run; its configuration holds the lattice.
        machine: where.
        ranks: how many.
    """

    model: Model
    machine: Machine
    ranks: int

    @cached_property
    def counted(self) -> Counted:
        """What the code says of the thickest slab."""
        return count(self.model, slab(self.model, self.ranks))

    @property
    def planes(self) -> tuple[int, int]:
        """Planes of the thinnest and of the thickest slab."""
        nz = self.model.config.patch.shape[0]
        return nz // self.ranks, -(-nz // self.ranks)

    @property
    def plane(self) -> int:
        """Sites of a plane."""
        return int(np.prod(self.model.config.patch.shape[1:], dtype=np.int64))

    @property
    def owned(self) -> int:
        """Sites of the thickest slab."""
        return self.planes[1] * self.plane

    @property
    def total(self) -> int:
        """Sites of the lattice."""
        return self.model.config.n_sites

    @property
    def sent(self) -> float:
        """Bytes a rank sends in a step."""
        return 2 * sum(side.size(self.machine["motile"]) for side in self.counted.sides)

    @property
    def messages(self) -> int:
        """Messages a rank sends to its neighbours in a step."""
        return 2 * len(self.counted.sides)

    @property
    def stages(self) -> int:
        """Stages of a broadcast to all ranks."""
        return ceil(log2(self.ranks))

    @property
    def is_host(self) -> bool:
        """Whether ranks compute on the host."""
        return self.machine.device == "host"

    def memory(self) -> Memory:
        """Return what a rank needs."""
        arrays, own = self.counted.arrays, self.owned
        on_host = arrays if self.is_host else 0.0
        base = PROCESS + (MPI + self.buffers() if self.ranks > 1 else 0.0) + (0.0 if self.is_host else CUDA)
        kept = SHAPES_KEPT * self.total
        planes = max(self.planes[1] + 2 * REACH, SAMPLED)
        tissue = SHAPES_MADE * self.total + TISSUE * self.plane * min(planes, self.model.config.patch.shape[0])
        homing = CANDIDATE * self.machine["candidates"] * self.total
        first = kept + 2 * STARTED * own + homing * FIRST_H / self.model.config.step_h
        started = kept + max(CELLS * own, on_host + STARTED * own + min(HEAP * own, HEAP_MOST))
        saving = kept + on_host + (raw_per_site() + CHUNKS) * own + WRITER
        lists = self.counted.lists if self.ranks > 1 else 0
        device = on_host or arrays + lists + LOADING * own + CONTEXT
        return Memory(arrays, device, base + max(tissue, first, started, saving), base + kept + on_host + homing)

    def buffers(self) -> float:
        """Return the host memory of message buffers and, with the host backend, of lists: as far as it is ever used."""
        if not self.is_host:
            return self.counted.buffers
        filled = self.machine["motile"]
        return sum(4 * kind.size(filled) for kind in self.counted.kinds) + filled * self.counted.lists

    def fits(self) -> bool:
        """Whether a rank finds the memory it needs; of GPU nodes only the memory of the GPU is asked for."""
        memory = self.memory()
        if self.is_host:
            return memory.host * min(self.ranks, self.machine.node) <= self.machine["memory"] * 1e9
        return memory.device <= self.machine["memory"] * 1e9

    def step(self) -> StepTime:
        """Return the time of a step."""
        machine, slow = self.machine, self.machine.slow(self.ranks)
        bandwidth = machine["link" if self.ranks > machine.node else "node_link"] * 1e9
        candidates = machine["candidates"] * self.total
        homing = slow * candidates * machine["candidate_s"]
        collectives = 0.0
        if self.ranks > 1:
            summed = N_COUNTS * N_KINDS * N_ORIGINS * 8 + candidates  # of each candidate, whether its site is open
            shared = self.body_bytes()
            # sums of counts and of a reason to stop, stem cells that leave: up and down; the body: down
            collectives = 7 * self.stages * machine["latency"] * 1e-6 + (2 * summed + shared) / bandwidth
        compute = slow * self.counted.moved / self.counted.per_site / machine["rate"]
        return StepTime(compute, self.exchange(), homing, slow * machine["step_s"], collectives)

    def exchange(self) -> float:
        """Return the seconds of all exchanges of a step: copies into and out of buffers, and the slowest link."""
        machine, sides = self.machine, self.counted.sides
        if self.ranks == 1:
            return 2 * sum(side.copied for side in sides) / (machine["copy"] * 1e9) if self.is_host else 0.0
        side = self.sent / 2
        times = 2 * COPIES["host" if self.is_host else "gpu"]
        calls = sum(kind.arrays + LISTING * (kind.sites > 0) for kind in sides)
        copies = times * (side / (machine["copy"] * 1e9) + calls * machine["copy_us"] * 1e-6)
        if self.is_host:  # planes are looked through for cells and cleared for them; next to nothing on a GPU
            copies += 4 * WORD * sum(kind.sites for kind in sides) / (machine["copy"] * 1e9)
        away = 0 if self.ranks <= machine.node else 2 if machine.node == 1 else 1  # neighbours on another node
        links = away * side / (machine["link"] * 1e9) + (2 - away) * side / (machine["node_link"] * 1e9)
        slow = machine.slow(self.ranks)
        return slow * copies + links + len(sides) * machine["latency"] * 1e-6

    def checkpoint(self) -> Files:
        """Return size and time of a checkpoint."""
        machine, raw = self.machine, float(raw_per_site() * self.owned)
        stored = machine["stored"] * self.total
        seconds = raw / (machine["pack"] * machine["cores"] * 1e9) + stored / (machine["files"] * 1e9)
        return Files(raw, stored, seconds + (0.0 if self.is_host else raw / (machine["copy"] * 1e9)))

    def start_s(self) -> float:
        """Return the seconds up to the first step: tissue and cells, a day of lymphocytes, sweeps of the fields."""
        config, counted = self.model.config, self.counted
        nz, machine = config.patch.shape[0], self.machine
        first = FIRST_H / config.step_h * machine["candidates"] * self.total * machine["candidate_s"]
        frame = min(SAMPLED, nz) + min(self.planes[1] + 2 * REACH, nz)
        made = SHAPES_S * self.total + FRAME_S * frame * self.plane + FILL_S * self.owned + first
        sweeps = sum(k.sites * k.per_site for k in counted.launches if k.kernel.startswith("sweep")) / counted.moved
        return machine.slow(self.ranks) * made + SWEEPS_BEFORE_START * sweeps * self.step().compute

    def body_bytes(self) -> int:
        """Return the bytes that rank 0 broadcasts in a step."""
        census = Census(1000, 1000000)  # sizes do not depend on it
        body = Body(self.model.tables, self.model.config.patient, make_scale(self.model, census))
        return sum(array.nbytes for array in body.pack().values())


def slab(model: Model, ranks: int) -> Domain:
    """Return the thickest slab, that of the last rank.

    Raises:
        ConfigError: a slab would be thinner than the halo.
    """
    comm = SerialComm()
    comm.size, comm.rank = ranks, ranks - 1
    return make_domain(model.config, comm)


def raw_per_site() -> int:
    """Return the bytes per site that a checkpoint holds before compression."""
    return sum(np.dtype(field.dtype).itemsize for field in checkpoint_fields())
