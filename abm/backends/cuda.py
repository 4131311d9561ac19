"""The same kernels on an NVIDIA GPU: compiled by NVRTC through CuPy, all on one stream.

CuPy is imported when a backend is made, never before: it is optional, and importing it proves nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from abm.backends.numpy_backend import Work, begin_to_read, check_copy, find_kernel
from abm.comm import local_rank
from abm.errors import BackendError
from abm.kernel import PREFIX, Kernel, assemble, cast_scalar, first_errors, load_topics

#: Contraction to fma changes bits. CuPy adds ``-ftz=true`` itself: float32 fields keep clear of subnormals.
OPTIONS = ("--std=c++17", "--fmad=false")
#: Forms that only a GPU has: of kernels (``kernels/device.cuh``) and of launches.
FORMS = ("gather", "shared_counts", "tiles", "graphs")
#: Names of forms to leave out, separated by commas, so that it can be measured what they bring.
WITHOUT = "ABM_CUDA_WITHOUT"
_BLOCK = 256
#: Blocks of a launch over those that a GPU holds at a time: whole rounds, so that all processors end together; loops of
#: threads over sites cover the rest.
ROUNDS = 4
#: Larger arrays, bytes, are sent to the device with the host waiting; so it does before more of them are under way.
MOST_STAGED, MOST_SENT = 1 << 26, 256


class CudaBackend:
    """Arrays are CuPy arrays on the current device."""

    name = "cuda"
    rings = False  # the kernels can, as emulated; no device has run it yet
    musters = False  # likewise

    def __init__(self, folder: Path | None = None) -> None:
        """Compile the kernels of ``folder`` (default: the shipped ones); CuPy caches the result on disk.

        Raises:
            BackendError: no CuPy, no GPU, no NVRTC, or the sources do not compile.
        """
        self._cupy = _import_cupy()
        runtime = self._cupy.cuda.runtime
        runtime.setDevice(
            local_rank() % runtime.getDeviceCount()
        )  # one GPU per rank of a node, shared if there are fewer
        self.kernels: dict[str, Kernel] = load_topics(folder)
        chosen = forms()
        self._functions = self._compile(assemble(folder), options(chosen))
        self._base_step = 0  # of the launches that are being recorded
        self._sent: list[NDArray[Any]] = []  # what the device may still have to read
        self.records = "graphs" in chosen
        if self.records:
            self._set_base_step = self._module.get_function(PREFIX + "set_base_step")
            self._stream = self._leave_default_stream()
            self.add_to_steps(0)  # loaded here: a kernel cannot be while it is recorded
        self.device = int(self._cupy.cuda.runtime.getDevice())
        properties = self._cupy.cuda.runtime.getDeviceProperties(self.device)
        self._processors = int(properties["multiProcessorCount"])
        self._resident = {name: resident(function, properties) for name, function in self._functions.items()}
        self.detail = f"{properties['name'].decode()}, CuPy {self._cupy.__version__}"
        if missing := [form for form in FORMS if form not in chosen]:
            self.detail += f", without {', '.join(missing)}"

    def _compile(self, source: str, chosen: tuple[str, ...]) -> dict[str, Any]:
        module = self._cupy.RawModule(code=source, options=chosen, backend="nvrtc")
        try:
            module.compile()
            self._module = module
            return {name: module.get_function(PREFIX + name) for name in self.kernels}
        except self._cupy.cuda.compiler.CompileException as error:
            msg = f"NVRTC cannot compile the kernels:\n{first_errors(str(error))}"
            raise BackendError(msg) from error
        except (RuntimeError, OSError) as error:  # NVRTC not found; driver too old; cache folder not writable
            msg = f"CuPy cannot load the kernels (pip install 'cupy-cuda13x[ctk]' brings NVRTC): {error}"
            raise BackendError(msg) from error

    def _leave_default_stream(self) -> Any:
        """Return the stream that all work goes to from here on: the default one cannot be recorded.

        It waits for the default stream and that one for it, should anybody use both.
        """
        cuda = self._cupy.cuda
        stream = cuda.get_current_stream()
        if stream == cuda.Stream.null:
            stream = cuda.Stream()
            stream.use()
        return stream

    def alloc(self, shape: int | Sequence[int], dtype: DTypeLike) -> Any:
        """Return a zeroed array."""
        return self._cupy.zeros(shape, dtype)

    def buffer(self, n_bytes: int, *, on_device: bool) -> Any:
        """Return memory for messages: of the device, or pinned on the host: the driver copies it without a detour."""
        if on_device:
            return self._cupy.empty(n_bytes, np.uint8)
        pinned = self._cupy.cuda.alloc_pinned_memory(n_bytes)  # may be larger; lives as long as the array
        return np.frombuffer(pinned, np.uint8, n_bytes)

    def prepare(self, kernel_name: str, **args: Any) -> Callable[..., None]:
        """Return a launch that may be repeated with other numbers of sites and other scalars."""
        kernel = find_kernel(self.kernels, kernel_name)
        parameters: list[Any] = [np.int64(0)]  # CuPy passes a NumPy scalar with its own width, unchecked
        for arg, value in zip(kernel.args, kernel.bind(args, self._cupy.ndarray), strict=True):
            if arg.is_pointer and value.device.id != self.device:
                msg = f"kernel {kernel_name}, argument {arg.name}: on device {value.device.id}, not {self.device}"
                raise ValueError(msg)
            parameters.append(value if arg.is_pointer else arg.dtype.type(value))
        scalars = {arg.name: (j, arg) for j, arg in enumerate(kernel.args, 1) if not arg.is_pointer}
        function = self._functions[kernel_name]
        at = scalars["step"][0] if "step" in scalars else 0

        def launch(n: int, **changed: Any) -> None:
            for name, value in changed.items():
                index, arg = scalars[name]
                parameters[index] = arg.dtype.type(cast_scalar(kernel_name, arg, value))
            if n != 0:
                parameters[0] = np.int64(n)
                blocks = blocks_for(n, self._processors, self._resident[kernel_name])
                given = [*parameters]
                if at:
                    given[at] = np.uint32((int(parameters[at]) - self._base_step) % (1 << 32))
                function((blocks,), (_BLOCK,), tuple(given))

        return launch

    def launch(self, kernel_name: str, n: int, **args: Any) -> None:
        """Queue a kernel over ``n`` sites; see :meth:`abm.kernel.Kernel.bind` for the checks."""
        self.prepare(kernel_name, **args)(n)

    def repeated(self, work: Callable[[int], None]) -> Callable[[int], None]:
        """Return what does the work: the first time as it is, so that all is loaded; then recorded, as a CUDA graph."""
        return _Repeated(self, work) if self.records else work

    def add_to_steps(self, step: int) -> None:
        """Let kernels that run from here on add so much to the step they were launched with."""
        self._set_base_step((1,), (1,), (np.uint32(step),))

    def record(self, work: Callable[[int], None], step: int) -> Any:
        """Return the work as a graph, or None where it cannot be recorded; then nothing is recorded any more.

        Its launches are of step 0; after them nothing is added to steps any more: other backends have the same memory.
        """
        stream = self._cupy.cuda.get_current_stream()
        self._base_step = step
        try:
            stream.begin_capture()
            try:
                work(step)
                self.add_to_steps(0)
            finally:
                graph = stream.end_capture()
        except RuntimeError:  # what CUDA and its driver raise: nothing has been done yet
            self.records = False
            return None
        finally:
            self._base_step = 0
        return graph

    def chunk(self, plane: int, stages: int) -> int:
        """Return 0: all planes at once, the more threads the better."""
        del plane, stages
        return 0

    def memory(self) -> tuple[int, int]:
        """Return the free and the total memory of the device, bytes."""
        free, total = self._cupy.cuda.Device(self.device).mem_info
        return int(free), int(total)

    def to_host(self, array: Any) -> NDArray[Any]:
        """Return a NumPy copy, after all queued work on it."""
        copied: NDArray[Any] = self._cupy.asnumpy(array)
        self._sent.clear()
        return copied

    def read(self, array: Any) -> Callable[[], NDArray[Any]]:
        """Begin to copy an array; return what waits for the copy alone, not for work queued after it, and gives it."""
        stream = self._cupy.cuda.get_current_stream()
        pinned: NDArray[Any] = self.buffer(array.nbytes, on_device=False).view(array.dtype).reshape(array.shape)
        array.get(stream=stream, out=pinned, blocking=False)
        done = stream.record()

        def wait() -> NDArray[Any]:
            done.synchronize()
            return pinned

        return wait

    def reader(self, before: Work, arrays: Sequence[Any], after: Work) -> Callable[[], Callable[[], list[Any]]]:
        """Return what does some work, begins to read arrays, and does other work; see :func:`begin_to_read`."""
        return partial(begin_to_read, self, before, arrays, after)

    def to_device(self, array: NDArray[Any]) -> Any:
        """Return a C-contiguous copy on the device."""
        copied = self._cupy.empty(array.shape, array.dtype)
        self.copy(copied, np.ascontiguousarray(array))
        return copied

    def clear(self, array: Any) -> None:
        """Set all elements to zero."""
        array.fill(0)

    def copy(self, dst: Any, src: Any, kept: bool = False) -> None:  # noqa: FBT001, FBT002 - the meter passes on places
        """Copy ``src`` into ``dst``: same shape, same dtype, C-contiguous, either may be a NumPy array.

        ``kept``: ``src`` of the host stays as it is until somebody has waited for the device.
        """
        check_copy(dst, src)
        if not isinstance(src, self._cupy.ndarray):
            self._send(dst, src, is_kept=kept)
        elif not isinstance(dst, self._cupy.ndarray):
            src.get(out=dst)
        else:
            dst[...] = src

    def send(self, dst: Any, values: NDArray[Any]) -> None:
        """Copy values of the host that nobody changes any more, without waiting for what is queued."""
        check_copy(dst, values)
        self._send(dst, values, is_kept=False)

    def _send(self, dst: Any, src: NDArray[Any], *, is_kept: bool) -> None:
        """Copy from the host without waiting for queued work.

        The device reads when its turn comes, so it reads a copy that nobody changes or frees until then.
        """
        if len(self._sent) >= MOST_SENT:
            self.sync()
        staged = src
        if 0 < src.nbytes <= MOST_STAGED and not is_kept:
            staged = self.buffer(src.nbytes, on_device=False).view(src.dtype).reshape(src.shape)
            staged[...] = src
        dst.set(staged, self._cupy.cuda.get_current_stream())  # without a stream it would wait for all queued work
        self._sent.append(staged)
        if src.nbytes > MOST_STAGED:
            self.sync()

    def sync(self) -> None:
        """Wait for all queued kernels and copies."""
        self._cupy.cuda.get_current_stream().synchronize()
        self._sent.clear()


def forms() -> tuple[str, ...]:
    """Return the forms in use: all but those that ``ABM_CUDA_WITHOUT`` names.

    Raises:
        BackendError: there is no such form.
    """
    left_out = [name for name in os.environ.get(WITHOUT, "").split(",") if name]
    if unknown := [name for name in left_out if name not in FORMS]:
        msg = f"{WITHOUT}={','.join(left_out)}: there is no {unknown[0]!r}; expected any of {', '.join(FORMS)}"
        raise BackendError(msg)
    return tuple(name for name in FORMS if name not in left_out)


def resident(function: Any, properties: dict[str, Any]) -> int:
    """Return how many blocks of a kernel a processor holds at a time, by its threads, registers and shared memory."""
    registers = max(-(-int(function.num_regs) // 8) * 8, 1) * _BLOCK
    shared = int(function.shared_size_bytes) + 1024  # of each block the system takes a kilobyte
    limits = (
        int(properties["maxThreadsPerMultiProcessor"]) // _BLOCK,
        int(properties["regsPerMultiprocessor"]) // registers,
        int(properties["sharedMemPerMultiprocessor"]) // shared,
    )
    return max(min(limits), 1)


def blocks_for(n: int, processors: int, held: int) -> int:
    """Return the blocks of a launch over ``n`` sites on processors that hold so many at a time.

    At least one for each processor: blocks may work on less than a site for each thread. At most so many that the
    counts which a block adds up before it ends are of many sites.
    """
    return min(max((n + _BLOCK - 1) // _BLOCK, processors), processors * held * ROUNDS)


def options(chosen: Sequence[str] = FORMS, threads: int = 0) -> tuple[str, ...]:
    """Return the compiler's options for some forms and so many threads of a block."""
    return *OPTIONS, f"-DTHREADS={threads or _BLOCK}", *(f"-D{name.upper()}={int(name in chosen)}" for name in FORMS)


class _Repeated:
    """Work of which nothing but the step changes. It holds the arrays that the graph writes."""

    def __init__(self, backend: CudaBackend, work: Callable[[int], None]) -> None:
        self.backend, self.work = backend, work
        self.graph: Any = None
        self.is_loaded = False

    def __call__(self, step: int) -> None:
        if not self.is_loaded or not self.backend.records:
            self.work(step)
            self.is_loaded = True
            return
        if self.graph is None:
            self.graph = self.backend.record(self.work, step)
        if self.graph is None:
            self.work(step)
        else:
            self.backend.add_to_steps(step)
            self.graph.launch()


def _import_cupy() -> Any:
    """Return the module ``cupy`` if it can be used here."""
    try:
        cupy = import_module("cupy")
    except ImportError as error:
        msg = f"the cuda backend needs CuPy: pip install 'cupy-cuda13x[ctk]' (or cupy-cuda12x[ctk]); {error}"
        raise BackendError(msg) from error
    if not cupy.cuda.is_available():
        msg = f"CuPy {cupy.__version__} is installed, but there is no usable NVIDIA GPU or driver (see nvidia-smi)"
        raise BackendError(msg)
    return cupy
