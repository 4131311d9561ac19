"""The cells a patch starts with: a draw from the mean-field steady state at every marrow site.

A pure function of (global site, seed, rules), so any plane can be made anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

import numpy as np
from numpy.typing import NDArray

from abm.cells import COLD, HOT, MARKS, NICHE_MASK, TISSUE_MASK, Kind, Origin, Tissue
from abm.model.heredity import Subclone
from abm.model.meanfield import Homeostasis
from abm.philox import philox
from abm.streams import Stream

_HOT = {f.name: np.uint32(f.shift) for f in HOT}
_COLD = {f.name: np.uint32(f.shift) for f in COLD}
_TWO32 = 4294967296.0
#: Step number for draws made before the first step, and the first draw of the stream that no layer takes.
_BEFORE_START, _FIRST_DRAW = 0xFFFFFFFF, 2


@dataclass(frozen=True)
class Start:
    """What the initial cells depend on.

    Attributes:
        homeostasis: steady state per occupied niche.
        occupancy: share of niches that hold an HSC.
        cells_per_site: resident cells other than HSC per marrow site.
        blast_fraction: leukaemic share of resident cells.
        lsc_share: stem cells among leukaemic cells.
        quiescent_lsc: quiescent share of those.
        blast_stages: last stage of a blast; the blasts of a grown leukaemia are spread over all of them.
        blast_stage_ratio: blasts of a stage over those of the stage before.
        subclones: shares of cells that have lost an antigen or are a variant.
    """

    homeostasis: Homeostasis
    occupancy: float
    cells_per_site: float
    blast_fraction: float
    lsc_share: float
    quiescent_lsc: float
    blast_stages: int
    blast_stage_ratio: float = 1.0
    subclones: tuple[Subclone, ...] = ()


def initial_cells(
    tissue: NDArray[np.uint8], sites: NDArray[np.int64], seed: int, start: Start
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return the hot and cold words of the resident layer.

    Args:
        tissue: tissue bytes, any shape.
        sites: global sites, same shape.
        seed: run seed.
        start: composition.
    """
    flat, where = tissue.reshape(-1), np.flatnonzero((tissue.reshape(-1) & TISSUE_MASK) == Tissue.MARROW)
    r = philox(seed, sites.reshape(-1)[where], 0, Stream.INITIAL * 256)
    niche = (flat[where] & NICHE_MASK) != 0
    kind, stage = _ordinary(r[0], start)
    kind = np.where(niche, np.where(r[0] < _threshold(start.occupancy), Kind.HSC, Kind.EMPTY), kind)
    stage = np.where(niche, 0, stage)
    leukaemic = (kind != Kind.EMPTY) & (r[1] < _threshold(start.blast_fraction))
    lsc = leukaemic & (r[2] < _threshold(start.lsc_share))
    kind = np.where(leukaemic, np.where(lsc, Kind.LSC, Kind.BLAST), kind).astype(np.uint32)
    blast_stage = np.searchsorted(_stage_bounds(start), r[2] & np.uint32(0xFFFF), side="right")
    stage = np.where(leukaemic, np.where(lsc, 0, blast_stage), stage).astype(np.uint32)
    share = start.homeostasis.cycling.copy()
    share[Kind.LSC], share[Kind.BLAST] = 1.0 - start.quiescent_lsc, 1.0
    thresholds = np.minimum(share * _TWO32, _TWO32 - 1).astype(np.uint32)
    cycling = ((r[3] < thresholds[kind]) | (share[kind] >= 1.0)).astype(np.uint32)
    clone = np.where((kind == Kind.HSC) | (kind == Kind.LSC), r[3] >> np.uint32(16), np.uint32(0))
    hot, cold = np.zeros(flat.shape, np.uint32), np.zeros(flat.shape, np.uint32)
    word = (kind << _HOT["kind"]) | (np.uint32(Origin.HOST) << _HOT["origin"]) | (cycling << _HOT["cycle"])
    hot[where] = np.where(kind == Kind.EMPTY, np.uint32(0), word)
    cold[where] = np.where(kind == Kind.EMPTY, np.uint32(0), (clone << _COLD["clone"]) | (stage << _COLD["stage"]))
    _add_subclones(hot, cold, sites.reshape(-1), seed, start.subclones)
    return hot.reshape(tissue.shape), cold.reshape(tissue.shape)


def _add_subclones(
    hot: NDArray[np.uint32],
    cold: NDArray[np.uint32],
    sites: NDArray[np.int64],
    seed: int,
    subclones: tuple[Subclone, ...],
) -> None:
    """Let shares of the cells of some kinds have what they have from the start; of variants a cell is one at most."""
    first, taken = MARKS["variant"][0], dict[Kind, float]()
    for index, subclone in enumerate(subclones):
        where, share = np.flatnonzero((hot & np.uint32(0x3F)) == subclone.kind), subclone.share
        if variant := subclone.gain >> first:  # those that are none yet have to make up the whole share
            before = taken.get(subclone.kind, 0.0)
            taken[subclone.kind] = before + share
            share = share / max(1.0 - before, share)
        r = philox(seed, sites[where], _BEFORE_START, Stream.MUTATION * 256 + _FIRST_DRAW + index)[0]
        chosen = where[r < _threshold(share)]
        hot[chosen] |= np.uint32(subclone.gain & ((1 << first) - 1)) << _HOT["loss"]
        if variant:
            plain = chosen[(cold[chosen] >> _COLD["resist"]) & np.uint32(3) == 0]
            cold[plain] |= np.uint32(variant) << _COLD["resist"]


def _stage_bounds(start: Start) -> NDArray[np.float64]:
    """Return the upper bounds of 16 random bits for each stage of a blast but the last."""
    weight = start.blast_stage_ratio ** np.arange(start.blast_stages + 1)
    return np.cumsum(weight / weight.sum())[:-1] * 65536.0


def _threshold(probability: float) -> np.uint64:
    return np.uint64(min(probability, 1.0) * _TWO32)


def _ordinary(r: NDArray[np.uint32], start: Start) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw kind and stage of a site that is no niche."""
    pool = start.homeostasis.pool.copy()
    pool[Kind.HSC] = 0.0
    share = pool.reshape(-1) / fsum(pool.ravel().tolist()) * start.cells_per_site
    used = np.flatnonzero(share > 0)
    index = np.searchsorted(np.cumsum(share[used]) * _TWO32, r.astype(np.float64), side="right")
    chosen = np.append(used, 0)[index]
    return chosen // pool.shape[1], chosen % pool.shape[1]
