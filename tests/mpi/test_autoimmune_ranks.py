"""A patient with an autoimmune disease is the same on any number of ranks: its draws are made once, for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from abm.phases import HALO
from tests.mpi.launches import abm, last_word

pytestmark = pytest.mark.mpi


@pytest.mark.parametrize("disease", ["ms", "sle"])
def test_two_ranks_give_the_hash_of_one(tmp_path: Path, disease: str) -> None:
    path = tmp_path / "ill.toml"
    path.write_text(
        f"seed = 7\n[patch]\nshape = [{2 * HALO + 3}, 13, 14]\n[time]\nstart_day = -1\nend_day = 1\n"
        f'[patient]\ndisease = "{disease}"\ndonor = "autologous"\n'
        '[[events]]\nday = -0.5\naction = "chemo"\ndrug = "cyclophosphamide"\ndose_mg_per_kg = 50\n'
        '[[events]]\nday = 0\naction = "graft"\nsource = "blood"\ncd34_per_kg = 2e8\ncd3_per_kg = 2e9\n',
        encoding="utf-8",
    )
    hashes = set()
    for ranks in (1, 2):
        done = abm(ranks, "run", str(path), "--out", str(tmp_path / str(ranks)), "--backend", "numpy", "--quiet")
        hashes.add(last_word(done))
    assert len(hashes) == 1
