"""Crowded lymphocytes that kill by the thousand, across the edges of slabs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.law.dense import strong
from tests.mpi.launches import abm

pytestmark = pytest.mark.mpi


def test_ranks_give_the_words_of_one(tmp_path: Path) -> None:
    rules = strong(tmp_path)
    said = {abm(n, "host", str(rules), program=("-m", "tests.law.dense")).stdout for n in (1, 2, 3)}
    assert len(said) == 1
    [line] = said
    kills = [int(text) for text in line[line.index("[") + 1 : line.index("]")].split(", ")]
    assert kills[0] > 10_000
