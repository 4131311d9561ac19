"""Philox4x32-10 counter-based random numbers (Salmon et al., SC 2011) in NumPy.

Bit-identical to ``kernels/philox.cuh``. Works on blocks small enough to stay in cache.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from abm.streams import GATE_SITES

U32 = NDArray[np.uint32]

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_FACTORS = np.array([[_M1], [_M0]], np.uint64)
_W0 = 0x9E3779B9
_W1 = 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(32)
_BLOCK = 8192
_FEW = 8  #: so few counters are done sooner one by one
_AHEAD = 512  #: words drawn at a time where a step needs few


def philox(
    seed: int, site: NDArray[np.int64] | NDArray[np.uint64], step: int | NDArray[np.int64], word: int
) -> tuple[U32, U32, U32, U32]:
    """Draw four 32-bit words per site.

    Args:
        seed: 64-bit key.
        site: global sites, any shape.
        step: 32-bit step number, or one for every site, of their shape.
        word: ``stream * 256 + draw``.

    Returns:
        Four uint32 arrays of the shape of ``site``.
    """
    sites = np.ascontiguousarray(site).reshape(-1).astype(np.uint64, copy=False)
    steps = step if isinstance(step, int) else np.reshape(step, -1)
    if sites.size <= _FEW and isinstance(steps, int):
        few = np.array([philox_scalar(seed, one, steps, word) for one in sites.tolist()], np.uint32)
        return tuple(few.reshape(-1, 4).T.reshape(4, *np.shape(site)))
    out = np.empty((4, sites.size), np.uint32)
    for start in range(0, sites.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        _rounds(seed, sites[block], steps if isinstance(steps, int) else steps[block], word, out[:, block])
    shape = np.shape(site)
    return tuple(out[j].reshape(shape) for j in range(4))


def _rounds(
    seed: int, site: NDArray[np.uint64], step: int | NDArray[np.int64], word: int, out: NDArray[np.uint32]
) -> None:
    """Ten rounds on one block; 64-bit lanes hold 32-bit values, both multiplications stand in one array."""
    even, odd, product = (np.empty((2, site.size), np.uint64) for _ in range(3))  # words 0 and 2; words 1 and 3
    even[0], odd[0] = site & _LOW, site >> _HIGH
    even[1], odd[1] = step & 0xFFFFFFFF, word & 0xFFFFFFFF
    for key in _keys(seed):
        np.multiply(even[::-1], _FACTORS, out=product)
        # c0' = hi(p1) ^ c1 ^ k0 ; c1' = lo(p1) ; c2' = hi(p0) ^ c3 ^ k1 ; c3' = lo(p0)
        np.right_shift(product, _HIGH, out=even)
        even ^= odd
        even ^= key
        np.bitwise_and(product, _LOW, out=odd)
    out[0::2], out[1::2] = even, odd


@lru_cache(maxsize=8)
def _keys(seed: int) -> tuple[NDArray[np.uint64], ...]:
    """Return the keys of the ten rounds, each of shape (2, 1)."""
    return tuple(np.array(pair, np.uint64)[:, np.newaxis] for pair in _key_pairs(seed))


@lru_cache(maxsize=8)
def _key_pairs(seed: int) -> tuple[tuple[int, int], ...]:
    first, second = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    return tuple(((first + j * _W0) & 0xFFFFFFFF, (second + j * _W1) & 0xFFFFFFFF) for j in range(10))


class Ahead:
    """First words of one stream for the sites 0, 1, ... of step after step, drawn for several steps at a time.

    For the few words of a step NumPy would take fifty calls as well. Nothing is lost or drawn twice: a draw is a
    function of site and step.
    """

    def __init__(self, seed: int, word: int) -> None:
        """Draw nothing yet; ``word``: ``stream * 256 + draw``."""
        self._seed, self._word = seed, word
        self._first, self._words, self._asked = 0, np.zeros((0, 0), np.uint32), 0

    def __call__(self, step: int, n: int) -> U32:
        """Return the words of the sites 0 to n - 1."""
        row, self._asked = step - self._first, n
        if not 0 <= row < len(self._words) or n > self._words.shape[1]:
            width = n if n > _AHEAD else 1 << max(n - 1, 0).bit_length()
            rows = max(_AHEAD // max(width, 1), 1)
            sites, steps = np.tile(np.arange(width), rows), np.repeat(np.arange(step, step + rows), width)
            words = philox(self._seed, sites, steps, self._word)[0]
            self._first, self._words, row = step, words.reshape(rows, width), 0
        return self._words[row, :n]

    def prepare(self, step: int) -> None:
        """Draw now what a step will ask for if it asks for hardly more than the last one, where these are many."""
        if (n := self._asked) > _AHEAD:
            self(step, n + n // 64)
            self._asked = n


def gates(seed: int, site: NDArray[np.int64], step: int, word: int) -> U32:
    """Return a random byte for each of the ascending global sites; GATE_SITES neighbours share a draw."""
    group = site // GATE_SITES
    first = np.flatnonzero(np.diff(group, prepend=-1))  # where another draw begins
    words = np.stack(philox(seed, group[first], step, word), axis=1)
    number = np.repeat(np.arange(first.size), np.diff(first, append=site.size))
    j = site % GATE_SITES
    return (words[number, j // 4] >> (8 * (j % 4)).astype(np.uint32)) & np.uint32(255)


def philox_scalar(seed: int, site: int, step: int, word: int) -> tuple[int, int, int, int]:
    """Draw four words for one counter with plain integers (body draws, tests)."""
    c0, c1, c2, c3 = site & 0xFFFFFFFF, (site >> 32) & 0xFFFFFFFF, step & 0xFFFFFFFF, word & 0xFFFFFFFF
    for k0, k1 in _key_pairs(seed):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c3 ^ k1, p0 & 0xFFFFFFFF
    return c0, c1, c2, c3
