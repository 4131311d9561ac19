"""The antigen shield: drugs and T cells against an antigen spare cells that have lost it, so that their share rises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm.backends import choose
from abm.cells import LOSS_ANTIGENS, Antigen, EditBit, Kind, pack_hot
from abm.config import Config
from abm.step import Simulation
from tests.unit.table_case import FOLDER

SHOWING = (Kind.GMP, Kind.MYELOBLAST, Kind.PROMYELOCYTE, Kind.MYELOCYTE)
SPARED = (Kind.PROERYTHROBLAST, Kind.POLYCHROMATIC)
DRUG = {"day": 0.0, "action": "antibody", "drug": "gemtuzumab", "dose_mg_per_m2": 9.0}
MANY = {"day": 0.0, "action": "cells", "product": "car_t", "cells_per_kg": 2e9}  # no time for them to grow


def loss_bit(antigen: Antigen) -> np.uint32:
    return np.uint32(pack_hot(loss=1 << LOSS_ANTIGENS.index(antigen)))


def half_edited(
    backend: Any, *events: dict[str, object], antigen: Antigen = Antigen.CD33, rules: str = ""
) -> Simulation:
    """Return a healthy patient after three days, half of whose residents had lost an antigen at the start."""
    time, patch = {"start_day": 0.0, "end_day": 10.0}, {"shape": [32, 32, 32], "rules": rules}
    config = Config.model_validate({"seed": 4, "patch": patch, "time": time, "events": [*events]})
    sim = Simulation.start(config, backend)
    hot = sim.lattice.owned("res_hot")
    whose = np.arange(hot.size).reshape(hot.shape) % 2 != 0
    both = loss_bit(antigen) | np.uint32(pack_hot(edits=1 << EditBit.EDITED))
    sim.lattice.load("res_hot", np.where((hot != 0) & whose, hot | both, hot))
    for _ in range(72):
        sim.advance()
    return sim


def share(sim: Simulation, kinds: tuple[Kind, ...], antigen: Antigen = Antigen.CD33) -> tuple[float, int]:
    """Return the share of cells without the antigen among these kinds, and how many cells there are."""
    hot = sim.lattice.owned("res_hot").reshape(-1)
    hot = hot[np.isin(hot & np.uint32(63), kinds)]
    return float(((hot & loss_bit(antigen)) != 0).mean()), hot.size


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


@pytest.mark.parametrize(
    ("product", "antigen", "showing", "spared"),
    [
        ({"receptor": "CAR_CD33"}, Antigen.CD33, SHOWING, SPARED),
        ({"receptor": "CAR_CD19_CD123"}, Antigen.CD123, (Kind.GMP,), SPARED),
        (  # more targets
            {"receptor": "CAR_CD45", "lacks": ["CD45"], "cells_per_kg": 2e9},
            Antigen.CD45,
            (*SHOWING, Kind.CMP, Kind.PRE_B),
            (Kind.RETICULOCYTE,),
        ),
    ],
)
def test_the_edited_share_rises_under_t_cells_against_the_antigen(
    product: dict[str, object], antigen: Antigen, showing: tuple[Kind, ...], spared: tuple[Kind, ...]
) -> None:
    """The share of a partly edited marrow rises by itself; who shows the antigen is a row of a table."""
    sim = half_edited(choose("auto")[0], MANY | product, antigen=antigen)
    assert share(sim, showing, antigen)[0] > 2 / 3  # half of the others are gone
    assert 0.4 < share(sim, spared, antigen)[0] < 0.6


def test_t_cells_that_show_their_own_antigen_are_gone_before_they_are_given() -> None:
    sim = half_edited(choose("auto")[0], MANY | {"receptor": "CAR_CD45"}, antigen=Antigen.CD45)
    assert sim.observables()["engineered_body"] == 0.0
    assert 0.35 < share(sim, SHOWING, Antigen.CD45)[0] < 0.65


def test_a_shield_against_a_drug_for_another_antigen_is_data_alone(tmp_path: Path) -> None:
    table = (FOLDER / "human" / "antibodies.csv").read_text(encoding="utf-8")
    rows = [line.replace("CD33", "CD123") if line.startswith("gemtuzumab") else line for line in table.splitlines()]
    (tmp_path / "antibodies.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    sim = half_edited(choose("auto")[0], DRUG, antigen=Antigen.CD123, rules=str(tmp_path))
    assert share(sim, (Kind.GMP,), Antigen.CD123)[0] > 0.8
    assert 0.4 < share(sim, (Kind.MYELOBLAST, Kind.PROMYELOCYTE), Antigen.CD123)[0] < 0.6
