"""Checkpoints: what is written is read, from any layout; what is damaged is found; what fails leaves no trace."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from abm.errors import CheckpointError
from abm.io import atomic, newest_good, read_checkpoint, read_manifest, reader, state_hash, verify, write_checkpoint
from abm.io.manifest import FileEntry, Manifest
from abm.state import FIELDS, Snapshot
from tests.io.shards import assert_same, names, part_of, write_shards

Make = Callable[..., Snapshot]
ROOT = Path(__file__).resolve().parents[2]


def test_the_table_of_fields() -> None:
    assert [f.name for f in FIELDS][:2] == ["tissue", "distance"]
    assert len({f.name for f in FIELDS}) == len(FIELDS)
    assert all(f.unit and f.doc and f.halo for f in FIELDS)


def test_round_trip(tmp_path: Path, make_snapshot: Make) -> None:
    snap = make_snapshot()
    path = write_checkpoint(tmp_path, snap, keep=2)
    assert path == tmp_path / "checkpoint-00000024"
    assert names(path) == ["body.h5", "manifest.json", "shard-00000.h5"]
    back = read_checkpoint(path)
    assert_same(back, snap)
    assert state_hash(back) == state_hash(snap) == read_manifest(path).state_hash
    assert verify(path) == []
    assert newest_good(tmp_path) == (path, [])


def test_manifest_tells_how_it_was_made(tmp_path: Path, make_snapshot: Make) -> None:
    snap = make_snapshot()
    values = json.loads((write_checkpoint(tmp_path, snap, keep=1) / "manifest.json").read_text())
    assert snap.meta.items() <= values.items()
    assert values["format_version"] == reader.FORMAT_VERSION
    assert (values["step"], values["shape"], values["n_ranks"]) == (24, [7, 6, 5], 1)
    assert values["state_hash"] == state_hash(snap)
    assert {"name", "bytes", "sha256"} == set(values["body"]) == set(values["shards"][0]["file"])


def test_a_view_inside_halo_planes_is_written_too(tmp_path: Path, make_snapshot: Make) -> None:
    snap = make_snapshot()
    padded = {name: np.pad(a, ((3, 3), (0, 0), (0, 0)), mode="wrap") for name, a in snap.arrays.items()}
    inner = replace(snap, arrays={name: a[3:-3] for name, a in padded.items()})
    fortran = replace(snap, arrays={name: np.asfortranarray(a) for name, a in snap.arrays.items()})
    assert state_hash(inner) == state_hash(fortran) == state_hash(snap)
    assert_same(read_checkpoint(write_checkpoint(tmp_path, inner, keep=1)), snap)
    assert_same(read_checkpoint(write_checkpoint(tmp_path, fortran, keep=1)), snap)


@pytest.mark.parametrize("edges", [(0, 7), (0, 2, 7), (0, 3, 4, 7)], ids=lambda e: f"{len(e) - 1} shards")
def test_any_plane_range_from_any_number_of_shards(tmp_path: Path, make_snapshot: Make, edges: tuple[int, ...]) -> None:
    snap = make_snapshot()
    path = write_shards(tmp_path, snap, edges)
    assert read_manifest(path).state_hash == state_hash(snap)
    assert [(s.rank, s.z0, s.z1) for s in read_manifest(path).shards] == [
        (r, edges[r], edges[r + 1]) for r in range(len(edges) - 1)
    ]
    assert verify(path) == []
    for z0 in range(7):
        for z1 in range(z0 + 1, 8):
            assert_same(read_checkpoint(path, z0, z1), part_of(snap, z0, z1))
    assert_same(read_checkpoint(path, z0=5), part_of(snap, 5, 7))
    for bad in ((-1, 3), (3, 3), (5, 8)):
        with pytest.raises(ValueError, match="not inside the lattice"):
            read_checkpoint(path, *bad)


def test_only_the_shards_that_are_needed_are_opened(tmp_path: Path, make_snapshot: Make) -> None:
    path = write_shards(tmp_path, make_snapshot(), (0, 3, 4, 7))
    (path / "shard-00002.h5").unlink()
    assert read_checkpoint(path, 0, 4).z1 == 4
    with pytest.raises(CheckpointError, match=r"shard-00002\.h5: No such file"):
        read_checkpoint(path, 0, 5)


def test_chunks_of_many_planes_with_a_rest(
    tmp_path: Path, make_snapshot: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "CHUNK_BYTES", 3 * 6 * 5 * 4)
    snap = make_snapshot()
    path = write_checkpoint(tmp_path, snap, keep=1)
    with h5py.File(path / "shard-00000.h5", locking=False) as file:
        assert file["res_hot"].chunks == (3, 6, 5)
        assert (file["res_hot"].compression, file["res_hot"].shuffle) == ("gzip", True)
        assert (file["tissue"].compression, file["tissue"].shuffle) == ("gzip", False)
        assert file["cxcl12"].attrs["unit"] == "1"
    assert_same(read_checkpoint(path), snap)
    assert_same(read_checkpoint(path, 2, 7), part_of(snap, 2, 7))


def test_another_layout_of_the_same_step_replaces_the_old_one(tmp_path: Path, make_snapshot: Make) -> None:
    snap = make_snapshot()
    write_shards(tmp_path, snap, (0, 3, 4, 7))
    path = write_checkpoint(tmp_path, snap, keep=2)
    assert names(path) == ["body.h5", "manifest.json", "shard-00000.h5"]
    assert_same(read_checkpoint(path), snap)


def test_writing_the_same_state_again_gives_the_same_bytes(tmp_path: Path, make_snapshot: Make) -> None:
    snap = make_snapshot()
    path = write_checkpoint(tmp_path, snap, keep=2)
    before = {p.name: p.read_bytes() for p in path.iterdir()}
    write_checkpoint(tmp_path, replace(snap, meta=snap.meta | {"backend": "host"}), keep=2)
    after = {p.name: p.read_bytes() for p in path.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"manifest.json"}


def test_the_last_whole_ones_are_kept(tmp_path: Path, make_snapshot: Make) -> None:
    write_checkpoint(tmp_path, make_snapshot(step=100), keep=2)
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, make_snapshot(step=step), keep=2)
    (tmp_path / "checkpoint-00000003" / "body.h5").write_bytes(b"")
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    host = os.uname().nodename
    left = [f"series.h5.{host}-{int(dead.stdout)}.tmp", f"series.h5.{host}-{os.getpid()}.tmp"]
    live = [f"series.h5.{host}-1.tmp", "series.h5.elsewhere-5.tmp", "mine.tmp"]
    for name in left + live:
        (tmp_path / name).touch()
    write_checkpoint(tmp_path, make_snapshot(step=4), keep=2)
    # 100 is later than 4, so it is not this run's to judge; 3 is torn and does not count.
    assert names(tmp_path) == sorted([*(f"checkpoint-{s:08d}" for s in (2, 4, 100)), *live])
    old = tmp_path / live[1]
    os.utime(old, (0, 0))
    write_checkpoint(tmp_path, make_snapshot(step=5), keep=1)
    assert names(tmp_path) == sorted([*(f"checkpoint-{s:08d}" for s in (5, 100)), live[0], live[2]])


@pytest.mark.parametrize("name", ["shard-00000.h5", "shard-00001.h5", "body.h5", "manifest.json"])
def test_every_flipped_bit_and_every_truncation_is_found(tmp_path: Path, make_snapshot: Make, name: str) -> None:
    old = write_shards(tmp_path, make_snapshot(step=12), (0, 3, 7))
    path = write_shards(tmp_path, make_snapshot(step=24), (0, 3, 7))
    file = path / name
    whole = file.read_bytes()
    rng = np.random.default_rng(5)
    every = range(len(whole)) if name == "manifest.json" else rng.integers(0, len(whole), 40)
    bad = [whole[:i] + bytes([whole[i] ^ (1 << int(rng.integers(8)))]) + whole[i + 1 :] for i in every]
    bad += [whole[:n] for n in (0, 1, len(whole) // 2, len(whole) - 1)] + [whole + b"\n"]
    for data in bad:
        file.write_bytes(data)
        found, messages = newest_good(tmp_path)
        assert found == old
        assert len(messages) == 1
        assert messages[0].startswith("skipped checkpoint-00000024: ")
        assert name in messages[0]
        assert verify(path)
        with pytest.raises(CheckpointError, match=f"checkpoint-00000024: .*{name}"):
            read_checkpoint(path)
    file.write_bytes(whole)
    assert newest_good(tmp_path) == (path, [])


def test_a_missing_file_is_found(tmp_path: Path, make_snapshot: Make) -> None:
    for name in ("shard-00000.h5", "body.h5", "manifest.json"):
        path = write_checkpoint(tmp_path, make_snapshot(), keep=1)
        (path / name).unlink()
        with pytest.raises(CheckpointError, match=f"no usable checkpoint\nskipped .*{name}: No such file"):
            newest_good(tmp_path)
        assert verify(path)


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    for out in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CheckpointError, match=r"no usable checkpoint: no checkpoint-<step> folder there"):
            newest_good(out)
    with pytest.raises(CheckpointError, match=r"not a whole checkpoint: manifest\.json: No such file"):
        read_checkpoint(tmp_path)


def forge(path: Path, **changes: object) -> None:
    """Change the manifest and give it a right checksum again, also over changed files."""
    manifest = read_manifest(path)
    shards = tuple(replace(s, file=FileEntry.of(path / s.file.name)) for s in manifest.shards)
    changed = replace(manifest, shards=shards, body=FileEntry.of(path / "body.h5"))
    (path / "manifest.json").write_bytes(replace(changed, **changes).render())  # type: ignore[arg-type]


def test_versions_out_of_reach(tmp_path: Path, make_snapshot: Make) -> None:
    path = write_checkpoint(tmp_path, make_snapshot(), keep=1)
    forge(path, format_version=99)
    with pytest.raises(
        CheckpointError, match=rf"format version 99 is newer than {reader.FORMAT_VERSION}, .*update abm"
    ):
        read_checkpoint(path)
    old = replace(Manifest.parse((path / "manifest.json").read_bytes()), format_version=0)
    (path / "manifest.json").write_bytes(old.render())
    with pytest.raises(CheckpointError, match="format version 0 is too old"):
        newest_good(tmp_path)


def test_older_versions_are_upgraded_step_by_step(
    tmp_path: Path, make_snapshot: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    snap = make_snapshot()
    path = write_shards(tmp_path, snap, (0, 3, 7))
    # A fake present version: another name of a field, another name in the body, distances in um.
    for shard in path.glob("shard-*.h5"):
        with h5py.File(shard, "r+", locking=False) as file:
            file.move("inflammation", "cytokine")
            file["distance"][...] = snap.arrays["distance"][file.attrs["z0"] : file.attrs["z1"]] // 10 * 10
    with h5py.File(path / "body.h5", "r+", locking=False) as file:
        file.move("pools", "reservoirs")
    forge(path)

    def to_next(old: Snapshot) -> Snapshot:
        old.arrays["inflammation"] = old.arrays.pop("cytokine")
        old.body["tanks"] = old.body.pop("reservoirs")
        return old

    def to_last(old: Snapshot) -> Snapshot:
        old.arrays["distance"] = old.arrays["distance"] // np.uint8(10)
        old.body["pools"] = old.body.pop("tanks")
        return old

    now = reader.FORMAT_VERSION
    monkeypatch.setattr(reader, "FORMAT_VERSION", now + 2)
    monkeypatch.setattr(reader, "UPGRADERS", {now: to_next, now + 1: to_last})
    snap.arrays["distance"] //= np.uint8(10)
    assert_same(read_checkpoint(path), snap)
    assert_same(read_checkpoint(path, 2, 5), part_of(snap, 2, 5))
    assert verify(path) == []
    assert newest_good(tmp_path) == (path, [])
    monkeypatch.setattr(reader, "UPGRADERS", {now: lambda old: old, now + 1: lambda old: old})
    with pytest.raises(CheckpointError, match="cytokine.* were expected"):
        read_checkpoint(path)


def test_a_forged_state_or_layout_is_found(tmp_path: Path, make_snapshot: Make) -> None:
    path = write_shards(tmp_path, make_snapshot(), (0, 3, 7))
    with h5py.File(path / "shard-00001.h5", "r+", locking=False) as file:
        file["res_hot"][0, 0, 0] ^= 1
    forge(path)
    assert newest_good(tmp_path)[0] == path
    assert "state hash" in verify(path)[0]
    shards = read_manifest(path).shards
    forge(path, shards=shards[:1])
    with pytest.raises(CheckpointError, match="shards do not make up 7 planes"):
        read_checkpoint(path)


def test_state_hash_sees_every_bit_but_not_meta(make_snapshot: Make) -> None:
    snap = make_snapshot()
    found = {state_hash(snap), state_hash(replace(snap, step=25))}
    assert state_hash(replace(snap, meta={"backend": "cuda"})) == state_hash(make_snapshot())
    for array in [*snap.arrays.values(), *snap.body.values()]:
        if array.size:
            flat = array.reshape(-1).view(np.uint8)
            flat[-1] ^= 1
            found.add(state_hash(snap))
            flat[-1] ^= 1
    swapped = snap.arrays | {"res_hot": snap.arrays["mot_hot"], "mot_hot": snap.arrays["res_hot"]}
    found.add(state_hash(replace(snap, arrays=swapped)))
    found.add(state_hash(replace(snap, body=snap.body | {"nobody": np.zeros((0, 3))})))
    found.add(state_hash(replace(snap, body=snap.body | {"pools": snap.body["pools"].view(np.int64)})))
    assert len(found) == 2 + len(snap.arrays) + len(snap.body) - 1 + 3
    with pytest.raises(ValueError, match="needs all 7 planes"):
        state_hash(part_of(snap, 1, 7))


def test_wrong_calls_are_refused_before_anything_is_written(tmp_path: Path, make_snapshot: Make) -> None:
    snap = make_snapshot()
    wide = replace(snap, arrays=snap.arrays | {"tissue": snap.arrays["tissue"].astype(np.uint16)})
    for bad in (wide, replace(snap, arrays={}), replace(snap, z1=8), replace(snap, meta={"step": 3})):
        with pytest.raises(ValueError, match="expected|not inside|names of the manifest"):
            write_checkpoint(tmp_path, bad, keep=1)
    with pytest.raises(ValueError, match="at least one"):
        write_checkpoint(tmp_path, snap, keep=0)
    with pytest.raises(ValueError, match="gather"):
        write_checkpoint(tmp_path, snap, keep=1, n_ranks=2)
    assert names(tmp_path) == []


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("after", range(6))
def test_a_full_disk_leaves_the_old_checkpoint(
    tmp_path: Path, make_snapshot: Make, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    old = write_checkpoint(tmp_path, make_snapshot(step=12), keep=1)
    calls = iter(range(100))

    def full(handle: int) -> None:
        if next(calls) >= after:
            raise FULL

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"No space left on device|cannot be made"):
        write_checkpoint(tmp_path, make_snapshot(step=24), keep=1)
    monkeypatch.undo()
    assert names(tmp_path) == ["checkpoint-00000012"]
    assert newest_good(tmp_path) == (old, [])
    assert verify(old) == []


def test_a_write_that_fails_inside_hdf5(tmp_path: Path) -> None:
    """A real limit in another process: HDF5 itself may end a process whose disk is full (hence atomic._Sink)."""
    code = f"""
import resource, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from typing import Any
from abm.backends.numpy_backend import NumpyBackend
from abm.errors import CheckpointError
from abm.io import write_checkpoint
from tests.io.conftest import make
from tests.io.shards import writers
out = Path({str(tmp_path)!r})
write_checkpoint(out, make((16, 32, 32), 12), keep=1)
for limit in range(0, 60_000, 4_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for write in writers(out, make((16, 32, 32), 24)):
        try:
            write()
        except CheckpointError as error:
            print(error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("cannot be written: File too large (EFBIG)") == len(done.stdout.splitlines()) == 15 * 5
    assert names(tmp_path) == ["checkpoint-00000012"]
    assert newest_good(tmp_path)[1] == []


def test_an_output_path_that_is_a_file(tmp_path: Path, make_snapshot: Make) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(CheckpointError, match="cannot be made: Not a directory"):
        write_checkpoint(tmp_path / "out", make_snapshot(), keep=1)
