"""The time series of a run: body observables and exact cell counts, in ``series.h5``.

The file explains itself: names of kinds, origins and count rows, units and provenance stand in its attributes.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from abm.cells import N_COUNTS, N_KINDS, N_ORIGINS, Count, Kind, Origin
from abm.errors import CheckpointError
from abm.io.atomic import (
    deflate,
    new_array,
    new_hdf5,
    open_hdf5,
    read_provenance,
    write_attributes,
    write_chunks,
    write_provenance,
)

FORMAT_VERSION = 1
FILE = "series.h5"
COUNTS_SHAPE = (N_COUNTS, N_KINDS, N_ORIGINS)
_COUNTS_DOC = "population, niche and quiescent rows: cells at that time; all others: events since the record before"


@dataclass(frozen=True)
class Record:
    """One line of the series.

    Attributes:
        step: fate steps done.
        day: day of the scenario (day 0 is the transplant), days.
        values: body observables by name; the same names in each record.
        counts: cells and events, int64, shape (N_COUNTS, N_KINDS, N_ORIGINS).
    """

    step: int
    day: float
    values: dict[str, float]
    counts: NDArray[np.int64]


class Series:
    """Records in memory, rewritten to one file as a whole."""

    def __init__(self, units: Mapping[str, tuple[str, str]], provenance: Mapping[str, str | int] | None = None) -> None:
        """Start an empty series.

        Args:
            units: (unit, sentence) of every body observable.
            provenance: how it was made (config, seed, code_version, git, backend, kernel_digest).
        """
        self.units = dict(units)
        self.provenance = dict(provenance or {})
        self._steps: list[int] = []
        self._days: list[float] = []
        self._values: dict[str, list[float]] = {name: [] for name in units}
        # Deflated once, when appended: long runs rewrite the file often, and most counts are zero.
        self._counts: list[bytes] = []

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._steps)

    @property
    def last_step(self) -> int:
        """Step of the last record, -1 if there is none."""
        return self._steps[-1] if self._steps else -1

    def append(self, record: Record) -> None:
        """Add a record that is later than the last one."""
        if record.step <= self.last_step:
            msg = f"record of step {record.step} after that of step {self.last_step}"
            raise ValueError(msg)
        if record.values.keys() != self.units.keys():
            msg = f"observables differ from the declared ones: {sorted(record.values.keys() ^ self.units.keys())}"
            raise ValueError(msg)
        if record.counts.shape != COUNTS_SHAPE or record.counts.dtype != np.int64:
            msg = f"counts: {record.counts.shape} {record.counts.dtype} where {COUNTS_SHAPE} int64 was expected"
            raise ValueError(msg)
        self._steps.append(record.step)
        self._days.append(record.day)
        for name, value in record.values.items():
            self._values[name].append(float(value))
        self._counts.append(deflate(record.counts))

    def records(self) -> Iterator[Record]:
        """Yield the records, oldest first."""
        for i, (step, day) in enumerate(zip(self._steps, self._days, strict=True)):
            yield Record(step, day, {k: v[i] for k, v in self._values.items()}, _inflate(self._counts[i]))

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the records; units and provenance are not part of it."""
        sha = hashlib.sha256(f"{len(self)} records {sorted(self.units)}\n".encode())
        columns = [np.array(self._steps, "<i8"), np.array(self._days, "<f8")]
        columns += [np.array(self._values[name], "<f8") for name in sorted(self.units)]
        for column in columns:
            sha.update(column.tobytes())
        for counts in self._counts:
            sha.update(_inflate(counts).astype("<i8", copy=False).tobytes())
        return sha.hexdigest()

    def write(self, out: Path) -> Path:
        """Replace ``series.h5`` in ``out`` by the records so far.

        Raises:
            CheckpointError: it cannot be written; the file is as it was.
        """
        path = out / FILE
        with new_hdf5(path, sealed=True) as file:
            names = {"kinds": _names(Kind), "origins": _names(Origin), "count_rows": _names(Count)}
            write_attributes(file, {"format_version": FORMAT_VERSION, **names})
            write_provenance(file, self.provenance)
            _column(file, "step", np.array(self._steps, np.int64), "steps", "fate steps done")
            _column(file, "day", np.array(self._days, np.float64), "d", "day of the scenario; 0 is the transplant")
            body = file.create_group("body")
            for name, (unit, doc) in self.units.items():
                _column(body, name, np.array(self._values[name], np.float64), unit, doc)
            counts = new_array(file, "counts", (len(self), *COUNTS_SHAPE), np.dtype(np.int64), 1)
            write_chunks(counts, 0, self._counts)
            write_attributes(counts, {"unit": "cells", "doc": _COUNTS_DOC, "axes": "record, count row, kind, origin"})
        return path

    def _take(self, file: h5py.File, up_to_step: int) -> None:
        """Take over the records of a file; the count tables stay deflated."""
        n = int(np.searchsorted(file["step"][()], up_to_step, "right"))
        self._steps, self._days = file["step"][:n].tolist(), file["day"][:n].tolist()
        self._values = {name: file["body"][name][:n].tolist() for name in self.units}
        counts = file["counts"].id
        self._counts = [counts.read_direct_chunk((i, 0, 0, 0))[1] for i in range(n)]

    @classmethod
    def load(
        cls,
        out: Path,
        up_to_step: int,
        *,
        units: Mapping[str, tuple[str, str]] | None = None,
        provenance: Mapping[str, str | int] | None = None,
        name: str = FILE,
    ) -> Series:
        """Read ``series.h5`` to continue it from a checkpoint; records after ``up_to_step`` are left out.

        Units and provenance are those of the file unless given.

        Raises:
            CheckpointError: missing, damaged, of a newer format, or with other observables than ``units``.
        """
        path = out / name
        with open_hdf5(path, sealed=True) as file:
            if (version := int(file.attrs["format_version"])) > FORMAT_VERSION:
                msg = f"{path}: format version {version} is newer than {FORMAT_VERSION}, the last one known here"
                raise CheckpointError(msg)
            stored = {name: (str(d.attrs["unit"]), str(d.attrs["doc"])) for name, d in file["body"].items()}
            if units is not None and units.keys() != stored.keys():
                msg = f"{path}: other observables than this program's: {sorted(units.keys() ^ stored.keys())}"
                raise CheckpointError(msg)
            series = cls(
                stored if units is None else units, read_provenance(file) if provenance is None else provenance
            )
            series._take(file, up_to_step)
        return series


def _column(group: h5py.Group, name: str, values: NDArray[np.float64] | NDArray[np.int64], unit: str, doc: str) -> None:
    data = group.create_dataset(name, data=values)
    write_attributes(data, {"unit": unit, "doc": doc})


def _inflate(chunk: bytes) -> NDArray[np.int64]:
    """Undo :func:`deflate` for a count table."""
    columns = np.frombuffer(zlib.decompress(chunk), np.uint8).reshape(8, -1)
    return columns.T.copy().view(np.int64).reshape(COUNTS_SHAPE)


def _names(registry: type[IntEnum]) -> str:
    return json.dumps({member.name: member.value for member in registry})
