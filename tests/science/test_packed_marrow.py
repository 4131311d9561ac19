"""A marrow packed with precursors, as after an overshoot, makes blood and empties again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abm import resources
from abm.backends import choose
from abm.cells import TISSUE_MASK, Count, Kind, Tissue, pack_hot
from abm.config import load_config
from abm.step import Simulation

pytestmark = pytest.mark.science

#: Cells of a marrow that did not empty, in parts.
PACKED = {
    Kind.CFU_E: 25,
    Kind.PROERYTHROBLAST: 25,
    Kind.POLYCHROMATIC: 20,
    Kind.PROMYELOCYTE: 16,
    Kind.MYELOCYTE: 10,
    Kind.GMP: 3,
    Kind.METAMYELOCYTE: 1,
}


def test_precursors_on_all_sites_do_not_stay_there() -> None:
    path = Path(resources.folder("scenarios")) / "homeostasis.toml"
    sim = Simulation.start(
        load_config(path, ["time.end_day=30", "time.step_min=240", "patch.shape=[20,20,20]"], 1), choose("auto")[0]
    )
    hot, tissue = sim.lattice.owned("res_hot").copy(), sim.lattice.owned("tissue")
    empty = (hot == 0) & ((tissue & TISSUE_MASK) == Tissue.MARROW)
    words = [pack_hot(kind=kind, cycle=kind is not Kind.METAMYELOCYTE) for kind, n in PACKED.items() for _ in range(n)]
    hot[empty] = np.random.default_rng(1).choice(np.array(words, np.uint32), int(empty.sum()))
    sim.lattice.load("res_hot", hot)
    sim._refresh_counts()
    births = []
    while not sim.over:
        sim.advance()
        births.append(int(sim.last[Count.BIRTH].sum()))
    precursors = sim.last[Count.POPULATION].sum(axis=1)[sim.model.rules.precursors].sum()
    assert precursors < 0.65 * sim.census.marrow  # 0.92 if progenitors do not hold back, with two fifths of the births
    assert sum(births[-30:]) > 0.8 * sum(births[:30])
