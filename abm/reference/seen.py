"""Twin of ``kernels/seen.cu``: who is seen by a receptor class."""

from __future__ import annotations

import numpy as np

from abm.cells import N_KINDS, N_ORIGINS
from abm.reference.contacts import bound
from abm.reference.lattice import U32, filled, slot_of

_SLOTS = N_KINDS * N_ORIGINS


def census_seen(
    n: int,
    *,
    first: int,
    ny: int,
    nx: int,
    receptor: int,
    row: int,
    rows: int,
    hot: U32,
    antigens: U32,
    losses: U32,
    seen: U32,
) -> None:
    """Add the residents that show, and have not lost, what a receptor binds to seen[0][row][kind][origin]."""
    cells = hot.reshape(-1)[filled(hot, first, n)]
    cells = cells[bound(cells, 1, np.uint32(receptor), antigens, losses) != 0]
    seen.reshape(-1, rows, _SLOTS)[0, row] += np.bincount(slot_of(cells), minlength=_SLOTS).astype(np.uint32)
