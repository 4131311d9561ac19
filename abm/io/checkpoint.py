"""Checkpoints: the whole state in a folder that any rank count and any backend can continue from.

``checkpoint-<step>/`` holds ``shard-<rank>.h5`` (the planes of one rank), ``body.h5`` (everything off the lattice)
and ``manifest.json``, written last, with size and SHA-256 of the others. A folder without a whole manifest is torn.

Ranks write files of their own, not one together: the HDF5 that comes with h5py's wheels cannot write in parallel, one
built for it has to be built against the very MPI of the site, its compressed writes are collective, and a rank that
dies then takes the file of all with it. ``abm merge`` (:mod:`abm.io.merged`) makes one file of them when one is wanted;
where h5py can write in parallel, ``single_file`` (:mod:`abm.io.together`) makes it at once.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from abm.errors import CheckpointError
from abm.io.atomic import (
    WriteError,
    new_hdf5,
    sweep,
    sync,
    workers,
    write_array,
    write_attributes,
    write_bytes,
)
from abm.io.hash import join, plane_digests
from abm.io.manifest import BODY, CORE, MANIFEST, FileEntry, Manifest, Part, Shard
from abm.io.reader import FORMAT_VERSION, file_problems
from abm.state import Array, Snapshot, check_snapshot, checkpoint_fields

#: A folder of shards, or one merged file that somebody put there.
_NAME = re.compile(r"checkpoint-(\d{8,})(\.h5)?")


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
            manifest, ``None`` on the others. A rank that fails to write calls it too, so that none waits for ever.

    Raises:
        WriteError: it cannot be written (disk full, ...); older checkpoints are as they were. Raised on the rank that
            failed and on the one that would write the manifest.
    """
    _check_call(snap, keep, n_ranks, gather)
    folder = out / f"checkpoint-{snap.step:08d}"
    part, failure = _try_shard(folder, snap, rank)
    parts = [part] if gather is None else gather(part)
    try:
        if failure:
            raise failure
        if parts is not None:
            _complete(folder, snap, parts)
    except CheckpointError:
        if parts is not None:  # only then have all ranks written; before, the folder could vanish under one
            _withdraw(folder, parts)
        raise
    if parts is not None:
        _prune(out, snap.step, keep)
    return folder


def holds_checkpoint(out: Path) -> bool:
    """Whether ``out`` holds a checkpoint that was once whole: a folder with a manifest, or a merged file."""
    return any(path.is_file() or (path / MANIFEST).exists() for path in _checkpoints(out))


def newest_good(out: Path) -> tuple[Path, list[str]]:
    """Return the newest checkpoint that is whole, and a message for each newer one that is not.

    Merged files in ``out`` count too; of the same step, the folder is taken.

    Raises:
        CheckpointError: there is none.
    """
    skipped: list[str] = []
    for path in reversed(_checkpoints(out)):
        if not (problems := file_problems(path)):
            return path, skipped
        skipped.append(f"skipped {path.name}: {'; '.join(problems)}")
    if not skipped:
        msg = f"{out}: no usable checkpoint: no checkpoint-<step> folder there"
        raise CheckpointError(msg)
    msg = "\n".join([f"{out}: no usable checkpoint", *skipped])
    raise CheckpointError(msg)


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


def _try_shard(folder: Path, snap: Snapshot, rank: int) -> tuple[Part, CheckpointError | None]:
    try:
        _make_folder(folder)
        return _write_shard(folder, snap, rank), None
    except CheckpointError as error:
        nothing = FileEntry(_shard_name(rank), 0, "")
        return Part(Shard(rank, snap.z0, snap.z1, nothing), (), str(error)), error


def _shard_name(rank: int) -> str:
    return f"shard-{rank:05d}.h5"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sync(folder.parent)
    except OSError as error:
        msg = f"{folder}: cannot be made: {error.strerror}"
        raise WriteError(msg) from error


def _write_shard(folder: Path, snap: Snapshot, rank: int) -> Part:
    """Write one shard. Its bytes depend on nothing but the planes, so writing it again changes nothing."""
    path = folder / _shard_name(rank)
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
    if problems := [p.problem for p in parts if p.problem]:
        raise WriteError("\n".join(problems))
    parts = sorted(parts, key=lambda p: p.shard.z0)
    shards = tuple(p.shard for p in parts)
    with new_hdf5(folder / BODY) as file:
        write_body(file, snap)
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


def write_body(group: h5py.Group, snap: Snapshot, *, compressed: bool = True) -> None:
    """Write the arrays off the lattice; a name with a slash becomes a group."""
    for name, array in snap.body.items():
        group.create_dataset(name, data=array, **(_filters(array) if compressed else {}))


def _filters(array: Array) -> dict[str, Any]:
    if np.asarray(array).nbytes < 4096:
        return {}
    return {"compression": "gzip", "compression_opts": 1, "shuffle": True}


def _withdraw(folder: Path, parts: Iterable[Part]) -> None:
    """Take back what was written of a checkpoint that did not come about."""
    if not (folder / MANIFEST).exists():
        _remove([folder / BODY, *(folder / part.shard.file.name for part in parts)])
        with contextlib.suppress(OSError):
            folder.rmdir()


def _prune(out: Path, step: int, keep: int) -> None:
    """Keep the last whole checkpoints up to ``step``; later ones belong to the user. Removing is never urgent."""
    sweep(out)
    for folder in _superfluous(_folders(out), step, keep):
        # The manifest goes first: a folder that is left half removed is then known to be torn.
        _remove([folder / MANIFEST])
        with contextlib.suppress(OSError):
            _remove(folder.iterdir())
            folder.rmdir()
    for folder in _folders(out):
        sweep(folder)


def prune_files(out: Path, step: int, keep: int) -> None:
    """Keep the last whole single files up to ``step``, and all folders: those are of another way to write."""
    sweep(out)
    _remove(_superfluous([path for path in _checkpoints(out) if path.is_file()], step, keep))


def _superfluous(found: list[Path], step: int, keep: int) -> set[Path]:
    """Return the checkpoints up to a step that are not among the last whole ones."""
    past = [path for path in found if _step(path) <= step]
    whole = [path for path in past if not file_problems(path, checksums=False)]
    return set(past) - set(whole[-keep:])


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        with contextlib.suppress(OSError):
            path.unlink()


def _checkpoints(out: Path) -> list[Path]:
    """Return all checkpoints, whole or not, oldest first: folders, and merged files before the folder of their step."""
    found = (p for p in out.glob("checkpoint-*") if _NAME.fullmatch(p.name) and p.is_dir() != (p.suffix == ".h5"))
    return sorted(found, key=lambda p: (_step(p), p.is_dir()))


def _folders(out: Path) -> list[Path]:
    return [path for path in _checkpoints(out) if path.is_dir()]


def _step(path: Path) -> int:
    return int(path.name.removeprefix("checkpoint-").removesuffix(".h5"))
