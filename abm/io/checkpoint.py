"""Checkpoints: the whole state in a folder that any rank count and any backend can continue from.

``checkpoint-<step>/`` holds ``shard-<rank>.h5`` (the planes of one rank), ``body.h5`` (everything off the lattice)
and ``manifest.json``, written last, with size and SHA-256 of the others. A folder without a whole manifest is torn.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from abm.errors import CheckpointError
from abm.io.atomic import (
    WriteError,
    new_hdf5,
    open_hdf5,
    sha256_of,
    sweep,
    sync,
    workers,
    write_array,
    write_attributes,
    write_bytes,
)
from abm.io.hash import join, plane_digests, state_hash
from abm.io.manifest import CORE, MANIFEST, FileEntry, Manifest, Part, Shard
from abm.state import Array, Snapshot, check_snapshot, checkpoint_fields

FORMAT_VERSION = 1

#: From format version v to v + 1: takes the snapshot as it was read (any part of the planes), returns the next form.
#: The layout of the folder and of the manifest does not change between versions; names and meaning of arrays may.
UPGRADERS: dict[int, Callable[[Snapshot], Snapshot]] = {}

BODY = "body.h5"
_FOLDER = re.compile(r"checkpoint-(\d{8,})")


def write_checkpoint(
    out: Path,
    snap: Snapshot,
    *,
    keep: int,
    rank: int = 0,
    n_ranks: int = 1,
    gather: Callable[[Part], list[Part] | None] | None = None,
) -> Path:
    """Write the planes of this rank; when all ranks have, write the manifest and drop all but ``keep`` checkpoints.

    Args:
        out: output directory of the run.
        snap: the planes of this rank, and the whole body.
        keep: how many whole checkpoints stay, this one included.
        rank: number of the shard.
        n_ranks: how many ranks call this function.
        gather: with several ranks, collects the parts of all and returns them on the one rank that is to write the
            manifest, ``None`` on the others.

    Raises:
        WriteError: it cannot be written (disk full, ...); older checkpoints are as they were.
    """
    _check_call(snap, keep, n_ranks, gather)
    folder = out / f"checkpoint-{snap.step:08d}"
    try:
        _make_folder(folder)
        part = _write_shard(folder, snap, rank)
        parts = [part] if gather is None else gather(part)
        if parts is not None:
            _complete(folder, snap, parts)
    except CheckpointError:
        _withdraw(folder, rank)
        raise
    if parts is not None:
        _prune(out, snap.step, keep)
    return folder


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a checkpoint folder.

    Raises:
        CheckpointError: none there, damaged, of an unknown version, or its shards do not make up the lattice.
    """
    try:
        manifest = Manifest.parse((path / MANIFEST).read_bytes())
    except OSError as error:
        msg = f"{path}: not a whole checkpoint: {MANIFEST}: {error.strerror}"
        raise CheckpointError(msg) from error
    except ValueError as error:
        msg = f"{path}: {error}"
        raise CheckpointError(msg) from error
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
    shards = [s for s in manifest.shards if s.z0 < z1 and s.z1 > z0]
    for entry in (manifest.body, *(s.file for s in shards)):
        if problem := _problem(path, entry):
            msg = f"{path}: {problem}"
            raise CheckpointError(msg)
    arrays: dict[str, Array] = {}
    for shard in shards:
        _read_shard(path / shard.file.name, shard, z0, z1, arrays)
    body = _read_body(path / BODY)
    snap = Snapshot(manifest.step, manifest.shape, z0, z1, arrays, body, dict(manifest.meta))
    for version in range(manifest.format_version, FORMAT_VERSION):
        snap = UPGRADERS[version](snap)
    try:
        check_snapshot(snap)
    except ValueError as error:
        msg = f"{path}: {error}"
        raise CheckpointError(msg) from error
    return snap


def newest_good(out: Path) -> tuple[Path, list[str]]:
    """Return the newest checkpoint that is whole, and a message for each newer one that is not.

    Raises:
        CheckpointError: there is none.
    """
    skipped: list[str] = []
    for folder in reversed(_folders(out)):
        if not (problems := _file_problems(folder)):
            return folder, skipped
        skipped.append(f"skipped {folder.name}: {'; '.join(problems)}")
    if not skipped:
        msg = f"{out}: no usable checkpoint: no checkpoint-<step> folder there"
        raise CheckpointError(msg)
    msg = "\n".join([f"{out}: no usable checkpoint", *skipped])
    raise CheckpointError(msg)


def verify(path: Path) -> list[str]:
    """Return all that is wrong with a checkpoint: files, checksums, and the state hash computed anew."""
    if problems := _file_problems(path):
        return problems
    manifest = read_manifest(path)
    try:
        found = state_hash(read_checkpoint(path))
    except (CheckpointError, ValueError) as error:
        return [str(error)]
    # The hash of an upgraded state is another one than that of the state as it was stored.
    if manifest.format_version == FORMAT_VERSION and found != manifest.state_hash:
        return [f"state hash {found} where {MANIFEST} says {manifest.state_hash}"]
    return []


def _check_call(snap: Snapshot, keep: int, n_ranks: int, gather: Callable[[Part], list[Part] | None] | None) -> None:
    check_snapshot(snap)
    if keep < 1:
        msg = f"keep = {keep}: at least one checkpoint has to stay"
        raise ValueError(msg)
    if clash := set(snap.meta) & {*CORE, "checksum"}:
        msg = f"meta may not hold {sorted(clash)}: names of the manifest itself"
        raise ValueError(msg)
    if n_ranks > 1 and gather is None:
        msg = "several ranks need a gather function"
        raise ValueError(msg)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sync(folder.parent)
    except OSError as error:
        msg = f"{folder}: cannot be made: {error.strerror}"
        raise WriteError(msg) from error


def _write_shard(folder: Path, snap: Snapshot, rank: int) -> Part:
    """Write one shard. Its bytes depend on nothing but the planes, so writing it again changes nothing."""
    path = folder / f"shard-{rank:05d}.h5"
    digests = plane_digests(snap)
    with new_hdf5(path) as file, workers() as pool:
        write_attributes(file, {"format_version": FORMAT_VERSION, "step": snap.step, "z0": snap.z0, "z1": snap.z1})
        file.attrs["shape"] = snap.shape
        for f in checkpoint_fields():
            data = write_array(file, f.name, snap.arrays[f.name], pool)
            write_attributes(data, {"unit": f.unit, "doc": f.doc})
    return Part(Shard(rank, snap.z0, snap.z1, FileEntry.of(path)), tuple(digests))


def _complete(folder: Path, snap: Snapshot, parts: list[Part]) -> None:
    """Write the body, then the manifest; from that moment on the checkpoint is there."""
    parts = sorted(parts, key=lambda p: p.shard.z0)
    shards = tuple(p.shard for p in parts)
    with new_hdf5(folder / BODY) as file:
        for name, array in snap.body.items():
            file.create_dataset(name, data=array, **_filters(array))
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        step=snap.step,
        shape=snap.shape,
        n_ranks=len(parts),
        state_hash=join(snap, [d for p in parts for d in p.digests]),
        shards=shards,
        body=FileEntry.of(folder / BODY),
        meta=snap.meta,
    )
    write_bytes(folder / MANIFEST, manifest.render())
    known = {MANIFEST, *(entry.name for entry in manifest.files)}
    _remove(p for p in folder.iterdir() if p.name not in known)


def _filters(array: Array) -> dict[str, Any]:
    if np.asarray(array).nbytes < 4096:
        return {}
    return {"compression": "gzip", "compression_opts": 1, "shuffle": True}


def _withdraw(folder: Path, rank: int) -> None:
    """Take back what this rank wrote of a checkpoint that did not come about."""
    if not (folder / MANIFEST).exists():
        _remove([folder / f"shard-{rank:05d}.h5", folder / BODY])
        with contextlib.suppress(OSError):
            folder.rmdir()


def _prune(out: Path, step: int, keep: int) -> None:
    """Keep the last whole checkpoints up to ``step``; later ones belong to the user. Removing is never urgent."""
    sweep(out)
    past = [f for f in _folders(out) if _step(f) <= step]
    whole = [f for f in past if not _file_problems(f, checksums=False)]
    for folder in set(past) - set(whole[-keep:]):
        # The manifest goes first: a folder that is left half removed is then known to be torn.
        _remove([folder / MANIFEST])
        with contextlib.suppress(OSError):
            _remove(folder.iterdir())
            folder.rmdir()
    for folder in _folders(out):
        sweep(folder)


def _remove(paths: Iterator[Path] | list[Path]) -> None:
    for path in list(paths):
        with contextlib.suppress(OSError):
            path.unlink()


def _folders(out: Path) -> list[Path]:
    """Return all checkpoint folders, whole or not, oldest first."""
    return sorted((p for p in out.glob("checkpoint-*") if _FOLDER.fullmatch(p.name) and p.is_dir()), key=_step)


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("checkpoint-"))


def _file_problems(folder: Path, *, checksums: bool = True) -> list[str]:
    try:
        manifest = read_manifest(folder)
    except CheckpointError as error:
        return [str(error).removeprefix(f"{folder}: ")]
    return [p for entry in manifest.files if (p := _problem(folder, entry, checksums=checksums))]


def _problem(folder: Path, entry: FileEntry, *, checksums: bool = True) -> str:
    """Return what is wrong with one file, or an empty text."""
    path = folder / entry.name
    try:
        if (size := path.stat().st_size) != entry.bytes:
            return f"{entry.name} has {size} bytes where {entry.bytes} were written"
        if checksums and sha256_of(path) != entry.sha256:
            return f"{entry.name} does not match its checksum"
    except OSError as error:
        return f"{entry.name}: {error.strerror}"
    return ""


def _read_shard(path: Path, shard: Shard, z0: int, z1: int, arrays: dict[str, Array]) -> None:
    """Read the planes that a shard shares with z0:z1 into ``arrays``, which are made when first met."""
    low, high = max(z0, shard.z0), min(z1, shard.z1)
    with open_hdf5(path) as file:
        for name, data in file.items():
            if name not in arrays:
                arrays[name] = np.empty((z1 - z0, *data.shape[1:]), data.dtype)
            data.read_direct(arrays[name], np.s_[low - shard.z0 : high - shard.z0], np.s_[low - z0 : high - z0])


def _read_body(path: Path) -> dict[str, Array]:
    body: dict[str, Array] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            body[name] = np.asarray(item[()])

    with open_hdf5(path) as file:
        file.visititems(visit)
    return body
