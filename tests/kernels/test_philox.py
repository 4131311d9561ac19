"""Philox4x32-10 gives the known answers of Random123 and the same words in every language."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abm.backends.host import HostBackend
from abm.errors import BackendError
from abm.philox import Ahead, gates, philox, philox_scalar

Words = tuple[int, ...]

#: Random123 1.14, tests/kat_vectors, "philox4x32 10": counter, key, result.
KNOWN_ANSWERS = [
    (
        (0x00000000, 0x00000000, 0x00000000, 0x00000000),
        (0x00000000, 0x00000000),
        (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ),
    (
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]

SOURCE = """
#include "philox.cuh"
KERNEL(draw)(int64_t n, uint64_t seed, uint32_t step, uint32_t word, const uint64_t* site, uint32_t* out) {
    FOR_EACH (i, n) {
        philox(seed, site[i], step, word, out + 4 * i);
    }
}
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> HostBackend:
    folder = tmp_path_factory.mktemp("philox")
    (folder / "draw.cu").write_text(SOURCE)
    try:
        return HostBackend(folder)
    except BackendError as error:
        pytest.skip(str(error))


def draw_numpy(seed: int, site: list[int], step: int, word: int) -> np.ndarray:
    return np.stack(philox(seed, np.array(site, np.uint64), step, word), axis=-1)


def draw_scalar(seed: int, site: list[int], step: int, word: int) -> np.ndarray:
    return np.array([philox_scalar(seed, one, step, word) for one in site], np.uint32)


def draw_host(host: HostBackend, seed: int, site: list[int], step: int, word: int) -> np.ndarray:
    out = host.alloc((len(site), 4), np.uint32)
    host.launch("draw", len(site), seed=seed, step=step, word=word, site=np.array(site, np.uint64), out=out)
    return out


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_numpy_gives_the_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    arguments = (key[0] | key[1] << 32, [counter[0] | counter[1] << 32], counter[2], counter[3])
    seed, site, step, word = arguments
    for n in (1, 20):  # few are drawn one by one
        assert draw_numpy(seed, site * n, step, word).tolist() == [list(expected)] * n
    assert draw_scalar(*arguments)[0].tolist() == list(expected)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_host_gives_the_known_answers(host: HostBackend, counter: Words, key: Words, expected: Words) -> None:
    site = [counter[0] | counter[1] << 32]
    assert draw_host(host, key[0] | key[1] << 32, site, counter[2], counter[3])[0].tolist() == list(expected)


word32 = st.integers(0, 2**32 - 1)
word64 = st.integers(0, 2**64 - 1)


@given(seed=word64, site=st.lists(word64, min_size=1, max_size=20), step=word32, word=word32)
def test_all_forms_agree(host: HostBackend, seed: int, site: list[int], step: int, word: int) -> None:
    expected = draw_scalar(seed, site, step, word)
    np.testing.assert_array_equal(draw_numpy(seed, site, step, word), expected)
    np.testing.assert_array_equal(draw_host(host, seed, site, step, word), expected)


def test_blocks_of_the_numpy_form_do_not_show() -> None:
    site = np.arange(20_000, dtype=np.int64)
    np.testing.assert_array_equal(np.stack(philox(5, site, 1, 2), -1)[-1], philox_scalar(5, 19_999, 1, 2))


def test_each_site_may_have_a_step_of_its_own() -> None:
    site = np.arange(9000, dtype=np.int64).reshape(2, 4500)  # more than a block
    step = site % 7
    found = np.stack(philox(5, site, step, 2), -1)
    for one in (0, 6, 8999):
        assert found.reshape(-1, 4)[one].tolist() == list(philox_scalar(5, one, one % 7, 2))
    assert found.shape == (2, 4500, 4)


def test_what_is_drawn_ahead_is_what_is_drawn_in_time() -> None:
    ahead = Ahead(5, 769)
    for step, n in ((3, 2), (4, 2), (5, 40), (6, 1), (6, 0), (2000, 3), (4, 700), (5, 700)):
        assert ahead(step, n).tolist() == [philox_scalar(5, site, step, 769)[0] for site in range(n)]


@pytest.mark.parametrize("first", [0, 5, 2**32 - 20])
def test_gates_are_the_bytes_of_shared_draws(first: int) -> None:
    sites = np.array([s for s in range(first, first + 70) if s % 3], np.int64)
    found = gates(77, sites, 4, 769)
    for site, gate in zip(sites.tolist(), found.tolist(), strict=True):
        words = philox_scalar(77, site // 16, 4, 769)
        assert gate == words[site % 16 // 4] >> 8 * (site % 4) & 255
    assert gates(77, sites[:0], 4, 769).size == 0
