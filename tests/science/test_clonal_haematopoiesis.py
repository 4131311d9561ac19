"""Clones of stem cells with a growth advantage: on the lattice and over decades, against branching theory.

Watson et al., Science 2020; Fabre et al., Nature 2022 (clones grow by 5 to 50 % a year).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from abm.cells import MARKS, NICHE_SINUSOIDAL, Count, Cycle, Kind, pack_cold, pack_hot
from abm.config import Config
from abm.setup import load_model
from abm.stem_clones import Gain, StemClones, StemRates
from tests.science.bare_marrow import SOURCE, Rules, agree, put, start

pytestmark = pytest.mark.science

STEM_CELLS = 100_000
STEP_A = 0.05


@cache
def rates(inflammation: float = 0.0) -> StemRates:
    config = Config.model_validate({"patient": {"disease": "chip"}})
    return StemRates.of(config, load_model(config).rules, inflammation)


def test_fitness_of_the_shipped_drivers_is_that_of_real_ones() -> None:
    """5 to 50 % a year (Fabre 2022); the rates of the wild type are those of the rule tables."""
    found = rates()
    assert found.fitness[0] == 0.0
    assert (found.fitness[1:] > 0.03).all()
    assert (found.fitness[1:] < 0.5).all()
    assert found.divide[0] == pytest.approx(365.25 / (1 / 0.00357 + 2), rel=1e-3)
    assert found.fitness[1] == pytest.approx(0.2 * found.leave[0], rel=0.02)


def test_inflammation_raises_fitness() -> None:
    assert (rates(1.0).fitness[1:] > 1.5 * rates().fitness[1:]).all()


def grown(variant: int, cells: int, years: float, seed: int) -> float:
    """Return the size of a clone after some years, in a marrow that does not mutate."""
    quiet = StemRates(rates().leave, rates().divide, ())
    marrow = StemClones(quiet, STEM_CELLS, seed)
    marrow.begin(variant, cells)
    for _ in range(round(years / STEP_A)):
        marrow.advance(STEP_A)
    return float(marrow.size[marrow.variant == variant].sum())


@pytest.mark.parametrize("variant", [1, 2, 3])
def test_a_clone_grows_at_its_fitness(variant: int) -> None:
    years = 8.0
    found = [grown(variant, 100, years, seed) for seed in range(200)]
    # a step of finite length: those that leave in it are replaced by daughters of those that stay
    step = 1.0 - np.exp(-rates().leave[0] * STEP_A)
    gain = (1.0 - step) * (1.0 + step / (1.0 - step) * rates().divide[variant] / rates().divide[0])
    agree(found, 100 * gain ** round(years / STEP_A))
    assert np.log(gain) / STEP_A == pytest.approx(rates().fitness[variant], rel=0.03)


def test_a_single_mutant_takes_hold_as_branching_theory_says() -> None:
    """A birth-death process with birth b and death d survives with probability 1 - d / b."""
    variant, cells = 2, 1
    survived = np.array([grown(variant, cells, 15.0, seed) > 0 for seed in range(400)])
    birth = rates().leave[0] * rates().divide[variant] / rates().divide[0]
    expected = 1.0 - rates().leave[variant] / birth
    error = np.sqrt(expected * (1 - expected) / survived.size)
    assert abs(survived.mean() - expected) < 4 * error + 0.01  # in discrete steps, and a few are still to die out


def test_drivers_accumulate_as_mutation_and_selection_say() -> None:
    """Mean share x of first hits: dx/dt = u (1 - x) + s x (1 - x) / (1 + (r - 1) x), r: how much faster they divide."""
    years, chance_of_hit = 30.0, 1e-3
    once = replace(rates(), gains=(Gain(0, chance_of_hit, 1, 0),))
    found = []
    for seed in range(40):
        marrow = lived(once, years, seed)
        assert marrow.size.sum() == STEM_CELLS
        found.append(marrow.share(1))
    advantage, share = once.divide[1] / once.divide[0], 0.0
    for _ in range(round(years / STEP_A)):
        places = once.leave[0] / (1 + (advantage - 1) * share)  # a year, for each share of the divisions
        hits = chance_of_hit * (1 - share) * (once.divide[0] + places)
        share += STEP_A * (hits + places * share * advantage - once.leave[1] * share)
    agree(found, share)


def lived(found: StemRates, years: float, seed: int) -> StemClones:
    """Return a marrow after so many years."""
    marrow = StemClones(found, STEM_CELLS, seed)
    for _ in range(round(years / STEP_A)):
        marrow.advance(STEP_A)
    return marrow


def test_clones_are_found_in_the_old_and_not_in_the_young() -> None:
    """A clone of 2 % in 10 % of people above 65 to 70 (Genovese, Jaiswal, NEJM 2014), rare before 40."""
    share = {}
    for years in (40.0, 70.0):
        marrows = [lived(rates(), years, seed) for seed in range(40)]
        share[years] = np.mean([marrow.vaf.size > 0 and marrow.vaf.max() >= 0.02 for marrow in marrows])
    assert share[40.0] <= 0.05
    assert 0.05 <= share[70.0] <= 0.35


def test_two_hits_come_before_leukaemia() -> None:
    """With hits a thousand times as likely, all of it is seen in one life."""
    likely = replace(rates(), gains=tuple(g._replace(probability=1000 * g.probability) for g in rates().gains))
    assert {g.kind for g in likely.gains} == {0, int(Kind.LSC)}
    assert not any(g.kind for g in likely.gains if g.mother in (0, 1))
    marrow = StemClones(likely, STEM_CELLS, 1)
    while not marrow.transformed:
        marrow.advance(STEP_A)
        assert marrow.year < 80.0
    assert marrow.share(2) + marrow.share(3) > 0
    assert marrow.share(1) > marrow.share(2)


# -- on the lattice

BOX, APART = 24, 4
BETA, DETACH, DELTA, TRIALS_PER_H, LEAVE, STEP_H = 2.0, 8.0, 24.0, 17280, 48.0, 0.25
FACTOR, MARKED, DAYS = 1.5, 54, 2


def competition(folder: Path, seed: int) -> float:
    """Return by how much the log odds of a variant that divides faster grow, in niches that share the blood."""
    rules = Rules().kind("HSC", 1, flags="NICHE_SEEKER")
    rules.rate("HSC", DIVIDE=BETA, RENEW=1.0, EGRESS=LEAVE).rate("HSC", "quiescent", SWITCH=1e-6)
    rules.response("HSC", "EGRESS", "niche", DETACH / LEAVE, 0.01, 4)
    rules.value("traffic", hsc_trials=TRIALS_PER_H, hsc_clearance=DELTA / 24)
    rules.write(folder)
    row = f"HSC,any,1,driver,DIVIDE,{FACTOR},1,{SOURCE},assumption\n"
    (folder / "variants.csv").write_text("kind,cycle,variant,name,target,factor,unit,source,status\n" + row)
    none = f"HSC,any,driver,division,0,1/division,{SOURCE},assumption\n"
    (folder / "mutations.csv").write_text("kind,from,gain,when,probability,unit,source,status\n" + none)
    tissue = np.zeros((BOX,) * 3, np.uint8)
    tissue[(slice(None, None, APART),) * 3] = NICHE_SINUSOIDAL
    sim = start(folder, tissue.shape, DAYS, step_min=round(STEP_H * 60), seed=seed, tissue=tissue)
    sites = np.random.default_rng(seed).permutation(np.flatnonzero(tissue))
    hot, cold = np.zeros(tissue.size, np.uint32), np.zeros(tissue.size, np.uint32)
    hot[sites] = pack_hot(kind=Kind.HSC, cycle=Cycle.CYCLING)
    cold[sites[:MARKED]] = pack_cold(resist=1)
    put(sim, hot.reshape(tissue.shape), cold.reshape(tissue.shape))
    while sim.step < sim.n_steps:
        sim.advance()
    carriers = sim.lattice.marks()[MARKS["variant"][0], Kind.HSC].sum()
    return float(carriers / sim.last[Count.POPULATION, Kind.HSC].sum())


def test_a_faster_variant_gains_ground_on_the_lattice(tmp_path: Path) -> None:
    """Log odds grow at r (f - 1): r the rate at which a place goes to a daughter, f the factor of division.

    What enters a niche is a daughter (beta of them for d that left theirs) or a cell that comes back.
    """
    found = [competition(tmp_path, seed) for seed in range(10)]
    share = begin = MARKED / (BOX // APART) ** 3
    for _ in range(round(DAYS * 24 / STEP_H)):
        faster, others = (DETACH + FACTOR * BETA) * share, (DETACH + BETA) * (1 - share)
        share += STEP_H / 24 * DETACH * (faster / (faster + others) - share)
    assert share - begin > 0.2
    agree(found, share)
