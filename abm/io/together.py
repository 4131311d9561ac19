"""A checkpoint as one HDF5 file that all ranks write at the same time, where h5py is built with MPI.

It has the form of a merged file (:mod:`abm.io.merged`), not compressed: compressed writes of several ranks are
collective, and one rank that fails would leave the others waiting. Rank 0 reads it once more for its checksum.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import h5py
import numpy as np

from abm.comm import SerialComm
from abm.io.atomic import (
    SEAL_BYTES,
    WriteError,
    new_hdf5,
    seal,
    sync,
    temporary,
    write_attributes,
    write_provenance,
)
from abm.io.checkpoint import prune_files, write_body
from abm.io.hash import join, plane_digests
from abm.io.reader import FORMAT_VERSION
from abm.state import Snapshot, checkpoint_fields

#: Bytes of an array that a rank writes at a time: MPI counts them in 31 bits.
_PIECE = 1 << 28


def obstacle(comm: SerialComm) -> str:
    """Return why the ranks cannot write one file together, or an empty text."""
    if comm.size == 1 or h5py.get_config().mpi:
        return ""
    return (
        f"false on {comm.size} ranks: h5py {h5py.version.version} is built without MPI; only one built with the MPI "
        "of this launch lets ranks write one file; `abm merge` makes one file of a checkpoint"
    )


def write_together(out: Path, snap: Snapshot, *, keep: int, comm: SerialComm) -> Path:
    """Write the planes of all ranks into ``checkpoint-<step>.h5``, and drop all but the last ``keep`` such files.

    Args:
        out: output directory of the run.
        snap: the planes of this rank, and the whole body.
        keep: how many whole ones stay, this one included.
        comm: all its ranks call this function.

    Raises:
        WriteError: it cannot be written, on all ranks; older checkpoints are as they were.
    """
    path = out / f"checkpoint-{snap.step:08d}.h5"
    digests = comm.gather(plane_digests(snap))
    state_hash = comm.on_root(lambda: join(snap, [digest for part in digests or () for digest in part]))
    if comm.size == 1:
        with new_hdf5(path, sealed=True) as file:
            _write(file, snap, state_hash)
    else:
        temp = comm.on_root(lambda: temporary(path))
        failures = comm.gather(_try_write(temp, snap, state_hash, comm))
        comm.on_root(lambda: _complete(temp, path, failures or []))
    comm.on_root(lambda: prune_files(out, snap.step, keep))
    return path


def _try_write(temp: Path, snap: Snapshot, state_hash: str, comm: SerialComm) -> str:
    """Write the planes of this rank; returns what went wrong."""
    try:
        with h5py.File(temp, "w", driver="mpio", comm=comm.world, userblock_size=SEAL_BYTES) as file:
            _write(file, snap, state_hash)
            file.flush()  # each rank to the disk, before rank 0 reads it
    except (OSError, RuntimeError, ValueError) as error:
        return f"rank {comm.rank}: {error}"
    return ""


def _write(file: h5py.File, snap: Snapshot, state_hash: str) -> None:
    """Write what all ranks know, the same on each, then the planes of this one."""
    write_attributes(file, {"format_version": FORMAT_VERSION, "step": snap.step, "state_hash": state_hash})
    file.attrs["shape"] = snap.shape
    write_provenance(file, snap.meta)
    write_body(file.create_group("body"), snap, compressed=False)
    data = {f.name: file.create_dataset(f.name, snap.shape, f.dtype) for f in checkpoint_fields()}
    for f in checkpoint_fields():
        write_attributes(data[f.name], {"unit": f.unit, "doc": f.doc})
    for name, array in snap.arrays.items():
        depth = max(1, _PIECE // array[0].nbytes)
        for z in range(0, len(array), depth):
            block = array[z : z + depth]
            data[name].write_direct(np.ascontiguousarray(block), None, np.s_[snap.z0 + z : snap.z0 + z + len(block)])


def _complete(temp: Path, path: Path, failures: list[str]) -> None:
    """Seal what all ranks have written and give it its name."""
    try:
        if problems := [text for text in failures if text]:
            raise WriteError(f"{path}: cannot be written: {'; '.join(problems)}; files written before are untouched")
        seal(temp)
        sync(temp)
        os.replace(temp, path)
        sync(path.parent)
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}; files written before are untouched"
        raise WriteError(msg) from error
    finally:
        with contextlib.suppress(OSError):
            temp.unlink()
