"""When donor cells appear and settle, on made-up curves whose answer is known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm import resources
from tests.unit.made_up_run import make_run

resources.load_analysis()
from abm_analysis import observables, read  # noqa: E402

MADE = observables.REGISTRY


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "aml"))


def with_share(run: Any, lineage: str, at: list[float], percent: list[float]) -> Any:
    """Return the run with this donor share at these days since the graft on day 0."""
    column = run.body[f"donor_{lineage}"]._replace(values=np.interp(run.day, at, percent) / 100.0)
    return dataclasses.replace(run, body={**run.body, f"donor_{lineage}": column})


@pytest.mark.parametrize("lineage", ["myeloid", "red", "b", "t"])
def test_half_and_settled_day(run: Any, lineage: str) -> None:
    rises = with_share(run, lineage, [0, 10.5, 30.5, 200], [0, 0, 12, 12])  # 6 % on day 20.5, 10.8 % on day 28.5
    assert MADE[f"donor_{lineage}_half_day"].make(rises) == 21
    assert MADE[f"donor_{lineage}_settled_day"].make(rises) == 29


def test_first_day_seen(run: Any) -> None:
    assert MADE["donor_b_seen_day"].make(with_share(run, "b", [0, 25, 45], [0, 0, 10])) == 27
    assert MADE["donor_t_seen_day"].make(with_share(run, "t", [0, 25, 45], [0, 0, 10])) == 26
    assert MADE["donor_b_seen_day"].make(with_share(run, "b", [0, 200], [0.9, 0.9])) is None


def test_a_graft_that_does_not_take_settles_nowhere(run: Any) -> None:
    none = with_share(run, "red", [0, 200], [0.2, 0.2])
    assert MADE["donor_red_half_day"].make(none) is None
    assert observables.measure(none)["values"]["donor_red_half_day"] is None


def test_a_run_that_is_too_short_or_has_no_graft_says_nothing(run: Any, tmp_path: Path) -> None:
    short = read.open_run(make_run(tmp_path / "short", last_day=100.0))
    assert MADE["donor_myeloid_half_day"].make(short) is None
    assert MADE["donor_t_half_day"].make(short) is None
    events = [event for event in run.config["events"] if event["action"] != "graft"]
    without = dataclasses.replace(run, config={**run.config, "events": events})
    assert MADE["donor_b_seen_day"].make(without) is None


def test_chimerism_is_looked_at_on_a_few_days(run: Any) -> None:
    """Full on day 41 is found on day 60; what is full in one lineage alone is not full."""
    full = MADE["full_donor_day"].make
    myeloid = with_share(run, "myeloid", [0, 10, 200], [0, 99, 99])
    late = with_share(myeloid, "t", [0, 40, 41, 200], [0, 90, 96, 96])
    assert full(late) == 60
    assert full(with_share(myeloid, "t", [0, 20, 200], [0, 96, 96])) == 30
    assert full(with_share(myeloid, "t", [0, 200], [50, 94])) == np.inf
