"""Chronic GVHD: what has to come together, when it begins, what it does; files."""

from __future__ import annotations

from dataclasses import replace
from math import exp, inf, sqrt

import numpy as np
import pytest

from abm.io.upgrades import without_infections
from abm.model.body import Dose
from abm.model.body.chronic import ChronicDisease
from abm.model.body.organs import GVH
from abm.model.body.parameters import ChronicRules, section
from abm.state import Snapshot
from tests.unit.body_case import Person, live, make_body, tables

RULES = section(ChronicRules, tables().values, 70.0)
MARROW = Dose("graft", "marrow", cd34=2e8, cd3=1.75e9)
BLOOD = Dose("graft", "blood", cd34=4e8, cd3=1.75e10)


def followed(reactive: float, thymus: float, days: int = 365, seed: int = 1, unbraked: float = 0.0) -> ChronicDisease:
    found = ChronicDisease(RULES, seed)
    for day in range(1, days + 1):
        found.advance(reactive, thymus, day, float(day), 24.0, unbraked)
    return found


def test_it_takes_reactive_cells_and_a_hurt_thymus() -> None:
    assert followed(0.0, 0.5).risk == 0.0
    assert followed(3e8, 1.0).risk == 0.0
    assert followed(3e8, 0.5).risk > 0.3


def test_risk_rises_with_reactive_cells_and_levels_off() -> None:
    risks = [followed(cells, 0.7).risk for cells in (3e7, 3e8, 3e9, 3e10)]
    assert risks == sorted(risks)
    assert risks[1] > 2.0 * risks[0]
    assert risks[3] < 1.2 * risks[2]


def test_tolerance_is_lost_over_months() -> None:
    """With all that it takes half is lost after the median of a chain of three stages, and next to nothing in weeks."""
    assert followed(1e12, 0.0, round(RULES.chronic_delay * 2.674 / 3.0)).broken == pytest.approx(0.5, abs=0.02)
    assert followed(1e12, 0.0, 14).broken < 0.01


def test_blocked_pd1_breaks_tolerance_within_weeks_though_the_thymus_is_whole() -> None:
    """New chronic signs in 11 of 31 patients, after two doses in the median (Haverkos, Blood 2017)."""
    held, freed, none = (followed(c, 1.0, 60, unbraked=b).risk for c, b in ((3e9, 0.0), (3e9, 1.0), (0.0, 1.0)))
    assert held == none == 0.0
    assert freed > 0.15
    hurt, worse = (followed(3e9, 0.3, 200, unbraked=blocked) for blocked in (0.0, 1.0))
    assert worse.risk > hurt.risk
    np.testing.assert_array_equal(worse.breaking, hurt.breaking)  # the thymus is not asked


def test_onset_is_as_frequent_as_the_risk_says() -> None:
    n = 600
    met = [followed(3e8, 0.6, days=120, seed=seed) for seed in range(n)]
    chance = met[0].risk
    assert all(one.risk == chance for one in met)
    hits = sum(one.onset < inf for one in met)
    assert abs(hits / n - chance) < 4.0 * sqrt(chance * (1.0 - chance) / n)
    assert all((one.severity > 0.0) == (one.onset < inf) for one in met)


def test_severity_heals_over_years_once_its_causes_are_gone() -> None:
    found = followed(3e11, 0.0)
    assert found.severity > 0.8
    before = found.severity
    found.breaking[:] = 0.0
    for day in range(366, 366 + 700):
        found.advance(0.0, 1.0, day, float(day), 24.0)
    assert found.severity == pytest.approx(before * exp(-700.0 / RULES.chronic_repair), rel=0.01)


def test_blood_cells_bring_more_of_it_than_marrow_and_a_twin_none() -> None:
    risks = {}
    for name, donor, graft in (("marrow", "sibling", MARROW), ("blood", "sibling", BLOOD), ("twin", "twin", BLOOD)):
        body = make_body(Person(donor=donor))
        live(body, 1.0, 6.0, host=0.01, doses=[Dose("drug", "busulfan", 1.0), Dose("drug", "cyclophosphamide", 0.6)])
        live(body, 250.0, 6.0, host=0.0, donor=0.9, doses=[graft])
        risks[name] = body.observables()["chronic_risk"]
    assert risks["blood"] > risks["marrow"] > 0.05
    assert risks["twin"] == 0.0


def test_it_sends_effectors_to_the_marrow_and_hurts_the_thymus() -> None:
    sick, spared = make_body(), make_body()
    for body in (sick, spared):
        live(body, 1.0, 6.0, host=0.0, donor=0.9, doses=[MARROW])
    sick.chronic.onset, sick.chronic.severity = 1.0, 1.0
    waiting = [body.allo.waiting.copy() for body in (sick, spared)]
    for body in (sick, spared):
        live(body, 20.0, 6.0, host=0.0, donor=0.9)
    gained = [body.allo.waiting - before for body, before in zip((sick, spared), waiting, strict=True)]
    assert (gained[0] - gained[1])[:2].min() > 1.0, "agents of both classes of donor effectors"
    assert sick.lymphocytes.thymic_function < spared.lymphocytes.thymic_function
    assert sick.allo.effectors[GVH] == pytest.approx(spared.allo.effectors[GVH], rel=0.05)


def test_old_checkpoints_have_none() -> None:
    old = Snapshot(7, (8, 4, 4), 0, 8, {}, {"mortality.exposure": np.zeros(3)})
    new = without_infections(old).body
    fresh = ChronicDisease(replace(RULES), seed=1)
    fresh.unpack({name: new[f"chronic.{name}"] for name in ChronicDisease.STATE})
    assert (fresh.onset, fresh.severity, fresh.risk) == (inf, 0.0, 0.0)


def test_foreign_hla_adds_no_drive_of_its_own() -> None:
    """As many T cells of a haploidentical donor, four times as reactive, break tolerance no faster than a sibling's.

    Somewhat more slowly: T cells of the patient, which see more of them as foreign, kill some.
    """
    exposed = []
    for donor in ("sibling", "haplo"):
        body = make_body(Person(donor=donor))
        live(body, 1.0, 6.0, host=0.0, donor=0.9, doses=[replace(MARROW, cd3=2.5e8)])
        body.lymphocytes.thymic_function = 0.5
        body.allo.effectors[:] = body.allo.inflammation = 0.0
        live(body, 30.0, 6.0, host=0.0, donor=0.9)
        exposed.append(body.chronic.exposure)
    assert 0.5 * exposed[0] < exposed[1] < exposed[0]
    assert exposed[0] > 1e-4
