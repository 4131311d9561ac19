"""A backend that can say how long each kernel takes and how many bytes its signature moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from abm.backends.numpy_backend import begin_to_read

#: Calls of a backend besides launches, and the name under which they are accounted.
OTHERS = {"copy": "exchange", "clear": "clear"} | dict.fromkeys(("to_host", "to_device", "read", "send"), "transfer")
#: Kernels that let cells from the blood take sites.
HOMING = ("probe", "claim", "lodge", "settle")
#: Arguments that only kernels over a list have.
LISTS = ("place",)


@dataclass
class Entry:
    """What one kernel did.

    Attributes:
        calls: launches.
        seconds: time until it was done.
        bytes: lattice bytes its signature moves; see :func:`moved`.
    """

    calls: int = 0
    seconds: float = 0.0
    bytes: float = 0.0


class Meter:
    """Stands for a backend: idle, its calls are those of the backend itself; metering, each is timed until done."""

    def __init__(self, backend: Any, lattice_sites: int) -> None:  # noqa: ANN401 - any backend
        """Pass everything on to ``backend``.

        Args:
            backend: any backend.
            lattice_sites: elements of a local lattice array, halo included.
        """
        self.backend, self.lattice_sites = backend, lattice_sites
        self.entries: dict[str, Entry] | None = None
        self._pass_on()

    def _pass_on(self) -> None:
        for name in ("alloc", "sync", *OTHERS):
            setattr(self, name, getattr(self.backend, name))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the backend has
        """Return any other attribute of the backend."""
        return getattr(self.backend, name)

    def prepare(self, kernel_name: str, **args: Any) -> Callable[..., None]:  # noqa: ANN401
        """Return a launch that may be repeated with other numbers of sites and other scalars."""
        prepared = self.backend.prepare(kernel_name, **args)
        size = moved(self.backend.kernels[kernel_name], args, self.lattice_sites)

        def launch(n: int, **scalars: Any) -> None:  # noqa: ANN401
            if self.entries is None or n == 0:
                prepared(n, **scalars)
            else:
                timed = self._timed(self.entries, kernel_name, lambda: prepared(n, **scalars))
                timed.bytes += size * min(n, self.lattice_sites)

        return launch

    def repeated(self, work: Callable[[int], None]) -> Callable[[int], None]:
        """Return what does the work as the backend does it; metering, launch by launch."""
        as_backend = self.backend.repeated(work)
        return lambda step: as_backend(step) if self.entries is None else work(step)

    def reader(self, *given: Any) -> Callable[[], Callable[[], list[Any]]]:  # noqa: ANN401
        """Return what reads as the backend does it; metering, call by call."""
        as_backend = self.backend.reader(*given)
        return lambda: as_backend() if self.entries is None else begin_to_read(self, *given)

    def launch(self, kernel_name: str, n: int, **args: Any) -> None:  # noqa: ANN401
        """Run a kernel over ``n`` sites."""
        self.prepare(kernel_name, **args)(n)

    @contextmanager
    def metering(self) -> Iterator[dict[str, Entry]]:
        """Meter the block; yields the entries by kernel name, or by purpose where it is no kernel (``OTHERS``)."""
        entries: dict[str, Entry] = {}
        self.entries = entries
        for call, purpose in OTHERS.items():
            setattr(self, call, self._metered(entries, call, purpose))
        try:
            yield entries
        finally:
            self.entries = None
            self._pass_on()

    def _metered(self, entries: dict[str, Entry], call: str, purpose: str) -> Callable[..., Any]:
        original = getattr(self.backend, call)

        def metered(*args: Any) -> Any:  # noqa: ANN401
            result: list[Any] = []
            self._timed(entries, purpose, lambda: result.append(original(*args)))
            return result[0]

        return metered

    def _timed(self, entries: dict[str, Entry], name: str, work: Callable[[], None]) -> Entry:
        self.backend.sync()
        began = time.perf_counter()
        work()
        self.backend.sync()
        entry = entries.setdefault(name, Entry())
        entry.seconds += time.perf_counter() - began
        entry.calls += 1
        return entry


def moved(kernel: Any, args: dict[str, Any], lattice_sites: int) -> float:  # noqa: ANN401
    """Return the bytes per site that a launch moves, as far as its signature tells.

    Each array argument with one element per lattice site counts once, read or written, whatever a kernel reads again
    from neighbours or passes over where nothing is. An array in two roles counts once. Kernels that work on a list of
    sites or of cells (arguments ``LISTS``) count nothing.
    """
    arrays = {id(args[arg.name]): args[arg.name] for arg in kernel.args if arg.is_pointer}
    if any(arg.name in LISTS for arg in kernel.args):
        return 0.0
    return float(sum(array.dtype.itemsize for array in arrays.values() if array.size == lattice_sites))
