"""Reading what :mod:`abm.io.checkpoint` and :mod:`abm.io.merged` wrote: a folder of shards or one merged file.

Both look the same from here on: a manifest, and shards that hold planes. Nothing is read before its checksum has been
compared, and no more planes at a time than were asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from abm.errors import CheckpointError
from abm.io.atomic import open_hdf5, read_provenance, sha256_of
from abm.io.hash import join, plane_digests
from abm.io.manifest import BODY, MANIFEST, FileEntry, Manifest, Shard
from abm.io.upgrades import UPGRADERS
from abm.state import Array, Snapshot, check_snapshot, checkpoint_fields

FORMAT_VERSION = 10

#: What a pass over all planes holds in memory at a time, bytes.
_BLOCK_BYTES = 1 << 26


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a checkpoint, the checksum of which has then been compared.

    Args:
        path: folder, or merged file: of that, all of the file is compared.

    Raises:
        CheckpointError: none there, damaged, of an unknown version, or its shards do not make up the lattice.
    """
    manifest = _merged_manifest(path) if path.is_file() else _folder_manifest(path)
    version = manifest.format_version
    if version > FORMAT_VERSION:
        msg = f"{path}: format version {version} is newer than {FORMAT_VERSION}, the last one known here: update abm"
        raise CheckpointError(msg)
    if any(v not in UPGRADERS for v in range(version, FORMAT_VERSION)):
        msg = f"{path}: format version {version} is too old to be upgraded to {FORMAT_VERSION}"
        raise CheckpointError(msg)
    edges = [0, *(s.z1 for s in manifest.shards)]
    if [s.z0 for s in manifest.shards] != edges[:-1] or edges[-1] != manifest.shape[0]:
        msg = f"{path}: the shards do not make up {manifest.shape[0]} planes"
        raise CheckpointError(msg)
    return manifest


def read_checkpoint(path: Path, z0: int | None = None, z1: int | None = None) -> Snapshot:
    """Read the planes ``z0 <= z < z1`` (all by default) and the body, from however many shards hold them.

    Raises:
        CheckpointError: a file that is needed is missing or does not match its checksum, or the format is unknown.
        ValueError: no such planes.
    """
    manifest = read_manifest(path)
    z0, z1 = 0 if z0 is None else z0, manifest.shape[0] if z1 is None else z1
    if not 0 <= z0 < z1 <= manifest.shape[0]:
        msg = f"planes {z0}:{z1} are not inside the lattice of {manifest.shape[0]} planes"
        raise ValueError(msg)
    for entry in (manifest.body, *(s.file for s in _shards(manifest, z0, z1))):
        if problem := _problem(path, entry):
            msg = f"{path}: {problem}"
            raise CheckpointError(msg)
    return _read_planes(path, manifest, _read_body(path), z0, z1)


def read_blocks(path: Path, manifest: Manifest, depth: int = 1) -> Iterator[Snapshot]:
    """Yield all planes, some at a time: a multiple of ``depth`` but for the last. Look for file problems before."""
    body = _read_body(path)
    plane_bytes = manifest.shape[1] * manifest.shape[2] * sum(np.dtype(f.dtype).itemsize for f in checkpoint_fields())
    step = depth * max(1, _BLOCK_BYTES // (depth * plane_bytes))
    for z0 in range(0, manifest.shape[0], step):
        yield _read_planes(path, manifest, body, z0, min(z0 + step, manifest.shape[0]))


def verify(path: Path) -> list[str]:
    """Return all that is wrong with a checkpoint: files, checksums, and the state hash computed anew."""
    if problems := file_problems(path):
        return problems
    try:
        manifest = read_manifest(path)
        digests: list[bytes] = []
        for block in read_blocks(path, manifest):
            digests += plane_digests(block)
        found = join(block, digests)
    except (CheckpointError, ValueError) as error:
        return [str(error)]
    # The hash of an upgraded state is another one than that of the state as it was stored.
    if manifest.format_version == FORMAT_VERSION and found != manifest.state_hash:
        return [f"state hash {found} where {MANIFEST if path.is_dir() else 'the file'} says {manifest.state_hash}"]
    return []


def file_problems(path: Path, *, checksums: bool = True) -> list[str]:
    """Return what is wrong with the files of a checkpoint, without looking into the arrays.

    Args:
        path: folder or merged file.
        checksums: compare more than the sizes of the files of a folder.
    """
    try:
        manifest = read_manifest(path)
    except CheckpointError as error:
        return [str(error).removeprefix(f"{path}: ")]
    return [p for entry in manifest.files if (p := _problem(path, entry, checksums=checksums))]


def _folder_manifest(path: Path) -> Manifest:
    try:
        return Manifest.parse((path / MANIFEST).read_bytes())
    except OSError as error:
        msg = f"{path}: not a whole checkpoint: {MANIFEST}: {error.strerror}"
        raise CheckpointError(msg) from error
    except ValueError as error:
        msg = f"{path}: {error}"
        raise CheckpointError(msg) from error


def _merged_manifest(path: Path) -> Manifest:
    """Return the manifest that says of a merged file what others say of a folder: it is its own only shard."""
    with open_hdf5(path, sealed=True) as file:
        if "state_hash" not in file.attrs or "body" not in file:
            msg = f"{path}: not a merged checkpoint"
            raise CheckpointError(msg)
        nz, ny, nx = (int(n) for n in file.attrs["shape"])
        entry = FileEntry(path.name, path.stat().st_size, "")
        return Manifest(
            format_version=int(file.attrs["format_version"]),
            step=int(file.attrs["step"]),
            shape=(nz, ny, nx),
            n_ranks=1,
            state_hash=str(file.attrs["state_hash"]),
            shards=(Shard(0, 0, nz, entry),),
            body=entry,
            meta=read_provenance(file),
        )


def _shards(manifest: Manifest, z0: int, z1: int) -> list[Shard]:
    return [s for s in manifest.shards if s.z0 < z1 and s.z1 > z0]


def _problem(path: Path, entry: FileEntry, *, checksums: bool = True) -> str:
    """Return what is wrong with one file, or an empty text."""
    if path.is_file():
        return ""  # a merged file, compared when its manifest was read
    try:
        if (size := (path / entry.name).stat().st_size) != entry.bytes:
            return f"{entry.name} has {size} bytes where {entry.bytes} were written"
        if checksums and sha256_of(path / entry.name) != entry.sha256:
            return f"{entry.name} does not match its checksum"
    except OSError as error:
        return f"{entry.name}: {error.strerror}"
    return ""


def _read_planes(path: Path, manifest: Manifest, body: dict[str, Array], z0: int, z1: int) -> Snapshot:
    """Read planes of files that have been checked, in the form of the present version."""
    arrays: dict[str, Array] = {}
    for shard in _shards(manifest, z0, z1):
        _read_shard(path if path.is_file() else path / shard.file.name, shard, z0, z1, arrays)
    snap = Snapshot(manifest.step, manifest.shape, z0, z1, arrays, dict(body), dict(manifest.meta))
    for version in range(manifest.format_version, FORMAT_VERSION):
        snap = UPGRADERS[version](snap)
    try:
        check_snapshot(snap)
    except ValueError as error:
        msg = f"{path}: {error}"
        raise CheckpointError(msg) from error
    return snap


def _read_shard(path: Path, shard: Shard, z0: int, z1: int, arrays: dict[str, Array]) -> None:
    """Read the planes that a shard shares with z0:z1 into ``arrays``, which are made when first met."""
    low, high = max(z0, shard.z0), min(z1, shard.z1)
    with open_hdf5(path) as file:
        for name, data in file.items():
            if isinstance(data, h5py.Group):  # of a merged file
                continue
            if name not in arrays:
                arrays[name] = np.empty((z1 - z0, *data.shape[1:]), data.dtype)
            data.read_direct(arrays[name], np.s_[low - shard.z0 : high - shard.z0], np.s_[low - z0 : high - z0])


def _read_body(path: Path) -> dict[str, Array]:
    body: dict[str, Array] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            body[name] = np.asarray(item[()])

    merged = path.is_file()
    with open_hdf5(path if merged else path / BODY) as file:
        (file["body"] if merged else file).visititems(visit)
    return body
