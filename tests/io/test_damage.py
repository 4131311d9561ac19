"""Damage anywhere in a checkpoint is found; a disk or folder that cannot be written leaves the last one as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abm.errors import CheckpointError
from abm.io import (
    atomic,
    holds_checkpoint,
    newest_good,
    read_checkpoint,
    read_manifest,
    state_hash,
    verify,
    write_checkpoint,
)
from abm.io.hash import join, plane_digests
from abm.io.manifest import Part
from abm.state import Snapshot, checkpoint_fields
from tests.io.conftest import make, without_rights
from tests.io.shards import names, part_of, write_shards, writers

Make = Callable[..., Snapshot]
PLACES = 200


def assert_found(older: Path, newer: Path, file: Path, offset: int, flip: int) -> None:
    """Change one byte and assert that everything that reads notices, and that the older checkpoint is used."""
    whole = file.read_bytes()
    file.write_bytes(whole[:offset] + bytes([whole[offset] ^ flip]) + whole[offset + 1 :])
    where = f"{file.name}, byte {offset} ^ {flip}"
    try:
        found, said = newest_good(newer.parent)
        assert found == older, where
        assert len(said) == 1, where
        assert said[0].startswith(f"skipped {newer.name}: {file.name}"), where
        assert verify(newer), where
        with pytest.raises(CheckpointError, match=file.name):
            read_checkpoint(newer)
    finally:
        file.write_bytes(whole)


def attribute_places(shard: Path) -> list[int]:
    """Return the place of a byte in the text of each attribute that explains a field."""
    content = shard.read_bytes()
    places = [content.index(f.doc.encode()) + len(f.doc) // 2 for f in checkpoint_fields()]
    return [*places, *(content.index(name) for name in (b"format_version", b"z0\0", b"z1\0", b"step\0"))]


def test_a_changed_byte_anywhere_is_found_and_the_one_before_is_used(tmp_path: Path) -> None:
    older = write_shards(tmp_path, make(step=24), (0, 3, 7))
    newer = write_shards(tmp_path, make(step=48), (0, 3, 7))
    rng = np.random.default_rng(5)
    files = sorted(newer.iterdir())
    assert [file.name for file in files] == ["body.h5", "manifest.json", "shard-00000.h5", "shard-00001.h5"]
    places = [(file, int(rng.integers(file.stat().st_size))) for file in files for _ in range(PLACES // len(files))]
    places += [(file, offset) for file in files[2:] for offset in attribute_places(file)]
    for file, offset in places:
        assert_found(older, newer, file, offset, int(rng.integers(1, 256)))
    assert newest_good(tmp_path) == (newer, [])
    assert verify(newer) == []


@pytest.mark.slow
def test_every_single_byte_counts(tmp_path: Path) -> None:
    older = write_shards(tmp_path, make((2, 3, 3), 24), (0, 1, 2))
    newer = write_shards(tmp_path, make((2, 3, 3), 48), (0, 1, 2))
    for file in sorted(newer.iterdir()):
        whole = file.read_bytes()
        for offset, byte in enumerate(whole):
            file.write_bytes(whole[:offset] + bytes([byte ^ 1 << offset % 8]) + whole[offset + 1 :])
            assert newest_good(tmp_path)[0] == older, f"{file.name}, byte {offset}"
        file.write_bytes(whole)
    assert newest_good(tmp_path) == (newer, [])


@pytest.mark.parametrize("name", ["shard-00000.h5", "shard-00001.h5", "body.h5", "manifest.json"])
@pytest.mark.parametrize("strange", ["missing", "of another seed", "of another step", "a folder"])
def test_a_file_that_does_not_belong_is_found(tmp_path: Path, make_snapshot: Make, strange: str, name: str) -> None:
    older = write_shards(tmp_path / "run", make_snapshot(step=24), (0, 3, 7))
    path = write_shards(tmp_path / "run", make_snapshot(step=48), (0, 3, 7))
    other = write_shards(tmp_path / "other", make_snapshot(step=48, seed=2), (0, 3, 7))
    (path / name).unlink()
    if strange == "a folder":
        (path / name).mkdir()
    elif strange != "missing":
        shutil.copy((other if "seed" in strange else older) / name, path / name)
    found, said = newest_good(tmp_path / "run")
    assert found == older
    # A strange manifest does not fit the other files; any other file does not fit the manifest.
    assert said[0].startswith("skipped checkpoint-00000048: ")
    assert name in said[0] or name == "manifest.json"
    assert verify(path)
    with pytest.raises(CheckpointError):
        read_checkpoint(path)


def test_nothing_good_is_left(tmp_path: Path, make_snapshot: Make) -> None:
    assert not holds_checkpoint(tmp_path)
    written = [write_checkpoint(tmp_path, make_snapshot(step=step), keep=2) for step in (24, 48)]
    for folder in written:
        (folder / "body.h5").write_bytes(b"")
    assert holds_checkpoint(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        newest_good(tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{tmp_path}: no usable checkpoint"
    assert [line.split(":")[0] for line in lines[1:]] == [f"skipped checkpoint-000000{step}" for step in (48, 24)]


# ------------------------------------------------------------------------------------------ ranks


@st.composite
def partitions(draw: st.DrawFn, nz: int = 7) -> list[int]:
    """Edges of slabs of any height."""
    return [0, *sorted(draw(st.sets(st.integers(1, nz - 1)))), nz]


@settings(max_examples=25, deadline=None)
@given(written=partitions(), read=partitions())
def test_what_any_ranks_wrote_any_others_read(written: list[int], read: list[int]) -> None:
    snap = make()
    with tempfile.TemporaryDirectory() as folder:
        path = write_shards(Path(folder), snap, written)
        assert read_manifest(path).state_hash == state_hash(snap)
        assert [(s.z0, s.z1) for s in read_manifest(path).shards] == list(zip(written[:-1], written[1:], strict=True))
        parts = [read_checkpoint(path, z0, z1) for z0, z1 in zip(read[:-1], read[1:], strict=True)]
        assert join(parts[0], [digest for part in parts for digest in plane_digests(part)]) == state_hash(snap)
        assert all(part.meta == snap.meta for part in parts)
        again = write_shards(Path(folder) / "again", snap, read)
        assert read_manifest(again).state_hash == state_hash(snap)
        assert verify(again) == verify(path) == []


@pytest.mark.parametrize("unlucky", [0, 1, 2])
def test_a_rank_that_cannot_write_makes_no_other_wait(
    tmp_path: Path, make_snapshot: Make, monkeypatch: pytest.MonkeyPatch, unlucky: int
) -> None:
    old = write_shards(tmp_path, make_snapshot(step=12), (0, 2, 3, 7))
    replace_file = os.replace

    def full(source: Path, target: Path) -> None:
        if target.name == f"shard-{unlucky:05d}.h5":
            raise OSError(28, "No space left on device")
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", full)
    snap, parts, failed = make_snapshot(step=24), [], []

    def gather(part: Part) -> list[Part] | None:
        parts.append(part)
        return parts if len(parts) == 3 else None

    for rank, (z0, z1) in reversed(list(enumerate([(0, 2), (2, 3), (3, 7)]))):
        assert names(tmp_path) == [old.name, *(["checkpoint-00000024"] if parts else [])]  # nobody's folder vanishes
        try:
            write_checkpoint(tmp_path, part_of(snap, z0, z1), keep=1, rank=rank, n_ranks=3, gather=gather)
        except CheckpointError as error:
            failed.append((rank, f"shard-{unlucky:05d}.h5: cannot be written: No space left on device" in str(error)))
    assert len(parts) == 3  # all ranks came to the meeting
    assert failed == [(rank, True) for rank in sorted({unlucky, 0}, reverse=True)]
    assert names(tmp_path) == [old.name]
    assert newest_good(tmp_path) == (old, [])


def test_the_last_ones_are_kept_and_what_killed_ranks_left_is_swept(tmp_path: Path, make_snapshot: Make) -> None:
    for step in (12, 24, 36):
        path = write_shards(tmp_path, make_snapshot(step=step), (0, 3, 7), keep=2)
    assert names(tmp_path) == ["checkpoint-00000024", "checkpoint-00000036"]
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    host, gone, alive = os.uname().nodename, int(dead.stdout), os.getppid()
    torn = tmp_path / "checkpoint-00000048"
    torn.mkdir()
    for folder in (path, torn, tmp_path):
        for pid in (gone, alive):
            (folder / f"shard-00001.h5.{host}-{pid}.tmp").write_bytes(b"half")
    assert newest_good(tmp_path)[0] == path
    newest = write_shards(tmp_path, make_snapshot(step=60), (0, 3, 7), keep=2)
    live = f"shard-00001.h5.{host}-{alive}.tmp"
    assert names(tmp_path) == [path.name, newest.name, live]  # the torn one is gone
    assert live in names(path)
    assert len(names(path)) == 5
    assert newest_good(tmp_path) == (newest, [])


# ------------------------------------------------------------------------------------------ disks


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Mount a disk of its own for the block."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a real full disk: only root can mount one (a limit of the file size is tested elsewhere)")
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a real full disk: {done.stderr.strip()} (a limit of the file size is tested elsewhere)")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is of Linux")
def test_a_disk_that_is_really_full_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    shape, failures = (16, 32, 32), 0
    with small_disk(tmp_path, 4):
        old = write_checkpoint(tmp_path, make(shape, 12), keep=1)
        before = names(tmp_path)
        for free in range(0, 80_000, 10_000):
            room = shutil.disk_usage(tmp_path).free
            (tmp_path / "filler").write_bytes(b"x" * (room - free))
            for write in writers(tmp_path, make(shape, 24)):
                with pytest.raises(CheckpointError, match=r"No space left on device") as caught:
                    write()
                assert caught.value.exit_code == 1
                assert names(tmp_path) == sorted([*before, "filler"])
                failures += 1
            assert newest_good(tmp_path) == (old, [])
            assert verify(old) == []
            (tmp_path / "filler").unlink()
        new = write_checkpoint(tmp_path, make(shape, 24), keep=1)
        assert newest_good(tmp_path) == (new, [])
    assert failures == 8 * 5


def test_a_folder_without_permission(open_folder: Path, make_snapshot: Make) -> None:
    old = write_checkpoint(open_folder, make_snapshot((16, 8, 8), 12), keep=1)
    open_folder.chmod(0o555)
    with without_rights():
        for write in writers(open_folder, make_snapshot((16, 8, 8), 24)):
            with pytest.raises(CheckpointError, match=r"cannot be (made|written): Permission denied"):
                write()
        assert newest_good(open_folder) == (old, [])
    assert names(open_folder) == [old.name]
    (old / "body.h5").chmod(0)
    with without_rights(), pytest.raises(CheckpointError, match=r"body\.h5: Permission denied"):
        read_checkpoint(old)


def test_negative_zero_comes_back_as_it_was(tmp_path: Path, make_snapshot: Make) -> None:
    """A block of zeros has a short cut when it is written; a block of negative zeros is not one."""
    snap = make_snapshot()
    snap.arrays["cxcl12"][:] = -0.0
    back = read_checkpoint(write_checkpoint(tmp_path, snap, keep=1)).arrays["cxcl12"]
    assert np.signbit(back).all()
    assert atomic.deflate(np.zeros((4, 4), np.float32)) != atomic.deflate(np.full((4, 4), -0.0, np.float32))


def test_two_layouts_of_one_step_never_mix(
    tmp_path: Path, make_snapshot: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the same step is written again by another number of ranks: torn, and known to be."""
    old = write_shards(tmp_path, make_snapshot(step=12), (0, 7))
    path = write_shards(tmp_path, make_snapshot(step=24), (0, 3, 7))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("abm.io.checkpoint._complete", killed)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(tmp_path, make_snapshot(step=24), keep=2)
    monkeypatch.undo()
    assert newest_good(tmp_path)[0] == old
    assert "shard-00000.h5" in verify(path)[0]
    write_checkpoint(tmp_path, make_snapshot(step=24), keep=2)
    assert newest_good(tmp_path) == (path, [])
