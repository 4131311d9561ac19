"""How many patients of a cohort are simulated: more of them only while a row that needs them is open.

Rows are looked at after ``FIRST`` patients of each cohort, and again whenever the cohorts of the open rows have grown
by the factor ``GROWTH``, until a protocol's own number is reached. A row is settled as soon as its 95 % interval lies
inside its band as a whole, or outside as a whole: one as well as the other, so that stopping early favours neither.
The looks are the same for all rows, and they are few: each is one more chance to be settled by luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from abm.validation import statistics as stats
from abm.validation.score import NOT_MODELLED, Row

FIRST, GROWTH = 3, 2


def first(most: Mapping[str, int]) -> dict[str, int]:
    """Return how many patients of each cohort the first look takes; ``most``: those of its protocol."""
    return {name: min(FIRST, number) for name, number in most.items()}


def grown(rows: Sequence[Row], now: Mapping[str, int], most: Mapping[str, int]) -> dict[str, int]:
    """Return the sizes of the next look: cohorts that an open row needs grow; none does at the end."""
    needed = {name for row in rows if is_open(row) for name in row.target.cohorts}
    return {name: min(GROWTH * n, most[name]) if name in needed else n for name, n in now.items()}


def is_open(row: Row) -> bool:
    """Whether more patients could settle a row."""
    band = row.target.band
    return row.result != NOT_MODELLED and band is not None and not stats.is_settled(row.estimate, band)
