"""Measures of clonal diversity.

Of a sample: the clone number of each of its cells, shape (cells,); 0 is not a clone.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from abm.exactmath import log

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def _sizes(cells: Floats) -> tuple[Floats, Ints]:
    """Return the clones of a sample in ascending order and the cells of each."""
    return _counted(np.asarray(cells, np.float64).tobytes())


@lru_cache(maxsize=8)  # every measure asks for those of the same few samples
def _counted(sample: bytes) -> tuple[Floats, Ints]:
    cells = np.frombuffer(sample)
    clones, n = np.unique(cells[cells > 0.0], return_counts=True)
    return clones, n


def shannon(cells: Floats) -> float:
    """Return the Shannon entropy, nats."""
    _, n = _sizes(cells)
    whole = int(n.sum())
    entropy = 0.0
    for size, clones in enumerate(np.bincount(n).tolist() if whole else ()):
        if clones:  # added in order: the same bits on every machine
            entropy = entropy + -clones * size / whole * log(size / whole)
    return entropy


def simpson(cells: Floats) -> float:
    """Return the probability that two cells drawn with replacement are of different clones; 0 without cells."""
    _, n = _sizes(cells)
    whole = int(n.sum())
    return 1.0 - int((n * n).sum()) / (whole * whole) if whole else 0.0


def chao1(cells: Floats) -> float:
    """Return the bias-corrected Chao1 estimate (Chao 1984) of how many clones there are."""
    _, n = _sizes(cells)
    once, twice = int((n == 1).sum()), int((n == 2).sum())
    return n.size + once * (once - 1) / (2 * (twice + 1))


def morisita_horn(one: Floats, other: Floats) -> float:
    """Return the Morisita-Horn overlap of two samples: 0 nothing shared, 1 the same clones in the same shares."""
    (clones, n), (others, m) = _sizes(one), _sizes(other)
    whole, whole_other = int(n.sum()), int(m.sum())
    if not whole or not whole_other:
        return 0.0
    _, i, j = np.intersect1d(clones, others, assume_unique=True, return_indices=True)
    squares = int((n * n).sum()) / (whole * whole) + int((m * m).sum()) / (whole_other * whole_other)
    return 2.0 * int((n[i] * m[j]).sum()) / (whole * whole_other) / squares
