"""Observables of GVHD, returning lymphocytes and leukaemia on curves whose answer is known."""

from __future__ import annotations

import dataclasses
from math import inf, log
from typing import Any

import numpy as np
import pytest

from abm import cells, resources
from abm.cells import Count, Kind, Origin
from tests.unit.made_up_run import make_run

resources.load_analysis()
from abm_analysis import observables, read  # noqa: E402

MADE = observables.REGISTRY
DAYS = np.arange(0.0, 130.0, 0.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "aml"))


def with_curves(run: Any, days: np.ndarray = DAYS, **curves: np.ndarray) -> Any:
    """Return a run with these curves alone, counts in 1e9/L."""
    body = {name: read.Column(values, "1" if name == "gvhd_grade" else "1e9/L", "") for name, values in curves.items()}
    counts = np.zeros((days.size, cells.N_COUNTS, cells.N_KINDS, cells.N_ORIGINS), np.int64)
    return dataclasses.replace(run, day=days, step=np.arange(days.size), body=body, counts=counts)


def steps(*jumps: tuple[float, float]) -> np.ndarray:
    """Return a curve that is 0 and takes each value from its day on."""
    values = np.zeros(DAYS.size)
    for day, value in jumps:
        values[day <= DAYS] = value
    return values


@pytest.mark.parametrize(
    ("grade", "hits", "onset"),
    [
        (steps((20.0, 1.0), (31.5, 2.0), (40.0, 0.0)), (1.0, 1.0, 0.0), 31.0),
        (steps((20.0, 1.0), (50.0, 0.0)), (1.0, 0.0, 0.0), None),
        (steps((99.0, 3.0)), (1.0, 1.0, 1.0), 99.0),
        (steps((101.0, 4.0)), (0.0, 0.0, 0.0), None),
    ],
)
def test_acute_gvhd_is_the_worst_grade_until_day_100(run: Any, grade: Any, hits: Any, onset: Any) -> None:
    made = with_curves(run, gvhd_grade=grade)
    assert tuple(MADE[f"acute_gvhd_{name}"].make(made) for name in ("1_4", "2_4", "3_4")) == hits
    assert MADE["acute_gvhd_onset_day"].make(made) == onset


def test_gvhd_of_a_run_that_ends_early_is_not_known(run: Any) -> None:
    early = with_curves(run, DAYS[:100], gvhd_grade=steps((20.0, 3.0))[:100])
    assert MADE["acute_gvhd_2_4"].make(early) is None


@pytest.mark.parametrize(
    ("days", "order"),
    [
        ((20.0, 40.0, 60.0, 80.0), 1.0),
        ((40.0, 20.0, 60.0, 80.0), 0.0),
        ((20.0, 40.0, 60.0, 200.0), 1.0),
        ((20.0, 40.0, 200.0, 80.0), 0.0),
        ((20.0, 40.0, 200.0, 200.0), None),
    ],
)
def test_order_of_the_subsets(run: Any, days: tuple[float, ...], order: float | None) -> None:
    curves = {name: steps((day, 0.6)) for name, day in zip(("nk", "cd8", "b", "cd4"), days, strict=True)}
    made = with_curves(run, **curves)
    assert MADE["subsets_in_order"].make(made) == order
    assert MADE["cd4_normal_day"].make(made) == (days[3] if days[3] < DAYS[-1] else inf)


def test_ratio_of_cd4_and_cd8(run: Any) -> None:
    made = MADE["cd4_cd8_ratio"].make(with_curves(run, cd4=steps((10.0, 0.3)), cd8=steps((5.0, 0.6))))
    assert np.isnan(made[0])
    assert made[-1] == pytest.approx(0.5)


def leukaemic(run: Any, blasts: np.ndarray, others: int, anc: np.ndarray) -> Any:
    made = with_curves(run, anc=anc)
    made.counts[:, Count.POPULATION, Kind.BLAST, Origin.HOST] = np.round(blasts)
    made.counts[:, Count.POPULATION, Kind.MYELOCYTE, Origin.HOST] = others
    return made


def test_doubling_time_and_share_of_blasts_at_cytopenia(run: Any) -> None:
    blasts = 100.0 * np.exp(log(2.0) / 12.0 * DAYS)
    made = leukaemic(run, blasts, 10_000, np.where(DAYS < 100.0, 3.0, 0.5))
    assert MADE["leukaemia_doubling_time"].make(made) == pytest.approx(12.0, rel=0.02)
    share = 100.0 * blasts[200] / (blasts[200] + 10_000)
    assert MADE["blasts_at_cytopenia"].make(made) == pytest.approx(share, rel=0.01)


def test_no_doubling_time_without_growth_and_none_without_leukaemia(run: Any) -> None:
    shrinking = leukaemic(run, 2000.0 * np.exp(-0.001 * DAYS), 10_000, np.full(DAYS.size, 3.0))
    assert MADE["leukaemia_doubling_time"].make(shrinking) is None
    assert MADE["blasts_at_cytopenia"].make(shrinking) is None
    healthy = leukaemic(run, np.zeros(DAYS.size), 10_000, np.full(DAYS.size, 0.3))
    assert MADE["blasts_at_cytopenia"].make(healthy) is None
