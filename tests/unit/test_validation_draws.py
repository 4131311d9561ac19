"""What the priors give to patients: the distribution as a whole, in the first few patients already."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import stats

from abm.errors import ConfigError
from abm.validation.draws import SMALLEST, draw
from abm.validation.protocols import Prior


def prior(distribution: str, limits: tuple[float, float], centre: float = 0.0, spread: float = 1.0) -> Prior:
    facts = {"distribution": distribution, "limits": limits, "centre": centre, "spread": spread}
    return Prior.model_validate({**facts, "source": "x", "status": "read"}, strict=False)


UNIFORM = prior("uniform", (0.0, 1.0))


def values(found: Prior, n: int, key: str = "key") -> np.ndarray:
    return np.array([draw(found, key, seed) for seed in range(1, n + 1)])


@pytest.mark.parametrize("doublings", range(6))
def test_first_patients_lie_one_in_each_stretch(doublings: int) -> None:
    size = SMALLEST * 2**doublings
    levels = values(prior("uniform", (0.0, 1000.0)), size) / 1000.0  # four digits are kept
    assert_array_equal(np.sort(np.floor(levels * size)), np.arange(size))


def test_a_patient_does_not_depend_on_how_many_follow() -> None:
    assert_array_equal(values(UNIFORM, 100)[:7], values(UNIFORM, 7))


def test_parameters_are_drawn_apart() -> None:
    found = np.array([values(UNIFORM, 192, key) for key in "abcdef"])
    apart = np.abs(np.corrcoef(found)[np.triu_indices(6, 1)])
    assert apart.max() < 4.0 / np.sqrt(192)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (prior("uniform", (2.0, 5.0)), stats.uniform(2.0, 3.0)),
        (prior("normal", (-1.0, 2.5), 0.5, 1.5), stats.truncnorm(-1.0, 4.0 / 3.0, 0.5, 1.5)),
        (prior("lognormal", (1e5, 1e8), 5e6, 0.5), stats.lognorm(0.5, scale=5e6)),
    ],
)
def test_values_follow_the_distribution_cut_at_its_limits(given: Prior, expected: stats.rv_continuous) -> None:
    # one in each of 384 stretches: the empirical distribution is off by 1/384 at most, and by rounding
    assert stats.kstest(values(given, 384), expected.cdf).statistic < 2.0 / 384


def test_no_spread_gives_the_centre() -> None:
    assert set(values(prior("lognormal", (1.0, 10.0), 3.0, 0.0), 5)) == {3.0}


@pytest.mark.parametrize("given", [prior("normal", (50.0, 60.0)), prior("lognormal", (5.0, 6.0), 3.0, 0.0)])
def test_limits_that_cannot_be_met_are_told(given: Prior) -> None:
    with pytest.raises(ConfigError, match="next to no draw lies inside the limits 5"):
        draw(given, "key", 1)


LEADER = prior("lognormal", (1e-8, 0.05), 1e-4, 2.3)
FOLLOWER = prior("normal", (-3.0, 3.0)).model_copy(update={"follows": "leader", "correlation": -0.6})


def together(leader: Prior, n: int = 384) -> np.ndarray:
    """Return values of both, shape (2, n)."""
    followers = [draw(FOLLOWER, "key", seed, {"leader": leader}) for seed in range(1, n + 1)]
    return np.array([values(leader, n, "leader"), followers])


def test_a_parameter_follows_another_one() -> None:
    leaders, followers = together(LEADER)
    assert np.corrcoef(np.log(leaders), followers)[0, 1] == pytest.approx(-0.6, abs=0.08)
    assert followers.mean() == pytest.approx(0.0, abs=0.1)
    assert followers.std() == pytest.approx(1.0, abs=0.1)


def test_a_group_by_one_parameter_differs_in_what_follows_it() -> None:
    leaders, followers = together(prior("lognormal", (1e-3, 0.05), 1e-4, 2.3))
    away = (np.log(leaders) - np.log(1e-4)) / 2.3
    assert followers.mean() == pytest.approx(-0.6 * away.mean(), abs=0.1)
    assert followers.mean() < -0.7


@pytest.mark.parametrize("priors", [{}, {"leader": UNIFORM}])
def test_what_cannot_be_followed_is_told(priors: dict[str, Prior]) -> None:
    with pytest.raises(ConfigError, match="expected a normal or lognormal prior to follow"):
        draw(FOLLOWER, "key", 1, priors)
