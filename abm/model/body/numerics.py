"""Exact updates of pools and delay chains, sums in written order, and packing of state.

Everything is + - * / on float64 and ``abm.exactmath``, so the same bits come out on every machine. (``sum`` and
``np.sum`` do not: Python 3.12 compensates, NumPy adds in an order of its own.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import lru_cache, reduce
from math import sqrt
from operator import add
from typing import ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from abm.exactmath import exp

Floats = NDArray[np.float64]

#: A number, or one for each of many patients.
Number = TypeVar("Number", float, Floats)

HOURS_PER_DAY = 24.0


def total(values: Iterable[float] | Floats) -> float:
    """Return the sum of ``values`` (an array of any shape, or numbers), added from first to last."""
    return float(reduce(add, values.ravel().tolist() if isinstance(values, np.ndarray) else values, 0.0))


def some(values: Floats) -> bool:
    """Return whether any of a few numbers is not zero: by Python, since NumPy takes three times as long."""
    return any(values.ravel().tolist())


def runge_kutta(
    slope: Callable[[list[Number]], list[Number]], state: list[Number], days: Number | float
) -> list[Number]:
    """Return ``state`` after one step of the classical method; plain floats: arrays this short cost more.

    An array for each number of the state follows many patients at once.
    """
    k1 = slope(state)
    k2 = slope(along(state, k1, days / 2.0))
    k3 = slope(along(state, k2, days / 2.0))
    k4 = slope(along(state, k3, days))
    mean = [a + 2.0 * b + 2.0 * c + d for a, b, c, d in zip(k1, k2, k3, k4, strict=True)]
    return along(state, mean, days / 6.0)


def along(state: list[Number], slope: list[Number], days: Number | float) -> list[Number]:
    """Return ``state`` after ``days`` along ``slope``."""
    return [x + dx * days for x, dx in zip(state, slope, strict=True)]


def pair(state: list[float], rates: tuple[float, float, float, float], days: float) -> list[float]:
    """Return two numbers that turn into each other after ``days``, exactly: no step is too long.

    Args:
        state: both of them.
        rates: a, b, c, d of x' = a x + b y and y' = c x + d y, 1/d, with b, c >= 0.
        days: length of the step.
    """
    a, b, c, d = rates
    apart = sqrt((a - d) * (a - d) + 4.0 * b * c)  # between the two eigenvalues
    slow = (a + d + apart) / 2.0
    turned, end, (x, y) = days * mean_survival(apart * days), exp(slow * days), state
    return [end * (x + turned * ((a - slow) * x + b * y)), end * (y + turned * (c * x + (d - slow) * y))]


def mean_survival(exponent: float) -> float:
    """Return the mean of exp(-x) over 0 <= x <= ``exponent``: (1 - exp(-exponent)) / exponent."""
    if exponent < 1e-5:
        return 1.0 - exponent / 2.0 + exponent * exponent / 6.0
    return (1.0 - exp(-exponent)) / exponent


@lru_cache(maxsize=256)
def _kept(exponent: float) -> tuple[float, float]:
    """Return the end and the mean of exp(-x) over 0 <= x <= ``exponent``."""
    return exp(-exponent), mean_survival(exponent)


def turnover(pool: Floats, inflow: Floats | float, exponent: float) -> tuple[Floats, Floats]:
    """Advance a pool with linear loss and a constant inflow, exactly.

    Args:
        pool: cells, any shape.
        inflow: cells that enter during the step.
        exponent: loss rate times the length of the step.

    Returns:
        The pool after the step, and the cells that left during it. Nothing is lost in between.
    """
    keep, stay = _kept(exponent)
    return pool * keep + inflow * stay, pool * (1.0 - keep) + inflow * (1.0 - stay)


def renewed(pools: Floats, inflow: Floats, exponents: tuple[float, ...]) -> Floats:
    """Return pools after :func:`turnover`, each row with its own exponent, where nobody asks who left."""
    keep, stay = _all_kept(exponents)
    return np.asarray(pools * keep + inflow * stay)


@lru_cache(maxsize=64)
def _all_kept(exponents: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return columns of ends and means of exp(-x)."""
    keep, stay = np.array([_kept(exponent) for exponent in exponents]).T[..., np.newaxis]
    return keep, stay


def chain(stages: Floats, inflow: Floats, exponent: float) -> Floats:
    """Advance a chain of compartments in place; return what leaves the last one.

    Each compartment is solved exactly with the inflow spread evenly over the step.

    Args:
        stages: cells, shape (number of compartments, columns).
        inflow: cells that enter the first compartment during the step, shape (columns,).
        exponent: transfer rate of one compartment times the length of the step.
    """
    keep, stay = _kept(exponent)
    left, passed = 1.0 - keep, 1.0 - stay
    # numbers of Python: for so few, NumPy takes three times as long
    leaving = inflow.tolist()
    for j, column in enumerate(stages.T.tolist()):
        entering = leaving[j]
        if entering == 0.0 and not any(column):
            continue  # as most: an origin of which there is no cell
        after = []
        for cells in column:
            after.append(cells * keep + entering * stay)
            entering = cells * left + entering * passed
        stages[:, j] = after
        leaving[j] = entering
    return np.array(leaving)


def spread(cells: float, n_stages: int, column: int, n_columns: int) -> Floats:
    """Return ``cells`` spread evenly over the stages of one column, shape (n_stages, n_columns)."""
    stages = np.zeros((n_stages, n_columns))
    stages[:, column] = cells / n_stages
    return stages


def column_totals(stages: Floats) -> Floats:
    """Return the sum over the compartments of every column, shape (columns,)."""
    result = np.zeros(stages.shape[1])
    for row in stages:
        result = result + row
    return result


class Packed:
    """Base of the parts of the body: ``STATE`` names the attributes that change in time."""

    STATE: ClassVar[Sequence[str]] = ()

    def pack(self) -> dict[str, Floats]:
        """Return copies of all state by name; numbers become arrays without dimensions."""
        return {name: np.array(getattr(self, name), dtype=np.float64) for name in self.STATE}

    def unpack(self, arrays: Mapping[str, Floats]) -> None:
        """Take over the state that :meth:`pack` returned."""
        for name in self.STATE:
            old, new = getattr(self, name), np.asarray(arrays[name], dtype=np.float64)
            if np.shape(old) != new.shape:
                msg = f"{name} has shape {new.shape}, expected {np.shape(old)}"
                raise ValueError(msg)
            setattr(self, name, new.copy() if new.ndim else float(new))

    def part(self, shares: Mapping[str, Floats]) -> Self:
        """Return these shares of what some of the state holds, as something that follows the same rules."""
        some = copy(self)
        for name, share in shares.items():
            setattr(some, name, getattr(self, name) * share)
        return some
