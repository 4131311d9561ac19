"""Twins of ``kernels/measure.cu``: exact integer counts, one row per plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_COUNTS, N_KINDS, N_ORIGINS, NICHE_MASK, Count, Event
from abm.reference.lattice import HOT, I64, U8, U32, Bool, get, kind_of, neighbour, slot_of

_SLOTS = N_KINDS * N_ORIGINS


def tally(
    n: int,
    *,
    first_plane: int,
    ny: int,
    nx: int,
    hot: U32,
    action: U32,
    winner: U8,
    hot_next: U32,
    tissue: U8,
    counts: NDArray[np.int64],
) -> None:
    """Add the events of one layer to counts[plane][count][kind][origin]."""
    plane = ny * nx
    start = first_plane * plane
    part = slice(start, start + n * plane)
    old, act = hot.reshape(-1), action.reshape(-1)
    before, after = old[part], hot_next.reshape(-1)[part]

    table = counts.reshape(-1)[: n * N_COUNTS * _SLOTS].reshape(n, N_COUNTS, _SLOTS)

    def add(count: int | I64, where: I64, slots: I64) -> None:
        if where.size < table.size // 8:
            np.add.at(table.reshape(-1), (where // plane * N_COUNTS + count) * _SLOTS + slots, 1)
        else:
            table[:, count] += np.bincount((where // plane) * _SLOTS + slots, minlength=n * _SLOTS).reshape(n, -1)

    here = np.flatnonzero(after)
    slots = slot_of(after[here])
    add(Count.POPULATION, here, slots)
    niche = (tissue.reshape(-1)[part][here] & NICHE_MASK) != 0
    add(Count.NICHE, here[niche], slots[niche])
    resting = get(after[here], HOT["cycle"]) == 0
    add(Count.QUIESCENT, here[resting], slots[resting])

    event = (act[part] & np.uint32(15)).astype(np.int64)
    gone = np.flatnonzero((before != 0) & (event >= Event.DIE) & (event <= Event.EGRESS))
    add(Count.DIE + event[gone] - Event.DIE, gone, slot_of(before[gone]))

    pulled = np.flatnonzero((before == 0) & (winner.reshape(-1)[part] != 0))
    source = neighbour(pulled + start, winner.reshape(-1)[part][pulled].astype(np.int64) - 1, ny, nx)
    born = (act[source] & np.uint32(15)) == Event.DIVIDE
    pulled, mother = pulled[born], old[source[born]]
    add(Count.BIRTH, pulled, slot_of(mother))

    stayed = np.flatnonzero((before != 0) & (after != 0))
    _transitions(add, stayed, before[stayed], after[stayed])
    _transitions(add, pulled, mother, after[pulled])


def _transitions(add: object, where: I64, old: U32, new: U32) -> None:
    changed: Bool = slot_of(old) != slot_of(new)
    add(Count.LEFT, where[changed], slot_of(old[changed]))  # type: ignore[operator]
    add(Count.BECAME, where[changed], slot_of(new[changed]))  # type: ignore[operator]


def collect(
    n: int,
    *,
    first_plane: int,
    ny: int,
    nx: int,
    room: int,
    hot: U32,
    cold: U32,
    action: U32,
    chosen: U8,
    leavers: NDArray[np.int64],
    words: U32,
) -> None:
    """Write the words of leaving cells of the chosen kinds, up to ``room`` per plane, and their number."""
    plane, out = ny * nx, words.reshape(-1)
    for i in range(n):
        part = slice((first_plane + i) * plane, (first_plane + i + 1) * plane)
        h = hot.reshape(-1)[part]
        leaving = ((action.reshape(-1)[part] & np.uint32(15)) == Event.EGRESS) & (chosen[kind_of(h)] != 0)
        found = np.flatnonzero(leaving)
        leavers.reshape(-1)[i] = found.size
        for k, l in enumerate(found[:room]):  # noqa: E741 - l is the site everywhere in the kernels
            out[(i * room + k) * 2] = h[l]
            out[(i * room + k) * 2 + 1] = cold.reshape(-1)[part][l]
