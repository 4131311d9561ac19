"""Clones of stem cells in time, from the snapshots of a run: how many are active in each lineage, and how evenly.

A clone is what descends from one stem or progenitor agent of a graft, or from one stem cell of the start; cells that
were there at the start without being stem cells belong to none. Each agent stands for many cells of life (phi of the
run), and so does a clone.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from abm.cells import Kind
from abm.diversity import chao1, shannon, simpson

from .figures import MARROW
from .read import Run, RunError

#: Lineages of the table, by the groups of the marrow figures; stem cells alone come first.
LINEAGES: dict[str, tuple[str, ...]] = {"stem cells": ("hsc",)} | {
    name: kinds for name, (_, kinds) in MARROW.items() if name not in ("Leukaemic", "T and NK")
}
COLUMNS = ("day", "lineage", "cells", "clones", "edited_clones", "shannon_nats", "simpson", "chao1", "largest_share")
_CLONE_BITS = 16


@dataclass(frozen=True)
class Census:
    """Who is in the marrow at one time, cells without a clone left out; shape (cells,) throughout.

    Attributes:
        day: of the scenario.
        kind: code of each cell.
        clone: number of its clone, in which that of its origin stands too.
        edited: whether it carries an edit.
    """

    day: float
    kind: NDArray[Any]
    clone: NDArray[np.int64]
    edited: NDArray[np.bool_]

    def clones_of(self, lineage: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the clones of the cells of a lineage, and whether each is edited."""
        mine = np.isin(self.kind, [Kind[name.upper()] for name in LINEAGES[lineage]])
        return self.clone[mine], self.edited[mine]


def censuses(run: Run) -> list[Census]:
    """Return what the snapshots of a run hold, oldest first."""
    return [_census(run, path) for path in sorted(run.path.glob("snapshot-*.vtkhdf"))]


def _census(run: Run, path: Path) -> Census:
    with h5py.File(path, "r", locking=False) as file:
        names = ("kind", "origin", "clone", "edits")
        kind, origin, clone, edits = (file["VTKHDF/CellData"][name][()].reshape(-1) for name in names)
        step = int(file["abm"].attrs["step"])
    marked = (kind != Kind.EMPTY) & (clone != 0)
    number = (origin.astype(np.int64) << _CLONE_BITS) + clone
    day = run.day_of(step)
    if day is None:
        raise RunError(f"{path}: its day cannot be told: there is no config.toml, and fewer than two records")
    return Census(day, kind[marked], number[marked], edits[marked] != 0)


def rows(found: Sequence[Census]) -> Iterator[tuple[float | str, ...]]:
    """Yield one row of ``COLUMNS`` for each time and lineage."""
    for census in found:
        for lineage in LINEAGES:
            clones, edited = census.clones_of(lineage)
            cells = clones.astype(np.float64)
            sizes = np.unique(clones, return_counts=True)[1]
            largest = sizes.max() / sizes.sum() if sizes.size else 0.0
            numbers = (clones.size, sizes.size, np.unique(clones[edited]).size)
            measures = (shannon(cells), simpson(cells), chao1(cells), float(largest))
            yield (census.day, lineage, *numbers, *(float(f"{x:.6g}") for x in measures))


def write_table(found: Sequence[Census], file: Path) -> Path:
    """Write the rows as CSV."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        writer.writerows(rows(found))
    return file


def river(found: Sequence[Census], lineage: str, most: int = 24) -> tuple[NDArray[np.float64], list[bool]]:
    """Return the shares of the largest clones of a lineage in time, and whether each is edited.

    Returns:
        Shares, shape (clones + 1, times): in the order in which the clones appear, the last row all others; and one
        flag for each clone.
    """
    sizes: dict[int, NDArray[np.float64]] = {}
    edited: dict[int, bool] = {}
    for time, census in enumerate(found):
        clones, flags = census.clones_of(lineage)
        for clone, n in zip(*np.unique(clones, return_counts=True), strict=True):
            share = sizes.setdefault(int(clone), np.zeros(len(found)))
            share[time] = n / clones.size
        edited |= dict(zip(clones.tolist(), flags.tolist(), strict=True))
    largest = sorted(sizes, key=lambda clone: (-float(sizes[clone].max()), clone))[:most]
    chosen = sorted(largest, key=lambda clone: (int(np.flatnonzero(sizes[clone])[0]), clone))
    others = sum((sizes[c] for c in sizes if c not in largest), np.zeros(len(found)))
    return np.array([*(sizes[clone] for clone in chosen), others]), [edited[clone] for clone in chosen]
