"""Cells from the blood take the same sites whichever asks when, on every backend and any number of slabs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import copy
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from abm import cells, lodgement
from abm.backends import team
from abm.backends.host import HostBackend
from abm.backends.numpy_backend import NumpyBackend
from abm.cells import NOWHERE, SITE_BITS, Kind, Tissue
from abm.comm import SerialComm
from abm.philox import philox_scalar
from abm.streams import Stream
from tests.conftest import absence
from tests.kernels.emulated import DOWNWARDS, UPWARDS, EmulatedGpu
from tests.kernels.states import State, random_state
from tests.kernels.test_parity import RULES, Guarded

SEED, STEP = 2**63 + 5, 7
SHAPE = (12, 6, 7)
LAYERS = ("res_hot", "res_cold", "mot_hot", "mot_cold")
#: Lattices (filling, number of cells): room for all, many rivals, none.
CASES = [(0.3, 1), (0.3, 90), (0.9, 300), (1.0, 40)]


class Seekers:
    """Cells that look for a site: lymphocytes, stem cells, which want a niche, and progenitors."""

    def __init__(self, n: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.cold = rng.integers(0, 2**32, n, dtype=np.uint32)
        kinds = rng.choice([Kind.TREG, Kind.HSC, Kind.GMP], n).astype(np.uint32)
        self.hot = self.cold[::-1] & ~np.uint32(63) | kinds
        self.last, self.first = np.cumsum(rng.integers(1, 20, n)), 0

    def only(self, cell: int) -> Seekers:
        """Return one cell by itself, with the candidates that it has among all."""
        alone = copy(self)
        alone.hot, alone.cold, alone.last = (values[cell : cell + 1] for values in (self.hot, self.cold, self.last))
        alone.first = int(self.last[cell - 1]) if cell else 0
        return alone

    def take(self, lattice: Guarded) -> list[NDArray[Any]]:
        """Return their places, and the layers afterwards."""
        place = lattice.lodge(STEP, self.hot, self.cold, self.last)()
        assert lattice.intact()
        return [place, *(lattice.owned(name) for name in LAYERS)]


def whole(filling: float, seed: int) -> State:
    return random_state(SHAPE, seed, filling, RULES, 0, 1)


def told(state: State, seekers: Seekers) -> list[int]:
    """Return the places by the rule as it is told: one cell after the other takes the first site that is still free."""
    domain, chosen = state.domain, state.tables["chosen"]
    flat = {name: array.reshape(-1) for name, array in state.arrays.items()}
    taken: set[tuple[int, bool]] = set()
    places, first = [], seekers.first
    for hot, last in zip(seekers.hot.tolist(), seekers.last.tolist(), strict=True):
        motile, place = (hot & 63) >= cells.FIRST_MOTILE, NOWHERE
        for j in range(first, last):
            high, low, *_ = philox_scalar(SEED, j, STEP, Stream.ARRIVAL * 256)
            site = (high << 32 | low) % domain.total
            label = int(flat["tissue"][site - domain.origin])
            is_open = flat["mot_hot" if motile else "res_hot"][site - domain.origin] == 0
            is_open &= label & cells.TISSUE_MASK == Tissue.MARROW and (site, motile) not in taken
            if is_open and (not chosen[hot & 63] or label & cells.NICHE_MASK):
                taken.add((site, motile))
                place = (j - first) << SITE_BITS | site
                break
        places.append(place)
        first = last
    return places


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), n=st.integers(1, 120), filling=st.sampled_from([0.0, 0.5, 0.9, 0.98, 1.0]))
def test_cells_are_served_in_their_order(backend: Any, seed: int, n: int, filling: float) -> None:
    state, seekers = whole(filling, seed), Seekers(n, seed)
    place, *layers = seekers.take(Guarded(backend, state, SEED))
    assert place.tolist() == told(state, seekers)
    found = np.flatnonzero(place != NOWHERE)
    site, motile = place[found] & ((1 << SITE_BITS) - 1), seekers.hot[found] & 63 >= cells.FIRST_MOTILE
    inner = slice(state.domain.halo, -state.domain.halo)
    for name, after in zip(LAYERS, layers, strict=True):
        mine = motile == name.startswith("mot")
        expected = state.arrays[name][inner].copy()
        words = seekers.hot if name.endswith("hot") else seekers.cold
        expected.reshape(-1)[site[mine]] = words[found[mine]]
        np.testing.assert_array_equal(after, expected, err_msg=name)


@pytest.mark.parametrize(("filling", "n"), CASES)
def test_traffic_is_bit_identical(backend: Any, filling: float, n: int) -> None:
    state, seekers = whole(filling, n), Seekers(n, n)
    expected = seekers.take(Guarded(NumpyBackend(), state, SEED))
    for one, other in zip(expected, seekers.take(Guarded(backend, state, SEED)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_cases_have_rivals_and_long_searches() -> None:
    filling, n = CASES[2]
    state, seekers = whole(filling, n), Seekers(n, n)
    place, *_ = seekers.take(Guarded(NumpyBackend(), state, SEED))
    wanted = [told(state, seekers.only(cell))[0] for cell in range(n)]
    assert 20 < (place != NOWHERE).sum() < n - 20
    assert (place[place != NOWHERE] >> SITE_BITS).max() > 8, "more than the twin draws at a time"
    assert np.count_nonzero(place != wanted) > 40, "cells that others leave without the site they would have alone"


class Together(SerialComm):
    """Slabs in threads of this process that meet to agree."""

    def __init__(self, rank: int, given: list[Any], meet: Barrier) -> None:
        self.rank, self.size, self.given, self.meet = rank, len(given), given, meet

    def least(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        self.given[self.rank] = values
        self.meet.wait(60)
        found: NDArray[np.int64] = np.min(self.given, axis=0)
        self.meet.wait(60)
        return found


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize(("filling", "n"), CASES)
def test_slabs_agree_with_the_whole_lattice(backend: Any, filling: float, n: int, size: int) -> None:
    seekers = Seekers(n, n)
    place, *layers = seekers.take(Guarded(backend, whole(filling, n), SEED))
    given, meet = [None] * size, Barrier(size)
    slabs = [Guarded(backend, random_state(SHAPE, n, filling, RULES, rank, size), SEED) for rank in range(size)]
    for rank, slab in enumerate(slabs):
        slab.comm = Together(rank, given, meet)
    with ThreadPoolExecutor(size) as pool:
        found = list(pool.map(seekers.take, slabs))
    for places, *_ in found:
        np.testing.assert_array_equal(places, place)
    for number, layer in enumerate(layers, 1):
        np.testing.assert_array_equal(np.concatenate([one[number] for one in found]), layer)


@pytest.mark.skipif(bool(absence("host")), reason=absence("host") or "there is a compiler")
@pytest.mark.parametrize("threads", [32, 64, 256])
@pytest.mark.parametrize(("filling", "n"), CASES)
def test_no_order_of_threads_matters(filling: float, n: int, threads: int) -> None:
    state, seekers, gpu = whole(filling, n), Seekers(n, n), EmulatedGpu(threads=threads)
    expected = seekers.take(Guarded(NumpyBackend(), state, SEED))
    for order in (UPWARDS, DOWNWARDS, *range(2, 8)):
        gpu.device.order = order
        for one, other in zip(expected, seekers.take(Guarded(gpu, state, SEED)), strict=True):
            np.testing.assert_array_equal(one, other, err_msg=f"order {order}")


def test_lists_grow_and_shrink(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lodgement, "ROOM", 4)
    lattice = Guarded(backend, whole(0.5, 1), SEED)
    rooms = []
    for n in (3, 5, 120, 8, 7, 1):
        state = whole(0.5, 1)
        for name in LAYERS:
            lattice.backend.copy(lattice.arrays[name], state.arrays[name])
        assert Seekers(n, n).take(lattice)[0].tolist() == told(state, Seekers(n, n))
        rooms.append(lattice.lodge.room)
    assert rooms == [4, 8, 128, 128, 8, 8]


@pytest.mark.skipif(bool(absence("host")), reason=absence("host") or "there is a compiler")
def test_threads_of_the_host_that_race_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rivals in pieces of a few cells, again and again: with one thread it shows nothing."""
    monkeypatch.setattr(team, "PIECE_SITES", 4)
    backend = HostBackend()
    filling, n = CASES[2]
    state, seekers = whole(filling, n), Seekers(n, n)
    expected = seekers.take(Guarded(NumpyBackend(), state, SEED))
    for _ in range(100):
        for one, other in zip(expected, seekers.take(Guarded(backend, state, SEED)), strict=True):
            np.testing.assert_array_equal(one, other)
