"""Leukaemia that is less than an agent: its stem cells in the whole marrow, in numbers.

A patch is a sample: what is left of a leukaemia after conditioning is less than one of its agents, and yet some of its
stem cells may be left in the patient. While the patch holds enough agents that are leukaemic stem cells it leads, and
nothing is done here. Below that the stem cells are a branching process under the rates of the tables: they wake, divide
where there is room, renew themselves, die, by drugs and by donor T cells as well. Whether any of their lineages is left
has a closed form (Kendall, Ann Math Stat 1948), so that the risk needs no cohort; whether one is left in this patient
is decided by one draw for the whole course. Once they are an agent again they come to the patch by the blood.

Donor T cells kill them, those that see all tissue and those that see blood cells alone, which stay as memory
(:mod:`abm.model.body.restricted`): few of them suffice, but many do not kill much faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from abm import endpoints as ends
from abm.cells import Cycle, Kind
from abm.errors import ConfigError
from abm.exactmath import exp, log
from abm.model.body.numerics import HOURS_PER_DAY, Packed, mean_survival, pair, total
from abm.model.body.organs import GVH
from abm.model.body.parameters import in_unit
from abm.philox import philox_scalar
from abm.streams import Stream
from abm.tables import Folder, read_values

if TYPE_CHECKING:
    from abm.model.body import Body

RESIDUE_TABLE = "residue.csv"
#: Who leads: the patch from the start; the numbers; the patch again, while the numbers go on for the risk alone.
OVERT, RESIDUAL, RELAPSED = 0.0, 1.0, 2.0
#: Stem-cell agents below which the numbers lead, and from which the patch leads again.
TOO_FEW, ENOUGH = 4, 8
_MANY = 50.0  #: lineages whose number needs no draw
_NONE = 1e-9  #: lineages that are none
_TWO32 = 4294967296.0


@dataclass(frozen=True)
class ResidueRules:
    """Stem cells in life, their kill by donor T cells, and the memory of these."""

    lsc_frequency: float = in_unit("1")
    lsc_kill: float = in_unit("1/d")
    lsc_kill_half: float = in_unit("cells")
    memory_share: float = in_unit("1")
    memory_loss: float = in_unit("1/d")


_NOT_ZERO = ("lsc_frequency", "lsc_kill_half")
UNITS: Mapping[str, str] = {f.name: f.metadata["unit"] for f in fields(ResidueRules)}


def read_residue(folder: Folder) -> ResidueRules | None:
    """Return the values of ``residue.csv``; ``None`` of a species that has none."""
    path = folder / RESIDUE_TABLE
    if isinstance(path, Path) and not path.exists():
        return None
    values = read_values(path, UNITS)
    for name, value in values.items():
        low_end = ">= 0" if name not in _NOT_ZERO else "> 0"
        if value < 0.0 or (value == 0.0 and name in _NOT_ZERO):
            raise ConfigError(f"expected a number {low_end}, found {value:g}", file=path, key=name)
        if UNITS[name] == "1" and value > 1.0:
            raise ConfigError(f"expected a share up to 1, found {value:g}", file=path, key=name)
    return ResidueRules(**values)


@dataclass(frozen=True)
class StemCells:
    """Leukaemic stem cells of a patient.

    Attributes:
        wake: rate at which resting ones enter the cycle, 1/d.
        divide: division rate in cycle where there is room, 1/d.
        renew: probability that a daughter is a stem cell.
        die: rate of loss, 1/d.
        resting: resting share.
        open_share: share of divisions that find room in a full marrow.
        per_agent: stem cells for which an agent stands that is one.
        full: in a marrow of leukaemia alone.
        start: at the start.
    """

    wake: float
    divide: float
    renew: float
    die: float
    resting: float
    open_share: float
    per_agent: float
    full: float
    start: float


class Residue(Packed):
    """Residual leukaemia of one patient.

    Attributes:
        phase: OVERT, RESIDUAL or RELAPSED.
        seen: stem-cell agents of the patch.
        cells: stem cells when the numbers took over.
        log_growth: logarithm of what has become of each, on average, since.
        losses: integral of their loss rate over their growth: 1 / (1 + losses) of the lineages are left.
        resting: resting share.
        luck: number that decides what is left, 0-1.
    """

    STATE = ("phase", "seen", "cells", "log_growth", "losses", "resting")

    def __init__(self, stem: StemCells, seed: int, draw: int = 0) -> None:
        """Start with what the patient has; ``seed`` is that of the run, ``draw`` the number that decides."""
        self.stem = stem
        self.luck = philox_scalar(seed, 0, 0, Stream.RESIDUE * 256 + draw)[0] / _TWO32
        self.seen = stem.start / stem.per_agent
        self.phase = OVERT if self.seen >= TOO_FEW else RESIDUAL
        self.cells, self.log_growth, self.losses = stem.start, 0.0, 0.0
        self.resting = stem.resting

    # ------------------------------------------------------------------------------------------------- in time

    def lead(self, agents: int) -> None:
        """Settle who leads, now that the patch holds so many stem-cell agents."""
        if self.phase != RESIDUAL and agents < TOO_FEW:
            self.phase, self.cells = RESIDUAL, self.seen * self.stem.per_agent
            self.log_growth, self.losses, self.resting = 0.0, 0.0, self.stem.resting
        elif self.phase == RESIDUAL and agents >= ENOUGH:
            self.phase = RELAPSED
        self.seen = float(agents)

    def advance(self, killed: tuple[float, float], cellularity: float, days: float) -> None:
        """Let the stem cells live for some days.

        Args:
            killed: -ln(survival) of resting and cycling ones by drugs, radiation and T cells.
            cellularity: cells of the marrow relative to homeostasis.
            days: length of the step.
        """
        if self.phase == OVERT or self.cells == 0.0:
            return
        state = [self.resting, 1.0 - self.resting]
        after = [share * exp(-loss) for share, loss in zip(state, killed, strict=True)]
        before = after[0] + after[1]
        if before <= 0.0:
            self.cells = 0.0
            return
        self._pass(log(before), deaths=None)
        shares = [x / before for x in after]
        stem, divide = self.stem, self.stem.divide * self._room(cellularity)
        rates = (-(stem.wake + stem.die), 2.0 * stem.renew * divide, stem.wake, -(divide + stem.die))
        grown = pair(shares, rates, days)
        growth = grown[0] + grown[1]
        cycling = (shares[1] + grown[1] / growth) / 2.0
        lost = 1.0 - stem.renew
        self._pass(log(growth), deaths=(divide * cycling * lost * lost + stem.die) * days)
        self.resting = grown[0] / growth
        if self.lineages_left < _NONE:
            self.cells = 0.0

    def _pass(self, growth: float, deaths: float | None) -> None:
        """Let the logarithm of the cells change by ``growth``, of which ``deaths`` (``None``: all) are lost ones."""
        # mean of exp(-x) from 0 to growth
        mean = mean_survival(growth) if growth > 0.0 else mean_survival(-growth) * exp(-growth)
        self.losses += exp(-self.log_growth) * mean * (-growth if deaths is None else deaths)
        self.log_growth += growth

    def _room(self, cellularity: float) -> float:
        """Return the share of divisions that find room; none in a marrow full of leukaemia."""
        cube = min(cellularity, 1.0) * min(cellularity, 1.0) * min(cellularity, 1.0)
        crowd = 1.0 - (1.0 - self.stem.open_share) * cube * cube  # all six neighbours are taken
        return crowd * max(1.0 - self.share_if_left, 0.0)

    # ------------------------------------------------------------------------------------------------- what is left

    @property
    def lineages_left(self) -> float:
        """Expected number of stem cells at the time of taking over of which descendants are left."""
        return self.cells / (1.0 + self.losses)

    @property
    def risk(self) -> float:
        """Probability that any stem cell is left in somebody with this course."""
        return 1.0 if self.phase == OVERT else 1.0 - exp(-min(self.lineages_left, 700.0))

    @property
    def overt_risk(self) -> float:
        """Probability that leukaemia is overt in somebody with this course.

        Lineages that are left are Poisson in number, each exponential in size (the limit of Kendall's geometric law).
        """
        if self.phase == OVERT:
            return 1.0 if self.share_if_left >= ends.RELAPSE else 0.0
        mean, size = self.lineages_left, self._mean_size
        least = ends.RELAPSE * self.stem.full
        if mean > _MANY or mean == 0.0 or least > 700.0 * size:
            return 1.0 if mean * size >= least else 0.0
        chance, term, fewer, found = exp(-mean), exp(-least / size), 0.0, 0.0
        for n in range(1, 4 * int(_MANY)):
            chance *= mean / n  # of n lineages
            fewer += term  # that n of them reach so many cells
            term *= least / size / n
            found += chance * fewer
        return found

    @property
    def left(self) -> float:
        """Stem cells that are left in this patient."""
        if self.phase != RESIDUAL:
            return self.seen * self.stem.per_agent
        return self._drawn_lineages() * self._mean_size

    @property
    def share_if_left(self) -> float:
        """Leukaemic share of the marrow in somebody with this course in whom any stem cell is left; 0 if none is."""
        if self.phase == OVERT:
            return self.seen * self.stem.per_agent / self.stem.full
        chance = self.risk
        return self.lineages_left * self._mean_size / chance / self.stem.full if chance > 0.0 else 0.0

    @property
    def agents(self) -> float:
        """Stem-cell agents that the patch should hold, as far as the numbers lead."""
        return min(self.left / self.stem.per_agent, float(ENOUGH)) if self.phase == RESIDUAL else 0.0

    @property
    def _mean_size(self) -> float:
        """Mean number of stem cells of a lineage that is left."""
        return exp(min(self.log_growth, 700.0)) * (1.0 + self.losses)

    def _drawn_lineages(self) -> float:
        """Return the lineages left in this patient: always the same quantile of their Poisson distribution."""
        mean = self.lineages_left
        if mean > _MANY:
            return mean
        chance = exp(-mean)
        below, n = chance, 0
        while self.luck >= below and chance > 0.0:
            n += 1
            chance = chance * mean / n
            below += chance
        return float(n)


def start(body: Body) -> Residue | None:
    """Return the residual leukaemia of a patient; ``None`` if it is not followed."""
    stem = body.scale.leukaemia
    return None if stem is None or body.tables.residue is None else Residue(stem, body.seed)


def share(body: Body) -> float:
    """Return the leukaemic share of the marrow by the numbers, 0-1; 0 while the patch leads."""
    parts = [part for part in (body.residue, body.escaped) if part is not None and part.phase == RESIDUAL]
    return min(total(part.left / part.stem.full for part in parts), 1.0)


def kills(body: Body, rules: ResidueRules, step_h: float, variant: int = 0, shown: float = 1.0) -> tuple[float, float]:
    """Return -ln(survival) of resting and cycling stem cells in a step, by drugs, radiation and donor T cells.

    ``variant``: which of ``variants.csv`` they are, 0 the wild type. ``shown``: share of what T cells see on them.
    """
    of_all_tissue = float(body.allo.effectors[GVH]) * body.donor.ubiquitous_share
    restricted = 0.0 if body.restricted is None else body.restricted.watching
    watching = of_all_tissue + body.chronic.effectors + restricted
    able = body.patient.leukaemia_immunogenicity * shown * (1.0 - body.drugs.inhibition("killing"))
    rate = able * rules.lsc_kill * watching / (rules.lsc_kill_half + watching)
    by_drug = _by_drug(body, variant) * step_h
    resting, cycling = (float(by_drug[cycle]) + rate * step_h / HOURS_PER_DAY for cycle in Cycle)
    return resting, cycling


def _by_drug(body: Body, variant: int) -> NDArray[np.float64]:
    """Return the death hazard per hour of resting and cycling stem cells of a variant by drugs and radiation."""
    if not variant:
        wild: NDArray[np.float64] = body.drug_hazards((Kind.LSC,))[Kind.LSC]
        return wild
    hazards = body.variant_hazards()
    of_it: NDArray[np.float64] = hazards[variant if len(hazards) > 1 else 0, Kind.LSC]
    return of_it


def follow(body: Body, population: NDArray[np.int64], step_h: float, unseen: int = 0, directed: float = 0.0) -> None:
    """Let residual leukaemia of the body live through a step, under what drugs and T cells do in it.

    Args:
        body: the body.
        population: all agents, int64 (N_KINDS, N_ORIGINS).
        step_h: hours.
        unseen: stem-cell agents that are followed elsewhere, because treatment does not reach them.
        directed: rate at which engineered T cells kill the others, 1/d.
    """
    residue, rules = body.residue, body.tables.residue
    if residue is None or rules is None:
        return
    residue.lead(int(population[Kind.LSC].sum()) - unseen)
    days = step_h / HOURS_PER_DAY
    resting, cycling = (loss + directed * days for loss in kills(body, rules, step_h))
    residue.advance((resting, cycling), body.cellularity, days)


#: What is measured of it: unit and meaning by name; 0 in patients in whom it is not followed.
OBSERVABLES: dict[str, tuple[str, str]] = {
    "residual_stem_cells": ("cells", "leukaemic stem cells of the whole marrow, by the patch while it holds enough"),
    "residual_share": ("fraction", "leukaemic share of the marrow that these amount to"),
    "residual_if_left": ("fraction", "the same in somebody with this course in whom any is left"),
    "overt_risk": ("fraction", "probability that this is 5 % of the marrow or more in somebody with this course"),
    "relapse_risk": ("fraction", "probability that leukaemic stem cells are left in somebody with this course"),
}


def observables(residue: Residue | None) -> dict[str, float]:
    """Return the present values by the names of ``OBSERVABLES``."""
    if residue is None:
        return dict.fromkeys(OBSERVABLES, 0.0)
    left = residue.left
    values = (left, left / residue.stem.full, residue.share_if_left, residue.overt_risk, residue.risk)
    return dict(zip(OBSERVABLES, values, strict=True))
