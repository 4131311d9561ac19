"""Observables of edited grafts, on series whose answer is known."""

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
DAYS = np.arange(-10.0, 731.0)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "plain", last_day=20.0))


def edited(plain: Any, **shares: np.ndarray) -> Any:
    """Return a run of two years with an edited graft on day 5 and these shares (0 to 1)."""
    graft = {"action": "graft", "day": 5.0, "source": "edited", "edit": {"locus": "CD33", "efficiency": 0.8}}
    body = {name: read.Column(values, "fraction") for name, values in shares.items()}
    return dataclasses.replace(plain, day=DAYS, step=np.arange(DAYS.size), body=body, config={"events": [graft]})


def test_curves_are_percent(plain: Any) -> None:
    run = edited(plain, edited_share_neutrophils=np.full(DAYS.size, 0.25), altered_share_t=np.full(DAYS.size, 0.1))
    assert MADE["edited_neutrophils"].make(run)[-1] == pytest.approx(25.0)
    assert MADE["altered_t"].make(run)[-1] == pytest.approx(10.0)
    assert MADE["altered_monocytes"].make(run) is None
    run = edited(plain, altered_share_neutrophils=np.full(DAYS.size, 0.5))
    assert MADE["altered_neutrophils"].make(run)[-1] == pytest.approx(50.0)


def test_leucocytes_without_the_antigen_are_edited_ones_and_lymphocytes(plain: Any) -> None:
    run = edited(
        plain, altered_share_neutrophils=np.full(DAYS.size, 0.8), altered_share_monocytes=np.full(DAYS.size, 0.5)
    )
    assert MADE["altered_leucocytes"].make(run) is None
    counts = {"anc": 2.0, "eosinophils": 1.0, "monocytes": 2.0, "lymphocytes": 5.0}
    columns = {name: read.Column(np.where(DAYS < 0.0, 0.0, n), "1e9/L") for name, n in counts.items()}
    found = MADE["altered_leucocytes"].make(dataclasses.replace(run, body=run.body | columns))
    assert found[-1] == pytest.approx(10.0 * (3.0 * 0.8 + 2.0 * 0.5 + 5.0))
    assert found[0] == 0.0


def test_the_day_on_which_t_cells_are_seen_counts_from_the_graft(plain: Any) -> None:
    run = edited(plain, altered_share_t=np.where(DAYS >= 40.0, 0.012, 0.004))
    for early, late, first in ((1.0, 1.0, 35.0), (0.1, 0.5, 45.0), (0.1, 0.1, inf)):  # of the T cells at the start
        cells = np.where(DAYS >= 50.0, late, early)
        cells[0] = 1.0
        columns = {name: read.Column(cells, "1e9/L") for name in ("cd4", "cd8")}
        assert MADE["altered_t_seen_day"].make(dataclasses.replace(run, body=run.body | columns)) == first
    assert MADE["altered_t_seen_day"].make(edited(plain, altered_share_t=np.zeros(DAYS.size))) is None


def test_the_change_is_that_from_month_three_to_twenty_four(plain: Any) -> None:
    run = edited(plain, edited_share_neutrophils=np.where(DAYS < 300.0, 0.8, 0.75))
    assert MADE["edited_share_change"].make(run) == pytest.approx(-5.0)
    short = dataclasses.replace(run, day=DAYS / 2)
    assert MADE["edited_share_change"].make(short) is None


@pytest.mark.parametrize("name", ["altered_t_seen_day", "edited_share_change"])
def test_a_run_without_an_edited_graft_is_not_asked(plain: Any, name: str) -> None:
    run = edited(plain, altered_share_t=np.zeros(DAYS.size), edited_share_neutrophils=np.zeros(DAYS.size))
    events = [{"action": "graft", "day": 0.0, "source": "blood"}]
    assert MADE[name].make(dataclasses.replace(run, config={"events": events})) is None


def test_nadirs_count_from_the_drug_and_losses_from_the_peak(plain: Any) -> None:
    drug = {"action": "antibody", "day": 60.0, "drug": "gemtuzumab"}
    anc = np.where((DAYS > 65.0) & (DAYS < 70.0), 1.0, np.where(DAYS < 65.0, 4.0, 3.0))
    run = edited(plain, anc=anc, engineered_body=np.maximum(100.0 - np.maximum(DAYS, 0.0), 5.0))
    run = dataclasses.replace(run, body=run.body | {"anc": read.Column(anc, "1e9/L")}, config={"events": [drug]})
    assert MADE["directed_anc_nadir"].make(run) == 1.0
    assert MADE["infused_t_lost"].make(run) == pytest.approx(95.0)
    assert MADE["directed_anc_nadir"].make(dataclasses.replace(run, config={"events": []})) is None
    assert MADE["infused_t_lost"].make(edited(plain)) is None
