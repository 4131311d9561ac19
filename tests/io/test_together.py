"""A checkpoint written as one file: the form of a merged one, the last ones kept, an older one left by a failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import h5py
import pytest

from abm.comm import SerialComm
from abm.io import newest_good, obstacle, read_checkpoint, read_manifest, save, state_hash, verify
from abm.io.atomic import WriteError
from abm.io.together import _complete
from abm.state import Snapshot
from tests.io.shards import assert_same, names

Make = Callable[..., Snapshot]


def write(out: Path, snap: Snapshot, keep: int = 2) -> Path:
    return save(out, snap, keep, SerialComm(), single_file=True)


def test_it_is_the_same_state(tmp_path: Path, make_snapshot: Make) -> None:
    snap = make_snapshot()
    path = write(tmp_path, snap)
    assert names(tmp_path) == ["checkpoint-00000024.h5"]
    assert_same(read_checkpoint(path), snap)
    assert read_manifest(path).state_hash == state_hash(snap)
    assert verify(path) == []
    assert newest_good(tmp_path) == (path, [])


def test_the_last_ones_are_kept_and_folders_stay(tmp_path: Path, make_snapshot: Make) -> None:
    save(tmp_path, make_snapshot(step=6), 1, SerialComm())
    for step in (12, 24, 36):
        write(tmp_path, make_snapshot(step=step))
    assert names(tmp_path) == ["checkpoint-00000006", "checkpoint-00000024.h5", "checkpoint-00000036.h5"]


def test_a_damaged_one_is_passed_over(tmp_path: Path, make_snapshot: Make) -> None:
    older = write(tmp_path, make_snapshot(step=12))
    newer = write(tmp_path, make_snapshot(step=24))
    raw = bytearray(newer.read_bytes())
    raw[len(raw) // 2] ^= 4
    newer.write_bytes(raw)
    found, skipped = newest_good(tmp_path)
    assert found == older
    assert len(skipped) == 1
    assert "does not match its checksum" in skipped[0]


def test_a_rank_that_fails_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    temp, path = tmp_path / "x.tmp", tmp_path / "checkpoint-00000012.h5"
    temp.write_bytes(b"half")
    with pytest.raises(WriteError, match=r"checkpoint-00000012.h5: cannot be written: rank 1: no space; files written"):
        _complete(temp, path, ["", "rank 1: no space"])
    assert names(tmp_path) == []


def test_several_ranks_need_an_h5py_with_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = SerialComm()
    assert obstacle(ranks) == ""
    ranks.size = 3
    for has_mpi in (False, True):
        monkeypatch.setattr(h5py, "get_config", lambda has_mpi=has_mpi: SimpleNamespace(mpi=has_mpi))
        assert ("built without MPI" in obstacle(ranks)) is not has_mpi
