"""Receptor classes of T cells that leave the pools: how often each is drawn, by whom; every mistake in the table."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from abm.backends import choose
from abm.cells import Count, Kind, Origin, Specificity
from abm.errors import ConfigError
from abm.model.body import Body, Dose, receptors
from abm.model.body.immune import T_CELLS
from abm.model.body.organs import GVH, read_donors
from abm.model.body.repertoire import ALLOREACTIVE, CLASSES, CONVENTIONAL, Share, draw_classes, read_repertoires
from abm.philox import Ahead
from abm.step import Simulation
from tests.tiny import tiny_config
from tests.unit.body_case import Person, live, make_body
from tests.unit.table_case import change, copied

GRAFT = Dose(kind="graft", name="blood", origin=Origin.DONOR, cd34=4e8, cd3=2e10)
ALLO = {s for lineages in ALLOREACTIVE.values() for classes in lineages for s in classes}


def shares_of(body: Body, kind: Kind, origin: Origin) -> list[Share]:
    """Return the classes of a pool as the body has them now."""
    return receptors.shares(body, kind, origin, receptors.alloreactive(body))


def test_classes_are_drawn_as_often_as_they_occur() -> None:
    body = make_body(Person(donor="haplo"))
    live(body, 1 / 24, doses=[GRAFT])
    n = 400_000
    drawn = draw_classes(
        [(Kind.CD8_MEMORY, Origin.DONOR, Specificity.NONE, n)], partial(shares_of, body), Ahead(5, CLASSES), 3
    )
    found = {s: number for _, _, s, number in drawn}
    shares = dict(shares_of(body, Kind.CD8_MEMORY, Origin.DONOR))
    assert sum(found.values()) == n
    assert set(shares) > {Specificity.CMV, Specificity.HOST_UBIQUITOUS, Specificity.HOST_HAEMATOPOIETIC}
    for specificity, share in shares.items():
        assert abs(found.get(specificity, 0) - n * share) < 5.0 * np.sqrt(n * share) + 1.0, specificity


def test_a_draw_depends_on_seed_and_turn_alone() -> None:
    body = make_body()
    cells = [(Kind.CD8_MEMORY, Origin.HOST, Specificity.NONE, 5000), (Kind.NK, Origin.HOST, Specificity.NONE, 7)]
    once, again = (draw_classes(cells, partial(shares_of, body), Ahead(5, CLASSES), 3) for _ in range(2))
    assert once == again
    assert once != draw_classes(cells, partial(shares_of, body), Ahead(6, CLASSES), 3)
    assert once != draw_classes(cells, partial(shares_of, body), Ahead(5, CLASSES), 4)
    assert (Kind.NK, Origin.HOST, Specificity.NONE, 7) in once


def test_alloreactive_cells_are_those_of_the_body() -> None:
    """As many per T cell as the body has left, split by lineage: CD8 cells see HLA class I, CD4 cells class II."""
    body = make_body(Person(donor="haplo"))
    live(body, 1 / 24, doses=[GRAFT])
    t_cells = sum(float(body.lymphocytes.cells([kind])[Origin.DONOR]) for kind in T_CELLS)
    share = float(body.allo.precursors[GVH]) / t_cells
    assert share == pytest.approx(body.donor.graft_versus_host, rel=0.05)
    cd8, cd4, treg = (dict(shares_of(body, k, Origin.DONOR)) for k in (Kind.CD8_NAIVE, Kind.CD4_NAIVE, Kind.TREG))
    ubiquitous = body.donor.ubiquitous_share
    assert cd8[Specificity.HOST_UBIQUITOUS] == pytest.approx(share * ubiquitous)
    assert cd4[Specificity.HOST_HAEMATOPOIETIC_II] == pytest.approx(share * (1.0 - ubiquitous))
    assert not ALLO & set(treg)
    assert dict(shares_of(body, Kind.CD4_MEMORY, Origin.HOST))[Specificity.DONOR_II] > 0.0
    body.allo.precursors[:] = 0.0
    assert not any(ALLO & set(dict(shares_of(body, kind, o))) for kind in CONVENTIONAL for o in Origin)


@pytest.mark.parametrize("donor", ["twin", "autologous"])
def test_identical_cells_react_neither_to_the_patient_nor_to_the_leukaemia(donor: str) -> None:
    body = make_body(Person(donor=donor))
    live(body, 1 / 24, doses=[GRAFT])
    for kind in CONVENTIONAL:
        for origin in Origin:
            shares = dict(shares_of(body, kind, origin))
            assert not ALLO & set(shares)
            assert shares.get(Specificity.LEUKAEMIA, 0.0) == 0.0


def test_cord_blood_has_no_memory_of_viruses() -> None:
    body = make_body(Person(donor="cord"))
    cord, own = (dict(shares_of(body, Kind.CD8_MEMORY, o)) for o in (Origin.DONOR, Origin.HOST))
    assert cord[Specificity.CMV] == 0.0
    assert own[Specificity.CMV] > 0.0


def test_pool_cells_are_activated_on_the_lattice_and_kill_who_shows_their_antigen() -> None:
    """Most cells alloreactive, no conditioning: CD8 and CD4 cells meet antigen-presenting cells and burst."""
    graft = {"day": -1.5, "action": "graft", "source": "blood", "cd34_per_kg": 1e6, "cd3_per_kg": 5e9}
    dead, born = {}, {}
    for donor, share in (("haplo", 0.9), ("twin", 0.0)):
        patient = {"disease": "none", "donor": donor}
        time = {"start_day": -2.0, "end_day": 8.0}
        shape = {"shape": [20, 20, 20]}
        sim = Simulation.start(tiny_config(patch=shape, time=time, patient=patient, events=[graft]), choose("auto")[0])
        total = np.zeros_like(sim.last)
        while sim.step < sim.n_steps:
            sim.advance()
            t_cells = sum(float(sim.body.lymphocytes.cells([kind])[Origin.DONOR]) for kind in T_CELLS)
            sim.body.allo.precursors[GVH] = share * t_cells
            total += sim.last
        dead[donor], born[donor] = total[Count.KILL], total[Count.BECAME]
    assert born["haplo"][Kind.CD8_EFFECTOR].sum() > 0
    assert born["haplo"][Kind.CD4_EFFECTOR].sum() > 0
    assert dead["haplo"][:, Origin.HOST].sum() > 10
    assert not dead["twin"].any()
    assert not born["twin"][[Kind.CD8_EFFECTOR, Kind.CD4_EFFECTOR]].any()


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        (
            "CMV,CD8_MEMORY,any,0.05",
            "CMV,CD8_MEMORY,any,1.5",
            "frequency",
            "expected a number >= 0 and <= 1, found '1.5'",
        ),
        (
            "CMV,CD8_MEMORY,any,0.05",
            "CMV,CD8_MEMORY,any,-1",
            "frequency",
            "expected a number >= 0 and <= 1, found '-1'",
        ),
        ("CMV,CD8_MEMORY,any,0.05", "CMW,CD8_MEMORY,any,0.05", "specificity", "did you mean CMV?"),
        ("CMV,CD8_MEMORY,any,0.05", "CMV,TREG,any,0.05", "kind", "unknown name 'TREG'"),
        ("CMV,CD8_MEMORY,any,0.05", "CMV,CD8_MEMORY,sibbling,0.05", "donor", "did you mean sibling?"),
        ("CMV,CD8_MEMORY,any,0.05", "DONOR,CD8_MEMORY,any,0.05", "specificity", "stand in donors.csv"),
        ("CMV,CD8_NAIVE,any,1e-05", "CMV,CD8_MEMORY,any,1e-05", "specificity", "stands twice for any"),
        ("EBV,CD8_MEMORY,any,0.01", "EBV,CD8_MEMORY,any,0.99", "frequency", "add up to 1.04 for"),
        ("CMV,CD8_MEMORY,any,0.05,1", "CMV,CD8_MEMORY,any,0.05,%", "unit", "unknown name '%'"),
    ],
)
def test_a_mistake_names_file_and_line(tmp_path: Path, old: str, new: str, key: str, said: str) -> None:
    folder = copied(tmp_path)
    line = change(folder, "repertoire.csv", old, new)
    with pytest.raises(ConfigError) as error:
        read_repertoires(folder, read_donors(folder))
    assert str(error.value).startswith(f"{folder / 'repertoire.csv'}:{line}: {key}: ")
    assert said in str(error.value)
