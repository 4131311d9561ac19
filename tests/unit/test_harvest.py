"""Marrow of a former run as a graft: what is drawn, and what a recipient gets of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm import io
from abm.backends import choose
from abm.cells import (
    COLD,
    HOT,
    LOSS_ANTIGENS,
    Antigen,
    Count,
    Cycle,
    EditBit,
    Kind,
    Origin,
    pack_cold,
    pack_hot,
)
from abm.config import Config, load_config
from abm.errors import ConfigError
from abm.harvest import Harvest
from abm.setup import load_model
from abm.state import Snapshot
from abm.step import Simulation

MOUSE = {"weight_kg": 0.025, "age_years": 0.3, "donor": "twin"}
STEM = (Kind.HSC, Kind.MPP)


def part(words: Any, table: Any, name: str) -> Any:
    field = next(f for f in table if f.name == name)
    return (words >> np.uint32(field.shift)) & np.uint32((1 << field.bits) - 1)


def marrow(n_hsc: int, n_mpp: int, n_other: int, n_red: int = 0) -> Snapshot:
    """Return a lattice with numbered stem cells (their clones), host MPP in stage 2, and others."""
    hot, cold = np.zeros((2, 20, 20, 20), np.uint32)
    words = [
        *[(pack_hot(kind=Kind.HSC, cycle=Cycle.CYCLING), pack_cold(clone=i, label=3)) for i in range(n_hsc)],
        *[(pack_hot(kind=Kind.MPP, origin=Origin.DONOR2, edits=1), pack_cold(stage=2)) for _ in range(n_mpp)],
        *[(pack_hot(kind=Kind.NEUTROPHIL), 0) for _ in range(n_other)],
        *[(pack_hot(kind=Kind.RETICULOCYTE), 0) for _ in range(n_red)],
    ]
    hot.reshape(-1)[: len(words)], cold.reshape(-1)[: len(words)] = zip(*words, strict=True)
    return Snapshot(5, (20, 20, 20), 0, 20, {"res_hot": hot, "res_cold": cold})


def test_a_graft_holds_each_kind_in_its_share() -> None:
    found = Harvest.of(marrow(100, 50, 850, n_red=400), STEM)
    assert found.nucleated == 1000, "reticulocytes have no nucleus"
    hot, _ = found.draw(200.0, Origin.DONOR, seed=1, step=0, index=0)
    kinds = part(hot, HOT, "kind")
    assert ((kinds == Kind.HSC).sum(), (kinds == Kind.MPP).sum(), kinds.size) == (20, 10, 30)


def test_few_cells_are_rounded_at_random() -> None:
    found = Harvest.of(marrow(100, 0, 900), STEM)
    numbers = [found.draw(3.0, Origin.DONOR, seed, 7, 0)[0].size for seed in range(2000)]
    assert set(numbers) == {0, 1}
    assert np.mean(numbers) == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 2000))


def test_cells_keep_what_they_inherit_and_change_their_owner() -> None:
    found = Harvest.of(marrow(64, 64, 128), STEM)
    hot, cold = found.draw(256.0, Origin.DONOR2, seed=2, step=3, index=1)
    hsc = part(hot, HOT, "kind") == Kind.HSC
    assert (part(hot, HOT, "origin") == Origin.DONOR2).all()
    assert (part(hot, HOT, "cycle")[hsc] == Cycle.QUIESCENT).all()
    assert (part(hot, HOT, "cycle")[~hsc] == Cycle.CYCLING).all()
    assert (part(hot, HOT, "edits")[~hsc] == 1).all()
    assert (part(cold, COLD, "stage")[~hsc] == 2).all()
    assert not part(cold, COLD, "label").any(), "labels stay behind"
    clones = part(cold, COLD, "clone")[hsc]
    assert len(clones) == 64
    # 64 draws out of 64 with replacement meet 1 - exp(-1) of them
    assert 30 < len(set(clones.tolist())) < 52
    other = found.draw(256.0, Origin.DONOR, seed=2, step=4, index=1)[1]
    assert set(part(other, COLD, "clone").tolist()) != set(clones.tolist())


def former_run(folder: Path) -> Path:
    """Write the checkpoint of a healthy mouse and return it."""
    config = Config.model_validate({"patch": {"shape": [16] * 3, "species": "mouse"}, "patient": MOUSE, "seed": 5})
    return io.write_checkpoint(folder, Simulation.start(config, choose("auto")[0]).snapshot(), keep=1)


def recipient(marrow_of: Path | str, **changes: Any) -> dict[str, Any]:
    graft = {"action": "graft", "day": 0.0, "source": "marrow", "nucleated_per_kg": 4e9, "marrow_of": str(marrow_of)}
    return {
        "patch": {"shape": [16] * 3, "species": "mouse"},
        "patient": MOUSE,
        "time": {"start_day": -1.0, "end_day": 5.0},
        "events": [{"action": "tbi", "day": -0.5, "dose_gy": 12.0}, {**graft, **changes}],
    }


def test_the_marrow_of_a_run_lodges_in_the_next(tmp_path: Path) -> None:
    checkpoint = former_run(tmp_path)
    given = set(part(io.read_checkpoint(checkpoint).arrays["res_cold"], COLD, "clone").ravel().tolist())
    sim = Simulation.start(Config.model_validate(recipient(checkpoint)), choose("auto")[0])
    while not sim.over:
        sim.advance()
    donors = sim.last[Count.POPULATION, Kind.HSC, Origin.DONOR]
    assert donors > 0
    hot, cold = (sim.lattice.owned(name) for name in ("res_hot", "res_cold"))
    mine = (part(hot, HOT, "kind") == Kind.HSC) & (part(hot, HOT, "origin") == Origin.DONOR)
    assert set(part(cold[mine], COLD, "clone").tolist()) <= given


def test_edits_of_a_former_run_are_followed_in_blood_and_thymus(tmp_path: Path) -> None:
    checkpoint = former_run(tmp_path)
    snapshot = io.read_checkpoint(checkpoint)
    without = pack_hot(loss=1 << LOSS_ANTIGENS.index(Antigen.CCR5), edits=1 << EditBit.EDITED)
    snapshot.arrays["res_hot"][snapshot.arrays["res_hot"] != 0] |= np.uint32(without)
    edited = io.write_checkpoint(tmp_path / "edited", snapshot, keep=1)
    config = recipient(edited) | {"time": {"start_day": -1.0, "end_day": 9.0}}
    sim = Simulation.start(Config.model_validate(config), choose("auto")[0])
    while not sim.over:
        sim.advance()
    seen = sim.observables()
    assert seen["donor_neutrophils"] > 0.3
    for name in ("edited_share_neutrophils", "altered_share_neutrophils"):
        assert seen[name] == pytest.approx(seen["donor_neutrophils"], rel=1e-6)
    assert sim.body.edited.emigrants_without(Antigen.CCR5).keys() == {Origin.DONOR}
    assert Harvest.of(marrow(4, 0, 4), STEM).carried == 0


def test_the_marrow_counts_in_the_digest_but_not_its_place(tmp_path: Path) -> None:
    first, second = (former_run(tmp_path / name) for name in ("a", "b"))
    same, also = (Config.model_validate(recipient(path)).digest() for path in (first, second))
    assert same == also
    (second / "manifest.json").write_bytes(b"another")
    assert Config.model_validate(recipient(second)).digest() != same


def test_no_marrow_is_one_line_with_file_and_key(tmp_path: Path) -> None:
    text = (
        '[patch]\nspecies = "mouse"\n[[events]]\naction = "graft"\nday = 0\nsource = "marrow"\nmarrow_of = "nowhere"\n'
    )
    path = tmp_path / "case.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"case.toml:7: events\[0\].marrow_of: expected a checkpoint: a folder with"):
        load_config(path)
    path.write_text(text + "cells = { hsc = 3 }\n")
    with pytest.raises(ConfigError, match=r"marrow_of"):
        load_config(path)


def test_a_marrow_is_found_beside_the_scenario_and_damage_is_told(tmp_path: Path) -> None:
    checkpoint = former_run(tmp_path)
    path = tmp_path / "case.toml"
    path.write_text(
        '[patch]\nspecies = "mouse"\n[[events]]\naction = "graft"\nday = 0\nsource = "marrow"\n'
        f'marrow_of = "{checkpoint.name}"\n'
    )
    config = load_config(path)
    assert load_model(config).harvests[str(checkpoint)].nucleated > 100
    shard = next(checkpoint.glob("shard-*.h5"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ConfigError, match=r"case.toml:7: events\[0\].marrow_of: .*shard-00000.h5"):
        load_model(config)


def test_a_marrow_without_stem_cells_is_no_graft(tmp_path: Path) -> None:
    checkpoint = former_run(tmp_path)
    snapshot = io.read_checkpoint(checkpoint)
    snapshot.arrays["res_hot"][...] = 0
    empty = io.write_checkpoint(tmp_path / "empty", snapshot, keep=1)
    with pytest.raises(ConfigError, match="no stem or progenitor cell in this marrow"):
        load_model(Config.model_validate(recipient(empty)))


def test_marrow_of_another_species_is_refused(tmp_path: Path) -> None:
    scenario = recipient(former_run(tmp_path))
    scenario["patch"] = {**scenario["patch"], "species": "human"}
    with pytest.raises(ConfigError, match=r"marrow_of: .*expected marrow of human, found that of mouse"):
        load_model(Config.model_validate(scenario))
