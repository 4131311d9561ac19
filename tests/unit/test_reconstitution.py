"""Return of the T cells: CD8 memory cells live on IL-15 and leave the IL-7 to the others."""

from __future__ import annotations

import numpy as np
import pytest

from abm.cells import Kind, Origin
from abm.model.body import Body, Dose, giving
from abm.model.body.immune import CD4_CELLS, CD8_CELLS, INDEX, T_CELLS
from abm.model.body.organs import GVH
from tests.unit.body_case import Person, live, make_body


def blood_count(body: Body, kinds: tuple[Kind, ...]) -> float:
    """Return cells in the blood, 1e9/L."""
    return body.blood.concentration(body.lymphocytes.cells(kinds)) * body.lymphocytes.rules.t_blood_share


def without(*kinds: Kind) -> Body:
    """Return a healthy body that has lost all but a thousandth of some pools."""
    body = make_body()
    for kind in kinds:
        body.lymphocytes.pools[INDEX[kind]] *= 1e-3
    return body


def test_nothing_divides_faster_than_it_dies_at_homeostasis() -> None:
    body = make_body()
    before = body.lymphocytes.pools.copy()
    live(body, 30.0, 6.0)
    assert body.lymphocytes.relative_cd8_cells == pytest.approx(1.0, abs=0.01)
    assert np.allclose(body.lymphocytes.pools, before, rtol=0.02)


def test_drive_of_cd8_cells_is_that_of_their_own_number() -> None:
    factors = make_body().cytokines
    assert factors.cd8_lymphopenia(1.0) == 0.0
    assert factors.cd8_lymphopenia(0.0) == 1.0
    drives = [factors.cd8_lymphopenia(x) for x in (0.0, 0.2, 0.5, 1.0, 1.5)]
    assert drives == sorted(drives, reverse=True)
    assert drives[-1] < 0.0


def test_cd8_cells_come_back_to_their_number_and_leave_room_for_cd4_cells() -> None:
    """After a loss of all T cells CD8 cells stop at their normal count; the slower CD4 cells still grow."""
    body = without(*CD4_CELLS, *CD8_CELLS)
    usual = 0.5  # 1e9/L, the adult CD8 count
    live(body, 200.0, 6.0)
    half_way = blood_count(body, CD4_CELLS)
    live(body, 300.0, 6.0)
    assert 0.7 * usual < blood_count(body, CD8_CELLS) < 1.2 * usual
    assert blood_count(body, CD4_CELLS) > 2.0 * half_way


def test_cd8_memory_grows_without_lack_of_cd4_cells() -> None:
    body = without(*CD8_CELLS)
    row = INDEX[Kind.CD8_MEMORY]
    cd4, cd8 = blood_count(body, CD4_CELLS), float(body.lymphocytes.pools[row].sum())
    live(body, 20.0, 6.0)
    rate = np.log(float(body.lymphocytes.pools[row].sum()) / cd8) / 20.0
    assert rate == pytest.approx(body.lymphocytes.rules.cd8_growth, rel=0.25)
    assert blood_count(body, CD4_CELLS) < 1.2 * cd4


@pytest.mark.parametrize(
    ("kind", "weight"), [("CD4_MEMORY", 1.0), ("CD8_NAIVE", 1.0), ("CD8_MEMORY", 0.2), ("TREG", 0.0)]
)
def test_each_pool_takes_up_il7_by_its_receptors(kind: str, weight: float) -> None:
    body = make_body()
    pool = body.lymphocytes.pools[INDEX[Kind[kind]]]
    before, cells = body.lymphocytes.il7_uptake, float(pool.sum())
    pool *= 0.5
    assert before - body.lymphocytes.il7_uptake == pytest.approx(weight * 0.5 * cells)
    assert body.lymphopenia[0] >= 0.0


def test_cd8_memory_that_is_back_leaves_il7_high() -> None:
    """A normal number of CD8 memory cells takes a fifth of what as many CD4 cells would: IL-7 stays several-fold."""
    body = without(Kind.CD4_NAIVE, Kind.CD4_MEMORY, Kind.TREG, Kind.CD8_NAIVE)
    assert body.il7_uptake == pytest.approx(0.05, abs=0.01)
    assert body.signals()["il7"] > 6.0
    assert body.lymphopenia[0] > 0.6
    assert body.relative_t_cells > 0.2, "of all T cells a fifth are there"


def test_older_donors_give_fewer_naive_t_cells_but_as_many_in_all() -> None:
    naive, whole = [], []
    for age in (16.0, 40.0, None, 60.0):
        body = make_body(Person(donor_age_years=age))
        giving.infuse(body, Dose(kind="graft", name="blood", origin=Origin.DONOR, cd34=4e8, cd3=1e10))
        pools = body.lymphocytes.pools[:, Origin.DONOR]
        naive.append([float(pools[INDEX[kind]]) for kind in (Kind.CD4_NAIVE, Kind.CD8_NAIVE)])
        whole.append(float(pools[: len(T_CELLS)].sum()))
    assert whole == pytest.approx([1e10] * 4)
    assert naive[1] == naive[2]
    assert naive[0][0] / naive[1][0] == pytest.approx(2.0 ** (24.0 / 45.0))
    assert naive[3][1] / naive[1][1] == pytest.approx(2.0 ** (-20.0 / 22.0))


def test_the_naive_cells_of_a_donor_are_not_more_than_all() -> None:
    body = make_body(Person(donor_age_years=0.0))
    giving.infuse(body, Dose(kind="graft", name="blood", origin=Origin.DONOR, cd34=4e8, cd3=1e10))
    pools = body.lymphocytes.pools[:, Origin.DONOR]
    assert float(pools[INDEX[Kind.CD8_MEMORY]]) == 0.0
    assert float(pools[INDEX[Kind.CD8_NAIVE]]) == pytest.approx(0.36e10)


def test_a_tenth_of_the_alloreactive_effectors_is_in_the_blood() -> None:
    body = make_body()
    before = body.observables()
    body.allo.effectors[GVH] = 5e9
    after = body.observables()
    assert after["cd8"] - before["cd8"] == pytest.approx(0.1, rel=0.01)
    assert after["lymphocytes"] - before["lymphocytes"] == pytest.approx(0.1, rel=0.01)
