"""Infections: two outcomes of an inoculum, how often episodes come, treatment and prophylaxis, tables and files."""

from __future__ import annotations

from dataclasses import replace
from math import inf, sqrt
from pathlib import Path

import numpy as np
import pytest

from abm.errors import ConfigError
from abm.io.upgrades import without_infections
from abm.model.body import Dose
from abm.model.body.infection import (
    BACTERIA,
    CMV,
    PATHOGENS,
    Host,
    Infections,
    episode_rate,
    onsets,
    read_pathogens,
)
from abm.model.body.mortality import Mortality
from abm.model.body.parameters import MortalityRules, section
from abm.philox import philox_scalar
from abm.state import Snapshot
from abm.streams import Stream
from tests.unit.body_case import Person, live, make_body, tables
from tests.unit.table_case import change, copied

HUMAN = tables().pathogens
DEADLY = section(MortalityRules, tables().values, 70.0)
NORMAL_ANC = 4.0
FULL = (1.0,) * len(PATHOGENS)


def against(anc: float, **more: object) -> Host:
    """Return a host with these neutrophils (1e9/L) and all T cells."""
    return replace(Host((anc / NORMAL_ANC, anc / NORMAL_ANC, 1.0, 1.0)), **more)  # type: ignore[arg-type]


def grown(load: float, anc: float, days: float = 4.0) -> float:
    """Return the bacteria after some days without further inocula or treatment."""
    alone = replace(HUMAN[BACTERIA], onset=0.0)
    found = Infections((alone, *HUMAN[1:]), seed=1)
    found.load[BACTERIA] = load
    host = against(anc, treated=(0.0,) * 4, room=(1.0, 0.0, 0.0, 0.0))
    for step in range(round(24 * days)):
        found.advance(host, step / 24.0, 1.0)
    return float(found.load[BACTERIA])


def test_neutrophils_clear_a_small_inoculum_and_not_a_large_one() -> None:
    rules = HUMAN[BACTERIA]
    critical = NORMAL_ANC * rules.growth / rules.kill
    for anc in (2.0 * critical, 5.0 * critical, 20.0 * critical):
        edge = rules.saturation * (anc / critical - 1.0)
        assert grown(0.8 * edge, anc) == 0.0
        assert grown(1.2 * edge, anc) > 1.0
    assert grown(0.01 * rules.saturation, 0.5 * critical, days=10.0) > 1.0, "below the critical count all grow"


@pytest.mark.parametrize("anc", [0.0, 0.25, 0.7])
def test_episodes_come_as_often_as_expected(anc: float) -> None:
    """Of 800 patients who are followed for 8 days, as many fall ill as the rate says (4 sigma, and 3 % for growth)."""
    host = against(anc, room=(1.0, 0.0, 0.0, 0.0))
    eager = replace(HUMAN[BACTERIA], onset=0.4)
    n, days, ill = 800, 8.0, 0
    for seed in range(n):
        found = Infections((eager, *HUMAN[1:]), seed)
        for step in range(round(days * 4)):
            found.advance(host, step / 4.0, 6.0)
            if found.episodes[BACTERIA]:
                ill += 1
                break
    chance = 1.0 - np.exp(-episode_rate(BACTERIA, eager, host) * days)
    assert abs(ill / n - chance) < 4.0 * sqrt(chance * (1.0 - chance) / n) + 0.03


def test_bodey_rates_fall_with_neutrophils() -> None:
    """43, 19, 5-8 and at most 2 severe infections per 1000 days (Bodey 1966), weeks after chemotherapy."""
    rates = [
        1000.0 * episode_rate(BACTERIA, HUMAN[BACTERIA], against(anc, gut_loss=0.1)) for anc in (0.05, 0.22, 0.7, 2.0)
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(43.0, rel=0.2)
    assert rates[1] == pytest.approx(19.0, rel=0.2)
    assert 4.0 < rates[2] < 8.0
    assert rates[3] < 2.0


def test_the_healthy_have_no_bacteria_viruses_or_fungi_to_speak_of() -> None:
    for i, rules in enumerate(HUMAN):
        assert 365.0 * episode_rate(i, rules, against(NORMAL_ANC)) < 0.02, PATHOGENS[i]


def test_who_loses_neutrophils_mucosa_or_t_cells_falls_ill_more_often() -> None:
    rules = HUMAN[BACTERIA]
    assert onsets(BACTERIA, rules, against(0.1, gut_loss=0.4)) > 1.5 * onsets(BACTERIA, rules, against(0.1))
    assert onsets(BACTERIA, rules, against(0.1, steroid=0.6)) > onsets(BACTERIA, rules, against(0.1))
    bare = Host((1.0, 1.0, 0.01, 1.0))
    assert episode_rate(CMV, HUMAN[CMV], bare) == pytest.approx(HUMAN[CMV].onset)
    assert episode_rate(CMV, HUMAN[CMV], replace(bare, room=(1.0, 1.0, 0.0, 1.0))) == 0.0, "who carries no virus"


def test_prophylaxis_prevents_its_share_of_onsets() -> None:
    body = make_body()
    live(body, 0.1, doses=[Dose("immunosuppression_level", "levofloxacin", 1.0)])
    drug = next(d for d in body.drugs.drugs if d.name == "levofloxacin")
    assert 0.4 <= drug.inhibition[3 + BACTERIA] <= 0.7
    assert body.drugs.inhibition("bacteria") == drug.inhibition[3 + BACTERIA]
    assert body.drugs.inhibition("fungi") == 0.0
    half = against(0.1, prevented=(drug.inhibition[3 + BACTERIA], 0.0, 0.0, 0.0))
    assert onsets(BACTERIA, HUMAN[BACTERIA], half) == pytest.approx(
        (1.0 - drug.inhibition[3 + BACTERIA]) * onsets(BACTERIA, HUMAN[BACTERIA], against(0.1))
    )


def fate(seed: int, *, treated: bool) -> tuple[bool, bool]:
    """Return whether a patient without neutrophils falls ill within 20 days, and dies of it within 30."""
    found, mortality = Infections(HUMAN, seed), Mortality(DEADLY, 4.0, 190.0, 145.0)
    host = against(0.0, treated=(float(treated),) * 4, room=(1.0, 0.0, 0.0, 0.0))
    late = replace(host, prevented=(1.0, 1.0, 1.0, 1.0))
    for step in range(120):
        day = step / 4.0
        found.advance(host if day < 20.0 else late, day, 6.0)
        draw = philox_scalar(seed, 0, step, Stream.DEATH * 256)[0]
        mortality.advance(np.zeros(6), found.hazards().tolist(), day, 6.0, draw)
    return bool(found.episodes[BACTERIA]), mortality.dead


def test_about_15_percent_of_treated_episodes_kill_and_most_untreated_ones() -> None:
    """As infection_death of body.csv has it (8-24 %, which 300 patients can tell), and antibiotics matter."""
    treated = np.array([fate(seed, treated=True) for seed in range(300)])
    alone = np.array([fate(seed, treated=False) for seed in range(100)])
    assert 0.08 < treated[:, 1].sum() / treated[:, 0].sum() < 0.24
    assert alone[:, 1].sum() > 0.8 * alone[:, 0].sum()


def test_infections_that_come_kill_as_many_as_the_average_says() -> None:
    """Survival of 250 patients after 20 days without neutrophils: by their own infections, and by infection_death."""
    host = against(0.0, gut_loss=0.05, room=(1.0, 0.0, 0.0, 0.0))
    survival = []
    for seed in range(250):
        found, exposure = Infections(HUMAN, seed), 0.0
        for step in range(80):
            found.advance(host, step / 4.0, 6.0)
            exposure += float(found.hazards()[BACTERIA]) / 4.0
        survival.append(np.exp(-exposure))
    error = float(np.std(survival, ddof=1)) / sqrt(len(survival))
    assert abs(float(np.mean(survival)) - np.exp(-20.0 * DEADLY.infection_death)) < 3.0 * error


def test_a_body_continues_as_if_it_had_not_been_stopped() -> None:
    empty = {"host": 0.0}
    through, first = make_body(Person(donor="sibling")), make_body(Person(donor="sibling"))
    live(through, 60.0, step_h=6.0, **empty)
    live(first, 30.0, step_h=6.0, **empty)
    second = make_body(Person(donor="sibling"))
    second.unpack(first.pack())
    live(second, 30.0, step_h=6.0, **empty)
    assert through.infections.episodes[BACTERIA] > 0.0, "two months without neutrophils"
    for name, array in through.pack().items():
        assert np.array_equal(array, second.pack()[name], equal_nan=True), name


def test_old_checkpoints_are_read() -> None:
    old = Snapshot(7, (8, 4, 4), 0, 8, {}, {"mortality.exposure": np.array([0.1, 0.2, 0.3])})
    new = without_infections(old).body
    body = make_body()
    body.infections.unpack({name: new[f"infections.{name}"] for name in Infections.STATE})
    assert body.infections.turn == 7.0
    assert (body.infections.began == inf).all()
    assert new["mortality.exposure"].tolist() == [0.1, 0.2, 0.3, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bacteria,growth,6,1/d", "bacteria,growth,0,1/d", "value: expected a number >= 1e-09, found '0'"),
        ("bacteria,growth,6,1/d", "bacteria,growth,6,1/h", "unit: unknown name '1/h' (did you mean 1/d?)"),
        ("cmv,uncovered,0.05", "cmv,uncovered,5", "value: expected a number >= 0 and <= 1, found '5'"),
        ("cmv,uncovered,0.05", "hsv,uncovered,0.05", "pathogen: unknown name 'hsv'"),
        ("ebv,adapt", "ebv,kill", "quantity: kill of ebv stands twice"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = copied(tmp_path)
    line = change(folder, "pathogens.csv", old, new)
    with pytest.raises(ConfigError) as caught:
        read_pathogens(folder)
    assert f"pathogens.csv:{line}: {message}" in str(caught.value)


def test_a_missing_row_is_named(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    path = folder / "pathogens.csv"
    path.write_text("".join(x for x in path.read_text().splitlines(True) if not x.startswith("ebv,death,")))
    with pytest.raises(ConfigError, match="ebv lacks death"):
        read_pathogens(folder)
