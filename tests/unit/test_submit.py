"""``abm submit``: scripts that fit a run, and one line for what is wrong. Needs no SLURM."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from abm import cli, submit
from abm.cli_options import GPUS
from abm.scale import machines
from abm.submit import Estimate, Wishes, clock, memory_bytes, request, time_s

SCENARIO = """
[patch]
shape = [64, 16, 16]
[time]
start_day = 0
end_day = 10
"""
MIB = 2**20
needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="no bash to read the scripts")


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machines, "TRIAL_S", 0.01)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "case.toml").write_text(SCENARIO, encoding="utf-8")


@pytest.fixture
def expects(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank of 3000 MiB and a run of 50 minutes are expected, without a trial."""
    known = Estimate(3000.0 * MIB, 3000.0, 2.0, "known")
    monkeypatch.setattr(submit, "estimate", lambda config, wishes: known)


def abm(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["submit", *arguments], catch_exceptions=False, prog_name="abm")


def directives(text: str) -> dict[str, str]:
    return dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)", text, re.MULTILINE))


def values(text: str, *names: str) -> str:
    """Return what the shell makes of the variables of a script."""
    lines = [line for name in names for line in re.findall(rf"^{name}=.*$", text, re.MULTILINE)]
    code = "\n".join([*lines, "printf '%s\\n' " + " ".join(f'"${{{name}[@]}}"' for name in names)])
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout


@needs_bash
@pytest.mark.parametrize("wishes", [(), ("--ranks", "4", "--time", "0:20:00"), ("--gpus", "--ranks", "2")])
def test_scripts_parse(wishes: tuple[str, ...]) -> None:
    done = abm("case.toml", *wishes)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("#!/bin/bash\n# Written by `abm submit`: ")
    read = subprocess.run(["bash", "-n"], input=done.stdout, capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")
    assert all(len(line) <= 300 for line in done.stdout.splitlines())


@pytest.mark.usefixtures("expects")
def test_memory_and_time_are_what_is_expected_and_some_more() -> None:
    asked = directives(abm("case.toml", "--ranks", "4", "--cpus", "2").stdout)
    assert (asked["ntasks"], asked["cpus-per-task"]) == ("4", "2")
    assert asked["mem-per-cpu"] == "1875M"  # 3000 MiB with a margin of a quarter, over two cores
    assert asked["time"] == "1:40:00"  # twice the time, in multiples of five minutes
    assert "partition" not in asked
    assert "signal" not in asked
    wishes = ("--mem", "8G", "--time", "1-00:00:00", "--partition", "long", "--account", "me")
    asked = directives(abm("case.toml", *wishes).stdout)
    told = [asked[name] for name in ("mem-per-cpu", "time", "partition", "account")]
    assert told == ["8192M", "24:00:00", "long", "me"]


@pytest.mark.usefixtures("expects")
def test_a_run_longer_than_its_job_queues_itself_again() -> None:
    text = abm("case.toml", "--time", "1:00:00").stdout
    assert "scontrol requeue" in text
    assert directives(text)["signal"].startswith("B:USR1@")
    assert "the job queues itself again" in text
    assert "scontrol requeue" not in abm("case.toml", "--time", "2:00:00").stdout


def test_very_long_runs_ask_for_a_day() -> None:
    month = request(Wishes(), Estimate(1.0, 30 * 86400.0, 2.0, ""))
    assert (month.seconds, month.long) == (86400, True)
    short = request(Wishes(), Estimate(1.0, 1.0, 2.0, ""))
    assert (short.seconds, short.long, short.per_core_mib) == (600, False, 1024)


def test_a_trial_is_behind_the_numbers() -> None:
    text = abm("case.toml", "--ranks", "2").stdout
    assert re.search(r"^# Memory of a rank: \d+ MiB expected, 1024 MiB asked for\.$", text, re.MULTILINE)
    assert re.search(r"^# Time: 0:00:\d\d expected, 0:10:00 asked for", text, re.MULTILINE)
    assert "kernels behind it is measured: 64 x 16 x 16 sites" in text
    gpus = abm("case.toml", "--gpus").stdout
    assert "assumed, not yet measured" in gpus
    assert directives(gpus)["gpus-per-task"] == "1"
    assert "\nBACKEND=cuda\n" in gpus


@needs_bash
@pytest.mark.usefixtures("expects")
def test_names_and_words_reach_the_shell_whole() -> None:
    Path("a b").mkdir()
    Path("a b/my case.toml").write_text(SCENARIO, encoding="utf-8")
    words = ("--set", "patch.shape=[32, 16, 16]", "--set", 'patch.ends="closed"', "--seed", "3", "--out", "it's $HOME")
    text = abm("a b/my case.toml", *words).stdout
    here = Path.cwd()
    found = values(text, "SCENARIO", "OUT", "ARGUMENTS").splitlines()
    assert found[:2] == [str(here / "a b" / "my case.toml"), str(here / "it's $HOME")]
    assert found[2:] == list(words[:-2])
    assert directives(text)["job-name"] == "abm-it_s__HOME"


@pytest.mark.usefixtures("expects")
def test_only_the_own_run_is_continued() -> None:
    out = ("--out", "run")
    assert CliRunner().invoke(cli.main, ["run", "case.toml", "--steps", "1", "--backend", "numpy", *out]).exit_code == 0
    assert abm("case.toml", *out).exit_code == 0
    other = abm("case.toml", *out, "--seed", "5")
    assert (other.exit_code, other.stdout) == (2, "")
    assert other.stderr == "error: run: holds a run with other parameters, which the job would continue; choose --out\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ranks", "17"], "patch.shape: expected at least 4 planes (the halo) for each of 17 ranks"),
        (["--ranks", "0"], "'--ranks': 0 is not in the range"),
        (["--time", "90"], "--time: expected h:mm:ss or d-hh:mm:ss, found '90'"),
        (["--time", "1:75:00"], "--time: expected h:mm:ss"),
        (["--time", "0:01:00"], "--time: expected at least 0:05:00, found 0:01:00"),
        (["--mem", "4"], "--mem: expected a number and K, M, G or T, such as 4G, found '4'"),
        (["--mem", "0G"], "--mem: expected a number"),
        (["--device", "h300"], "'h300' is not one of 'a100', 'h100', 'h200'"),
        (["--set", "patch.shap=[8,8,8]"], "unknown key (did you mean shape?)"),
        (["--gpus", "--set", "patch.shape=[8192,1024,1024]"], "expected a slab that fits into the 74.5 GiB of a h100"),
        (["--out", "case.toml/run"], "case.toml is not a directory"),
        (["--go"], "--go: there is no sbatch here"),
    ],
)
def test_bad_input_is_one_line(monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    done = abm("case.toml", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in Path().iterdir()) == ["case.toml"]


@needs_bash
@pytest.mark.usefixtures("expects")
def test_go_keeps_the_script_and_tells_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text('#!/bin/bash\ncp "$2" given\necho "42;cluster"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    done = abm("case.toml", "--out", "run", "--go")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.split()[-2:] == ["job", "42"]
    assert Path("given").read_text() == Path("run/job.sbatch").read_text() == abm("case.toml", "--out", "run").stdout
    program.write_text("#!/bin/bash\necho 'sbatch: error: Batch job submission failed: no' >&2\nexit 1\n")
    refused = abm("case.toml", "--out", "run", "--go")
    assert refused.exit_code == 2
    assert refused.stderr == "error: sbatch: run/job.sbatch: Batch job submission failed: no\n"


def test_forms_of_time_and_memory() -> None:
    assert [time_s(text) for text in ("0:05:00", "100:00:00", "2-03:00:01")] == [300, 360000, 183601]
    assert [clock(seconds) for seconds in (300, 360000, 183601)] == ["0:05:00", "100:00:00", "51:00:01"]
    assert [memory_bytes(text) for text in ("1k", "3M", "4G", "1T")] == [1 << 10, 3 << 20, 4 << 30, 1 << 40]


def test_kinds_of_gpus_have_one_source() -> None:
    assert tuple(machines.GPUS) == GPUS
