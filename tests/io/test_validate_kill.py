"""`abm validate` is killed while its workers simulate: they end with it, and what was finished is not done again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import absence

pytestmark = pytest.mark.skipif(bool(absence("host")), reason=absence("host") or "there is a compiler")

ROOT = Path(__file__).resolve().parents[2]
#: Experiments of a fraction of a second each (host backend), and enough of them to be killed in the middle.
ARGS = ["validate", "--only", "V6", "--jobs", "2"]


def start(out: Path, seeds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "abm", *ARGS, "--seeds", str(seeds), "--out", str(out)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finished(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "patients").glob("*.json")}


def children(pid: int) -> set[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(word) for word in text.split()}


def wait_until(true: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_killed_and_called_again(tmp_path: Path) -> None:
    process = start(tmp_path, 500)
    try:
        wait_until(lambda: len(finished(tmp_path)) >= 2, "two finished patients")
        workers = children(process.pid)
        assert len(workers) >= 2
    finally:
        process.kill()
        process.communicate()
    wait_until(lambda: not any(map(runs, workers)), "the workers to end", 30.0)
    before = finished(tmp_path)
    assert not (tmp_path / "validation.json").exists()

    again = start(tmp_path, 3)
    out, error = again.communicate(timeout=300)
    assert again.returncode == 0, error
    assert f"{min(len(before), 3)} of them already there" in error
    after = finished(tmp_path)
    assert {name: after[name] for name in before} == before, "finished patients are left alone"
    assert "V6" in out
    assert (tmp_path / "validation.json").exists()
