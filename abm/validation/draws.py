"""What the priors give patient by patient: nested Latin hypercubes, so that few patients already stand for all.

Independent draws make a cohort of six a poor picture of its prior: all six may be frail. Here the first 3, 6, 12, 24
patients and so on lie one in each third, sixth, twelfth of the distribution of every parameter, in an order of its own
(Qian, Biometrika 2009;96:957). Intervals are those of independent patients all the same: rather too wide.

A parameter may follow another one (of normal distributions cut at ends as well): what is left of a leukaemia that drugs
kill badly is much.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import lru_cache
from statistics import NormalDist
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from abm.errors import ConfigError
from abm.validation.protocols import PROTOCOLS, Prior

#: Patients of the smallest hypercube; each next one holds twice as many.
SMALLEST = 3
_LEAST_MASS = 1e-3
_EDGE = 1e-9  #: levels keep so far from 0 and 1


def draw(prior: Prior, key: str, seed: int, priors: Mapping[str, Prior] = MappingProxyType({})) -> float:
    """Return the value of one parameter of patient ``seed``, 1 or more, in the unit of the parameter.

    It depends on seed and parameter only, and on what the parameter follows: patient 7 is the same person in every
    protocol, so that arms are compared in the same patients.

    Args:
        prior: how the parameter differs between patients.
        key: its name.
        seed: number of the patient.
        priors: of the protocol, by parameter; the one that is followed is looked up here.

    Raises:
        ConfigError: the limits leave next to nothing of the distribution, or what is followed has no centre.
    """
    low, high = prior.limits
    level = _level(key, seed)
    if prior.follows:
        level = _following(level, prior, priors.get(prior.follows), seed)
    if prior.distribution == "uniform":
        return _rounded(low + level * (high - low))
    logarithmic = prior.distribution == "lognormal"
    centre, spread = prior.centre or 0.0, prior.spread or 0.0
    if logarithmic:
        low, high, centre = (_log(end) for end in (low, high, centre))
    value = _within(level, low, high, centre, spread)
    if value is None:
        low, high = prior.limits
        raise ConfigError(f"next to no draw lies inside the limits {low:g} to {high:g}", file=PROTOCOLS, key=key)
    return _rounded(math.exp(value) if logarithmic else value)


def _following(level: float, prior: Prior, leader: Prior | None, seed: int) -> float:
    """Return the level of a value that follows that of another parameter, whose distribution is taken as uncut."""
    if leader is None or leader.distribution == "uniform" or not leader.spread:
        raise ConfigError("expected a normal or lognormal prior to follow", file=PROTOCOLS, key=prior.follows)
    value, centre = draw(leader, prior.follows, seed), leader.centre or 0.0
    if leader.distribution == "lognormal":
        value, centre = _log(value), _log(centre)
    normal, shared = NormalDist(), prior.correlation
    own = math.sqrt(1.0 - shared * shared) * normal.inv_cdf(level)
    return min(max(normal.cdf(shared * (value - centre) / leader.spread + own), _EDGE), 1.0 - _EDGE)


def _log(value: float) -> float:
    return math.log(value) if value > 0.0 else -math.inf


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
    return np.concatenate([before, (random.permutation(free) + np.clip(inside, _EDGE, 1.0 - _EDGE)) / size])
