"""Engineered T cells see the whole lattice, however it is cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from abm.phases import HALO
from tests.mpi.launches import abm, last_word

pytestmark = pytest.mark.mpi

SCENARIO = f"""
seed = 7
[patch]
shape = [{3 * HALO + 2}, 13, 18]
[time]
start_day = -1
end_day = 0
[patient]
disease = "all"
blast_fraction = 0.4
donor = "autologous"
preexisting_mutants = 1e5
[[events]]
action = "cells"
day = -0.75
product = "car_t"
receptor = "CAR_CD19"
cells_per_kg = 1e9
"""


def test_any_number_of_ranks_gives_one_hash(tmp_path: Path) -> None:
    path = tmp_path / "treated.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    found = {
        ranks: last_word(abm(ranks, "run", str(path), "--quiet", "--out", str(tmp_path / str(ranks))))
        for ranks in (1, 2, 3)
    }
    assert len(set(found.values())) == 1, found
