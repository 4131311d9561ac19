"""The law with an edited graft, and what descends from its cells: what they carry is inherited whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import HOT, LOSS_ANTIGENS, Antigen, Count, EditBit, Origin, pack_hot
from abm.config import Config
from abm.io import read_checkpoint, state_hash, write_checkpoint
from abm.step import Simulation
from tests.tiny import TINY, tiny_config

STEPS = 108
GRAFT = {"day": -2.0, "action": "graft", "source": "blood", "cd34_per_kg": 1e9, "cd3_per_kg": 2e9}
SWITCH = {"locus": "TRANSGENE", "vcn": 1.0, "switch": True}
THROWN = {"day": 1.5, "action": "switch"}
DRUGS = [event for event in TINY["events"] if event["action"] == "tbi"]  # type: ignore[attr-defined]
SHIFT = {field.name: np.uint32(field.shift) for field in HOT}
EDITED = np.uint32(pack_hot(edits=1 << EditBit.EDITED))
BOTH = EDITED | np.uint32(pack_hot(loss=1 << LOSS_ANTIGENS.index(Antigen.CD33)))
CARRIED = np.uint32(pack_hot(loss=(1 << len(LOSS_ANTIGENS)) - 1, edits=0xF))


def edited_config(**edit: object) -> Config:
    """The tiny patient with an edited graft, the cells of which divide after 66 hours."""
    return tiny_config(events=[*DRUGS, GRAFT | {"edit": {"locus": "CD33", "efficiency": 0.7} | edit}])


def advanced(sim: Simulation, steps: int) -> Simulation:
    for _ in range(steps):
        sim.advance()
    return sim


@pytest.fixture(scope="module")
def reference() -> Simulation:
    """The patient after ``STEPS`` steps of the NumPy twins."""
    return advanced(Simulation.start(edited_config(), NumpyBackend()), STEPS)


def test_backends_agree(backend: Any, reference: Simulation) -> None:
    sim = advanced(Simulation.start(edited_config(), backend), STEPS)
    assert state_hash(sim.snapshot()) == state_hash(reference.snapshot())


@pytest.mark.parametrize("at", [61, 80])
def test_restart_changes_nothing(backend: Any, reference: Simulation, tmp_path: Path, at: int) -> None:
    config = edited_config()
    write_checkpoint(tmp_path, advanced(Simulation.start(config, backend), at).snapshot(), keep=1)
    [folder] = tmp_path.glob("checkpoint-*")
    sim = advanced(Simulation.restore(config, backend, read_checkpoint(folder)), STEPS - at)
    assert state_hash(sim.snapshot()) == state_hash(reference.snapshot())


def test_only_progeny_of_the_graft_is_edited_and_all_kinds_of_it_are(reference: Simulation) -> None:
    hot = np.concatenate([reference.lattice.owned(name).reshape(-1) for name in ("res_hot", "mot_hot")])
    hot = hot[hot != 0]
    of_graft = (hot >> SHIFT["origin"] & np.uint32(3)) == Origin.DONOR
    assert set(np.unique(hot[~of_graft] & CARRIED)) == {0}
    assert set(np.unique(hot[of_graft] & CARRIED)) == {0, EDITED, BOTH}
    kinds = set((hot[(hot & CARRIED) == BOTH] & np.uint32(63)).tolist())
    assert len(kinds) > 6
    grafted = set(reference.model.tables.grafts["blood"].cd34)
    assert len(kinds - grafted) > 2, "kinds that were not in the graft but come of it"


@pytest.mark.parametrize(("carried", "altered"), [(EDITED, False), (BOTH, True)])
def test_what_leaves_the_marrow_is_counted_by_what_it_carries(backend: Any, carried: np.uint32, altered: bool) -> None:
    sim = Simulation.start(tiny_config(events=[]), backend)
    hot = sim.lattice.owned("res_hot")
    whose = (np.arange(hot.size).reshape(hot.shape) % 2) != 0  # every second resident
    sim.lattice.load("res_hot", np.where((hot != 0) & whose, hot | carried, hot))
    total = np.zeros_like(sim.flux)
    for _ in range(24):
        sim.advance()
        total += sim.last
    out, edited, both = (total[row, :40] for row in (Count.EGRESS, Count.EDITED_EGRESS, Count.ALTERED_EGRESS))
    assert 0.3 < edited.sum() / out.sum() < 0.7
    np.testing.assert_array_equal(both, edited if altered else np.zeros_like(edited))
    assert (edited <= out).all()


def test_an_edit_of_no_allele_changes_nothing_but_what_is_noted() -> None:
    plain = advanced(Simulation.start(tiny_config(events=[*DRUGS, GRAFT]), NumpyBackend()), 70)
    edited = advanced(Simulation.start(edited_config(efficiency=0.0), NumpyBackend()), 70)
    assert plain.last[Count.POPULATION, :, Origin.DONOR].any()
    for name, array in plain.snapshot().arrays.items():
        np.testing.assert_array_equal(array, edited.snapshot().arrays[name], err_msg=name)


def test_a_safety_switch_kills_its_carriers_at_once(backend: Any) -> None:
    config = tiny_config(events=[*DRUGS, GRAFT | {"edit": SWITCH}, THROWN])
    sims = [advanced(Simulation.start(config, b), 84) for b in (backend, NumpyBackend())]

    def carriers(sim: Simulation) -> int:
        hot = np.concatenate([sim.lattice.owned(name).reshape(-1) for name in ("res_hot", "mot_hot")])
        hot = np.concatenate([hot, sim.circulation.hot])
        return int(((hot & np.uint32(pack_hot(edits=1 << EditBit.SWITCH))) != 0).sum())

    before = [carriers(sim) for sim in sims]
    assert before[0] > 50
    for sim in sims:
        sim.advance()  # the ledger accounts for those that die
    assert len({state_hash(sim.snapshot()) for sim in sims}) == 1
    assert carriers(sims[0]) < 0.05 * before[0]
    assert sims[0].last[Count.DRUG, :, Origin.DONOR].sum() > 0.9 * before[0] - 20
    assert sims[0].last[Count.DRUG, :, Origin.HOST].sum() < 0.1 * before[0]
