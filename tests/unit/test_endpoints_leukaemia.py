"""Remission, relapse and persistent leukaemia, and grafts of odd patients, on hand-made courses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from abm import endpoints as ends
from abm.cells import Count, Kind, Origin
from abm.endpoints import endpoints
from abm.summary import summarise
from tests.unit.test_endpoints import APLASIA, course, leukaemia, steps


def told(run: ends.Course) -> tuple[Any, Any, Any]:
    found = endpoints(run)
    return found["disease"], found["remission_day"], found["relapse_day"]


def words(run: ends.Course) -> dict[str, str]:
    return dict(summarise(endpoints(run)))


def cellular(run: ends.Course, *edges: tuple[float, float]) -> ends.Course:
    """The course with marrow cells, relative to health, as a step function of the day."""
    return run._replace(body={**run.body, "cellularity": steps(*edges)(run.day)})


REMISSION_THEN_DYING_BLASTS = [(-10, 0.01), (2, 0.3), (12, 0.001), (60, 0.0)]


def test_blasts_that_die_in_an_empty_marrow_are_no_relapse() -> None:
    run = leukaemia(*REMISSION_THEN_DYING_BLASTS)._replace(treated_day=-7.0)
    assert told(cellular(run, (-10, 1.0), (-3, 0.05), (20, 0.3)))[::2] == ("remission", None)
    assert told(run) == ("remission", -10, None), "in the four weeks after the graft the marrow is not judged"


def test_blasts_that_die_after_a_second_graft_are_no_relapse() -> None:
    run = leukaemia((0, 0.03), (45, 0.2), (59, 0.001))._replace(treated_day=-7.0)
    assert told(run)[2] == 45
    assert told(run._replace(regraft_day=45.0))[::2] == ("remission", None)


def test_a_marrow_of_few_cells_is_not_judged() -> None:
    run = leukaemia((-10, 0.01), (0, 0.0), (40, 0.5), (60, 0.001))._replace(treated_day=-7.0)
    assert told(run)[::2] == ("relapse", 40)
    assert told(cellular(run, (-10, 1.0), (-3, 0.19), (60, 0.2)))[::2] == ("remission", None)


def test_a_marrow_that_stays_empty_is_not_evaluable() -> None:
    run = leukaemia((-10, 0.3), (0, 0.0))._replace(treated_day=-7.0)
    empty = cellular(run, (-10, 1.0), (-3, 0.05))
    assert told(empty) == ("not evaluable", None, None)
    assert words(empty)["Leukaemia"] == "not evaluable: too few marrow cells from day +28 on"


def test_a_run_of_ten_days_is_not_evaluable() -> None:
    run = leukaemia((-10, 0.3), (0, 0.02), last_day=10)._replace(treated_day=-7.0)
    assert words(run)["Leukaemia"] == "not evaluable: end of run before day +28"
    dead = run._replace(body={"cause_of_death": steps((-10, 0), (10, 1))(run.day)})
    assert words(dead)["Leukaemia"] == "not evaluable: death before day +28"


def test_persistent_leukaemia_is_told_in_words() -> None:
    run = leukaemia((-10, 0.3), (0, 0.07))._replace(treated_day=-7.0)
    assert words(run)["Leukaemia"] == "persistent, never in remission"


@pytest.mark.parametrize(("start", "disease"), [(0.02, "relapse"), (0.049, "persistent")])
def test_who_starts_just_below_five_percent_untreated_is_not_in_remission(start: float, disease: str) -> None:
    run = leukaemia((-10, start), (10, 0.2))._replace(graft_day=None)
    assert endpoints(run)["disease"] == disease


@pytest.mark.parametrize(("disease", "days", "relapse"), [
    ("aml", 5, None), ("aml", 7, 60), ("cml", 7, None), ("cml", 28, 60),
])  # fmt: skip
def test_a_second_look_confirms_a_relapse(disease: str, days: int, relapse: int | None) -> None:
    run = leukaemia((-10, 0.3), (0, 0.001), (60, 0.06), (60 + days, 0.02))._replace(disease=disease)
    assert endpoints(run)["relapse_day"] == relapse


def test_a_marrow_that_hovers_is_in_remission_once_it_stays_below() -> None:
    run = leukaemia((-10, 0.3), (0, 0.06), (35, 0.04), (38, 0.06), (50, 0.04), (90, 0.06))
    assert told(run) == ("relapse", 50, 90)


def test_without_a_graft_the_first_look_is_four_weeks_after_treatment() -> None:
    run = leukaemia((-10, 0.3), (5, 0.03), (20, 0.3), (27, 0.02), (60, 0.3))._replace(graft_day=None, treated_day=0.0)
    assert told(run) == ("relapse", 28, 60)


def test_a_relapse_before_the_graft_is_judged_anew_after_it() -> None:
    run = course(start=-90.0, last_day=120)
    assert told(with_share(run, (-90, 0.01), (-60, 0.3), (0, 0.001))) == ("remission", 28, None)
    assert told(with_share(run, (-90, 0.01), (-60, 0.3))) == ("persistent", None, None)


def with_share(run: ends.Course, *edges: tuple[float, float]) -> ends.Course:
    """The course with a share of leukaemic cells among 1e5 that is a step function of the day."""
    blasts = np.round(1e5 * steps(*edges)(run.day)).astype(np.int64)
    run.counts[:, Count.POPULATION, Kind.BLAST, Origin.HOST] = blasts
    run.counts[:, Count.POPULATION, Kind.NEUTROPHIL, Origin.DONOR] = 100_000 - blasts
    return run


def test_leukaemia_below_one_agent_is_in_remission_and_comes_back() -> None:
    run = leukaemia((-10, 0.0), last_day=200)
    share = steps((-10, 1e-3), (0, 1e-6), (100, 0.2))(run.day)
    assert told(run._replace(body={"residual_share": share})) == ("relapse", -10, 100)


def test_cml_has_a_cytogenetic_and_a_molecular_relapse() -> None:
    run = leukaemia((-10, 0.5), (0, 1e-4), (70, 2e-3), (140, 0.06), last_day=200)._replace(disease="cml")
    found = endpoints(run)
    assert (found["molecular_relapse_day"], found["relapse_day"]) == (70, 140)
    rows = dict(summarise(found))
    assert rows["Leukaemia"] == "cytogenetic relapse on day +140"
    assert rows["Major molecular response lost (0.1 %)"] == "day +70"
    assert endpoints(run._replace(disease="aml"))["molecular_relapse_day"] is None


# ---------------------------------------------------------------------------------------------- grafts


def test_death_before_the_graft_is_no_graft() -> None:
    dead = course(last_day=-2, anc=APLASIA, cause_of_death=steps((-10, 0), (-2, 1)))
    assert (endpoints(dead)["graft"], words(dead)["Graft"]) == (None, "none given")


def test_death_in_aplasia_is_no_graft_failure() -> None:
    dead = course(last_day=20, anc=steps((-10, 4.0), (3, 0.05)), cause_of_death=steps((-10, 0), (20, 1)))
    assert endpoints(dead)["graft_outcome"] is None
    assert words(dead)["Graft"] == "died before it could be judged"


def test_a_count_that_has_not_fallen_yet_says_nothing_of_the_graft() -> None:
    assert endpoints(course(last_day=10, anc=steps((-10, 4.0))))["graft_outcome"] is None
    assert endpoints(course(last_day=40, anc=steps((-10, 4.0))))["graft_outcome"] == "engrafted"


def test_low_counts_of_persistent_leukaemia_are_no_graft_failure() -> None:
    run = leukaemia((-10, 0.4), (0, 0.06), (38, 0.9))
    run = run._replace(body={"anc": steps((-10, 4.0), (3, 0.05), (17, 0.8), (38, 0.2))(run.day)})
    assert endpoints(run)["disease"] == "persistent"
    assert endpoints(run)["graft_outcome"] == "engrafted"
    gone = leukaemia((-10, 0.4), (0, 0.06), (38, 0.001))._replace(body=run.body)
    assert endpoints(gone)["graft_outcome"] == "secondary failure"


@pytest.mark.parametrize(("end", "outcome"), [(4.0, "autologous recovery"), (6.0, "engrafted")])
def test_a_graft_that_is_rejected_late_is_lost_though_neutrophils_stay(end: float, outcome: str) -> None:
    run = course(last_day=120, anc=APLASIA, donor_myeloid=steps((-10, 0.0), (12, 90.0), (80, end)))
    assert endpoints(run)["graft_outcome"] == outcome
    assert endpoints(run._replace(autologous=True))["graft_outcome"] == "engrafted"


@pytest.mark.parametrize(("t_cells", "outcome"), [(4.0, "autologous recovery"), (40.0, "engrafted")])
def test_a_graft_whose_t_cells_stay_is_not_rejected(t_cells: float, outcome: str) -> None:
    shares = {"donor_myeloid": steps((-10, 0.0), (12, 90.0), (80, 1.0)), "donor_t": steps((-10, 0.0), (12, t_cells))}
    assert endpoints(course(last_day=120, anc=APLASIA, **shares))["graft_outcome"] == outcome


def test_a_second_graft_is_judged_by_itself() -> None:
    run = course(last_day=120, anc=steps((-10, 4.0), (3, 0.05), (60, 0.8)))
    assert endpoints(run)["graft_outcome"] == "primary failure"
    again = run._replace(regraft_day=45.0)
    found = endpoints(again)
    assert (found["graft_outcome"], found["second_graft_day"]) == ("primary failure", 45)
    assert found["second_graft_outcome"] == "engrafted"
    assert words(again)["Second graft, day +45"] == "engrafted"
    lost = run._replace(body={"anc": steps((-10, 4.0), (3, 0.05), (17, 0.8), (38, 0.05), (60, 0.8))(run.day)})
    assert endpoints(lost._replace(regraft_day=45.0))["graft_outcome"] == "secondary failure"
    assert endpoints(run._replace(regraft_day=300.0))["second_graft_day"] is None
    rescued = words(run._replace(regraft_day=21.0))
    assert rescued["Graft"] == "replaced before it could be judged"


def test_a_year_without_records_holds_the_last_day() -> None:
    day = np.array([-10.0, 0.0, 5.0, 20.0, 385.0])
    made = leukaemia((-10, 0.0))
    anc = np.array([4.0, 1.0, 0.05, 0.8, 2.0])
    found = endpoints(ends.Course(day, {"anc": anc}, made.counts[: day.size], 0.0))
    assert (found["anc_recovery_day"], found["neutropenia_days"], found["graft_outcome"]) == (20, 15, "engrafted")


def test_who_is_transfused_to_the_end_has_not_recovered() -> None:
    given = {"platelets": steps((-10, 150.0), (4, 30.0)), "platelet_transfusions": lambda day: np.floor((day + 10) / 5)}
    found = endpoints(course(last_day=90, **given))
    assert (found["platelet_recovery"], found["platelet_recovery_day"]) == ("not recovered", None)
    assert words(course(last_day=90, **given))["Platelets >= 20e9/L, untransfused"].startswith("not recovered")


@pytest.mark.parametrize(("last_day", "outcome"), [(41, None), (42, "primary failure")])
def test_cord_blood_is_not_judged_before_its_day(last_day: int, outcome: str | None) -> None:
    run = course(last_day=last_day, source="cord", anc=steps((-10, 4.0), (3, 0.05)))
    assert endpoints(run)["graft_outcome"] == outcome


def test_a_single_record_is_told() -> None:
    run = leukaemia((-10, 0.3), last_day=-10)._replace(treated_day=-7.0)
    assert told(run) == ("persistent", None, None)
    assert summarise(endpoints(run))


def test_a_patch_of_few_cells_is_not_evaluable_untreated() -> None:
    run = leukaemia((-10, 0.3), cells=100)._replace(graft_day=None)
    assert told(run) == ("not evaluable", None, None)
    assert words(run)["Leukaemia"] == "not evaluable: too few marrow cells"
