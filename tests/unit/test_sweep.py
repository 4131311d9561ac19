"""The command that takes one parameter through several values, without a lattice."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from abm.cli import main

SHORT = ("--set", "time.end_day=2", "--set", "time.start_day=0", "--set", "patient.infection_day=-30")


def swept(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["sweep", "hiv_untreated", *arguments, "--out", str(tmp_path / "found.csv")])


def test_every_patient_and_time_is_a_row(tmp_path: Path) -> None:
    given = ("patient.weight_kg", "50,100", "--observe", "hiv_load,cd4", "--seeds", "2", *SHORT)
    result = swept(tmp_path, *given, "--set", "output.series_h=24", "--set", "time.step_min=720")
    assert result.exit_code == 0, result.output
    with (tmp_path / "found.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    places = [(row["patient.weight_kg"], row["seed"], row["day"]) for row in rows]
    assert places == [(w, s, d) for w in ("50", "100") for s in ("1", "2") for d in ("0", "1", "2")]
    assert all(float(row["hiv_load"]) > 0 for row in rows)
    last = [float(row["cd4"]) for row in rows if row["day"] == "2"]
    shown = [float(line.split()[2]) for line in result.output.splitlines()[1:3]]
    assert shown == pytest.approx([sum(last[:2]) / 2, sum(last[2:]) / 2], rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("patient.weight_kg", ",", "--observe", "cd4"), "patient.weight_kg: expected values with commas"),
        (("patient.weight_kg", "70", "--observe", "hiv_laod"), "found hiv_laod (did you mean hiv_load?)"),
        (("patient.wieght_kg", "70", "--observe", "cd4"), "--set patient.wieght_kg=70: patient.wieght_kg"),
        (("patient.weight_kg", "70,-1", "--observe", "cd4"), "--set patient.weight_kg=-1: patient.weight_kg"),
        (("events.0.day", "1", "--observe", "cd4"), "events"),
    ],
)
def test_mistakes_are_told_in_one_line_before_anything_is_written(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    result = swept(tmp_path, *arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "found.csv").exists()


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    found = swept(tmp_path / "nowhere", "patient.weight_kg", "70", "--observe", "cd4")
    assert found.exit_code == 2
    assert "found.csv: cannot be written" in found.output
