"""Sub-lethal damage by hits of lymphocytes: how fast it comes and goes, as the kernel of a step needs it."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from abm.cells import COLD
from abm.errors import ConfigError
from abm.exactmath import exp, log
from abm.tables import Folder, read_values

#: Highest level of damage.
MOST = next((1 << f.bits) - 1 for f in COLD if f.name == "damage")
_UNITS = {"hits": "1/h", "half_life": "h"}
_HIGHEST = {"hits": 1e6, "half_life": 1e9}  #: beyond, float32 and whole levels no longer tell numbers apart


@dataclass(frozen=True)
class DamageRules:
    """``damage.csv``. What damage does to the hazard of a further hit stands in ``responses.csv``.

    Attributes:
        hits: levels of damage that an engaged effector of kill strength 1 adds to its target, 1/h; 0: none is kept.
        half_life: time in which half of the levels are repaired, each for itself, h.
    """

    hits: float
    half_life: float

    def tables(self, step_h: float) -> dict[str, NDArray[np.generic]]:
        """Return what repair and hits do in a step of so many hours, by kernel argument.

        Levels d follow dd/dt = hits * H - r d under strikes of strength H, r = ln 2 / half_life. Over a step a level
        stays with the chance q = exp(-r step), and strikes that come evenly leave hits * H * (1 - q) / r. Fate sees the
        levels at the start of a step: steady strikes are met with hits * H / r of them, however long the step is.
        """
        rate = log(2.0) / self.half_life
        left = exp(-rate * step_h)
        wounding = np.array([self.hits * (1.0 - left) / rate], np.float32)
        return {"kept": _at_most(left), "wounding": wounding}


def _at_most(left: float) -> NDArray[np.uint32]:
    """Return the chance that of d levels at most k are left, x 2^-32, at 8 d + k, each left with this chance."""
    size = MOST + 1
    found = np.full(size * size, 0xFFFFFFFF, np.uint32)
    for d in range(size):
        total, weight = 0.0, [comb(d, k) * _power(left, k) * _power(1.0 - left, d - k) for k in range(d + 1)]
        for k in range(d):
            total += weight[k]
            found[size * d + k] = min(int(total * 4294967296.0), 0xFFFFFFFF)
    return found


def _power(base: float, n: int) -> float:
    value = 1.0
    for _ in range(n):
        value *= base
    return value


def read_damage(folder: Folder) -> DamageRules:
    """Return the values of ``damage.csv``."""
    path = folder / "damage.csv"
    values = read_values(path, _UNITS)
    for name, value in values.items():
        if value < 0.0 or (name == "half_life" and value == 0.0):
            limit = "> 0" if name == "half_life" else ">= 0"
            raise ConfigError(f"expected a number {limit}, found {value:g}", file=path, key=name)
        if value > _HIGHEST[name]:
            raise ConfigError(f"expected at most {_HIGHEST[name]:g}, found {value:g}", file=path, key=name)
    return DamageRules(**values)
