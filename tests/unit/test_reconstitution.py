"""Return of the T cells: CD8 memory cells live on IL-15, the others on IL-7, and none keeps the others away."""

from __future__ import annotations

import numpy as np
import pytest

from abm.cells import Kind
from abm.model.body import Body
from abm.model.body.immune import CD4_CELLS, CD8_CELLS, INDEX
from tests.unit.body_case import live, make_body


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
