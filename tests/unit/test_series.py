"""Time series as files for other programs, and arms of patients side by side."""

from __future__ import annotations

import csv
import re
import shutil
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from abm.cli import main
from tests.unit.made_up_run import make_run

arms = import_module("analysis.arms")
read = import_module("analysis.read")


def abm(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Two arms of one and two patients."""
    for name in ("new-seed1", "usual-seed1", "usual-seed2"):
        make_run(tmp_path / name)
    return tmp_path


def patient(days: list[float], values: list[float]) -> Any:
    run = read.Run(Path("x"), {}, "", {}, np.arange(len(days)), np.array(days), {}, np.zeros(0), {}, {}, {}, [])
    run.body["anc"] = read.Column(np.array(values), "1e9/L")
    return run


def test_a_run_becomes_a_table(cohort: Path) -> None:
    folder = cohort / "new-seed1"
    done = abm("table", str(folder))
    assert (done.exit_code, done.stdout) == (0, f"{folder}/table.csv\n")
    wide, run = rows(folder / "table.csv"), read.open_run(folder)
    assert [float(row["anc (1e9/L)"]) for row in wide] == pytest.approx(run.body["anc"].values)
    assert [int(row["neutrophil donor (cells)"]) for row in wide] == list(run.population("neutrophil", "donor"))
    again = abm("table", str(folder))
    assert (again.exit_code, again.stderr) == (
        2, f"error: {folder}/table.csv: already there; replace it with --overwrite, or choose another with --out\n"
    )  # fmt: skip
    assert abm("table", str(folder), "--tidy", "--overwrite").exit_code == 0
    assert rows(folder / "table.csv")[0].keys() >= {"day", "quantity", "kind", "origin", "value", "unit"}
    nowhere = abm("table", str(folder), "--out", str(cohort / "no" / "table.csv"))
    assert (nowhere.exit_code, nowhere.stderr) == (
        2, f"error: {cohort}/no/table.csv: cannot be written: No such file or directory\n"
    )  # fmt: skip
    assert "no series.h5 here" in abm("table", str(cohort)).stderr


def test_what_the_page_says_of_a_notebook_runs(cohort: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "own_patient.md").read_text(encoding="utf-8")
    code = re.search(r"^    from abm import resources\n(?:    .*\n)+", page, re.MULTILINE)
    assert code
    found: dict[str, Any] = {}
    exec(textwrap.dedent(code[0]).replace("runs/my-seed1", str(cohort / "new-seed1")), found)
    assert found["anc"].unit == "1e9/L"
    assert found["donor"].shape == found["anc"].values.shape == found["run"].day.shape
    assert found["endpoints"]["end_day"] == 180
    abm("table", str(cohort / "new-seed1"))
    columns = re.findall(r'"([^"]+ \(\S+\))"', page)
    assert len(columns) == 3
    assert set(columns) <= rows(cohort / "new-seed1" / "table.csv")[0].keys()


def test_an_arm_is_median_and_range_of_who_is_still_followed() -> None:
    arm = arms.summed("arm", [patient([0, 1, 2], [1, 2, 3]), patient([0, 1], [3, 6]), patient([0, 1], [5, 7])], ["anc"])
    assert list(arm.median["anc"]) == [3, 6, 3]
    assert list(arm.low["anc"]) == [1, 2, 3]
    assert list(arm.high["anc"]) == [5, 7, 3]
    assert list(arm.patients) == [3, 3, 1]
    two = arms.summed("arm", [patient([0, 1], [1, np.nan]), patient([0, 1], [2, np.nan])], ["anc"])
    assert two.median["anc"][0] == 1.5
    assert np.isnan(two.median["anc"][1])


def test_arms_are_drawn_and_written_by_the_names_of_their_folders(cohort: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: no figure is drawn")
    out = cohort / "arms.png"
    found = [str(path) for path in sorted(cohort.iterdir())]
    done = abm("compare", *found, "--observe", "anc,platelets,gvhd_grade", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-2:] == [str(cohort / "arms.csv"), str(out)]
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:3]] == [["new", "1/1"], ["usual", "2/2"]]
    assert out.stat().st_size > 10_000
    table = rows(cohort / "arms.csv")
    assert {(row["arm"], row["observable"], row["unit"]) for row in table} >= {("usual", "anc", "1e9/L")}
    run = read.open_run(found[0])
    mine = [float(row["median"]) for row in table if (row["arm"], row["observable"]) == ("new", "anc")]
    assert mine == pytest.approx(run.body["anc"].values, rel=1e-4)
    again = abm("compare", *found, "--out", str(out))
    assert again.stderr == f"error: {out}: already there; replace it with --overwrite, or choose another with --out\n"


def test_every_panel_has_axes_with_units_and_the_arms_one_legend(cohort: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = pytest.importorskip("matplotlib.figure", reason="matplotlib is not installed: no figure is drawn")
    kept: list[Any] = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *_args, **_more: kept.append(self))
    done = abm("compare", str(cohort / "new-seed1"), str(cohort / "usual-seed1"), "--observe", "anc,gvhd_grade,skin",
               "--out", str(cohort / "x.png"))  # fmt: skip
    assert done.exit_code == 0, done.output
    assert [panel.get_ylabel() for panel in kept[0].axes] == ["anc, ×10⁹/L", "gvhd_grade", "skin, fraction"]
    assert [panel.get_yscale() for panel in kept[0].axes] == ["symlog", "linear", "linear"]
    assert [text.get_text() for text in kept[0].legends[0].get_texts()] == ["new (n = 1)", "usual (n = 1)"]


def test_without_matplotlib_the_table_is_written_and_the_picture_said_to_be_missing(
    cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, name)
    out = cohort / "arms.png"
    done = abm("compare", str(cohort / "new-seed1"), "--out", str(out), "--observe", "anc")
    assert (done.exit_code, done.stderr) == (2, f"error: {out}: the picture needs matplotlib: pip install matplotlib\n")
    assert rows(cohort / "arms.csv")


def test_what_cannot_be_compared_is_told_in_one_line(cohort: Path) -> None:
    folder = cohort / "new-seed1"
    for arguments, says in (
        ((str(folder), "--observe", "ancc"), f"error: {folder}: no observable ancc (did you mean anc?)"),
        ((str(cohort),), f"error: {cohort}: no series.h5 here"),
        ((str(folder), str(folder)), f"error: {folder}: stands twice; expected each patient once"),
    ):
        done = abm("compare", *arguments, "--out", str(cohort / "x.png"))
        assert done.exit_code == 2
        assert done.stderr.startswith(says)
        assert len(done.stderr.splitlines()) == 1
    many = [make_run(cohort / f"arm{number}-seed1") for number in range(len(arms.STYLES) + 1)]
    one = str(cohort / "new-seed1")
    for out, observe, expected in (
        ("x.csv", "anc", "expected a picture"), ("x", "anc", "expected a picture"), (".", "anc", "expected a picture"),
        ("x.png", ",", "--observe: expected names with commas"),
    ):  # fmt: skip
        done = abm("compare", one, "--out", str(cohort / out), "--observe", observe)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert expected in done.stderr
        assert not list(cohort.glob("x*"))
    shutil.copytree(one, cohort / "other" / "new-seed1")
    done = abm("compare", one, str(cohort / "other" / "new-seed1"), "--out", str(cohort / "x.png"))
    assert "another folder has this name" in done.stderr
    assert "expected at most 6 arms, found 7" in abm("compare", *map(str, many), "--out", str(cohort / "x.png")).stderr
    assert not (cohort / "x.csv").exists()
