"""marrow-lite: one small model that every peer implements, its constants, and the table of peers.

**Lattice.** n x n x n sites, periodic, with two layers: a site holds at most one resident cell and at most one
T cell. Residents are normal or tumour cells.

**Start.** A site holds a resident with probability ``FILLED``, of which ``TUMOUR_PART`` are tumour cells, and
independently a T cell with probability ``T_FILLED``.

**Step**, in two phases, so that all peers can mean the same by it:

1. Every T cell looks at its own site and the 26 around it as they were when the step began. If there is a tumour
   cell it engages one of them at random, stays, and kills it with probability ``KILL``: a tumour cell that k T cells
   engage dies with probability 1 - (1 - KILL)^k. Otherwise it hops to one of the 6 face neighbours, chosen at random,
   unless that holds a T cell; of several that want one site one gets it.
2. Killed cells are gone. Every other resident dies with probability ``DEATH`` or else divides with probability
   ``DIVISION``: a daughter of its kind is put on a random empty face neighbour. With none empty nothing happens; of
   several that want one site one gets it. A daughter does nothing in the step of its birth.

Within a phase the order is the framework's own: random sequential activation where agents are objects, all at once
with a claim for the wanted site where agents are arrays. What this changes (whether a site that is left in this step
can already be taken in it) is of second order in the rates; ``tests/unit/test_peers.py`` compares the trajectories.

A site-update is one site advanced by one step.
"""

from __future__ import annotations

import importlib
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

FILLED: Final = 0.60
TUMOUR_PART: Final = 0.10
T_FILLED: Final = 0.05
DEATH: Final = 0.01
DIVISION: Final = 0.01
KILL: Final = 0.20

#: What a site of the resident layer holds.
EMPTY: Final = 0
NORMAL: Final = 1
TUMOUR: Final = 2

#: Offsets z, y, x of the 6 face neighbours, and of a site with all 26 around it.
FACES: Final = ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1))
MOORE: Final = tuple((z, y, x) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1))

#: Name on the command line -> module.
PEERS: Final = {
    "mesa": "benchmarks.peers.mesa_model",
    "mesa-frames": "benchmarks.peers.mesa_frames_model",
    "repast4py": "benchmarks.peers.repast4py_model",
    "numpy": "benchmarks.peers.numpy_model",
    "numba": "benchmarks.peers.numba_model",
    "c": "benchmarks.peers.c_model",
    "cupy": "benchmarks.peers.cupy_model",
}


class Model(Protocol):
    """What every peer's ``Model`` offers; it is made with ``Model(n, seed)``."""

    def step(self) -> None:
        """Advance by one step, and return when it is done, also on a GPU."""

    def counts(self) -> dict[str, int]:
        """Return the numbers of cells: ``resident`` (tumour cells included), ``tumour``, ``t_cells``."""


def start(n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the resident layer and the T-cell layer at the start.

    Every peer begins here, so that with the same seed they all begin with the same cells.

    Args:
        n: Sites along an edge.
        seed: Any number.

    Returns:
        Two arrays (n, n, n): ``EMPTY``, ``NORMAL`` or ``TUMOUR``; and 1 where there is a T cell, else 0.
    """
    rng = np.random.default_rng(seed)
    draw = rng.random((n, n, n), dtype=np.float32)
    resident = np.zeros((n, n, n), np.uint8)
    resident[draw < FILLED] = NORMAL
    resident[draw < FILLED * TUMOUR_PART] = TUMOUR
    motile = (rng.random((n, n, n), dtype=np.float32) < T_FILLED).astype(np.uint8)
    return resident, motile


def level(probability: float) -> int:
    """Return the number that a 16-bit draw stays below with ``probability`` (to 1 part in 1000 for those above)."""
    return round(probability * 65536)


def optional(name: str) -> tuple[Any, str]:
    """Import a framework that may be missing.

    Args:
        name: Of the module, with its package.

    Returns:
        The module and "", or None and the reason why there is none.
    """
    try:
        return importlib.import_module(name), ""
    except (ImportError, OSError, RuntimeError) as error:  # the latter two: a shared library of it is missing
        return None, f"not installed: {str(error).splitlines()[0]}"
