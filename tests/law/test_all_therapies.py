"""The law in one patient who is given everything: any therapies stand in one schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import Origin
from abm.config import Config
from abm.config_events import ACTIONS
from abm.step import Simulation
from tests.law.trajectories import STEPS, advance, hash_after_restart, hashes

EVERYTHING: dict[str, Any] = {
    "seed": 9,
    "patch": {"shape": [18, 14, 13]},
    "time": {"start_day": -2.0, "end_day": 2.0},
    "patient": {
        "disease": "all", "blast_fraction": 0.3, "donor": "haplo", "missing_self": 0.2, "infection": "hiv",
        "missing_self_graft": 0.5, "infection_day": -300.0, "preexisting_mutants": 1e4,
    },
    "events": [
        {"day": -2.0, "action": "art", "adherence": 0.9},
        {"day": -2.0, "action": "chemo", "drug": "busulfan", "dose_mg_per_kg": 3.2},
        {"day": -1.9, "action": "chemo", "drug": "imatinib", "dose_mg": 400.0, "doses": 4},
        {"day": -1.8, "action": "blood_loss", "share": 0.1},
        {"day": -1.7, "action": "platelet_loss", "share": 0.5},
        {"day": -1.5, "action": "tbi", "dose_gy": 4.0},
        {"day": -1.5, "action": "drug", "drug": "ciclosporin", "level": 0.6},
        {"day": -1.5, "action": "treat", "drug": "prednisolone", "grade": 2, "days": 7.0, "taper_days": 0.0},
        {"day": -1.5, "action": "treat", "drug": "tocilizumab", "against": "crs", "grade": 1, "days": 7.0,
         "taper_days": 0.0},
        {"day": -2.0, "action": "graft", "source": "edited", "cd34_per_kg": 2e8, "cd3_per_kg": 2e8,
         "edit": {"locus": "TRANSGENE", "vcn": 1.5, "receptor": "CAR_CD19", "lineage": "all", "switch": True}},
        {"day": -2.0, "action": "graft", "source": "cord", "cd34_per_kg": 2e8, "cd3_per_kg": 2e8, "donor": "second",
         "ccr5_null": 1.0},
        {"day": -0.5, "action": "cells", "product": "car_t", "receptor": "CAR_CD19_CD123", "cells_per_kg": 1e9},
        {"day": -0.5, "action": "cells", "product": "dli", "cd3_per_kg": 1e8},
        {"day": -0.5, "action": "cells", "product": "treg", "cd3_per_kg": 1e7},
        {"day": 0.0, "action": "antibody", "drug": "blinatumomab", "dose_mg": 0.028, "infusion_h": 24.0},
        {"day": 0.0, "action": "antibody", "drug": "gemtuzumab", "dose_mg_per_m2": 3.0},
        {"day": 0.0, "action": "antibody", "drug": "nivolumab", "dose_mg_per_kg": 3.0},
        {"day": 0.0, "action": "antibody", "drug": "ipilimumab", "dose_mg_per_kg": 1.0},
        {"day": 0.0, "action": "gcsf", "dose_ug_per_kg": 5.0},
        {"day": 0.0, "action": "immunoglobulin", "dose_g_per_kg": 0.4, "doses": 2, "every_h": 24},
        {"day": 0.2, "action": "label", "marker": "dna"},
        {"day": 1.0, "action": "stop", "drug": "ciclosporin"},
        {"day": 1.5, "action": "switch"},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def reference() -> dict[int, str]:
    return hashes(Config.model_validate(EVERYTHING), NumpyBackend())


def test_every_kind_of_event_is_given() -> None:
    assert {event["action"] for event in EVERYTHING["events"]} == set(ACTIONS)


def test_backends_agree(backend: Any, reference: dict[int, str]) -> None:
    assert hashes(Config.model_validate(EVERYTHING), backend) == reference


@pytest.mark.parametrize("at", [20, 50])
def test_a_restart_changes_nothing(backend: Any, reference: dict[int, str], tmp_path: Path, at: int) -> None:
    found = hash_after_restart(Config.model_validate(EVERYTHING), backend, tmp_path, at)
    assert found == reference[STEPS]


def test_all_of_it_acts() -> None:
    sim = advance(Simulation.start(Config.model_validate(EVERYTHING), NumpyBackend()), 80)  # before the switch
    seen = sim.record().values
    acting = ("engineered_body", "antibodies", "pd1_blocked", "ctla4_blocked", "lent", "hiv_load", "donor2_t",
              "ccr5_null", "edited_hsc", "donor_hsc")  # fmt: skip
    assert not [name for name in acting if seen[name] <= 0.0]
    assert sim.body.lymphocytes.pools[:, Origin.DONOR].sum() > 0.0
    assert sim.body.drugs.level[sim.body.drugs.index("tocilizumab")] == 1.0
    assert sim.body.drugs.level[sim.body.drugs.index("ciclosporin")] == 0.0
