"""Communication between ranks. This module holds the single-rank stand-in: every rank is its own neighbour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abm.domain import Domain


class SerialComm:
    """All planes live here; the halo wraps around the periodic lattice."""

    rank = 0
    size = 1

    def exchange(self, backend: Any, domain: Domain, arrays: Iterable[Any], depth: int) -> None:  # noqa: ANN401
        """Fill the nearest ``depth`` halo planes of local arrays (nz + 2 halo, ny, nx) on both sides (nz >= depth)."""
        nz, halo = domain.n_owned, domain.halo
        below, above = slice(halo - depth, halo), slice(halo + nz, halo + nz + depth)
        for array in arrays:
            backend.copy(array[below], array[halo + nz - depth : halo + nz])
            backend.copy(array[above], array[halo : halo + depth])

    def sum_int64(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum over ranks."""
        return values

    def gather_planes(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return per-plane values of all ranks in global plane order."""
        return values
