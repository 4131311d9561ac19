"""Lymphocytes among cells they recognise, by the shipped rules: what one of them kills in a day.

The rate is a row of ``behaviours.csv``; whether a run keeps it depends on engagement, exhaustion, rivals of the event
and the step, so that it is measured. A lymphocyte of the body is several agents on the lattice, each of which kills
more slowly by that number (``effector_enrichment``). Whom one engages is drawn anew in each
step: a contact lasts a step, or as many as the same target is drawn again, which is measured too.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from abm.backends import choose
from abm.cells import COLD, Count, Cycle, Kind, Origin, Specificity, Tissue, pack_hot
from abm.config import Config
from abm.reference.lattice import AIM_MASK
from abm.step import Simulation

pytestmark = pytest.mark.science

SIDE, APART, HOURS = 24, 6, 24
#: Kills of a cytotoxic T cell in vivo, 1/d (Halle, Immunity 2016; Weigelin, Nat Commun 2021).
BAND = (2.0, 16.0)
#: Minutes for which it stays with a target that it can kill (Halle, Immunity 2016; Cazaux, J Exp Med 2019).
CONTACT_BAND = (15.0, 180.0)
KILLER = {"kind": Kind.CD8_EFFECTOR, "origin": Origin.DONOR, "cycle": Cycle.QUIESCENT}
BLAST = pack_hot(kind=Kind.BLAST, origin=Origin.HOST, cycle=Cycle.QUIESCENT)


class Seen(NamedTuple):
    """What is counted of a run: kills, hours that agents were there and engaged, agents for a lymphocyte, contacts."""

    kills: int
    there_h: float
    engaged_h: float
    agents: float
    contact_min: float


def among_blasts(specificity: Specificity, *, step_min: int = 60, seed: int = 1) -> Seen:
    """Put lone effectors into marrow that is full of leukaemia, and count for a day."""
    config = {"seed": seed, "patch": {"shape": [SIDE] * 3}, "time": {"step_min": step_min}}
    sim = Simulation.start(Config.model_validate(config), choose("auto")[0])
    marrow = sim.lattice.owned("tissue") & 15 == Tissue.MARROW
    resident, motile = np.where(marrow, np.uint32(BLAST), np.uint32(0)), np.zeros((SIDE,) * 3, np.uint32)
    inner = (slice(APART // 2, None, APART),) * 3
    motile[inner] = pack_hot(**KILLER, specificity=specificity)
    motile[~marrow] = 0
    number = np.arange(motile.size, dtype=np.uint32).reshape(motile.shape) + np.uint32(1)  # tells them apart
    for layer, words in (("res", resident), ("mot", motile)):
        sim.lattice.load(f"{layer}_hot", words)
        sim.lattice.load(f"{layer}_cold", np.where(words != 0, number, 0).astype(np.uint32) * (layer == "mot"))
    sim._refresh_counts()
    kills, there, engaged, met = 0, 0, 0, []
    for _ in range(HOURS * 60 // step_min):
        stood = alone(sim)
        sim.advance()
        met.append(aims(sim, stood))
        kills += int(sim.last[Count.KILL].sum())
        mine = (sim.lattice.owned("mot_hot") & 63) == Kind.CD8_EFFECTOR
        there += int(mine.sum())
        engaged += int((sim.lattice.owned("engaged") != 0).sum())
    agents = sim.body.allo.rules.effector_enrichment
    return Seen(kills, there * step_min / 60.0, engaged * step_min / 60.0, agents, contact(met) * step_min)


def alone(sim: Simulation) -> dict[int, tuple[int, ...]]:
    """Return the site of every lymphocyte that has not divided, by its number."""
    clone = next(field for field in COLD if field.name == "clone")
    sites = [tuple(site) for site in np.argwhere((sim.lattice.owned("mot_hot") & 63) == Kind.CD8_EFFECTOR).tolist()]
    cold = sim.lattice.owned("mot_cold")
    numbers = [int(cold[site]) >> clone.shift & ((1 << clone.bits) - 1) for site in sites]
    return {n: site for n, site in zip(numbers, sites, strict=True) if n and numbers.count(n) == 1}


def aims(sim: Simulation, stood: dict[int, tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """Return the site of the target that each engaged in the step that has just ended, by its number."""
    engaged, found = sim.lattice.owned("engaged"), {}
    for n, site in stood.items():
        if aim := int(engaged[site]) & AIM_MASK:
            offset = ((aim - 1) // 9 - 1, (aim - 1) // 3 % 3 - 1, (aim - 1) % 3 - 1)
            found[n] = tuple((x + d) % SIDE for x, d in zip(site, offset, strict=True))
    return found


def contact(met: list[dict[int, tuple[int, ...]]]) -> float:
    """Return the mean number of steps for which a lymphocyte stays with one target."""
    engaged = sum(len(step) for step in met)
    stayed = sum(before.get(n) == site for before, now in pairwise(met) for n, site in now.items())
    return engaged / (engaged - stayed) if engaged else 0.0


def a_day(seen: Seen) -> float:
    """Return kills per lymphocyte and day."""
    return 24.0 * seen.kills / seen.there_h * seen.agents


@pytest.mark.parametrize("step_min", [30, 60])
def test_what_one_lymphocyte_kills_in_a_day(step_min: int) -> None:
    seen = among_blasts(Specificity.LEUKAEMIA, step_min=step_min)
    assert seen.there_h > 24 * 30, "too few to count"
    assert seen.kills > 50
    assert seen.engaged_h > 0.9 * seen.there_h, "a target is always in reach"
    assert BAND[0] < a_day(seen) < BAND[1]
    assert CONTACT_BAND[0] < seen.contact_min < CONTACT_BAND[1]


def test_what_it_does_not_recognise_it_does_not_touch() -> None:
    seen = among_blasts(Specificity.CMV)
    assert seen.there_h > 24 * 30
    assert (seen.kills, seen.engaged_h) == (0, 0.0)
