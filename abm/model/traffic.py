"""Cells between blood and marrow: circulating stem cells keep their words, lymphocytes come from body pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm import exactmath
from abm.cells import (
    COLD,
    GAIN_VARIANT,
    HOT,
    N_KINDS,
    N_ORIGINS,
    N_VARIANTS,
    SITE_BITS,
    Count,
    Cycle,
    EditBit,
    Kind,
    Origin,
    Specificity,
    pack_hot,
)
from abm.model.editing import Product
from abm.model.heredity import Subclone
from abm.model.rules import Rules
from abm.philox import philox, philox_scalar
from abm.streams import Stream

#: Kinds whose leavers stay in the blood with their identity and may come back.
STEM_KINDS = (Kind.HSC, Kind.LSC)
#: Lineages whose share of divisions that find room is told apart, as kin of cells that divide fast crowd each other.
OPEN_LINEAGES = ("stem", "progenitor", "neutrophil", "eosinophil", "monocyte", "erythroid", "megakaryocyte", "b_cell")
#: What traffic.csv must hold: unit by name.
TRAFFIC_UNITS = {
    "hsc_trials": "1/h",
    "progenitor_trials": "1/h",
    "lymphocyte_trials": "1/h",
    "hsc_clearance": "1/h",
    "progenitor_clearance": "1/h",
    "s_phase": "h",
    "niche_occupancy": "fraction",
    "crowded_share": "fraction",
    "commit_share": "fraction",
    "lsc_share": "fraction",
    "quiescent_lsc": "fraction",
    "blast_stage_ratio": "1",
    "marrow_cells": "cells",
    "active_hsc": "cells",
    "open_share": "fraction",
} | {f"open_share_{lineage}": "fraction" for lineage in OPEN_LINEAGES}
_WORDS = 1 << 32
#: Draw of ``Stream.HARVEST`` that decides which of a patient's own cells are what a share of them is.
OWN_VARIANTS = 8
#: A cell tries at most so many sites in a step.
MOST_TRIALS = (1 << 63 - SITE_BITS) - 1
Arrival = tuple[Kind, Origin, Specificity, int]
_KIND_MASK = np.uint32(63)
#: Origin above kind.
_SLOT_MASK = np.uint32(pack_hot(kind=N_KINDS - 1, origin=N_ORIGINS - 1))
_CYCLE_SHIFT = next(np.uint32(f.shift) for f in HOT if f.name == "cycle")
_CYCLE_MASK = next(np.uint32(((1 << f.bits) - 1) << f.shift) for f in HOT if f.name == "cycle")
_RESIST_SHIFT = next(np.uint32(f.shift) for f in COLD if f.name == "resist")
_EXHAUSTION_SHIFT = next(np.uint32(f.shift) for f in HOT if f.name == "exhaustion")
_LOSS_SHIFT = next(np.uint32(f.shift) for f in HOT if f.name == "loss")
_SEEKS_NICHE = np.isin(np.arange(N_KINDS), STEM_KINDS)
_SWITCH = np.uint32(pack_hot(edits=1 << EditBit.SWITCH))
_CLONE_SHIFT = next(np.uint32(f.shift) for f in COLD if f.name == "clone")
_DAMAGE = next(np.uint32(((1 << f.bits) - 1) << f.shift) for f in COLD if f.name == "damage")
#: A stage past the last one of every kind.
_DONE = next((1 << f.bits) - 1 << f.shift for f in COLD if f.name == "stage")


class Requests(NamedTuple):
    """Cells that look for a site in this step.

    Attributes:
        hot, cold: their words, shape (n,).
        last: number of the candidate site behind the last of each, in the step.
    """

    hot: NDArray[np.uint32]
    cold: NDArray[np.uint32]
    last: NDArray[np.int64]


@dataclass
class Circulation:
    """Stem and progenitor cells in the blood, one entry per agent, in a fixed order."""

    values: dict[str, float]
    seed: int
    hot: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    cold: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))

    def add(self, hot: NDArray[np.uint32], cold: NDArray[np.uint32]) -> None:
        """Let cells enter the blood, where they lose what damage they have."""
        self.hot, self.cold = np.concatenate([self.hot, hot]), np.concatenate([self.cold, cold & ~_DAMAGE])

    def infuse(
        self, agents: dict[Kind, float], origin: Origin, step: int, index: int = 0, loss: int = 0, variant: int = 0
    ) -> int:
        """Put a graft into the blood; expected numbers are rounded at random. Returns the number of agents.

        Args:
            agents: expected number by kind.
            origin: whose cells they are.
            step: number of the step.
            index: number of the graft among those of this step.
            loss: loss bits that the cells carry.
            variant: which variant they are.
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
                np.full(n, pack_hot(kind=kind, origin=origin, cycle=cycle, loss=loss), np.uint32),
                ((clones >> np.uint32(16)) << _CLONE_SHIFT) | (np.uint32(variant) << _RESIST_SHIFT),
            )
        return self.hot.size - before

    def number(self, kind: Kind, loss: int = 0, variant: int | None = None) -> int:
        """Return how many cells of a kind circulate, of those that carry these loss bits and are of a variant."""
        carried = np.uint32(loss) << _LOSS_SHIFT
        chosen = self.hot & (_KIND_MASK | carried) == np.uint32(kind) | carried
        if variant is not None:
            chosen &= self.cold >> _RESIST_SHIFT == variant
        return int(chosen.sum())

    def vary(self, subclones: Sequence[Subclone], first: int, step: int, index: int) -> None:
        """Let a graft's cells, from the one with number ``first`` on, be what a share of the patient's own are.

        Args:
            subclones: what shares of the kinds have; a cell has at most one of them.
            first: number of the first cell.
            step: number of the step.
            index: number of the graft among those of this step.
        """
        hot, cold = self.hot[first:], self.cold[first:]
        r = philox(self.seed, np.arange(hot.size) + (index << 32), step, Stream.HARVEST * 256 + OWN_VARIANTS)[0]
        below: dict[Kind, float] = {}
        for kind, share, gain in subclones:
            low = below.get(kind, 0.0)
            below[kind] = low + share
            has = (hot & _KIND_MASK == kind) & (r >= low * _WORDS) & (r < below[kind] * _WORDS)
            hot[has] |= np.uint32(gain & ((1 << GAIN_VARIANT) - 1)) << _LOSS_SHIFT
            cold[has] |= np.uint32(gain >> GAIN_VARIANT & (N_VARIANTS - 1)) << _RESIST_SHIFT

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
            directed: the same by drugs that spare cells with a loss bit, by that bit, shape (64, 2, 9).
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
        words = [_words(kind, origin, specificity) for kind, origin, specificity, _ in lymphocytes]
        cells = np.array([n for *_, n in lymphocytes], np.int64)
        new = np.array(words, np.uint32).reshape(-1, 2).repeat(cells, axis=0)
        if clones is not None:
            new[:, 1] |= clones << _CLONE_SHIFT
        if exhaustion is not None:
            new[:, 0] |= exhaustion << _EXHAUSTION_SHIFT
        if edits is not None:
            new[:, 0] |= edits
        stem, progenitor, lymphocyte = (
            int(min(max(self.values[f"{name}_trials"] * step_h, 1.0), MOST_TRIALS))
            for name in ("hsc", "progenitor", "lymphocyte")
        )
        trials = np.full(self.hot.size + len(new), lymphocyte, np.int64)
        if self.hot.size:
            trials[: self.hot.size] = np.where(self._seeks_niche(), stem, progenitor)
        hot, cold = (np.concatenate([self.hot, new[:, 0]]), np.concatenate([self.cold, new[:, 1]]))
        return Requests(hot, cold, np.cumsum(trials))

    def keep(self, stays: NDArray[np.bool_]) -> None:
        """Keep only these cells; the others lodged."""
        self.hot, self.cold = self.hot[stays], self.cold[stays]

    def _seeks_niche(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = _SEEKS_NICHE[self.hot & _KIND_MASK]
        return found


@lru_cache(maxsize=1024)  # the cells that arrive in a step are of a few classes
def _words(kind: Kind, origin: Origin, specificity: Specificity) -> tuple[int, int]:
    """Return the words of an arriving lymphocyte but for what each has of its own."""
    return pack_hot(kind=kind, origin=origin, specificity=specificity), _DONE if origin is Origin.PRODUCT else 0


def not_lodged(lymphocytes: Sequence[Arrival], lodged: NDArray[np.bool_]) -> list[Arrival]:
    """Return the arrivals that found no site, in the form they were announced."""
    ends = np.cumsum([n for *_, n in lymphocytes])
    group = np.searchsorted(ends, np.flatnonzero(~lodged), side="right")
    missing = np.bincount(group, minlength=len(lymphocytes)).tolist()
    return [(kind, origin, seen, n) for (kind, origin, seen, _), n in zip(lymphocytes, missing, strict=True) if n]


def quiescent(hot: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the words of those cells that are quiescent."""
    chosen: NDArray[np.uint32] = hot[(hot & _CYCLE_MASK) == Cycle.QUIESCENT]
    return chosen


def arrivals_by_slot(hot: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return how many cells of each kind and origin settled, int64 (64, 4)."""
    counts = np.bincount(hot & _SLOT_MASK, minlength=N_ORIGINS * N_KINDS)
    return np.ascontiguousarray(counts.reshape(N_ORIGINS, N_KINDS).T, np.int64)


def open_shares(rules: Rules, values: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the share of divisions that find room in a healthy marrow, by kind, shape (64,)."""
    shares = np.full(N_KINDS, values["open_share"])
    for lineage in OPEN_LINEAGES:
        shares[rules.lineage(lineage)] = values[f"open_share_{lineage}"]
    return shares


def crowding(population: NDArray[np.int64], rules: Rules, sites: int, usual: float) -> float:
    """Return how far precursors that divide take the room that their daughters need: 0 up to a share, 1 on all sites.

    Those of leukaemia are left out: they die and leave, so that they do not stand in their own way for good.

    Args:
        population: cells by kind, shape (64,).
        rules: which kinds divide.
        sites: marrow sites of the patch.
        usual: share of the sites up to which precursors find room.
    """
    held = float(population[rules.precursors].sum()) / max(sites, 1)
    return max(held - usual, 0.0) / (1.0 - usual)


def marrow_signals(
    counts: NDArray[np.int64], rules: Rules, size: tuple[int, int], traffic: Mapping[str, float]
) -> dict[str, float]:
    """Return signals of a patch of (niches, marrow sites): empty niches over those at homeostasis, crowding."""
    held = float(sum(int(counts[Count.NICHE, kind].sum()) for kind in STEM_KINDS))
    vacant = 1.0 - held / max(size[0], 1)
    return {
        "niche_vacancy": vacant / (1.0 - traffic["niche_occupancy"]),
        "crowding": crowding(counts[Count.POPULATION].sum(axis=1), rules, size[1], traffic["crowded_share"]),
    }
