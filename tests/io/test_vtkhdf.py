"""Snapshots to look at: the VTKHDF layout, and the reading of it by VTK itself where that is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

from abm.cells import Kind, Origin, Tissue, pack_cold, pack_hot
from abm.io import write_snapshot
from abm.state import Snapshot

Make = Callable[..., Snapshot]


def example(make: Make) -> Snapshot:
    """Return a state with three known sites."""
    snap = make((4, 5, 6), 240)
    for name in ("res_hot", "mot_hot"):
        snap.arrays[name][:] = 0
    snap.arrays["tissue"][0, 0, 0] = Tissue.SINUSOID | 0x30
    snap.arrays["res_hot"][1, 2, 3] = pack_hot(kind=Kind.LSC, origin=Origin.HOST, loss=255, edits=15)
    snap.arrays["res_cold"][1, 2, 3] = pack_cold(clone=65535, resist=3)
    snap.arrays["mot_hot"][1, 2, 3] = pack_hot(kind=Kind.NK, origin=Origin.DONOR)
    snap.arrays["mot_cold"][1, 2, 3] = pack_cold(clone=7)
    return snap


def test_layout(tmp_path: Path, make_snapshot: Make) -> None:
    path = write_snapshot(tmp_path, example(make_snapshot))
    assert path == tmp_path / "snapshot-00000240.vtkhdf"
    with h5py.File(path, locking=False) as file:
        root = file["VTKHDF"]
        assert root.attrs["Type"] == b"ImageData"
        assert root.attrs["Version"].tolist() == [2, 2]
        assert root.attrs["WholeExtent"].tolist() == [0, 6, 0, 5, 0, 4]
        assert root.attrs["Spacing"].tolist() == [10.0, 10.0, 10.0]
        assert root.attrs["Direction"].tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1]
        data = {name: array[()] for name, array in root["CellData"].items()}
        assert all(array.compression == "gzip" for array in root["CellData"].values())
        assert json.loads(file["abm"].attrs["kind"])["LSC"] == Kind.LSC
        assert json.loads(file["abm/meta"].asstr()[()])["seed"] == 2**64 - 1
    shown = ("kind", "origin", "clone", "loss", "edits")
    assert set(data) == {"tissue", *shown, *(f"motile_{name}" for name in shown)}
    assert all(array.shape == (4, 5, 6) for array in data.values())
    assert data["tissue"][0, 0, 0] == Tissue.SINUSOID
    assert [int(data[n][1, 2, 3]) for n in shown] == [Kind.LSC, Origin.HOST, 65535, 255, 15]
    assert [int(data["motile_" + n][1, 2, 3]) for n in shown] == [Kind.NK, Origin.DONOR, 7, 0, 0]
    assert np.count_nonzero(data["kind"]) == np.count_nonzero(data["origin"] != 255) == 1


def test_a_part_of_the_lattice_is_refused(tmp_path: Path, make_snapshot: Make) -> None:
    snap = make_snapshot()
    part = replace(snap, z0=1, arrays={name: array[1:] for name, array in snap.arrays.items()})
    with pytest.raises(ValueError, match="needs all 7 planes"):
        write_snapshot(tmp_path, part)


@pytest.mark.skipif(find_spec("vtkmodules") is None, reason="no vtk")
def test_vtk_reads_it(tmp_path: Path, make_snapshot: Make) -> None:
    """In a process of its own: VTK may end the process it runs in."""
    path = write_snapshot(tmp_path, example(make_snapshot))
    code = f"""
from vtkmodules.vtkIOHDF import vtkHDFReader
from vtkmodules.util.numpy_support import vtk_to_numpy
reader = vtkHDFReader()
reader.SetFileName({str(path)!r})
reader.Update()
image = reader.GetOutput()
data = image.GetCellData()
kind = vtk_to_numpy(data.GetArray("kind")).reshape(4, 5, 6)
print(image.GetDimensions(), image.GetSpacing(), data.GetNumberOfArrays(), kind[1, 2, 3], kind.sum())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"(7, 6, 5) (10.0, 10.0, 10.0) 7 {int(Kind.LSC)} {int(Kind.LSC)}"
