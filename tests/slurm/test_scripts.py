"""The files of ``slurm/`` by themselves; needs no SLURM."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import absence, shellcheck
from tests.slurm.conftest import ROOT

SCRIPTS = sorted([*(ROOT / "slurm").glob("*.sbatch"), *(ROOT / "slurm").glob("*.sh")])


def body(name: str) -> str:
    """Return what follows the directives of a script."""
    return (ROOT / "slurm" / f"{name}.sbatch").read_text(encoding="utf-8").rpartition("#SBATCH")[2].partition("\n")[2]


def test_there_are_scripts() -> None:
    assert [path.name for path in SCRIPTS] == [
        "array.sbatch", "gpu.sbatch", "requeue.sbatch", "run.sbatch", "site.example.sh",
    ]  # fmt: skip


@pytest.mark.skipif(bool(absence("shellcheck")), reason="shell scripts are NOT checked: no shellcheck")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(path: Path) -> None:
    done = subprocess.run([shellcheck(), str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_read_it(path: Path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_signal_can_be_lost() -> None:
    """A trap that is due while bash 5.2 reads the output of ``$( )`` fails, and the warning is gone."""
    code = [line.partition("#")[0] for line in body("requeue").splitlines()]
    assert any(line.startswith("trap ") for line in code)
    assert not [line for line in code if re.search(r"\$\((?!\()|`", line)]


def test_run_and_gpu_differ_by_what_they_ask_for() -> None:
    differ = re.compile(r"^BACKEND=.*$", re.MULTILINE)
    assert differ.sub("", body("gpu")) == differ.sub("", body("run"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_lines_are_short(path: Path) -> None:
    assert max(len(line) for line in path.read_text(encoding="utf-8").splitlines()) <= 120


def test_the_readme_knows_every_file() -> None:
    text = (ROOT / "slurm" / "README.md").read_text(encoding="utf-8")
    assert not [path.name for path in SCRIPTS if path.name not in text]
