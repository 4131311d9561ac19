"""Statistics of cohorts against known answers, and the verdict on a band."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest
from scipy import stats as oracle

from abm.validation import statistics as stats


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 30, 400])
def test_t_quantile_is_that_of_scipy(freedom: int) -> None:
    assert stats.t_quantile(freedom) == pytest.approx(oracle.t.ppf(0.975, freedom), rel=1e-5)


def test_mean_has_students_interval() -> None:
    values = np.array([4.0, 5.5, 6.1, 7.3, 5.2])
    expected = oracle.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = stats.mean(values)
    assert (found.value, found.n) == (pytest.approx(5.62), 5)
    assert found.ci == pytest.approx((expected.low, expected.high), rel=1e-5)


def test_mean_of_one_has_no_interval_and_of_none_no_value() -> None:
    assert stats.mean(np.array([3.0])) == (3.0, None, 1)
    assert stats.mean(np.array([nan, inf])).n == 0


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (5, 10), (10, 10), (37, 195), (1, 1)])
def test_share_has_wilsons_interval(hits: int, n: int) -> None:
    expected = oracle.binomtest(hits, n).proportion_ci(0.95, "wilson")
    found = stats.share(hits, n)
    assert found.value == pytest.approx(100 * hits / n)
    assert found.ci == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-9)
    assert found.ci is not None
    assert 0 <= found.ci[0] <= found.value <= found.ci[1] <= 100


def test_median_counts_what_never_came_as_latest() -> None:
    found = stats.median(np.array([10.0, 11, 12, 13, inf, inf, inf]))
    assert found.value == 13
    assert found.ci is not None
    assert found.ci[1] == inf
    assert stats.median(np.array([10.0, inf, inf])).value == inf
    assert stats.median(np.array([10.0, nan, 12.0])) == (11.0, None, 2), "what was not observed does not count"


def test_too_few_values_bound_no_median() -> None:
    """The range of n values covers the median with 1 - 2 * 0.5**n: 94 % for five, 97 % for six."""
    assert stats.median(np.arange(5.0)).ci is None
    assert stats.median(np.arange(6.0)).ci is not None


def test_hazards_of_two_cohorts() -> None:
    """3 of 52 against 34 of 51: the published ratio is 0.07, by a model that knows when."""
    few, many = np.repeat([1.0, 0.0], [3, 49]), np.repeat([1.0, 0.0], [34, 17])
    found = stats.contrast(few, many, of="hazard", ratio=True)
    assert found.value == pytest.approx(np.log(49 / 52) / np.log(17 / 51))
    assert found.ci is not None
    assert found.ci == pytest.approx((0.02, 0.16), abs=0.01), "published: 0.02 to 0.24"
    assert stats.hazard(np.ones(4)) == inf


def test_a_cohort_without_events_does_not_prove_that_there_are_none() -> None:
    """0 of 16 against 9 of 16: by Wilson 0 to 19.4 % against 33.2 to 76.9 %."""
    none, many = np.zeros(16), np.repeat([1.0, 0.0], [9, 7])
    found = stats.contrast(none, many, of="hazard", ratio=True)
    assert (found.value, found.ci and found.ci[0]) == (0.0, 0.0)
    assert found.ci is not None
    assert -np.log(1 - 0.194) / -np.log(1 - 9 / 16) < found.ci[1] < -np.log(1 - 0.194) / -np.log(1 - 0.332)
    turned = stats.contrast(many, none, of="hazard", ratio=True)
    assert (turned.value, turned.ci and turned.ci[1]) == (inf, inf)
    assert stats.contrast(np.ones(16), many, of="hazard", ratio=True).ci == (pytest.approx(1.2, abs=0.4), inf)
    assert stats.contrast(none, np.ones(16), of="hazard", ratio=True).ci == (0.0, pytest.approx(0.216 / 1.64, rel=0.02))


def test_interval_of_a_ratio_of_hazards_covers_it_as_often_as_it_says() -> None:
    random = np.random.default_rng(4)
    true, covered = np.log(0.8) / np.log(0.5), []
    for _ in range(1000):
        few, many = (np.floor(random.random(40) + chance) for chance in (0.2, 0.5))
        ci = stats.contrast(few, many, of="hazard", ratio=True).ci
        covered.append(ci is not None and ci[0] <= true <= ci[1])
    assert 0.93 < np.mean(covered) < 0.985


def test_interval_of_a_ratio_of_means_covers_it_as_often_as_it_says() -> None:
    """By Fieller, exact for normal values; the bootstrap of six and six covered 88 %."""
    random = np.random.default_rng(9)
    for paired in (False, True):
        covered = []
        for _ in range(1000):
            other = random.normal(14.0, 4.0, 6)
            mine = random.normal(20.0, 4.0, 6) + (other - 14.0 if paired else 0.0)
            ci = stats.contrast(mine, other, of="mean", ratio=True, paired=paired).ci
            covered.append(ci is None or ci[0] <= 20.0 / 14.0 <= ci[1])
        assert 0.93 < np.mean(covered) < 0.98
    assert stats.mean_ratio(np.ones(6), np.array([1.0, -1, 2, -2, 3, -2]), paired=False) is None, "the second may be 0"


@pytest.mark.parametrize("n", [6, 7, 11, 24])
def test_interval_of_the_median_covers_it_as_often_as_it_says(n: int) -> None:
    """Of a skewed distribution. 1000 trials of 95 %: 93.6 to 96.4 by chance; the formula itself errs by 1 point."""
    random = np.random.default_rng(n)
    intervals = [stats.median(random.lognormal(0.0, 1.0, n)).ci for _ in range(1000)]
    assert 0.926 < np.mean([ci is not None and ci[0] <= 1.0 <= ci[1] for ci in intervals]) < 0.974


@pytest.mark.parametrize("n", [6, 9, 20, 61])
def test_interval_of_the_median_lies_within_the_exact_one(n: int) -> None:
    """And beyond the next pair of order statistics, which covers the median too seldom."""
    values = np.sort(np.random.default_rng(n).normal(size=n))
    exact = oracle.quantile_test(values, p=0.5).confidence_interval(0.95)
    found = stats.median(values).ci
    assert found is not None
    assert exact.low <= found[0] < values[int(np.searchsorted(values, exact.low)) + 1]
    assert values[int(np.searchsorted(values, exact.high)) - 1] < found[1] <= exact.high


def test_interval_of_the_median_takes_the_outer_end_beside_infinite_values() -> None:
    assert stats.median(np.array([1.0, 2, 3, 4, 5, inf])).ci == (pytest.approx(1.0 + 5 / 14), inf)
    assert stats.median(np.array([1.0, *[inf] * 5])).ci == (1.0, inf)


def test_pairs_are_drawn_as_a_whole() -> None:
    """Persons differ much, the arms little: only a comparison of the same persons sees it."""
    persons = np.random.default_rng(5).normal(20.0, 5.0, 30)
    treated = persons + 1.0 + np.random.default_rng(6).normal(0.0, 0.1, 30)
    apart, together = (
        stats.contrast(treated, persons, of="mean", ratio=False, paired=paired) for paired in (False, True)
    )
    assert apart.ci is not None
    assert together.ci is not None
    assert apart.ci[0] < 0.0 < 0.9 < together.ci[0] < 1.0 < together.ci[1] < 1.1
    persons[3] = nan
    again = [stats.contrast(treated, persons, of="mean", ratio=False, paired=paired) for paired in (False, True)]
    assert again[0] == again[1], "one of a pair is missing"


def test_difference_of_means_has_students_interval() -> None:
    random = np.random.default_rng(8)
    mine, other = random.normal(3.0, 1.0, 9), random.normal(1.0, 4.0, 6)
    welch = oracle.ttest_ind(mine, other, equal_var=False).confidence_interval(0.95)
    found = stats.contrast(mine, other, of="mean", ratio=False).ci
    assert found is not None
    assert sum(found) == pytest.approx(welch.low + welch.high)
    assert 1.0 <= (found[1] - found[0]) / (welch.high - welch.low) < 1.06, "whole degrees of freedom"
    pairs = oracle.ttest_rel(mine[:6], other).confidence_interval(0.95)
    assert stats.contrast(mine[:6], other, of="mean", ratio=False, paired=True).ci == pytest.approx(
        (pairs.low, pairs.high)
    )
    assert stats.contrast(np.ones(3), np.zeros(4), of="mean", ratio=False).ci == (1.0, 1.0)


def test_values_of_one_person_are_worth_one() -> None:
    assert stats.independent([1, 2, 3, 1, 2, 3]) == pytest.approx(3.0)
    assert stats.independent([1, 2, 3, 4]) == pytest.approx(4.0)
    assert stats.independent([1, 2, 1]) == pytest.approx(9 / 5)
    pooled, half = stats.share(12, 24, 12.0), stats.share(6, 12)
    assert (pooled.value, pooled.n) == (50.0, 24)
    assert pooled.ci == pytest.approx(half.ci)


def test_bootstrap_gives_the_same_interval_again() -> None:
    values = np.random.default_rng(1).normal(size=30)
    assert stats.median(values) == stats.median(values.copy())


@pytest.mark.parametrize(
    ("of", "ratio", "expected"), [("median", False, 5.0), ("median", True, 1.5), ("mean", True, 1.5)]
)
def test_contrast_of_two_cohorts(of: str, ratio: bool, expected: float) -> None:
    other = np.arange(5.0, 16.0)
    found = stats.contrast(other * 1.5 if ratio else other + 5.0, other, of=of, ratio=ratio)
    assert found.value == pytest.approx(expected)
    assert found.ci is not None
    assert found.ci[0] < expected < found.ci[1]


def test_contrast_without_a_cohort_is_nothing() -> None:
    assert stats.contrast(np.array([]), np.array([1.0]), of="median", ratio=False).n == 0


def test_correlation_is_pearsons() -> None:
    random = np.random.default_rng(2)
    x = random.normal(size=40)
    y = 0.5 * x + random.normal(size=40)
    found = stats.correlation(x, y)
    assert found.value == pytest.approx(oracle.pearsonr(x, y).statistic)
    assert found.ci is not None
    assert found.ci[0] < found.value < found.ci[1]
    assert stats.correlation(x, np.where(np.arange(40) < 38, nan, y)).n == 0


@pytest.mark.parametrize(
    ("value", "ci", "expected"),
    [
        (5.0, (4.5, 5.5), "pass"),
        (4.0, (3.5, 4.5), "pass"),  # the ends belong to the band
        (6.5, (6.2, 6.8), "near"),
        (7.5, (7.0, 8.0), "miss"),
        (5.0, (3.5, 6.5), "undecided"),
        (5.0, None, "undecided"),
        (nan, None, "undecided"),
        (inf, (20.0, inf), "miss"),
        (inf, (5.0, inf), "undecided"),
        (30.0, (20.0, 40.0), "miss"),  # wider than the band, but all of it outside
    ],
)
def test_verdict(value: float, ci: tuple[float, float] | None, expected: str) -> None:
    assert stats.verdict(stats.Estimate(value, ci, 9), (4.0, 6.0)) == expected


def test_verdict_on_an_exact_number() -> None:
    assert stats.verdict(stats.Estimate(0.0, (0.0, 0.0), 6), (0.0, 0.0)) == "pass"
    assert stats.verdict(stats.Estimate(0.2, (0.1, 0.3), 6), (0.0, 0.0)) == "miss"


def test_three_patients_without_a_chance_do_not_prove_that_there_is_none() -> None:
    assert stats.mean(np.zeros(3)).ci == (0.0, 0.0)
    assert stats.mean_chance(np.zeros(3)).ci == stats.share(0, 3).ci
    assert stats.mean_chance(np.full(3, 100.0)).ci == stats.share(3, 3).ci
    rare = stats.mean_chance(np.array([1.0, 0.0, 0.0, 2.0])).ci
    assert rare is not None
    assert rare[1] > 40.0


def test_chances_of_many_have_the_interval_of_their_mean() -> None:
    chances = np.array([0.0, 100.0, 50.0, 30.0, 0.0, 80.0])
    assert stats.mean_chance(chances) == stats.mean(chances)
    assert stats.mean_chance(chances[:1]).ci is None
