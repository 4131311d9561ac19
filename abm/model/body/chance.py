"""Whole numbers drawn at random, with the same bits on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm.exactmath import exp
from abm.model.body.numerics import Floats

#: From this mean on a number of events is taken as its mean: chance then is below 13 % of it and soon averages out.
MANY = 64.0
_WORDS = 4294967296.0


def poisson(mean: float, word: int) -> float:
    """Return a Poisson-distributed number by inversion of 32 random bits; the mean itself from ``MANY`` on."""
    if mean >= MANY or mean <= 0.0:
        return max(mean, 0.0)
    u, n = (word + 0.5) / _WORDS, 0.0
    chance = exp(-mean)
    below = chance
    while below < u and chance > 0.0:
        n += 1.0
        chance = chance * mean / n
        below = below + chance
    return n


def drawn(means: Floats, words: NDArray[np.uint32]) -> Floats:
    """Return a number for every mean, drawn where it is small; one word for each, in the same order."""
    numbers = np.maximum(means, 0.0)
    flat = numbers.reshape(-1)
    for i in np.flatnonzero((flat > 0.0) & (flat < MANY)).tolist():
        flat[i] = poisson(float(flat[i]), int(words.flat[i]))
    return numbers
