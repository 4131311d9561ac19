"""A CuPy that computes on the CPU: just as much of it as the CUDA backend uses.

What is done on a stream while it is recorded is not done at all, as on a GPU, but kept with the arguments it was given;
a graph does it again with those. What would make the host wait is refused meanwhile.
"""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from abm.kernel import PREFIX, load_topics
from tests.kernels.emulated import Device, defines


class CUDARuntimeError(RuntimeError):
    """What CuPy raises where CUDA refuses."""


class Array(np.ndarray):
    """Memory of the device."""

    device = SimpleNamespace(id=0)

    def fill(self, value: Any) -> None:
        Stream.do(lambda: np.ndarray.fill(self, value))

    def __setitem__(self, key: Any, value: Any) -> None:
        assert isinstance(value, Array)
        target = np.asarray(self)[key]
        Stream.do(lambda: np.copyto(target, np.asarray(value)))

    def set(self, source: Any, stream: Any) -> None:
        assert stream is Stream.current
        assert not isinstance(source, Array)
        assert Stream.current.recorded is None
        given, target = weakref.ref(source), np.asarray(self)
        Stream.do(lambda: np.copyto(target, alive(given)))

    def get(self, out: Any, stream: Any = None, blocking: bool = True) -> None:
        if blocking:
            Stream.current.synchronize()
            np.copyto(out, np.asarray(self))
            return
        assert stream is Stream.current
        target, source = weakref.ref(out), np.asarray(self)
        Stream.do(lambda: np.copyto(alive(target), source))


def alive(reference: Any) -> Any:
    """Return memory of the host that the device reads or writes now: until then it must be kept."""
    found = reference()
    assert found is not None, "memory of the host was freed before the device was done with it"
    return found


class Stream:
    """A stream that is as far behind as it may be: nothing is done before somebody waits for it."""

    null: Stream
    current: Stream
    refuses = False  # whether recording fails
    recorded: list[Any] | None = None

    def __init__(self) -> None:
        self.queued: list[Any] = []
        self.done = 0

    def use(self) -> None:
        Stream.null.synchronize()
        Stream.current = self

    def begin_capture(self) -> None:
        if self is Stream.null:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported")
        self.recorded = []

    def end_capture(self) -> Graph:
        recorded, self.recorded = self.recorded, None
        if Stream.refuses:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated")
        assert recorded is not None
        Graph.made += 1
        return Graph(recorded)

    def synchronize(self) -> None:
        self.catch_up(self.done + len(self.queued))

    def catch_up(self, upto: int) -> None:
        """Do what was queued, up to so much since the beginning."""
        if self.recorded is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: the host waits for what is only recorded")
        while self.done < upto:
            self.done += 1
            self.queued.pop(0)()

    def record(self) -> Event:
        return Event(self, self.done + len(self.queued))

    @classmethod
    def do(cls, work: Any) -> None:
        (cls.current.queued if cls.current.recorded is None else cls.current.recorded).append(work)


class Event(NamedTuple):
    """What has been queued so far."""

    stream: Stream
    upto: int

    def synchronize(self) -> None:
        self.stream.catch_up(self.upto)


class Graph:
    """What was recorded."""

    made = launched = 0

    def __init__(self, recorded: list[Any]) -> None:
        self.recorded = recorded

    def launch(self) -> None:
        Graph.launched += 1
        for work in self.recorded:
            Stream.do(work)


class RawModule:
    """The kernels, as ``emulated.py`` runs them."""

    def __init__(self, code: str, options: tuple[str, ...], backend: str) -> None:
        assert backend == "nvrtc"
        self.device = Device(code, load_topics(), defines(options))

    def compile(self) -> None:
        pass

    def get_function(self, name: str) -> Any:
        if name == PREFIX + "set_base_step":
            function = self.device.compiled[name]
            return lambda grid, block, values: Stream.do(lambda: function(*map(int, values)))

        def launch(grid: tuple[int], block: tuple[int], values: tuple[Any, ...]) -> None:
            given = [v.ctypes.data if isinstance(v, Array) else v.item() for v in values]
            kept = values if Stream.current.recorded is None else ()  # a graph holds no arrays
            Stream.do(lambda kept=kept: self.device.run(name.removeprefix(PREFIX), grid[0], block[0], given))

        launch.num_regs, launch.shared_size_bytes = 64, 20_000
        return launch


def reset() -> None:
    """Start a process anew."""
    Stream.null = Stream.current = Stream()
    Stream.refuses, Graph.made, Graph.launched = False, 0, 0


def make_cupy() -> Any:
    """Return the module."""
    properties = {
        "name": b"pretended",
        "multiProcessorCount": 1,
        "maxThreadsPerMultiProcessor": 2048,
        "regsPerMultiprocessor": 65536,
        "sharedMemPerMultiprocessor": 233472,
    }
    runtime = SimpleNamespace(
        setDevice=lambda index: None,
        getDevice=lambda: 0,
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda index: properties,
    )
    cuda = SimpleNamespace(runtime=runtime, Stream=Stream, get_current_stream=lambda: Stream.current)
    cuda.alloc_pinned_memory = bytearray
    cuda.Device = lambda index: SimpleNamespace(mem_info=(1 << 33, 1 << 34))
    cuda.compiler = SimpleNamespace(CompileException=CUDARuntimeError)
    return SimpleNamespace(
        __version__="0",
        cuda=cuda,
        ndarray=Array,
        RawModule=RawModule,
        zeros=lambda shape, dtype: np.zeros(shape, dtype).view(Array),
        empty=lambda shape, dtype: np.empty(shape, dtype).view(Array),
        asnumpy=to_host,
    )


def to_host(array: Array) -> Any:
    """Return a copy that the host sees."""
    Stream.current.synchronize()
    return np.array(array)
