"""Several ranks give the trajectory of one, end together, and continue each other's runs."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from abm.phases import HALO
from tests.mpi.launches import abm, last_word, launch, started

pytestmark = pytest.mark.mpi

PLANES = 4 * HALO + 3  # uneven slabs on 2, 3 and 4 ranks, on 4 one of exactly the halo width
SCENARIO = f"""
seed = 7
[patch]
shape = [{PLANES}, 13, 18]
[time]
start_day = -1
end_day = 2
[patient]
disease = "aml"
blast_fraction = 0.3
donor = "haplo"
[output]
checkpoint_h = 12
[[events]]
day = -0.75
action = "tbi"
dose_gy = 4.0
fractions = 2
every_h = 6
[[events]]  # its stem cells, some of them edited, lodge two and a half days later
day = -1
action = "graft"
source = "blood"
cd34_per_kg = 2e8
cd3_per_kg = 2e9
edit = {{ locus = "TRANSGENE", vcn = 1, receptor = "TCR_TRANSGENE", switch = true }}
[[events]]
day = 1.75
action = "switch"
[[events]]
day = -0.5
action = "label"
marker = "dna"
[[events]]  # effectors that tire and PD-1 blocked; cells that show the antigen die and take the drug in
day = -0.5
action = "antibody"
drug = "nivolumab"
dose_mg_per_kg = 3
[[events]]
day = 0
action = "antibody"
drug = "gemtuzumab"
dose_mg_per_m2 = 9
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("scenario") / "ranks.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def undisturbed(scenario: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the final hash of one rank for each way the lattice can end."""
    out = tmp_path_factory.mktemp("one")
    return {
        ends: last_word(abm(1, "run", scenario, "--quiet", "--out", str(out / ends), "--set", f'patch.ends="{ends}"'))
        for ends in ("periodic", "closed")
    }


@pytest.mark.parametrize("ends", ["periodic", "closed"])
@pytest.mark.parametrize(("ranks", "backend"), [(2, "auto"), (3, "auto"), (4, "auto"), (3, "numpy")])
def test_any_number_of_ranks_gives_one_hash(
    scenario: str, undisturbed: dict[str, str], tmp_path: Path, ranks: int, backend: str, ends: str
) -> None:
    out = ["--out", str(tmp_path / "run"), "--backend", backend, "--set", f'patch.ends="{ends}"']
    assert last_word(abm(ranks, "run", scenario, "--quiet", *out)) == undisturbed[ends]


def test_closed_ends_are_another_trajectory(undisturbed: dict[str, str]) -> None:
    assert undisturbed["closed"] != undisturbed["periodic"]


def test_ranks_continue_each_other(scenario: str, undisturbed: dict[str, str], tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    last_word(abm(3, "run", scenario, "--quiet", "--out", out, "--steps", "17"))
    last_word(abm(2, "resume", out, "--quiet", "--steps", "20"))
    assert last_word(abm(1, "resume", out, "--quiet", "--backend", "numpy")) == undisturbed["periodic"]


def test_messages_given_to_mpi_as_they_are_change_nothing(
    scenario: str, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    """Without a GPU, the buffers of the device are of the host: the way there is the same."""
    done = abm(3, "run", scenario, "--quiet", "--out", str(tmp_path / "run"), ABM_GPU_AWARE_MPI="1")
    assert last_word(done) == undisturbed["periodic"]


def test_a_halo_that_is_too_short_is_noticed(scenario: str, undisturbed: dict[str, str], tmp_path: Path) -> None:
    """A test of these tests: with the nearest plane alone ranks disagree or lose cells."""
    code = (
        "import sys, abm.phases as p\n"
        "exchange = p.Phases.exchange\n"
        "p.DEPTHS = dict.fromkeys(('tissue', 'distance', 'res_hot', 'res_cold', 'cxcl12', 'inflammation'), 1)\n"
        "p.Phases.exchange = lambda self, *names, motile_depth=0: "
        "exchange(self, *names, motile_depth=min(1, motile_depth))\n"
        "from abm.cli import main\n"
        f"main(['run', {scenario!r}, '--quiet', '--out', {str(tmp_path / 'run')!r}])\n"
    )
    done = abm(3, program=["-c", code])
    assert done.returncode != 0 or done.stdout.split()[-1] != undisturbed["periodic"]


def test_a_signal_stops_all_ranks_with_a_checkpoint(scenario: str, undisturbed: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    with started(launch(2, "run", scenario, "--quiet", "--out", str(out))) as process:
        end = time.monotonic() + 30
        while not (out / "heartbeat.json").exists() and time.monotonic() < end:
            time.sleep(0.005)
        os.kill(process.ranks()[-1], signal.SIGUSR1)  # one rank is told, all stop
        process.communicate(timeout=30)
        assert process.returncode in (75, 0), "75, or the run was faster than the signal"
    assert last_word(abm(1, "resume", str(out), "--quiet")) == undisturbed["periodic"]


def test_the_summary_tells_the_shares_of_exchange_and_checkpoints(scenario: str, tmp_path: Path) -> None:
    done = abm(2, "run", scenario, "--out", str(tmp_path / "run"), "--steps", "20")
    assert done.returncode == 0, done.stderr
    found = re.search(r"halo exchange ([\d.]+)%, checkpoints ([\d.]+)% \(the highest of 2 ranks\)", done.stdout)
    assert found is not None, done.stdout
    assert all(0.0 < float(share) < 100.0 for share in found.groups())


def test_a_wall_time_limit_ends_in_a_checkpoint(scenario: str, undisturbed: dict[str, str], tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    done = abm(2, "run", scenario, "--quiet", "--out", out, "--max-walltime", "0:01")
    last_word(done, code=75)
    assert "stopped by the wall-time limit" in done.stderr
    assert last_word(abm(2, "resume", out, "--quiet")) == undisturbed["periodic"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "patch.shape=[8,9,9]"], "patch.shape: expected at least 4 planes (the halo) for each of 3 ranks"),
        (["--set", "patch.shap=[8,9,9]"], "unknown key"),
        (["--steps", "0"], "Invalid value for '--steps'"),
        (["--out", "/proc/nowhere"], "cannot be an output directory"),
    ],
)
def test_bad_input_is_one_line_on_one_rank(scenario: str, tmp_path: Path, arguments: list[str], message: str) -> None:
    out = [] if "--out" in arguments else ["--out", str(tmp_path / "run")]
    done = abm(3, "run", scenario, *out, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1
    assert not (tmp_path / "run").exists()


def test_an_error_on_one_rank_ends_all(scenario: str, tmp_path: Path) -> None:
    code = (
        "import sys, os\n"
        "from abm.step import Simulation\n"
        "advance = Simulation.advance\n"
        "def broken(self):\n"
        "    if self.comm.rank == 1 and self.step == 5:\n"
        "        raise RuntimeError('a broken rank')\n"
        "    advance(self)\n"
        "Simulation.advance = broken\n"
        "from abm.cli import main\n"
        f"main(['run', {scenario!r}, '--quiet', '--out', {str(tmp_path / 'run')!r}])\n"
    )
    done = abm(3, program=["-c", code])
    assert done.returncode != 0
    assert "a broken rank" in done.stderr


def test_a_launcher_that_mpi_does_not_know_is_an_error(scenario: str, tmp_path: Path) -> None:
    done = abm(1, "run", scenario, "--out", str(tmp_path / "run"), SLURM_STEP_NUM_TASKS="4")
    assert done.returncode == 2
    assert "launched as 4 ranks, but MPI" in done.stderr
    assert not (tmp_path / "run").exists()
