"""Relapse as the chance that a course leaves: probability, incidence, death without it, groups of patients."""

from __future__ import annotations

import dataclasses
from math import inf
from typing import Any

import numpy as np
import pytest

from abm import cells, resources
from abm.cells import Count, Kind, Origin
from tests.unit.made_up_run import make_run

resources.load_analysis()
from abm_analysis import observables, read  # noqa: E402

MADE = observables.REGISTRY
DAYS = np.arange(-8.0, 201.0, 1.0)
CONFIG = {
    "seed": 5,
    "patient": {"disease": "aml", "residual_leukaemia": True},
    "events": [{"day": 0.0, "action": "graft", "source": "marrow", "cd34_per_kg": 3e6, "cd3_per_kg": 3e7}],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "relapse"))


def course(run: Any, config: dict[str, Any] = CONFIG, **curves: Any) -> Any:
    """Return a run in which half survive the first hundred days, none of the rest dies, and others as said."""
    usual = {
        "relapse_risk": 0.3,
        "overt_risk": np.where(DAYS < 150.0, 0.0, 0.2),
        "residual_share": np.where(DAYS < 0.0, 1e-4, 0.0),
        "residual_if_left": np.where(DAYS < 150.0, 1e-4, 0.2),
        "survival": np.where(DAYS < 100.0, 1.0, 0.5),
        "gvhd_grade": 0.0,
        "chronic_gvhd": 0.0,
    } | curves
    body = {name: read.Column(np.broadcast_to(values, DAYS.shape), "1") for name, values in usual.items()}
    return dataclasses.replace(run, config=config, day=DAYS, body=body)


def made(name: str, seen: Any) -> Any:
    return MADE[name].make(seen)


def test_death_before_a_late_relapse_counts_against_it(run: Any) -> None:
    late, early = course(run), course(run, residual_if_left=np.where(DAYS < 50.0, 1e-4, 0.2))
    assert made("relapse_probability", late) == made("relapse_probability", early) == pytest.approx(30.0)
    assert made("relapse_chance", late) == pytest.approx(0.3)
    assert made("relapse_incidence", late) == pytest.approx(15.0)
    assert made("relapse_incidence", early) == pytest.approx(30.0)
    assert made("nonrelapse_mortality", late) == pytest.approx(50.0)
    assert made("nonrelapse_mortality", early) == pytest.approx(35.0)


def test_a_relapse_that_lymphocytes_end_was_one(run: Any) -> None:
    seen = course(run, relapse_risk=np.where(DAYS < 180.0, 0.3, 0.01))
    assert made("relapse_probability", seen) == pytest.approx(30.0)
    assert made("relapse_probability", course(run, residual_if_left=1e-4)) == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("per_day", "stem_cells", "expected"),
    [
        (0.02, 1e6, 30.0),  # grows
        (-0.05, 1e6, 0.0),  # 30 cells on average: gone in three years
        (-0.005, 1e5, 100.0 * (1.0 - np.exp(-3.0 * np.exp(-0.005 * (36 * 30.4375 - 200.0))))),
        (-0.005, 1e9, 30.0),  # falls, but too slowly
    ],
)
def test_leukaemia_that_still_falls_is_followed_on(
    run: Any, per_day: float, stem_cells: float, expected: float
) -> None:
    """``stem_cells`` would fill the marrow; at the end of the run a share of 1e-4 is left of it where any is."""
    if_left = np.where(DAYS < 100.0, 1e-3, 1e-4 * np.exp(per_day * (DAYS - DAYS[-1])))
    seen = course(run, residual_if_left=if_left, residual_stem_cells=np.where(DAYS < 0.0, 1e-4 * stem_cells, 0.0))
    assert made("relapse_probability", seen) == pytest.approx(expected, abs=1e-6)


def test_follow_up_that_is_over_is_not_followed_on(run: Any) -> None:
    curves = {"residual_if_left": 1e-4 * np.exp(-0.05 * (DAYS - 200.0)), "residual_stem_cells": 1e2}
    seen = dataclasses.replace(course(run, **curves), day=DAYS + 1000.0)
    assert made("relapse_probability", seen) == pytest.approx(30.0)


def test_slow_leukaemia_relapses_once_it_shows(run: Any) -> None:
    assert made("overt_relapse_probability", course(run)) == pytest.approx(20.0)


def test_leukaemia_before_the_graft_is_no_relapse(run: Any) -> None:
    seen = course(run, residual_if_left=np.where(DAYS < 0.0, 0.5, 1e-4), residual_share=np.where(DAYS < 0.0, 0.5, 0.0))
    assert made("relapse_incidence", seen) == pytest.approx(15.0)


def test_who_dies_of_a_relapse_that_came_does_not_die_without_one(run: Any) -> None:
    seen = course(
        run, residual_share=np.where(DAYS < 60.0, 1e-4, 0.2), residual_if_left=np.where(DAYS < 60.0, 1e-4, 0.2)
    )
    assert made("nonrelapse_mortality", seen) == pytest.approx(0.0)


GROUPS = ("no_gvhd", "acute_gvhd", "chronic_gvhd", "both_gvhd")
LATE = np.where(DAYS < 190.0, 1e-4, 0.2)  # of overt leukaemia, after the half year on which groups are made


def groups(run: Any, **curves: Any) -> dict[str, Any]:
    """Return the chance of a relapse by group of patients, of groups to which this one belongs."""
    seen = course(run, **{"residual_if_left": LATE} | curves)
    found = {name: made(f"relapse_chance_{name}", seen) for name in GROUPS}
    return {name: chance for name, chance in found.items() if chance is not None}


@pytest.mark.parametrize(
    ("acute", "chronic", "group"),
    [(1.0, 0.0, "no_gvhd"), (2.0, 0.0, "acute_gvhd"), (0.0, 0.2, "chronic_gvhd"), (3.0, 0.2, "both_gvhd")],
)
def test_every_patient_is_in_one_group(run: Any, acute: float, chronic: float, group: str) -> None:
    grade = np.where(np.abs(DAYS - 30.0) < 5.0, acute, 0.0)
    found = groups(run, gvhd_grade=grade, chronic_gvhd=np.where(DAYS > 140.0, chronic, 0.0))
    assert found == {group: pytest.approx(0.3)}


def test_chronic_disease_that_begins_later_makes_no_group(run: Any) -> None:
    """Who relapsed before it could begin would else count among those without, and nobody among those with it."""
    assert groups(run, chronic_gvhd=np.where(DAYS > 185.0, 0.2, 0.0)) == {"no_gvhd": pytest.approx(0.3)}


def test_who_has_relapsed_before_is_in_no_group(run: Any) -> None:
    early = np.where(DAYS < 150.0, 1e-4, 0.2)
    assert groups(run, residual_if_left=early, residual_share=early) == {}
    assert groups(run, residual_if_left=early, residual_share=0.0) == {"no_gvhd": 0.0}  # none was left in this one


def test_groups_of_half_a_year_need_more_than_that(run: Any) -> None:
    short = dataclasses.replace(course(run), day=DAYS - 100.0)
    assert all(made(f"relapse_chance_{name}", short) is None for name in GROUPS)


def test_late_acute_disease_is_not_acute(run: Any) -> None:
    assert set(groups(run, gvhd_grade=np.where(DAYS > 120.0, 3.0, 0.0))) == {"no_gvhd"}


@pytest.mark.parametrize(("share", "positive"), [(1e-5, False), (3e-4, False), (5e-3, True)])
def test_groups_by_flow_cytometry_before_conditioning(run: Any, share: float, positive: bool) -> None:
    seen = course(run, residual_share=np.where(DAYS < -7.0, share, 0.0))
    assert (made("relapse_incidence_mrd_positive", seen) is not None) == positive
    assert (made("relapse_incidence_mrd_negative", seen) is not None) != positive


def test_nothing_where_it_is_not_followed(run: Any) -> None:
    ungrafted, unfollowed = CONFIG | {"events": []}, CONFIG | {"patient": {"disease": "aml"}}
    for config in (ungrafted, unfollowed):
        for name in ("relapse_probability", "overt_relapse_probability", "relapse_chance", "relapse_incidence"):
            assert made(name, course(run, config)) is None
        assert made("nonrelapse_mortality", course(run, config)) is None
    assert made("relapse_incidence_mrd_negative", course(run, unfollowed)) is None


def marrow(run: Any, share: np.ndarray) -> Any:
    counts = np.zeros((DAYS.size, cells.N_COUNTS, cells.N_KINDS, cells.N_ORIGINS), np.int64)
    counts[:, Count.POPULATION, Kind.BLAST, Origin.HOST] = np.rint(10_000 * share)
    counts[:, Count.POPULATION, Kind.MYELOCYTE, Origin.HOST] = 10_000 - np.rint(10_000 * share)
    return dataclasses.replace(run, config=CONFIG, day=DAYS, step=np.arange(DAYS.size), body={}, counts=counts)


def test_overt_relapse_is_told_from_the_start(run: Any) -> None:
    assert made("overt_relapse_day", marrow(run, np.where(DAYS < 92.0, 1e-4, 0.06))) == pytest.approx(100.0)
    assert made("overt_relapse_day", marrow(run, np.full(DAYS.size, 1e-3))) == inf
    assert made("overt_relapse_day", marrow(run, np.full(DAYS.size, 0.5))) is None


def test_event_free_is_alive_without_a_disease_that_comes_back(run: Any) -> None:
    without_graft = CONFIG | {"events": []}
    for config in (CONFIG, without_graft):
        assert made("event_free", course(run, config)) == pytest.approx(100.0 * 0.7 * 0.5)
    overt = CONFIG | {"patient": {"disease": "dlbcl", "residual_leukaemia": False}}
    assert made("event_free", course(run, overt)) is None


def test_leukaemia_without_the_foreign_haplotype_counts_where_no_other_comes_back(run: Any) -> None:
    seen = course(run, escape_risk=0.1)
    assert made("haplotype_lost_chance", seen) == pytest.approx(0.1 * 0.7)
    assert made("any_relapse_chance", seen) == pytest.approx(1.0 - 0.9 * 0.7)
    assert made("haplotype_lost_chance", course(run)) is None
