"""Who is simulated: patients are added look by look, most urgent rows first, while a budget of processor time lasts.

What a patient takes is estimated beforehand, from its steps and sites (``Case.work_s``). No clock decides who is
simulated: two machines simulate the same patients and find the same.

A cohort begins with ``FIRST`` patients, with ``FIRST_OF_RANKS`` where a row needs so many to have an interval at all,
and grows by ``LEAST_GROWTH`` to ``GROWTH`` from look to look, while a row that needs it is open. A row is settled as
soon as its 95 % interval lies inside its band as a whole, or outside as a whole: one as well as the other, so that
stopping early favours neither. The looks are few: each is one more chance to be settled by luck.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, floor, inf, isinf, sqrt
from typing import NamedTuple

from abm.validation import statistics as stats
from abm.validation.score import NOT_MODELLED, Row
from abm.validation.targets import Target

FIRST, FIRST_OF_RANKS, GROWTH, LEAST_GROWTH = 3, stats.FEWEST_FOR_BOOTSTRAP, 2, 1.25
#: Processor minutes of ``--quick``, by estimate: ten minutes on 2 cores with a fifth in reserve.
QUICK_MIN = 16.0
_STRONGEST = 3
#: After first looks by weight and undecided rows by weight: verdicts that may still change, and rows out of reach.
_UNSETTLED, _OUT_OF_REACH = 2 * _STRONGEST, 2 * _STRONGEST + 1


_CROWD = 10_000  #: patients beyond which nobody asks how many it takes


class Wish(NamedTuple):
    """What a row asks for; wishes sort by urgency.

    Attributes:
        tier: 0 to 2 first looks at rows of weight 3 to 1, 3 to 5 growth for undecided ones, then what is less urgent.
        rank: order within the tier by weight.
        price_s: processor time, divided by the rows that share it.
        name: of the target, so that the order is strict.
        sizes: patients wanted of each cohort.
    """

    tier: int
    rank: int
    price_s: float
    name: str
    sizes: dict[str, int]


@dataclass(frozen=True)
class Plan:
    """How a budget is shared out.

    Attributes:
        most: patients of each protocol when it is complete; 0 if it cannot be run.
        work_s: processor time of one patient of each protocol, about.
        budget_s: processor time for all of them.
    """

    most: Mapping[str, int]
    work_s: Mapping[str, float]
    budget_s: float = inf

    def spent_s(self, sizes: Mapping[str, int]) -> float:
        """Return the processor time that cohorts of these sizes take, about."""
        return sum(self.work_s[name] * n for name, n in sizes.items() if n)

    def grown(self, rows: Sequence[Row], now: Mapping[str, int]) -> dict[str, int]:
        """Return the sizes of the next look; the same at the end."""
        wishes = sorted(self._wishes(rows, now))
        limited = not isinf(self.budget_s)  # else all wishes are granted, and fewer looks do
        for _, members in groupby(wishes, key=lambda wish: wish.tier if limited else 0):
            following = dict(now)
            for wish in members:
                larger = following | {name: max(following[name], n) for name, n in wish.sizes.items()}
                if self.spent_s(larger) <= self.budget_s:
                    following = larger
            if following != now:
                return following
        return dict(now)

    def _wishes(self, rows: Sequence[Row], now: Mapping[str, int]) -> Iterator[Wish]:
        wanted = [(row, self._sizes(row, now)) for row in rows if is_open(row)]
        wanted = [(row, sizes) for row, sizes in wanted if any(n > now[name] for name, n in sizes.items())]
        for row, sizes in wanted:
            tier, weight = self._tier(row, now), row.target.weight
            sharing = sum(set(other) <= set(sizes) and alike.target.weight == weight for alike, other in wanted)
            price = self.spent_s(sizes) - self.spent_s({name: now[name] for name in sizes})
            yield Wish(tier, -weight, price / sharing, row.target.name, sizes)

    def _sizes(self, row: Row, now: Mapping[str, int]) -> dict[str, int]:
        """Return how many patients of its cohorts a row wants at the next look."""
        names = set(row.target.cohorts)
        if any(now[name] == 0 for name in names):
            first = FIRST if row.target.statistic == "mean" and not row.target.contrast else FIRST_OF_RANKS
            return {name: max(now[name], min(first, self.most[name])) for name in names}
        factor, n = float(GROWTH), row.estimate.n
        if row.result == "undecided" and self._needed(row) > n > 0:
            factor = min(factor, max(LEAST_GROWTH, self._needed(row) / n))
        return {name: min(self.most[name], ceil(factor * now[name])) for name in names}

    def _tier(self, row: Row, now: Mapping[str, int]) -> int:
        if row.result != "undecided":
            return _UNSETTLED
        looked_at = all(now[name] for name in row.target.cohorts)
        if isinf(self._needed(row)):  # but not where the first patients give no value: the next ones may
            return _OUT_OF_REACH
        return _STRONGEST - row.target.weight + _STRONGEST * looked_at

    def _most(self, target: Target) -> int:
        """Return how many patients the interval of a row can be made of."""
        own = sum(self.most[name] for name in target.protocol)
        return min(own, self.most[target.reference]) if target.reference else own

    def _needed(self, row: Row) -> float:
        """Return how many patients make the interval of a row as narrow as its band, about."""
        band, target = row.target.band, row.target
        assert band is not None  # such a row is not open
        if target.statistic == "share":
            return fewest_for_share(band, row.estimate, self._most(target))
        ci, n = row.estimate.ci, row.estimate.n
        if ci is None or n < FIRST_OF_RANKS:
            return 0.0  # cannot be told yet
        return fewest_for_width((band[1] - band[0]) / (ci[1] - ci[0]), n, self._most(target))


def fewest_for_share(band: tuple[float, float], estimate: stats.Estimate, most: int) -> float:
    """Return how many patients give a share as narrow an interval as the band, infinite if more than ``most``.

    While nobody has been simulated, the share is taken to be that end of the band that is seen most sharply.
    """
    low, high = (end / 100.0 for end in band)
    for n in range(max(1, estimate.n), most + 1):
        inside = [hits for hits in (ceil(n * low), floor(n * high)) if n * low <= hits <= n * high]
        likely = [round(n * estimate.value / 100.0)] if estimate.n else inside
        if any(_width(hits, n) <= band[1] - band[0] for hits in likely):
            return n
    return inf


def _width(hits: int, n: int) -> float:
    ci = stats.share(hits, n).ci
    assert ci is not None  # n is not 0
    return ci[1] - ci[0]


def fewest_for_width(factor: float, n: int, most: int) -> float:
    """Return how many patients change the width of Student's interval of n by ``factor``; infinite beyond ``most``."""
    wanted = factor * _student(n)
    return next((float(m) for m in range(n, most + 1) if _student(m) <= wanted), inf)


def _student(n: int) -> float:
    return stats.t_quantile(n - 1) / sqrt(n)


def would_do(row: Row) -> int | None:
    """Return how many patients would make the interval of an undecided row as narrow as its band, about.

    ``None`` where that cannot be told: too few patients have been simulated, or it takes more than ``_CROWD``.
    """
    (_, ci, n), band = row.estimate, row.target.band
    if row.result != "undecided" or band is None or ci is None or isinf(ci[1] - ci[0]):
        return None
    if row.target.statistic == "share":
        found = fewest_for_share(band, row.estimate, _CROWD)
    else:
        ratio = (ci[1] - ci[0]) / (band[1] - band[0]) if band[1] > band[0] else inf
        found = n * (ratio * stats.Z95 / stats.t_quantile(n - 1)) ** 2  # of many patients, whose quantile is Z95
    return ceil(max(found, n + 1)) if found <= _CROWD else None


def is_open(row: Row) -> bool:
    """Whether more patients could settle a row."""
    band = row.target.band
    return row.result != NOT_MODELLED and band is not None and not stats.is_settled(row.estimate, band)
