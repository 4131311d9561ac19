"""The real program, killed with SIGKILL at any moment and resumed, ends in the state of an undisturbed run."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest

from abm import io
from tests.conftest import find_backend
from tests.tiny import tiny_config

ROOT = Path(__file__).resolve().parents[2]
#: Deaths of each experiment; every one costs the start of a process.
DEATHS = 5
#: No single wait may take longer, s.
PATIENCE_S = 60.0
BACKENDS = [name for name in ("host", "numpy") if find_backend(name)[0] is not None]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny patient as ``case.toml`` and an undisturbed run of it in ``whole``."""
    folder = tmp_path_factory.mktemp("kill")
    (folder / "case.toml").write_text(tiny_config(output={"series_h": 1, "checkpoint_h": 9999}).resolved_toml())
    with start(folder, "run", "case.toml", "--out", "whole", "--backend", BACKENDS[0]) as process:
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    return folder


def start(folder: Path, *args: str) -> subprocess.Popen[str]:
    """Start ``abm`` in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "abm", *args]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def steps(out: Path) -> set[int]:
    """Return the steps of the checkpoints that are whole."""
    return {int(path.parent.name.removeprefix("checkpoint-")) for path in out.glob("checkpoint-*/manifest.json")}


def torn(out: Path) -> bool:
    """Whether a checkpoint or the series is half written at this moment."""
    folders = [path for path in out.glob("checkpoint-*") if not (path / "manifest.json").exists()]
    return bool(folders) or any(out.glob("*.h5.*.tmp"))


def kill(process: subprocess.Popen[str], moment: Callable[[], bool]) -> bool:
    """Kill ``process`` at the first ``moment``, which is looked for while it stands still; return whether it died."""
    until = time.monotonic() + PATIENCE_S
    while process.poll() is None:
        assert time.monotonic() < until, "the moment to kill the process did not come"
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if moment():
            process.kill()
        process.send_signal(signal.SIGCONT)
        time.sleep(0.001)
    return process.returncode == -signal.SIGKILL


def killed_and_resumed(folder: Path, name: str, moment: Callable[[int, int, float], bool]) -> tuple[str, int]:
    """Run and resume ``case.toml`` on alternating backends, killing ``DEATHS`` times; return all output and deaths.

    ``moment(death, first, seconds)`` says whether to kill now, ``seconds`` after the first checkpoint that is newer
    than ``first``.
    """
    out, deaths, text = folder / name, 0, ""
    cadence = ["--set", "output.checkpoint_h=1"]
    command = ["run", "case.toml", "--out", name, *cadence]
    for backend in cycle(BACKENDS):
        first = max(steps(out), default=0)
        began: list[float] = []

        def now(death: int = deaths, first: int = first, began: list[float] = began) -> bool:
            if not began and max(steps(out), default=0) > first:
                began.append(time.monotonic())
            return moment(death, first, time.monotonic() - began[0] if began else -1.0)

        with start(folder, *command, "--backend", backend) as process:
            died = deaths < DEATHS and kill(process, now)
            output, _ = process.communicate(timeout=PATIENCE_S)
        text += output
        if not died:
            assert process.returncode == 0, output
            return text, deaths
        deaths += 1
        command = ["resume", name, *cadence]
    raise AssertionError


def check_same(folder: Path, name: str, text: str) -> None:
    """Assert that a run ended as ``whole`` did: state, curves and files."""
    whole, _ = io.newest_good(folder / "whole")
    path, skipped = io.newest_good(folder / name)
    assert skipped == []
    assert io.verify(path) == []
    assert path.name == whole.name
    assert io.read_manifest(path).state_hash == io.read_manifest(whole).state_hash == text.split()[-1]
    series = [list(io.Series.load(folder / run, sys.maxsize).records()) for run in ("whole", name)]
    assert [(r.step, r.day, r.values) for r in series[0]] == [(r.step, r.day, r.values) for r in series[1]]
    assert all((a.counts == b.counts).all() for a, b in zip(*series, strict=True))
    assert not list((folder / name).rglob("*.tmp"))


def test_killed_at_random_times(workplace: Path) -> None:
    rng = random.Random(4)
    delays = [-1.0] + [0.3 * rng.random() for _ in range(DEATHS)]  # the first dies before its first checkpoint

    def moment(death: int, first: int, seconds: float) -> bool:
        if death == 0:
            return (workplace / "random" / "config.toml").exists()
        return seconds >= delays[death]

    text, deaths = killed_and_resumed(workplace, "random", moment)
    assert deaths >= 3
    check_same(workplace, "random", text)


def test_killed_in_the_middle_of_writing(workplace: Path) -> None:
    out = workplace / "writing"

    def moment(death: int, first: int, seconds: float) -> bool:
        # the first dies while its very first checkpoint is written: there is nothing older to continue from
        return torn(out) if death == 0 else seconds >= 0 and torn(out)

    text, deaths = killed_and_resumed(workplace, "writing", moment)
    assert deaths == DEATHS
    assert re.search(r"skipped checkpoint-\d+: not a whole checkpoint", text)
    check_same(workplace, "writing", text)
