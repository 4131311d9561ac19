"""Growth factors: what they answer to, and what is injected."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from abm.cells import Count, Kind, Origin
from abm.model.body import Dose
from abm.model.body.cytokines import Cytokines
from tests.unit.body_case import counts, live, make_body

BLOOD_GRAFT = Dose("graft", "blood", cd34=3.5e8, cd3=2e10)


def test_growth_factors_in_aplasia() -> None:
    body = make_body()
    tpo = []
    for _ in range(14):  # transfused platelets take up TPO
        live(body, 1, step_h=1.0, host=0.0)
        tpo.append(body.signals()["tpo"])
    signals = body.signals()
    assert 30 < signals["gcsf"] < 45
    assert 25 < signals["flt3l"] < 35
    assert 5 < max(tpo) <= 20
    assert signals["epo"] > 2
    body.blood.red_cells *= 0.3
    live(body, 3, host=0.0)
    assert body.signals()["epo"] <= 100.0
    body.lymphocytes.pools[:] = 0.0
    assert body.signals()["il7"] == pytest.approx(10.0)


def test_tpo_tells_lost_platelets_from_a_marrow_that_makes_none() -> None:
    """A tenth of the platelets: TPO hardly raised with three times the megakaryocytes, 8-fold with none."""
    rules = make_body().cytokines.rules
    level = {}
    for megakaryocytes in (0.0, 1.0, 3.0, None):
        cytokines = Cytokines(rules, anc=4.0, platelets=200.0, hb=145.0)
        cytokines.advance(4.0, 20.0, 145.0, 60 * 24.0, megakaryocytes)
        level[megakaryocytes] = cytokines.tpo
    assert 0.7 < level[3.0] < 1.5
    assert 2.0 < level[1.0] < 4.0
    assert 6.0 < level[None] < level[0.0] < 20.0
    assert level[0.0] == pytest.approx(1 / (0.05 + 0.95 * 0.08))


def test_the_body_counts_megakaryocytes_where_their_usual_number_is_known() -> None:
    body = make_body()
    body.scale = replace(body.scale, megakaryocytes=200.0)
    table = counts(body, 1.0)
    table[Count.POPULATION, Kind.MEGAKARYOCYTE, Origin.HOST] = 150
    table[Count.POPULATION, Kind.PLATELET_FORMING_MK, Origin.DONOR] = 50
    for _ in range(24):
        body.advance(1.0, body.day + 1 / 24, table, ())
    assert body.signals()["tpo"] == pytest.approx(1.0, abs=1e-6)
    table[Count.POPULATION, Kind.MEGAKARYOCYTE] = 0
    for _ in range(24):
        body.advance(1.0, body.day + 1 / 24, table, ())
    assert 1.05 < body.signals()["tpo"] < 1.4
    assert body.signals()["cni"] == body.signals()["inflammation_body"] == 0.0


@pytest.mark.parametrize("step_h", [0.25, 1.0, 4.0])
def test_injected_gcsf_has_its_area_and_half_life(step_h: float) -> None:
    body = make_body()
    live(body, step_h / 24, step_h, doses=[Dose("gcsf", "gcsf", 5.0)])
    peak, area = body.cytokines.gcsf_drug, 0.0
    for _ in range(round(100 / step_h)):
        area += (body.signals()["gcsf"] - body.cytokines.gcsf) * step_h
        live(body, step_h / 24, step_h)
    assert peak == pytest.approx(5 * 1111 * math.log(2) / 3.5)
    assert area == pytest.approx(5 * 1111, rel=1e-3)


def test_cellularity_and_flt3_ligand() -> None:
    body = make_body()
    live(body, 1, host=3.0)
    assert body.cellularity == pytest.approx(3.0)
    assert body.signals()["flt3l"] == pytest.approx(1 / (0.03 + 0.97 * 1.5))
