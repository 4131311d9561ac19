"""The equations of many patients at once are those of the body: a recorded patient comes out as it was."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from abm import cli
from abm.calibration import recorded, refit, relapse
from abm.calibration.problem import current, read_problem
from abm.calibration.recorded import Course
from abm.calibration.relapse import Cohort
from abm.calibration.replay import Persons
from abm.config import load_config
from abm.validation import cases
from abm.validation.cases import Case
from abm.validation.draws import draw
from abm.validation.targets import Protocol, read_catalogue
from abm.well_mixed import WellMixed

SEED = 3  #: has acute GVHD of grade II or more, the steroid, and chronic GVHD before day 70
NAME, PERSONS = "relapse_aml", 3


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    """The cohort after marrow of a sibling, for ten weeks."""
    found = read_catalogue().protocols[NAME]
    return found.model_copy(update={"quick": (*found.quick, "time.end_day=70")})


@pytest.fixture(scope="module")
def case(protocol: Protocol) -> Case:
    return cases.cases(NAME, protocol, quick=True, seeds=SEED, first=SEED)[0]


@pytest.fixture(scope="module")
def followed(case: Case) -> tuple[Course, WellMixed]:
    """That patient, recorded."""
    return recorded.record(case)


@pytest.fixture(scope="module")
def cohort(protocol: Protocol, followed: tuple[Course, WellMixed], tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Persons in what the patient met, the first of whom is the patient."""
    out = tmp_path_factory.mktemp("recorded")
    for one in cases.cases(NAME, protocol, quick=True, seeds=SEED, first=SEED):
        followed[0].write(out / f"{Path(one.file).stem}.npz")
    return relapse.gather(NAME, protocol, range(SEED, SEED + 1), PERSONS, out, pytest.fail)


def test_a_recorded_patient_comes_out_as_it_was(cohort: Cohort, followed: tuple[Course, WellMixed]) -> None:
    _, patient = followed
    day, series = relapse.follow(cohort, relapse.numbers_of(cohort))
    found = patient.body.observables()
    assert day[-1] == patient.body.day
    assert found["chronic_gvhd"] > 0.01
    assert series["gvhd_grade"][:, 0].max() >= 2.0  # the steroid is given
    for name, values in series.items():
        assert values[-1, 0] == pytest.approx(found[name], rel=1e-9, abs=1e-12), name


def test_recording_changes_nothing(case: Case, followed: tuple[Course, WellMixed]) -> None:
    again = WellMixed(load_config(Path(case.scenario), case.overrides, case.seed))
    while not again.over:
        again.advance()
    packed = again.body.pack()
    assert all(np.array_equal(packed[name], array) for name, array in followed[1].body.pack().items())


def test_other_persons_are_who_they_would_be_from_the_start(cohort: Cohort, protocol: Protocol, case: Case) -> None:
    """A patient who starts with what was drawn for another person is that person."""
    keys = [*(f"patient.{name}" for name in relapse.SHARED), *relapse.OWN]
    drawn = [f"{key}={draw(protocol.priors[key], key, SEED + 1000, protocol.priors)!r}" for key in keys]
    started = relapse.persons_of(WellMixed(load_config(Path(case.scenario), (*case.overrides, *drawn), SEED)).body)
    kept = {"sensitivity", "alloreactivity", "luck", "turn", "place"}  # relative to the recorded one, or drawn
    for name in {f.name for f in fields(Persons)} - kept:
        assert getattr(cohort.persons, name)[1] == pytest.approx(getattr(started, name)[0], rel=1e-9), name


def test_numbers_move_what_they_should(cohort: Cohort) -> None:
    """Without a kill by T cells nobody's risk is lower, and one's is higher; chronic GVHD is the same."""
    usual, spared = (
        relapse.follow(cohort, relapse.numbers_of(cohort, changes))[1] for changes in ({}, {"lsc_kill": 0.0})
    )
    assert (spared["relapse_risk"][-1] >= usual["relapse_risk"][-1]).all()
    assert (spared["relapse_risk"][-1] > usual["relapse_risk"][-1] * 1.01).any()
    assert spared["chronic_risk"] == pytest.approx(usual["chronic_risk"], rel=1e-5)  # leukaemia wakes T cells


def test_a_disease_that_presents_better_wakes_t_cells_as_more_activation_does(cohort: Cohort) -> None:
    usual = relapse.numbers_of(cohort)
    stronger = {"leukaemia_presentation": 1.5}, {"relapse_danger": 1.5 * usual.organs.relapse_danger}
    shown, woken = (relapse.follow(cohort, relapse.numbers_of(cohort, changes))[1] for changes in stronger)
    before = relapse.follow(cohort, usual)[1]
    assert all(np.array_equal(shown[name], woken[name]) for name in before)
    assert not np.array_equal(shown["residual_stem_cells"], before["residual_stem_cells"])


def test_targets_are_measured_as_validation_does(cohort: Cohort) -> None:
    targets = [target for target in read_catalogue().targets if target.name in ("O55.aml_sibling", "O54.both")]
    rows = relapse.rows({NAME: cohort}, targets, {})
    risk = relapse.follow(cohort, relapse.numbers_of(cohort))[1]["relapse_risk"][-1]
    assert rows[1].estimate.value == pytest.approx(100.0 * risk.mean(), abs=3.0)
    assert rows[1].estimate.n == PERSONS


def test_a_patient_without_residual_leukaemia_is_refused() -> None:
    config = load_config(Path("scenarios/allo_sibling.toml"), ("patient.blast_fraction=0",), 1)
    body = WellMixed(config).body
    with pytest.raises(ValueError, match="expected a patient with residual leukaemia"):
        recorded.watch(body)
    with pytest.raises(ValueError, match="expected a patient with residual leukaemia"):
        relapse.persons_of(body)


PROBLEM = f"""what = "one number in recorded patients"
species = "human"
persons = {PERSONS}
targets = ["O55.aml_sibling"]

[[parameter]]
name = "kill"
table = "residue"
row = {{ name = "lsc_kill" }}
column = "value"
low = 0.05
high = 0.6
source = "made up"
status = "assumption"
"""


def test_a_problem_is_solved_in_recorded_patients(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten values of the kill: the one that comes nearest to the published share is told, and what the tables give."""
    pytest.importorskip("SALib")
    path = tmp_path / "one.toml"
    path.write_text(PROBLEM, encoding="utf-8")
    monkeypatch.setattr(refit, "cohorts", lambda *_: {NAME: cohort})
    done = CliRunner().invoke(
        cli.main, ["calibrate", str(path), "--coarse", "10", "--out", str(tmp_path)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    found = tomllib.loads((tmp_path / "one.result.toml").read_text(encoding="utf-8"))
    target, problem = found["target"][0], read_problem(path)
    catalogue = read_catalogue().targets
    now = relapse.rows({NAME: cohort}, [one for one in catalogue if one.name == target["id"]], {})[0].estimate.value
    assert target["now"] == pytest.approx(now, abs=1e-3)
    assert abs(target["best"] - 16.0) <= abs(target["now"] - 16.0)
    assert 0.05 <= found["parameter"][0]["best"] <= 0.6
    assert found["parameter"][0]["now"] == current(problem)[0]


def test_patients_are_recorded_once(protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = protocol.model_copy(update={"quick": (*protocol.quick, "time.end_day=11")})
    monkeypatch.setattr("abm.validation.score.needed", lambda *_: [NAME])
    catalogue = replace(read_catalogue(), protocols={NAME: short})
    told: list[str] = []
    (tmp_path / "one.toml").write_text(PROBLEM, encoding="utf-8")
    problem = read_problem(tmp_path / "one.toml")
    first, second = (refit.cohorts(problem, [], catalogue, 2, tmp_path, told.append)[NAME] for _ in range(2))
    assert told == [f"{NAME}: patient 1", f"{NAME}: patient 2"]
    assert np.array_equal(first.course.cellularity, second.course.cellularity)
    assert first.persons.place.tolist() == [0, 0, 0, 1, 1, 1]
