"""Observables of multiple sclerosis and lupus on curves whose answer is known."""

from __future__ import annotations

import dataclasses
from math import inf
from typing import Any

import numpy as np
import pytest

from abm import resources
from tests.unit.made_up_run import make_run

resources.load_analysis()
from abm_analysis import observables, read  # noqa: E402

MADE = observables.REGISTRY
DAYS = np.arange(-60.0, 1400.0, 1.0)
GRAFT = [{"action": "graft", "day": 10.0, "source": "blood"}]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "aml"))


def steps(start: float, *jumps: tuple[float, float]) -> np.ndarray:
    """Return a curve that has a value from the start and takes others from their day on."""
    values = np.full(DAYS.size, start)
    for day, value in jumps:
        values[day <= DAYS] = value
    return values


def ill(run: Any, disease: str = "ms", events: Any = (), upto: float = inf, **curves: np.ndarray) -> Any:
    kept = upto >= DAYS
    body = {name: read.Column(values[kept], "1", "") for name, values in curves.items()}
    config = {"patient": {"disease": disease}, "events": list(events)}
    return dataclasses.replace(run, day=DAYS[kept], body=body, config=config)


def test_the_first_relapse_after_the_graft(run: Any) -> None:
    relapses = steps(0.0, (-20.0, 1.0), (5.0, 2.0), (300.0, 3.0))
    assert MADE["ms_relapse_day"].make(ill(run, ms_relapses=relapses)) == 5.0
    assert MADE["ms_relapse_day"].make(ill(run, events=GRAFT, ms_relapses=relapses)) == 290.0
    assert MADE["ms_relapse_day"].make(ill(run, ms_relapses=steps(0.0, (-20.0, 1.0)))) == inf
    rate = MADE["ms_relapse_rate"].make(ill(run, ms_relapses=relapses))
    assert rate == pytest.approx(3 / (1459 / 365.25))


def test_progression_must_last(run: Any) -> None:
    passing = steps(3.5, (100.0, 5.0), (200.0, 4.4), (400.0, 4.5))
    assert MADE["ms_progression_day"].make(ill(run, edss=passing)) == 400.0
    assert MADE["ms_progressed"].make(ill(run, edss=passing)) == 1.0
    assert MADE["ms_progression_day"].make(ill(run, edss=steps(3.5, (100.0, 4.4)))) == inf
    late = steps(3.5, (1200.0, 5.0))
    assert MADE["ms_progression_day"].make(ill(run, edss=late)) == 1200.0
    assert MADE["ms_progressed"].make(ill(run, edss=late)) == 0.0
    assert MADE["ms_progressed"].make(ill(run, upto=1200.0, edss=late)) is None, "not yet known"


def test_any_evidence_of_disease_counts(run: Any) -> None:
    quiet, points = steps(0.0), steps(3.5)
    made = MADE["ms_evidence_day"].make
    assert made(ill(run, ms_relapses=quiet, ms_lesions=quiet, edss=points)) == inf
    assert made(ill(run, ms_relapses=quiet, ms_lesions=steps(0.0, (77.0, 1.0)), edss=points)) == 77.0
    assert made(ill(run, ms_relapses=quiet, ms_lesions=quiet, edss=steps(3.5, (50.0, 4.5)))) == 50.0


def test_b_cells_return_from_the_product_on(run: Any) -> None:
    def made(*jumps: tuple[float, float], events: Any = ({"action": "cells", "day": 10.0},)) -> Any:
        sick = ill(run, "sle", events)
        return MADE["b_cells_return_day"].make(
            dataclasses.replace(sick, body={"b": read.Column(steps(0.2, *jumps), "1e9/L", "")})
        )

    assert made((20.0, 0.0), (120.0, 0.002), (150.0, 0.1)) == 110.0
    assert made((20.0, 0.0), (120.0, 0.002), (130.0, 0.0), (200.0, 0.1)) == 190.0, "not to stay"
    assert made((20.0, 0.0)) == inf
    assert made((20.0, 0.05)) is None
    assert made((20.0, 0.0), events=()) is None


def test_others_have_none_of_it(run: Any) -> None:
    for name in ("ms_relapse_day", "ms_progression_day", "ms_progressed", "ms_evidence_day", "ms_relapse_rate"):
        assert MADE[name].make(ill(run, "none", ms_relapses=steps(0.0), ms_lesions=steps(0.0), edss=steps(0.0))) is None
    assert MADE["sledai"].make(ill(run, "ms", sledai=steps(0.0))) is None
    assert (MADE["sledai"].make(ill(run, "sle", sledai=steps(12.0))) == 12.0).all()
    assert MADE["cd4_new"].make(ill(run, cd4_new=steps(0.9))) == pytest.approx(90.0)
