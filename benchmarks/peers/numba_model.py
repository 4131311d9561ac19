"""marrow-lite in Numba: loops over planes and T cells, parallel, with counter-hash random numbers.

Numba has no atomic operations on a CPU, so several claims on one site are settled in two loops: all write their
number into it, then whoever reads its own number back has won. The threads are NUMBA_NUM_THREADS, or all cores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.model import DEATH, DIVISION, EMPTY, FACES, KILL, MOORE, TUMOUR, level, optional, start

NAME = "Numba"

numba, MISSING = optional("numba")
#: Without Numba the functions below stay Python, and nobody calls them.
prange: Any = numba.prange if numba else range

KILLED = 4  #: bit added to a tumour cell between the two phases
NOWHERE = -1  #: target of who stays
KILLS, DIES, DIVIDES = level(KILL), level(DEATH), level(DEATH + DIVISION)
STEPS, AROUND = np.array(FACES), np.array(MOORE)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return ``numba.njit`` with these options, or without Numba what leaves a function as it is."""
    return numba.njit(**options) if numba else lambda function: function


def available() -> str:
    """Return "" if this peer can run here, else the reason why not."""
    return MISSING


class Model:
    """The model in compact arrays."""

    def __init__(self, n: int, seed: int) -> None:
        self.resident, self.motile = start(n, seed)
        self.near = np.empty_like(self.resident)
        self.t_cells = np.argwhere(self.motile).astype(np.int32, order="C")
        self.t_targets = np.empty_like(self.t_cells)
        self.claims = np.empty((n, n, n), np.int32)
        # per plane, [0] .. [n_mothers - 1]; only pages that are touched cost memory
        self.mothers = np.empty((n, n * n, 2), np.int32)
        self.targets = np.empty((n, n * n, 3), np.int32)
        self.n_mothers = np.empty(n, np.int64)
        self.rng = np.random.default_rng(seed)

    def step(self) -> None:
        """Advance by one step."""
        keys = self.rng.integers(0, 1 << 64, 3, np.uint64)
        look_around(self.resident, self.near)
        act(self.resident, self.motile, self.near, self.t_cells, self.t_targets, self.claims, keys[0])
        hop(self.motile, self.t_cells, self.t_targets, self.claims)
        sweep(self.resident, self.mothers, self.n_mothers, keys[1])
        claim(self.resident, self.mothers, self.n_mothers, self.targets, self.claims, keys[2])
        divide(self.resident, self.mothers, self.n_mothers, self.targets, self.claims)

    def counts(self) -> dict[str, int]:
        """Return the numbers of cells."""
        return {
            "resident": int(np.count_nonzero(self.resident)),
            "tumour": int(np.count_nonzero(self.resident == TUMOUR)),
            "t_cells": int(np.count_nonzero(self.motile)),
        }


@compiled(inline="always")
def wrap(i: Any, n: Any) -> Any:
    """Return coordinate ``i`` of -1 .. n on a ring of n."""
    return n - 1 if i < 0 else 0 if i == n else i


@compiled()
def mix(number: Any, key: Any) -> Any:
    """Return 64 random bits; splitmix64."""
    # every operand is unsigned: with an int64 among them Numba would calculate in floating point
    x = key + np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled()
def bits(word: Any, part: Any) -> Any:
    """Return the 16-bit number ``part`` (0 .. 3) of a 64-bit one."""
    return np.int64((word >> np.uint64(16 * part)) & np.uint64(0xFFFF))


@compiled(parallel=True)
def look_around(resident: Any, near: Any) -> None:
    """Fill ``near``: not 0 where a site or one of the 26 around it holds a tumour cell."""
    n = len(resident)
    for z in prange(n):
        line = np.empty(n + 2, np.uint8)
        for y in range(n):
            line[:] = 0
            for i in range(9):
                row = resident[wrap(z + i // 3 - 1, n), wrap(y + i % 3 - 1, n)]
                for x in range(n):
                    line[x + 1] |= row[x]
            line[0], line[n + 1] = line[n], line[1]
            for x in range(n):
                near[z, y, x] = (line[x] | line[x + 1] | line[x + 2]) & TUMOUR


@compiled()
def kill_one(resident: Any, z: Any, y: Any, x: Any, draw: Any) -> None:
    """Mark one of the tumour cells at or around a site, of which there is at least one."""
    n = len(resident)
    places = np.empty(27, np.int64)
    count = 0
    for i in range(27):
        places[count] = i
        step = AROUND[i]
        if resident[wrap(z + step[0], n), wrap(y + step[1], n), wrap(x + step[2], n)] & TUMOUR:
            count += 1
    step = AROUND[places[draw * count >> 16]]
    # others read this site meanwhile, but only the bit that stays
    resident[wrap(z + step[0], n), wrap(y + step[1], n), wrap(x + step[2], n)] = TUMOUR | KILLED


@compiled(parallel=True)
def act(resident: Any, motile: Any, near: Any, t_cells: Any, targets: Any, claims: Any, key: Any) -> None:
    """Let T cells engage, or claim the site that they want to hop to."""
    n = len(resident)
    for i in prange(len(t_cells)):
        z, y, x = t_cells[i]
        word = mix(i, key)
        targets[i, 0] = NOWHERE
        if near[z, y, x]:
            if bits(word, 0) < KILLS:
                kill_one(resident, z, y, x, bits(word, 1))
            continue
        step = STEPS[bits(word, 2) * 6 >> 16]
        z, y, x = wrap(z + step[0], n), wrap(y + step[1], n), wrap(x + step[2], n)
        if not motile[z, y, x]:
            targets[i, 0], targets[i, 1], targets[i, 2] = z, y, x
            claims[z, y, x] = i


@compiled(parallel=True)
def hop(motile: Any, t_cells: Any, targets: Any, claims: Any) -> None:
    """Move the T cells whose claim has won."""
    for i in prange(len(t_cells)):
        z, y, x = targets[i]
        if z == NOWHERE or claims[z, y, x] != i:
            continue
        motile[t_cells[i, 0], t_cells[i, 1], t_cells[i, 2]] = 0
        motile[z, y, x] = 1
        t_cells[i] = targets[i]


@compiled(parallel=True)
def sweep(resident: Any, mothers: Any, n_mothers: Any, key: Any) -> None:
    """Remove the dead of every plane and list its mothers."""
    n = len(resident)
    for z in prange(n):
        found = 0
        for y in range(n):
            for x in range(n):
                if x % 4 == 0:
                    word = mix((z * n + y) * n + x, key)
                draw, cell = bits(word, x % 4), resident[z, y, x]
                # the rare case first: whether there is a cell at all is a branch predicted wrong
                if draw >= DIVIDES and cell < KILLED:
                    continue
                if draw < DIES or cell & KILLED:
                    resident[z, y, x] = EMPTY
                elif cell != EMPTY:
                    mothers[z, found] = y, x
                    found += 1
        n_mothers[z] = found


@compiled(parallel=True)
def claim(resident: Any, mothers: Any, n_mothers: Any, targets: Any, claims: Any, key: Any) -> None:
    """Let every mother claim a random empty face neighbour."""
    n = len(resident)
    for z in prange(n):
        faces = np.empty(6, np.int64)
        for i in range(n_mothers[z]):
            y, x = mothers[z, i]
            count = 0
            for face in range(6):
                faces[count] = face
                step = STEPS[face]
                if resident[wrap(z + step[0], n), wrap(y + step[1], n), wrap(x + step[2], n)] == EMPTY:
                    count += 1
            targets[z, i, 0] = NOWHERE
            if count:
                number = (z * n + y) * n + x
                step = STEPS[faces[bits(mix(number, key), 0) * count >> 16]]
                at = wrap(z + step[0], n), wrap(y + step[1], n), wrap(x + step[2], n)
                targets[z, i] = at
                claims[at] = number


@compiled(parallel=True)
def divide(resident: Any, mothers: Any, n_mothers: Any, targets: Any, claims: Any) -> None:
    """Put the daughters of the mothers whose claim has won."""
    n = len(resident)
    for z in prange(n):
        for i in range(n_mothers[z]):
            y, x = mothers[z, i]
            tz, ty, tx = targets[z, i]
            if tz != NOWHERE and claims[tz, ty, tx] == (z * n + y) * n + x:
                resident[tz, ty, tx] = resident[z, y, x]
