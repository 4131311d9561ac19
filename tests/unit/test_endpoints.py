"""Clinical endpoints on hand-made courses whose answers are known from the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from abm import endpoints as ends
from abm.cells import N_COUNTS, N_KINDS, N_ORIGINS, Count, Kind, Origin
from abm.summary import summarise


def course(last_day=60, every_h=24, graft_day=0.0, source="marrow", start=-10.0, **body):
    """A course without cells; keyword arguments are observables as functions of the day."""
    day = np.arange(start, last_day + 1e-9, every_h / 24)
    counts = np.zeros((len(day), N_COUNTS, N_KINDS, N_ORIGINS), dtype=np.int64)
    return ends.Course(day, {name: make(day) for name, make in body.items()}, counts, graft_day, source)


def steps(*edges):
    """A step function from (first day, value) pairs."""
    days, values = zip(*edges, strict=True)
    return lambda day: np.asarray(values, dtype=float)[np.searchsorted(days, day, side="right") - 1]


APLASIA = steps((-10, 4.0), (3, 0.05), (17, 0.8))


def test_neutrophils_recover_on_the_first_of_three_days():
    found = ends.endpoints(course(anc=APLASIA))
    assert (found["anc_recovery"], found["anc_recovery_day"]) == ("recovered", 17)
    assert (found["anc_nadir"], found["anc_nadir_day"], found["neutropenia_days"]) == (0.05, 3, 14)
    assert found["graft_outcome"] == "engrafted"


def test_a_mouse_has_recovered_at_the_same_share_of_its_usual_counts():
    counts = {"anc": steps((-10, 1.0), (2, 0.02), (13, 0.3)), "platelets": steps((-10, 1000), (6, 80), (15, 400))}
    mouse = course(**counts)._replace(species="mouse")
    found = ends.endpoints(mouse)
    assert (found["anc_recovery_day"], found["platelet_recovery_day"]) == (13, 15)
    assert (found["neutropenia_days"], found["graft_outcome"]) == (11, "engrafted")
    assert dict(summarise(found))["Neutrophils >= 0.125e9/L"] == "day +13 (nadir 0.02e9/L on day +2)"
    lost = steps((-10, 1.0), (2, 0.02), (13, 0.3), (40, 0.1))
    assert ends.endpoints(mouse._replace(body={"anc": lost(mouse.day)}))["graft_outcome"] == "secondary failure"
    assert ends.endpoints(course(**counts))["graft_outcome"] == "primary failure"


def test_two_days_above_are_not_enough():
    anc = steps((-10, 4.0), (3, 0.05), (12, 0.7), (14, 0.3), (20, 0.6))
    assert ends.endpoints(course(anc=anc))["anc_recovery_day"] == 20


def test_a_day_counts_with_its_lowest_value():
    dip = course(every_h=6, anc=lambda day: np.where(np.isclose(day, 18.75), 0.4, APLASIA(day)))
    assert ends.endpoints(dip)["anc_recovery_day"] == 19


def test_a_count_above_before_the_fall_is_no_recovery():
    found = ends.endpoints(course(last_day=10, anc=steps((-10, 4.0), (6, 0.05))))
    assert (found["anc_recovery"], found["anc_recovery_day"]) == ("not recovered", None)


def test_never_below_has_no_day():
    found = ends.endpoints(course(anc=steps((-10, 4.0), (3, 0.9), (17, 3.0))))
    assert (found["anc_recovery"], found["anc_recovery_day"]) == ("never below", None)
    assert found["anc_nadir"] == 0.9


def test_days_count_from_the_graft():
    assert ends.endpoints(course(anc=APLASIA, graft_day=2.0))["anc_recovery_day"] == 15


def test_exactly_at_the_threshold_is_recovered():
    assert ends.endpoints(course(anc=steps((-10, 4.0), (3, 0.05), (15, 0.5))))["anc_recovery_day"] == 15


@pytest.mark.parametrize(("last_transfusion", "recovered"), [(8, 18), (12, 20), (20, 28)])
def test_platelets_recover_seven_days_after_the_last_transfusion(last_transfusion, recovered):
    found = ends.endpoints(
        course(
            platelets=steps((-10, 150.0), (4, 8.0), (18, 30.0), (40, 60.0)),
            platelet_transfusions=steps((-10, 0), (6, 1), (last_transfusion, 2)),
        )
    )
    assert found["platelet_recovery_day"] == recovered
    assert found["platelet_50_day"] == 40
    assert found["platelet_transfusions"] == 2


def test_transfused_platelets_are_a_nadir_although_never_below():
    found = ends.endpoints(
        course(platelets=lambda day: np.full_like(day, 35.0), platelet_transfusions=steps((-10, 0), (9, 1)))
    )
    assert (found["platelet_recovery"], found["platelet_recovery_day"]) == ("recovered", 17)


@pytest.mark.parametrize(("nadir", "after", "status", "said"), [
    (60.0, 60.0, "never below", "never below"), (35.0, 60.0, "recovered", "day +18"),
    (35.0, 35.0, "not recovered", "not recovered"),
])  # fmt: skip
def test_platelets_that_never_fell_below_50_are_not_waited_for(nadir, after, status, said):
    found = ends.endpoints(course(platelets=steps((-10, 150.0), (4, nadir), (18, after))))
    assert found["platelet_50_recovery"] == status
    assert found["platelet_50_day"] == (18 if status == "recovered" else None)
    assert dict(summarise(found))["Platelets >= 50e9/L, untransfused"] == said


def test_transfusions_before_the_run_do_not_count_as_support():
    found = ends.endpoints(
        course(platelets=steps((-10, 150.0), (4, 8.0), (11, 25.0)), platelet_transfusions=steps((-10, 3)))
    )
    assert found["platelet_recovery_day"] == 11


@pytest.mark.parametrize(("source", "day", "outcome"), [
    ("marrow", 30, "engrafted"), ("marrow", 31, "primary failure"), ("cord", 31, "engrafted"),
    ("cord", 43, "primary failure"), ("blood", 99, "primary failure"),
])  # fmt: skip
def test_primary_failure_depends_on_the_source(source, day, outcome):
    found = ends.endpoints(course(source=source, anc=steps((-10, 4.0), (3, 0.05), (day, 0.8))))
    assert found["graft_outcome"] == outcome


def test_a_graft_is_not_judged_too_early():
    assert ends.endpoints(course(last_day=25, anc=steps((-10, 4.0), (3, 0.05))))["graft_outcome"] is None
    assert ends.endpoints(course(graft_day=None, anc=APLASIA))["graft_outcome"] is None


def test_host_recovery_is_not_engraftment():
    found = ends.endpoints(course(anc=APLASIA, donor_myeloid=lambda day: np.full_like(day, 3.0)))
    assert found["graft_outcome"] == "autologous recovery"


@pytest.mark.parametrize(("back", "outcome"), [(99, "secondary failure"), (45, "engrafted")])
def test_secondary_failure_is_lasting(back, outcome):
    found = ends.endpoints(course(anc=steps((-10, 4.0), (3, 0.05), (17, 0.8), (38, 0.2), (back, 1.0))))
    assert found["graft_outcome"] == outcome


def test_chimerism_only_with_a_graft_and_only_on_reached_days():
    donor = {"donor_myeloid": lambda day: np.clip(day, 0, 99.0), "donor_t": lambda day: np.full_like(day, np.nan)}
    given = course(last_day=110, **donor)
    given.counts[:, Count.POPULATION, Kind.HSC, Origin.HOST] = 1
    given.counts[:, Count.POPULATION, Kind.HSC, Origin.DONOR] = 2
    given.counts[:, Count.POPULATION, Kind.HSC, Origin.DONOR2] = 1
    given.counts[:, Count.POPULATION, Kind.MPP, Origin.DONOR] = 4
    found = ends.endpoints(given)
    assert [found[f"chimerism_myeloid_d{d}"] for d in ends.LANDMARKS] == [30.0, 99.0, None]
    assert (found["chimerism_hsc_d30"], found["chimerism_cd34_d30"]) == (75.0, 87.5)
    assert found["chimerism_t_d30"] is None
    assert ends.endpoints(given._replace(graft_day=None))["chimerism_hsc_d30"] is None


def leukaemia(*edges, cells=100_000, last_day=120, reticulocytes=0):
    """A course whose leukaemic fraction is a step function of the day."""
    made = course(last_day=last_day)
    share = np.round(steps(*edges)(made.day) * cells).astype(np.int64)
    made.counts[:, Count.POPULATION, Kind.BLAST, Origin.HOST] = share
    made.counts[:, Count.POPULATION, Kind.NEUTROPHIL, Origin.DONOR] = cells - share
    made.counts[:, Count.POPULATION, Kind.RETICULOCYTE, Origin.DONOR] = reticulocytes
    return made


@pytest.mark.parametrize(("edges", "disease", "day"), [
    ([(-10, 0.0)], "none", None),
    ([(-10, 0.4), (0, 0.06)], "persistent", None),
    ([(-10, 0.4), (0, 0.0), (90, 0.049)], "remission", None),
    ([(-10, 0.4), (0, 0.009), (50, 0.03), (70, 0.05), (80, 0.6)], "relapse", 70),
    ([(-10, 0.4), (0, 0.02), (50, 0.3)], "relapse", 50),
])  # fmt: skip
def test_course_of_the_disease(edges, disease, day):
    found = ends.endpoints(leukaemia(*edges))
    assert (found["disease"], found["relapse_day"]) == (disease, day)


@pytest.mark.parametrize(("edges", "disease", "day"), [
    ([(-10, 0.0)], "none", None),
    ([(-10, 0.0), (40, 0.02)], "none", None),
    ([(-10, 0.0), (50, 0.03), (70, 0.05), (80, 0.6)], "new leukaemia", 70),
])  # fmt: skip
def test_a_leukaemia_of_clonal_haematopoiesis_is_a_new_one(edges, disease, day):
    run = leukaemia(*edges)._replace(disease="chip")
    found = ends.endpoints(run)
    assert (found["disease"], found["relapse_day"], found["neoplasm_day"]) == (disease, None, day)
    assert ends.endpoints(run._replace(disease="aml"))["neoplasm_day"] is None


def test_an_empty_marrow_is_not_evaluable():
    found = ends.endpoints(leukaemia((-10, 0.4), (0, 0.0), (20, 0.5), cells=100))
    assert (found["disease"], found["relapse_day"]) == ("not evaluable", None)


def test_residual_disease_has_a_level_a_limit_and_a_flow_result():
    found = ends.endpoints(leukaemia((-10, 0.4), (0, 0.002), (30, 0.0005), (90, 0.0), reticulocytes=10**6))
    assert found["blast_percent_start"] == pytest.approx(40.0)
    assert found["mrd_log10_d0"] == pytest.approx(np.log10(0.002))
    assert [found[f"mrd_flow_{m}"] for m in ("d0", "d30", "d100")] == ["positive", "low level", "negative"]
    assert found["mrd_log10_d100"] is None
    assert found["mrd_limit_log10_d100"] == pytest.approx(-5.0)
    assert found["mrd_flow_d180"] is None


def test_a_small_patch_cannot_exclude_residual_disease():
    assert ends.flow_result(0.0, 500) == "not assessable"
    assert ends.flow_result(0.0, 1000) == "negative"
    assert ends.flow_result(None, 0) is None


def test_kills_of_leukaemic_cells_count_after_the_graft():
    made = leukaemia((-10, 0.4))
    made.counts[:, Count.KILL, Kind.BLAST, Origin.HOST] = np.where(made.day <= 0, 100, 1)
    made.counts[:, Count.KILL, Kind.NEUTROPHIL, Origin.HOST] = 7
    assert ends.endpoints(made)["gvl_kills"] == 120


def test_gvhd_highest_grade_and_first_days():
    grade = steps((-10, 3), (0, 0), (24, 1), (31, 2), (50, 0))
    found = ends.endpoints(course(gvhd_grade=grade))
    assert [found[k] for k in ("gvhd_max_grade", "gvhd_onset_day", "gvhd_grade2_onset_day")] == [2, 24, 31]
    none = ends.endpoints(course(gvhd_grade=steps((-10, 0))))
    assert [none[k] for k in ("gvhd_max_grade", "gvhd_onset_day")] == [0, None]


def test_sparse_records_hold_until_the_next_one():
    days, low = ends.by_calendar_day(np.array([-1.5, 0.0, 0.5, 3.0]), np.array([9.0, 4.0, 2.0, 7.0]))
    assert days.tolist() == [-2, -1, 0, 1, 2, 3]
    assert low.tolist() == [9.0, 9.0, 2.0, 2.0, 2.0, 7.0]


def test_missing_observables_and_empty_runs_are_tolerated():
    empty = course()._replace(day=np.empty(0))
    assert ends.endpoints(empty) == {}
    assert summarise({}) == []
    bare = ends.endpoints(course())
    assert bare["anc_recovery"] is None
    assert dict(summarise(bare))["Neutrophils >= 0.5e9/L"] == "-"
    before = ends.endpoints(course(last_day=-2, anc=APLASIA, platelets=APLASIA, gvhd_grade=APLASIA))
    assert before["anc_recovery"] is None
    assert summarise(before)


def test_summary_reads_like_a_letter():
    made = leukaemia((-10, 0.4), (0, 0.0), (70, 0.2), last_day=100)
    body = {"anc": APLASIA(made.day), "gvhd_grade": steps((-10, 0), (24, 2))(made.day)}
    rows = dict(summarise(ends.endpoints(made._replace(body=body))))
    assert rows["Neutrophils >= 0.5e9/L"] == "day +17 (nadir 0.05e9/L on day +3)"
    assert rows["Leukaemia"] == "relapse on day +70"
    assert rows["Leukaemic cells in marrow, day 30"] == "not detected (< 10^-5.0, one cell of the patch)"
    assert rows["Leukaemic cells in marrow, day 100"] == "20 %"
    assert "Leukaemic cells in marrow, at end" not in rows
    assert rows["GVHD, highest grade"] == "II, onset day +24"
    assert all(text.isascii() for row in rows.items() for text in row)


def test_the_second_donor_has_its_share_at_the_landmarks():
    found = ends.endpoints(course(anc=APLASIA, donor_myeloid=steps((-10, 0.0), (15, 99.0)),
                                  donor2_myeloid=steps((-10, 0.0), (15, 60.0), (40, 85.0))))  # fmt: skip
    assert (found["chimerism_second_d30"], found["chimerism_second_d100"]) == (60.0, None)
    assert found["graft_outcome"] == "engrafted"


@pytest.mark.parametrize(("source", "day", "outcome"), [
    ("cord", 40, "engrafted"), ("cord", 44, "primary failure"),
    ("cd34_selected", 28, "engrafted"), ("edited", 33, "primary failure"),
])  # fmt: skip
def test_graft_failure_is_judged_on_the_day_of_its_source(source, day, outcome):
    anc = steps((-10, 4.0), (3, 0.05), (day, 0.8))
    assert ends.endpoints(course(last_day=80, source=source, anc=anc))["graft_outcome"] == outcome


def test_who_dies_has_a_day_and_a_cause():
    found = ends.endpoints(course(last_day=20, graft_day=1.0, cause_of_death=steps((-10, 0), (20, 2)),
                                  survival=steps((-10, 100.0), (20, 37.0))))  # fmt: skip
    assert (found["vital_status"], found["death_day"], found["death_cause"]) == ("dead", 19.0, "bleeding")
    assert found["survival_end"] == 37.0
    assert dict(summarise(found))["Died"] == "day +19.0, of bleeding"


def test_who_lives_is_censored_at_the_end():
    found = ends.endpoints(course(last_day=20, cause_of_death=steps((-10, 0)), survival=steps((-10, 80.0))))
    assert (found["vital_status"], found["death_day"], found["end_day"]) == ("alive", None, 20.0)
    assert "Died" not in dict(summarise(found))
    assert ends.endpoints(course())["vital_status"] is None
