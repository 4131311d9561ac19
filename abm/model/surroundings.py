"""What the place of a cell does to its rates, on average over a marrow: distance to a sinusoid, niches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_KINDS, TISSUE_MASK, Behaviour, Kind, Signal, Tissue
from abm.model import tissue
from abm.model.rules import Rules

Floats = NDArray[np.float64]
#: Sites along each edge of the tissue that distances to a sinusoid are taken from, and its seed.
SAMPLE, SAMPLE_SEED = 32, 1


class LocalAnswers(NamedTuple):
    """Mean answers of EGRESS.

    Attributes:
        by_distance: to the distance from a sinusoid, by kind, shape (64,).
        at_niche: of stem cells in a niche.
        beside: of stem cells beside a niche.
    """

    by_distance: Floats
    at_niche: float
    beside: float

    @classmethod
    def of(cls, rules: Rules, values: Mapping[str, float]) -> LocalAnswers:
        """Take them from the rules and a sample of tissue, made of the values of ``tissue.csv``."""
        near, by_distance = _distances(tuple(values.items())), np.ones(N_KINDS)
        for kind in rules.kinds:
            for signal, answer in _answers(rules, kind):
                if signal is Signal.SINUSOID_DISTANCE and near.size:
                    by_distance[kind] = float(answer(near).mean())
        return cls(by_distance, *stem_answers(rules))


def stem_answers(rules: Rules) -> tuple[float, float]:
    """Return the mean answer of EGRESS of stem cells in a niche, and that of those beside one."""
    beside = at_niche = 1.0
    for signal, answer in _answers(rules, Kind.HSC):
        if signal is Signal.NICHE:
            at_niche *= float(answer(np.ones(1))[0])
        elif signal is Signal.CXCL12:  # relative to its mean
            beside *= float(answer(np.ones(1))[0])
    return at_niche * beside, beside


def _answers(rules: Rules, kind: Kind) -> Iterator[tuple[Signal, Callable[[Floats], Floats]]]:
    """Yield the local signals to which EGRESS of a kind in cycle answers, and how."""
    tables, start = rules.tables, rules.tables["rule_start"]
    for i in range(int(start[kind * 2 + 1]), int(start[kind * 2 + 2])):
        if tables["rule_behaviour"][i] == Behaviour.EGRESS:
            terms = (float(tables["rule_gain"][i]), float(tables["rule_half"][i]), int(tables["rule_power"][i]))
            yield Signal(int(tables["rule_signal"][i])), partial(_answer, terms)


def _answer(terms: tuple[float, float, int], signal: Floats) -> Floats:
    gain, half, power = terms
    return 1.0 + gain * signal**power / (half + signal**power)


@lru_cache(maxsize=16)
def _distances(values: tuple[tuple[str, float], ...]) -> Floats:
    """Return the distance of marrow sites from a sinusoid, in sites, in a sample of this tissue."""
    planes = tissue.generate((SAMPLE,) * 3, range(SAMPLE), SAMPLE_SEED, dict(values))
    found: Floats = planes.distance[(planes.label & TISSUE_MASK) == Tissue.MARROW].astype(np.float64)
    return found
