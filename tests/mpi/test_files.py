"""Files that several ranks cannot write or cannot use: one message from one rank, an exit code, and no hang."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from abm import io
from abm.io.manifest import MANIFEST, Manifest
from abm.io.reader import FORMAT_VERSION
from tests.mpi.launches import abm, last_word

pytestmark = pytest.mark.mpi

SCENARIO = """
seed = 5
[patch]
shape = [15, 8, 9]
[time]
start_day = -1
end_day = 0.25
[output]
checkpoint_h = 6
snapshot_h = 15
keep = 1
"""
#: The program, whose given rank finds the disk full once the first checkpoint is written: at a named file (empty: all).
FULL = """
import errno, os, resource, sys
from abm.step import Simulation
who, name = int(sys.argv.pop(1)), sys.argv.pop(1)
advance, rename = Simulation.advance, os.replace
def full(temp, path):
    if path.name == name:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    rename(temp, path)
def fill(self):
    if self.comm.rank == who and self.step == 6 and name:
        os.replace = full
    elif self.comm.rank == who and self.step == 6:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    advance(self)
Simulation.advance = fill
from abm.cli import main
main()
"""
#: The program for a user who may not write; the effective rights stay, so that Python still finds its modules.
NOBODY = """
import os, sys
if os.geteuid() == 0:
    os.setreuid(65534, 0)
from abm.cli import main
main()
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scenario, an undisturbed run ``whole``, and ``trial`` and ``other``: two ranks, half done."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "case.toml").write_text(SCENARIO, encoding="utf-8")
    case = ["run", str(folder / "case.toml"), "--quiet", "--out"]
    last_word(abm(1, *case, str(folder / "whole")))
    last_word(abm(2, *case, str(folder / "trial"), "--steps", "7"))
    last_word(abm(2, *case, str(folder / "other"), "--steps", "7", "--seed", "6"))
    return folder


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may read: the usual one is closed to all but its owner."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def whole_hash(place: Path) -> str:
    return io.read_manifest(io.newest_good(place / "whole")[0]).state_hash


@pytest.mark.parametrize(
    ("who", "name", "reason"),
    [
        (1, "", "shard-00001.h5: cannot be written: File too large (EFBIG)"),
        (0, "series.h5", "series.h5: cannot be written: No space left on device (ENOSPC)"),
        (0, "manifest.json", "manifest.json: cannot be written: No space left on device (ENOSPC)"),
        (
            0,
            "snapshot-00000015.vtkhdf",
            "snapshot-00000015.vtkhdf: cannot be written: No space left on device (ENOSPC)",
        ),
    ],
)
def test_a_full_disk_of_one_rank(place: Path, tmp_path: Path, who: int, name: str, reason: str) -> None:
    """The innocent third rank ends too, and nobody has to be shot: all know what happened."""
    out = tmp_path / "run"
    arguments = [str(who), name, "run", str(place / "case.toml"), "--quiet", "--out", str(out)]
    done = abm(3, *arguments, program=["-c", FULL])
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {out}/")
    assert reason in line
    path, skipped = io.newest_good(out)
    assert path.name == ("checkpoint-00000012" if "snapshot" in name else "checkpoint-00000006")
    assert skipped == io.verify(path) == list(out.rglob("*.tmp")) == []
    assert last_word(abm(1, "resume", str(out), "--quiet")) == whole_hash(place)


def newer(run: Path, place: Path) -> None:
    path = run / "checkpoint-00000007" / MANIFEST
    path.write_bytes(replace(Manifest.parse(path.read_bytes()), format_version=99).render())


def of_another_scenario(run: Path, place: Path) -> None:
    shutil.copy(place / "other" / "config.toml", run)


def of_another_shape(run: Path, place: Path) -> None:
    path = run / "config.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("    15,\n", "    16,\n"), encoding="utf-8")


def mixed(run: Path, place: Path) -> None:
    shard = "checkpoint-00000007/shard-00001.h5"
    shutil.copy(place / "other" / shard, run / shard)


def without_a_shard(run: Path, place: Path) -> None:
    (run / "checkpoint-00000007/shard-00001.h5").unlink()


def unwritable(run: Path, place: Path) -> None:
    run.chmod(0o555)


NEWER = f"format version 99 is newer than {FORMAT_VERSION}, the last one known here: update abm"


@pytest.mark.parametrize(
    ("damage", "options", "messages"),
    [
        (newer, [], ["no usable checkpoint", NEWER]),
        (of_another_scenario, [], ["config.toml changed since this checkpoint was written"]),
        (of_another_shape, [], ["config.toml changed since this checkpoint was written"]),
        (of_another_shape, ["--force"], ["shape: [16, 8, 9], but ", "checkpoint-00000007 holds [15, 8, 9] sites"]),
        (mixed, [], ["no usable checkpoint", "skipped checkpoint-00000007: shard-00001.h5 "]),
        (without_a_shard, [], ["no usable checkpoint", "shard-00001.h5: No such file or directory"]),
        (unwritable, [], ["cannot be an output directory: no permission to write in "]),
    ],
)  # fmt: skip
def test_a_checkpoint_that_cannot_be_used(
    place: Path, open_folder: Path, damage: Callable[[Path, Path], None], options: list[str], messages: list[str]
) -> None:
    run = open_folder / "run"
    shutil.copytree(place / "trial", run)
    damage(run, place)
    before = contents(run)
    program = ["-c", NOBODY] if damage is unwritable else ["-m", "abm"]
    done = abm(2, "resume", str(run), *options, program=program)
    run.chmod(0o755)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == (2 if "usable" in messages[0] else 1), done.stderr
    assert all(line.startswith("error: ") for line in lines)
    assert all(message in done.stderr for message in messages), done.stderr
    assert contents(run) == before


def test_the_same_checkpoint_can_be_used_when_nothing_is_wrong_with_it(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "trial", tmp_path / "run")
    assert last_word(abm(2, "resume", str(tmp_path / "run"), "--quiet")) == whole_hash(place)


def test_more_ranks_than_the_slabs_can_hold(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    small = ["--set", "patch.shape=[8,8,9]", "--steps", "1", "--quiet", "--out", str(out)]
    last_word(abm(1, "run", str(place / "case.toml"), *small))
    done = abm(3, "resume", str(out))
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "patch.shape: expected at least 4 planes (the halo) for each of 3 ranks" in line


def contents(folder: Path) -> list[tuple[str, int]]:
    """Return the files in a folder and when they were written."""
    return sorted((str(p.relative_to(folder)), os.stat(p).st_mtime_ns) for p in folder.rglob("*") if p.is_file())
