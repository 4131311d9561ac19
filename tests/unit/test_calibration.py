"""Calibration: problems as read, tables as written, implausibility, and the well-mixed patient."""

from __future__ import annotations

import json
import tomllib
from math import log
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from abm import cli, resources
from abm.calibration import matching, search
from abm.calibration.command import to_toml
from abm.calibration.expected import EXPERIMENT, LEUKAEMIA, members, unfit
from abm.calibration.problem import current, find, read_problem, targets_of, write_tables
from abm.cells import Behaviour, Count, Kind, Label
from abm.config import load_config
from abm.errors import ConfigError
from abm.model.body.residue import RESIDUAL
from abm.model.rules import load_rules
from abm.tables import Overlay
from abm.validation.targets import read_catalogue
from abm.well_mixed import WellMixed

SCENARIOS = Path(resources.folder("scenarios"))
PROBLEM = """what = "one number"
species = "human"
targets = ["O26.with"]

[[parameter]]
name = "reserve_release"
table = "behaviours"
row = { kind = "NEUTROPHIL", behaviour = "EGRESS" }
column = "base"
low = 0.4
high = 0.8
source = "made up"
status = "assumption"
"""
SHIPPED = sorted(path.stem for path in (resources.folder("analysis") / "calibration").glob("*.toml"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A problem of one parameter and one target."""
    file = tmp_path / "one.toml"
    file.write_text(PROBLEM, encoding="utf-8")
    return file


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_problems_hold_what_stands_in_the_tables(name: str) -> None:
    problem = read_problem(find(name))
    assert targets_of(problem, read_catalogue(), find(name))
    for free, value in zip(problem.free, current(problem), strict=True):
        assert free.low <= value <= free.high, free.name


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("low = 0.4", "low = 0.9", "low below high; found 0.9 and 0.8"),
        ('"behaviours"', '"behaviour"', "no such table: 'behaviour' (did you mean behaviours?)"),
        ('column = "base"', 'column = "bass"', "no such column (did you mean base?)"),
        ('"EGRESS" }', '"DIVIDE" }', "expected one row of behaviours.csv, found 0 with"),
        (', behaviour = "EGRESS"', "", "expected one row of behaviours.csv, found 3 with"),
        ('status = "assumption"', 'status = "known"', "status"),
        ('"O26.with"', '"O26.wth"', "expected a target, found 'O26.wth' (did you mean O26.with?)"),
        ('"O26.with"', '"O27.anc_by_14"', "expected a mean or median of one cohort, found O27.anc_by_14, share"),
        ('species = "human"', 'species = "dog"', "species"),
        ("high = 0.8", "hgh = 0.8", "hgh: unknown key"),
        ("[[parameter]]", "[parameter]", "expected at least one [[parameter]]"),
        ('"human"', '"human"\npersons = 3', "expected body or residue in recorded patients, found 'behaviours'"),
        ('"human"', '"human"\npersons = -1', "persons"),
    ],
)
def test_a_wrong_problem_is_one_clear_line(path: Path, old: str, new: str, expected: str) -> None:
    assert old in PROBLEM
    path.write_text(PROBLEM.replace(old, new), encoding="utf-8")
    done = CliRunner().invoke(cli.main, ["calibrate", "--check", str(path)])
    assert done.exit_code == 2
    assert expected in done.stderr
    assert str(path) in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize(("target", "cohort"), [("O26.with", "labelled_volunteer"), ("O47.chronic", "reconstitution")])
def test_only_patients_with_residual_leukaemia_and_without_a_lattice_are_recorded(
    path: Path, target: str, cohort: str
) -> None:
    text = PROBLEM.replace('"human"', '"human"\npersons = 3').replace("O26.with", target)
    row = text.index('table = "behaviours"'), text.index("low = 0.4")
    changed = text[: row[0]] + 'table = "residue"\nrow = { name = "lsc_kill" }\ncolumn = "value"\n' + text[row[1] :]
    path.write_text(changed, encoding="utf-8")
    done = CliRunner().invoke(cli.main, ["calibrate", "--check", str(path)])
    assert done.exit_code == 2
    assert f"expected cohorts without a lattice and with patient.residual_leukaemia=true, found {target}" in done.stderr
    assert cohort in done.stderr


def test_what_a_replay_does_not_follow_is_refused(path: Path) -> None:
    text = PROBLEM.replace('"human"', '"human"\npersons = 3').replace("O26.with", "O58.haplotype")
    row = text.index('table = "behaviours"'), text.index("low = 0.4")
    changed = text[: row[0]] + 'table = "residue"\nrow = { name = "lsc_kill" }\ncolumn = "value"\n' + text[row[1] :]
    path.write_text(changed, encoding="utf-8")
    done = CliRunner().invoke(cli.main, ["calibrate", "--check", str(path)])
    assert done.exit_code == 2
    assert "expected what a replay tells, found O58.haplotype" in done.stderr


def test_an_unknown_problem_names_the_nearest() -> None:
    done = CliRunner().invoke(cli.main, ["calibrate", "neutrophil"])
    assert done.exit_code == 2
    assert "no such problem (did you mean neutrophils?)" in done.stderr


def test_tables_differ_in_the_free_number_only(path: Path, tmp_path: Path) -> None:
    problem = read_problem(path)
    folder = write_tables(problem, [0.7], tmp_path / "point")
    human = SCENARIOS / "rules" / "human"
    before, after = load_rules(human).base, load_rules(Overlay(human, folder)).base
    different = np.argwhere(before != after)
    assert {(int(row) // 2, int(column)) for row, column in different} == {(Kind.NEUTROPHIL, Behaviour.EGRESS)}
    assert after[Kind.NEUTROPHIL * 2, Behaviour.EGRESS] == 0.7
    assert [file.name for file in folder.iterdir()] == ["behaviours.csv"]


def test_implausibility_is_the_largest_distance_in_standard_errors() -> None:
    bands = matching.Bands.of([(0.0, 2 * 1.96), (10.0, 20.0)], [None, 12.0])
    assert bands.centre == pytest.approx([1.96, 12.0])
    assert bands.error == pytest.approx([1.0, 10 / 3.92], rel=1e-4)
    offset = matching.Offset(np.array([0.5, 0.0]), np.array([0.0, 0.0]))
    found = np.array([[1.46, 12.0], [1.46, 12.0 + 2 * 10 / 3.92], [4.46, 12.0], [np.nan, 12.0]])
    score = matching.implausibility(found, bands, offset)
    assert score == pytest.approx([0.0, 2.0, 3.0, np.inf], abs=1e-3)
    wide = matching.implausibility(found, bands, offset._replace(spread=np.array([1.0, 0.0])))
    assert wide[2] == pytest.approx(3 / np.sqrt(2), abs=1e-3)


def test_offset_is_what_the_lattice_adds() -> None:
    well_mixed = np.array([[1.0], [2.0], [4.0]])
    offset = matching.Offset.measured(well_mixed + np.array([[0.5], [0.7], [0.9]]), well_mixed)
    assert offset.mean == pytest.approx([0.7])
    assert offset.spread == pytest.approx([0.2])


def test_history_matching_finds_the_truth_of_a_known_model() -> None:
    """Two parameters, two targets that a linear model with offset maps one to one: the truth is not ruled out."""
    truth, random = np.array([0.3, 0.7]), np.random.default_rng(5)
    points = random.random((4000, 2))

    def model(x: np.ndarray) -> np.ndarray:
        return np.stack([x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]], axis=1)

    offset = matching.Offset(np.array([0.2, -0.1]), np.array([0.005, 0.005]))
    aim = model(truth[None])[0] + offset.mean
    bands = matching.Bands(aim, np.array([0.02, 0.02]))
    left = matching.plausible(points, matching.implausibility(model(points), bands, offset))
    assert np.all((left.low < truth) & (truth < left.high))
    assert np.all(left.high - left.low < 0.15)
    assert left.best == pytest.approx(truth, abs=0.03)
    assert 0 < left.share < 0.05


def test_nothing_may_be_left_of_the_prior() -> None:
    left = matching.plausible(np.array([[0.1], [0.2]]), np.array([4.0, 5.0]))
    assert left.share == 0.0
    assert np.isnan(left.low).all()
    assert left.best == pytest.approx([0.1])


def test_design_fills_the_prior_and_begins_with_the_tables(path: Path) -> None:
    pytest.importorskip("SALib")
    points = search.design(read_problem(path), 8)
    assert points[0] == pytest.approx([0.524])
    assert sorted(np.floor((points[1:, 0] - 0.4) / 0.05).astype(int)) == list(range(8))
    assert np.array_equal(points, search.design(read_problem(path), 8))


def healthy(*changes: str) -> WellMixed:
    return WellMixed(load_config(SCENARIOS / "homeostasis.toml", ["time.end_day=8", "time.step_min=120", *changes], 1))


def test_a_well_mixed_patient_has_no_leukaemia() -> None:
    with pytest.raises(ConfigError, match="a well-mixed patient has no other leukaemia"):
        healthy('patient.disease="aml"', "patient.blast_fraction=0.1")


def test_well_mixed_cells_are_neither_lost_nor_made() -> None:
    """Change of the pool = births - deaths - exits + commitment of stem cells, for a kind that does nothing else."""
    patient = healthy()
    before, stem = patient.pool.copy(), patient.stem.copy()
    patient.advance()
    # stem cells: divisions add what commits and what leaves; all five places are accounted for
    cleared = patient.stem.sum() - stem.sum()
    assert abs(cleared) < 0.01 * stem.sum()
    assert np.all(patient.pool >= 0.0)
    assert patient.pool.sum() == pytest.approx(before.sum(), rel=0.02)


def test_division_passes_a_label_on_whole() -> None:
    patient = healthy()
    patient.label[0, Kind.GMP] = patient.pool[0, Kind.GMP]
    given = patient.label.sum()
    for _ in range(12):
        patient.advance()
    out = patient.flux[Count.LABELLED_EGRESS].sum() / (1 << Label.DNA)
    assert patient.label.sum() + out == pytest.approx(given, rel=0.02)  # a few die
    assert patient.label[0, Kind.GMP].sum() < 0.9 * given
    assert patient.label[0, Kind.MYELOBLAST].sum() > 0.0


def test_healthy_blood_holds_itself_when_well_mixed() -> None:
    patient = healthy("time.end_day=30")
    while patient.step < patient.config.n_steps:
        patient.advance()
    seen = patient.record().values
    assert 2.0 < seen["anc"] < 7.0
    assert 120 < seen["platelets"] < 400
    assert 0.85 < seen["niche_occupancy"] < 1.0


def test_a_result_is_toml_even_where_nothing_is_left() -> None:
    document = {"what": "one", "share": 0.5, "parameter": [{"name": "a", "plausible": [], "best": float("nan")}]}
    read = tomllib.loads(to_toml(document))
    assert read["share"] == 0.5
    assert np.isnan(read["parameter"][0]["best"])


# ---------------------------------------------------------------------------------------------- what is expected


def test_targets_are_followed_well_mixed_once_where_all_patients_are_alike(tmp_path: Path) -> None:
    """Docetaxel without priors: one patient, whose lowest count comes within two days of the band of days 6 to 10."""
    seen = CliRunner().invoke(
        cli.main, ["calibrate", "--expect", "O21.nadir_day,O22.anc", "--out", str(tmp_path), "--jobs", "1"]
    )
    assert seen.exit_code == 0, seen.output
    assert "not modelled, a well-mixed patient has no leukaemia: O22.anc" in seen.output
    (kept,) = (tmp_path / "expected").glob("docetaxel-1-*.json")
    day = json.loads(kept.read_text())["values"]["anc_nadir_day"]
    assert 4 <= day <= 12
    row = next(line for line in seen.output.splitlines() if line.startswith("O21.nadir_day"))
    assert f"  {day:.0f}  " in row


def test_a_cohort_in_remission_is_followed_without_its_last_blasts() -> None:
    protocols = read_catalogue().protocols
    drawn = [case.drawn for case in members("sibling_marrow", protocols["sibling_marrow"], 2)]
    assert len(drawn) == 2
    assert drawn[0] != drawn[1]
    overrides = members("sibling_marrow", protocols["sibling_marrow"], 1)[0].overrides
    assert overrides.index("patient.blast_fraction=0.0") > overrides.index("patient.blast_fraction=0.01")
    assert {name: unfit(name, protocols[name]) for name in ("autograft", "walk", "untreated_aml", "induction")} == {
        "autograft": "", "walk": EXPERIMENT, "untreated_aml": "", "induction": LEUKAEMIA,
    }  # fmt: skip


def test_what_is_followed_in_numbers_is_followed_without_a_lattice_too() -> None:
    protocols = read_catalogue().protocols
    (case,) = members("relapse_aml", protocols["relapse_aml"], 1)
    assert "patient.blast_fraction" in dict(case.drawn)
    assert "patient.blast_fraction=0.0" not in case.overrides
    assert not unfit("relapse_cml", protocols["relapse_cml"])
    config = load_config(Path(case.scenario), (*case.overrides, "patient.blast_fraction=0.6"), case.seed)
    patient = WellMixed(config)
    while config.day(patient.step) < 0.0:
        patient.advance()
    assert patient.body.residue is not None
    assert patient.body.residue.phase == RESIDUAL
    assert 1.0 < -patient.body.residue.log_growth / log(10.0) < 6.0  # what busulfan and cyclophosphamide kill


@pytest.mark.parametrize("args", [[], ["neutrophils", "--expect", "O11"]])
def test_a_problem_or_targets_are_asked_for(args: list[str]) -> None:
    seen = CliRunner().invoke(cli.main, ["calibrate", *args])
    assert (seen.exit_code, seen.output.count("\n")) == (2, 1)
    assert "expected either PROBLEM or --expect" in seen.output


@pytest.mark.parametrize("args", [["neutrophils"], ["--expect", "O11"]])
def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path: Path, args: list[str]) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    seen = CliRunner().invoke(cli.main, ["calibrate", *args, "--out", str(mine)])
    assert (seen.exit_code, seen.output.count("\n")) == (2, 1)
    assert f"{mine}: cannot be an output directory: {mine} is not a directory" in seen.output
