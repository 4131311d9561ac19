"""Observables of infection on curves whose answer is known."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from abm import resources
from tests.unit.made_up_run import make_run

resources.load_analysis()
from abm_analysis import observables, read  # noqa: E402

MADE = observables.REGISTRY
DAYS = np.arange(-5.0, 40.0, 0.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "aml"))


def with_curves(run: Any, anc: np.ndarray, rate: np.ndarray) -> Any:
    body = {"anc": read.Column(anc, "1e9/L", ""), "infection_rate": read.Column(rate, "1/d", "")}
    return dataclasses.replace(run, day=DAYS, step=DAYS, body=body)


def test_the_risk_is_that_of_the_days_without_neutrophils(run: Any) -> None:
    low = (DAYS > 10.0) & (DAYS <= 20.0)
    made = with_curves(run, np.where(low, 0.2, 4.0), np.where(low, 0.04, 0.5))
    assert MADE["neutropenic_infection_risk"].make(made) == pytest.approx(100.0 * (1.0 - np.exp(-0.4)))
    assert MADE["infection_rate_anc_0_5"].make(made) == pytest.approx(40.0)
    assert MADE["infection_rate_anc_1"].make(made) is None


def test_twice_the_time_is_more_risk_and_none_is_no_question(run: Any) -> None:
    rate = np.full(DAYS.size, 0.04)
    risks = [
        MADE["neutropenic_infection_risk"].make(with_curves(run, np.where(40.0 - days < DAYS, 0.5, 4.0), rate))
        for days in (5.0, 10.0, 20.0)
    ]
    assert risks == sorted(risks)
    assert risks[0] > 0.0
    assert MADE["neutropenic_infection_risk"].make(with_curves(run, np.full(DAYS.size, 1.0), rate)) is None
    before = with_curves(run, np.where(DAYS < 0.0, 0.1, 4.0), rate)
    assert MADE["neutropenic_infection_risk"].make(before) is None, "before day 0"


def with_episodes(run: Any, days: np.ndarray, events: Any, **days_of: tuple[float, ...]) -> Any:
    """Return a run in which infections by a pathogen begin on these days."""
    names = ("bacteria", "fungi", "cmv", "ebv")
    body = {f"{name}_episodes": read.Column(sum(days >= day for day in days_of.get(name, ())) + 0.0 * days, "1", "")
            for name in names}  # fmt: skip
    return dataclasses.replace(run, day=days, step=days, body=body, config={"events": list(events)})


def test_the_price_of_a_graft_is_counted_from_it_on(run: Any) -> None:
    graft, days = [{"action": "graft", "day": 10.0, "source": "blood"}], np.arange(-30.0, 800.0, 1.0)
    made = with_episodes(run, days, graft, bacteria=(-5.0, 12.0, 700.0), fungi=(760.0,), ebv=(150.0,))
    assert MADE["infections_after_graft"].make(made) == pytest.approx(3.0 / 2.0)
    assert MADE["viral_reactivation"].make(made) == 1.0
    late = with_episodes(run, days, graft, cmv=(0.0, 300.0))
    assert MADE["viral_reactivation"].make(late) == 0.0
    assert MADE["viral_reactivation"].make(with_episodes(run, days[:100], graft)) is None, "not yet known"
    assert MADE["viral_reactivation"].make(with_episodes(run, days, [])) is None
    assert MADE["infections_after_graft"].make(with_episodes(run, days, [], bacteria=(5.0,))) is None
