"""Plasma cells and the immunoglobulin G that they make, by whose they are.

B cells that have met antigen and switched class become plasmablasts, with the help of CD4 T cells. Most of these die
within days; some find one of the few survival niches of the marrow and live on for years. Drugs kill long-lived ones
little, T cells of the other side slowly, and cells with an added receptor if they see an antigen of theirs. IgG decays
with its half-life, whoever made it; antibody against the donor, such as isohaemagglutinins, is part of what cells of
the host make. All state is relative to a healthy person; nothing else in the body depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from abm.cells import ENGINEERED, N_LEVELS, N_ORIGINS, Antigen, Kind, Origin
from abm.errors import ConfigError
from abm.exactmath import LN2, exp, power
from abm.model.body import b_clones
from abm.model.body.autoimmunity import DAYS_PER_YEAR
from abm.model.body.immune import INDEX
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, total
from abm.model.body.parameters import LymphocyteRules, in_unit, section, units_of
from abm.tables import Folder, once, read_table, read_values

if TYPE_CHECKING:
    from abm.model.body import Body

#: Rows of ``Plasma.course``.
SWITCHED, BLASTS, LONG_LIVED, OLD, IGG = range(5)
_B = INDEX[Kind.IMMATURE_B]
#: Hours that go by before the slow quantities are advanced: none changes by much within days.
_PATIENCE_H = 6.0
_HELPERS = slice(INDEX[Kind.CD4_NAIVE], INDEX[Kind.CD4_MEMORY] + 1)  # neighbours
#: Shares by which something is divided, or whose rest is.
_BETWEEN = ("free_niche_share", "switched_share", "short_lived_igg_share", "help_half")


@dataclass(frozen=True)
class PlasmaRules:
    """``plasma.csv``."""

    long_lived_cells: float = in_unit("cells")
    long_lived_half_life: float = in_unit("a")
    free_niche_share: float = in_unit("1")
    plasmablast_life: float = in_unit("d")
    short_lived_igg_share: float = in_unit("1")
    switched_share: float = in_unit("1")
    help_half: float = in_unit("1")
    igg: float = in_unit("g/L")
    igg_half_life: float = in_unit("d")
    igg_volume: float = in_unit("L")
    old_antigen_share: float = in_unit("1")
    memory_clone_half_life: float = in_unit("a")
    alloreactive_kill: float = in_unit("1")


def read_plasma(folder: Folder) -> dict[str, float]:
    """Return the values of ``plasma.csv`` by name, for the reference weight."""
    path, units = folder / "plasma.csv", units_of(PlasmaRules)
    values = read_values(path, units)
    for name, value in values.items():
        if value < 0.0 or (value == 0.0 and units[name] != "1"):
            limit = ">= 0" if units[name] == "1" else "> 0"
            raise ConfigError(f"expected a number {limit}, found {value:g}", file=str(path), key=name)
        if name in _BETWEEN and not 0.0 < value < 1.0:
            raise ConfigError(f"expected a share between 0 and 1, found {value:g}", file=str(path), key=name)
    return values


def read_plasma_antigens(folder: Folder) -> int:
    """Return the antigens of plasma cells as bits of a mask, from ``plasma_antigens.csv``."""
    mask = 0
    for row in once(read_table(folder / "plasma_antigens.csv", ("antigen", "level")), ("antigen",)):
        row.choice("unit", ["level"])
        row.integer("level", 1, N_LEVELS)
        mask |= 1 << Antigen[row.choice("antigen", [antigen.name for antigen in Antigen])]
    return mask


class Plasma(Packed):
    """Plasma cells and IgG of one patient.

    Attributes:
        course: share of switched cells among the B cells, plasmablasts, long-lived plasma cells, those of them that
            know former vaccines and infections, and IgG, each relative to a healthy person, by origin; shape
            (5, N_ORIGINS).
        infused: IgG of others, relative to the usual amount.
        protection: antibody against former vaccines and infections, relative to the start.
        waiting: hours that have gone by and are not yet accounted for.
    """

    STATE = ("course", "infused", "protection", "waiting")

    def __init__(self, rules: PlasmaRules, pools: LymphocyteRules) -> None:
        """Start as a healthy person; ``pools``: usual numbers of B and CD4 T cells."""
        self.rules = rules
        self.course: Floats = np.zeros((5, N_ORIGINS))
        self.course[:, Origin.HOST] = 1.0
        self.infused, self.protection, self.waiting = 0.0, 1.0, 0.0
        self._b_pool, self._helpers = pools.b_pool, pools.cd4_naive_pool + pools.cd4_memory_pool
        self._most = 1.0 / rules.switched_share  # were all B cells switched
        # 1/d: makes up for the new B cells of a healthy person, none of which is switched
        self._switch = pools.b_production / pools.b_pool / (self._most - 1.0)
        short = rules.short_lived_igg_share
        self._blast_cells = rules.long_lived_cells * short / (1.0 - short)
        self._turnover = pools.b_production / pools.b_pool
        self._step, self._kept = 0.0, (1.0, 1.0, 1.0)

    def enter(self, kind: Kind, cells: Floats, pool: Floats) -> None:
        """Let cells from the marrow enter the B cells, of which none has met antigen; both by origin."""
        if kind is Kind.IMMATURE_B:
            for origin, n in enumerate(cells.tolist()):
                if n > 0.0:
                    self.course[SWITCHED, origin] *= 1.0 - min(n / max(float(pool[origin]), 1.0), 1.0)

    def infuse(self, kind: Kind, origin: Origin, cells: float, pool: float) -> None:
        """Let B cells of a graft, switched as usual, join a pool that then holds ``pool`` cells."""
        if kind is Kind.IMMATURE_B and cells > 0.0:
            share = float(self.course[SWITCHED, origin])
            self.course[SWITCHED, origin] = share + (1.0 - share) * (cells / max(pool, cells))

    def infuse_igg(self, grams: float) -> None:
        """Give immunoglobulin of others."""
        self.infused += grams / (self.rules.igg * self.rules.igg_volume)

    def survive(self, blasts: float, long_lived: float, origins: slice = slice(None)) -> None:
        """Keep only these shares of plasmablasts and long-lived plasma cells of some origins."""
        self.course[BLASTS, origins] *= blasts
        self.course[LONG_LIVED : OLD + 1, origins] *= long_lived

    def attacked(self, origins: slice, survival: float) -> float:
        """Let T cells of the other side kill plasma cells of these origins, of whose blood cells a share survives.

        Returns the share of the plasma cells that is left.
        """
        kept = power(survival, self.rules.alloreactive_kill)
        self.course[BLASTS : OLD + 1, origins] *= kept
        return kept

    def memory_share(self, origin: Origin | int) -> float:
        """Return which share of the B cells of an origin are memory cells."""
        return float(self.course[SWITCHED, origin]) * self.rules.switched_share

    @property
    def long_lived(self) -> list[float]:
        """Long-lived plasma cells by origin, relative to a healthy person."""
        return [float(cells) for cells in self.course[LONG_LIVED].tolist()]

    def newcomers(self, before: Floats) -> list[tuple[float, float]]:
        """Return which share of memory and of long-lived plasma cells has come of naive and of memory cells, by origin.

        Asked after :meth:`advance`; ``before`` is ``course`` as it was.
        """
        found, long_kept, years = list[tuple[float, float]](), self._kept[1], self.rules.memory_clone_half_life
        now, then = self.course.T.tolist(), before.T.tolist()
        for (memory, _, settled, *_), (had, _, stayed, *_) in zip(now, then, strict=True):
            new = b_clones.naive_share(years, self._turnover, had) if memory > had else 0.0
            switched = (memory - had) / memory * new if memory > had else 0.0
            found.append((switched, (settled - stayed * long_kept) / settled if settled > 0.0 else 0.0))
        return found

    def help_of(self, helpers: float) -> float:
        """Return the help by so many CD4 T cells, relative to the usual one."""
        r, share = self.rules, helpers / self._helpers
        return share * (1.0 + r.help_half) / (share + r.help_half)

    def advance(self, b_cells: Floats, response: float, niches: float, step_h: float) -> None:
        """Advance by ``step_h`` hours, each quantity exactly towards what it would come to.

        Args:
            b_cells: B cells by origin, shape (N_ORIGINS,).
            response: of B cells to antigen, with the help of T cells and under drugs, relative to the usual one.
            niches: share of the survival niches that the marrow still has.
            step_h: hours.
        """
        if step_h != self._step:
            self._step, self._kept = step_h, self._shares_kept(step_h)
        r, (blasts_kept, long_kept, igg_kept) = self.rules, self._kept
        switching = self._switch * response * step_h / HOURS_PER_DAY
        columns, filled = self.course.T.tolist(), 1.0 - r.free_niche_share
        taken = filled * total([column[LONG_LIVED] for column in columns])
        room = niches * max(1.0 - taken, 0.0) / r.free_niche_share
        known = 0.0
        for origin, cells in enumerate(b_cells.tolist()):
            if cells == 0.0 and not any(columns[origin]):
                continue  # as most: an origin of which there is no cell
            switched, blasts, long_lived, old, igg = columns[origin]
            switched = switched + switching * (self._most - switched) if cells > 0.0 else 0.0
            made = cells / self._b_pool * switched * response
            blasts = made + (blasts - made) * blasts_kept
            settling = blasts * room
            long_lived = settling + (long_lived - settling) * long_kept
            settling = settling * r.old_antigen_share
            old = settling + (old - settling) * long_kept
            secreted = r.short_lived_igg_share * blasts + (1.0 - r.short_lived_igg_share) * long_lived
            columns[origin] = [switched, blasts, long_lived, old, secreted + (igg - secreted) * igg_kept]
            known = known + old
        self.course = np.array(columns).T
        self.protection = known + (self.protection - known) * igg_kept
        self.infused = self.infused * igg_kept

    def _shares_kept(self, step_h: float) -> tuple[float, float, float]:
        """Return what a step leaves of plasmablasts, long-lived plasma cells and IgG without new ones."""
        r, days = self.rules, step_h / HOURS_PER_DAY
        rates = (1.0 / r.plasmablast_life, LN2 / (r.long_lived_half_life * DAYS_PER_YEAR), LN2 / r.igg_half_life)
        blasts, long_lived, igg = (exp(-rate * days) for rate in rates)
        return blasts, long_lived, igg

    def observables(self) -> dict[str, float]:
        """Return what is measured, by the names of ``OBSERVABLES``."""
        cells = self.course[LONG_LIVED] * self.rules.long_lived_cells + self.course[BLASTS] * self._blast_cells
        whole, igg = total(cells), self.course[IGG]
        return {
            "plasma_cells": whole,
            "donor_plasma": total(cells[Origin.DONOR : Origin.PRODUCT]) / whole if whole > 0.0 else 0.0,
            "igg": self.rules.igg * (total(igg) + self.infused),
            "host_igg": self.rules.igg * float(igg[Origin.HOST]),
            "old_antibody": self.protection,
        }


#: name -> (unit, meaning).
OBSERVABLES: Mapping[str, tuple[str, str]] = {
    "plasma_cells": ("cells", "plasma cells that make IgG, short-lived ones included, of the whole body"),
    "donor_plasma": ("fraction", "donor share of plasma cells"),
    "igg": ("g/L", "immunoglobulin G, infused one included"),
    "host_igg": ("g/L", "immunoglobulin G made by cells of the host, isohaemagglutinins against the donor among it"),
    "old_antibody": ("1", "antibody against former vaccines and infections, relative to the start"),
}


def start(body: Body) -> Plasma:
    """Return plasma cells and IgG of a healthy person of this weight."""
    rules = section(PlasmaRules, {**body.tables.values, **body.tables.plasma}, body.weight_kg)
    return Plasma(rules, body.lymphocytes.rules)


def advance(body: Body, step_h: float) -> None:
    """Let a step go by, some of them at a time, under what drugs leave of the response of B cells."""
    cells = body.plasma
    cells.waiting += step_h
    if cells.waiting < _PATIENCE_H:
        return
    passed, cells.waiting = cells.waiting, 0.0
    pools, inhibited = body.lymphocytes.pools, body.drugs.inhibitions
    allowed = (1.0 - inhibited["activation"]) * (1.0 - inhibited["proliferation"])
    helped, before = cells.help_of(total(pools[_HELPERS])), cells.course.copy()
    cells.advance(pools[_B], helped * allowed, body.stroma.intact, passed)
    b_clones.follow(body, cells.newcomers(before))


def strike(body: Body, hazard: Floats, days: float) -> None:
    """Let plasma cells die at the hazard (1/d) of each class that sees them; they are not counted among its antigen.

    There are few of them beside the cells such a product is given against.
    """
    seen = [receptor for receptor, sees in zip(body.watch.classes, body.watch.plasma, strict=False) if sees]
    if seen:
        left = exp(-total(float(hazard[ENGINEERED.index(receptor)]) for receptor in seen) * days)
        body.plasma.survive(left, left)
        if body.disease is not None:
            body.disease.survive_plasma(left)
