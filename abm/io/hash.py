"""The state hash: equal for equal states, whatever backend, rank count or file layout held them.

It is a hash of plane hashes in global z order, so that ranks can compute their planes and join them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from abm.io.atomic import workers
from abm.state import Snapshot, check_snapshot, checkpoint_fields

if TYPE_CHECKING:
    from abm.state import Array


#: Body arrays of this prefix belong to the output (what has happened since the last record), not to the state.
OUTPUT_PREFIX = "output."


def state_hash(snap: Snapshot) -> str:
    """Return the SHA-256 (hex) of the state of a whole lattice; ``meta`` is not part of it.

    Raises:
        ValueError: ``snap`` holds only some of the planes, or wrong arrays.
    """
    if (snap.z0, snap.z1) != (0, snap.shape[0]):
        msg = f"the state hash needs all {snap.shape[0]} planes, not {snap.z0}:{snap.z1}"
        raise ValueError(msg)
    return join(snap, plane_digests(snap))


def plane_digests(snap: Snapshot) -> list[bytes]:
    """Return the digest of each plane that ``snap`` holds."""
    check_snapshot(snap)
    arrays = [(f.name, snap.arrays[f.name]) for f in checkpoint_fields()]

    def digest(z: int) -> bytes:
        sha = hashlib.sha256()
        for name, array in arrays:
            _update(sha, name, array[z])
        return sha.digest()

    # Below some tens of megabytes a thread more costs more than it brings.
    with workers(1 + sum(array.nbytes for _, array in arrays) // 2**25) as pool:
        return list(pool.map(digest, range(snap.z1 - snap.z0)))


def join(snap: Snapshot, digests: Sequence[bytes]) -> str:
    """Return the state hash from the digests of all planes, in global z order, and step and body of ``snap``."""
    sha = hashlib.sha256(f"step {snap.step} shape {tuple(map(int, snap.shape))}\n".encode())
    for digest in digests:
        sha.update(digest)
    _update_all(sha, snap.body)
    return sha.hexdigest()


def _update_all(sha: hashlib._Hash, arrays: Mapping[str, Array]) -> None:
    for name in sorted(arrays):
        if not name.startswith(OUTPUT_PREFIX):
            _update(sha, name, arrays[name])


def _update(sha: hashlib._Hash, name: str, array: Array) -> None:
    array = np.asarray(array, order="C")
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    sha.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
    sha.update(little.data if little.ndim and little.size else little.tobytes())
