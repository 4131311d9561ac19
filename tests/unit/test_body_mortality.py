"""Death at low counts: hazards, competing causes, draws, and how a run ends with its patient."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from abm.backends import choose
from abm.config import Config
from abm.endpoints import CAUSES as NAMES
from abm.errors import ConfigError
from abm.model.body.infection import PATHOGENS
from abm.model.body.mortality import CAUSES, Illness, Mortality
from abm.model.body.parameters import MortalityRules, read_body, section
from abm.philox import philox_scalar
from abm.step import Simulation
from abm.streams import Stream
from tests.unit.body_case import live, make_body, tables
from tests.unit.table_case import change, copied

EMPTY = (0.0, 0.0, 0.0)
NO_INFECTION = (0.0,) * len(PATHOGENS)
ILL = Illness(grade=4, chronic=1.0, leukaemia=1.0, injury=1.0)


def patient(species: str = "human") -> Mortality:
    usual = {"human": (4.0, 190.0, 145.0), "mouse": (1.0, 1000.0, 145.0)}[species]
    return Mortality(rules(species), *usual)


@cache
def rules(species: str) -> MortalityRules:
    values = tables(species).values
    return section(MortalityRules, values, values["reference_weight"])


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_hazards_are_those_of_the_table(species: str) -> None:
    found = patient(species)
    r = found.rules
    highest = [r.infection_death, r.bleeding_death, r.anaemia_death]
    assert found.hazards(*EMPTY)[:3] == pytest.approx(highest, rel=0.01)
    at_half = found.hazards(r.infection_anc, r.bleeding_platelets, r.anaemia_hb)[:3]
    assert at_half == pytest.approx([x / 2 for x in highest], rel=0.02)
    counts = np.array([r.infection_anc, r.bleeding_platelets, r.anaemia_hb])
    assert (found.hazards(*(counts * 0.5))[:3] > at_half).all()
    assert (found.hazards(*(counts * 2.0))[:3] < at_half).all()


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_the_healthy_run_no_risk(species: str) -> None:
    body = make_body(found=tables(species))
    live(body, 2.0)
    assert body.mortality.survival == pytest.approx(1.0, abs=1e-6)
    assert not body.mortality.dead
    assert body.observables()["cause_of_death"] == 0.0


def test_nobody_dies_without_a_draw_but_the_hazards_add_up() -> None:
    found = patient()
    for day in range(10):
        found.advance(found.hazards(*EMPTY), NO_INFECTION, float(day), 24.0, None)
    r = found.rules
    whole = 10 * (r.infection_death + r.bleeding_death + r.anaemia_death)
    assert found.survival == pytest.approx(math.exp(-whole), rel=0.01)
    assert not found.dead


def test_draws_agree_with_the_hazards() -> None:
    """Of 4000 animals without cells, as many die on the first day, and of each cause, as the hazards say (4 sigma)."""
    n, causes = 4000, Counter()
    hazards = patient().hazards(*EMPTY, ILL)
    assert (hazards > 0.0).all()
    infected = [hazards[0], 0.0, 0.0, 0.0]
    for seed in range(n):
        found = patient()
        found.advance(hazards, infected, 1.0, 24.0, philox_scalar(seed, 0, 7, Stream.DEATH * 256)[0])
        assert found.dead == (found.day == 1.0)
        causes[found.cause] += 1
    whole = float(hazards.sum())
    chances = [math.exp(-whole), *((1 - math.exp(-whole)) * hazards / whole)]
    for cause, chance in enumerate(chances):
        assert abs(causes[cause] - n * chance) < 4 * math.sqrt(n * chance * (1 - chance)), cause


def test_each_illness_adds_its_hazard() -> None:
    found, healthy = patient(), (4.0, 190.0, 145.0)
    r = found.rules
    assert not found.hazards(*healthy).any()
    assert found.hazards(*healthy, Illness(grade=2)).max() == 0.0
    assert found.hazards(*healthy, Illness(grade=3))[3] == r.gvhd_death_3 < r.gvhd_death_4
    assert found.hazards(*healthy, Illness(chronic=0.5))[3] == pytest.approx(r.chronic_death / 2)
    assert found.hazards(*healthy, Illness(leukaemia=r.leukaemia_half))[4] == pytest.approx(r.leukaemia_death / 2)
    assert found.hazards(*healthy, Illness(injury=0.5))[5] == pytest.approx(r.toxicity_death / 4)
    low = found.hazards(*EMPTY), found.hazards(*EMPTY, Illness(protected=0.5))
    assert low[1].tolist() == [low[0][0] / 2, *low[0][1:]], "antibiotics prevent infections only"


def test_the_average_counts_bacteria_by_neutrophils_and_viruses_as_they_are() -> None:
    found = patient()
    hazards = found.hazards(*EMPTY)
    found.advance(hazards, (0.3, 0.0, 0.2, 0.0), 1.0, 24.0, None)
    assert found.exposure[0] == pytest.approx(hazards[0] + 0.2)
    assert found.exposure[1:] == pytest.approx(hazards[1:])


def test_the_dead_die_once() -> None:
    found = patient()
    found.advance(found.hazards(*EMPTY), NO_INFECTION, 3.0, 24.0, 0)
    assert (found.cause, found.day) == (2.0, 3.0), "no infection is there to die of"
    found.advance(found.hazards(*EMPTY), NO_INFECTION, 4.0, 24.0, 0)
    assert (found.cause, found.day) == (2.0, 3.0)
    assert CAUSES == NAMES


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("infection_power,4", "infection_power,3", "infection_power: expected 1, 2, 4 or 8, found 3"),
        ("bleeding_platelets,30", "bleeding_platelets,0", "bleeding_platelets: expected a number > 0, found 0"),
        ("anaemia_death,0.1", "anaemia_death,-0.1", "anaemia_death: expected a number >= 0, found -0.1"),
        ("leukaemia_hold,1,1", "leukaemia_hold,1.5,1", "leukaemia_hold: expected a share up to 1, found 1.5"),
        ("leukaemia_hold_half,0.1", "leukaemia_hold_half,0", "leukaemia_hold_half: expected a number > 0, found 0"),
        ("apc_half,0.02", "apc_half,0", "apc_half: expected a number > 0, found 0"),
        ("anaemia_hb,40,g/L", "anaemia_hb,40,g/dL", "anaemia_hb is expected in 'g/L', found 'g/dL'"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = copied(tmp_path, "mouse")
    change(folder, "body.csv", old, new)
    with pytest.raises(ConfigError, match=r"body.csv") as caught:
        read_body(folder)
    assert message in str(caught.value)


def irradiated(may_die: bool) -> Simulation:
    """Return a mouse after a dose that empties the marrow, at its death or on day 40."""
    events = [{"action": "tbi", "day": 0.0, "dose_gy": 12.0}]
    config = Config.model_validate(
        {
            "seed": 3,
            "patch": {"shape": [16] * 3, "species": "mouse"},
            "patient": {"weight_kg": 0.025, "age_years": 0.3, "donor": "twin", "may_die": may_die},
            "time": {"start_day": 0.0, "end_day": 40.0},
            "events": events,
        }
    )
    sim = Simulation.start(config, choose("auto")[0])
    while not sim.over:
        sim.advance()
    return sim


def test_a_run_ends_with_its_patient_and_is_the_same_until_then() -> None:
    dies, lives = irradiated(may_die=True), irradiated(may_die=False)
    assert 5.0 < dies.day < 40.0, "without a graft an irradiated mouse dies in weeks"
    assert dies.observables()["cause_of_death"] > 0.0
    assert dies.body.mortality.day == dies.day
    assert lives.step == lives.n_steps
    assert lives.observables()["survival"] < 0.05
    again = Simulation.restore(dies.config, choose("auto")[0], dies.snapshot())
    assert again.over
    assert again.body.mortality.cause == dies.body.mortality.cause
