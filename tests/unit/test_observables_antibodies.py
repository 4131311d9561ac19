"""Observables of antibodies after a transplantation on curves whose answer is known."""

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
DAYS = np.arange(0.0, 240.0, 0.5)
NAMES = ("gvhd_after_antibody", "severe_gvhd_after_antibody", "response_after_antibody")


def curve(*jumps: tuple[float, float]) -> np.ndarray:
    """Return a curve that is 0 and takes each value from its day on."""
    values = np.zeros(DAYS.size)
    for day, value in jumps:
        values[day <= DAYS] = value
    return values


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "aml"))


def measured(run: Any, grade: np.ndarray, blasts: np.ndarray, given: float | None, until: float = 240.0) -> list[Any]:
    """Return what the observables make of these curves, with an antibody on the day ``given``."""
    kept = until > DAYS
    body = {"gvhd_grade": read.Column(grade[kept], "1", ""), "blast_percent": read.Column(blasts[kept], "%", "")}
    body["chronic_gvhd"] = read.Column(curve()[kept], "fraction", "")
    events = [e for e in run.config["events"] if e["action"] == "graft"]
    events += [] if given is None else [{"day": given, "action": "antibody", "drug": "nivolumab"}]
    made = dataclasses.replace(run, day=DAYS[kept], step=DAYS[kept], body=body, config=run.config | {"events": events})
    return [MADE[name].make(made) for name in NAMES]


@pytest.mark.parametrize(
    ("grade", "blasts", "expected"),
    [
        (curve((50.0, 4.0), (90.0, 0.0)), curve((80.0, 20.0)), [0.0, 0.0, 0.0]),  # only before the antibody
        (curve((110.0, 1.0)), curve((80.0, 20.0), (150.0, 4.0)), [1.0, 0.0, 1.0]),
        (curve((110.0, 3.0), (120.0, 0.0)), curve((80.0, 20.0)), [1.0, 1.0, 0.0]),
        (curve((205.0, 3.0)), curve((80.0, 20.0), (205.0, 0.0)), [0.0, 0.0, 0.0]),  # too late
        (curve((110.0, 3.0)), curve((105.0, 20.0)), [None, None, None]),  # no relapse when it is given
        (curve((90.0, 1.0)), curve((80.0, 20.0), (150.0, 4.0)), [None, None, 1.0]),  # GVHD when it is given
    ],
)
def test_what_follows_within_100_days(run: Any, grade: np.ndarray, blasts: np.ndarray, expected: list[Any]) -> None:
    assert measured(run, grade, blasts, 100.0) == expected


def test_without_antibody_or_in_a_short_run_nothing_is_known(run: Any) -> None:
    blasts = curve((80.0, 20.0))
    assert measured(run, curve(), blasts, None) == [None] * 3
    assert measured(run, curve(), blasts, 100.0, until=180.0) == [None] * 3


def of_lymphoma(run: Any, blasts: np.ndarray, chronic: np.ndarray, grade: np.ndarray, cells: np.ndarray) -> list[Any]:
    """Return response, any and severe GVHD of a patient with lymphoma who gets an antibody on day 100."""
    columns = {"gvhd_grade": (grade, "1"), "blast_percent": (blasts, "%"), "chronic_gvhd": (chronic, "fraction")}
    body = {name: read.Column(values, unit, "") for name, (values, unit) in columns.items()}
    events = [e for e in run.config["events"] if e["action"] == "graft"]
    events.append({"day": 100.0, "action": "antibody", "drug": "nivolumab"})
    config = run.config | {"events": events, "patient": run.config["patient"] | {"disease": "hodgkin"}}
    counts = np.zeros((DAYS.size, *run.counts.shape[1:]))
    counts[:, run.count_rows["population"], run.kinds["blast"], run.origins["host"]] = cells
    made = dataclasses.replace(run, day=DAYS, step=DAYS, body=body, counts=counts, config=config)
    names = ("lymphoma_response_after_antibody", "any_gvhd_after_antibody", "severe_gvhd_after_antibody")
    return [MADE[name].make(made) for name in names]


MASS = curve((80.0, 200.0))


@pytest.mark.parametrize(
    ("blasts", "chronic", "grade", "cells", "expected"),
    [
        (curve((80.0, 2.0)), curve(), curve(), MASS, [0.0, 0.0, 0.0]),
        # its share of the marrow falls as the marrow fills: no response
        (curve((80.0, 2.0), (130.0, 0.9)), curve((120.0, 0.1)), curve(), MASS, [0.0, 1.0, 0.0]),
        (curve((80.0, 2.0)), curve((90.0, 0.9)), curve(), curve((80.0, 200.0), (130.0, 100.0)), [1.0, 0.0, 0.0]),
        (
            curve((80.0, 2.0)),
            curve((90.0, 0.9)),
            curve((110.0, 3.0)),
            curve((80.0, 9.0), (210.0, 0.0)),
            [0.0, 1.0, 1.0],
        ),
        (curve((80.0, 2.0)), curve((110.0, 0.3), (150.0, 0.7)), curve(), MASS, [0.0, 1.0, 1.0]),  # chronic, severe
        (curve((80.0, 0.4)), curve(), curve((110.0, 3.0)), MASS, [None, None, None]),
        (curve((80.0, 2.0)), curve(), curve((90.0, 1.0)), curve((80.0, 9.0), (130.0, 0.0)), [None, None, None]),
    ],
)
def test_a_lymphoma_answers_by_half_of_its_cells(
    run: Any, blasts: np.ndarray, chronic: np.ndarray, grade: np.ndarray, cells: np.ndarray, expected: list[Any]
) -> None:
    assert of_lymphoma(run, blasts, chronic, grade, cells) == expected
