"""Ranks that write one checkpoint file together, where h5py is built with their MPI; elsewhere one clear line."""

from __future__ import annotations

import random
import time
from pathlib import Path

import h5py
import pytest

from abm.io import newest_good, read_manifest, verify
from abm.phases import HALO
from tests.mpi.launches import abm, kill, last_word, launch, started

pytestmark = pytest.mark.mpi
together = pytest.mark.skipif(not h5py.get_config().mpi, reason="h5py is built without MPI")

SCENARIO = f"""
seed = 5
[patch]
shape = [{3 * HALO + 1}, 12, 17]
[time]
start_day = 0
end_day = 4
[output]
checkpoint_h = 12
single_file = true
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "single.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return str(path)


def run(scenario: str, out: Path, ranks: int, *more: str) -> str:
    return last_word(abm(ranks, "run", scenario, "--quiet", "--out", str(out), *more))


@pytest.mark.skipif(h5py.get_config().mpi, reason="h5py is built with MPI")
def test_without_parallel_hdf5_it_is_one_line(scenario: str, tmp_path: Path) -> None:
    done = abm(2, "run", scenario, "--quiet", "--out", str(tmp_path / "run"))
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "single.toml:10: output.single_file: false on 2 ranks: h5py" in errors[0]
    assert "abm merge" in errors[0]
    assert not (tmp_path / "run").exists()


@together
def test_three_ranks_then_two_then_one(scenario: str, tmp_path: Path) -> None:
    undisturbed = run(scenario, tmp_path / "one", 1)
    out = tmp_path / "run"
    run(scenario, out, 3, "--steps", "30")
    path, _ = newest_good(out)
    assert path.suffix == ".h5"
    assert verify(path) == []
    assert read_manifest(path).shape[0] == 3 * HALO + 1
    last_word(abm(2, "resume", str(out), "--quiet", "--steps", "30"))
    assert last_word(abm(1, "resume", str(out), "--quiet", "--backend", "numpy")) == undisturbed
    assert len(list(out.glob("checkpoint-*"))) == 2  # the last two are kept


@together
def test_a_kill_at_any_moment_leaves_an_older_one(scenario: str, tmp_path: Path) -> None:
    undisturbed, generator = run(scenario, tmp_path / "one", 1), random.Random(3)
    out = tmp_path / "run"
    for attempt in range(8):
        verb = (
            ["resume", str(out)] if attempt else ["run", scenario, "--out", str(out), "--set", "output.checkpoint_h=1"]
        )
        with started(launch(2, *verb, "--quiet")) as process:
            end = time.monotonic() + 30
            while not (out / "heartbeat.json").exists() and time.monotonic() < end:
                time.sleep(0.01)
            time.sleep(generator.uniform(0.5, 2.5))
            kill(process.ranks()[generator.randrange(2) :])
            process.communicate(timeout=30)
    assert last_word(abm(2, "resume", str(out), "--quiet")) == undisturbed
