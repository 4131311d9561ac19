"""Running and resuming, on a simulation that costs nothing: files, exit codes, signals, progress."""

from __future__ import annotations

import io as text_io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from abm import cli, io, run
from abm import progress as progress_of
from abm.comm import SerialComm
from abm.config import load_config
from abm.errors import BackendError, LedgerError
from abm.io.manifest import Part
from tests.unit.fake_run import OUT, Fake, abm, at_step, last_word, prepare, run_case, send


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, monkeypatch)


# ------------------------------------------------------------------------------------------ run


def test_run_writes_one_directory_and_ends_with_the_hash() -> None:
    done = run_case()
    assert done.exit_code == 0, done.output
    assert {p.name for p in OUT.iterdir()} == {
        "config.toml", "series.h5", "run.log", "heartbeat.json", "checkpoint-00000036", "checkpoint-00000048"
    }  # fmt: skip
    assert last_word(done) == io.read_manifest(OUT / "checkpoint-00000048").state_hash
    for text in ("scaling mode", "phi = 100", "Result", "site-updates/s", "17 bytes per site", "Agents", "42", "ANC"):
        assert text in done.stdout
    assert load_config(OUT / "config.toml") == load_config(Path("case.toml"))
    log = (OUT / "run.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} INFO ", line) for line in log)
    assert [r.step for r in io.Series.load(OUT, 99).records()] == list(range(0, 49, 6))


class OfTwo(SerialComm):
    """The first of two ranks, of which the other spends its time differently."""

    size = 2
    exchange_s = 2.5

    def gather(self, value: Any) -> list[Any] | None:
        return [value] if isinstance(value, Part) else [value, {"halo exchange": 0.125, "checkpoints": 0.75}]


def test_shares_of_the_time_are_those_of_the_rank_that_has_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_of.Stopwatch, "total", 10.0)
    watch = progress_of.Stopwatch()
    watch.spent["checkpoints"] = 1.0
    assert watch.shares(2.5) == {"halo exchange": 0.25, "checkpoints": 0.1}
    options = run.Options(backend="numpy", steps=3)
    config = load_config(Path("case.toml"))
    assert run.start_run(config, OUT, overwrite=False, options=options, stop=str, comm=OfTwo()) == 0
    assert "Of it      halo exchange 25.0%, checkpoints 75.0% (the highest of 2 ranks)" in (OUT / "run.log").read_text()
    beat = json.loads((OUT / "heartbeat.json").read_text())
    assert beat["shares"] == {"halo exchange": 0.25, "checkpoints": 0.0}


def test_time_of_checkpoints_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    spent: dict[str, float] = {}
    monkeypatch.setattr(run.Run, "say_timing", lambda self: spent.update(self.watch.spent))
    write = io.save
    monkeypatch.setattr(io, "save", lambda *args, **more: time.sleep(0.05) or write(*args, **more))
    run_case("--steps", "3", "--set", "output.checkpoint_h=1")
    assert spent["checkpoints"] >= 3 * 0.05
    assert spent["output"] < 0.05
    assert spent["steps"] < 0.05


def test_output_settings_never_change_the_state() -> None:
    first = last_word(run_case())
    other = ["--set", "output.series_h=1", "--set", "output.checkpoint_h=7", "--set", "output.keep=1"]
    assert last_word(run_case("--out", "b", *other)) == first
    assert last_word(run_case("--out", "c", "--set", "output.checkpoint_h=9999")) == first
    trial = last_word(run_case("--out", "d", "--steps", "5"))
    assert last_word(run_case("--out", "e", "--steps", "5", "--set", "output.series_h=1")) == trial
    assert last_word(run_case("--seed", "2")) != first
    assert Path("runs/case-seed2").is_dir()


def test_snapshots_to_look_at() -> None:
    assert run_case("--set", "output.snapshot_h=24").exit_code == 0
    assert [p.name for p in sorted(OUT.glob("snapshot-*"))] == ["snapshot-00000024.vtkhdf", "snapshot-00000048.vtkhdf"]


def test_quiet_prints_the_hash_alone() -> None:
    done = run_case("--quiet")
    assert len(done.output.splitlines()) == 1
    assert last_word(done) == io.read_manifest(OUT / "checkpoint-00000048").state_hash


def test_a_trial_stops_after_some_steps_and_can_go_on() -> None:
    whole = last_word(run_case("--out", "whole"))
    trial = run_case("--steps", "5")
    assert trial.exit_code == 0
    assert "stopped after 5 steps, as asked" in trial.stdout
    assert f"abm resume {OUT}" in trial.stdout
    assert last_word(abm("resume", str(OUT))) == whole


def test_a_run_is_not_overwritten_unasked() -> None:
    run_case("--steps", "1")
    (OUT / "notes.txt").write_text("mine")
    (OUT / "table.csv").write_text("of the run before")
    before = (OUT / "config.toml").stat().st_mtime_ns
    again = run_case()
    assert again.exit_code == 2
    assert again.stderr.startswith(f"error: {OUT}: already holds a run")
    assert f"abm resume {OUT}" in again.stderr
    assert "--overwrite" in again.stderr
    assert (OUT / "config.toml").stat().st_mtime_ns == before
    assert run_case("--overwrite").exit_code == 0
    assert (OUT / "notes.txt").read_text() == "mine"
    assert not (OUT / "table.csv").exists()
    assert not (OUT / "checkpoint-00000001").exists()


@pytest.mark.parametrize("out", ["file", "file/deeper", "/proc/nowhere/out"])
def test_a_directory_that_cannot_be_written(out: str) -> None:
    Path("file").write_text("x")
    done = run_case("--out", out)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {out}: cannot be an output directory")
    assert len(done.stderr.splitlines()) == 1
    assert sorted(os.listdir()) == ["case.toml", "file"]


def test_no_permission_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *args: False)  # root may write anywhere
    done = run_case()
    assert done.exit_code == 2
    assert "no permission to write" in done.stderr
    assert os.listdir() == ["case.toml"]


def test_nothing_is_written_before_all_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        msg = "the cuda backend needs CuPy"
        raise BackendError(msg)

    small = run_case("--set", "patch.shape=[2,9,9]")
    assert small.exit_code == 2
    assert small.stderr.startswith("error: --set patch.shape=[2,9,9]: patch.shape: expected >= 3 sites")
    monkeypatch.setattr(run, "choose", refuse)
    absent = run_case("--backend", "cuda")
    assert (absent.exit_code, absent.stderr) == (2, "error: the cuda backend needs CuPy\n")
    assert abm("run", "case.toml", "--backend", "gpu").exit_code == 2
    assert os.listdir() == ["case.toml"]


def test_broken_ledger_stops_the_run_without_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose() -> None:
        msg = "step 20: 3 cells of kind HSC vanished"
        raise LedgerError(msg)

    monkeypatch.setattr(Fake, "before_step", at_step(20, lose))
    done = run_case()
    assert (done.exit_code, done.stderr) == (3, "error: step 20: 3 cells of kind HSC vanished\n")
    assert "ERROR stopped by LedgerError: step 20" in (OUT / "run.log").read_text()
    assert io.newest_good(OUT)[0].name == "checkpoint-00000012"


def test_a_bug_leaves_its_traceback_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "before_step", at_step(3, lambda: 1 // 0))
    with pytest.raises(ZeroDivisionError):
        run_case()
    assert "ZeroDivisionError" in (OUT / "run.log").read_text()


# ------------------------------------------------------------------------------------------ signals and resume


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_a_signal_ends_the_run_after_a_checkpoint_and_resume_goes_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = last_word(run_case("--out", "whole"))
    monkeypatch.setattr(Fake, "before_step", at_step(19, send(name, times=3)))
    stopped = run_case()
    assert stopped.exit_code == 75
    assert f"stopped by {name}" in stopped.stdout
    assert io.newest_good(OUT)[0].name == "checkpoint-00000020"
    assert signal.getsignal(getattr(signal, name)) is (
        signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
    )
    resumed = abm("resume", str(OUT))
    assert "continues from checkpoint-00000020" in resumed.stdout
    assert last_word(resumed) == whole
    one, other = (list(io.Series.load(Path(d), 99).records()) for d in ("whole", OUT))
    assert [(r.step, r.values) for r in one] == [(r.step, r.values) for r in other]
    assert all((a.counts == b.counts).all() for a, b in zip(one, other, strict=True))


def test_interrupt_before_the_first_step_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "validate", staticmethod(lambda config: signal.raise_signal(signal.SIGINT)))
    done = run_case()
    assert (done.exit_code, done.stderr) == (130, "interrupted\n")
    assert os.listdir() == ["case.toml"]


def test_signal_during_setup_saves_the_first_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "validate", staticmethod(lambda config: signal.raise_signal(signal.SIGTERM)))
    done = run_case()
    assert done.exit_code == 75
    assert (OUT / "checkpoint-00000000").is_dir()


def test_the_real_program_obeys_a_real_signal() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[1])}
    command = [sys.executable, "-m", "abm", "run", "homeostasis", "--backend", "numpy", "--out", "real"]
    process = subprocess.Popen(
        [*command, "--set", "patch.shape=[8,8,8]"], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    started = next(line for line in process.stdout if line.startswith("day "))
    assert "ANC" in started
    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()
    process.stdout.close()
    assert process.wait() == 75, rest
    assert "stopped by SIGTERM; checkpoint-0" in rest
    assert io.verify(io.newest_good(Path("real"))[0]) == []


def test_ignored_interrupts_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with cli.StopSignals() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop() == ""
    finally:
        signal.signal(signal.SIGINT, before)


def test_damaged_checkpoints_are_skipped_and_named() -> None:
    whole = last_word(run_case("--out", "whole"))
    run_case("--steps", "30")
    shard = OUT / "checkpoint-00000030" / "shard-00000.h5"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    resumed = abm("resume", str(OUT))
    assert "skipped checkpoint-00000030: shard-00000.h5 does not match its checksum" in resumed.stdout
    assert "continues from checkpoint-00000024" in resumed.stdout
    assert last_word(resumed) == whole
    for manifest in OUT.glob("checkpoint-*/manifest.json"):
        manifest.write_bytes(manifest.read_bytes()[:-9])
    none_left = abm("resume", str(OUT))
    assert none_left.exit_code == 2
    assert "no usable checkpoint" in none_left.stderr
    assert "truncated or damaged" in none_left.stderr


def test_a_run_killed_before_its_first_checkpoint_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = last_word(run_case("--out", "whole"))
    monkeypatch.setattr(Fake, "before_step", at_step(3, lambda: 1 // 0))
    with pytest.raises(ZeroDivisionError):
        run_case()
    monkeypatch.setattr(Fake, "before_step", at_step(3, lambda: None))
    assert last_word(abm("resume", str(OUT))) == whole


def test_a_finished_run_is_said_to_be_finished() -> None:
    whole = last_word(run_case())
    before = {p: p.stat().st_mtime_ns for p in OUT.rglob("*.h5")}
    again = abm("resume", str(OUT))
    assert "already finished: day 2, step 48" in again.stdout
    assert last_word(again) == whole
    assert {p: p.stat().st_mtime_ns for p in OUT.rglob("*.h5")} == before


def test_only_output_may_change_when_continuing() -> None:
    whole = last_word(run_case("--out", "whole"))
    run_case("--steps", "5")
    refused = abm("resume", str(OUT), "--set", "patient.donor=twin")
    assert refused.exit_code == 2
    assert refused.stderr.startswith(
        "error: --set patient.donor=twin: only [output] and a later time.end_day may change"
    )
    assert last_word(abm("resume", str(OUT), "--set", "output.series_h=1")) == whole


def test_a_run_goes_on_to_a_later_day_as_if_it_had_been_planned_so() -> None:
    whole = last_word(run_case("--out", "whole", "--set", "time.end_day=4"))
    run_case()
    done = abm("resume", str(OUT), "--set", "time.end_day=3", "--steps", "5")
    assert "continues from checkpoint-00000048" in done.stdout
    assert load_config(OUT / "config.toml").time.end_day == 3
    for path in OUT.glob("checkpoint-*53"):  # the run was killed: what is left was planned to an earlier day
        shutil.rmtree(path)
    assert "day 3, step 72" not in abm("resume", str(OUT), "--steps", "2").stdout
    assert last_word(abm("resume", str(OUT), "--set", "time.end_day=4")) == whole
    days = [record.day for record in io.Series.load(OUT, 999).records()]
    assert days[-1] == 4
    assert days == sorted(set(days))


def test_a_run_does_not_end_earlier_than_it_was_planned_to() -> None:
    run_case("--steps", "5")
    refused = abm("resume", str(OUT), "--set", "time.end_day=1")
    assert refused.exit_code == 2
    assert refused.stderr == (
        f"error: {OUT}/config.toml: time.end_day: expected a day from 2 on, to which the run was planned, found 1\n"
    )


def test_changed_rules_or_configuration_are_refused() -> None:
    run_case("--steps", "5")
    config = OUT / "config.toml"
    config.write_text(config.read_text().replace('donor = "sibling"', 'donor = "twin"'))
    refused = abm("resume", str(OUT))
    assert refused.exit_code == 2
    assert "config.toml changed since this checkpoint was written" in refused.stderr
    assert "--force" in refused.stderr
    assert abm("resume", str(OUT), "--force").exit_code == 0


def test_another_release_is_told() -> None:
    assert run.other_version({}) == ""
    assert run.other_version({"code_version": "0.0.9"}).startswith("the checkpoint is of abm 0.0.9, this is abm")


def test_nothing_to_resume() -> None:
    done = abm("resume", "nowhere")
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.startswith("error: nowhere: there is no run to continue")


def test_a_lost_series_does_not_hold_up_the_run() -> None:
    whole = last_word(run_case("--out", "whole"))
    run_case("--steps", "20")
    (OUT / "series.h5").write_bytes(b"torn")
    resumed = abm("resume", str(OUT))
    assert "the series before step 20 is lost" in resumed.stdout
    assert last_word(resumed) == whole


# ------------------------------------------------------------------------------------------ progress


def test_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_of, "LINE_INTERVAL_S", 0.0)
    lines = [line for line in run_case().stdout.splitlines() if line.startswith("day ")]
    assert len(lines) == 50  # start, every step, end
    assert lines[0].startswith("day +0.0  step 0/48  0.0%  ANC 2.00  plt 200")
    assert re.match(r"day \+2\.0  step 48/48  100\.0%  ANC 50\.00  plt 200  \S+ steps/s  0:00:00 left", lines[-1])


class Terminal(text_io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress_of, "DRAW_INTERVAL_S", 0.0)
    monkeypatch.setenv("COLUMNS", "80")
    progress = progress_of.Progress(0, 100, quiet=False)
    assert progress.bar is not None
    for step in range(1, 101):
        progress.show(step, step / 24, {"anc": 0.5, "platelets": 20.0, "donor_percent": 99.0, "blast_percent": 0.001})
    progress.close()
    text = terminal.getvalue()
    assert "day +4.2" in text
    assert "100%" in text
    assert "ANC 0.50  plt 20  blasts 0.001%  donor 99%" in text
    assert progress_of.Progress(0, 1, quiet=True).bar is None


def test_durations() -> None:
    assert [progress_of.clock(s) for s in (0.2, 59.6, 3661)] == ["0:00:00", "0:01:00", "1:01:01"]


def test_errors_of_the_system_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "run.log")

    monkeypatch.setattr(Fake, "before_step", at_step(1, full))
    done = run_case()
    assert (done.exit_code, done.stderr) == (1, "error: run.log: No space left on device\n")
