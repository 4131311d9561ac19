"""Random lattice states for parity tests: any words a kernel may meet, on a small slab with halo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abm import cells, resources
from abm.cells import Kind, Signal
from abm.domain import Domain
from abm.model.body.antibodies import read_antibodies
from abm.model.damage import DamageRules
from abm.model.loans import Loans
from abm.model.rules import BODY_SIGNALS, Rules
from abm.phases import HALO

Array = NDArray[Any]
FOLDER = Path(resources.folder("scenarios")) / "rules" / "human"
ANTIBODIES = read_antibodies(FOLDER)


@dataclass
class State:
    """Arrays of a slab by name, kernel tables, and the domain."""

    domain: Domain
    arrays: dict[str, Array]
    tables: dict[str, Array]


def human_rules() -> Rules:
    """Return the shipped human rules."""
    return Rules.load(FOLDER)


def random_state(shape: tuple[int, int, int], seed: int, filling: float, rules: Rules, rank: int, size: int) -> State:
    """Return a state full of declared kinds in random condition, periodic halo included.

    Args:
        shape: whole lattice.
        seed: of NumPy's generator (test data only).
        filling: share of sites with a resident and half of that with a motile cell.
        rules: tables.
        rank: which slab.
        size: of how many.
    """
    rng = np.random.default_rng(seed)
    domain = Domain(shape, HALO, rank, size)
    nz = shape[0]
    planes = np.arange(domain.z0 - HALO, domain.z0 + domain.n_owned + HALO) % nz
    resident = np.array([k for k in rules.kinds if k < cells.FIRST_MOTILE])
    motile = np.array([k for k in rules.kinds if k >= cells.FIRST_MOTILE])
    tissue = rng.choice(np.arange(5), shape, p=[0.7, 0.1, 0.1, 0.05, 0.05]).astype(np.uint8)
    niche = rng.integers(0, 8, shape).astype(np.uint8) << 4  # niches of either kind, stroma
    tissue |= np.where((tissue == 0) & (rng.random(shape) < 0.3), niche, 0).astype(np.uint8)
    whole = {
        "tissue": tissue,
        "distance": rng.integers(0, 9, shape).astype(np.uint8),
        "res_hot": _hot(rng, shape, resident, filling),
        "mot_hot": _hot(rng, shape, motile, filling / 2),
        "cxcl12": rng.random(shape, np.float32) * np.float32(3),
        "inflammation": np.where(rng.random(shape) < 0.5, rng.random(shape), 0).astype(np.float32),
    }
    for layer in ("res", "mot"):
        word = rng.integers(0, 2**32, shape, dtype=np.uint32) & ~np.uint32(31 << 16)
        word |= rng.integers(0, 5, shape).astype(np.uint32) << np.uint32(16)
        whole[f"{layer}_cold"] = np.where(whole[f"{layer}_hot"] != 0, word, 0).astype(np.uint32)
    arrays = {name: np.ascontiguousarray(array[planes]) for name, array in whole.items()}
    return State(domain, arrays, _tables(rng, rules))


def ring(state: State) -> State:
    """Return the state of a whole lattice as a ring, with a halo that nobody must read."""
    arrays = {name: array.copy() for name, array in state.arrays.items()}
    for array in arrays.values():
        array[:HALO] = array[-HALO:] = 0x65
    return replace(state, domain=state.domain.as_ring(), arrays=arrays)


def _hot(rng: np.random.Generator, shape: tuple[int, int, int], kinds: Array, filling: float) -> Array:
    word = rng.choice(kinds, shape).astype(np.uint32)
    word |= rng.integers(0, 2, shape).astype(np.uint32) << np.uint32(6)  # origin
    word |= rng.integers(0, 2, shape).astype(np.uint32) << np.uint32(8)  # cycle
    word |= rng.integers(0, 64, shape).astype(np.uint32) << np.uint32(10)  # activation, exhaustion, some specificity
    word |= rng.integers(0, 5, shape).astype(np.uint32) << np.uint32(14)
    word |= rng.integers(0, 2**12, shape).astype(np.uint32) << np.uint32(20)  # losses, edits
    return np.where(rng.random(shape) < filling, word, 0).astype(np.uint32)


def _tables(rng: np.random.Generator, rules: Rules) -> dict[str, Array]:
    """Return the shipped tables, with rates fast enough that every event happens, and rules on every signal."""
    signals = {name: float(rng.random() * 20) for name in BODY_SIGNALS}
    drug = rng.random((cells.N_VARIANTS, cells.N_KINDS, 2)) * 0.01
    directed = rng.random((cells.N_KINDS, 2, len(cells.LOSS_ANTIGENS))) * (rng.random((cells.N_KINDS, 1, 1)) < 0.5)
    exposed = rng.random(drug.shape) * 0.05 * (rng.random((cells.N_KINDS, 1)) < 0.5)
    found = rules.rates(signals, drug, 6.0, directed * 0.01, exposed)._asdict()
    ceiling = found["ceiling"]
    rows, n = cells.N_KINDS * 2, 3
    rows_with_rules = {
        "rule_start": np.arange(0, rows * n + 1, n, dtype=np.int32),
        "rule_behaviour": rng.integers(0, cells.N_HAZARDS, rows * n).astype(np.uint8),
        "rule_signal": rng.integers(0, len(Signal), rows * n).astype(np.uint8),
        "rule_power": rng.choice([1, 2, 4], rows * n).astype(np.uint8),
        "rule_gain": (rng.random(rows * n) * 3 - 1).astype(np.float32),
        "rule_half": (rng.random(rows * n) * 4 + 0.1).astype(np.float32),
    }
    hop = np.where(rules.motility > 0, np.uint32(0xC0000000), np.uint32(0)).astype(np.uint32)
    take = rng.choice([0, 1 << 31, 0xFFFFFFFF], rows).astype(np.uint32)
    chosen = np.isin(np.arange(cells.N_KINDS), [Kind.HSC, Kind.LSC]).astype(np.uint8)
    ceiling = np.where(rng.random(ceiling.shape) < 0.5, ceiling, 0xFFFFFFFF).astype(np.uint32)
    random = found | {"ceiling": ceiling} | _mutations(rng)
    random |= {"hop": hop, "chosen": chosen, "take": take}
    loans = Loans.of(rules, ANTIBODIES, donor_is_self=False, enrichment=10.0)
    lent = loans.rows([float(rng.choice([0.0, 0.6, 1.0])) for _ in loans.lenders])
    random |= lent | {"strength": loans.strength, "vigour": rng.choice([0, 1 << 31, 0xFFFFFFFF], 8).astype(np.uint32)}
    random |= {"tiring": rng.choice([0, 1 << 31, 0xFFFFFFFF], 2).astype(np.uint32)}
    random |= DamageRules(hits=float(rng.choice([0.3, 3.0, 30.0])), half_life=float(rng.choice([1.0, 100.0]))).tables(
        1.0
    )
    return {
        **rules.tables,
        **rows_with_rules,
        **rules.sight(donor_is_self=False),
        **random,
    }


def _mutations(rng: np.random.Generator) -> dict[str, Array]:
    """Return up to three mutations of each kind and variant, many of them common; a third make another kind."""
    number = rng.integers(0, 4, cells.N_KINDS * cells.N_VARIANTS)
    start = np.concatenate([[0], np.cumsum(number)]).astype(np.int32)
    steps = rng.integers(0, 2**30, int(start[-1]))
    chance = [np.cumsum(steps[a:b]) for a, b in zip(start[:-1], start[1:], strict=True)]
    motile = np.repeat(np.arange(number.size) >= cells.FIRST_MOTILE * cells.N_VARIANTS, number)
    kind = np.where(motile, rng.integers(40, 48, motile.size), rng.integers(1, 33, motile.size))
    kind[rng.random(kind.size) < 2 / 3] = 0
    return {
        "mutation_start": start,
        "mutation_chance": np.concatenate(chance).astype(np.uint32),
        "mutation_gain": (rng.integers(0, 1 << cells.GAIN_KIND, kind.size) | kind << cells.GAIN_KIND).astype(np.uint32),
    }
