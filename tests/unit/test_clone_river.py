"""Clones in the snapshots of a run: census, diversity, river."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from abm.cells import EditBit, Kind, Origin, pack_cold, pack_hot
from abm.io import write_snapshot
from abm.state import Snapshot, checkpoint_fields
from analysis import report
from analysis.clones import COLUMNS, LINEAGES, censuses, river, rows
from analysis.read import Run, RunError, open_run
from tests.unit import made_up_run

EDITED = 1 << EditBit.EDITED
#: Cells of the marrow at two times: kind, origin, clone, edits, how many.
FIRST = [
    (Kind.HSC, Origin.HOST, 5, 0, 2),
    (Kind.HSC, Origin.DONOR, 5, EDITED, 1),
    (Kind.MYELOCYTE, Origin.HOST, 0, 0, 9),
]
SECOND = [
    (Kind.HSC, Origin.DONOR, 5, EDITED, 3),
    (Kind.HSC, Origin.DONOR, 6, 0, 1),
    (Kind.MYELOCYTE, Origin.DONOR, 5, EDITED, 4),
]


def folder_with(tmp_path: Path, *marrows: list[tuple[Kind, Origin, int, int, int]]) -> Run:
    """Return a made-up run with a snapshot of each marrow, a day apart."""
    made_up_run.make_run(tmp_path, last_day=20.0)
    shape = (6, 6, 6)
    for day, cells in enumerate(marrows):
        arrays = {field.name: np.zeros(shape, field.dtype) for field in checkpoint_fields()}
        words = [(pack_hot(kind=k, origin=o, edits=e), pack_cold(clone=c)) for k, o, c, e, n in cells for _ in range(n)]
        for name, values in zip(("res_hot", "res_cold"), zip(*words, strict=True), strict=True):
            arrays[name].reshape(-1)[: len(values)] = values
        write_snapshot(tmp_path, Snapshot(24 * day, shape, 0, 6, arrays, {}, {}))
    return open_run(tmp_path)


def test_each_lineage_has_its_row(tmp_path: Path) -> None:
    run = folder_with(tmp_path, FIRST, SECOND)
    found = [dict(zip(COLUMNS, row, strict=True)) for row in rows(censuses(run))]
    assert len(found) == 2 * len(LINEAGES)
    (first, second) = (row for row in found if row["lineage"] == "stem cells")
    assert first["day"] == run.config["time"]["start_day"]
    assert second["day"] == pytest.approx(first["day"] + 1)
    assert [first[name] for name in ("cells", "clones", "edited_clones")] == [3, 2, 1]  # same number, two origins
    assert first["shannon_nats"] == pytest.approx(-(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3)), rel=1e-5)
    assert second["simpson"] == pytest.approx(1 - (9 + 1) / 16)
    assert second["largest_share"] == 0.75
    granulocytes = [row for row in found if row["lineage"] == "Granulocytic"]
    assert [row["cells"] for row in granulocytes] == [0, 4]  # cells of the start are of no clone


def test_a_river_holds_every_cell_once(tmp_path: Path) -> None:
    found = censuses(folder_with(tmp_path, FIRST, SECOND))
    shares, edited = river(found, "stem cells")
    np.testing.assert_allclose(shares.sum(axis=0), 1.0)
    assert edited == [False, True, False]
    np.testing.assert_allclose(shares, [[2 / 3, 0], [1 / 3, 0.75], [0, 0.25], [0, 0]])
    fewer, which = river(found, "stem cells", most=1)
    assert which == [True]
    np.testing.assert_allclose(fewer, [[1 / 3, 0.75], [2 / 3, 0.25]])


def test_snapshots_behind_the_last_record_have_their_own_days(tmp_path: Path) -> None:
    """A run that was ended between records has snapshots later than its series."""
    run = folder_with(tmp_path, FIRST, SECOND)
    start = run.config["time"]["start_day"]
    whole = {"time": {"start_day": start, "step_min": 60}}
    short = replace(run, step=run.step[:1], day=run.day[:1], config=whole)
    assert [census.day for census in censuses(short)] == pytest.approx([start, start + 1])
    bare = replace(run, config={})
    assert [census.day for census in censuses(bare)] == pytest.approx([start, start + 1])
    with pytest.raises(RunError, match="its day cannot be told: there is no config.toml"):
        censuses(replace(short, config={}))


def test_the_report_holds_table_and_river(tmp_path: Path) -> None:
    folder_with(tmp_path, FIRST, SECOND)
    written = {path.name for path in report.build(tmp_path, say=lambda _: None)}
    assert "clones.csv" in written
    with (tmp_path / "report" / "clones.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 2 * len(LINEAGES)
    pytest.importorskip("matplotlib")
    assert "clones.png" in written


def test_a_run_without_snapshots_has_neither(tmp_path: Path) -> None:
    folder_with(tmp_path)
    assert not {"clones.csv", "clones.png"} & {path.name for path in report.build(tmp_path, say=lambda _: None)}
