"""What assays find of residual leukaemia: binomial samples, and slopes of curves whose slopes are known."""

from __future__ import annotations

import dataclasses
from math import inf, log
from typing import Any

import numpy as np
import pytest

from abm import cells, resources
from abm.cells import Count, Kind, Origin
from tests.unit.made_up_run import make_run

resources.load_analysis()
from abm_analysis import observables, read  # noqa: E402
from abm_analysis.observables import residual  # noqa: E402

MADE = observables.REGISTRY
DAYS = np.arange(-10.0, 400.0, 1.0)
CONFIG = {
    "seed": 5,
    "patient": {"disease": "cml"},
    "events": [{"day": 0.0, "action": "chemo", "drug": "imatinib", "dose_mg": 400.0, "doses": 400}],
}
CELLS = 10_000_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "cml"))


def with_share(run: Any, share: np.ndarray, config: dict[str, Any] = CONFIG) -> Any:
    """Return a run with this leukaemic share of myeloid cells, divisions and new granulocytes on every day."""
    counts = np.zeros((DAYS.size, cells.N_COUNTS, cells.N_KINDS, cells.N_ORIGINS), np.int64)
    counts[:, Count.POPULATION, Kind.BLAST, Origin.HOST] = np.rint(CELLS * share)
    counts[:, Count.POPULATION, Kind.MYELOCYTE, Origin.HOST] = CELLS - np.rint(CELLS * share)
    for row, kind in ((Count.LEFT, Kind.BLAST), (Count.BIRTH, Kind.BLAST)):
        counts[:, row, kind, Origin.HOST] = counts[:, Count.POPULATION, Kind.BLAST, Origin.HOST]
    counts[:, Count.BECAME, Kind.METAMYELOCYTE, Origin.HOST] = CELLS
    counts[:, Count.BIRTH, Kind.MYELOCYTE, Origin.HOST] = counts[:, Count.POPULATION, Kind.MYELOCYTE, Origin.HOST]
    return dataclasses.replace(run, config=config, day=DAYS, step=np.arange(DAYS.size), body={}, counts=counts)


def two_slopes(first: float, second: float, bend: float) -> np.ndarray:
    since = np.maximum(DAYS, 0.0)
    return 0.9 * np.exp(first * np.minimum(since, bend) + second * np.maximum(since - bend, 0.0))


def test_both_slopes_are_found(run: Any) -> None:
    seen = with_share(run, two_slopes(-0.05, -0.006, 80.0))
    assert MADE["bcr_abl_slope_early"].make(seen) == pytest.approx(-0.05, rel=0.02)
    assert MADE["bcr_abl_slope_late"].make(seen) == pytest.approx(-0.006, rel=0.1)
    assert MADE["bcr_abl_halving_time"].make(with_share(run, two_slopes(-0.03, -0.03, 1.0))) == pytest.approx(
        log(2) / 0.03, rel=0.05
    )
    assert MADE["bcr_abl_halving_time"].make(with_share(run, two_slopes(0.001, 0.001, 1.0))) == inf
    good, poor = with_share(run, two_slopes(-0.03, -0.03, 1.0)), with_share(run, two_slopes(-0.02, -0.02, 1.0))
    assert MADE["bcr_abl_halving_time_good"].make(good) == MADE["bcr_abl_halving_time"].make(good)
    assert MADE["bcr_abl_halving_time_good"].make(poor) is None, "15 % at three months"


def test_no_slope_without_treatment_or_before_its_end(run: Any) -> None:
    share = two_slopes(-0.05, -0.006, 80.0)
    for config in (CONFIG | {"events": []}, CONFIG | {"patient": {"disease": "aml"}}):
        assert MADE["bcr_abl_slope_early"].make(with_share(run, share, config)) is None
    late = CONFIG | {"events": [CONFIG["events"][0] | {"day": 200.0}]}
    assert MADE["bcr_abl_slope_late"].make(with_share(run, share, late)) is None


def test_an_assay_finds_a_binomial_number_of_its_sample(run: Any) -> None:
    share = np.full(DAYS.size, 1e-4)
    found = 0.01 * MADE["bcr_abl"].make(with_share(run, share))
    counted = found * residual.PCR.read
    assert counted.mean() == pytest.approx(10.0, abs=5 * np.sqrt(10.0 / DAYS.size))
    assert counted.var() == pytest.approx(10.0, rel=0.4)
    again = 0.01 * MADE["bcr_abl"].make(with_share(run, share))
    np.testing.assert_array_equal(found, again)
    other = 0.01 * MADE["bcr_abl"].make(with_share(run, share, CONFIG | {"seed": 6}))
    assert (found != other).any()


def test_what_is_below_the_limit_of_an_assay_is_negative(run: Any) -> None:
    seen = with_share(run, np.full(DAYS.size, 2e-5))
    assert not MADE["mrd_flow"].make(seen).any(), "20 events of 1e6 are no cluster"
    assert (MADE["mrd_pcr"].make(seen) > 0).mean() > 0.8, "two copies of 1e5"
    assert (MADE["mrd_flow"].make(with_share(run, np.full(DAYS.size, 1e-3))) > 0.08).all()
    assert not MADE["bcr_abl"].make(with_share(run, np.zeros(DAYS.size))).any()


def test_twenty_metaphases_miss_a_few_percent(run: Any) -> None:
    free = MADE["philadelphia_positive"].make(with_share(run, np.full(DAYS.size, 0.02))) == 0.0
    assert free.mean() == pytest.approx(0.98**20, abs=0.12)


def remission(
    run: Any, share: float, anc: float, platelets: float, day: float = 50.0, around: float = 12.0
) -> tuple[Any, Any]:
    """Return both kinds of remission of a patient with these blasts for ten days, and worse ones else.

    Counts are these ``around`` the ten days as well, and worse else.
    """
    good = (day <= DAYS) & (day > DAYS - 10.0)
    longer = (day - around <= DAYS) & (day + around > DAYS - 10.0)
    seen = with_share(run, np.where(good, share, 0.5))
    body = {
        name: read.Column(np.where(longer, value, 0.2), "1e9/L")
        for name, value in (("anc", anc), ("platelets", platelets))
    }
    seen = dataclasses.replace(seen, body=body)
    return MADE["composite_remission"].make(seen), MADE["complete_remission"].make(seen)


def test_remission_is_few_blasts_and_complete_if_counts_are_back(run: Any) -> None:
    assert remission(run, 0.04, 1.2, 120.0) == (1.0, 1.0)
    assert remission(run, 0.04, 0.8, 120.0) == (1.0, 0.0)
    assert remission(run, 0.04, 1.2, 90.0) == (1.0, 0.0)
    assert remission(run, 0.06, 1.2, 120.0) == (0.0, 0.0)


def test_counts_are_back_that_stay_so(run: Any) -> None:
    assert remission(run, 0.04, 1.2, 120.0, around=0.0) == (1.0, 0.0)


def test_remission_is_seen_at_the_end_of_a_course(run: Any) -> None:
    assert remission(run, 0.04, 1.2, 120.0, day=47.0) == (1.0, 1.0)
    assert remission(run, 0.04, 1.2, 120.0, day=57.0) == (0.0, 0.0)


def test_survival_counts_from_the_first_dose(run: Any) -> None:
    def alive(cause: np.ndarray) -> Any:
        body = {"cause_of_death": read.Column(cause, "1")}
        return MADE["months_alive"].make(dataclasses.replace(with_share(run, np.full(DAYS.size, 0.5)), body=body))

    assert alive(np.zeros(DAYS.size)) == inf
    assert alive(np.where(DAYS >= 91.0, 2.0, 0.0)) == pytest.approx(91.0 / 30.4375)


def test_bcr_abl_of_a_quarter_is_what_bursts_amount_to(run: Any) -> None:
    """One day in thirty with 3 %: the sample of a day is nothing or much, the mean of three months 0.1 %."""
    share = np.where(DAYS % 30 == 5, 0.03, 0.0)
    seen = with_share(run, share)
    day, quarter = MADE["bcr_abl"].make(seen), MADE["bcr_abl_quarter"].make(seen)
    late = DAYS > 100
    assert day[late].min() == 0.0
    np.testing.assert_allclose(quarter[late], 0.1, rtol=0.15)
    level = np.where(DAYS < 200, 0.5, 0.01)
    after = MADE["bcr_abl_quarter"].make(with_share(run, level))
    assert after[DAYS == 330] == pytest.approx(1.0, rel=0.05), "what was three months ago no longer counts"
    assert MADE["bcr_abl_quarter"].make(with_share(run, share, CONFIG | {"patient": {"disease": "aml"}})) is None
