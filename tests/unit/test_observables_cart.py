"""Observables of engineered T cells on curves whose answer is known, and their panel."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from abm import cells, resources
from abm.cells import Count, Kind, Origin
from tests.unit.made_up_run import make_run

resources.load_analysis()
from abm_analysis import figures, observables, read  # noqa: E402

MADE = observables.REGISTRY
DAYS = np.arange(-5.0, 400.0, 0.5)
GIVEN = 2.0  #: day of the infusion
EVENT = {"action": "cells", "day": GIVEN, "product": "car_t", "receptor": "CAR_CD19"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "cart"))


def treated(run: Any, blasts: np.ndarray, last: float = 400.0) -> Any:
    """Return a run with a tenfold rise every 3 days to day 9 after the infusion, then a half-life of 5 days.

    ``blasts``: share of the marrow at the days of ``DAYS``.
    """
    since = DAYS - GIVEN
    rise, fall = 1e8 * 10.0 ** (since / 3.0), 1e11 * 0.5 ** ((since - 9.0) / 5.0)
    engineered = np.where(since < 0, 0.0, np.where(since <= 9.0, rise, fall))
    body = {"engineered_body": read.Column(engineered, "cells", ""),
            "crs_grade": read.Column(np.where((since > 5) & (since < 8), 2.0, 0.0), "1", "")}  # fmt: skip
    counts = np.zeros((DAYS.size, cells.N_COUNTS, cells.N_KINDS, cells.N_ORIGINS), np.int64)
    counts[:, Count.POPULATION, Kind.MYELOCYTE, Origin.HOST] = np.round(1e4 * (1.0 - blasts))
    counts[:, Count.POPULATION, Kind.BLAST, Origin.HOST] = np.round(1e4 * blasts)
    kept = last > DAYS
    body = {name: column._replace(values=column.values[kept]) for name, column in body.items()}
    config = run.config | {"events": [EVENT]}
    days = DAYS[kept]
    return dataclasses.replace(run, day=days, step=np.arange(days.size), body=body, counts=counts[kept], config=config)


def blasts(*jumps: tuple[float, float]) -> np.ndarray:
    """Return the share of blasts: 0.5, and from each day after the infusion on another one."""
    share = np.full(DAYS.size, 0.5)
    for day, value in jumps:
        share[day <= DAYS - GIVEN] = value
    return share


def test_peak_fold_and_half_life(run: Any) -> None:
    made = treated(run, blasts())
    assert MADE["cart_peak_day"].make(made) == 9.0
    assert MADE["cart_fold"].make(made) == pytest.approx(1000.0)
    assert MADE["cart_half_life"].make(made) == pytest.approx(5.0)
    assert MADE["cytokine_release_grade"].make(made) == 2.0
    assert MADE["cart_half_life"].make(treated(run, blasts(), last=20.0)) is None


@pytest.mark.parametrize(
    ("course", "answers"),
    [
        (blasts((20.0, 0.0)), (1.0, 1.0, 1.0)),
        (blasts((20.0, 0.0), (200.0, 0.3)), (1.0, 0.0, 0.0)),
        (blasts((95.0, 0.0)), (0.0, 0.0, None)),
        (blasts((10.0, 0.0), (20.0, 0.2), (60.0, 0.01), (380.0, 0.9)), (1.0, 1.0, None)),
    ],
)
def test_response(run: Any, course: np.ndarray, answers: tuple[float | None, ...]) -> None:
    made = treated(run, course)
    names = ("cart_remission", "cart_event_free", "cart_lasting_response")
    assert tuple(MADE[name].make(made) for name in names) == answers


def test_a_short_run_leaves_it_open(run: Any) -> None:
    made = treated(run, blasts((20.0, 0.0)), last=80.0)
    assert MADE["cart_remission"].make(made) is None
    assert MADE["cart_event_free"].make(treated(run, blasts((20.0, 0.0)), last=200.0)) is None


@pytest.mark.parametrize(
    ("died", "answers"), [(20.0, (0.0, 0.0, None)), (80.0, (1.0, 0.0, 0.0)), (200.0, (1.0, 0.0, 0.0))]
)
def test_death_ends_what_was_reached(run: Any, died: float, answers: tuple[float | None, ...]) -> None:
    made = treated(run, blasts((10.0, 0.0)), last=died)
    cause = read.Column(np.where(made.day == made.day[-1], 1.0, 0.0), "1", "")
    made = dataclasses.replace(made, body=made.body | {"cause_of_death": cause})
    names = ("cart_remission", "cart_event_free", "cart_lasting_response")
    assert tuple(MADE[name].make(made) for name in names) == answers


def test_no_engineered_cells_no_answer(run: Any) -> None:
    assert all(MADE[name].make(run) is None for name in MADE if name.startswith(("cart_", "cytokine_release")))


def test_the_panel_shows_them_with_grades(run: Any) -> None:
    panels = {panel.key: panel for panel in figures.panels(treated(run, blasts((20.0, 0.0))))}
    assert [band.level for band in panels["engineered"].bands] == [2]
    assert "engineered" not in {panel.key for panel in figures.panels(run)}


def test_the_risk_of_escape_is_that_of_the_end_where_it_is_followed(run: Any) -> None:
    patient = treated(run, blasts())
    risk = read.Column(np.linspace(0.2, 0.4, patient.day.size), "fraction", "")
    followed = dataclasses.replace(
        patient,
        body=patient.body | {"escape_risk": risk},
        config=patient.config | {"patient": {"residual_leukaemia": True}},
    )
    assert MADE["cart_escape_risk"].make(followed) == pytest.approx(40.0)
    unfollowed = dataclasses.replace(followed, config=patient.config | {"patient": {}})
    assert MADE["cart_escape_risk"].make(unfollowed) is None
    assert MADE["cart_escape_risk"].make(patient) is None
