"""The antigen shield: a drug against CD33 spares cells that have lost it, so that their share rises."""

from __future__ import annotations

from typing import Any

import numpy as np

from abm.cells import HOT, LOSS_ANTIGENS, Antigen, EditBit, Kind, pack_hot
from abm.config import Config
from abm.step import Simulation

CD33 = next(np.uint32(f.shift) for f in HOT if f.name == "loss") + np.uint32(LOSS_ANTIGENS.index(Antigen.CD33))
BOTH = np.uint32(pack_hot(loss=1 << LOSS_ANTIGENS.index(Antigen.CD33), edits=1 << EditBit.EDITED))
SHOWING = (Kind.GMP, Kind.MYELOBLAST, Kind.PROMYELOCYTE, Kind.MYELOCYTE)
SPARED = (Kind.PROERYTHROBLAST, Kind.POLYCHROMATIC)
DRUG = {"day": 0.0, "action": "antibody", "drug": "gemtuzumab", "dose_mg_per_m2": 9.0}


def half_edited(backend: Any, *events: dict[str, object]) -> Simulation:
    """Return a healthy patient after three days, half of whose residents had lost CD33 at the start."""
    time = {"start_day": 0.0, "end_day": 10.0}
    config = Config.model_validate({"seed": 3, "patch": {"shape": [24, 24, 24]}, "time": time, "events": [*events]})
    sim = Simulation.start(config, backend)
    hot = sim.lattice.owned("res_hot")
    whose = np.arange(hot.size).reshape(hot.shape) % 2 != 0
    sim.lattice.load("res_hot", np.where((hot != 0) & whose, hot | BOTH, hot))
    for _ in range(72):
        sim.advance()
    return sim


def share(sim: Simulation, kinds: tuple[Kind, ...]) -> tuple[float, int]:
    """Return the share of cells without CD33 among these kinds, and how many cells there are."""
    hot = sim.lattice.owned("res_hot").reshape(-1)
    hot = hot[np.isin(hot & np.uint32(63), kinds)]
    return float((hot >> CD33 & np.uint32(1)).mean()), hot.size


def test_the_edited_share_rises_under_a_drug_against_the_antigen(backend: Any) -> None:
    plain, treated = half_edited(backend), half_edited(backend, DRUG)
    before, n_before = share(plain, SHOWING)
    after, n_after = share(treated, SHOWING)
    assert 0.35 < before < 0.65
    assert after > 0.8
    assert n_after < 0.8 * n_before
    edited_before, edited_after = before * n_before, after * n_after
    assert edited_after > 0.9 * edited_before  # those without the antigen are not touched
    assert 0.4 < share(treated, SPARED)[0] < 0.6  # nor is who never showed it
