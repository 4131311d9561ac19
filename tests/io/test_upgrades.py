"""Bodies of older checkpoint formats get what they lack, and one of other rules is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.errors import CheckpointError
from abm.io import reader
from abm.step import Simulation
from tests.tiny import tiny_config

#: What the body lacked up to a format version: beginnings of names, and how many arrays they are.
LACKING = {
    2: (("blood.eosinophils", "blood.volume_deficit", "drugs.resistant", "mortality.", "clones.", "turn"), 13),
    3: (("antibodies.", "exhaustion.", "allo.exhausted", "infections.", "chronic.", "engineered."), 19),
    6: (("stroma.",), 1),
    7: (("allo.dividing", "restricted.dividing"), 1),
    8: (("plasma.",), 4),
    9: (("allo.donor_apc", "b_clones.", "selection."), 8),
}


def older(body: dict[str, Any], version: int) -> dict[str, Any]:
    """Return a body as a format version had it."""
    lacking = tuple(name for v, (names, _) in LACKING.items() if v >= version for name in names)
    old = {k: v for k, v in body.items() if not k.startswith(lacking)}
    assert len(old) == len(body) - sum(n for v, (_, n) in LACKING.items() if v >= version)
    if version <= 3:
        old |= {"treatment.order": np.zeros(5), "treatment.since": np.array(np.inf)}
    return old | ({"mortality.exposure": np.full(3, 0.25)} if version == 3 else {})


@pytest.mark.parametrize("version", LACKING)
def test_an_older_body_gets_what_it_lacks(version: int) -> None:
    """What a step needs is there, and a run goes on; hazards, clones and therapies begin at nothing."""
    patient = Simulation.start(tiny_config(), NumpyBackend())
    whole = patient.snapshot()
    new = replace(whole, body=older(whole.body, version))
    for between in range(version, reader.FORMAT_VERSION):
        new = reader.UPGRADERS[between](new)
    assert {k: v.shape for k, v in new.body.items()} == {k: v.shape for k, v in whole.body.items()}
    restored = Simulation.restore(patient.config, patient.backend, new)
    restored.advance()
    assert restored.body.mortality.day == np.inf


def test_residual_leukaemia_of_version_5_keeps_its_t_cells() -> None:
    disease = {"disease": "aml", "blast_fraction": 0.02, "residual_leukaemia": True}
    patient = Simulation.start(tiny_config(patient=disease), NumpyBackend())
    whole = patient.snapshot()
    old = {k: v for k, v in whole.body.items() if not k.startswith("restricted.")} | {"residue.memory": np.array(3e5)}
    old["allo.effectors"] = np.array([2e6, 1e4])
    new = replace(whole, body={k: v for k, v in old.items() if not k.endswith(".dividing")})
    for version in range(5, reader.FORMAT_VERSION):
        new = reader.UPGRADERS[version](new)
    assert {k: v.shape for k, v in new.body.items()} == {k: v.shape for k, v in whole.body.items()}
    restored = Simulation.restore(patient.config, patient.backend, new).body.restricted
    assert restored is not None
    assert (restored.effectors, restored.memory) == (1e6, 3e5)


def test_a_body_of_other_rules_is_one_line() -> None:
    patient = Simulation.start(tiny_config(), NumpyBackend())
    whole = patient.snapshot()
    for name, array in (("drugs.level", np.zeros(3)), ("clones.ids", None)):
        body = {k: v for k, v in whole.body.items() if k != name} | ({} if array is None else {name: array})
        with pytest.raises(CheckpointError, match="body of this checkpoint does not fit the rule tables"):
            Simulation.restore(patient.config, patient.backend, replace(whole, body=body))
