"""One file made of a checkpoint: the same state, readable by anybody, found if damaged, good to continue from."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from abm.errors import CheckpointError
from abm.io import (
    atomic,
    merge,
    merged,
    newest_good,
    read_checkpoint,
    read_manifest,
    reader,
    state_hash,
    state_line,
    verdicts,
    verify,
    write_checkpoint,
)
from abm.io.manifest import FileEntry
from abm.state import Snapshot, checkpoint_fields
from tests.io.shards import assert_same, names, part_of, write_shards

Make = Callable[..., Snapshot]
PLACES = 200


@pytest.fixture(params=[1 << 26, 1], ids=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of two planes, and blocks of all planes or of one chunk each; seven planes leave a rest."""
    monkeypatch.setattr(reader, "_BLOCK_BYTES", request.param)
    monkeypatch.setattr(atomic, "CHUNK_BYTES", 2 * 6 * 5 * 4)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("edges", [(0, 7), (0, 2, 7), (0, 3, 4, 7)], ids=lambda e: f"{len(e) - 1} shards")
def test_it_is_the_same_state(tmp_path: Path, make_snapshot: Make, edges: tuple[int, ...]) -> None:
    snap = make_snapshot()
    folder = write_shards(tmp_path, snap, edges)
    file = merge(folder)
    assert file == tmp_path / "checkpoint-00000024.h5"
    assert names(tmp_path) == ["checkpoint-00000024", "checkpoint-00000024.h5"]
    assert_same(read_checkpoint(file), snap)
    assert read_manifest(file).state_hash == state_hash(snap)
    assert state_line(file) == f"{file} step 24 state hash {state_hash(snap)}"
    assert verify(file) == verify(folder) == []
    for z0 in range(7):
        for z1 in range(z0 + 1, 8):
            assert_same(read_checkpoint(file, z0, z1), part_of(snap, z0, z1))
    with pytest.raises(ValueError, match="not inside the lattice"):
        read_checkpoint(file, 3, 8)


@pytest.mark.usefixtures("blocks")
def test_anybody_can_read_it(tmp_path: Path, make_snapshot: Make) -> None:
    snap = make_snapshot()
    snap.meta["config"] = "x" * 70_000  # more than an attribute holds
    with h5py.File(merge(write_shards(tmp_path, snap, (0, 3, 7))), locking=False) as file:
        assert set(file) == {f.name for f in checkpoint_fields()} | {"body", "provenance"}
        for f in checkpoint_fields():
            np.testing.assert_array_equal(file[f.name][()], snap.arrays[f.name], strict=True)
            assert (file[f.name].compression, file[f.name].chunks) == ("gzip", (2, 6, 5))
            assert (file[f.name].attrs["unit"], file[f.name].attrs["doc"]) == (f.unit, f.doc)
        assert file["body/blood/neutrophils"][()] == snap.body["blood/neutrophils"]
        assert file["provenance/config"].asstr()[()] == snap.meta["config"]
        assert (int(file.attrs["step"]), file.attrs["shape"].tolist()) == (24, [7, 6, 5])
        assert int(file.attrs["seed"]) == 2**64 - 1
        assert {name: file.attrs[name] for name in ("kernel_digest", "backend")} == {
            "kernel_digest": "e2",
            "backend": "numpy",
        }


def test_only_some_planes_are_held_at_a_time(
    tmp_path: Path, make_snapshot: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    snap = make_snapshot((96, 48, 48))
    folder = write_shards(tmp_path, snap, (0, 40, 96))
    size = sum(array.nbytes for array in snap.arrays.values())
    monkeypatch.setattr(reader, "_BLOCK_BYTES", size // 16)
    monkeypatch.setattr(atomic, "CHUNK_BYTES", 2 * 48 * 48 * 4)
    for work in (lambda: merge(folder), lambda: verify(folder), lambda: verify(tmp_path / "checkpoint-00000024.h5")):
        tracemalloc.start()
        work()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < size / 3, f"{peak} bytes for a state of {size}"


def test_a_file_that_is_there_is_replaced_only_if_told(tmp_path: Path, make_snapshot: Make) -> None:
    folder = write_shards(tmp_path, make_snapshot(), (0, 3, 7))
    file = merge(folder)
    whole = file.read_bytes()
    with pytest.raises(CheckpointError, match="already there; replace it with --overwrite"):
        merge(folder)
    assert merge(folder, overwrite=True) == file
    assert merge(file, overwrite=True) == file  # of itself
    assert file.read_bytes() == whole
    other = merge(file, tmp_path / "other.h5")
    assert_same(read_checkpoint(other), make_snapshot())
    for bad in (tmp_path, tmp_path / "nowhere" / "x.h5"):
        with pytest.raises(CheckpointError, match="cannot be written: (Is a directory|No such file)"):
            merge(folder, bad, overwrite=True)
    assert names(tmp_path) == ["checkpoint-00000024", "checkpoint-00000024.h5", "other.h5"]


def test_nothing_is_made_of_a_damaged_checkpoint(tmp_path: Path, make_snapshot: Make) -> None:
    snap = make_snapshot()
    folder = write_shards(tmp_path, snap, (0, 3, 7))
    manifest = read_manifest(folder)
    with h5py.File(folder / "shard-00001.h5", "r+", locking=False) as shard:
        shard["res_hot"][0, 0, 0] ^= 1
    with pytest.raises(CheckpointError, match=r"shard-00001\.h5 (does not match its checksum|has \d+ bytes)"):
        merge(folder)
    # Even if somebody makes the checksums fit.
    shards = tuple(replace(s, file=FileEntry.of(folder / s.file.name)) for s in manifest.shards)
    (folder / "manifest.json").write_bytes(replace(manifest, shards=shards).render())
    with pytest.raises(CheckpointError, match=r"state hash \w+ where manifest\.json says"):
        merge(folder)
    (folder / "body.h5").unlink()
    with pytest.raises(CheckpointError, match=r"body\.h5: No such file"):
        merge(folder)
    assert names(tmp_path) == [folder.name]


def test_it_counts_as_a_checkpoint_of_the_run(tmp_path: Path, make_snapshot: Make) -> None:
    first = write_checkpoint(tmp_path, make_snapshot(step=12), keep=1)
    file = merge(first)
    assert newest_good(tmp_path) == (first, [])  # of the same step, the folder
    second = write_checkpoint(tmp_path, make_snapshot(step=24), keep=1)
    assert names(tmp_path) == [file.name, second.name]  # it is never dropped
    assert newest_good(tmp_path) == (second, [])
    (second / "body.h5").unlink()
    found, said = newest_good(tmp_path)
    assert (found, [text.split(":")[0] for text in said]) == (file, ["skipped checkpoint-00000024"])
    later = merge(
        write_checkpoint(tmp_path / "other", make_snapshot(step=36), keep=1), tmp_path / "checkpoint-00000036.h5"
    )
    assert newest_good(tmp_path) == (later, [])
    later.write_bytes(later.read_bytes()[:-1])
    found, said = newest_good(tmp_path)
    assert found == file
    assert said[0] == "skipped checkpoint-00000036.h5: damaged: it does not match its checksum"
    shutil.rmtree(second)
    assert newest_good(tmp_path)[0] == file


def test_a_changed_byte_anywhere_is_found(tmp_path: Path, make_snapshot: Make) -> None:
    file = merge(write_shards(tmp_path, make_snapshot(), (0, 3, 7)))
    older = write_checkpoint(tmp_path, make_snapshot(step=12), keep=9)
    shutil.rmtree(tmp_path / "checkpoint-00000024")
    whole = file.read_bytes()
    rng = np.random.default_rng(6)
    texts = [b"rules_hash", b"title", b"state_hash", b"distance to the nearest", b"sha256 after"]
    places = [*rng.integers(len(whole), size=PLACES), *range(0, 96), *(whole.index(text) + 3 for text in texts)]
    bad = [whole[:i] + bytes([whole[i] ^ int(rng.integers(1, 256))]) + whole[i + 1 :] for i in places]
    bad += [whole[:n] for n in (0, 1, 511, 512, len(whole) // 2, len(whole) - 1)] + [whole + b"\n"]
    for content in bad:
        file.write_bytes(content)
        found, said = newest_good(tmp_path)
        assert found == older
        assert said[0].startswith("skipped checkpoint-00000024.h5: ")
        assert dict(verdicts(file))[file]
        assert verify(file)
        for use in (read_checkpoint, state_line, merge):
            with pytest.raises(CheckpointError, match=r"checkpoint-00000024\.h5"):
                use(file)
    file.write_bytes(whole)
    assert newest_good(tmp_path) == (file, [])


def test_versions(tmp_path: Path, make_snapshot: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    snap = make_snapshot()
    folder = write_shards(tmp_path, snap, (0, 3, 7))

    def to_next(old: Snapshot) -> Snapshot:
        old.arrays["distance"] = old.arrays["distance"] ^ np.uint8(1)
        old.body["tanks"] = old.body.pop("pools")
        return old

    old_file = merge(folder, tmp_path / "old.h5")
    now = reader.FORMAT_VERSION
    for module in (reader, merged):
        monkeypatch.setattr(module, "FORMAT_VERSION", now + 1)
    monkeypatch.setattr(reader, "UPGRADERS", {now: to_next})
    monkeypatch.setattr(reader, "_BLOCK_BYTES", 1)
    expected = to_next(make_snapshot())
    assert_same(read_checkpoint(old_file), expected)
    assert verify(old_file) == []
    for source in (folder, old_file):
        new = merge(source, tmp_path / "new.h5", overwrite=True)
        assert read_manifest(new).format_version == now + 1
        assert read_manifest(new).state_hash == state_hash(expected)
        assert_same(read_checkpoint(new), expected)
        assert verify(new) == []
    monkeypatch.undo()
    with pytest.raises(
        CheckpointError, match=rf"new\.h5: format version {now + 1} is newer than {now}, .*: update abm"
    ):
        read_checkpoint(new)
    assert verify(new) == [f"format version {now + 1} is newer than {now}, the last one known here: update abm"]


def test_what_is_no_merged_checkpoint(tmp_path: Path, make_snapshot: Make) -> None:
    folder = write_checkpoint(tmp_path, make_snapshot(), keep=1)
    (tmp_path / "text.h5").write_text("no HDF5 at all")
    (tmp_path / "empty.h5").touch()
    with atomic.new_hdf5(tmp_path / "sealed.h5", sealed=True) as file:
        file["x"] = 1
    for name in ("text.h5", "empty.h5"):
        with pytest.raises(CheckpointError, match=f"{name}: damaged: it does not match its checksum"):
            merge(tmp_path / name, tmp_path / "out.h5")
    with pytest.raises(CheckpointError, match=r"sealed\.h5: not a merged checkpoint"):
        read_checkpoint(tmp_path / "sealed.h5")
    with pytest.raises(CheckpointError, match=r"shard-00000\.h5: damaged"):
        read_checkpoint(folder / "shard-00000.h5")
