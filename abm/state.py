"""What the lattice state is: one table of fields, and the snapshot that files hold.

The table drives allocation, halo exchange, checkpoints and documentation; there is no second list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class StateField(NamedTuple):
    """One array over the lattice, shape (nz, ny, nx)."""

    name: str
    dtype: str  #: NumPy type code: "u1", "u4", "f4"
    unit: str
    doc: str
    checkpoint: bool = True  #: part of the state, hence of checkpoints and of the state hash
    halo: bool = True  #: read by neighbours, hence exchanged between slabs


FIELDS: tuple[StateField, ...] = (
    StateField("tissue", "u1", "code", "tissue label and niche bits (cells.Tissue, cells.NICHE_*); static"),
    StateField("distance", "u1", "sites", "distance to the nearest sinusoid, at most 255; static"),
    StateField("res_hot", "u4", "bits", "hot word of the resident cell (cells.HOT); 0 where empty"),
    StateField("res_cold", "u4", "bits", "cold word of the resident cell (cells.COLD)"),
    StateField("mot_hot", "u4", "bits", "hot word of the motile cell (cells.HOT); 0 where empty"),
    StateField("mot_cold", "u4", "bits", "cold word of the motile cell (cells.COLD)"),
    StateField("cxcl12", "f4", "1", "CXCL12 relative to its mean at stroma"),
    StateField("inflammation", "f4", "1", "inflammatory signal (interferon-gamma-like), relative"),
)


@dataclass
class Snapshot:
    """The state after ``step`` on the planes ``z0 <= z < z1`` of the lattice, as it is written to files.

    Attributes:
        step: fate steps done since the start.
        shape: sites of the whole lattice (nz, ny, nx).
        z0: first global plane held.
        z1: one past the last global plane held.
        arrays: one array of shape (z1 - z0, ny, nx), without halo, per checkpointed field of ``FIELDS``.
        body: named arrays of everything off the lattice (pools, accumulators, circulating cells).
        meta: how it was made (config, digests, versions, seed, backend); not part of the state hash.
    """

    step: int
    shape: tuple[int, int, int]
    z0: int
    z1: int
    arrays: dict[str, Array]
    body: dict[str, Array] = field(default_factory=dict)
    meta: dict[str, str | int] = field(default_factory=dict)


def checkpoint_fields() -> tuple[StateField, ...]:
    """Return the fields that make up the state, in table order."""
    return tuple(f for f in FIELDS if f.checkpoint)


def check_snapshot(snap: Snapshot) -> None:
    """Raise ``ValueError`` unless the arrays of ``snap`` have the names, types and shapes they must have."""
    nz, ny, nx = snap.shape
    if not 0 <= snap.z0 < snap.z1 <= nz:
        msg = f"planes {snap.z0}:{snap.z1} are not inside the lattice of {nz} planes"
        raise ValueError(msg)
    fields = {f.name: f for f in checkpoint_fields()}
    if set(snap.arrays) != set(fields):
        msg = f"arrays {sorted(snap.arrays)} where {sorted(fields)} were expected"
        raise ValueError(msg)
    for name, array in snap.arrays.items():
        expected = (snap.z1 - snap.z0, ny, nx), np.dtype(fields[name].dtype)
        if (array.shape, array.dtype) != expected:
            msg = f"{name}: {array.shape} {array.dtype} where {expected[0]} {expected[1]} was expected"
            raise ValueError(msg)
