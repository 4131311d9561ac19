"""Exhaustion of T cells, and what blocked checkpoints spare: rules of the lattice, and the T cells of the body.

A lymphocyte on the lattice holds its level of exhaustion in its word. The T cells of the body that antibodies lend
receptors to share one mean level, with which they arrive: they meet their target in the whole body.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from math import ceil

import numpy as np
from numpy.typing import NDArray

from abm.cells import HOT, Kind, Origin
from abm.errors import ConfigError
from abm.exactmath import exp
from abm.model.body.immune import Arrival
from abm.model.body.numerics import HOURS_PER_DAY, Packed
from abm.philox import philox
from abm.streams import Stream
from abm.tables import Folder, read_values

#: Highest level of exhaustion.
MOST = next((1 << f.bits) - 1 for f in HOT if f.name == "exhaustion")
_ALWAYS = 0xFFFFFFFF
_UNITS = {
    "tiring": "1/d",
    "recovery": "1/d",
    "weakness": "1",
    "brake": "1",
    "brake_fresh": "1",
    "pd1_tiring": "1",
    "targets_half": "1",
    "ctla4_priming": "1",
    "ctla4_treg": "1",
}
_SHARES = ("weakness", "brake", "brake_fresh", "pd1_tiring", "ctla4_treg")


@dataclass(frozen=True)
class ExhaustionRules:
    """``exhaustion.csv``.

    Attributes:
        tiring: rate at which an engaged effector gains a level, 1/d.
        recovery: rate at which a lymphocyte at rest loses one, 1/d.
        weakness: share of the strikes lost at the highest level; in proportion below it.
        brake: share of the other strikes that a target with a brake antigen takes away at the highest level.
        brake_fresh: likewise of an effector that is not tired; in proportion between.
        pd1_tiring: share of the tiring that PD-1 causes.
        targets_half: cells with the antigen per T cell of the body at which T cells are engaged half of their time.
        ctla4_priming: gain in priming when CTLA-4 is blocked.
        ctla4_treg: share of the suppression by regulatory T cells that is lost when CTLA-4 is blocked.
    """

    tiring: float
    recovery: float
    weakness: float
    brake: float
    brake_fresh: float
    pd1_tiring: float
    targets_half: float
    ctla4_priming: float
    ctla4_treg: float


def read_exhaustion(folder: Folder) -> ExhaustionRules:
    """Return the values of ``exhaustion.csv``."""
    path = folder / "exhaustion.csv"
    values = read_values(path, _UNITS)
    for name, value in values.items():
        most = 1.0 if name in _SHARES else float("inf")
        if not 0.0 <= value <= most or (name == "targets_half" and value == 0.0):
            limit = "> 0" if name == "targets_half" else ">= 0" + (" and <= 1" if name in _SHARES else "")
            raise ConfigError(f"expected a number {limit}, found {value:g}", file=path, key=name)
    return ExhaustionRules(**{field.name: values[field.name] for field in fields(ExhaustionRules)})


class Exhaustion(Packed):
    """How tired the T cells of the body are that hold lent receptors.

    Attributes:
        level: mean level over the highest one, 0-1.
    """

    STATE = ("level",)

    def __init__(self, rules: ExhaustionRules) -> None:
        """Start fresh."""
        self.rules = rules
        self.level = 0.0

    @property
    def strength(self) -> float:
        """How many strikes of fresh T cells those of the body still do, 0-1."""
        return 1.0 - self.rules.weakness * self.level

    def vigour(self, pd1_blocked: float) -> NDArray[np.uint32]:
        """Return the chance that an engagement strikes (x 2^-32), uint32 (8,).

        By level of exhaustion, and for each without and with a brake antigen on the target.
        """
        tired = [level / MOST for level in range(MOST + 1)]
        free, r = 1.0 - pd1_blocked, self.rules
        brakes = [r.brake_fresh * (1.0 - x) + r.brake * x for x in tired]
        chances = [
            (1.0 - r.weakness * x) * (1.0 - brake * braked * free)
            for x, brake in zip(tired, brakes, strict=True)
            for braked in (0.0, 1.0)
        ]
        return _thresholds(chances)

    def tiring(self, pd1_blocked: float, step_h: float) -> NDArray[np.uint32]:
        """Return the chance to tire while engaged and to recover at rest in a step (x 2^-32), uint32 (2,)."""
        days = step_h / HOURS_PER_DAY
        rates = self._tiring(pd1_blocked), self.rules.recovery
        return _thresholds([min(rate * days, 1.0) for rate in rates])

    def tiring_left(self, pd1_blocked: float) -> float:
        """Return what a blocked PD-1 leaves of the rate at which engaged T cells tire, 0-1."""
        return 1.0 - self.rules.pd1_tiring * pd1_blocked

    def _tiring(self, pd1_blocked: float) -> float:
        return self.rules.tiring * self.tiring_left(pd1_blocked)

    def engaged(self, held: float, targets: float) -> float:
        """Return the share of their time that T cells are engaged.

        Args:
            held: share of them that hold a lent receptor.
            targets: cells that show its antigen, per T cell.
        """
        return held * targets / (targets + self.rules.targets_half)

    def advance(self, engaged: float, pd1_blocked: float, step_h: float) -> None:
        """Advance by ``step_h`` hours with this share of the time engaged."""
        up, down = engaged * self._tiring(pd1_blocked), (1.0 - engaged) * self.rules.recovery
        if up + down == 0.0 or (up == 0.0 and self.level == 0.0):
            return
        goal = up / (up + down)
        kept = exp(-(up + down) / MOST * step_h / HOURS_PER_DAY)
        self.level = goal + (self.level - goal) * kept

    def of_arrivals(
        self, arrivals: Sequence[Arrival], tired: Collection[Kind], seed: int, turn: int
    ) -> NDArray[np.uint32]:
        """Return the level of every lymphocyte that enters the marrow now, in their order; only kinds ``tired`` are.

        Engineered T cells have an account of their own, whose exhausted cells do not come.
        """
        cells = [n for *_, n in arrivals]
        able = [kind in tired and origin is not Origin.PRODUCT for kind, origin, *_ in arrivals]
        if self.level == 0.0 or not any(able):
            return np.zeros(sum(cells), np.uint32)
        may = np.repeat(able, cells)
        draws = philox(seed, np.arange(may.size, dtype=np.int64), turn, Stream.EXHAUST * 256 + 1)
        threshold = _thresholds([self.level])[0]
        levels = np.zeros(may.size, np.uint32)
        for draw in draws[:MOST]:
            levels += (draw < threshold).astype(np.uint32)
        return np.where(may, levels, np.uint32(0))


def _thresholds(chances: Sequence[float]) -> NDArray[np.uint32]:
    """Return chances as thresholds (x 2^-32); 1 is never missed."""
    return np.array([min(ceil(chance * 4294967296.0), _ALWAYS) for chance in chances], np.uint32)
