"""Why a graft takes late or never: its potency and the stroma it meets; patients without a lattice."""

from __future__ import annotations

import pytest

from abm import resources
from abm.config import load_config
from abm.well_mixed import WellMixed

pytestmark = pytest.mark.science

FILE = resources.folder("scenarios") / "aml_hsct.toml"
LATE, ENGRAFTED = 30.0, 0.5  #: day after which a graft has failed, ANC in 1e9/L
DAYS = 3  #: for which a count must hold


def engraftment_day(*changes: str, end: float = 36.0) -> float:
    """Return the first of 3 days with ANC of 0.5e9/L after the nadir; infinite if there is none."""
    usual = ("patient.blast_fraction=0.0", "time.step_min=180", f"time.end_day={end}")
    patient = WellMixed(load_config(FILE, [*usual, *changes], 1))
    low, held = False, 0
    while not patient.over:
        patient.advance()
        day = patient.config.day(patient.step)
        above = patient.body.blood.anc >= ENGRAFTED
        low = low or (day > 0.0 and not above)
        held = held + 1 if low and above else 0
        if held == DAYS * 8:
            return day - DAYS
    return float("inf")


def test_a_tender_stroma_lets_grafts_fail() -> None:
    """Few patients lose most of their stroma; the graft that fails in them takes in time in the usual one."""
    marrow = ('events.3.source="marrow"', "events.3.cd34_per_kg=2.8e6", "events.3.cd3_per_kg=2.5e7")
    assert engraftment_day(*marrow) < 24.0
    assert engraftment_day(*marrow, "patient.stroma_tenderness=10") > LATE
    with_blood = engraftment_day("patient.stroma_tenderness=4")
    assert engraftment_day() < with_blood < engraftment_day(*marrow, "patient.stroma_tenderness=4")


def test_potency_is_as_good_as_number() -> None:
    """The day depends on what engrafts, however many cells that is."""
    many = engraftment_day("events.3.cd34_per_kg=5e6")
    assert engraftment_day("events.3.cd34_per_kg=2.5e6", "events.3.potency=2.0") == many
    assert engraftment_day("events.3.cd34_per_kg=5e6", "events.3.potency=0.3") > many
