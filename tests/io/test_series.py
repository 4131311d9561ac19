"""The time series: explains itself, survives, and can be continued from any earlier step."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from abm.cells import Count, Kind, Origin
from abm.errors import CheckpointError
from abm.io import Record, Series, atomic
from abm.io import series as series_module
from abm.io.series import COUNTS_SHAPE

UNITS = {"anc": ("1e9/L", "absolute neutrophil count"), "hb": ("g/L", "haemoglobin")}
PROVENANCE: dict[str, str | int] = {"config": "x" * 100_000, "seed": 2**64 - 1, "code_version": "0.1.0", "git": ""}


def record(i: int) -> Record:
    rng = np.random.default_rng(i)
    counts = rng.integers(-(2**62), 2**62, COUNTS_SHAPE) * (rng.random(COUNTS_SHAPE) < 0.1)
    return Record(6 * i, i / 4 - 10, {"hb": rng.random(), "anc": float("nan") if i == 3 else rng.random()}, counts)


def series(n: int) -> Series:
    made = Series(UNITS, PROVENANCE)
    for i in range(n):
        made.append(record(i))
    return made


def assert_records(found: Series, n: int) -> None:
    assert len(found) == len(list(found.records())) == n
    assert found.last_step == 6 * (n - 1) if n else -1
    for i, got in enumerate(found.records()):
        expected = record(i)
        assert (got.step, got.day, got.values.keys()) == (expected.step, expected.day, expected.values.keys())
        assert all(np.array_equal(got.values[k], expected.values[k], equal_nan=True) for k in UNITS)
        np.testing.assert_array_equal(got.counts, expected.counts, strict=True)


def test_the_file_explains_itself(tmp_path: Path) -> None:
    path = series(5).write(tmp_path)
    assert path == tmp_path / "series.h5"
    with h5py.File(path, locking=False) as file:
        assert set(file) == {"step", "day", "body", "counts", "provenance"}
        assert file["step"][()].tolist() == [0, 6, 12, 18, 24]
        assert file["day"].attrs["unit"] == "d"
        assert (file["body/anc"].dtype, file["body/anc"].attrs["unit"]) == (np.float64, "1e9/L")
        assert file["body/anc"].attrs["doc"] == "absolute neutrophil count"
        assert (file["counts"].shape, file["counts"].dtype) == ((5, *COUNTS_SHAPE), np.int64)
        assert (file["counts"].compression, file["counts"].compression_opts) == ("gzip", 1)
        np.testing.assert_array_equal(file["counts"][3], record(3).counts)
        for attribute, registry in (("kinds", Kind), ("origins", Origin), ("count_rows", Count)):
            assert json.loads(file.attrs[attribute]) == {m.name: m.value for m in registry}
        assert int(file.attrs["seed"]) == 2**64 - 1
        assert file.attrs["code_version"] == "0.1.0"
        assert file["provenance/config"].asstr()[()] == PROVENANCE["config"]


@pytest.mark.parametrize("n", [0, 1, 7])
def test_round_trip(tmp_path: Path, n: int) -> None:
    series(n).write(tmp_path)
    back = Series.load(tmp_path, 10**9)
    assert_records(back, n)
    assert (back.units, back.provenance) == (UNITS, PROVENANCE)


def test_continue_from_an_earlier_step(tmp_path: Path) -> None:
    series(9).write(tmp_path)
    again = Series.load(tmp_path, 20, units=UNITS, provenance={"seed": 3})
    assert_records(again, 4)
    assert again.provenance == {"seed": 3}
    for i in range(4, 6):
        again.append(record(i))
    again.write(tmp_path)
    assert_records(Series.load(tmp_path, 30), 6)
    assert_records(Series.load(tmp_path, 29), 5)
    assert_records(Series.load(tmp_path, -1), 0)


def test_wrong_records_are_refused() -> None:
    made = series(2)
    good = record(2)
    with pytest.raises(ValueError, match="step 6 after that of step 6"):
        made.append(record(1))
    with pytest.raises(ValueError, match=r"\['hb'\]"):
        made.append(Record(good.step, good.day, {"anc": 1.0}, good.counts))
    with pytest.raises(ValueError, match="int64 was expected"):
        made.append(Record(good.step, good.day, good.values, good.counts.astype(np.int32)))
    assert_records(made, 2)


def test_what_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match=r"series\.h5: no such file"):
        Series.load(tmp_path, 0)
    path = series(4).write(tmp_path)
    with pytest.raises(CheckpointError, match=r"other observables .*\['plt'\]"):
        Series.load(tmp_path, 0, units=UNITS | {"plt": ("1e9/L", "platelets")})
    whole = path.read_bytes()
    bad = [whole[:n] for n in (0, 3, 512, len(whole) // 2, len(whole) - 1)] + [whole + b"\0"]
    rng = np.random.default_rng(1)
    for i in [0, 100, 511, *rng.integers(512, len(whole), 30)]:
        bad.append(whole[:i] + bytes([whole[i] ^ (1 << int(rng.integers(8)))]) + whole[i + 1 :])
    for data in bad:
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match="damaged: it does not match its checksum"):
            Series.load(tmp_path, 100)
    monkeypatch.setattr(series_module, "FORMAT_VERSION", 2)
    series(4).write(tmp_path)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="format version 2 is newer"):
        Series.load(tmp_path, 100)


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = series(3).write(tmp_path)
    before = path.read_bytes()

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "sync", full)
    with pytest.raises(CheckpointError, match=r"No space left on device \(ENOSPC\)"):
        series(5).write(tmp_path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["series.h5"]
