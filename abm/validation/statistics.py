"""Statistics of a cohort with their 95 % intervals, and the verdict on a band.

Intervals: Student's t for means and their differences, Fieller for ratios of means, MOVER for those of hazards,
Wilson's score for shares, order statistics for medians, percentile bootstrap for correlations and contrasts of medians.
An endpoint that was not reached is infinite: a median counts it as "later than all others".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import comb, inf, isfinite, isinf, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Z95 = 1.959963984540054  #: 97.5 % quantile of the normal distribution
RESAMPLES = 2000
#: Below this many values even the whole range covers the median with less than 95 %: 1 - 2 * 0.5**n.
FEWEST_FOR_BOOTSTRAP = 6
#: Below so many expected events, or patients without one, the spread of a few chances says nothing of their mean.
FEWEST_EVENTS = 1.0
RESULTS = ("pass", "near", "miss", "undecided", "not modelled")


class Estimate(NamedTuple):
    """A statistic and its 95 % interval; ``ci`` is ``None`` where too few values bound it."""

    value: float
    ci: tuple[float, float] | None
    n: int


NOTHING = Estimate(float("nan"), None, 0)


@cache
def t_quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t; with x = sqrt(f) tan(a) its density goes as cos(a)^(f-1)."""
    angle = np.linspace(0.0, 0.5 * np.pi, 40001)
    density = np.cos(angle) ** (freedom - 1)
    area = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    return sqrt(freedom) * float(np.tan(np.interp(0.95, area / area[-1], angle)))


def mean(values: Floats) -> Estimate:
    """Return the mean of the finite values with Student's interval."""
    values = values[np.isfinite(values)]
    if not values.size:
        return NOTHING
    centre = float(values.mean())
    if values.size < 2:
        return Estimate(centre, None, values.size)
    half = t_quantile(values.size - 1) * float(values.std(ddof=1)) / sqrt(values.size)
    return Estimate(centre, (centre - half, centre + half), values.size)


def mean_chance(percent: Floats) -> Estimate:
    """Return the mean of chances in percent, with Wilson's interval as well while hardly one event is expected.

    Of three patients whose chances are next to nothing Student's interval knows for sure that nothing ever happens.
    """
    found = mean(percent)
    expected = found.value * found.n / 100.0
    if found.ci is None or FEWEST_EVENTS <= expected <= found.n - FEWEST_EVENTS:
        return found
    low, high = wilson(min(max(found.value / 100.0, 0.0), 1.0), float(found.n))
    return Estimate(found.value, (min(found.ci[0], 100.0 * low), max(found.ci[1], 100.0 * high)), found.n)


def independent(persons: Sequence[int]) -> float:
    """Return how many independent values the values of these persons are worth at least (Kish's effective number).

    A person who is simulated in several cohorts gives several values, which may be as good as one.
    """
    _, times = np.unique(persons, return_counts=True)
    return float(times.sum() ** 2 / (times**2).sum()) if times.size else 0.0


def share(hits: int, n: int, effective: float | None = None) -> Estimate:
    """Return ``hits`` of ``n`` in percent with Wilson's interval; ``effective``: how many of them are independent."""
    if n == 0:
        return NOTHING
    low, high = wilson(hits / n, effective or float(n))
    return Estimate(100.0 * hits / n, (100.0 * low, 100.0 * high), n)


def wilson(p: float, n: float) -> tuple[float, float]:
    """Return Wilson's interval of a chance of which ``n`` trials show the share ``p``."""
    spread = Z95 * Z95 / n
    centre = (p + 0.5 * spread) / (1.0 + spread)
    half = Z95 * sqrt(p * (1.0 - p) / n + 0.25 * spread / n) / (1.0 + spread)
    # exactly so, where rounding would leave it a little to either side
    return (0.0 if p == 0.0 else centre - half), (1.0 if p == 1.0 else centre + half)


def middle(values: Floats, axis: int = -1) -> Floats:
    """Return medians of values that may be infinite, where the mean of two infinite ones is infinite again."""
    return np.asarray(np.median(values, axis=axis), dtype=np.float64)


def average(values: Floats, axis: int = -1) -> Floats:
    """Return means along ``axis``."""
    return np.asarray(values.mean(axis=axis), dtype=np.float64)


def hazard(values: Floats, axis: int = -1) -> Floats:
    """Return the cumulative hazard of an event that values of 1 have had and those of 0 have not."""
    with np.errstate(divide="ignore"):  # infinite where all have had it
        return np.asarray(-np.log1p(-values.mean(axis=axis)), dtype=np.float64)


#: What a contrast is made of.
CENTRES: dict[str, Callable[..., Floats]] = {"median": middle, "mean": average, "hazard": hazard}


def bootstrap(
    samples: Sequence[Floats], of: Callable[..., Floats], *, paired: bool = False
) -> tuple[float, float] | None:
    """Return the percentile interval of ``of``, which takes one array of resamples (R, n) for every sample.

    The draws are the same in every call, so that equal data give an equal interval. ``paired``: the samples are values
    of the same persons in the same order, who are drawn as a whole.
    """
    if min(sample.size for sample in samples) < FEWEST_FOR_BOOTSTRAP:
        return None
    random = np.random.default_rng(20240229)
    chosen = [random.integers(0, sample.size, (RESAMPLES, sample.size)) for sample in samples[: 1 if paired else None]]
    found = of(*(sample[chosen[0 if paired else index]] for index, sample in enumerate(samples)))
    found = found[~np.isnan(found)]
    if not found.size:
        return None
    # no interpolation: between a finite and an infinite value there is nothing
    return float(np.quantile(found, 0.025, method="lower")), float(np.quantile(found, 0.975, method="higher"))


def median(values: Floats) -> Estimate:
    """Return the median with its interval; not a number counts as not observed."""
    values = values[~np.isnan(values)]
    if not values.size:
        return NOTHING
    return Estimate(float(middle(values)), median_interval(np.sort(values)), values.size)


def median_interval(ordered: Floats) -> tuple[float, float] | None:
    """Return the interval of Hettmansperger and Sheather (1986), between two neighbouring pairs of order statistics.

    The pair at depth d covers the median with 1 - 2 P(fewer than d of n fair coins), whatever the distribution; the
    ends lie between the pairs that cover it with just more and just less than 95 %. The percentile bootstrap covers it
    with 86 to 94 % where n is 6 to 16.
    """
    n = ordered.size
    if n < FEWEST_FOR_BOOTSTRAP:
        return None
    covered = [1.0 - 2.0 * sum(comb(n, k) for k in range(depth)) / 2.0**n for depth in range(1, n // 2 + 1)]
    depth = sum(cover >= 0.95 for cover in covered)
    excess = (covered[depth - 1] - 0.95) / (covered[depth - 1] - covered[depth])
    part = (n - depth) * excess / (depth + (n - 2 * depth) * excess)
    return _between(ordered[depth - 1], ordered[depth], part), _between(ordered[-depth], ordered[-depth - 1], part)


def _between(outer: float, inner: float, part: float) -> float:
    """Return the value between two order statistics; the outer one where one is infinite."""
    return float(outer + part * (inner - outer)) if isfinite(outer) and isfinite(inner) else float(outer)


def contrast(mine: Floats, other: Floats, *, of: str, ratio: bool, paired: bool = False) -> Estimate:
    """Return difference or ratio of the medians, means or hazards (``of``) of two cohorts.

    They are independent, or ``paired``: the same persons in the same order. If not all of them were observed in both
    or in neither, the cohorts are taken as independent.
    """
    paired = paired and mine.size == other.size and bool((np.isnan(mine) == np.isnan(other)).all())
    mine, other = mine[~np.isnan(mine)], other[~np.isnan(other)]
    if not mine.size or not other.size:
        return NOTHING
    centre = CENTRES[of]

    def compare(a: Floats, b: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):  # both cohorts may never reach an endpoint
            return np.asarray(centre(a) / centre(b) if ratio else centre(a) - centre(b))

    if of == "hazard" and ratio:
        ci = hazard_ratio(mine, other)
    elif of == "mean" and np.isfinite([*mine, *other]).all():
        ci = (mean_ratio if ratio else mean_difference)(mine, other, paired=paired)
    else:
        ci = bootstrap([mine, other], compare, paired=paired)
    return Estimate(float(compare(mine, other)), ci, min(mine.size, other.size))


def mean_difference(mine: Floats, other: Floats, *, paired: bool) -> tuple[float, float] | None:
    """Return Student's interval of the difference of two means: of pairs, or Welch's of independent cohorts."""
    if paired:
        return mean(mine - other).ci
    if min(mine.size, other.size) < 2:
        return None
    centre, errors = float(mine.mean() - other.mean()), _errors(mine, other)
    half = _quantile(errors, (mine.size, other.size)) * sqrt(sum(errors))
    return centre - half, centre + half


def mean_ratio(mine: Floats, other: Floats, *, paired: bool) -> tuple[float, float] | None:
    """Return Fieller's interval of the ratio of two means; ``None`` where the second may be 0, and bounds nothing."""
    if min(mine.size, other.size) < 2 or not other.mean():
        return None
    a, b, errors = float(mine.mean()), float(other.mean()), _errors(mine, other)
    shared = float(np.cov(mine, other)[0, 1]) / mine.size if paired else 0.0
    weighed = [errors[0], (a / b) ** 2 * errors[1]]
    t = t_quantile(mine.size - 1) if paired else _quantile(weighed, (mine.size, other.size))
    square, product = b * b - t * t * errors[1], a * b - t * t * shared
    if square <= 0.0:
        return None
    root = sqrt(max(product * product - square * (a * a - t * t * errors[0]), 0.0))
    return (product - root) / square, (product + root) / square


def _errors(*samples: Floats) -> list[float]:
    """Return the squared standard errors of the means."""
    return [float(sample.var(ddof=1)) / sample.size for sample in samples]


def _quantile(errors: Sequence[float], sizes: Sequence[int]) -> float:
    """Return Student's quantile for a sum of errors with Welch's degrees of freedom, rounded down."""
    if not (total := sum(errors)):
        return 0.0
    return t_quantile(int(total**2 / sum(error**2 / (n - 1) for error, n in zip(errors, sizes, strict=True))))


def hazard_ratio(mine: Floats, other: Floats) -> tuple[float, float] | None:
    """Return the interval of the ratio of two cumulative hazards, from those of the hazards (MOVER, Donner & Zou 2012).

    A bootstrap of a cohort in which nothing happened would know for sure that nothing ever does.
    """
    if min(mine.size, other.size) < FEWEST_FOR_BOOTSTRAP:
        return None
    (a, b), (of_a, of_b) = (float(hazard(x)) for x in (mine, other)), map(_hazards, (mine, other))
    turned = _largest_ratio(b, of_b, a, of_a)
    return 1.0 / turned if turned else inf, _largest_ratio(a, of_a, b, of_b)


def _largest_ratio(a: float, of_a: tuple[float, float], b: float, of_b: tuple[float, float]) -> float:
    """Return the upper end of the interval of a / b, both not negative, with theirs."""
    high, low = of_a[1], of_b[0]
    if not low or isinf(high):
        return inf
    if isinf(b):
        return high / low
    below = low * (2.0 * b - low)
    return (a * b + sqrt((a * b) ** 2 + high * (high - 2.0 * a) * below)) / below


def _hazards(chances: Floats) -> tuple[float, float]:
    """Return the interval of a cumulative hazard: by Wilson of yes and no, by Student of what lies between."""
    ends = wilson(float(chances.mean()), chances.size) if np.isin(chances, (0.0, 1.0)).all() else mean(chances).ci
    assert ends is not None  # two values or more
    low, high = (float(hazard(np.array([min(max(end, 0.0), 1.0)]))) for end in ends)
    return low, high


def reduction(ratio: Estimate) -> Estimate:
    """Return by how many percent the first cohort is below the second, from their ratio."""
    ends = ratio.ci
    return Estimate(100.0 * (1.0 - ratio.value), ends and (100.0 * (1.0 - ends[1]), 100.0 * (1.0 - ends[0])), ratio.n)


def correlation(x: Floats, y: Floats) -> Estimate:
    """Return Pearson's correlation of pairs with its bootstrap interval over the pairs."""
    both = np.isfinite(x) & np.isfinite(y)
    pairs = np.stack([x[both], y[both]], axis=-1)
    if len(pairs) < 3:
        return NOTHING
    rows = np.arange(len(pairs), dtype=np.float64)

    def pearson(chosen: Floats) -> Floats:
        a, b = (pairs[chosen.astype(np.int64), side] for side in (0, 1))
        a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample of one and the same pair has no correlation
            return np.asarray((a * b).sum(axis=-1) / np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1)))

    return Estimate(float(pearson(rows)), bootstrap([rows], pearson), len(pairs))


def verdict(estimate: Estimate, band: tuple[float, float]) -> str:
    """Return "pass", "near", "miss" or "undecided".

    An interval that is wider than the band cannot show that the value lies in it: undecided. It can show that the
    value does not, if it lies outside as a whole; such a row is judged by its value like the others.
    """
    low, high = band
    value, ci = estimate.value, estimate.ci
    if np.isnan(value) or ci is None:
        return "undecided"
    outside = ci[0] > high or ci[1] < low
    if not outside and ci[1] - ci[0] > high - low:
        return "undecided"
    away = max(low - value, value - high)
    if away <= 0.0:
        return "pass"
    return "near" if away < 0.5 * (high - low) else "miss"


def is_settled(estimate: Estimate, band: tuple[float, float]) -> bool:
    """Whether the interval lies inside the band as a whole, or outside as a whole."""
    (low, high), ci = band, estimate.ci
    return ci is not None and ((low <= ci[0] and ci[1] <= high) or ci[0] > high or ci[1] < low)


def finite(value: float) -> float | None:
    """Return a number that JSON can hold; ``None`` for infinite and not a number."""
    return value if isfinite(value) else None


def not_reached(value: float) -> bool:
    """Whether more than half of a cohort never reached an endpoint."""
    return value == inf
