"""Communication between ranks: one rank alone, or several through mpi4py.

MPI is touched only in programs that were started by a launcher: importing mpi4py starts MPI, and under the wrong
launcher that ends the process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from abm.domain import Domain
from abm.errors import AbmError, BackendError
from abm.messages import Edges, Message

Array = NDArray[Any]
Result = TypeVar("Result")

#: Variables in which launchers tell the number of ranks, in the order they are believed: under an mpiexec inside a
#: batch job the variable of the batch system counts the mpiexec itself.
SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
LOCAL_RANK_VARIABLES = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")
#: Set to 1 where MPI itself reads and writes the memory of GPUs; else messages of GPUs go through host memory.
GPU_AWARE = "ABM_GPU_AWARE_MPI"
#: Seconds that a rank with an error waits to see whether all others have it too.
PATIENCE_S = 3.0


def launched_ranks() -> int:
    """Return how many ranks the launcher says there are; 1 without a launcher."""
    return _launcher_says(SIZE_VARIABLES, 1)


def launched_rank() -> int:
    """Return the number of this rank before MPI is started, as far as the launcher tells; else 0."""
    return _launcher_says(RANK_VARIABLES, 0)


def local_rank() -> int:
    """Return the number of this rank among those of its node, as far as the launcher tells; else 0."""
    return _launcher_says(LOCAL_RANK_VARIABLES, 0)


def gpu_aware() -> bool:
    """Return whether the user says that MPI may be given arrays of a GPU; an MPI that cannot crashes on them.

    Raises:
        BackendError: neither 0 nor 1.
    """
    if (text := os.environ.get(GPU_AWARE, "")) not in ("", "0", "1"):
        msg = f"{GPU_AWARE}={text}: expected 1 (MPI reads the memory of GPUs) or 0"
        raise BackendError(msg)
    return text == "1"


def _launcher_says(names: Sequence[str], otherwise: int) -> int:
    found = (os.environ.get(name, "") for name in names)
    return next((int(text) for text in found if text.isdigit()), otherwise)


def connect() -> SerialComm:
    """Return the communication this program was launched with.

    Raises:
        BackendError: launched as several ranks, but MPI is missing or sees another number.
    """
    expected = launched_ranks()
    if expected == 1:
        return SerialComm()
    try:
        mpi = import_module("mpi4py.MPI")
    except (ImportError, RuntimeError) as error:  # no mpi4py; no MPI library
        msg = f"launched as {expected} ranks, but MPI cannot be used: {error} (pip install 'abm-marrow[mpi]')"
        raise BackendError(msg) from error
    if mpi.COMM_WORLD.size != expected:
        msg = (
            f"launched as {expected} ranks, but MPI ({mpi.Get_library_version().splitlines()[0].strip()}) sees "
            f"{mpi.COMM_WORLD.size}: launcher and MPI library do not fit (srun --mpi=pmi2 for MPICH, --mpi=pmix for "
            "Open MPI; or the mpiexec of the same MPI)"
        )
        raise BackendError(msg)
    return MpiComm(mpi)


class SerialComm:
    """All planes live here; the halo wraps around the periodic lattice. Also the interface of several ranks."""

    rank = 0
    size = 1
    #: MPI's communicator, where there is MPI.
    world: Any = None
    #: Seconds spent in :meth:`exchange`, waiting for the neighbours included.
    exchange_s = 0.0

    def exchange(self, backend: Any, domain: Domain, edges: Edges) -> None:  # noqa: ANN401
        """Fill the nearest halo planes on both sides with what the neighbours have there."""
        if self.size > 1:
            backend.sync()  # what a GPU still computes is no time of the exchange, and buffers may still be in use
        began = time.perf_counter()
        self._exchange(backend, domain, edges)
        self.exchange_s += time.perf_counter() - began

    def _exchange(self, backend: Any, domain: Domain, edges: Edges) -> None:  # noqa: ANN401
        nz, halo, cells = domain.n_owned, domain.halo, edges.cells
        layer = [] if cells is None else [(cells.hot, cells.depth), (cells.cold, cells.depth)]
        for array, depth in [*edges.planes, *layer]:
            backend.copy(array[halo - depth : halo], array[halo + nz - depth : halo + nz])
            backend.copy(array[halo + nz : halo + nz + depth], array[halo : halo + depth])

    def sum_int64(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum over ranks."""
        return values

    def least(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the least of each value over ranks."""
        return values

    def gather_planes(self, values: Array) -> Array:
        """Return the rows of all ranks, in global plane order, on every rank."""
        return values

    def gather(self, value: Any) -> list[Any] | None:  # noqa: ANN401 - anything that can be pickled
        """Return the values of all ranks on rank 0, ``None`` on the others."""
        return [value]

    def share(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the float64 arrays of rank 0 on every rank; names and shapes are the same everywhere."""
        return arrays

    def on_root(self, work: Callable[[], Result]) -> Result:
        """Do something on rank 0 alone and return its result on every rank; its AbmError is raised on every rank."""
        return work()

    def agree(self, text: str, known: Sequence[str]) -> str:
        """Return the last of the ``known`` texts that any rank has, or an empty text."""
        del known
        return text

    def wait(self) -> None:
        """Wait for all ranks."""

    def is_common(self) -> bool:
        """Whether all ranks come here with an error within some seconds; then rank 0 may speak for all."""
        return True

    def abort(self, code: int) -> None:
        """End all ranks with an exit code; alone there is nobody else to end."""


class MpiComm(SerialComm):
    """Slabs on several ranks, neighbours in a ring."""

    def __init__(self, mpi: Any) -> None:  # noqa: ANN401 - the module mpi4py.MPI
        """Use all ranks of the launch."""
        self.mpi, self.world = mpi, mpi.COMM_WORLD
        self.rank, self.size = int(self.world.rank), int(self.world.size)
        self.gpu_aware = gpu_aware()
        self._messages: dict[tuple[Any, ...], Message] = {}

    def _exchange(self, backend: Any, domain: Domain, edges: Edges) -> None:  # noqa: ANN401
        """Send the outermost planes of all arrays, and the cells, as one message a side.

        Nothing still reads or writes the buffers: :meth:`exchange` has waited for all that was queued before.
        """
        message = self._message_for(backend, domain, edges)
        from_below, from_above, to_below, to_above = message.buffers
        lower, upper = (self.rank - 1) % self.size, (self.rank + 1) % self.size
        waiting = [
            self.world.Irecv(from_below, source=lower, tag=1),
            self.world.Irecv(from_above, source=upper, tag=2),
        ]
        for buffer, up in ((to_above, True), (to_below, False)):
            packed = message.pack(buffer, edges, up=up)
            backend.sync()  # MPI reads the buffer outside the order of the stream
            waiting.append(self.world.Isend(packed, dest=upper if up else lower, tag=1 if up else 2))
        arrived = [self.mpi.Status() for _ in waiting]
        self.mpi.Request.Waitall(waiting, arrived)
        for buffer, status, above in ((from_below, arrived[0], False), (from_above, arrived[1], True)):
            message.unpack(buffer[: status.Get_count(self.mpi.BYTE)], edges, above=above)

    def _message_for(self, backend: Any, domain: Domain, edges: Edges) -> Message:  # noqa: ANN401
        """Return the message of this kind, the same one every time."""
        if edges.kind not in self._messages:
            self._messages[edges.kind] = Message(backend, domain, edges, on_device=self.gpu_aware)
        return self._messages[edges.kind]

    def sum_int64(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum over ranks: integers, so that no order of ranks matters."""
        total = np.empty(values.shape, np.int64)
        self.world.Allreduce(np.ascontiguousarray(values, np.int64), total, op=self.mpi.SUM)
        return total

    def least(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the least of each value over ranks."""
        found = np.empty_like(values)
        self.world.Allreduce(np.ascontiguousarray(values), found, op=self.mpi.MIN)
        return found

    def gather_planes(self, values: Array) -> Array:
        """Return the rows of all ranks; slabs follow each other in the order of ranks."""
        rows = np.ascontiguousarray(values)
        n_bytes = np.array(self.world.allgather(rows.nbytes))
        flat = np.empty(n_bytes.sum(), np.uint8)
        parts = [flat, n_bytes, np.cumsum(n_bytes) - n_bytes, self.mpi.BYTE]
        self.world.Allgatherv(rows.reshape(-1).view(np.uint8), parts)
        return flat.view(rows.dtype).reshape(-1, *rows.shape[1:])

    def gather(self, value: Any) -> list[Any] | None:  # noqa: ANN401
        """Return the values of all ranks on rank 0."""
        gathered: list[Any] | None = self.world.gather(value, root=0)
        return gathered

    def share(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        """Broadcast the bytes of rank 0."""
        flat = np.concatenate([np.ravel(array) for array in arrays.values()])
        self.world.Bcast(flat, root=0)
        ends = np.cumsum([array.size for array in arrays.values()])
        parts = np.split(flat, ends[:-1])
        return {name: part.reshape(a.shape) for (name, a), part in zip(arrays.items(), parts, strict=True)}

    def on_root(self, work: Callable[[], Result]) -> Result:
        """Do something on rank 0 and broadcast what came of it."""
        outcome: tuple[Any, AbmError | None] | None = None
        if self.rank == 0:
            try:
                outcome = work(), None
            except AbmError as error:
                outcome = None, error
        outcome = self.world.bcast(outcome, root=0)
        assert outcome is not None
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]  # type: ignore[no-any-return]

    def agree(self, text: str, known: Sequence[str]) -> str:
        """Return the last of the ``known`` texts that any rank has."""
        last = self.world.allreduce(known.index(text) if text else -1, op=self.mpi.MAX)
        return known[last] if last >= 0 else ""

    def wait(self) -> None:
        """Wait for all ranks."""
        self.world.Barrier()

    def is_common(self) -> bool:
        """Whether all ranks come here; if not, the others wait for this one somewhere else, for good."""
        request, end = self.world.Ibarrier(), time.monotonic() + PATIENCE_S
        while not (done := bool(request.Test())) and time.monotonic() < end:
            time.sleep(0.01)
        return done

    def abort(self, code: int) -> None:
        """End all ranks, after a moment for what was written to leave through the launcher."""
        time.sleep(0.5)
        self.world.Abort(code)
