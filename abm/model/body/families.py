"""Chance of a graft with few T cells: which families of host-reactive cells it holds, and how large each grows.

A response is made by the families of few precursors. A whole graft holds thousands of them, one nearly free of T cells
a handful or none, and the progeny of single cells differ by orders of magnitude (Buchholz, Science 2013; Gerlach,
Science 2013). So the same few T cells do nothing in one patient and much in another. Those that see all tissue and
those that see blood cells alone are families apart.
"""

from __future__ import annotations

import numpy as np

from abm.exactmath import log
from abm.model.body.chance import poisson
from abm.model.body.numerics import total
from abm.philox import philox
from abm.streams import Stream

#: From this many families on their sum is taken as its mean: chance then is below 8 % of it.
MANY = 1024.0
_NUMBER, _SIZES = Stream.FAMILY * 256, Stream.FAMILY * 256 + 1
_MEAN_SIZE = 2.0  #: of the square of an exponentially distributed number
_WORDS = 4294967296.0


def harvest(expected: float, seed: int, place: int, turn: int) -> float:
    """Return what the families of a graft come to, relative to the expected sum.

    Args:
        expected: families that a graft of this size holds on average.
        seed: that of the run.
        place: tells grafts of one step, and cells that see all tissue from those that see blood alone, apart.
        turn: number of the step.
    """
    if not 0.0 < expected < MANY:
        return 1.0
    word = philox(seed, np.array([place]), turn, _NUMBER)[0]
    n = int(poisson(expected, int(word[0])) + 0.5)
    words = philox(seed, np.arange(n) + (place << 32), turn, _SIZES)[0]
    logs = [log((u + 0.5) / _WORDS) for u in words.tolist()]
    return total(x * x for x in logs) / (_MEAN_SIZE * expected)
