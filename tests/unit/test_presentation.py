"""Antigen-presenting cells of host and donor, and NK cells of the donor that kill those of the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from abm import resources
from abm.cells import Kind, Origin
from abm.config import load_config
from abm.io.upgrades import without_donor_apc
from abm.model.body import Body, Dose
from abm.model.body.immune import INDEX
from abm.model.body.natural_killers import host_killed
from abm.model.body.organs import GVH, HVG, Alloimmunity, Surroundings
from abm.model.body.parameters import OrganRules, section
from abm.state import Snapshot
from abm.well_mixed import WellMixed
from tests.unit.body_case import Person, live, make_body, tables

GRAFT = Dose("graft", "marrow", cd34=2e8, origin=Origin.DONOR)
ADULT = 1.25e10  #: NK cells of an adult


# ------------------------------------------------------------------------------------------------------- replacement


def presenting(host: float, donor: float, days: float = 60.0, graft: Dose = GRAFT) -> tuple[float, float]:
    """Return antigen-presenting cells of host and donor some days after a graft, with so much marrow of each."""
    body = make_body()
    live(body, days, step_h=6.0, host=host, donor=donor, doses=[graft])
    values = body.observables()
    return values["host_apc"], values["donor_apc"]


def test_those_of_the_donor_rise_as_those_of_the_host_fade() -> None:
    rules = section(OrganRules, tables().values, 70.0)
    host, donor = presenting(0.0, 1.0)
    left = float(np.exp(-60.0 / rules.apc_turnover))
    assert host == pytest.approx(left, rel=0.02)  # the graft comes at the end of the first step
    assert donor == pytest.approx((1.0 - left) / (1.0 + rules.apc_half), rel=0.01)


def test_a_tenth_of_a_marrow_makes_nearly_all_and_next_to_none_makes_none() -> None:
    by_marrow = [presenting(0.0, share)[1] for share in (0.0, 0.001, 0.1, 1.0)]
    assert by_marrow == sorted(by_marrow)
    assert by_marrow[0] == 0.0
    assert by_marrow[1] < 0.1 * by_marrow[3]
    assert by_marrow[2] > 0.8 * by_marrow[3]


def test_a_mixed_marrow_makes_both() -> None:
    host, donor = presenting(0.7, 0.3, days=300.0)
    assert host == pytest.approx(0.7, rel=0.01)
    assert donor == pytest.approx(0.3, rel=0.03)


def test_after_an_autograft_there_are_none_of_a_donor() -> None:
    assert presenting(1.0, 0.0, graft=Dose("graft", "blood", cd34=2e8, origin=Origin.HOST)) == (1.0, 0.0)


# ---------------------------------------------------------------------------------------------- indirect presentation


def activated(host_apc: float, donor_apc: float, lost: float) -> float:
    """Return the precursors that antigen-presenting cells wake in an hour of inflammation, with tissue lost to GVHD."""
    allo = Alloimmunity(section(OrganRules, tables().values, 70.0), tables().donors["sibling"], 1.2e7)
    allo.host_apc, allo.donor_apc, allo.inflammation, allo.immune_loss[:] = host_apc, donor_apc, 1.0, lost
    allo.precursors[GVH] = 1e6
    allo.advance(Surroundings(host_apc=host_apc, donor_apc=donor_apc), 1.0)
    return float(1e6 - allo.precursors[GVH])


def test_those_of_the_donor_present_what_dying_tissue_sheds_and_begin_nothing() -> None:
    assert activated(0.0, 0.0, lost=0.5) == 0.0
    assert activated(0.0, 1.0, lost=0.0) == 0.0
    whole = activated(0.0, 1.0, lost=0.5)
    assert whole == pytest.approx(2.0 * activated(0.0, 0.5, lost=0.5), rel=0.01)
    assert whole == pytest.approx(2.0 * activated(0.0, 1.0, lost=0.25), rel=0.01)


def test_they_do_less_than_those_of_the_host_and_add_to_them() -> None:
    host, donor, both = (activated(*cells, lost=0.5) for cells in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)))
    rules = section(OrganRules, tables().values, 70.0)
    assert 0.4 * rules.indirect_presentation < donor / host < 0.6 * rules.indirect_presentation
    assert both == pytest.approx(host + donor, rel=1e-3)


# -------------------------------------------------------------------------------------------- NK cells of the donor


def patient(free: float, nk_cells: float = ADULT, left: float = 0.01) -> Body:
    """Return somebody with NK cells of the donor and a share of the lymphocytes of the host."""
    body = make_body(Person(donor="haplo", missing_self_graft=free))
    body.lymphocytes.pools[:, Origin.HOST] *= left
    body.lymphocytes.pools[INDEX[Kind.NK], Origin.DONOR] = nk_cells
    return body


def test_without_the_input_nothing_of_the_host_is_killed() -> None:
    assert host_killed(patient(0.0)) == 0.0
    assert host_killed(patient(0.1, nk_cells=0.0)) == 0.0


def test_the_more_are_unrestrained_the_faster_and_many_lymphocytes_hold_them_up() -> None:
    by_share = [host_killed(patient(share)) for share in (0.01, 0.1, 1.0)]
    assert 0.0 < by_share[0] < by_share[1] < by_share[2]
    killers = patient(1.0).killers
    assert killers is not None
    assert by_share[2] < killers.rules.nk_host_kill
    assert host_killed(patient(0.1, left=1.0)) < 0.1 * by_share[1]


def test_steroids_spare_the_host_from_them() -> None:
    body = patient(0.1)
    before = host_killed(body)
    body.drugs.set_level(body.drugs.index("prednisolone"), 1.0)
    assert host_killed(body) == pytest.approx(before * (1.0 - body.drugs.inhibition("killing")))


def test_cells_of_the_host_that_present_or_reject_die_and_those_of_the_donor_live() -> None:
    found = {}
    for free in (0.0, 0.2):
        body = patient(free)
        body.lymphocytes.pools[:, Origin.DONOR] = ADULT
        body.allo.effectors[:] = body.allo.primed[:] = 1e7
        live(body, 8.0, step_h=4.0, host=0.0, donor=1.0, doses=[GRAFT])
        t_cells = body.lymphocytes.pools[INDEX[Kind.CD8_NAIVE]]
        found[free] = [
            body.allo.host_apc, float(body.allo.effectors[HVG]), float(body.allo.precursors[HVG]),
            float(t_cells[Origin.HOST]), float(t_cells[Origin.DONOR]),
        ]  # fmt: skip
    without, there = found[0.0], found[0.2]
    assert all(b < 0.7 * a for a, b in zip(without[:4], there[:4], strict=True))
    assert there[4] >= without[4], "no cell of the donor dies of them"


def after_haplo(free: float, days: float) -> dict[str, Any]:
    """Return the observables of a patient after a haploidentical graft and cyclophosphamide."""
    path = resources.folder("scenarios") / "haplo_ptcy.toml"
    changes = ["patient.blast_fraction=0", "time.step_min=240", f"patient.missing_self_graft={free}"]
    person = WellMixed(load_config(path, [*changes, "output.series_h=24"], 1))
    while person.config.day(person.step) < days:
        person.advance()
    return person.body.observables()


def test_in_patients_they_hasten_the_end_of_what_the_host_presents_and_of_its_t_cells() -> None:
    usual, freed = (after_haplo(free, 35.0) for free in (0.0, 0.2))
    assert freed["host_apc"] < 0.8 * usual["host_apc"]
    assert freed["host_versus_graft_effectors"] < 0.8 * usual["host_versus_graft_effectors"]
    assert freed["donor_t"] > usual["donor_t"]


def test_in_older_checkpoints_those_of_the_donor_are_what_the_host_had_left_room_for() -> None:
    old = {"allo.host_apc": np.array(0.3)}
    assert without_donor_apc(Snapshot(3, (8, 4, 4), 0, 8, {}, old)).body["allo.donor_apc"] == pytest.approx(0.7)
