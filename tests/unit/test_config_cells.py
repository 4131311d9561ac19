"""Infusions of cells in a scenario: what does not fit is one line with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_config import problems

CAR_T = """
[[events]]
action = "cells"
day = 0
product = "car_t"
receptor = "CAR_CD19"
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CAR_T.replace("CAR_CD19", "CAR_CD91"), 'found "CAR_CD91" (did you mean CAR_CD19?)'),
        (
            CAR_T.replace("car_t", "cart"),
            'expected dli, treg or a product of products.csv, found "cart" (did you mean car_t?)',
        ),
        (
            CAR_T.replace('receptor = "CAR_CD19"', ""),
            "expected receptor, and no cd3_per_kg or if_blast_fraction, for product car_t; found none",
        ),
        (
            CAR_T.replace("car_t", "dli"),
            "expected cd3_per_kg, and no receptor or cells_per_kg or lacks, for product dli",
        ),
        (
            CAR_T + "if_blast_fraction = 0.1",
            "expected receptor, and no cd3_per_kg or if_blast_fraction, for product car_t; found receptor, if_blast",
        ),
        (
            CAR_T.replace("car_t", "dli").replace("receptor", "if_blast_fraction").replace('"CAR_CD19"', "2"),
            "case.toml:6: events[0].if_blast_fraction: expected a number >= 0 and <= 1, found 2",
        ),
        (
            CAR_T + 'donor = "second"',
            """events[0].donor: expected no donor of engineered T cells, which are made of the patient's own, found""",
        ),
        (
            CAR_T + "cells_per_kg = 0",
            "case.toml:7: events[0].cells_per_kg: expected a number > 0 and <= 10000000000 (1/kg)",
        ),
    ],
)
def test_one_problem_one_line(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith("case.toml:")


@pytest.mark.parametrize(
    ("lacks", "expected"),
    [
        ('["CD46"]', 'lacks: expected antigens with a loss bit, found ["CD46"]; it holds CD46 (did you mean CD45?)'),
        ('["CD20"]', 'lacks: expected antigens with a loss bit, found ["CD20"]; it holds CD20'),
        ('["CD45", "CD45"]', 'lacks: expected each antigen once, found ["CD45", "CD45"]'),
        ('"CD45"', 'lacks: expected a list of antigens, found "CD45"'),
    ],
)
def test_what_a_product_lacks_is_known(tmp_path: Path, lacks: str, expected: str) -> None:
    found = problems(tmp_path, f"{CAR_T}lacks = {lacks}")
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith("case.toml:7: events[0].")


def test_donor_lymphocytes_are_not_edited(tmp_path: Path) -> None:
    text = CAR_T.replace("car_t", "dli").replace('receptor = "CAR_CD19"', 'cd3_per_kg = 1e6\nlacks = ["CD45"]')
    assert (
        "no receptor or cells_per_kg or lacks, for product dli; found cd3_per_kg, lacks" in problems(tmp_path, text)[0]
    )
