"""Negative selection: what the thymus deletes, what a hurt one lets through, and what of it is in the pools."""

from __future__ import annotations

from math import exp
from pathlib import Path

import numpy as np
import pytest

from abm.cells import Kind, Origin, Specificity
from abm.config import Patch, rules_of
from abm.errors import ConfigError
from abm.io.upgrades import without_selection
from abm.model.body import Dose, Tables, selection
from abm.model.body.autoimmunity import PoolShares
from abm.model.body.clones import NAIVE, NEW
from abm.model.body.repertoire import OWN
from abm.model.body.sclerosis import Sclerosis
from abm.model.body.selection import HEALTHY, Selection, Shown, read_selection
from abm.state import Snapshot
from tests.unit.body_case import Person, live, make_body, tables
from tests.unit.table_case import FOLDER, change, copied

HURT = Shown(0.4, 1.0, 0.0)
FOREIGN = (Specificity.LEUKAEMIA, Specificity.CMV, Specificity.EBV, Specificity.HIV)
HEAVY = Dose("drug", "busulfan", 16.0)
MARROW = Dose("graft", "marrow", cd34=2e8, cd3=1.75e9)


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_a_third_of_self_reactive_cells_escapes_and_foreign_ones_all_do(species: str) -> None:
    """Self-reactive cells are pruned to a third or so, not purged (Yu, Immunity 2015)."""
    cells = Selection(read_selection(FOLDER / species))
    assert cells.escape(Specificity.MYELIN, HEALTHY) == pytest.approx(1.0 / 3.0, rel=0.01)
    assert cells.escape(Specificity.HOST_UBIQUITOUS, HEALTHY) == pytest.approx(exp(-2.2))
    for shown in (HEALTHY, HURT, Shown(1.0, 1.0, 1.0)):
        assert [cells.escape(foreign, shown) for foreign in FOREIGN] == [1.0] * len(FOREIGN)
        assert [cells.relative_escape(foreign) for foreign in FOREIGN] == [1.0] * len(FOREIGN)


def test_a_hurt_thymus_lets_more_through_the_more_it_is_hurt() -> None:
    cells = Selection(tables().selection)
    found = [cells.escape(Specificity.MYELIN, Shown(left, 1.0, 0.0)) for left in (1.0, 0.7, 0.4, 0.0)]
    assert found == sorted(found)
    assert found[-1] == 1.0
    assert 1.5 < found[2] / found[0] < 2.5


def test_dendritic_cells_delete_what_sees_their_own_side() -> None:
    """Mixed chimerism makes both sides tolerated; a marrow of the donor alone no longer shows blood of the host."""
    cells = Selection(tables().selection)
    mixed, full = Shown(1.0, 0.5, 0.5), Shown(1.0, 0.0, 1.0)
    for of_host, of_donor in (
        (Specificity.HOST_HAEMATOPOIETIC, Specificity.DONOR),
        (Specificity.HOST_HAEMATOPOIETIC_II, Specificity.DONOR_II),
    ):
        assert [cells.escape(of_donor, shown) for shown in (HEALTHY, mixed, full)] == pytest.approx(
            [1.0, exp(-1.1), exp(-2.2)]
        )
        assert cells.escape(of_host, full) == 1.0
        assert cells.escape(of_host, mixed) == pytest.approx(exp(-1.1))


@pytest.mark.parametrize(
    ("donor", "of_host", "of_donor"), [("sibling", 1.0, exp(-2.2)), ("autologous", exp(-2.2), 1.0)]
)
def test_marrow_of_a_graft_shows_what_its_owner_has(donor: str, of_host: float, of_donor: float) -> None:
    """After full chimerism blood of the host is no longer shown, unless the graft is the host's own."""
    body = make_body(Person(donor=donor))
    live(body, 60.0, step_h=6.0, host=0.0, donor=1.0, doses=[MARROW])
    seen = body.observables()
    assert seen["escape_host_blood"] == pytest.approx(of_host, rel=0.02)
    assert seen["escape_donor"] == pytest.approx(of_donor, rel=0.02)


def test_generation_times_escape_is_what_a_healthy_person_has() -> None:
    """Receptors are drawn before selection: three times as many see tissue as are left of them."""
    found, cells = tables(), Selection(tables().selection)
    for kind, shares in found.repertoires[OWN].items():
        for specificity, frequency in shares if kind in selection.NAIVE_POOLS else ():
            generated = cells.generated(specificity, frequency)
            assert generated * cells.escape(specificity, HEALTHY) == pytest.approx(frequency)
            assert (generated > 2.9 * frequency) == (specificity is Specificity.MYELIN)


def test_in_health_the_pools_stay_exactly_as_the_tables_say() -> None:
    body = make_body()
    before = body.observables()["self_reactive"]
    live(body, 60.0, step_h=6.0)
    assert (body.selection.relative[:, :, Origin.HOST] == 1.0).all()
    assert body.selection.followed == (Specificity.MYELIN,)
    assert body.observables()["self_reactive"] == pytest.approx(before, rel=1e-12) == pytest.approx(3e-6)
    for kind in (Kind.CD4_NAIVE, Kind.CD4_MEMORY, Kind.CD8_NAIVE, Kind.CD8_MEMORY):
        assert tuple(body.repertoire(Origin.HOST, kind)) == body.repertoires[Origin.HOST][kind]


def test_cells_that_escape_a_hurt_thymus_join_the_naive_pool() -> None:
    body, hurt = make_body(Person(age_years=20.0)), make_body(Person(age_years=20.0))
    for patient in (body, hurt):
        patient.lymphocytes.pools[:5] *= 0.01
    hurt.lymphocytes.damage_thymus(0.6)
    for patient in (body, hurt):
        live(patient, 90.0, step_h=6.0)
    assert body.observables()["self_reactive"] == pytest.approx(3e-6)
    assert hurt.observables()["self_reactive"] > 1.2 * 3e-6
    assert hurt.observables()["escape_self"] > body.observables()["escape_self"]
    memory = dict(hurt.repertoire(Origin.HOST, Kind.CD4_MEMORY))
    assert memory[Specificity.MYELIN] == dict(hurt.repertoires[Origin.HOST][Kind.CD4_MEMORY])[Specificity.MYELIN]
    viral = dict(hurt.repertoire(Origin.HOST, Kind.CD8_NAIVE))
    assert viral[Specificity.CMV] == dict(hurt.repertoires[Origin.HOST][Kind.CD8_NAIVE])[Specificity.CMV]


def test_conditioning_and_gvhd_raise_escape_and_it_falls_again() -> None:
    body = make_body()
    usual = body.observables()["escape_self"]
    live(body, 2.0, doses=[HEAVY])
    conditioned = body.observables()
    assert conditioned["escape_self"] > 1.3 * usual
    body.lymphocytes.damage_thymus(0.5)
    assert body.observables()["escape_self"] > conditioned["escape_self"]
    live(body, 720.0, step_h=24.0)
    assert body.observables()["escape_self"] < 1.1 * usual


def test_chronic_gvhd_is_driven_by_what_the_epithelium_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same quantity lets self-reactive cells escape and breaks tolerance."""
    risks = []
    for left in (1.0, 0.4):
        monkeypatch.setattr(selection, "epithelium", lambda _, left=left: left)
        body = make_body()
        live(body, 60.0, step_h=6.0, doses=[MARROW])
        risks.append((body.observables()["escape_self"], body.chronic.broken))
    assert risks[0][1] == 0.0 < risks[1][1]
    assert risks[0][0] < risks[1][0]


def test_myelin_reactive_cells_of_a_patient_escape_as_others_do() -> None:
    born = {Kind.CD4_NAIVE: 3e-6}
    shares = PoolShares(born, born, born)
    shares.let_through = 2.0
    shares.enter(Kind.CD4_NAIVE, NEW, np.array([5e8, 0.0, 0.0, 0.0]), np.array([1e9, 0.0, 0.0, 0.0]))
    assert shares.of(Kind.CD4_NAIVE, Origin.HOST) == pytest.approx(4.5e-6)


def test_the_thymus_of_a_patient_with_multiple_sclerosis_is_told_to_the_disease() -> None:
    body = make_body(Person(donor="autologous"), Tables.load(rules_of(Patch(), "ms")))
    assert isinstance(body.disease, Sclerosis)
    live(body, 1 / 24)
    assert body.disease.naive.let_through == 1.0
    body.lymphocytes.damage_thymus(0.5)
    live(body, 1 / 24)
    assert body.disease.naive.let_through == pytest.approx(exp(0.55), rel=0.01)


def test_a_graft_brings_cells_of_a_healthy_thymus() -> None:
    cells = Selection(tables().selection)
    cells.relative[:, :, Origin.DONOR] = 2.0
    cells.infuse(Kind.CD4_NAIVE, Origin.DONOR, 5e8, 1e9)
    assert cells.of(Specificity.MYELIN, Kind.CD4_NAIVE, Origin.DONOR) == pytest.approx(1.5)
    assert cells.of(Specificity.MYELIN, Kind.CD8_NAIVE, Origin.DONOR) == 2.0
    cells.enter(Kind.CD4_MEMORY, NAIVE, np.full(4, 1e8), np.full(4, 1e9))
    assert cells.of(Specificity.MYELIN, Kind.CD4_MEMORY, Origin.DONOR) == 1.0


def test_cells_of_an_older_checkpoint_are_those_of_a_healthy_thymus() -> None:
    new = without_selection(Snapshot(3, (8, 4, 4), 0, 8, {}, {})).body
    cells = Selection(tables().selection)
    cells.unpack({"relative": new["selection.relative"]})
    assert (cells.relative == 1.0).all()


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        ("SELF_MYELIN,epi", "SELF_MYELN,epi", "antigen", "unknown name 'SELF_MYELN' (did you mean SELF_MYELIN?)"),
        ("SELF_MYELIN,epithelium", "SELF_MYELIN,stroma", "shown_by", "unknown name 'stroma'"),
        ("SELF_MYELIN,epithelium,2.2", "SELF_MYELIN,epithelium,-1", "strength", "expected a number >= 0 and <= 50"),
        ("SELF_MYELIN,epithelium,2.2,1", "SELF_MYELIN,epithelium,2.2,d", "unit", "unknown name 'd'"),
    ],
)
def test_a_mistake_names_file_and_line(tmp_path: Path, old: str, new: str, key: str, said: str) -> None:
    folder = copied(tmp_path)
    line = change(folder, "selection.csv", old, new)
    with pytest.raises(ConfigError) as error:
        read_selection(folder)
    assert str(error.value).startswith(f"{folder / 'selection.csv'}:{line}: {key}: ")
    assert said in str(error.value)
