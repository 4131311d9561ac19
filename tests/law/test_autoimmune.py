"""The law with an autoimmune disease and what may stand beside it: a restart on another backend changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from abm.backends import choose
from abm.backends.numpy_backend import NumpyBackend
from abm.config import Config
from abm.io import read_checkpoint, state_hash, write_checkpoint
from abm.step import Simulation
from tests.tiny import TINY

PRODUCTS: list[dict[str, object]] = [
    {"day": -1.5, "action": "cells", "product": "car_t", "receptor": receptor, "cells_per_kg": 2e6}
    for receptor in ("CAR_CD19", "CAR_BCMA")
]
INFECTED = {"infection": "hiv", "infection_day": -100.0}
#: By disease: what else the patient has, and is given beside the treatment of ``TINY``.
OTHERS: dict[str, tuple[dict[str, object], list[dict[str, object]]]] = {
    "ms": ({}, []),
    "sle": ({}, []),
    "ms with HIV and a clone": (INFECTED | {"hsc_variants": {"tp53": 0.3, "one_hit": 0.3}}, []),
    "sle with a clone, CD19 and BCMA cells": ({"hsc_variants": {"one_hit": 0.4}}, PRODUCTS),
}


@pytest.mark.parametrize("patient", OTHERS)
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(patient: str, tmp_path: Path) -> None:
    own, given = OTHERS[patient]
    ill = {"disease": patient.split()[0], "donor": "autologous"} | own
    events = TINY["events"]
    assert isinstance(events, list)
    config = Config.model_validate(TINY | {"patient": ill, "events": events + given})
    whole = Simulation.start(config, NumpyBackend())
    for _ in range(40):
        whole.advance()
        if whole.step == 20:
            write_checkpoint(tmp_path, whole.snapshot(), keep=1)
    [folder] = tmp_path.glob("checkpoint-*")
    resumed = Simulation.restore(config, choose("auto")[0], read_checkpoint(folder))
    assert resumed.step == 20
    while resumed.step < 40:
        resumed.advance()
    assert resumed.body.disease is not None
    assert state_hash(resumed.snapshot()) == state_hash(whole.snapshot())
