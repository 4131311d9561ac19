"""A marrow full of leukaemia in which lymphocytes stand on three of ten sites and kill ten thousand cells a step.

A program of its own, for ranks: ``python -m tests.law.dense BACKEND RULES``, RULES as :func:`strong` writes them.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from abm.backends import choose
from abm.cells import Count, Cycle, Kind, Origin, Specificity, Tissue, pack_hot
from abm.comm import SerialComm, connect
from abm.config import Config, rules_folder
from abm.step import Simulation

SIDE, STEPS, DENSITY = 48, 3, 0.3
#: Kills of an engaged effector, 1/d, for 6 of the table: the law does not care how often.
KILLS = 150.0
BLAST = pack_hot(kind=Kind.BLAST, origin=Origin.HOST, cycle=Cycle.CYCLING)
KILLER = pack_hot(kind=Kind.CD8_EFFECTOR, origin=Origin.DONOR, cycle=Cycle.QUIESCENT, specificity=Specificity.LEUKAEMIA)


def strong(folder: Path) -> Path:
    """Write rules of man under which every engaged effector kills within hours; return their folder."""
    table = (rules_folder("human") / "behaviours.csv").read_text(encoding="utf-8")
    usual = "ANY_RESIDENT,any,KILL,6.0,"
    assert usual in table
    (folder / "behaviours.csv").write_text(table.replace(usual, f"ANY_RESIDENT,any,KILL,{KILLS},"), encoding="utf-8")
    return folder


def dense(backend: Any, rules: Path, comm: SerialComm | None = None) -> Simulation:
    """Return the patient before the first step: the planes of this rank."""
    shape = (SIDE,) * 3
    config = Config.model_validate({"seed": 3, "patch": {"shape": list(shape), "rules": str(rules)}})
    sim = Simulation.start(config, backend, comm)
    marrow = sim.lattice.owned("tissue") & 15 == Tissue.MARROW
    planes = slice(*sim.domain.slab(sim.domain.rank))
    there = (np.random.default_rng(1).random(shape) < DENSITY)[planes] & marrow
    clone = np.arange(SIDE**3, dtype=np.uint32).reshape(shape)[planes] % 4096
    words = {"res_hot": np.where(marrow, BLAST, 0), "mot_hot": np.where(there, KILLER, 0)}
    words |= {"res_cold": np.where(marrow, clone, 0), "mot_cold": np.where(there, clone, 0)}
    for name, values in words.items():
        sim.lattice.load(name, values.astype(np.uint32))
    sim._refresh_counts()
    return sim


def trajectory(sim: Simulation) -> tuple[str, list[int], float]:
    """Advance; return a hash of all words of all ranks after every step, kills by step, and the motile density."""
    digest, kills, comm = hashlib.sha256(), [], sim.comm
    for _ in range(STEPS):
        sim.advance()
        kills.append(int(sim.last[Count.KILL].sum()))
        for name in ("res_hot", "res_cold", "mot_hot", "mot_cold"):
            digest.update(comm.gather_planes(np.ascontiguousarray(sim.lattice.owned(name))).tobytes())
    motile = comm.gather_planes(np.ascontiguousarray(sim.lattice.owned("mot_hot")))
    marrow = comm.gather_planes(np.ascontiguousarray(sim.lattice.owned("tissue"))) & 15 == Tissue.MARROW
    return digest.hexdigest(), kills, float((motile != 0).sum() / marrow.sum())


if __name__ == "__main__":
    communication = connect()
    found = trajectory(dense(choose(sys.argv[1])[0], Path(sys.argv[2]), communication))
    if communication.rank == 0:
        print(*found)
