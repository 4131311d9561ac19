"""Multiple sclerosis in cohorts of bodies without a lattice, untreated and after ablation and graft."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from abm.cells import Origin
from abm.config import Patch, rules_of
from abm.model.body import Body, Dose, Tables
from abm.model.body.sclerosis import Sclerosis
from tests.unit.body_case import Person, live, make_body

pytestmark = [pytest.mark.science, pytest.mark.slow]

PATIENTS, YEARS = 24, 2
ABLATION = [Dose(kind="drug", name=name, amount=1.0) for name in ("cyclophosphamide", "atg")]


@cache
def tables() -> Tables:
    return Tables.load(rules_of(Patch(), "ms"))


def start(seed: int) -> Body:
    return make_body(Person(age_years=36.0, donor="autologous"), tables(), seed=seed)


def ablated(seed: int, cd3: float, intensity: float = 1.0) -> Body:
    """Return a patient half a year after cyclophosphamide with ATG and a graft with so many T cells."""
    body = start(seed)
    live(body, 5.0, step_h=6.0, doses=[replace(dose, amount=intensity) for dose in ABLATION])
    live(body, 180.0, step_h=24.0, doses=[Dose(kind="graft", name="blood", origin=Origin.DONOR, cd34=4e8, cd3=cd3)])
    return body


def relapses(body: Body, years: float) -> float:
    before = body.observables()["ms_relapses"]
    live(body, years * 365.25, step_h=24.0)
    return body.observables()["ms_relapses"] - before


def test_untreated_patients_relapse_as_often_as_at_entry_to_trials() -> None:
    """1.35 a year (CLARITY), by what the cohort can tell (99 %)."""
    found = np.array([relapses(start(seed), YEARS) for seed in range(1, PATIENTS + 1)])
    mean, error = found.mean() / YEARS, found.std(ddof=1) / YEARS / PATIENTS**0.5
    assert abs(mean - 1.35) < 2.6 * error
    assert error < 0.2, "a cohort that can tell"


def test_ablation_and_graft_take_away_nearly_all_relapses() -> None:
    seeds = range(1, PATIENTS + 1)
    without = sum(relapses(start(seed), 1.0) for seed in seeds)
    after = sum(relapses(ablated(seed, 1.4e10), 1.0) for seed in seeds)
    assert after < 0.2 * without


def test_the_repertoire_of_cd4_cells_is_replaced_by_ablation_and_a_selected_graft_only() -> None:
    """Most CD4 cells are new after two years, fewer CD8 cells (Muraro, JCI 2014); without ablation hardly any are."""
    shares = {}
    arms = {"none": start, "selected": lambda s: ablated(s, 1.4e6), "whole": lambda s: ablated(s, 1.4e10),
            "light": lambda s: ablated(s, 1.4e10, 0.25)}  # fmt: skip
    for name, make in arms.items():
        found = []
        for body in map(make, (1, 2, 3)):  # samples of 256 cells
            live(body, 550.0, step_h=24.0)
            seen = body.observables()
            found.append((seen["cd4_new"], seen["cd8_new"]))
        shares[name] = np.mean(found, axis=0)
    assert shares["none"][0] < 0.1
    assert shares["selected"][0] >= 0.9
    assert shares["selected"][1] < shares["selected"][0] - 0.2
    assert shares["none"][0] < shares["light"][0] < shares["whole"][0] < shares["selected"][0]


def test_after_a_quarter_of_the_conditioning_regulation_is_hardly_renewed_and_relapses_go_on() -> None:
    """Low intensity does not abolish the disease (Curro, Mult Scler 2015)."""
    growth, counts = {}, {}
    for intensity in (0.25, 1.0):
        bodies = [ablated(seed, 1.4e10, intensity) for seed in range(1, 17)]
        counts[intensity] = sum(relapses(body, 1.0) for body in bodies)
        ill = bodies[0].disease
        assert isinstance(ill, Sclerosis)
        growth[intensity] = ill.unregulated(bodies[0].lymphocytes)
    assert growth[1.0] < 0.4 < 0.6 < growth[0.25]
    assert counts[1.0] <= 2
    assert counts[0.25] >= 4
