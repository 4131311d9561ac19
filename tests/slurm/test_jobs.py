"""The scripts of ``slurm/`` on a real SLURM: ranks over nodes, arrays, signals, failures, GPUs."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, until
from tests.slurm.conftest import ROOT

pytestmark = pytest.mark.slurm

QUIET = ("case.toml", "run", "--quiet")
#: Such steps that a job is met while it runs, on any machine.
SLOW = {"TEST_PAUSE_S": "0.25"}


def script(name: str) -> str:
    return str(ROOT / "slurm" / f"{name}.sbatch")


def log(folder: Path, job: str) -> str:
    return (folder / f"abm-{job}.log").read_text(encoding="utf-8")


def final_hash(folder: Path, job: str) -> str:
    """Return the hash that the last start of a job printed."""
    return re.findall(r"^state hash after step 48: (\w+)$", log(folder, job), re.MULTILINE)[-1]


@pytest.mark.mpi
def test_ranks_on_two_nodes_give_the_hash_of_one(slurm: Cluster, folder: Path, undisturbed: str) -> None:
    job = slurm.sbatch("--nodes=2", "--ntasks=4", script("run"), *QUIET, cwd=folder)
    (facts,) = slurm.finish(job)
    assert (facts["JobState"], facts["NumNodes"], facts["NumTasks"]) == ("COMPLETED", "2", "4"), log(folder, job)
    assert final_hash(folder, job) == undisturbed
    again = slurm.sbatch("--ntasks=1", script("run"), *QUIET, cwd=folder)
    (facts,) = slurm.finish(again)
    assert facts["JobState"] == "COMPLETED"
    assert "run holds a run, which is continued" in log(folder, again)
    assert final_hash(folder, again) == undisturbed


def test_arrays_of_seeds_and_of_lines(slurm: Cluster, folder: Path, undisturbed: str) -> None:
    lines = "--quiet --seed 7\n--quiet --seed 7 --set 'patch.shape=[20, 13, 18]' --set \"patch.ends='closed'\"\n"
    (folder / "lines.txt").write_text(lines, encoding="utf-8")
    seeds = slurm.sbatch("--array=7,8", script("array"), "case.toml", "seeds", cwd=folder)
    sweep = slurm.sbatch("--array=1-3", script("array"), "case.toml", "sweep", "lines.txt", cwd=folder)
    assert {facts["JobState"] for facts in slurm.finish(seeds)} == {"COMPLETED"}
    ends = {facts["ArrayTaskId"]: facts["ExitCode"] for facts in slurm.finish(sweep)}
    assert ends == {"1": "0:0", "2": "0:0", "3": "2:0"}
    assert "error: lines.txt has no line 3" in log(folder, f"{sweep}_3")
    assert final_hash(folder, f"{seeds}_7") == final_hash(folder, f"{sweep}_1") == undisturbed
    others = {final_hash(folder, f"{seeds}_8"), final_hash(folder, f"{sweep}_2")}
    assert len(others | {undisturbed}) == 3
    config = (folder / "sweep" / "2" / "config.toml").read_text(encoding="utf-8")
    assert 'ends = "closed"' in config


@pytest.mark.mpi
@pytest.mark.parametrize("moment", ["as the job starts", "while it runs"])
def test_a_warning_ends_in_a_checkpoint_and_a_new_start(
    slurm: Cluster, folder: Path, undisturbed: str, moment: str
) -> None:
    (folder / "site.sh").write_text(
        'touch "$SLURM_SUBMIT_DIR/ready"\n', encoding="utf-8"
    )  # read once signals are minded
    job = slurm.sbatch("--nodes=2", "--ntasks=2", script("requeue"), *QUIET, cwd=folder, **SLOW)
    until(lambda: slurm.state(job) == "RUNNING", "the start of the job")
    until((folder / "ready").exists, "the start of the script")
    if moment == "while it runs":
        until((folder / "run" / "heartbeat.json").exists, "the first step")
    slurm.call("scancel", "--batch", "--signal=USR1", job)
    (facts,) = slurm.finish(job)
    assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "1"), log(folder, job)
    assert "stopped by SIGUSR1" in log(folder, job)
    assert final_hash(folder, job) == undisturbed


def test_a_task_of_an_array_requeues_itself_alone(slurm: Cluster, folder: Path, undisturbed: str) -> None:
    # of the last task, SLURM_JOB_ID is the number of the array
    array = ("--array=6,7", "--output=abm-%A_%a.log")
    job = slurm.sbatch(*array, "--ntasks=1", script("requeue"), *QUIET, cwd=folder, **SLOW)
    until((folder / "run" / "7" / "heartbeat.json").exists, "the first step")
    slurm.call("scancel", "--batch", "--signal=USR1", f"{job}_7")
    restarts = {facts["ArrayTaskId"]: (facts["JobState"], facts["Restarts"]) for facts in slurm.finish(job)}
    assert restarts == {"6": ("COMPLETED", "0"), "7": ("COMPLETED", "1")}
    assert f"job {job}_7 goes back into the queue" in log(folder, f"{job}_7")
    assert final_hash(folder, f"{job}_7") == undisturbed != final_hash(folder, f"{job}_6")


@pytest.mark.mpi
def test_a_cancelled_job_leaves_a_checkpoint_and_stays_away(slurm: Cluster, folder: Path) -> None:
    job = slurm.sbatch("--ntasks=2", script("requeue"), *QUIET, cwd=folder, **SLOW)
    until((folder / "run" / "heartbeat.json").exists, "the first step")
    slurm.call("scancel", job)
    (facts,) = slurm.finish(job)
    time.sleep(1)
    assert slurm.state(job) == "CANCELLED"
    assert facts["Restarts"] == "0"
    assert list((folder / "run").glob("checkpoint-*/manifest.json"))


@pytest.mark.parametrize("name", ["run", "requeue"])
def test_an_error_is_the_end_of_a_job(slurm: Cluster, folder: Path, name: str) -> None:
    job = slurm.sbatch("--ntasks=1", script(name), *QUIET, "--set", "patch.shap=[8,8,8]", cwd=folder)
    (facts,) = slurm.finish(job)
    assert (facts["JobState"], facts["ExitCode"], facts["Restarts"]) == ("FAILED", "2:0", "0")
    errors = [line for line in log(folder, job).splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "patch.shap" in errors[0]
    assert not (folder / "run").exists()


@pytest.mark.mpi
def test_a_wrong_launch_is_an_error_and_not_four_runs(slurm: Cluster, folder: Path) -> None:
    job = slurm.sbatch("--ntasks=4", script("run"), *QUIET, cwd=folder, SLURM_MPI_TYPE="none")
    (facts,) = slurm.finish(job)
    assert (facts["JobState"], facts["ExitCode"]) == ("FAILED", "2:0"), log(folder, job)
    assert "launched as 4 ranks, but MPI" in log(folder, job)
    assert not (folder / "run").exists()


@pytest.mark.mpi
def test_a_rank_that_dies_does_not_leave_the_others_waiting(slurm: Cluster, folder: Path) -> None:
    text = Path(script("run")).read_text(encoding="utf-8")
    assert "--wait=60" in text
    (folder / "hasty.sbatch").write_text(text.replace("--wait=60", "--wait=3"), encoding="utf-8")
    job = slurm.sbatch("--ntasks=2", "hasty.sbatch", *QUIET, cwd=folder, TEST_VICTIM="1")
    (facts,) = slurm.finish(job)
    assert (facts["JobState"], facts["ExitCode"]) == ("FAILED", "137:0"), log(folder, job)


@pytest.mark.mpi
def test_a_job_that_was_killed_starts_again_on_the_same_node(slurm: Cluster, folder: Path, undisturbed: str) -> None:
    text = Path(script("requeue")).read_text(encoding="utf-8").replace("--wait=60", "--wait=1")
    (folder / "hasty.sbatch").write_text(text, encoding="utf-8")
    where = ("--nodes=1", "--nodelist=n1", "--ntasks=2")
    job = slurm.sbatch(*where, "hasty.sbatch", *QUIET, cwd=folder, TEST_VICTIM="1")
    (facts,) = slurm.finish(job)
    assert (facts["JobState"], facts["ExitCode"]) == ("FAILED", "137:0"), log(folder, job)
    slurm.call("scontrol", "requeue", job)  # as an administrator may, or SLURM after a failure
    (facts,) = slurm.finish(job)
    assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "1"), log(folder, job)
    assert final_hash(folder, job) == undisturbed


@pytest.mark.mpi
def test_each_rank_has_a_gpu_of_its_own(slurm: Cluster, folder: Path) -> None:
    """The devices are made up, so the ranks compute on the host; which of them they see is what counts."""
    text = Path(script("gpu")).read_text(encoding="utf-8")
    (folder / "host.sbatch").write_text(text.replace("\nBACKEND=cuda", "\nBACKEND=host"), encoding="utf-8")
    (folder / "seen").mkdir()
    where = ("--nodes=2", "--ntasks=4", "--cpus-per-task=1", "--mem-per-cpu=500M")
    job = slurm.sbatch(*where, "host.sbatch", *QUIET, cwd=folder, TEST_NOTE_GPUS=str(folder / "seen"))
    (facts,) = slurm.finish(job)
    assert facts["JobState"] == "COMPLETED", log(folder, job)
    seen = sorted(path.read_text(encoding="utf-8") for path in (folder / "seen").iterdir())
    assert seen == ["n1 0", "n1 1", "n2 0", "n2 1"]


@pytest.mark.mpi
def test_what_submit_sends_runs(slurm: Cluster, folder: Path, undisturbed: str) -> None:
    wishes = ("--ranks", "2", "--out", "run", "--time", "0:10:00", "--mem", "400M", "--partition", "main")
    done = slurm.call("abm", "submit", "case.toml", *wishes, "--go", cwd=folder)
    job = done.stdout.split()[-1]
    (facts,) = slurm.finish(job)
    assert (facts["JobState"], facts["NumTasks"]) == ("COMPLETED", "2"), log(folder, f"run-{job}")
    assert facts["TimeLimit"] == "00:10:00"
    assert final_hash(folder, f"run-{job}") == undisturbed
    refused = slurm.call("abm", "submit", "case.toml", *wishes[:-1], "nowhere", "--go", cwd=folder, check=False)
    assert refused.returncode == 2
    assert re.fullmatch(r"error: sbatch: \S+job.sbatch: .*invalid partition.*\n", refused.stderr)
