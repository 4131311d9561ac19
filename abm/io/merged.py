"""One plain HDF5 file with all that a checkpoint holds: to pass on, to keep, to open elsewhere, to continue from.

``checkpoint-<step>.h5`` has one dataset (nz, ny, nx) per field of the lattice, the group ``body``, and how the state
was made in its attributes. It carries the checksum of itself. Put into the directory of a run, beside its
``config.toml``, it counts as a checkpoint of that run.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from abm.errors import CheckpointError
from abm.io.atomic import (
    new_array,
    new_hdf5,
    planes_per_chunk,
    sweep,
    workers,
    write_attributes,
    write_planes,
    write_provenance,
)
from abm.io.checkpoint import write_body
from abm.io.hash import join, plane_digests
from abm.io.manifest import MANIFEST, Manifest
from abm.io.reader import FORMAT_VERSION, file_problems, read_blocks, read_manifest
from abm.state import checkpoint_fields


def merge(path: Path, out: Path | None = None, *, overwrite: bool = False) -> Path:
    """Write a checkpoint as one file, some planes at a time, and return that file.

    Args:
        path: the checkpoint, a folder of shards or itself a merged file.
        out: the file to write; by default ``checkpoint-<step>.h5`` beside the checkpoint.
        overwrite: replace a file that is already there.

    Raises:
        CheckpointError: the checkpoint is damaged, the file is already there or cannot be written.
    """
    if problems := file_problems(path):
        msg = f"{path}: {'; '.join(problems)}"
        raise CheckpointError(msg)
    manifest = read_manifest(path)
    out = out or path.parent / f"checkpoint-{manifest.step:08d}.h5"
    if out.exists() and not overwrite:
        msg = f"{out}: already there; replace it with --overwrite, or choose another with --out"
        raise CheckpointError(msg)
    sweep(out.parent)
    with new_hdf5(out, sealed=True) as file, workers() as pool:
        found = _write(file, path, manifest, pool)
        if manifest.format_version == FORMAT_VERSION and found != manifest.state_hash:
            msg = f"{path}: state hash {found} where {MANIFEST} says {manifest.state_hash}"
            raise CheckpointError(msg)
    return out


def _write(file: h5py.File, path: Path, manifest: Manifest, pool: ThreadPoolExecutor) -> str:
    """Write everything and return the state hash of what was written, which an upgrade may have changed."""
    data = _new_arrays(file, manifest.shape)
    digests: list[bytes] = []
    for block in read_blocks(path, manifest, data["tissue"].chunks[0]):
        for name, array in block.arrays.items():
            write_planes(data[name], block.z0, array, pool)
        digests += plane_digests(block)
    write_body(file.create_group("body"), block)
    found = join(block, digests)
    write_attributes(file, {"format_version": FORMAT_VERSION, "step": block.step, "state_hash": found})
    file.attrs["shape"] = block.shape
    write_provenance(file, block.meta)
    return found


def _new_arrays(file: h5py.File, shape: tuple[int, int, int]) -> Mapping[str, h5py.Dataset]:
    """Create the datasets of all fields, with chunks of the same planes, so that a block fills whole chunks of each."""
    widest = max(np.dtype(f.dtype).itemsize for f in checkpoint_fields())
    depth = min(shape[0], planes_per_chunk(shape[1] * shape[2] * widest))
    data = {f.name: new_array(file, f.name, shape, np.dtype(f.dtype), depth) for f in checkpoint_fields()}
    for f in checkpoint_fields():
        write_attributes(data[f.name], {"unit": f.unit, "doc": f.doc})
    return data
