"""The order in which cells come back after a graft, of made-up patients whose days are known."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from abm import cells, resources
from abm.cells import Count, Kind, Origin
from tests.unit.made_up_run import make_run

resources.load_analysis()
from abm_analysis import observables, read  # noqa: E402

MADE = observables.REGISTRY
#: Days on which blood cells are normal in the usual order.
USUAL = {"monocytes": 18, "nk": 17, "b": 190, "cd4_naive": 500}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "aml"))


def recovering(run: Any, back: dict[str, int], dendritic: int = 18) -> Any:
    """Return a run from day -8 to 370 in which counts are normal from some days on, dendritic cells those of donors."""
    day = np.arange(-8.0, 371.0)
    counts = np.zeros((day.size, cells.N_COUNTS, cells.N_KINDS, cells.N_ORIGINS), np.int64)
    seen = counts[:, Count.POPULATION, Kind.DENDRITIC]
    seen[day < 0, Origin.HOST] = 100
    seen[day >= dendritic, Origin.DONOR] = 60
    seen[day >= dendritic + 10, Origin.DONOR2] = 40
    body = {
        name: run.body["cd4"]._replace(values=np.where(day >= first, 1.0, 0.0), unit="1e9/L")
        for name, first in back.items()
    }
    config = {"events": [{"action": "graft", "day": 0.0, "source": "blood"}]}
    return dataclasses.replace(run, day=day, step=np.arange(day.size), counts=counts, body=body, config=config)


@pytest.mark.parametrize(
    ("changed", "dendritic", "expected"),
    [
        ({}, 18, 1.0),
        ({}, 200, 0.0),
        ({"monocytes": 191}, 18, 0.0),
        ({"nk": 191}, 18, 0.0),
        ({"cd4_naive": 180}, 18, 0.0),
        ({"b": 500}, 18, None),
        ({}, 500, 0.0),
    ],
)
def test_cells_that_present_come_before_lymphocytes(
    run: Any, changed: dict[str, int], dendritic: int, expected: float | None
) -> None:
    assert MADE["innate_first"].make(recovering(run, USUAL | changed, dendritic)) == expected


def test_dendritic_cells_are_told_of_those_at_the_start_and_by_origin(run: Any) -> None:
    patient = recovering(run, USUAL)
    found = {name: np.asarray(MADE[name].make(patient)) for name in ("dendritic_cells", "donor_dendritic")}
    at = {day: int(np.searchsorted(patient.day, day)) for day in (-1, 5, 20, 40)}
    assert [found["dendritic_cells"][i] for i in at.values()] == [100.0, 0.0, 60.0, 100.0]
    assert found["donor_dendritic"][at[-1]] == 0.0
    assert np.isnan(found["donor_dendritic"][at[5]])
    assert found["donor_dendritic"][at[40]] == 100.0
    assert MADE["dendritic_back_day"].make(patient) == 28.0


def test_without_a_graft_nothing_comes_back(run: Any) -> None:
    patient = dataclasses.replace(recovering(run, USUAL), config={"events": []})
    assert MADE["innate_first"].make(patient) is None
    assert MADE["dendritic_back_day"].make(patient) is None
