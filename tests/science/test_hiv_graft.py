"""Grafts a part of which lacks CCR5: virus comes back below a share of 1 - 1/R0 and not above it."""

from __future__ import annotations

from pathlib import Path

import pytest

from abm import resources
from abm.config import load_config
from abm.sweep import follow
from tests.unit.hiv_case import infected, virus_of
from tests.unit.table_case import FOLDER

pytestmark = [pytest.mark.science, pytest.mark.slow]

PATIENT = ("patient.disease=none", "patient.blast_fraction=0", "patient.infection_day=-500", "patient.art_day=-200")
COARSE = ("time.step_min=1440", "time.end_day=1200", "output.series_h=240")
SEEN = 50.0  #: copies/mL


def after(share: float, rules: Path) -> tuple[float, float]:
    """Return the highest load of the last half year, and the protected share of CD4 cells at the end."""
    path = resources.folder("scenarios") / "ccr5_hiv.toml"
    given = (*PATIENT, *COARSE, f"patch.rules={rules}", f"events.7.ccr5_null={share}")
    rows = list(follow(load_config(path, given, 1), ("hiv_load", "ccr5_null")))
    return max(load for day, load, _ in rows if day >= 1020), rows[-1][2]


def test_control_begins_near_one_minus_one_over_r0(tmp_path: Path) -> None:
    """And below it virus takes what it can enter, until the protected share has risen towards the threshold."""
    table = (FOLDER / "human" / "hiv.csv").read_text(encoding="utf-8")
    rules = tmp_path / "r5"
    rules.mkdir()
    (rules / "hiv.csv").write_text(table.replace("x4_mutation,1e-6", "x4_mutation,0"), encoding="utf-8")
    body = infected()
    threshold = 1.0 - 1.0 / virus_of(body).reproduction_number(body.lymphocytes.pools)
    assert threshold == pytest.approx(0.91, abs=0.01)
    load, protected = after(threshold - 0.06, rules)
    assert load > 10 * SEEN
    assert threshold - 0.03 < protected < threshold + 0.04
    load, protected = after(threshold + 0.04, rules)
    assert load < SEEN
    assert protected == pytest.approx(threshold + 0.04, abs=0.01)
