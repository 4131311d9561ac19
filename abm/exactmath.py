"""exp, log and pow made of + - * / alone.

The C library's versions differ between machines in the last bit; these give the same bits on every
IEEE-754 machine, so that scalars of the body never change a trajectory. Relative error < 1e-14.
"""

from __future__ import annotations

from functools import lru_cache
from math import frexp, ldexp

_LN2_HIGH = 0.693147180369123816490
_LN2_LOW = 1.90821492927058770002e-10
LN2 = 0.6931471805599453
_ONE_TO_17 = tuple(float(n) for n in range(1, 18))
_ODD_TO_39 = tuple(float(n) for n in range(1, 40, 2))


@lru_cache(maxsize=1024)  # most exponents are a rate times the step
def exp(x: float) -> float:
    """Return e**x. Overflows to ValueError above 700; below -700 returns 0."""
    if x > 700.0:
        msg = f"exp({x}) overflows"
        raise ValueError(msg)
    if x < -700.0:
        return 0.0
    k = int(x / LN2 + (0.5 if x >= 0 else -0.5))
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    total, term = 1.0, 1.0
    for n in _ONE_TO_17:
        term = term * r / n
        before, total = total, total + term
        if total == before:
            break  # each term is less than a fifth of the one before: what is left is lost in rounding too
    return ldexp(total, k)


def log(x: float) -> float:
    """Return the natural logarithm of x > 0."""
    if not x > 0.0:
        msg = f"log({x}) is not defined"
        raise ValueError(msg)
    m, e = frexp(x)
    if m < 0.7071067811865476:
        m, e = m * 2.0, e - 1
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    total, term = 0.0, s
    for n in _ODD_TO_39:
        before, total = total, total + term / n
        if total == before:
            break  # the terms fall and have one sign: what is left is lost in rounding too
        term = term * z
    return e * _LN2_LOW + (2.0 * total + e * _LN2_HIGH)


def power(x: float, p: float) -> float:
    """Return x**p for x >= 0."""
    if x == 0.0:
        return 1.0 if p == 0.0 else 0.0
    return exp(p * log(x))


def decay(rate: float, dt: float) -> float:
    """Return the surviving fraction exp(-rate * dt)."""
    return exp(-rate * dt)
