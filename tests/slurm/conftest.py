"""One SLURM for all tests here, and the small patient its jobs run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = """
seed = 7
[patch]
shape = [19, 13, 18]
[time]
start_day = -1
end_day = 1
[patient]
disease = "aml"
blast_fraction = 0.3
"""
#: Stands for ``abm`` in the jobs: the program of this checkout. If told to, it takes its time over each step until the
#: job is started again, a rank of it dies, and each rank notes which GPUs it sees.
PROGRAM = f"""#!{sys.executable}
import os, signal, time
from pathlib import Path

pause_s, victim = float(os.environ.get("TEST_PAUSE_S", "0")), os.environ.get("TEST_VICTIM")
if (pause_s or victim) and "SLURM_RESTART_COUNT" not in os.environ:
    from abm.step import Simulation

    advance = Simulation.advance

    def slow_advance(self):
        time.sleep(pause_s)
        if self.step == 5 and os.environ.get("SLURM_PROCID") == victim:
            os.kill(os.getpid(), signal.SIGKILL)
        advance(self)

    Simulation.advance = slow_advance
if note := os.environ.get("TEST_NOTE_GPUS"):
    rank, gpus = os.environ["SLURM_PROCID"], os.environ.get("CUDA_VISIBLE_DEVICES", "none")
    Path(note, rank).write_text(os.environ["SLURMD_NODENAME"] + " " + gpus)

from abm.cli import main

main(prog_name="abm")
"""


def variables(programs: Path) -> dict[str, str]:
    """Return the environment of a job: no launcher's variables, this checkout, small patches on one thread."""
    outer = ("PMI_", "PMIX_", "OMPI_", "SLURM_", "SBATCH_", "SQUEUE_", "ABM_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    kept |= {name: value for name, value in os.environ.items() if name == "ABM_CACHE_DIR"}
    # UCX, which MPICH prefers, tells its peers of every device; a long tale now and then gets lost in SLURM's PMI2
    brief = {"MPIR_CVAR_CH4_NETMOD": "ofi"}
    return kept | brief | {"PATH": f"{programs}:{kept['PATH']}", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a program ``abm``."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "abm").write_text(PROGRAM, encoding="utf-8")
    (folder / "abm").chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def slurm(programs: Path) -> Iterator[Cluster]:
    """A running SLURM."""
    with Cluster(variables(programs)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def undisturbed(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The final hash of the small patient, from one rank without SLURM."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "case.toml").write_text(SCENARIO, encoding="utf-8")
    command = ["abm", "run", "case.toml", "--quiet", "--out", "run"]
    done = subprocess.run(
        command, env=variables(programs), cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split()[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to submit from, with the small patient in ``case.toml``."""
    (tmp_path / "case.toml").write_text(SCENARIO, encoding="utf-8")
    return tmp_path
