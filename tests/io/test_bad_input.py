"""Wrong input gets one clear line (file, line, key, what was expected, nearest name) and nothing is written.

These go through the command and the whole program; only the folder of the rule tables is a copy that may be damaged.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from abm import resources
from abm.cli import main

SCENARIO = """seed = 3
[patch]
shape = [8, 8, 8]
[time]
start_day = -1
end_day = 1
[[events]]
day = 0
action = "chemo"
drug = "busulfan"
dose_mg_per_kg = 3.2
"""
TABLES = sorted(path.name for path in (resources.folder("scenarios") / "rules" / "human").glob("*.csv"))


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the human rule tables that the program uses; the working directory holds a good ``case.toml``."""
    shutil.copytree(resources.folder("scenarios"), tmp_path / "home" / "scenarios")
    shipped = resources.folder
    monkeypatch.setattr(
        resources, "folder", lambda name: tmp_path / "home" / name if name == "scenarios" else shipped(name)
    )
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "case.toml").write_text(SCENARIO)
    return tmp_path / "home" / "scenarios" / "rules" / "human"


def abm(*args: str) -> Result:
    return CliRunner().invoke(main, list(args), catch_exceptions=False, prog_name="abm")


def refused(*args: str) -> str:
    """Run ``case.toml``, assert that it is refused with one line and nothing is written, and return the line."""
    before = sorted(os.listdir())
    done = abm("run", "case.toml", "--backend", "numpy", *args)
    assert done.exit_code == 2, done.output
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "Traceback" not in done.output
    assert sorted(os.listdir()) == before
    return done.stderr.removeprefix("error: ").strip()


def change(path: Path, old: str, new: str) -> int:
    """Replace the first ``old`` outside comments; return its line number."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if old in line and not line.startswith("#"))
    lines[number] = lines[number].replace(old, new, 1)
    path.write_text("".join(lines), encoding="utf-8")
    return number + 1


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seed = 3", "sed = 3", "case.toml:1: sed: unknown key (did you mean seed?)"),
        ("shape", "shap", "case.toml:3: patch.shap: unknown key (did you mean shape?)"),
        ("[8, 8, 8]", "[8, 8]", "case.toml:3: patch.shape: expected three whole numbers >= 1: [nz, ny, nx], found"),
        ("[8, 8, 8]", "[8, 1, 8]", "case.toml:3: patch.shape: expected at least"),
        (
            "3.2",
            "-3.2",
            "case.toml:11: events[0].dose_mg_per_kg: expected a number > 0 and <= 10000 (mg/kg), found -3.2",
        ),
        (
            "dose_mg_per_kg",
            "dose",
            "case.toml:11: events[0].dose: missing unit; use one of dose_mg_per_kg, dose_mg_per_m2",
        ),
        ("day = 0", "day = -2", "case.toml:8: events[0].day: expected a day from start_day = -1 on, found -2"),
        ("day = 0", "day = 2", "case.toml:8: events[0].day: expected a day up to end_day = 1, found 2"),
        (
            '"busulfan"',
            '"busulphan"',
            'case.toml:10: events[0].drug: expected a drug of drugs.csv, found "busulphan" (did',
        ),
        ('"chemo"', '"chemi"', "case.toml:9: events[0].action: expected one of chemo, tbi"),
        ("[time]", "[time", "case.toml:4: not valid TOML"),
        (
            "end_day = 1",
            "end_day = 1\nstep_min = 25",
            "case.toml:7: time.step_min: expected a whole number that divides",
        ),
    ],
)
def test_wrong_scenario(old: str, new: str, expected: str) -> None:
    change(Path("case.toml"), old, new)
    assert refused().startswith(expected)


@pytest.mark.usefixtures("rules")
def test_drug_that_cannot_be_given_like_this() -> None:
    change(Path("case.toml"), '"busulfan"', '"ciclosporin"')
    assert refused().startswith("case.toml:10: events[0].drug: ciclosporin acts by its level")


@pytest.mark.usefixtures("rules")
def test_wrong_override() -> None:
    expected = "--set patient.doner=twin: patient.doner: unknown key (did you mean donor?)"
    assert refused("--set", "patient.doner=twin") == expected


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[:-8], "truncated"),
        (lambda content: content[:-20] + b"\0" * 20, "NUL bytes"),
        (lambda content: b"", "empty"),
    ],
    ids=["truncated", "zeroed", "empty"],
)
def test_damaged_rule_table(rules: Path, table: str, damage: Callable[[bytes], bytes], reason: str) -> None:
    path = rules / table
    path.write_bytes(damage(path.read_bytes()))
    text = refused()
    assert text.startswith(f"{path}:")
    assert reason in text


@pytest.mark.parametrize("table", [name for name in TABLES if name not in {"hiv.csv", "residue.csv"}])  # may be absent
def test_missing_rule_table(rules: Path, table: str) -> None:
    (rules / table).unlink()
    assert refused() == f"{rules / table}: cannot read this rule table: No such file or directory"


@pytest.mark.parametrize(
    ("table", "old", "new", "key", "nearest"),
    [
        ("behaviours.csv", "HSC", "HSCC", "kind", "HSC"),
        ("behaviours.csv", "DIVIDE", "DIVIDES", "behaviour", "DIVIDE"),
        ("behaviours.csv", "cycling", "cyclin", "cycle", "cycling"),
        ("expression.csv", "CD33", "CD3", "antigen", "CD33"),
        ("kinds.csv", "HSPC", "HPSC", "flags", "HSPC"),
        ("fates.csv", "MPP", "MMP", "", "MPP"),
        ("responses.csv", "flt3l", "flt3", "signal", "flt3l"),
        ("tissue.csv", ",assumption", ",asumption", "status", "assumption"),
        ("fields.csv", "cxcl12", "cxcl2", "field", "cxcl12"),
    ],
)
def test_unknown_name_in_a_rule_table(rules: Path, table: str, old: str, new: str, key: str, nearest: str) -> None:
    line = change(rules / table, old, new)
    text = refused()
    assert text.startswith(f"{rules / table}:{line}: {key}")
    assert new.strip(",") in text
    assert f"did you mean {nearest}?" in text


def test_rule_without_source(rules: Path) -> None:
    path = rules / "traffic.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    name, value, unit, *_ = lines[-1].split(",")
    path.write_text("".join([*lines[:-1], f"{name},{value},{unit},,assumption\n"]), encoding="utf-8")
    assert (
        refused() == f"{path}:{len(lines)}: source: empty; every row states its unit ('1' if none), source and status"
    )


@pytest.mark.usefixtures("rules")
def test_unknown_scenario() -> None:
    done = abm("run", "hscc_aml")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: hscc_aml: no such scenario (")
    assert os.listdir() == ["case.toml"]


@pytest.mark.usefixtures("rules")
def test_backend_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/g++")
    assert "/nowhere/g++" in refused("--backend", "host")


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--backend", "gpu"), "'gpu' is not one of 'auto', 'numpy', 'host', 'cuda'. (see `abm run --help`)"),
        (("--steps", "0"), "Invalid value for '--steps': 0 is not in the range x>=1. (see `abm run --help`)"),
        (("--sed", "3"), "No such option '--sed'"),
        (("--set", "patch.shape=[60000,60000,60000]"), "patch.shape: expected a patch that fits into the memory, "),
        (("--out", "x" * 300), "cannot be an output directory: File name too long"),
        (("--out", "case.toml/out"), "case.toml is not a directory"),
        (("--out", "to_nowhere"), "to_nowhere is not a directory"),
    ],
)
def test_wrong_options(options: tuple[str, ...], expected: str) -> None:
    Path("to_nowhere").symlink_to("nowhere")
    assert expected in refused(*options)


@pytest.mark.usefixtures("rules")
def test_files_that_are_not_of_a_run_are_never_removed() -> None:
    mine = ["out/report/notes.md", "out/mine.tmp", "out/snapshot-of-me.vtkhdf", "out/checkpoint-best/weights"]
    for name in mine:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("mine")
    os.utime("out/mine.tmp", (0, 0))
    run = ("run", "case.toml", "--backend", "numpy", "--out", "out", "--steps", "1", "--quiet")
    assert abm(*run).exit_code == 0
    assert refused("--out", "out").startswith("out: already holds a run")
    assert abm(*run, "--overwrite").exit_code == 0
    assert [Path(name).read_text() for name in mine] == ["mine"] * len(mine)


@pytest.mark.usefixtures("rules")
def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: Path) -> None:
        if target.name == refuse:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)  # type: ignore[arg-type]

    replace = os.replace
    monkeypatch.setattr(os, "replace", full)
    refuse = "config.toml"
    assert "No space left on device" in refused("--out", "new/out")  # nothing is left of it
    refuse = "body.h5"
    done = abm("run", "case.toml", "--backend", "numpy", "--out", "out", "--steps", "2")
    assert done.exit_code == 1  # not 2: something is written
    assert done.stderr.startswith("error: out/checkpoint-00000002/body.h5: cannot be written: No space left on device")
    refuse = ""
    assert abm("resume", "out", "--backend", "numpy", "--steps", "2").exit_code == 0


@pytest.mark.usefixtures("rules")
def test_damaged_checkpoint_is_told_and_the_one_before_is_used() -> None:
    whole = abm("run", "case.toml", "--backend", "numpy", "--out", "whole", "--steps", "4", "--quiet")
    short = ["--set", "output.checkpoint_h=1", "--set", "output.series_h=1", "--out", "out"]
    assert abm("run", "case.toml", "--backend", "numpy", *short, "--steps", "3").exit_code == 0
    shard = Path("out/checkpoint-00000003/shard-00000.h5")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(content)
    resumed = abm("resume", "out", "--backend", "numpy", "--steps", "2")
    assert resumed.exit_code == 0, resumed.output
    assert "skipped checkpoint-00000003: shard-00000.h5 does not match its checksum" in resumed.stdout
    assert resumed.stdout.split()[-1] == whole.stdout.split()[-1]
