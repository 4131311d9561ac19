"""Survival and incidence against numbers that can be worked out by hand, and the command that tells them."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from abm.cli import main
from abm.cohort import table
from abm.outcomes import CENSORED, EVENT, RIVAL, Time, at, curve, first, times
from tests.unit import made_up_run
from tests.unit.test_endpoints import course, steps


def test_kaplan_meier_by_hand() -> None:
    """Events on days 2 and 6, one censored between: 5/6, then 5/6 * 3/4 with 4 left, as worked by hand."""
    patients = [Time(2, EVENT), Time(4, CENSORED), Time(6, EVENT), *[Time(9, CENSORED)] * 3]
    points = curve(patients, survives=True)
    assert [(p.day, p.at_risk) for p in points] == [(2, 6), (6, 4)]
    assert [p.share for p in points] == pytest.approx([5 / 6, 5 / 8])
    assert all(p.low < p.share < p.high for p in points)


def test_without_rivals_the_variance_is_greenwoods() -> None:
    days = [Time(float(day), EVENT if day % 3 else CENSORED) for day in range(1, 25)]
    survival, incidence = curve(days, survives=True), curve(days, survives=False)
    assert [a.share + b.share for a, b in zip(survival, incidence, strict=True)] == pytest.approx([1.0] * len(survival))
    total = 0.0
    for point in survival[:-1]:
        total += 1.0 / (point.at_risk * (point.at_risk - 1.0))
        half = 1.959964 * sqrt(total) / abs(np.log(point.share))
        assert (point.low, point.high) == pytest.approx(
            (point.share ** np.exp(half), point.share ** np.exp(-half)), rel=1e-5
        )


def test_incidence_counts_who_died_before_as_never_to_relapse() -> None:
    """Half die on day 1, the others relapse on day 2: half relapse, where 1 - Kaplan-Meier would say all."""
    patients = [Time(1, RIVAL)] * 10 + [Time(2, EVENT)] * 10
    points = curve(patients, survives=False)
    assert [p.share for p in points] == pytest.approx([0.0, 0.5])
    assert 1.0 - curve([Time(t, s if s == EVENT else CENSORED) for t, s in patients], survives=True)[-1].share == 1.0


def test_incidences_of_rivals_and_survival_add_up_to_one() -> None:
    draw = np.random.default_rng(5)
    patients = [
        Time(float(d), int(s)) for d, s in zip(draw.integers(1, 60, 200), draw.integers(0, 3, 200), strict=True)
    ]
    swapped = [Time(d, {EVENT: RIVAL, RIVAL: EVENT}.get(s, s)) for d, s in patients]
    either = [Time(d, EVENT if s else CENSORED) for d, s in patients]
    shares = [at(p, 50, survives=False).share for p in (patients, swapped)]
    assert sum(shares) + at(either, 50, survives=True).share == pytest.approx(1.0)


def test_intervals_cover() -> None:
    """Of 300 cohorts of 40 whose true incidence by day 5 is known, 95 % intervals cover it in at least 90 %."""
    draw, covered = np.random.default_rng(7), 0
    rates = (0.05, 0.1)
    truth = rates[0] / sum(rates) * (1.0 - np.exp(-5.0 * sum(rates)))
    for _ in range(300):
        when = draw.exponential(1.0 / sum(rates), 40)
        what = np.where(draw.random(40) < rates[0] / sum(rates), EVENT, RIVAL)
        point = at([Time(float(d), int(s)) for d, s in zip(when, what, strict=True)], 5.0, survives=False)
        covered += point.low <= truth <= point.high
    assert covered >= 270


def test_a_cohort_without_events_does_not_prove_that_there_are_none() -> None:
    """Clopper and Pearson: none of 3 is compatible with 71 %, none of 100 with 3.6 %."""
    for n, high in ((3, 0.7076), (100, 0.0362)):
        point = at([Time(180, CENSORED)] * n, 100, survives=False)
        assert (point.share, point.low, point.high) == (0.0, 0.0, pytest.approx(high, abs=1e-4))
        point = at([Time(180, CENSORED)] * n, 100, survives=True)
        assert (point.share, point.low, point.high) == (1.0, pytest.approx(1.0 - high, abs=1e-4), 1.0)
    all_died = at([Time(20, EVENT)] * 3, 100, survives=True)
    assert (all_died.share, all_died.low, all_died.high) == (0.0, 0.0, pytest.approx(0.7076, abs=1e-4))


def test_who_is_lost_tells_nothing_of_later_days() -> None:
    patients = [Time(30, CENSORED)] * 97 + [Time(180, CENSORED)] * 3
    assert at(patients, 20, survives=False).high == pytest.approx(0.0362, abs=1e-4)
    assert at(patients, 100, survives=False).high == pytest.approx(0.7076, abs=1e-4)
    rivals = [Time(10, RIVAL)] * 97 + [Time(180, CENSORED)] * 3
    assert at(rivals, 100, survives=False).high == pytest.approx(0.0362, abs=1e-4), "the dead will not relapse"


def test_what_comes_first_counts() -> None:
    assert first(100.0, 20.0, 30.0) == (20.0, EVENT)
    assert first(100.0, 30.0, 20.0) == (20.0, RIVAL)
    assert first(100.0, 120.0, 130.0) == (100.0, CENSORED)


def test_times_of_one_patient() -> None:
    found = {"end_day": 90.0, "death_day": 90.0, "relapse_day": 60, "gvhd_grade3_onset_day": 30, "disease": "relapse"}
    assert times(found) == {
        "os": (90.0, EVENT), "rfs": (60.0, EVENT), "grfs": (30.0, EVENT), "relapse": (60.0, EVENT),
        "nrm": (60.0, RIVAL), "acute_2_4": (90.0, RIVAL), "chronic": (90.0, RIVAL),
        "neoplasm": (90.0, RIVAL),
    }  # fmt: skip
    assert times({"end_day": 50.0, "disease": "persistent"})["rfs"] == (0.0, EVENT)


def test_leukaemia_that_kills_is_no_death_without_relapse() -> None:
    found = times({"end_day": 20.0, "death_day": 20.0, "death_cause": "leukaemia", "disease": "not evaluable"})
    assert (found["relapse"], found["nrm"]) == ((20.0, EVENT), (20.0, RIVAL))
    aplasia = times({"end_day": 20.0, "death_day": 20.0, "death_cause": "infection", "disease": "not evaluable"})
    assert (aplasia["relapse"], aplasia["nrm"], aplasia["rfs"]) == ((20.0, RIVAL), (20.0, EVENT), (20.0, EVENT))


@pytest.mark.parametrize("disease", ["none", "new leukaemia"])
def test_a_new_leukaemia_that_kills_is_no_relapse(disease: str) -> None:
    found = times({"end_day": 119.0, "death_day": 119.0, "death_cause": "leukaemia", "disease": disease})
    assert (found["relapse"], found["nrm"]) == ((119.0, RIVAL), (119.0, EVENT))


def test_relapse_and_death_of_one_day_count_once() -> None:
    found = times({"end_day": 60.0, "death_day": 60.0, "death_cause": "infection", "relapse_day": 60})
    assert (found["relapse"].status, found["nrm"].status) == (EVENT, RIVAL)


def test_who_dies_before_the_graft_is_not_counted() -> None:
    early = {"end_day": -3.0, "death_day": -3.0, "death_cause": "infection"}
    late = {"end_day": 120.0, "death_day": None, "disease": "persistent"}
    lines = list(table([early, late]))
    assert lines[0] == "1 died or ended before day 0 and are not counted"
    assert lines[1].startswith("1 patients")
    assert "leukaemia: persistent 1" in lines
    assert list(table([early])) == lines[:1]


def test_endpoints_tell_chronic_gvhd_and_infections() -> None:
    from abm.endpoints import endpoints
    from abm.summary import summarise

    found = endpoints(course(
        last_day=200, gvhd_grade=steps((-10, 0), (30, 3), (40, 0)),
        chronic_gvhd=steps((-10, 0.0), (120, 5.0), (150, 40.0)),
        bacteria_episodes=steps((-10, 0), (8, 1), (20, 2)), cmv_episodes=steps((-10, 0)),
    ))  # fmt: skip
    assert (found["gvhd_grade3_onset_day"], found["chronic_gvhd_onset_day"], found["chronic_gvhd_moderate_day"]) == (
        30,
        120,
        150,
    )
    assert (found["bacteria_episodes"], found["bacteria_day"], found["cmv_episodes"], found["cmv_day"]) == (
        2,
        8,
        0,
        None,
    )
    rows = dict(summarise(found))
    assert rows["Chronic GVHD"] == "since day +120"
    assert rows["Infections"] == "2 of bacteria, day +8"


def test_the_command_tells_a_cohort(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made_up_run.make_run(tmp_path / name)
    out = tmp_path / "curves.csv"
    done = CliRunner().invoke(main, ["outcomes", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("2 patients")
    assert "overall survival" in done.output
    assert out.read_text().startswith("outcome,day,share,low,high,at_risk")


def test_a_patient_counts_once(tmp_path: Path) -> None:
    made_up_run.make_run(tmp_path / "a")
    again = f"{tmp_path}/b/../a"
    (tmp_path / "b").mkdir()
    done = CliRunner().invoke(main, ["outcomes", str(tmp_path / "a"), again])
    assert (done.exit_code, done.output) == (2, f"error: {again}: stands twice; expected each patient once\n")


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["outcomes", str(tmp_path)])
    assert done.exit_code == 2
    assert f"{tmp_path}: no series.h5 here" in done.output


def test_causes_of_death_are_counted() -> None:
    dead = {"end_day": 9.0, "death_day": 9.0, "death_cause": "infection", "graft_outcome": None}
    alive = {"end_day": 120.0, "death_day": None, "death_cause": None, "graft_outcome": "engrafted"}
    lines = list(table([dead, dead, alive]))
    assert "died of: infection 2" in lines
    assert "grafts: engrafted 1" in lines
    assert "33 %" in next(line for line in lines if line.startswith("overall survival"))


def test_a_new_neoplasm_has_death_as_its_rival() -> None:
    found = [{"end_day": 900.0, "neoplasm_day": 400.0}, {"end_day": 300.0, "death_day": 300.0}, {"end_day": 900.0}]
    each = [times(one)["neoplasm"] for one in found]
    assert each == [Time(400.0, EVENT), Time(300.0, RIVAL), Time(900.0, CENSORED)]
    assert curve(each, survives=False)[-1].share == pytest.approx(1 / 3)
    assert times(found[0])["relapse"].status == CENSORED
    assert any(line.startswith("new myeloid neoplasm, death its rival") for line in table([dict(one) for one in found]))
