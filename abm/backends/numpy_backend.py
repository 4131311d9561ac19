"""The always-available backend: arrays are NumPy arrays, kernels are their NumPy twins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from abm.kernel import Kernel, cast_scalar, load_topics

Array = NDArray[Any]
Work = Callable[[], None]

#: Sites that the twins work on at a time.
CHUNK_SITES = 1 << 18


class NumpyArrays:
    """Arrays in host memory; the part the NumPy and the host backend share."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read the kernel signatures of ``folder`` (default: the shipped kernels)."""
        self.kernels: dict[str, Kernel] = load_topics(folder)

    def alloc(self, shape: int | Sequence[int], dtype: DTypeLike) -> Array:
        """Return a zeroed array."""
        return np.zeros(shape, dtype)

    def buffer(self, n_bytes: int, *, on_device: bool) -> NDArray[np.uint8]:
        """Return memory for messages, of the host in either case."""
        del on_device
        return np.empty(n_bytes, np.uint8)

    def to_host(self, array: Array) -> Array:
        """Return the array itself: it is on the host already."""
        return array

    def read(self, array: Array) -> Callable[[], Array]:
        """Return what gives a copy of the array as it is now: the copy itself is made at once."""
        copied = array.copy()
        return lambda: copied

    def reader(self, before: Work, arrays: Sequence[Array], after: Work) -> Callable[[], Callable[[], list[Array]]]:
        """Return what does some work, begins to read arrays, and does other work; see :func:`begin_to_read`."""
        return partial(begin_to_read, self, before, arrays, after)

    def to_device(self, array: Array) -> Array:
        """Return a C-contiguous copy."""
        return np.array(array, order="C")

    def clear(self, array: Array) -> None:
        """Set all elements to zero."""
        array.fill(0)

    def copy(self, dst: Array, src: Array, kept: bool = False) -> None:  # noqa: FBT001, FBT002 - the meter passes on places
        """Copy ``src`` into ``dst``: same shape, same dtype."""
        del kept
        check_copy(dst, src)
        dst[...] = src

    def send(self, dst: Array, values: Array) -> None:
        """Copy values that nobody changes any more into ``dst``: same shape, same dtype."""
        self.copy(dst, values)

    def repeated(self, work: Callable[[int], None]) -> Callable[[int], None]:
        """Return the work itself: a launch costs little here."""
        return work

    def sync(self) -> None:
        """Wait for running kernels: there are none, launches return when done."""

    def _bind(self, kernel_name: str, args: dict[str, Any]) -> tuple[Kernel, list[Any]]:
        """Look up a kernel and check its arguments, read-only outputs included."""
        kernel = find_kernel(self.kernels, kernel_name)
        values = kernel.bind(args, np.ndarray)
        for arg, value in zip(kernel.args, values, strict=True):
            if arg.is_output and not value.flags.writeable:
                msg = f"kernel {kernel_name}, argument {arg.name}: the output array is read-only"
                raise ValueError(msg)
        return kernel, values


class NumpyBackend(NumpyArrays):
    """Runs ``<package>.<topic>.<kernel>(n, **args)``."""

    name = "numpy"
    rings = False  # with some planes at a time what is at the other end is not there
    musters = False  # packing bits takes longer than what it saves
    detail = "NumPy, one thread"

    def __init__(self, folder: Path | None = None, package: str = "abm.reference") -> None:
        """Use the signatures in ``folder`` and the twins in ``package``."""
        super().__init__(folder)
        self.package = package

    def prepare(self, kernel_name: str, **args: Any) -> Callable[..., None]:
        """Return a launch that may be repeated with other numbers of sites and other scalars."""
        kernel, bound = self._bind(kernel_name, args)
        values = {arg.name: value for arg, value in zip(kernel.args, bound, strict=True)}
        types = {arg.name: arg for arg in kernel.args if not arg.is_pointer}
        function = self.function(kernel)

        def launch(n: int, **scalars: Any) -> None:
            for name, value in scalars.items():
                values[name] = cast_scalar(kernel_name, types[name], value)
            if n != 0:
                function(n, **values)

        return launch

    def function(self, kernel: Kernel) -> Callable[..., None]:
        """Return what computes a kernel, called with the number of sites and the arguments by name."""
        twin: Callable[..., None] = getattr(import_module(f"{self.package}.{kernel.topic}"), kernel.name)
        return twin

    def launch(self, kernel_name: str, n: int, **args: Any) -> None:
        """Run a kernel over ``n`` sites; see :meth:`abm.kernel.Kernel.bind` for the checks."""
        self.prepare(kernel_name, **args)(n)

    def chunk(self, plane: int, stages: int) -> int:
        """Return how many planes to work on at a time: the twins make many temporary arrays."""
        del stages
        return max(1, CHUNK_SITES // plane)


def begin_to_read(backend: Any, before: Work, arrays: Sequence[Any], after: Work) -> Callable[[], list[Array]]:  # noqa: ANN401
    """Do some work, read arrays, do other work; returns what waits for the reading and gives copies of the arrays."""
    before()
    reads = [backend.read(array) for array in arrays]
    after()
    return lambda: [wait() for wait in reads]


def find_kernel(kernels: dict[str, Kernel], name: str) -> Kernel:
    """Return the kernel called ``name``."""
    if name not in kernels:
        msg = f"no kernel {name!r}; there are {', '.join(sorted(kernels))}"
        raise KeyError(msg)
    return kernels[name]


def check_copy(dst: Any, src: Any) -> None:
    """Refuse a copy that would broadcast or convert."""
    if dst.shape != src.shape or dst.dtype != src.dtype:
        msg = f"cannot copy {src.dtype}{src.shape} into {dst.dtype}{dst.shape}"
        raise ValueError(msg)
