"""Where arrays live and kernels run: NumPy, host C++ or CUDA, behind eleven calls."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import DTypeLike, NDArray

from abm.backends.cuda import CudaBackend
from abm.backends.host import HostBackend
from abm.backends.numpy_backend import NumpyBackend
from abm.errors import BackendError

#: What ``--backend`` takes.
NAMES = ("auto", "numpy", "host", "cuda")


class Backend(Protocol):
    """What every backend offers; arrays are opaque to callers but for slicing, ``shape`` and ``dtype``."""

    @property
    def name(self) -> str:
        """One of ``NAMES``."""

    @property
    def detail(self) -> str:
        """Compiler or device, and threads: one line to show the user."""

    def alloc(self, shape: int | Sequence[int], dtype: DTypeLike) -> Any:
        """Return a zeroed array."""

    def buffer(self, n_bytes: int, *, on_device: bool) -> Any:
        """Return bytes for the messages of ranks: on the device if asked, else where copies from it are fastest."""

    def launch(self, kernel_name: str, n: int, **args: Any) -> None:
        """Run a kernel over ``n`` sites."""

    def prepare(self, kernel_name: str, **args: Any) -> Callable[..., None]:
        """Check the arguments of a launch once; calling the result with a number of sites runs it.

        It also takes scalars by name, which stay changed. Arrays are those given here.
        """

    def repeated(self, work: Callable[[int], None]) -> Callable[[int], None]:
        """Return what does ``work(step)`` again and again: launches and copies of which nothing but the step changes.

        A GPU records them and gives them out at once.
        """

    def chunk(self, plane: int, stages: int) -> int:
        """Return how many planes (of so many sites) a chain of kernels should do at a time; 0: all."""

    def to_host(self, array: Any) -> NDArray[Any]:
        """Return a NumPy view or copy."""

    def to_device(self, array: NDArray[Any]) -> Any:
        """Return a copy the backend's kernels can use."""

    def clear(self, array: Any) -> None:
        """Set all elements to zero."""

    def copy(self, dst: Any, src: Any) -> None:
        """Copy between equal shapes and dtypes."""

    def send(self, dst: Any, values: NDArray[Any]) -> None:
        """Copy values of the host that nobody changes any more, after all queued work and without waiting for it."""

    def sync(self) -> None:
        """Wait until everything launched is done."""


_MAKERS: dict[str, Callable[[Path | None], Backend]] = {
    "cuda": CudaBackend,
    "host": HostBackend,
    "numpy": NumpyBackend,
}


def choose(name: str = "auto", folder: Path | None = None) -> tuple[Backend, str]:
    """Return the backend called ``name`` and one line that says what it is and why.

    Args:
        name: one of ``NAMES``; ``auto`` takes the fastest that works: cuda, host, numpy.
        folder: kernels (default: the shipped ones).

    Raises:
        BackendError: the explicit choice cannot be had; the message says what is missing.
    """
    if name not in NAMES:
        msg = f"unknown backend {name!r}; there are {', '.join(NAMES)}"
        raise BackendError(msg)
    if name != "auto":
        backend = _MAKERS[name](folder)
        return backend, f"{name}: {backend.detail} (as asked)"
    refusals = ""
    for candidate in ("cuda", "host"):
        try:
            backend = _MAKERS[candidate](folder)
        except BackendError as error:
            refusals += f"; no {candidate}: {textwrap.shorten(str(error), 200)}"
        else:
            return backend, f"{candidate}: {backend.detail}{refusals}"
    backend = NumpyBackend(folder)
    return backend, f"numpy: {backend.detail}{refusals}"
