"""Labels follow cells and change nothing; an old checkpoint has none."""

from __future__ import annotations

from math import exp, inf
from pathlib import Path

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import COLD, N_BEHAVIOURS, N_COUNTS, N_KINDS, N_ORIGINS, Behaviour, Count, Kind, Label
from abm.config import Config, load_config
from abm.errors import ConfigError
from abm.io.upgrades import UPGRADERS
from abm.model import labels
from abm.model.body import Dose
from abm.model.rules import StepRates
from abm.state import Snapshot
from abm.step import Simulation

FIELD = next(field for field in COLD if field.name == "label")
MASK = np.uint32(((1 << FIELD.bits) - 1) << FIELD.shift)
HEALTHY: dict[str, object] = {
    "seed": 3,
    "patch": {"shape": [20, 16, 16]},
    "time": {"start_day": 0.0, "end_day": 8.0},
}


#: Stem cells of mice divide thirty times as often as human ones.
MOUSE = {
    "patch": {"shape": [24, 24, 24], "species": "mouse"},
    "patient": {"weight_kg": 0.025, "age_years": 0.3, "donor": "twin"},
    "time": {"start_day": 0.0, "end_day": 16.0},
}


def healthy(*events: dict[str, object], **changes: object) -> Simulation:
    """A healthy patch with these events, before its first step."""
    return Simulation.start(Config.model_validate(HEALTHY | changes | {"events": list(events)}), NumpyBackend())


def rates_of(divide: dict[Kind, float]) -> StepRates:
    table = np.zeros((N_KINDS * 2, N_BEHAVIOURS), np.float32)
    for kind, rate in divide.items():
        table[2 * kind + 1, Behaviour.DIVIDE] = rate
    none = np.zeros(0, np.uint32)
    return StepRates(table.reshape(-1), none, none, none, none, none, none)


def test_a_dna_label_is_taken_up_in_proportion_to_dna_synthesis() -> None:
    take = labels.takers("dna", rates_of({Kind.MYELOCYTE: 0.5}).wild, s_phase_h=8.0, step_h=2.0)
    assert take[2 * Kind.MYELOCYTE + 1] / 2**32 == pytest.approx(1 - exp(-2.0))
    assert np.count_nonzero(take) == 1


def test_all_stem_cells_and_only_they_carry_a_histone_label() -> None:
    take = labels.takers("histone", rates_of({Kind.MYELOCYTE: 0.5}).wild, s_phase_h=8.0, step_h=1.0)
    assert set(np.flatnonzero(take)) == {2 * Kind.HSC, 2 * Kind.HSC + 1}


def test_the_first_label_is_found() -> None:
    label, drug = Dose("label", "dna"), Dose("drug", "busulfan", 1.0)
    assert labels.first_given([(), (drug,), (drug, label), (label,)]) == 2
    assert labels.first_given([(), (drug,)]) == inf


def test_a_label_changes_nothing_but_itself() -> None:
    plain, followed = healthy(), healthy({"day": 1.0, "action": "label", "marker": "dna"})
    for _ in range(60):
        plain.advance()
        followed.advance()
    one, other = plain.snapshot(), followed.snapshot()
    assert (other.arrays["res_cold"] & MASK).any()
    other.arrays["res_cold"] &= ~MASK
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], err_msg=name)
    rows = [row for row in Count if row not in (Count.LABELLED, Count.LABELLED_EGRESS)]
    np.testing.assert_array_equal(one.body["last_counts"][rows], other.body["last_counts"][rows])


def test_labelled_neutrophils_appear_days_after_their_precursors() -> None:
    sim = healthy({"day": 0.5, "action": "label", "marker": "dna"}, time={"start_day": 0.0, "end_day": 10.0})
    share = []
    for _ in range(sim.n_steps):
        sim.advance()
        share.append(sim.observables()["labelled_neutrophils"])
        labelled, cold = sim.last[Count.LABELLED].sum(), sim.lattice.owned("res_cold")
        if sim.step > 13:  # counted from the step after the label on
            assert labelled == np.count_nonzero(cold & MASK)
    assert max(share[: 24 * 2]) < 0.1 * max(share), "those that still divide need days to the blood"
    assert 0.02 < max(share) < 0.5, "0.04 to 0.08 by seed on so small a patch"
    assert sim.last[Count.LABELLED, Kind.NEUTROPHIL].sum() > 0


def test_division_takes_a_histone_label_away() -> None:
    sim = healthy({"day": 0.5, "action": "label", "marker": "histone"}, **MOUSE)
    before, births = inf, 0
    for _ in range(sim.n_steps):
        sim.advance()
        labelled = sim.last[Count.LABELLED].sum()
        carried = labelled + np.count_nonzero(sim.circulation.cold & MASK)
        if sim.step > 13:
            births += sim.last[Count.BIRTH, Kind.HSC].sum()
            assert carried <= before
            before = carried
    assert births > 0
    assert 0 < labelled < sim.last[Count.POPULATION, Kind.HSC].sum()
    assert sim.observables()["labelled_hsc"] == labelled / sim.last[Count.POPULATION, Kind.HSC].sum()
    assert not (sim.last[Count.LABELLED] > sim.last[Count.POPULATION]).any()


def test_an_unknown_marker_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.write_text('[[events]]\nday = 1\naction = "label"\nmarker = "gold"\n')
    with pytest.raises(
        ConfigError, match=r'case.toml:4: events\[0\].marker: expected one of dna, histone, found "gold"'
    ):
        load_config(path)


def test_a_checkpoint_from_before_labels_is_read() -> None:
    ten_rows = np.arange(10 * N_KINDS * N_ORIGINS, dtype=np.int64).reshape(10, N_KINDS, N_ORIGINS)
    body = {"last_counts": ten_rows, "output.flux": ten_rows + 1, "blood.neutrophils": np.ones(5)}
    new = UPGRADERS[1](Snapshot(3, (8, 4, 4), 0, 8, {}, body)).body
    for name in ("last_counts", "output.flux"):
        assert new[name].shape == (N_COUNTS, N_KINDS, N_ORIGINS)
        np.testing.assert_array_equal(new[name][:10], body[name])
        assert not new[name][10:].any()
    assert not new["blood.labelled_neutrophils"].any()
    assert Label.NONE == 0
