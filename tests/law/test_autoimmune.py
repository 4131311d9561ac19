"""The law with an autoimmune disease: a restart changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.config import Config
from abm.io import read_checkpoint, state_hash, write_checkpoint
from abm.step import Simulation
from tests.tiny import TINY


@pytest.mark.parametrize("disease", ["ms", "sle"])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(disease: str, tmp_path: Path) -> None:
    config = Config.model_validate(TINY | {"patient": {"disease": disease, "donor": "autologous"}})
    whole = Simulation.start(config, NumpyBackend())
    for _ in range(40):
        whole.advance()
        if whole.step == 20:
            write_checkpoint(tmp_path, whole.snapshot(), keep=1)
    [folder] = tmp_path.glob("checkpoint-*")
    resumed = Simulation.restore(config, NumpyBackend(), read_checkpoint(folder))
    assert resumed.step == 20
    while resumed.step < 40:
        resumed.advance()
    assert resumed.body.disease is not None
    assert state_hash(resumed.snapshot()) == state_hash(whole.snapshot())
