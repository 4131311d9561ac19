"""Snapshots to look at: the lattice as a VTKHDF image that ParaView opens (gzip, readable without plugins)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from abm.cells import COLD, HOT, TISSUE_MASK, Kind, Origin, Tissue
from abm.io.atomic import new_hdf5, workers, write_array, write_attributes
from abm.io.hash import state_hash
from abm.state import Array, Snapshot, check_snapshot

SPACING_UM = 10.0
NO_CELL = 255  #: origin of an empty site (0 is the host)


def write_snapshot(out: Path, snap: Snapshot) -> Path:
    """Write ``snapshot-<step>.vtkhdf`` with the whole lattice and return its path.

    Cell data, arrays [z, y, x]: ``tissue``, and ``kind``, ``origin``, ``clone``, ``loss``, ``edits`` of the resident
    cell, ``motile_kind`` and so on of the motile one. Lengths are in um. The names of the codes stand as JSON in
    the attributes of the group ``abm``, with the hash of the state that is shown. The file carries the checksum of
    itself in its user block, which VTK skips.

    Raises:
        CheckpointError: it cannot be written.
        ValueError: ``snap`` holds only some of the planes.
    """
    check_snapshot(snap)
    if (snap.z0, snap.z1) != (0, snap.shape[0]):
        msg = f"a snapshot needs all {snap.shape[0]} planes, not {snap.z0}:{snap.z1}"
        raise ValueError(msg)
    path = out / f"snapshot-{snap.step:08d}.vtkhdf"
    with new_hdf5(path, sealed=True) as file:
        _write_image(file, snap.shape, cell_data(snap))
        names = {e.__name__.lower(): json.dumps({m.name: m.value for m in e}) for e in (Tissue, Kind, Origin)}
        facts = {"step": snap.step, "state_hash": state_hash(snap), "no_cell": NO_CELL}
        write_attributes(file.create_group("abm"), {**facts, **names})
        file.create_dataset("abm/meta", data=json.dumps(snap.meta))
    return path


def cell_data(snap: Snapshot) -> dict[str, Array]:
    """Return what is shown of each site, shape (nz, ny, nx) each."""
    data: dict[str, Array] = {"tissue": snap.arrays["tissue"] & np.uint8(TISSUE_MASK)}
    for prefix, layer in (("", "res"), ("motile_", "mot")):
        hot, cold = snap.arrays[f"{layer}_hot"], snap.arrays[f"{layer}_cold"]
        kind = _bits(hot, "kind").astype(np.uint8)
        data[f"{prefix}kind"] = kind
        data[f"{prefix}origin"] = np.where(kind == Kind.EMPTY, NO_CELL, _bits(hot, "origin")).astype(np.uint8)
        data[f"{prefix}clone"] = _bits(cold, "clone").astype(np.uint16)
        data[f"{prefix}loss"] = _bits(hot, "loss").astype(np.uint16)
        data[f"{prefix}edits"] = _bits(hot, "edits").astype(np.uint8)
    return data


def _bits(words: Array, name: str) -> Array:
    field = next(f for f in HOT + COLD if f.name == name)
    return (words >> np.uint32(field.shift)) & np.uint32((1 << field.bits) - 1)


def _write_image(file: h5py.File, shape: tuple[int, int, int], data: Mapping[str, Array]) -> None:
    """Write the group ``VTKHDF`` of an ImageData, version 2.2 of the format."""
    nz, ny, nx = shape
    root = file.create_group("VTKHDF")
    root.attrs["Version"] = np.array([2, 2], np.int64)
    root.attrs.create("Type", b"ImageData", dtype=h5py.string_dtype("ascii", len(b"ImageData")))
    root.attrs["WholeExtent"] = np.array([0, nx, 0, ny, 0, nz], np.int64)
    root.attrs["Origin"] = np.zeros(3)
    root.attrs["Spacing"] = np.full(3, SPACING_UM)
    root.attrs["Direction"] = np.eye(3).ravel()
    group = root.create_group("CellData")
    with workers() as pool:
        for name, array in data.items():
            write_array(group, name, array, pool)
