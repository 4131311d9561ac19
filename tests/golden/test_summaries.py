"""Golden summaries: every shipped scenario, run to its end, gives what was committed of it.

Takes an hour of one core in all. Reset with ``python -m tests.golden.test_summaries [NAME ...]``, which keeps others,
and say so in CHANGELOG.md under *Results change*.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from abm import resources
from abm.backends import choose
from abm.config import load_config
from abm.io import state_hash
from abm.step import Simulation

FILE = Path(__file__).with_name("summaries.json")
SCENARIOS = {path.stem: path for path in sorted(Path(resources.folder("scenarios")).glob("*.toml"))}
#: What is told of the end of a run besides its hash, for those who read the file.
TOLD = ("anc", "platelets", "hb", "cd4", "cd8", "blast_percent", "donor_myeloid", "donor_t", "gvhd_grade")


def summary(name: str) -> dict[str, Any]:
    """Return hash and numbers of the end of a run."""
    sim = Simulation.start(load_config(SCENARIOS[name]), choose("auto")[0])
    while not sim.over:
        sim.advance()
    seen = sim.observables()
    told = {key: float(f"{seen[key]:.4g}") for key in TOLD if key in seen}
    return {"steps": sim.step, "hash": state_hash(sim.snapshot()), **told}


def committed() -> dict[str, dict[str, Any]]:
    """Return what is in the file by scenario."""
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", committed())
def test_the_end_is_the_pinned_one(name: str) -> None:
    assert summary(name) == committed()[name]


def test_all_shipped_scenarios_are_pinned_and_no_others() -> None:
    assert set(committed()) == set(SCENARIOS)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or SCENARIOS:
        made = summary(wanted)
        everything = committed() | {wanted: made}
        FILE.write_text(json.dumps(dict(sorted(everything.items())), indent=1) + "\n", encoding="utf-8")
        print(wanted, made, flush=True)
