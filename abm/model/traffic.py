"""Cells between blood and marrow: circulating stem cells keep their words, lymphocytes come from body pools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm import exactmath
from abm.cells import (
    COLD,
    FIRST_MOTILE,
    HOT,
    N_KINDS,
    N_VARIANTS,
    NOWHERE,
    SITE_BITS,
    Cycle,
    EditBit,
    Kind,
    Origin,
    Specificity,
    pack_hot,
)
from abm.model.editing import Product
from abm.philox import philox, philox_scalar
from abm.streams import Stream

#: Kinds whose leavers stay in the blood with their identity and may come back.
STEM_KINDS = (Kind.HSC, Kind.LSC)
#: What traffic.csv must hold: unit by name.
TRAFFIC_UNITS = {
    "hsc_trials": "1/h",
    "progenitor_trials": "1/h",
    "lymphocyte_trials": "1/h",
    "hsc_clearance": "1/h",
    "progenitor_clearance": "1/h",
    "s_phase": "h",
    "niche_occupancy": "fraction",
    "commit_share": "fraction",
    "lsc_share": "fraction",
    "quiescent_lsc": "fraction",
    "blast_stage_ratio": "1",
    "marrow_cells": "cells",
    "active_hsc": "cells",
    "open_share": "fraction",
}
#: A cell tries at most so many sites in a step.
MOST_TRIALS = (1 << 63 - SITE_BITS) - 1
Arrival = tuple[Kind, Origin, Specificity, int]
#: Hot words of cells, and the numbers of the first candidate they may try and of that behind the last: what they find.
Probe = Callable[[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]
_KIND_MASK = np.uint32(63)
_CYCLE_SHIFT = next(np.uint32(f.shift) for f in HOT if f.name == "cycle")
_RESIST_SHIFT = next(np.uint32(f.shift) for f in COLD if f.name == "resist")
_EXHAUSTION_SHIFT = next(np.uint32(f.shift) for f in HOT if f.name == "exhaustion")
_LOSS_SHIFT = next(np.uint32(f.shift) for f in HOT if f.name == "loss")
_SITE = (1 << SITE_BITS) - 1
_SEEKS_NICHE = np.isin(np.arange(N_KINDS), STEM_KINDS)
_SWITCH = np.uint32(pack_hot(edits=1 << EditBit.SWITCH))
_ORIGIN_SHIFT = next(np.uint32(f.shift) for f in HOT if f.name == "origin")
_CLONE_SHIFT = next(np.uint32(f.shift) for f in COLD if f.name == "clone")
#: A stage past the last one of every kind.
_DONE = next(np.uint32((1 << f.bits) - 1 << f.shift) for f in COLD if f.name == "stage")


class Requests(NamedTuple):
    """Cells that look for a site in this step.

    Attributes:
        hot, cold: their words, shape (n,).
        first, last: numbers of the candidate sites of each, from the first up to, but without, the last.
    """

    hot: NDArray[np.uint32]
    cold: NDArray[np.uint32]
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def assign(self, probe: Probe) -> NDArray[np.int64]:
        """Give each cell, in order, its first open candidate that no earlier cell took.

        All ask at once, a site of several keeps the first of them in order, the others ask on. As all sites prefer
        cells in the same order, this ends as if one cell had chosen after the other (deferred acceptance: Gale and
        Shapley, Am Math Mon 1962).

        Args:
            probe: finds the first open candidate of some cells (hot words, first, last), as ``NOWHERE``, or the number
                of the trial above ``SITE_BITS`` bits for the global site.

        Returns:
            Global sites, shape (n,); -1 where a cell found none.
        """
        motile = (self.hot & _KIND_MASK) >= FIRST_MOTILE
        asking, tried = np.arange(self.hot.size), self.first.copy()
        places = ~asking  # 2 * site + layer; below zero is no place, another for each
        while asking.size:
            found = probe(self.hot[asking], tried[asking], self.last[asking])
            tried[asking] += (found >> SITE_BITS) + 1
            places[asking] = np.where(found == NOWHERE, ~asking, 2 * (found & _SITE) + motile[asking])
            asking = _outdone(places)
        sites: NDArray[np.int64] = np.maximum(places >> 1, -1)
        return sites


@dataclass
class Circulation:
    """Stem and progenitor cells in the blood, one entry per agent, in a fixed order."""

    values: dict[str, float]
    seed: int
    hot: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    cold: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))

    def add(self, hot: NDArray[np.uint32], cold: NDArray[np.uint32]) -> None:
        """Let cells enter the blood."""
        self.hot, self.cold = np.concatenate([self.hot, hot]), np.concatenate([self.cold, cold])

    def infuse(self, agents: dict[Kind, float], origin: Origin, step: int, index: int = 0) -> int:
        """Put a graft into the blood; expected numbers are rounded at random. Returns the number of agents.

        Args:
            agents: expected number by kind.
            origin: whose cells they are.
            step: number of the step.
            index: number of the graft among those of this step.
        """
        before = self.hot.size
        for kind, expected in sorted(agents.items()):
            whole = int(expected)
            draw = philox_scalar(self.seed, (1 << 40) | (index << 8) | kind, step, Stream.BODY * 256)[0]
            n = whole + int(draw < (expected - whole) * 4294967296.0)
            clones = philox(
                self.seed, np.arange(n) + ((kind + 64 * (origin + 4 * index)) << 32), step, Stream.BODY * 256 + 1
            )[0]
            cycle = Cycle.QUIESCENT if kind is Kind.HSC else Cycle.CYCLING
            self.add(
                np.full(n, pack_hot(kind=kind, origin=origin, cycle=cycle), np.uint32),
                (clones >> np.uint32(16)) << _CLONE_SHIFT,
            )
        return self.hot.size - before

    def number(self, kind: Kind) -> int:
        """Return how many cells of a kind circulate."""
        return int((self.hot & _KIND_MASK == kind).sum())

    def edit(self, product: Product, first: int) -> None:
        """Edit the cells from the one with number ``first`` on, as they were before they were given."""
        hot, cold = product(self.hot[first:], self.cold[first:])
        self.hot, self.cold = self.hot[:first], self.cold[:first]
        self.add(hot, cold)

    def purge(self, share: float, step: int) -> None:
        """Let cells that carry a safety switch die, this share of them."""
        dies = philox(self.seed, np.arange(self.hot.size), step, Stream.SWITCH * 256 + 2)[0] < int(share * 4294967296.0)
        self.keep(~dies | ((self.hot & _SWITCH) == 0))

    def clear(
        self,
        step: int,
        step_h: float,
        drug_hazard: NDArray[np.float64],
        directed: NDArray[np.float64] | None = None,
    ) -> int:
        """Remove cells that find no site in time or die of drugs and radiation (once a step). Returns how many.

        Args:
            step: number of the step.
            step_h: its length, hours.
            drug_hazard: death hazard per hour by variant, kind and cycle state, (4, 64, 2), or (1, 64, 2) for all.
            directed: the same by drugs that spare cells with a loss bit, by that bit, shape (64, 2, 8).
        """
        if not self.hot.size:
            return 0
        r = philox(self.seed, np.arange(self.hot.size), step, Stream.BODY * 256 + 2)[0]
        waste = np.where(self._seeks_niche(), self.values["hsc_clearance"], self.values["progenitor_clearance"])
        variant, place = self.cold >> _RESIST_SHIFT, (self.hot & _KIND_MASK, (self.hot >> _CYCLE_SHIFT) & np.uint32(1))
        by_drug = np.broadcast_to(drug_hazard, (N_VARIANTS, *drug_hazard.shape[1:]))
        hazard = (waste + by_drug[(variant, *place)]) * step_h
        for j, by_bit in enumerate([] if directed is None else np.moveaxis(directed, -1, 0)):
            shows = (self.hot >> (_LOSS_SHIFT + np.uint32(j))) & np.uint32(1) == 0
            hazard += np.where(shows, by_bit[place] * step_h, 0.0)
        chance = {h: 1.0 - exactmath.exp(-h) for h in set(hazard.tolist())}
        threshold = np.array([int(chance[h] * 4294967295.0) for h in hazard.tolist()], np.uint32)
        stays = r >= threshold
        cleared = int(self.hot.size - stays.sum())
        self.hot, self.cold = self.hot[stays], self.cold[stays]
        return cleared

    def requests(
        self,
        lymphocytes: Sequence[Arrival],
        step: int,
        step_h: float,
        clones: NDArray[np.uint32] | None = None,
        exhaustion: NDArray[np.uint32] | None = None,
        edits: NDArray[np.uint32] | None = None,
    ) -> Requests:
        """Return what all circulating cells and the lymphocytes that arrive may try.

        Args:
            lymphocytes: those that arrive.
            step: number of the step.
            step_h: its length, hours.
            clones: the clone of each of them, in their order; all 0 if left out.
            exhaustion: the level of exhaustion of each, likewise.
            edits: bits of the hot word that each of them carries besides, likewise.

        Engineered effectors divide in the account of the body, of which the lattice shows a sample: there they have
        done all their divisions.
        """
        new = np.repeat(
            np.array([pack_hot(kind=k, origin=o, specificity=s) for k, o, s, _ in lymphocytes], np.uint32),
            np.array([n for *_, n in lymphocytes], np.int64),
        )
        tired = new if exhaustion is None else new | exhaustion << _EXHAUSTION_SHIFT
        hot = np.concatenate([self.hot, tired if edits is None else tired | edits])
        stage = np.where((new >> _ORIGIN_SHIFT & np.uint32(3)) == Origin.PRODUCT, _DONE, np.uint32(0))
        own = np.zeros(new.size, np.uint32) if clones is None else clones << _CLONE_SHIFT
        cold = np.concatenate([self.cold, own | stage])
        per_hour = np.concatenate([self._trials(), np.full(new.size, self.values["lymphocyte_trials"])])
        trials = np.clip(per_hour * step_h, 1.0, MOST_TRIALS).astype(np.int64)
        last = np.cumsum(trials)
        return Requests(hot, cold, last - trials, last)

    def _trials(self) -> NDArray[np.float64]:
        """Return how many sites a circulating cell tries in an hour."""
        return np.where(self._seeks_niche(), self.values["hsc_trials"], self.values["progenitor_trials"])

    def keep(self, stays: NDArray[np.bool_]) -> None:
        """Keep only these cells; the others lodged."""
        self.hot, self.cold = self.hot[stays], self.cold[stays]

    def _seeks_niche(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = _SEEKS_NICHE[self.hot & _KIND_MASK]
        return found


def _outdone(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the cells, in order, whose place an earlier cell has."""
    in_order = np.sort(places)  # of values alone: several times as fast as with their numbers
    shared = np.unique(in_order[1:][np.diff(in_order) == 0])  # few
    crowded = np.flatnonzero(np.isin(places, shared))
    by_place = crowded[np.argsort(places[crowded], kind="stable")]
    return np.sort(by_place[1:][np.diff(places[by_place]) == 0])


def not_lodged(lymphocytes: Sequence[Arrival], lodged: NDArray[np.bool_]) -> list[Arrival]:
    """Return the arrivals that found no site, in the form they were announced."""
    left: list[Arrival] = []
    start = 0
    for kind, origin, specificity, n in lymphocytes:
        missing = n - int(lodged[start : start + n].sum())
        start += n
        if missing:
            left.append((kind, origin, specificity, missing))
    return left


def arrivals_by_slot(hot: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return how many cells of each kind and origin settled, int64 (64, 4)."""
    index = (hot & _KIND_MASK).astype(np.int64) * 4 + ((hot >> np.uint32(6)) & np.uint32(3))
    return np.bincount(index, minlength=256).reshape(64, 4).astype(np.int64)
