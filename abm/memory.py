"""Whether a patch fits into the memory there is: asked before anything is allocated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from abm.phases import HALO

GIB = 2.0**30
#: The most host memory a process takes up to its first step, bytes per site: to make tissue and first cells, while the
#: system has not yet given it most of the lattice. Measured at 256^3 and 360^3 sites: 55 (host), 66 (NumPy).
WORKING = 72
_MEMINFO = Path("/proc/meminfo")
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def refusal(shape: Sequence[int], backend: Any, bytes_per_site: int) -> str:  # noqa: ANN401 - any backend
    """Return why a patch of ``shape`` [nz, ny, nx] is too large for this machine; empty if it fits.

    Args:
        shape: sites.
        backend: the backend that is to hold it; one with a memory of its own offers ``memory()``: free and total bytes.
        bytes_per_site: of all lattice arrays.
    """
    nz, ny, nx = shape
    device = getattr(backend, "memory", None)
    lattice = bytes_per_site * (nz + 2 * HALO) / nz
    needs = [("memory", float(WORKING if device else max(WORKING, lattice)), float(host_memory()))]
    if device:
        needs.append((f"memory of the {backend.name} device", lattice, float(device()[0])))
    for name, per_site, there in needs:
        needed = per_site * nz * ny * nx
        if needed > there:
            edge = max(int((there / per_site) ** (1 / 3)) // 8 * 8 - 2 * HALO, 0)
            return (
                f"expected a patch that fits into the {name}, {there / GIB:.3g} GiB; this one of {nz * ny * nx:.3g} "
                f"sites needs about {needed / GIB:.3g} GiB; [{edge}, {edge}, {edge}] would fit"
            )
    return ""


def host_memory() -> int:
    """Return the memory this process may still take, bytes: what is available, inside the limit of a container."""
    text = _MEMINFO.read_text(encoding="ascii") if _MEMINFO.exists() else ""
    found = re.search(r"^MemAvailable:\s*(\d+) kB$", text, re.MULTILINE)
    available = int(found[1]) * 1024 if found else 1 << 62
    for path in _LIMITS:
        limit = path.read_text(encoding="ascii").strip() if path.exists() else ""
        if limit.isdigit():
            available = min(available, int(limit))
    return available
