"""What is told of a sweep of the share of a graft without CCR5."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.threshold import draw, measure, read

HEAD = "events.7.ccr5_null,seed,day,hiv_load,ccr5_null\n"


def test_the_last_year_counts_patient_by_patient(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    rows = ("1,1,0,9e4,0", "1,1,700,0,1", "0.5,1,0,9e4,0", "0.5,1,340,3e3,0.6", "0.5,1,700,40,0.8", "0.5,2,700,0,0.5")
    path.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    found = measure(*read(path))
    assert [tuple(one.values()) for one in found] == [(0.5, 3e3, 0.8), (0.5, 0.0, 0.5), (1.0, 0.0, 1.0)]
    draw(found, 11.5, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "missing: seed, day, hiv_load, ccr5_null"),
        ("share,seed,day,hiv_load\n1,1,0,2\n", "missing: ccr5_null"),
        (HEAD, "expected at least one patient, found none"),
    ],
)
def test_other_files_are_told(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "sweep.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=says) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
