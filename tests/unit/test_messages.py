"""The exchange of halo planes through an MPI and a GPU that only pretend: what is copied where, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest

from abm import comm
from abm.backends.cuda import CudaBackend
from abm.backends.numpy_backend import NumpyBackend
from abm.comm import MpiComm, SerialComm
from abm.domain import Domain
from abm.errors import BackendError
from abm.messages import CELL, Edges, Sparse, _parts

DTYPES = ("u1", "u4", "u1", "f4")  # in this order words would not begin at multiples of their size


class DeviceArray:
    """Memory that NumPy cannot see; work is queued and done when the stream is waited for."""

    queue: list[Callable[[], None]] = []  # noqa: RUF012 - one device

    def __init__(self, data: Any) -> None:
        self.data = data
        assert data.ctypes.data % data.itemsize == 0, "a GPU reads words only where they are aligned"

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    nbytes = property(lambda self: self.data.nbytes)

    def __getitem__(self, key: Any) -> Self:
        return type(self)(self.data[key])

    def __setitem__(self, key: Any, value: DeviceArray) -> None:
        self.queue.append(lambda: np.copyto(self.data[key], value.data))

    def view(self, dtype: Any) -> Self:
        return type(self)(self.data.view(dtype))

    def reshape(self, shape: Sequence[int]) -> Self:
        return type(self)(self.data.reshape(shape))

    def fill(self, value: int) -> None:
        self.queue.append(lambda: self.data.fill(value))

    def set(self, source: Any, stream: Any) -> None:
        del stream
        self.queue.append(lambda: np.copyto(self.data, source))

    def get(self, out: Any) -> None:
        self.queue.append(lambda: np.copyto(out, self.data))

    @classmethod
    def synchronize(cls) -> None:
        while cls.queue:
            cls.queue.pop(0)()


class Gpu(CudaBackend):
    """The backend as it is, on a CuPy that pretends; kernels are their twins."""

    def __init__(self) -> None:
        self.pinned: list[int] = []
        self._sent = []
        stream = SimpleNamespace(synchronize=DeviceArray.synchronize)
        self._cupy = SimpleNamespace(
            empty=lambda n, dtype: DeviceArray(np.full(n, 0xEE, dtype)),
            zeros=lambda shape, dtype: DeviceArray(np.zeros(shape, dtype)),
            asnumpy=self.after_all_work,
            ndarray=DeviceArray,
            cuda=SimpleNamespace(alloc_pinned_memory=self.pin, get_current_stream=lambda: stream),
        )

    def pin(self, n_bytes: int) -> memoryview:
        self.pinned.append(n_bytes)
        return memoryview(bytearray(2 * n_bytes))  # CuPy rounds up

    def prepare(self, kernel_name: str, **args: Any) -> Callable[..., None]:
        twin = NumpyBackend().prepare(kernel_name, **{name: plain(value) for name, value in args.items()})
        return lambda n, **scalars: DeviceArray.queue.append(lambda: twin(n, **scalars))

    @staticmethod
    def after_all_work(array: DeviceArray) -> Any:
        DeviceArray.synchronize()
        return array.data.copy()


class Status:
    """How long the message was that arrived."""

    n_bytes = 0

    def Get_count(self, unit: str) -> int:  # noqa: N802
        assert unit == "byte"
        return self.n_bytes


class Loop:
    """The MPI of two ranks of which the other sends what this one does; it arrives when all is waited for."""

    COMM_WORLD = property(lambda self: self)
    Request = property(lambda self: self)
    rank, size = 0, 2
    Status, BYTE = Status, "byte"

    def __init__(self) -> None:
        self.into: dict[int, Any] = {}
        self.sent: dict[int, Any] = {}
        self.n_bytes: list[int] = []

    def Irecv(self, buffer: Any, source: int, tag: int) -> None:  # noqa: N802
        assert source == 1
        assert not DeviceArray.queue, "MPI writes into a buffer that is still being read"
        self.into[tag] = buffer

    def Isend(self, buffer: Any, dest: int, tag: int) -> None:  # noqa: N802
        assert dest == 1
        assert not DeviceArray.queue, "MPI reads a buffer that is still being written"
        self.sent[tag] = plain(buffer).copy()

    def Waitall(self, waiting: list[None], arrived: list[Status]) -> None:  # noqa: N802
        assert len(waiting) == 4
        for tag, status in zip((1, 2), arrived, strict=False):
            data = self.sent[tag]
            plain(self.into[tag])[: data.size] = data
            status.n_bytes = data.size
            self.n_bytes.append(data.size)


def plain(array: Any) -> Any:
    return array.data if isinstance(array, DeviceArray) else array


def made_up(domain: Domain) -> list[Any]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 200, domain.local_shape).astype(dtype) for dtype in DTYPES]


@pytest.mark.parametrize("gpu_aware", ["0", "1"])
@pytest.mark.parametrize("on_gpu", [False, True])
def test_messages_carry_the_planes(monkeypatch: pytest.MonkeyPatch, on_gpu: bool, gpu_aware: str) -> None:
    monkeypatch.setenv(comm.GPU_AWARE, gpu_aware)
    domain = Domain((5, 3, 3), 2)  # planes of 9 sites: odd numbers of bytes
    expected, arrays = made_up(domain), made_up(domain)
    backend, ranks = Gpu() if on_gpu else NumpyBackend(), MpiComm(Loop())
    given = [DeviceArray(array) for array in arrays] if on_gpu else arrays
    same, mixed = [2] * len(DTYPES), [1 + i % 2 for i in range(len(DTYPES))]
    for depths in (same, mixed, same):
        SerialComm().exchange(NumpyBackend(), domain, Edges(list(zip(expected, depths, strict=True))))
        for _ in range(2):  # the second finds the copies of the first still queued
            ranks.exchange(backend, domain, Edges(list(zip(given, depths, strict=True))))
        backend.sync()
        assert all((one == other).all() for one, other in zip(arrays, expected, strict=True))
        for array in (*arrays, *expected):
            array[domain.halo : -domain.halo] += 1  # the next message is another one
    if on_gpu and gpu_aware == "0":
        sizes = [
            sum(9 * d * np.dtype(t).itemsize for d, t in zip(depths, DTYPES, strict=True)) for depths in (same, mixed)
        ]
        assert backend.pinned == [sizes[0]] * 4 + [sizes[1]] * 4, "four for each kind of message, made once"
    elif on_gpu:
        assert backend.pinned == []


@pytest.mark.parametrize("gpu_aware", ["0", "1"])
@pytest.mark.parametrize("on_gpu", [False, True])
def test_cells_of_a_sparse_layer_travel_as_a_list(
    monkeypatch: pytest.MonkeyPatch, on_gpu: bool, gpu_aware: str
) -> None:
    monkeypatch.setenv(comm.GPU_AWARE, gpu_aware)
    domain, depth, rng = Domain((5, 3, 3), 2), 2, np.random.default_rng(7)
    backend, mpi = Gpu() if on_gpu else NumpyBackend(), Loop()
    ranks = MpiComm(mpi)
    hot, cold, field = (np.zeros(domain.local_shape, dtype) for dtype in ("u4", "u4", "f4"))
    given = [DeviceArray(array) if on_gpu else array for array in (hot, cold, field)]
    for filling in (0.3, 0.0, 1.0, 0.1):
        for array in (hot, cold, field):  # the halo as well: what was there before goes
            array[...] = np.where(rng.random(array.shape) < filling, rng.integers(1, 99, array.shape), 0)
        wanted = [array.copy() for array in (hot, cold, field)]
        SerialComm().exchange(NumpyBackend(), domain, Edges([(wanted[2], 1)], Sparse(*wanted[:2], depth)))
        ranks.exchange(backend, domain, Edges([(given[2], 1)], Sparse(*given[:2], depth)))
        backend.sync()
        assert (field == wanted[2]).all()
        assert (hot == wanted[0]).all()
        assert (cold == wanted[1])[hot != 0].all()
        sides = [hot[2:4], hot[5:7]]
        assert sorted(mpi.n_bytes[-2:]) == sorted(4 * 9 + CELL * np.count_nonzero(side) for side in sides)


def test_a_wish_that_cannot_be_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(comm.GPU_AWARE, "yes")
    with pytest.raises(BackendError, match=r"ABM_GPU_AWARE_MPI=yes: expected 1"):
        MpiComm(Loop())


def test_messages_hold_the_planes_of_all_arrays() -> None:
    arrays = [np.zeros((9, 2, 3), np.uint32), np.zeros((9, 2, 3), np.uint8)]
    buffer = np.zeros(2 * 6 * (4 + 1), np.uint8)
    parts = [part for part, *_ in _parts(buffer, [(array, 2) for array in arrays])]
    assert [(part.shape, part.dtype) for part in parts] == [((2, 2, 3), np.uint32), ((2, 2, 3), np.uint8)]
    parts[0][...] = 0x01010101
    parts[1][...] = 2
    assert buffer.tolist() == [1] * 48 + [2] * 12
