"""From the results of all patients to one verdict per target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isinf, nan
from types import MappingProxyType
from typing import Any

import numpy as np

from abm.validation import statistics as stats
from abm.validation.cases import parameter_of
from abm.validation.patient import Result
from abm.validation.protocols import Protocol
from abm.validation.targets import Target, registry

NOT_MODELLED = "not modelled"
IN_BAND = "pass"


@dataclass(frozen=True)
class Row:
    """One target with what was observed.

    Attributes:
        target: what was asked.
        result: one of ``statistics.RESULTS``.
        reason: why it is not modelled, or nothing.
        estimate: the statistic with its interval.
        values: what every patient contributed.
        cpu_s: processor time of the patients it needed; they may serve other targets too.
        wall_s: the time that passed in them, longer where others use the processors.
        would_do: how many patients would decide an undecided row, about.
    """

    target: Target
    result: str
    reason: str
    estimate: stats.Estimate
    values: tuple[float, ...] = ()
    cpu_s: float = 0.0
    wall_s: float = 0.0
    would_do: int | None = None


def value_of(result: Result, target: Target, *, reference: bool = False) -> float:
    """Return what one patient contributes; infinite if an event never happened, not a number if there is nothing."""
    entry = registry()[(target.against if reference else "") or target.observable]
    if not entry.curve:
        value = result["values"].get(entry.name)
        return nan if value is None else inf if value == "never" else float(value)
    curve = result["curves"].get(entry.name)
    if curve is None:
        return nan
    first, last = target.days or (target.day, target.day)
    if first is None or last is None:
        return nan
    low, high = int(np.floor(first)) - result["first_day"], int(np.floor(last)) - result["first_day"]
    if low < 0 or high >= len(curve):
        return nan  # the run does not cover these days
    days = [value for value in curve[low : high + 1] if value is not None]
    return float(np.mean(days)) if days else nan


def score(
    target: Target, results: Mapping[str, Sequence[Result]], absent: Mapping[str, str] = MappingProxyType({})
) -> Row:
    """Return the verdict on one target.

    Args:
        target: the target.
        results: finished patients by protocol.
        absent: why a protocol cannot be run the way that is asked for, by its name.
    """
    reason = target.not_modelled or next((absent[name] for name in target.cohorts if absent.get(name)), "")
    if reason or target.band is None:
        return Row(target, NOT_MODELLED, reason, stats.NOTHING)
    mine = [result for name in target.protocol for result in results.get(name, ())]
    other = list(results.get(target.reference, ()))
    values = np.array([value_of(result, target) for result in mine], dtype=np.float64)
    estimate = _estimate(target, values, mine, other)
    simulated = [result for name in set(target.cohorts) for result in results.get(name, ())]
    cpu_s, wall_s = (sum(float(result[key]) for result in simulated) for key in ("cpu_s", "wall_s"))
    return Row(target, stats.verdict(estimate, target.band), "", estimate, tuple(values.tolist()), cpu_s, wall_s)


def _estimate(target: Target, values: stats.Floats, mine: Sequence[Result], other: Sequence[Result]) -> stats.Estimate:
    if target.contrast:
        others = np.array([value_of(result, target, reference=True) for result in other], dtype=np.float64)
        # groups within one cohort are different persons, even where each has a value for both
        paired = target.reference not in target.protocol and _persons(mine) == _persons(other)
        found = stats.contrast(
            values, others, of=target.statistic, ratio=target.contrast != "difference", paired=paired
        )
        return stats.reduction(found) if target.contrast == "reduction" else found
    if target.statistic == "share":
        known = ~np.isnan(values)
        effective = stats.independent(
            [person for person, is_known in zip(_persons(mine), known, strict=True) if is_known]
        )
        return stats.share(int(is_hit(values[known], target).sum()), int(known.sum()), effective)
    if target.statistic == "correlation":
        return stats.correlation(np.array([parameter_of(result, target.correlate) for result in mine]), values)
    if target.statistic == "mean":
        return (stats.mean_chance if registry()[target.observable].chance else stats.mean)(values)
    return stats.median(values)


def _persons(results: Sequence[Result]) -> list[int]:
    """Return who was simulated: a seed is the same person in every protocol."""
    return [int(result["seed"]) for result in results]


def is_hit(values: stats.Floats, target: Target) -> Any:  # noqa: ANN401 - an array of truth values
    """Return which values count for a share: those inside ``at_least`` and ``at_most``; of yes-or-no ones the yes."""
    low = -inf if target.at_least is None else target.at_least
    high = inf if target.at_most is None else target.at_most
    if isinf(low) and isinf(high):
        low = 0.5
    return (values >= low) & (values <= high)


def totals(rows: Sequence[Row]) -> dict[str, int]:
    """Return how many rows there are, how many lie in their band, and the same for weight 3."""
    strong = [row for row in rows if row.target.weight == 3]
    return {
        "rows": len(rows),
        "in_band": sum(row.result == IN_BAND for row in rows),
        "weight_3_rows": len(strong),
        "weight_3_in_band": sum(row.result == IN_BAND for row in strong),
    }


def too_large(targets: Sequence[Target], protocols: Mapping[str, Protocol]) -> list[Target]:
    """Return the targets that --quick leaves out: a cohort of theirs cannot be made small."""
    large = {name for name, protocol in protocols.items() if not protocol.quick_seeds}
    return [target for target in targets if not target.not_modelled and large.intersection(target.cohorts)]


def needed(targets: Sequence[Target], protocols: Mapping[str, Protocol]) -> list[str]:
    """Return the protocols that the targets need, in the order of the file."""
    wanted = {name for target in targets if not target.not_modelled for name in target.cohorts}
    return [name for name in protocols if name in wanted]
