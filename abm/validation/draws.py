"""What the priors give patient by patient: nested Latin hypercubes, so that few patients already stand for all.

Independent draws make a cohort of six a poor picture of its prior: all six may be frail. Here the first 3, 6, 12, 24
patients and so on lie one in each third, sixth, twelfth of the distribution of every parameter, in an order of its own
(Qian, Biometrika 2009;96:957). Intervals are those of independent patients all the same: rather too wide.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from abm.errors import ConfigError
from abm.validation.protocols import PROTOCOLS, Prior

#: Patients of the smallest hypercube; each next one holds twice as many.
SMALLEST = 3
_LEAST_MASS = 1e-3


def draw(prior: Prior, key: str, seed: int) -> float:
    """Return the value of one parameter of patient ``seed``, 1 or more, in the unit of the parameter.

    It depends on seed and parameter only: patient 7 is the same person in every protocol, so that arms are compared
    in the same patients.

    Raises:
        ConfigError: the limits leave next to nothing of the distribution.
    """
    low, high = prior.limits
    level = _level(key, seed)
    if prior.distribution == "uniform":
        return _rounded(low + level * (high - low))
    logarithmic = prior.distribution == "lognormal"
    centre, spread = prior.centre or 0.0, prior.spread or 0.0
    if logarithmic:
        low, high, centre = (math.log(end) if end > 0.0 else -math.inf for end in (low, high, centre))
    value = _within(level, low, high, centre, spread)
    if value is None:
        low, high = prior.limits
        raise ConfigError(f"next to no draw lies inside the limits {low:g} to {high:g}", file=PROTOCOLS, key=key)
    return _rounded(math.exp(value) if logarithmic else value)


def _within(level: float, low: float, high: float, centre: float, spread: float) -> float | None:
    """Return the quantile of a normal distribution cut at two ends; ``None`` if they leave next to nothing of it."""
    if spread == 0.0:
        return centre if low <= centre <= high else None
    normal = NormalDist(centre, spread)
    below, upto = normal.cdf(low), normal.cdf(high)
    if upto - below < _LEAST_MASS:
        return None
    return min(max(normal.inv_cdf(below + level * (upto - below)), low), high)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _level(key: str, seed: int) -> float:
    """Return the level in (0, 1) of a patient's value in its distribution."""
    size = SMALLEST
    while size < seed:
        size *= 2
    return float(_levels(key, size)[seed - 1])


@lru_cache(maxsize=1024)
def _levels(key: str, size: int) -> NDArray[np.float64]:
    """Return the levels of the first patients, shape (size,), one in each stretch of 1/size."""
    before = _levels(key, size // 2) if size > SMALLEST else np.empty(0)
    digest = hashlib.sha256(f"{size}:{key}".encode()).digest()
    random = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:8], "little")))
    free = np.setdiff1d(np.arange(size), (before * size).astype(np.int64))
    inside = 1.0 - random.random(free.size)  # (0, 1]: the ends of the whole are left out below
    return np.concatenate([before, (random.permutation(free) + np.clip(inside, 1e-9, 1.0 - 1e-9)) / size])
