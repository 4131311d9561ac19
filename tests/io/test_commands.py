"""merge, verify, hash and resume on the files of real runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from abm import io
from tests.io.conftest import without_rights
from tests.io.test_bad_input import SCENARIO, abm

RUN = ("run", "case.toml", "--backend", "numpy")
OFTEN = ("--set", "output.checkpoint_h=1", "--set", "output.series_h=1", "--set", "output.snapshot_h=2")


def word(*args: str) -> str:
    """Run a command that succeeds and return the last word it says."""
    done = abm(*args)
    assert done.exit_code == 0, done.output
    return done.stdout.split()[-1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps with checkpoints of the last two, snapshots and series; and its scenario."""
    folder = tmp_path_factory.mktemp("runs")
    back = Path.cwd()
    os.chdir(folder)
    try:
        Path("case.toml").write_text(SCENARIO)
        word(*RUN, "--out", "whole", *OFTEN, "--steps", "4", "--quiet")
    finally:
        os.chdir(back)
    return folder


@pytest.fixture(autouse=True)
def work(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of it as the working directory."""
    shutil.copytree(place, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")


def test_a_run_goes_on_from_a_merged_file() -> None:
    end = word("hash", "whole")
    Path("moved").mkdir()
    merged = word("merge", "whole/checkpoint-00000003", "--out", "moved/checkpoint-00000003.h5")
    assert merged == word("hash", "whole/checkpoint-00000003") == word("hash", "moved")
    shutil.copy("whole/config.toml", "moved")
    done = abm("resume", "moved", "--backend", "numpy", "--steps", "1")
    assert done.exit_code == 0, done.output
    assert "continues from checkpoint-00000003.h5" in done.stdout
    assert done.stdout.split()[-1] == end
    assert Path("moved/checkpoint-00000003.h5").exists()
    assert word("hash", "moved") == end


def test_a_finished_run_goes_on_to_a_later_day_as_if_it_had_been_planned_so() -> None:
    often = SCENARIO.replace("day = 0\n", "day = -1\n").replace("end_day = 1", "end_day = -0.75")
    Path("case.toml").write_text(f"{often}doses = 5\nevery_h = 3\n")  # the last of them after the first end
    planned = word(*RUN, "--out", "planned", "--set", "time.end_day=-0.5", "--quiet")
    short = word(*RUN, "--out", "short", "--quiet")
    assert word("resume", "short", "--backend", "numpy", "--set", "time.end_day=-0.5", "--quiet") == planned != short
    assert Path("short/config.toml").read_bytes() == Path("planned/config.toml").read_bytes()
    assert word("hash", "short/series.h5") == word("hash", "planned/series.h5")
    finished = abm("resume", "short", "--backend", "numpy")
    assert "to a later day it goes with: abm resume short --set time.end_day=" in finished.stdout


LATE_CELLS = """title = "leukaemia below one agent, engineered cells on the last day"
seed = 1
[patch]
shape = [12, 12, 12]
species = "human"
[time]
start_day = -2
end_day = 0
step_min = 240
[patient]
donor = "autologous"
disease = "all"
blast_fraction = 0.05
residual_leukaemia = true
[output]
series_h = 12
checkpoint_h = 24
[[events]]
day = 0
action = "cells"
product = "car_t"
receptor = "CAR_CD19"
cells_per_kg = 2e6
"""


def test_a_run_goes_on_to_what_stands_on_its_last_day() -> None:
    """What the schedule brings later is known from the first day: the state does not depend on the end."""
    Path("late.toml").write_text(LATE_CELLS)
    planned = word("run", "late.toml", "--out", "planned_late", "--set", "time.end_day=2", "--quiet")
    word("run", "late.toml", "--out", "late", "--quiet")
    assert word("resume", "late", "--set", "time.end_day=2", "--quiet") == planned


def test_merging_a_run_takes_its_newest_good_checkpoint() -> None:
    shard = Path("whole/checkpoint-00000004/shard-00000.h5")
    shard.write_bytes(shard.read_bytes()[:-1])
    done = abm("merge", "whole")
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("skipped checkpoint-00000004: shard-00000.h5 has ")
    assert done.stdout.startswith("whole/checkpoint-00000003.h5 step 3 state hash ")
    again = abm("merge", "whole")
    assert (again.exit_code, again.stdout) == (2, "")
    assert again.stderr.splitlines()[-1].startswith("error: whole/checkpoint-00000003.h5: already there; replace it")
    assert word("merge", "whole", "--overwrite") == done.stdout.split()[-1]
    nothing = abm("merge", "whole/series.h5")
    assert (nothing.exit_code, nothing.stderr) == (2, "error: whole/series.h5: not a merged checkpoint\n")


def test_a_run_is_replaced_with_its_merged_files() -> None:
    word("merge", "whole")
    assert abm(*RUN, "--out", "whole", "--steps", "1", "--quiet").exit_code == 2
    word(*RUN, "--out", "whole", "--steps", "1", "--quiet", "--overwrite")
    assert [path.name for path in Path("whole").glob("checkpoint-*")] == ["checkpoint-00000001"]


def test_verify_looks_at_everything() -> None:
    word("merge", "whole")
    files = [
        "whole/checkpoint-00000003",
        "whole/checkpoint-00000004",
        "whole/checkpoint-00000004.h5",
        "whole/series.h5",
        "whole/snapshot-00000002.vtkhdf",
        "whole/snapshot-00000004.vtkhdf",
    ]
    done = abm("verify", "whole")
    assert (done.exit_code, done.stdout.splitlines()) == (0, [f"{file}: good" for file in files])
    rng = np.random.default_rng(1)
    for file in files:
        path = Path(file) / "body.h5" if Path(file).is_dir() else Path(file)
        whole = path.read_bytes()
        for offset in [0, 30, 511, *rng.integers(len(whole), size=5)]:
            path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 8]) + whole[offset + 1 :])
            for target in ("whole", file):
                done = abm("verify", target)
                assert done.exit_code == 2
                bad = [line for line in done.stdout.splitlines() if not line.endswith(": good")]
                assert len(bad) == 1
                assert bad[0].startswith(f"{file}: ")
            done = abm("hash", file)
            assert done.exit_code == 2
            assert done.stderr.startswith(f"error: {file}: ")
        path.write_bytes(whole)
    assert abm("verify", "whole").exit_code == 0


def test_hash_of_every_kind_of_file() -> None:
    assert word("hash", "whole/snapshot-00000004.vtkhdf") == word("hash", "whole/checkpoint-00000004")
    assert word("hash", "whole/snapshot-00000002.vtkhdf") != word("hash", "whole/snapshot-00000004.vtkhdf")
    assert word("hash", "whole/checkpoint-00000003/shard-00000.h5") == word("hash", "whole/checkpoint-00000003")
    series = abm("hash", "whole/series.h5").stdout
    assert series.startswith("whole/series.h5 5 records up to step 4 series hash ")
    word(*RUN, "--out", "again", *OFTEN, "--set", "output.keep=1", "--steps", "4", "--quiet")
    assert word("hash", "again/series.h5") == series.split()[-1]
    word(*RUN, "--out", "other", *OFTEN, "--seed", "4", "--steps", "4", "--quiet")
    assert word("hash", "other/series.h5") != series.split()[-1]
    assert io.Series.load(Path("whole"), 3).digest() != series.split()[-1]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "damaged, or not a file of a run"),
        (b"hello\n" * 200, "damaged, or not a file of a run"),
        (b"\x89HDF\r\n\x1a\n" + bytes(2000), "carries no checksum"),
    ],
    ids=["empty", "text", "plain HDF5"],
)
def test_files_of_others(content: bytes, problem: str) -> None:
    Path("file.h5").write_bytes(content)
    done = abm("verify", "file.h5")
    assert (done.exit_code, done.stdout) == (2, f"file.h5: {problem}\n")
    done = abm("hash", "file.h5")
    assert (done.exit_code, done.stderr) == (2, f"error: file.h5: {problem}\n")


def test_paths_that_are_not_there() -> None:
    for command in ("hash", "merge"):
        done = abm(command, "nowhere")
        assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
        assert "no usable checkpoint" in done.stderr
    assert abm("verify", "nowhere").stderr == "error: nowhere: no checkpoints, series or snapshots there\n"


@pytest.mark.parametrize("merged", [False, True], ids=["folder", "merged file"])
@pytest.mark.parametrize("change", [("--seed", "4"), ("--set", "events.0.dose_mg_per_kg=1.6")], ids=["seed", "dose"])
def test_a_checkpoint_of_another_scenario_is_refused(change: tuple[str, str], merged: bool) -> None:
    word(*RUN, *change, "--out", "other", *OFTEN, "--steps", "6", "--quiet")
    if merged:
        word("merge", "other", "--out", "whole/checkpoint-00000006.h5")
    else:
        shutil.copytree("other/checkpoint-00000006", "whole/checkpoint-00000006")
    before = sorted(Path("whole").rglob("*"))
    done = abm("resume", "whole", "--backend", "numpy")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: whole/checkpoint-00000006")
    assert "config.toml changed since this checkpoint was written" in done.stderr
    assert sorted(Path("whole").rglob("*")) == before


def test_a_run_in_a_folder_that_cannot_be_written(open_folder: Path) -> None:
    run = str(shutil.copytree("whole", open_folder / "run"))
    Path(run).chmod(0o555)
    with without_rights():
        for command in (("resume", run, "--backend", "numpy"), ("merge", run)):
            done = abm(*command)
            assert done.exit_code == 1, done.output
            assert "Permission denied" in done.stderr
            assert len(done.stderr.splitlines()) == 1
        assert abm("verify", run).exit_code == 0
