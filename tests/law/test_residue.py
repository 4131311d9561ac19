"""The law with residual leukaemia that becomes agents again."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import Count, Kind, pack_hot
from abm.config import Config
from abm.model.body.residue import RESIDUAL
from abm.step import Simulation
from tests.law.trajectories import STEPS, hash_after_restart, hashes
from tests.tiny import tiny_config

PATIENT = {
    "disease": "aml",
    "blast_fraction": 0.02,
    "donor": "twin",
    "residual_leukaemia": True,
    "residual_doubling_days": 1.0,
}
EVENTS = [{"day": -1.9, "action": "tbi", "dose_gy": 3.0, "fractions": 1}]


def patient() -> Config:
    """Return a patient whose residual leukaemia grows within days."""
    return tiny_config(patient=PATIENT, events=EVENTS)


@pytest.fixture(scope="module")
def reference() -> dict[int, str]:
    """Hashes of the NumPy trajectory at some steps."""
    return hashes(patient(), NumpyBackend())


def test_backends_agree(backend: Any, reference: dict[int, str]) -> None:
    assert hashes(patient(), backend) == reference


@pytest.mark.parametrize("at", [7, 61])
def test_restart_on_another_backend(backend: Any, reference: dict[int, str], tmp_path: Path, at: int) -> None:
    assert hash_after_restart(patient(), backend, tmp_path, at) == reference[STEPS]


def test_residual_leukaemia_comes_back_to_the_patch() -> None:
    sim = Simulation.start(patient(), NumpyBackend())
    least, residual = 10**9, False
    for _ in range(STEPS):
        sim.advance()
        residual |= sim.body.residue is not None and sim.body.residue.phase == RESIDUAL
        least = min(least, int(sim.last[Count.POPULATION, Kind.LSC].sum()))
    assert residual
    assert least == 0
    assert sim.last[Count.POPULATION, Kind.LSC].sum() > least


# ------------------------------------------------------------- escape from engineered T cells, and from a drug

ESCAPED = PATIENT | {"blast_fraction": 0.2, "donor": "autologous"}
MUTANTS = {"all": 2e4, "aml_flt3": 1e5}  #: a fiftieth of the leukaemia
TREATMENT: dict[str, dict[str, object]] = {
    "all": {"day": -1.9, "action": "cells", "product": "car_t", "receptor": "CAR_CD19", "cells_per_kg": 1e8},
    "aml_flt3": {"day": -1.9, "action": "chemo", "drug": "gilteritinib", "dose_mg": 480},
}


def treated(disease: str) -> Config:
    """Return a patient of whose leukaemia a fiftieth is out of reach of the treatment, and grows within days."""
    patient = ESCAPED | {"disease": disease, "preexisting_mutants": MUTANTS[disease]}
    return tiny_config(patient=patient, events=[*EVENTS, TREATMENT[disease]])


@cache
def escaped(disease: str) -> dict[int, str]:
    """Return hashes of the NumPy trajectory at some steps."""
    return hashes(treated(disease), NumpyBackend())


@pytest.mark.parametrize("disease", TREATMENT)
def test_backends_agree_on_an_escape(backend: Any, disease: str) -> None:
    assert hashes(treated(disease), backend) == escaped(disease)


@pytest.mark.parametrize("disease", TREATMENT)
@pytest.mark.parametrize("at", [7, 61])
def test_restart_of_an_escape(backend: Any, disease: str, tmp_path: Path, at: int) -> None:
    assert hash_after_restart(treated(disease), backend, tmp_path, at) == escaped(disease)[STEPS]


def test_what_escapes_comes_to_the_patch_without_the_antigen() -> None:
    sim = Simulation.start(treated("all"), NumpyBackend())
    lost, came = np.uint32(pack_hot(loss=sim.body.watch.lost)), 0
    assert lost
    for _ in range(STEPS):
        sim.advance()
        circulating = sim.circulation.hot[(sim.circulation.hot & np.uint32(63)) == Kind.LSC]
        came += int(((circulating & lost) != 0).sum())
    assert came > 0
