"""Drugs that kill what shows their antigen, on the lattice: who has lost it is spared, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from abm import cells
from abm.cells import LOSS_ANTIGENS, Antigen, Count, Kind, pack_hot
from abm.config import Config
from abm.model.traffic import Circulation
from abm.step import Simulation
from tests.tiny import tiny_config

LOSS = pack_hot(loss=1 << LOSS_ANTIGENS.index(Antigen.CD33))
DAYS = 3


def scenario(**dose: float) -> Config:
    event = {"day": -2.0, "action": "antibody", "drug": "gemtuzumab", **dose}
    base = tiny_config().model_dump(exclude_none=True)
    return Config.model_validate(base | {"events": (event,) if dose else ()})


def after(backend: Any, config: Config, lost: float) -> Simulation:
    """Return a patient some days on, ``lost`` of whose marrow cells have lost CD33 at the start."""
    patient = Simulation.start(config, backend)
    hot = patient.lattice.owned("res_hot")
    share = np.random.default_rng(1).random(hot.shape) < lost
    hot[(hot != 0) & share] |= np.uint32(LOSS)
    patient.lattice.load("res_hot", hot)
    for _ in range(round(DAYS * 24 / config.step_h)):
        patient.advance()
    return patient


def test_cells_without_the_antigen_live_as_without_the_drug(backend: Any) -> None:
    """Not a bit of the lattice differs."""
    with_drug, without = (after(backend, scenario(**dose), 1.0) for dose in ({"dose_mg": 160.0}, {}))
    assert with_drug.body.antibodies.acting
    assert with_drug.flux[Count.DRUG].sum() == 0
    for name, array in without.lattice.snapshot().items():
        np.testing.assert_array_equal(with_drug.lattice.owned(name), array, err_msg=name)


def test_cells_that_have_lost_the_antigen_consume_nothing(backend: Any) -> None:
    dose, hours = 2.0, DAYS * 24 - 1
    patient = after(backend, scenario(dose_mg=dose), 1.0)
    drug = patient.model.tables.antibodies["gemtuzumab"]
    concentration = patient.body.observables()["antibodies"]
    linear = dose / drug.molar_mass * 1e3 / drug.volume * float(np.exp(-drug.elimination * hours))
    assert concentration == pytest.approx(linear, rel=1e-3)
    assert after(backend, scenario(dose_mg=dose), 0.0).body.observables()["antibodies"] < 0.1 * linear


def test_a_pulse_kills_who_shows_the_antigen_and_raises_the_share_of_the_others(backend: Any) -> None:
    patient = after(backend, scenario(dose_mg=16.2), 0.5)
    hot = patient.lattice.owned("res_hot")
    kind, lost = hot & 63, (hot & np.uint32(LOSS)) != 0
    shows = [k for k, levels in patient.model.rules.recognition.expression.items() if Antigen.CD33 in levels]
    of_target, of_others = np.isin(kind, shows), (kind != 0) & ~np.isin(kind, [*shows, Kind.RETICULOCYTE])
    assert lost[of_target].mean() > 0.65
    assert lost[of_target].mean() - lost[of_others].mean() > 0.2  # those drift from a half: few stem cells feed them
    assert set(np.flatnonzero(patient.flux[Count.DRUG].sum(axis=1))) <= set(shows)
    assert patient.flux[Count.DRUG].sum() > 100


def test_circulating_cells_are_spared_alike() -> None:
    values = {"hsc_clearance": 0.0, "progenitor_clearance": 0.0}
    blood = Circulation(values, 1)
    hot = np.full(2000, pack_hot(kind=Kind.LSC), np.uint32)
    hot[::2] |= np.uint32(LOSS)
    blood.add(hot, np.zeros_like(hot))
    directed = np.zeros((cells.N_KINDS, 2, len(LOSS_ANTIGENS)))
    directed[Kind.LSC, :, LOSS_ANTIGENS.index(Antigen.CD33)] = 1.0
    blood.clear(3, 1.0, np.zeros((cells.N_VARIANTS, cells.N_KINDS, 2)), directed)
    lost = (blood.hot & np.uint32(LOSS)) != 0
    assert lost.sum() == 1000
    assert abs(int((~lost).sum()) - 1000 * float(np.exp(-1))) < 4 * 15.3
