"""History matching: which points of the prior are not implausible, given bands and the errors of both models.

Vernon, Goldstein & Bower, Bayesian Analysis 2010. The lattice is taken as the well-mixed model plus an offset, measured
at a few points; what the offset varies by, from point to point and from seed to seed, is the error of this emulator.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm.validation.statistics import Z95

Floats = NDArray[np.float64]
#: Implausibility above which a point is ruled out: by Pukelsheim's rule 95 % of any unimodal distribution lie within 3.
RULED_OUT = 3.0


class Bands(NamedTuple):
    """What is aimed at: centres and standard errors of the targets, each of shape (targets,)."""

    centre: Floats
    error: Floats

    @classmethod
    def of(cls, bands: list[tuple[float, float]], centres: list[float | None]) -> Bands:
        """Take the bands as 95 % intervals; without a stated centre their middle is meant."""
        low, high = np.array(bands).T
        middle = [mid if centre is None else centre for mid, centre in zip((low + high) / 2, centres, strict=True)]
        return cls(np.array(middle), (high - low) / (2 * Z95))


class Offset(NamedTuple):
    """Lattice minus well-mixed model: mean and standard deviation over points, shape (targets,)."""

    mean: Floats
    spread: Floats

    @classmethod
    def measured(cls, lattice: Floats, well_mixed: Floats) -> Offset:
        """Compare both models at the same points, shape (points, targets)."""
        difference = lattice - well_mixed
        return cls(difference.mean(axis=0), difference.std(axis=0, ddof=1))


def implausibility(found: Floats, bands: Bands, offset: Offset) -> Floats:
    """Return the largest distance from a target in standard errors, shape (points,); infinite where there is no value.

    Args:
        found: of the well-mixed model, shape (points, targets).
        bands: what is aimed at.
        offset: of the lattice.
    """
    away = np.abs(found + offset.mean - bands.centre) / np.sqrt(bands.error**2 + offset.spread**2)
    return np.asarray(np.nan_to_num(away, nan=np.inf).max(axis=1))


class Plausible(NamedTuple):
    """What is left of the prior.

    Attributes:
        share: of the points.
        low, high: ends of the range of every parameter, shape (parameters,); not a number if nothing is left.
        best: the point that is nearest to the targets, shape (parameters,).
    """

    share: float
    low: Floats
    high: Floats
    best: Floats


def plausible(points: Floats, score: Floats) -> Plausible:
    """Return what is left of the points (points, parameters) with these implausibilities."""
    left = points[score < RULED_OUT]
    nothing = np.full(points.shape[1], np.nan)
    low, high = (left.min(axis=0), left.max(axis=0)) if len(left) else (nothing, nothing)
    return Plausible(len(left) / len(points), low, high, points[int(np.argmin(score))])
