"""Loss of blood and of platelets: what is lost, what stays, how the body answers, what is measured of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm import resources
from abm.cells import Kind
from abm.config import load_config
from abm.config_events import BloodLoss, PlateletLoss
from abm.errors import ConfigError
from abm.model import therapy
from abm.model.body import Body, Dose, daily_production
from abm.model.body.numerics import total
from abm.model.body.parameters import read_body
from tests.unit.body_case import Person, live, make_body, tables
from tests.unit.made_up_run import make_run

resources.load_analysis()
from abm_analysis import observables, read  # noqa: E402

MADE = observables.REGISTRY
BLEEDING = Dose("blood_loss", "loss", 0.2)


def bled(days: float = 1 / 24) -> Body:
    """A body that lost a fifth of its blood, ``days`` after the step in which it did."""
    body = make_body()
    live(body, 1 / 24, doses=[BLEEDING])
    if days > 1 / 24:
        live(body, days - 1 / 24)
    return body


def test_only_what_circulates_is_lost() -> None:
    before, after = make_body(), make_body()
    live(before, 1 / 24)
    live(after, 1 / 24, doses=[BLEEDING])
    for name, kept in {
        "red_cells": 0.8,
        "reticulocytes": 0.8,
        "monocytes": 0.8,
        "eosinophils": 0.8,
        "neutrophils": 1 - 0.2 / 2,  # one marginated for each that circulates
        "platelets": 1 - 0.2 * 2 / 3,  # a third is in the spleen
        "marrow_reticulocytes": 1.0,
    }.items():
        lost = total(getattr(after.blood, name)) / total(getattr(before.blood, name))
        assert lost == pytest.approx(kept, rel=1e-9), name
    pools = after.lymphocytes.pools[:, 0] / before.lymphocytes.pools[:, 0]
    assert pools == pytest.approx([1 - 0.2 * 0.01] * 5 + [1 - 0.2 * 0.1, 1 - 0.2 * 0.02], rel=1e-9)


def test_haemoglobin_falls_as_plasma_refills_the_vessels() -> None:
    assert bled().blood.hb == pytest.approx(145.0, rel=1e-3), "blood is lost whole"
    assert bled().blood.volume == pytest.approx(4.0)
    half = bled(1 / 24 + 16 / 24)
    assert half.blood.volume == pytest.approx(4.5)
    assert bled(4).blood.hb == pytest.approx(0.8 * 145, rel=0.02)


def test_blood_comes_back_with_constant_production() -> None:
    body = bled(0.5)
    live(body, 400, step_h=12.0)
    for name, usual in {"hb": 145.0, "anc": 4.0, "platelets": make_body().blood.platelet_count}.items():
        assert body.observables()[name] == pytest.approx(usual, rel=0.03), name


def test_erythropoietin_answers_a_loss_of_blood_and_thrombopoietin_one_of_platelets() -> None:
    assert bled(3).cytokines.epo > 3
    body = make_body()
    usual = body.blood.platelet_count
    live(body, 1 / 24, doses=[Dose("platelet_loss", "loss", 0.9)])
    assert body.blood.platelet_count == pytest.approx(0.1 * usual, rel=0.01)
    assert body.blood.hb == pytest.approx(145.0, rel=1e-3)
    live(body, 1)
    assert body.cytokines.tpo > 2
    assert body.blood.platelet_transfusions == 0


def test_erythropoietin_moves_ripening_from_marrow_to_blood() -> None:
    body = make_body()
    usual = total(body.blood.reticulocytes)
    inside = total(body.blood.marrow_reticulocytes)
    exits = {kind: np.array([cells, 0.0, 0.0, 0.0]) / 24 for kind, cells in daily_production(tables(), 70.0).items()}
    exits |= dict.fromkeys((Kind.BLAST, Kind.LSC), np.zeros(4))
    for _ in range(24 * 20):
        body.blood.advance(exits, np.zeros(4), 0.5, 1.0)
    assert total(body.blood.reticulocytes) == pytest.approx(1.5 * usual, rel=0.01), "1.5 d instead of 1 d"
    assert total(body.blood.marrow_reticulocytes) == pytest.approx(inside * 2 / 3, rel=0.01), "1 d instead of 1.5 d"
    assert body.cytokines.reticulocyte_shift == 0.0
    body.cytokines.epo = 8.8
    assert body.cytokines.reticulocyte_shift == pytest.approx(0.5, rel=0.01)


def test_reticulocytes_cannot_leave_before_they_are_made(tmp_path: Path) -> None:
    source = resources.folder("scenarios") / "rules" / "human" / "body.csv"
    text = source.read_text(encoding="utf-8")
    (tmp_path / "body.csv").write_text(text.replace("reticulocyte_shift,0.23", "reticulocyte_shift,0.4"))
    with pytest.raises(ConfigError, match=r"body.csv: reticulocyte_shift: expected less than 0.326 .*, found 0.4"):
        read_body(tmp_path)


def test_a_loss_is_one_dose() -> None:
    events = [
        BloodLoss(day=1, action="blood_loss", share=0.2),
        PlateletLoss(day=1, action="platelet_loss", share=0.9),
    ]
    found = therapy.compile(events, tables(), Person(), 48, 1.0, 0.0)
    assert found[24] == (BLEEDING, Dose("platelet_loss", "loss", 0.9))
    assert not any(found[:24] + found[25:])


@pytest.mark.parametrize(
    ("action", "share", "message"),
    [
        ("blood_loss", "0.6", r"case.toml:4: events\[0\].share: expected a number > 0 and <= 0.5, found 0.6"),
        ("blood_loss", "0", r"case.toml:4: events\[0\].share: expected a number > 0 and <= 0.5, found 0"),
        ("platelet_loss", "1.5", r"case.toml:4: events\[0\].share: expected a number > 0 and <= 1, found 1.5"),
        ("platelet_loss", '"most"', r"case.toml:4: events\[0\].share: expected a number.*"),
        ("bleeding", "0.2", r"case.toml:3: events\[0\].action: expected one of .*blood_loss"),
    ],
)
def test_a_wrong_loss_is_told_with_its_line(tmp_path: Path, action: str, share: str, message: str) -> None:
    path = tmp_path / "case.toml"
    path.write_text(f'[[events]]\nday = 1\naction = "{action}"\nshare = {share}\n')
    with pytest.raises(ConfigError, match=message):
        load_config(path)


# ------------------------------------------------------------------------------------------------ what is measured


def course(run: Any, action: str, **at: tuple[list[float], list[float]]) -> Any:
    """Return the run with a loss on day 0, and these columns through (days, values)."""
    body = {
        name: run.body["anc" if name == "reticulocytes" else name]._replace(values=np.interp(run.day, days, values))
        for name, (days, values) in at.items()
    }
    config = {**run.config, "events": [{"day": 0.0, "action": action, "share": 0.2}]}
    return dataclasses.replace(run, body={**run.body, **body}, config=config)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "aml"))


def test_reticulocytes_are_compared_with_those_before_the_loss(run: Any) -> None:
    days, values = [-30.0, 2.0, 9.0, 30.0, 180.0], [40.0, 40.0, 120.0, 40.0, 40.0]
    bleeding = course(run, "blood_loss", reticulocytes=(days, values))
    assert MADE["reticulocyte_peak_day"].make(bleeding) == pytest.approx(9, abs=0.6)
    assert MADE["reticulocyte_rise"].make(bleeding) == pytest.approx(3, rel=0.08)


def test_haemoglobin_recovers_when_four_fifths_are_back(run: Any) -> None:
    bleeding = course(run, "blood_loss", hb=([-30.0, 0.0, 3.0, 33.0, 180.0], [150.0, 150.0, 120.0, 150.0, 150.0]))
    assert MADE["hb_recovery_weeks"].make(bleeding) == pytest.approx(27 / 7)
    never = course(run, "blood_loss", hb=([-30.0, 0.0, 3.0, 180.0], [150.0, 150.0, 120.0, 140.0]))
    assert MADE["hb_recovery_weeks"].make(never) == np.inf


def test_platelets_are_normal_on_the_first_of_three_days(run: Any) -> None:
    days, values = [-30.0, 0.0, 0.2, 8.2, 180.0], [200.0, 200.0, 20.0, 180.0, 180.0]
    destroyed = course(run, "platelet_loss", platelets=(days, values))
    assert MADE["platelets_normal_day"].make(destroyed) == 7


def test_without_a_loss_there_is_nothing_to_measure(run: Any) -> None:
    for name in ("reticulocyte_peak_day", "reticulocyte_rise", "hb_recovery_weeks", "platelets_normal_day"):
        assert MADE[name].make(run) is None
