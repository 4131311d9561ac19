"""One file made of a checkpoint, checkpoints of several ranks, and damage anywhere in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abm.errors import CheckpointError
from abm.io import merge, newest_good, read_checkpoint, state_hash, state_line, verdicts, verify, write_checkpoint
from abm.io.manifest import Part
from abm.state import Snapshot
from tests.io.conftest import make

PLACES = 200


def write_in_parts(out: Path, snap: Snapshot, edges: list[int]) -> Path:
    """Write a checkpoint as several ranks would, one rank after the other, rank 0 last."""
    bounds = [0, *edges, snap.shape[0]]
    parts: list[Part] = []

    def gather(part: Part) -> list[Part] | None:
        parts.append(part)
        return parts if len(parts) == len(bounds) - 1 else None

    for rank in reversed(range(len(bounds) - 1)):
        z0, z1 = bounds[rank], bounds[rank + 1]
        arrays = {name: array[z0:z1] for name, array in snap.arrays.items()}
        mine = Snapshot(snap.step, snap.shape, z0, z1, arrays, snap.body, snap.meta)
        path = write_checkpoint(out, mine, keep=3, rank=rank, n_ranks=len(bounds) - 1, gather=gather)
    return path


@settings(max_examples=15)
@given(edges=st.sets(st.integers(1, 6), max_size=4), z0=st.integers(0, 5), height=st.integers(1, 7))
def test_any_partition_reads_any_other(
    tmp_path_factory: pytest.TempPathFactory, edges: set[int], z0: int, height: int
) -> None:
    snap = make()
    path = write_in_parts(tmp_path_factory.mktemp("parts"), snap, sorted(edges))
    assert verify(path) == []
    assert state_hash(read_checkpoint(path)) == state_hash(snap)
    z1 = min(z0 + height, 7)
    part = read_checkpoint(path, z0, z1)
    np.testing.assert_array_equal(part.arrays["res_hot"], snap.arrays["res_hot"][z0:z1])


def test_a_merged_file_is_the_same_state(tmp_path: Path) -> None:
    snap = make()
    folder = write_in_parts(tmp_path, snap, [2, 3])
    file = merge(folder)
    assert file == tmp_path / "checkpoint-00000024.h5"
    assert state_hash(read_checkpoint(file)) == state_hash(snap)
    assert state_line(file).split()[-1] == state_line(folder).split()[-1] == state_hash(snap)
    assert read_checkpoint(file).meta == read_checkpoint(folder).meta
    shutil.rmtree(folder)
    assert newest_good(tmp_path) == (file, [])


def test_merging_overwrites_only_if_told(tmp_path: Path) -> None:
    folder = write_in_parts(tmp_path, make(), [4])
    file = merge(folder)
    with pytest.raises(CheckpointError, match="already there; replace it with --overwrite"):
        merge(folder)
    assert merge(folder, overwrite=True) == file
    (folder / "shard-00001.h5").unlink()
    with pytest.raises(CheckpointError, match="shard-00001.h5"):
        merge(folder, overwrite=True)
    assert verify(file) == []


def test_every_changed_byte_is_found_and_the_one_before_used(tmp_path: Path) -> None:
    older = write_in_parts(tmp_path, make(step=24), [3])
    newer = write_in_parts(tmp_path, make(step=48), [3])
    files = sorted(newer.iterdir())
    rng = np.random.default_rng(5)
    sizes = np.array([file.stat().st_size for file in files])
    for place in range(PLACES):
        file = files[place % len(files)]  # each file as often, however small
        offset = int(rng.integers(sizes[place % len(files)]))
        whole = file.read_bytes()
        changed = bytearray(whole)
        changed[offset] ^= int(rng.integers(1, 256))
        file.write_bytes(changed)
        found, skipped = newest_good(tmp_path)
        assert found == older, f"{file.name}, byte {offset}"
        assert newer.name in skipped[0]
        file.write_bytes(whole)
    assert newest_good(tmp_path) == (newer, [])


def test_every_changed_byte_of_a_merged_file_is_found(tmp_path: Path) -> None:
    file = merge(write_in_parts(tmp_path / "run", make(), [3]), tmp_path / "checkpoint-00000024.h5")
    whole = file.read_bytes()
    rng = np.random.default_rng(6)
    for _ in range(PLACES // 4):
        offset = int(rng.integers(len(whole)))
        changed = bytearray(whole)
        changed[offset] ^= int(rng.integers(1, 256))
        file.write_bytes(changed)
        assert dict(verdicts(file))[file], f"byte {offset}"
        with pytest.raises(CheckpointError):
            read_checkpoint(file)


@pytest.mark.parametrize("strange", ["another seed", "missing"])
def test_shards_that_do_not_belong_are_refused(
    tmp_path: Path, make_snapshot: Callable[..., Snapshot], strange: str
) -> None:
    path = write_in_parts(tmp_path / "one", make_snapshot(seed=1), [3])
    other = write_in_parts(tmp_path / "two", make_snapshot(seed=2), [3])
    if strange == "missing":
        (path / "shard-00001.h5").unlink()
    else:
        shutil.copy(other / "shard-00001.h5", path / "shard-00001.h5")
    with pytest.raises(CheckpointError, match="shard-00001.h5"):
        read_checkpoint(path)
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        newest_good(tmp_path / "one")
