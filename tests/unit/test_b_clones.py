"""Clones of B cells: naive ones are made anew, those of memory and of plasma cells persist."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abm.cells import Kind, Origin
from abm.errors import ConfigError
from abm.io.upgrades import without_selection
from abm.model.body import Body, Dose
from abm.model.body.b_clones import MEMORY, PLASMA, BClones, naive_share, read_b_clones
from abm.model.body.clones import SAMPLE
from abm.model.body.immune import INDEX
from abm.state import Snapshot
from tests.unit.body_case import Person, live, make_body, tables
from tests.unit.table_case import change, copied

B = INDEX[Kind.IMMATURE_B]
PERSONS = {Origin.HOST: 0, Origin.DONOR: 1, Origin.DONOR2: 2, Origin.PRODUCT: 1}
ABLATION = Dose("drug", "cyclophosphamide", 200.0)
SELECTED = Dose(kind="graft", name="cd34_selected", origin=Origin.DONOR, cd34=4e8, cd3=3.5e6)
BLOOD = Dose(kind="graft", name="blood", origin=Origin.DONOR, cd34=4e8, cd3=2e10)


def after_autograft(days: float, graft: Dose = SELECTED, seed: int = 0) -> Body:
    """Return a patient so long after ablation, which leaves one B cell in ten thousand, and a graft of his own."""
    body = make_body(Person(donor="autologous"), seed=seed)
    body.lymphocytes.pools[:, Origin.HOST] *= 1e-4
    live(body, days, step_h=6.0, host=0.0, donor=1.0, doses=[graft])
    return body


def test_a_healthy_person_keeps_memory_while_naive_clones_come_and_go() -> None:
    body = make_body()
    start = body.observables()
    assert start["b_overlap_start"] == start["plasma_overlap_start"] == pytest.approx(1.0)
    assert start["b_new"] == start["plasma_new"] == start["b_overlap_graft"] == 0.0
    memory, naive = body.b_clones.ids.copy(), body.clones.ids[-1].copy()
    live(body, 365.0, step_h=24.0)
    kept = (body.b_clones.ids == memory)[:, Origin.HOST].mean(axis=1)
    assert 0.93 < kept[MEMORY] < 1.0, "a clone's share of memory falls by half in 20 years"
    assert kept[PLASMA] > 0.9
    assert (body.clones.ids[-1] == naive)[Origin.HOST].mean() < 0.2, "naive cells live 125 days"
    assert 0.6 < body.observables()["b_new"] < 0.85, "four fifths are naive"


def test_after_a_cd34_selected_autograft_with_ablation_most_b_clones_are_new() -> None:
    seen = after_autograft(720.0).observables()
    assert seen["b_new"] > 0.95
    assert seen["b_overlap_start"] < 0.05
    assert seen["b_shannon"] > 0.99 * np.log(SAMPLE)


def test_b_cells_of_few_clones_get_more_diverse_as_the_marrow_makes_new_ones() -> None:
    body = make_body()
    body.clones.ids[-1, Origin.HOST] %= 4.0
    body.b_clones.ids[MEMORY, Origin.HOST] %= 4.0
    courses = []
    for _ in range(4):
        courses.append(body.observables())
        live(body, 90.0, step_h=24.0)
    for measure in ("b_shannon", "b_simpson", "b_chao1"):
        course = [seen[measure] for seen in courses]
        assert course == sorted(course)
        assert course[-1] > 1.3 * course[0]


def test_an_unmanipulated_autograft_brings_old_memory() -> None:
    """Of 2e10 T cells with as many B cells as blood has: memory cells of the patient answer before new ones do."""
    selected, whole = (after_autograft(360.0, graft) for graft in (SELECTED, BLOOD))
    shares = [(body.b_clones.ids[MEMORY, Origin.DONOR] > 2.0**50).mean() for body in (selected, whole)]
    assert shares[0] > shares[1]


def test_plasma_cells_outlast_the_b_cells_they_came_of() -> None:
    body = make_body()
    body.lymphocytes.pools[B] *= 1e-6
    live(body, 180.0, step_h=24.0)
    seen = body.observables()
    assert seen["b_new"] > 0.9
    assert seen["plasma_overlap_start"] > 0.8
    assert seen["plasma_new"] < 0.1


def test_new_memory_comes_of_naive_cells_the_more_the_less_is_left() -> None:
    shares = [naive_share(20.0, 0.008, left) for left in (1.0, 0.1, 0.001, 0.0)]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(np.log(2) / 20.0 / 365.25 / 0.008)
    assert shares[-1] == 1.0
    assert naive_share(1e-6, 0.008, 1.0) == 1.0


def test_a_graft_brings_the_donors_clones() -> None:
    body = make_body(Person(donor="sibling"))
    body.lymphocytes.pools[:, Origin.HOST] *= 1e-6
    live(body, 1 / 24, doses=[BLOOD])
    seen = body.observables()
    assert seen["b_overlap_graft"] > 0.9
    assert seen["b_overlap_start"] == 0.0


def test_memory_cells_join_in_their_share_of_the_slots() -> None:
    cells = BClones(tables().b_clones, 3, PERSONS)
    before = cells.ids.copy()
    cells.infuse(MEMORY, Origin.HOST, 0.25)
    changed = cells.ids != before
    assert 0.2 * SAMPLE < changed[MEMORY, Origin.HOST].sum() <= 0.25 * SAMPLE
    assert not changed[PLASMA].any()
    assert not changed[:, 1:].any()
    cells.renew(PLASMA, Origin.DONOR, 1.0, lambda: before[MEMORY, Origin.HOST])
    assert np.isin(cells.ids[PLASMA, Origin.DONOR], before[MEMORY, Origin.HOST]).all()
    for _ in range(8):
        cells.renew(PLASMA, Origin.HOST, 1.0 / SAMPLE / 8.0, lambda: before[MEMORY, Origin.HOST])
    assert (cells.ids[PLASMA, Origin.HOST] != before[PLASMA, Origin.HOST]).sum() == 1, "eighths of a slot add up"


def test_clones_go_on_after_a_restart_as_without_it() -> None:
    body, other = make_body(), make_body()
    live(body, 20.0, step_h=6.0, doses=[ABLATION])
    other.unpack(body.pack())
    for patient in (body, other):
        live(patient, 60.0, step_h=6.0)
    np.testing.assert_array_equal(body.b_clones.ids, other.b_clones.ids)
    np.testing.assert_array_equal(body.selection.relative, other.selection.relative)


def test_t_cell_clones_are_what_they_were_without_b_cells() -> None:
    """B cells draw numbers of their own: those of T cells do not depend on how many switch class."""
    body, other = make_body(), make_body()
    other.plasma._switch *= 20.0
    for patient in (body, other):
        live(patient, 60.0, step_h=6.0)
    assert (body.b_clones.ids != other.b_clones.ids).any()
    np.testing.assert_array_equal(body.clones.ids, other.clones.ids)


def test_an_older_checkpoint_has_no_memory_clones() -> None:
    new = without_selection(Snapshot(3, (8, 4, 4), 0, 8, {}, {})).body
    cells = BClones(tables().b_clones, 1, PERSONS)
    cells.unpack({name: new[f"b_clones.{name}"] for name in BClones.STATE})
    assert not cells.ids.any()


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        ("MEMORY,1e7,0.5", "MEMORY,0,0.5", "clones", "expected a number >= 1 and <= 1e+12, found '0'"),
        ("MEMORY,1e7,0.5", "PLASMA,1e7,0.5", "kind", "PLASMA stands twice"),
        ("MEMORY,1e7,0.5", "MEMRY,1e7,0.5", "kind", "unknown name 'MEMRY' (did you mean MEMORY?)"),
    ],
)
def test_a_mistake_names_file_and_line(tmp_path: Path, old: str, new: str, key: str, said: str) -> None:
    folder = copied(tmp_path)
    change(folder, "b_clones.csv", old, new)
    with pytest.raises(ConfigError) as error:
        read_b_clones(folder)
    assert str(error.value).startswith(f"{folder / 'b_clones.csv'}:")
    assert f": {key}: " in str(error.value)
    assert said in str(error.value)
