"""The real program, killed with SIGKILL and resumed again and again, ends in the state of an undisturbed run."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import pytest

from abm import io
from tests.conftest import find_backend
from tests.tiny import tiny_config

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = [name for name in ("host", "numpy") if find_backend(name)[0] is not None]
#: No single wait may take longer, s.
PATIENCE_S = 60.0
#: The program, dying when it is about to give a file its final name for the n-th time.
DEADLY = """
import os, runpy, signal, sys
name, count = sys.argv.pop(1), int(sys.argv.pop(1))
real, seen = os.replace, []
def replace(temp, path):
    seen.extend([path] * (path.name == name))
    if len(seen) == count:
        os.kill(os.getpid(), signal.SIGKILL)
    real(temp, path)
os.replace = replace
runpy.run_module("abm", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny patient as ``case.toml`` and an undisturbed run of it in ``whole``."""
    folder = tmp_path_factory.mktemp("kill")
    (folder / "case.toml").write_text(tiny_config(output={"series_h": 1, "checkpoint_h": 9999}).resolved_toml())
    with start(folder, ["-m", "abm", "run", "case.toml", "--out", "whole", "--backend", BACKENDS[0]]) as process:
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    return folder


def start(folder: Path, command: Sequence[str]) -> subprocess.Popen[str]:
    """Start Python in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def newest(out: Path) -> int:
    """Return the step of the newest checkpoint that is whole, 0 if there is none."""
    whole = out.glob("checkpoint-*/manifest.json")
    return max((int(path.parent.name.removeprefix("checkpoint-")) for path in whole), default=0)


def finish(folder: Path, name: str, backend: str) -> str:
    """Resume to the end; return the output."""
    command = ["-m", "abm", "resume", name, "--backend", backend, "--set", "output.checkpoint_h=24"]
    with start(folder, command) as process:
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    return output


def check_same(folder: Path, name: str, output: str) -> None:
    """Assert that a run ended as ``whole`` did: state, curves and files."""
    whole, _ = io.newest_good(folder / "whole")
    path, skipped = io.newest_good(folder / name)
    assert skipped == []
    assert io.verify(path) == []
    assert path.name == whole.name
    assert io.read_manifest(path).state_hash == io.read_manifest(whole).state_hash == output.split()[-1]
    one, other = (list(io.Series.load(folder / run, sys.maxsize).records()) for run in ("whole", name))
    assert [(r.step, r.day, r.values) for r in one] == [(r.step, r.day, r.values) for r in other]
    assert all((a.counts == b.counts).all() for a, b in zip(one, other, strict=True))
    assert not list((folder / name).rglob("*.tmp"))


def test_killed_at_random_times(workplace: Path) -> None:
    rng = random.Random(4)
    out, deaths = workplace / "random", 0
    command, backends = ["run", "case.toml", "--out", "random"], cycle(BACKENDS)
    for attempt in range(5):
        before = newest(out)
        options = ["--backend", next(backends), "--set", "output.checkpoint_h=7"]
        with start(workplace, ["-m", "abm", *command, *options]) as process:
            until = time.monotonic() + PATIENCE_S
            # the first dies before it has written a checkpoint, the others some time after they have
            while process.poll() is None and not (newest(out) > before if attempt else (out / "run.log").exists()):
                assert time.monotonic() < until
                time.sleep(0.005)
            time.sleep(0.15 * rng.random() * bool(attempt))
            process.kill()
            output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode in (-signal.SIGKILL, 0), output
        deaths += process.returncode != 0
        command = ["resume", "random"]
    assert deaths >= 2  # a fast machine may reach the end between two deaths
    check_same(workplace, "random", finish(workplace, "random", next(backends)))


def test_killed_in_the_middle_of_writing(workplace: Path) -> None:
    """With the files before this one whole, this one under a temporary name, and those after it missing."""
    out, said = workplace / "writing", []
    command, backends = ["run", "case.toml", "--out", "writing"], cycle(BACKENDS)
    # The first dies while there is no older checkpoint to continue from.
    for name, count in (("body.h5", 1), ("shard-00000.h5", 2), ("body.h5", 2), ("manifest.json", 2), ("series.h5", 2)):
        options = ["--backend", next(backends), "--set", "output.checkpoint_h=5"]
        with start(workplace, ["-c", DEADLY, name, str(count), *command, *options]) as process:
            output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == -signal.SIGKILL, output
        assert [path.name for path in out.rglob(f"{name}.*.tmp")], "nothing half written"
        said += re.findall(r"skipped (checkpoint-\d+): not a whole checkpoint", output)
        command = ["resume", "writing"]
    assert said == ["checkpoint-00000010", "checkpoint-00000015", "checkpoint-00000020"]
    check_same(workplace, "writing", finish(workplace, "writing", next(backends)))
