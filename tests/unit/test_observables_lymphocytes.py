"""Remission and GVHD after lymphocytes of the donor, on curves whose answer is known."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from abm import resources
from tests.unit.made_up_run import make_run
from tests.unit.test_observables_residual import CONFIG, DAYS, with_share

resources.load_analysis()
from abm_analysis import observables, read  # noqa: E402

MADE = observables.REGISTRY
GIVEN = CONFIG | {"events": [{"day": 60.0, "action": "cells", "product": "dli", "cd3_per_kg": 1e8}]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "dli"))


def seen(run: Any, share: np.ndarray, grade: np.ndarray, config: dict[str, Any] = GIVEN) -> dict[str, Any]:
    body = {"gvhd_grade": read.Column(grade, "1")}
    made_up = dataclasses.replace(with_share(run, share, config), body=body)
    names = ("remission_after_lymphocytes", "months_to_remission", "gvhd_after_lymphocytes")
    return {name.split("_")[0]: MADE[name].make(made_up) for name in names}


def test_a_remission_has_to_last(run: Any) -> None:
    none = np.zeros(DAYS.size)
    cured = seen(run, np.where(DAYS < 160.0, 0.5, 0.0), none)
    assert cured["remission"] == 100.0
    assert cured["months"] == pytest.approx(
        110.0 / 30.4375, abs=0.1
    )  # ten days later: the events of as many are added up
    assert cured["gvhd"] == 0.0
    brief = seen(run, np.where((DAYS < 160.0) | (DAYS > 180.0), 0.5, 0.0), none)
    assert (brief["remission"], brief["months"]) == (0.0, None)
    assert seen(run, np.full(DAYS.size, 0.5), np.where(DAYS == 200.0, 2.0, 0.0))["gvhd"] == 1.0
    assert seen(run, np.full(DAYS.size, 0.5), np.where(DAYS == 50.0, 2.0, 0.0))["gvhd"] == 0.0


def test_where_nothing_came_back_there_is_nothing_to_say(run: Any) -> None:
    late = np.where(DAYS > 80.0, 0.5, 0.0)
    assert set(seen(run, late, np.zeros(DAYS.size)).values()) == {None}
    assert set(seen(run, np.full(DAYS.size, 0.5), np.zeros(DAYS.size), CONFIG).values()) == {None}
    close = GIVEN | {"events": [GIVEN["events"][0] | {"day": 300.0}]}
    assert set(seen(run, np.full(DAYS.size, 0.5), np.zeros(DAYS.size), close).values()) == {None}


def test_who_dies_before_a_remission_has_none(run: Any) -> None:
    made_up = with_share(run, np.where(DAYS < 160.0, 0.5, 0.0), GIVEN)
    survival = np.where(DAYS <= 60.0, 0.8, np.where(DAYS < 100.0, 0.4, 0.2))
    dying = dataclasses.replace(made_up, body={"survival": read.Column(survival, "1")})
    assert MADE["remission_after_lymphocytes"].make(dying) == pytest.approx(25.0)


def test_leukaemia_in_numbers_is_read_from_them(run: Any) -> None:
    config = GIVEN | {"patient": CONFIG["patient"] | {"residual_leukaemia": True}}
    share = np.where(DAYS < 160.0, 0.5, 0.0)
    made_up = dataclasses.replace(
        with_share(run, np.zeros(DAYS.size), config), body={"residual_share": read.Column(share, "1")}
    )
    assert MADE["remission_after_lymphocytes"].make(made_up) == 100.0
    assert MADE["months_to_remission"].make(made_up) == pytest.approx(100.0 / 30.4375, abs=0.1)
