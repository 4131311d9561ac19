"""Precursors that fill the marrow: their progenitors hold back, and nothing changes while there is room."""

from __future__ import annotations

import numpy as np
import pytest

from abm.cells import N_KINDS, Behaviour, Kind
from abm.model.rules import BODY_SIGNALS, load_rules
from abm.model.traffic import crowding
from tests.unit.table_case import FOLDER

SITES, USUAL = 1000, 0.55


def population(**cells: int) -> np.ndarray:
    """Return so many cells of each kind."""
    found = np.zeros(N_KINDS, np.int64)
    for kind, n in cells.items():
        found[Kind[kind]] = n
    return found


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"CFU_E": 300, "PROMYELOCYTE": 250}, 0.0),  # as many as usually find room
        ({"CFU_E": 500, "PROMYELOCYTE": 275}, 0.5),
        ({"POLYCHROMATIC": 1000}, 1.0),
        ({"CFU_E": 400, "ORTHOCHROMATIC": 300, "NEUTROPHIL": 300}, 0.0),  # these leave by themselves
        ({"LSC": 100, "BLAST": 900}, 0.0),
        ({"CD8_EFFECTOR": 1000}, 0.0),
    ],
)
def test_only_precursors_that_divide_crowd(cells: dict[str, int], expected: float) -> None:
    assert crowding(population(**cells), load_rules(FOLDER / "human"), SITES, USUAL) == pytest.approx(expected)


def test_crowded_progenitors_hold_back_and_later_cells_do_not() -> None:
    rules = load_rules(FOLDER / "human")
    roomy, packed = (
        rules.rates(BODY_SIGNALS | {"crowding": level}, np.zeros((64, 2)), 1.0).wild[:, Behaviour.DIVIDE]
        for level in (0.0, 0.5)
    )
    for kind in (Kind.MPP, Kind.CMP, Kind.CLP, Kind.MEP, Kind.GMP, Kind.BFU_E, Kind.CFU_E, Kind.MKP):
        assert packed[kind * 2 + 1] < 0.2 * roomy[kind * 2 + 1], kind.name
    for kind in (Kind.HSC, Kind.PROERYTHROBLAST, Kind.POLYCHROMATIC, Kind.MYELOCYTE, Kind.BLAST):
        assert packed[kind * 2 + 1] == roomy[kind * 2 + 1], kind.name
