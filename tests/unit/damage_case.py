"""Effectors that crowd about few targets: what tests of additive killing share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from abm.backends import choose
from abm.cells import Kind, Origin, Specificity, Tissue, pack_hot
from abm.config import Config
from abm.model.damage import read_damage
from abm.step import Simulation
from tests.unit.table_case import FOLDER, change, copied

RULES = read_damage(FOLDER / "human")


def swarm(folder: Path, hits: float, step_min: int, *, kill: float, share: float = 0.4) -> Simulation:
    """Return marrow with few leukaemic cells, a site in 64, and effectors on a share of all sites."""
    rules = copied(folder / f"{hits}-{step_min}")
    change(rules, "damage.csv", f"hits,{RULES.hits:g},", f"hits,{hits:g},")
    change(rules, "behaviours.csv", "ANY_RESIDENT,any,KILL,6.0,", f"ANY_RESIDENT,any,KILL,{kill:g},")
    setting = {"seed": 2, "patch": {"shape": [36] * 3, "rules": str(rules)}, "time": {"step_min": step_min}}
    sim = Simulation.start(Config.model_validate(setting), choose("auto")[0])
    killer = {"kind": Kind.CD8_EFFECTOR, "origin": Origin.DONOR, "specificity": Specificity.LEUKAEMIA}
    crowd(sim, pack_hot(kind=Kind.BLAST, origin=Origin.HOST), pack_hot(**killer), share)
    return sim


def crowd(sim: Simulation, target: int, killer: int, share: float) -> None:
    """Let marrow hold one resident on a site in 64 and one motile cell on a share of all sites."""
    marrow = sim.lattice.owned("tissue") & 15 == Tissue.MARROW
    targets, there = np.zeros_like(marrow), np.random.default_rng(1).random(marrow.shape) < share
    targets[::4, ::4, ::4] = True
    words = {"res_hot": np.where(marrow & targets, target, 0), "mot_hot": np.where(marrow & there, killer, 0)}
    for name in ("res", "mot"):
        sim.lattice.load(f"{name}_hot", words[f"{name}_hot"].astype(np.uint32))
        sim.lattice.load(f"{name}_cold", np.zeros(marrow.shape, np.uint32))
    sim._refresh_counts()
