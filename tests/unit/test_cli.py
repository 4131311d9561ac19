"""The commands around a run: hash, verify, check, describe, doctor, report; names of scenarios; help."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from abm import cli, describe, resources
from abm.backends import NAMES
from abm.cli_options import BACKENDS
from abm.config import Config, load_config, rules_folder
from abm.config_errors import model_of
from abm.config_events import ACTIONS
from abm.config_graft import Edit, Purified
from abm.run import UNITS
from tests.unit.fake_run import OUT, SCENARIO, abm, last_word, prepare, run_case


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, monkeypatch)


def test_hash_and_verify() -> None:
    whole = last_word(run_case())
    newest = OUT / "checkpoint-00000048"
    assert last_word(abm("hash", str(OUT))) == last_word(abm("hash", str(newest))) == whole
    good = abm("verify", str(OUT))
    assert good.exit_code == 0
    assert len(good.stdout.splitlines()) == 3
    assert all(line.endswith(": good") for line in good.stdout.splitlines())
    (newest / "body.h5").write_bytes(b"")
    bad = abm("verify", str(OUT))
    assert bad.exit_code == 2
    assert "body.h5 has 0 bytes" in bad.stdout
    assert abm("hash", str(newest)).exit_code == 2
    older = abm("hash", str(OUT))
    assert "skipped checkpoint-00000048" in older.stderr
    assert "checkpoint-00000036 step 36" in older.stdout
    nothing = abm("verify", ".")
    assert (nothing.exit_code, nothing.stderr) == (2, "error: .: no checkpoints, series or snapshots there\n")


def test_check_prints_the_size_and_writes_nothing() -> None:
    done = abm("check", "case.toml", "--backend", "numpy", "--set", "patch.shape=[64,64,128]")
    assert done.exit_code == 0
    for text in ("524288 sites", "48 steps of 1 h", "17 bytes per site, 8 MiB", "numpy"):
        assert text in done.stdout
    assert os.listdir() == ["case.toml"]


def test_check_estimates_the_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "TRIAL_S", 0.01)
    done = abm("check", "case.toml", "--backend", "numpy", "--time")
    assert re.search(r"duration   about \d+ s at \S+ site-updates/s", done.stdout)


def test_described_defaults_are_a_scenario() -> None:
    text = abm("describe").stdout
    assert Config.model_validate(tomllib.loads(text)) == Config()
    for word in ("weight_kg = 70.0", "a number > 0 and <= 300 (kg)", '# action = "graft"', "1/kg", "required"):
        assert word in text


def test_described_scenario_is_the_same_scenario() -> None:
    events = '[[events]]\naction = "tbi"\nday = 1\ndose_gy = 12\nfractions = 6\n'
    Path("case.toml").write_text(SCENARIO + events)
    text = abm("describe", "case.toml").stdout
    assert "[default [64, 64, 64]]" in text
    assert "[default 1]" in text
    Path("again.toml").write_text(text)
    assert load_config(Path("again.toml")) == load_config(Path("case.toml"))


def test_every_parameter_is_described() -> None:
    lines = [line.removeprefix("# ") for line in abm("describe").stdout.splitlines()]
    keys = {line.partition(" =")[0] for line in lines if " =" in line}
    tables = [field for field in Config.model_fields.values() if model_of(field)]
    for table in (*(model_of(field) for field in tables), *ACTIONS.values()):
        assert table is not None
        assert set(table.model_fields) <= keys
    for name, table in (("edit", Edit), ("cells", Purified)):
        assert {f"{name}.{key}" for key in table.model_fields} <= keys


@pytest.mark.parametrize("path", sorted(resources.folder("scenarios").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_scenario_can_be_described(path: Path) -> None:
    text = abm("describe", str(path)).stdout
    Path("again.toml").write_text(text)
    assert load_config(Path("again.toml")) == load_config(path)


def test_one_parameter_is_described_with_unit_default_range_and_meaning() -> None:
    dose = abm("describe", "cd34_per_kg").stdout
    [line] = dose.splitlines()
    assert line.startswith("events.graft.cd34_per_kg = absent ")
    assert line.endswith("# a number > 0 and <= 1000000000 (1/kg): CD34+ cells per recipient weight, such as 5e6")
    assert abm("describe", "events.graft.cd34_per_kg").stdout == dose == abm("describe", "cd34*").stdout
    assert abm("describe", "patient.weight_kg").stdout.startswith("patient.weight_kg = 70.0 ")
    assert abm("describe", "seed").stdout.startswith("seed = ")


def test_parameters_of_a_table_are_described_together() -> None:
    lines = abm("describe", "events.graft.*").stdout.splitlines()
    names = {line.partition(" =")[0].removeprefix("events.graft.") for line in lines}
    wanted = set(ACTIONS["graft"].model_fields) - {"action", "edit", "cells"}
    inner = {f"{name}.{key}" for name, table in (("edit", Edit), ("cells", Purified)) for key in table.model_fields}
    assert names == wanted | inner
    assert abm("describe", "graft").stdout.splitlines() == lines
    whole = abm("describe", "*").stdout.splitlines()
    for table in ("patient", "patch", "events.chemo", "output"):
        assert set(abm("describe", table).stdout.splitlines()) < set(whole)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("cd34_per_kq", "did you mean cd34_per_kg?"),
        ("events.graft.cd34", "did you mean events.graft.cd34_per_kg?"),
        ("aml_hsc", "did you mean aml_hsct?"),
        ("zzzzqqqq*", "`abm describe` lists all parameters"),
    ],
)
def test_an_unknown_parameter_is_told_the_nearest(name: str, meant: str) -> None:
    done = abm("describe", name)
    assert (done.exit_code, done.stderr) == (2, f"error: {name}: no such scenario or parameter ({meant})\n")
    assert "no such scenario (did you mean aml_hsct?)" in abm("describe", "aml_hsc.toml").stderr


def test_described_rules_have_unit_and_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "scenarios" / "rules" / "human"
    folder.mkdir(parents=True)
    (folder / "rates.csv").write_text('# Rates.\nkind,base,unit,source,status\nHSC,0.5,1/d,"A, 2011",read\n')
    monkeypatch.setattr(resources, "folder", lambda name: tmp_path / name)
    line = "  kind=HSC base=0.5  [1/d]  read: A, 2011"
    assert abm("describe", "--rules", "human").stdout.splitlines() == ["rates.csv", "# Rates.", line, ""]
    assert line in abm("describe", "--rules", "human", "rates.csv").stdout
    assert "did you mean human?" in abm("describe", "--rules", "humam").stderr
    wrong = abm("describe", "--rules", "human", "rate")
    assert (wrong.exit_code, "did you mean rates?" in wrong.stderr) == (2, True)


def test_what_a_run_records_is_listed_with_unit_and_meaning() -> None:
    lines = abm("describe", "--observables").stdout.splitlines()
    names = {line.split()[0] for line in lines if line and not line.startswith("#")}
    assert names == set(UNITS)
    assert any(line.split() == ["anc", "1e9/L", "absolute", "neutrophil", "count"] for line in lines)


def test_a_rule_table_is_copied_to_be_changed(tmp_path: Path) -> None:
    own = tmp_path / "own"
    done = abm("describe", "--rules", "human", "drugs", "--copy", str(own))
    assert (done.exit_code, done.stdout) == (0, f"{own / 'drugs.csv'}\n")
    assert (own / "drugs.csv").read_bytes() == (rules_folder("human") / "drugs.csv").read_bytes()
    assert "own tables drugs.csv" in abm("check", "case.toml", "--set", f"patch.rules={own}").stdout
    again = abm("describe", "--rules", "human", "--copy", str(own))
    assert (again.exit_code, again.stderr) == (
        2,
        f"error: {own}/drugs.csv: already there; expected a folder without it\n",
    )
    assert [path.name for path in own.iterdir()] == ["drugs.csv"]
    (tmp_path / "file").touch()
    blocked = abm("describe", "--rules", "human", "drugs", "--copy", str(tmp_path / "file"))
    assert (blocked.exit_code, blocked.stderr) == (2, f"error: {tmp_path}/file: cannot be written: File exists\n")
    of_disease = abm("describe", "--rules", "human", "diseases/cml/body", "--copy", str(tmp_path / "none"))
    assert (of_disease.exit_code, "expected a table of the species" in of_disease.stderr) == (2, True)
    assert abm("describe", "--copy", str(own)).stderr == (
        "error: --copy: expected with --rules SPECIES, which says whose tables\n"
    )


def test_schema_is_json() -> None:
    assert '"weight_kg"' in abm("describe", "--schema").stdout


def test_doctor_says_what_is_there_and_how_to_get_the_rest() -> None:
    done = abm("doctor")
    assert done.exit_code == 0
    for word in ("numpy", "cuda", "host", "auto takes", "HDF5", "MPI", "matplotlib", "cores"):
        assert word in done.stdout


def test_report_needs_a_run() -> None:
    missing = abm("report", "nowhere")
    assert (missing.exit_code, len(missing.stderr.splitlines())) == (2, 1)
    assert "series.h5 is missing" in missing.stderr
    run_case()
    (OUT / "series.h5").write_bytes(b"torn")
    torn = abm("report", str(OUT))
    assert (torn.exit_code, len(torn.stderr.splitlines())) == (2, 1)
    assert "series.h5: not a readable time series" in torn.stderr


def test_report_lists_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    class Report:
        build = staticmethod(lambda directory: [directory / "report" / "report.html"])

    run_case()
    resources.load_analysis()
    monkeypatch.setitem(sys.modules, "abm_analysis.report", Report)
    assert abm("report", str(OUT)).stdout == f"{OUT}/report/report.html\n"


def test_scenarios_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "installed" / "scenarios"
    folder.mkdir(parents=True)
    (folder / "aml_hsct.toml").write_text("")
    monkeypatch.setattr(resources, "folder", lambda name: tmp_path / "installed" / name)
    for text in ("aml_hsct", "aml_hsct.toml", "scenarios/aml_hsct.toml"):
        assert cli.scenario_path(text) == folder / "aml_hsct.toml"
    assert cli.scenario_path("case.toml") == Path("case.toml")
    for text in ("aml_hstc", "elsewhere/aml_hsct.toml", "."):
        done = abm("check", text)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"error: {text}: no such scenario")
    assert "did you mean aml_hsct?" in abm("check", "aml_hstc").stderr
    assert "this is a folder; expected a TOML file or a shipped scenario" in abm("check", ".").stderr


def test_help_teaches() -> None:
    assert "abm run aml_hsct" in abm("--help").stdout
    listed = "".join(abm("--help").stdout.split())
    for name, command in cli.main.commands.items():
        text = abm(name, "--help").stdout
        assert command.epilog is None or "Example" in text
        assert command.help
        sentence = " ".join(command.help.split("\n\n")[0].split()).partition(". ")[0].removesuffix(".")
        assert sentence.replace(" ", "") in listed
        assert "abm" in text
    assert BACKENDS == NAMES
