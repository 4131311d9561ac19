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
    title, *shown_rows = result.output.splitlines()[:3]
    assert {len(line) for line in shown_rows} == {len(title)}
    last = [float(row["cd4"]) for row in rows if row["day"] == "2"]
    shown = [float(line.split()[2]) for line in result.output.splitlines()[1:3]]
    assert shown == pytest.approx([sum(last[:2]) / 2, sum(last[2:]) / 2], rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("patient.weight_kg", ",", "--observe", "cd4"), "patient.weight_kg: expected values with commas"),
        (("patient.weight_kg", "70", "--observe", "hiv_laod"), "found hiv_laod (did you mean hiv_load?)"),
        (
            ("patient.weight_kg", "70", "--observe", "cd4,blast_percent"),
            "blast_percent is of the marrow, which a sweep",
        ),
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


def test_a_patient_who_needs_a_lattice_is_told_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "found.csv"
    done = CliRunner().invoke(
        main, ["sweep", "aml_hsct", "patient.weight_kg", "70", "--observe", "anc", "--out", str(out)]
    )
    assert (done.exit_code, len(done.output.splitlines())) == (2, 1)
    assert "patient.blast_fraction: expected 0, or residual_leukaemia = true" in done.output
    assert not out.exists()


def test_a_former_sweep_is_kept_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    given = ("patient.weight_kg", "70", "--observe", "cd4", *SHORT, "--set", "output.series_h=24")
    (tmp_path / "found.csv").write_text("mine")
    refused = swept(tmp_path, *given)
    out = tmp_path / "found.csv"
    said = f"error: {out}: already there; replace it with --overwrite, or choose another with --out\n"
    assert (refused.exit_code, refused.output) == (2, said)
    assert (tmp_path / "found.csv").read_text() == "mine"
    assert swept(tmp_path, *given, "--overwrite").exit_code == 0
    assert (tmp_path / "found.csv").read_text().startswith("patient.weight_kg,seed,day,cd4")


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    found = swept(tmp_path / "nowhere", "patient.weight_kg", "70", "--observe", "cd4")
    assert found.exit_code == 2
    assert "found.csv: cannot be written" in found.output


def test_edits_that_nobody_would_follow_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    edit = 'events.graft.edit={ locus = "CCR5", efficiency = 0.5 }'
    given = ["events.graft.edit.efficiency", "0,1", "--observe", "ccr5_null", "--set", edit]
    out = tmp_path / "found.csv"
    healthy = ("--set", "patient.disease=none", "--set", "patient.blast_fraction=0")
    done = CliRunner().invoke(main, ["sweep", "ccr5_hiv", *given, *healthy, "--out", str(out)])
    assert (done.exit_code, len(done.output.splitlines())) == (2, 1)
    assert "events[7].edit: expected none: a patient without a lattice follows no edits" in done.output
    assert not out.exists()
