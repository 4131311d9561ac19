"""Cells between blood and marrow: circulating stem cells keep their words, lymphocytes come from body pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from abm import exactmath
from abm.cells import COLD, HOT, N_KINDS, N_VARIANTS, Cycle, EditBit, Kind, Origin, Specificity, pack_hot
from abm.comm import SerialComm
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
#: So many candidate sites are worth a message: to draw one takes 40 ns. Two ranks that share 322,000 of them need 12 to
#: 15 ms instead of 18 (2 busy cores, MPICH); 40,000 gain nothing.
SHARED_FROM = 100_000
Arrival = tuple[Kind, Origin, Specificity, int]
_KIND_MASK = np.uint32(63)
_CYCLE_SHIFT = next(np.uint32(f.shift) for f in HOT if f.name == "cycle")
_RESIST_SHIFT = next(np.uint32(f.shift) for f in COLD if f.name == "resist")
_EXHAUSTION_SHIFT = next(np.uint32(f.shift) for f in HOT if f.name == "exhaustion")
_LOSS_SHIFT = next(np.uint32(f.shift) for f in HOT if f.name == "loss")
_SEEKS_NICHE = np.isin(np.arange(N_KINDS), STEM_KINDS)
_SWITCH = np.uint32(pack_hot(edits=1 << EditBit.SWITCH))
_ORIGIN_SHIFT = next(np.uint32(f.shift) for f in HOT if f.name == "origin")
_CLONE_SHIFT = next(np.uint32(f.shift) for f in COLD if f.name == "clone")
#: A stage past the last one of every kind.
_DONE = next(np.uint32((1 << f.bits) - 1 << f.shift) for f in COLD if f.name == "stage")


@dataclass
class Requests:
    """Cells that look for a site in this step.

    Attributes:
        hot, cold: their words, shape (n,).
        niche_only: 1 where only an HSC niche will do.
        motile: whether the motile layer is meant.
        sites: candidate global sites, one row per trial: (n_candidates,).
        owner: index of the cell each candidate belongs to, ascending.
    """

    hot: NDArray[np.uint32]
    cold: NDArray[np.uint32]
    niche_only: NDArray[np.uint8]
    motile: NDArray[np.bool_]
    sites: NDArray[np.int64]
    owner: NDArray[np.int64]

    def assign(self, is_open: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Give each cell, in order, its first open candidate that no earlier cell took; -1 if none."""
        chosen = np.full(self.hot.size, -1, np.int64)
        cells, sites = self.owner[is_open], self.sites[is_open]
        places = 2 * sites + self.motile[cells]  # a site of either layer
        # Only cells that try what is tried twice have to be asked one after the other; they are few.
        rivals = np.zeros(self.hot.size, bool)
        rivals[cells[_repeated(places)]] = True
        first = np.flatnonzero(np.diff(cells, prepend=-1))
        chosen[cells[first]] = np.where(rivals[cells[first]], -1, sites[first])
        taken: set[int] = set()
        turn = rivals[cells]
        for cell, site, place in zip(*(x[turn].tolist() for x in (cells, sites, places)), strict=True):
            if chosen[cell] < 0 and place not in taken:
                chosen[cell] = site
                taken.add(place)
        return chosen


@dataclass
class Circulation:
    """Stem and progenitor cells in the blood, one entry per agent, in a fixed order."""

    values: dict[str, float]
    seed: int
    total_sites: int
    comm: SerialComm = field(default_factory=SerialComm)
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
        """Draw candidate sites for all circulating cells and for the lymphocytes that arrive.

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
        seeks = np.concatenate([self._seeks_niche(), np.zeros(new.size, bool)])
        motile = np.arange(hot.size) >= self.hot.size
        per_hour = np.where(
            motile,
            self.values["lymphocyte_trials"],
            np.where(seeks, self.values["hsc_trials"], self.values["progenitor_trials"]),
        )
        trials = np.maximum(per_hour * step_h, 1.0).astype(np.int64)
        owner = np.repeat(np.arange(hot.size), trials)
        return Requests(hot, cold, seeks.astype(np.uint8), motile, self._draw_sites(owner.size, step), owner)

    def _draw_sites(self, n: int, step: int) -> NDArray[np.int64]:
        """Return ``n`` candidate global sites; where they are many each rank draws a part and tells the others."""
        rank, size = (self.comm.rank, self.comm.size) if n >= SHARED_FROM else (0, 1)
        r = philox(self.seed, np.arange(n * rank // size, n * (rank + 1) // size), step, Stream.ARRIVAL * 256)
        wide = (r[0].astype(np.uint64) << np.uint64(32)) | r[1]
        sites = (wide % np.uint64(self.total_sites)).astype(np.int64)
        return sites if size == 1 else self.comm.gather_planes(sites)

    def keep(self, stays: NDArray[np.bool_]) -> None:
        """Keep only these cells; the others lodged."""
        self.hot, self.cold = self.hot[stays], self.cold[stays]

    def _seeks_niche(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = _SEEKS_NICHE[self.hot & _KIND_MASK]
        return found


def _repeated(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of all numbers that occur more than once."""
    slot = places & ((1 << (8 * places.size).bit_length()) - 1)  # sites are drawn at random, and so are their low bits
    crowded = np.flatnonzero(np.bincount(slot)[slot] > 1)  # few: to sort all takes ten times as long
    _, which, n = np.unique(places[crowded], return_inverse=True, return_counts=True)
    return crowded[n[which] > 1]


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
