"""HIV passes between cells of the lattice alike on any number of ranks, also across the planes where they meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from abm.phases import HALO
from tests.mpi.launches import abm, last_word
from tests.unit.table_case import change, copied

pytestmark = pytest.mark.mpi


def test_two_ranks_give_the_hash_of_one(tmp_path: Path) -> None:
    rules = copied(tmp_path)
    change(rules, "hiv.csv", "target_memory,0.10", "target_memory,0.5")  # so many that infected cells meet others
    path = tmp_path / "acute.toml"
    path.write_text(
        f'seed = 7\n[patch]\nshape = [{2 * HALO + 3}, 16, 16]\nrules = "{rules}"\n'
        "[time]\nstart_day = 0\nend_day = 1\nstep_min = 120\n"
        '[patient]\ninfection = "hiv"\ninfection_day = -11.5\n',
        encoding="utf-8",
    )
    hashes = set()
    for ranks in (1, 2):
        done = abm(ranks, "run", str(path), "--out", str(tmp_path / str(ranks)), "--backend", "host", "--quiet")
        hashes.add(last_word(done))
    assert len(hashes) == 1
