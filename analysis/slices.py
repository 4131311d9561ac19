"""A plane through the marrow, from the newest checkpoint: tissue below, cells on top."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from abm import cells

from .figures import groups
from .read import Run

Labels = NDArray[np.uint8]

SITE_UM = 10  #: edge of a site
WIDEST = 128  #: sites shown across; a larger plane is cut to its middle
TISSUES = {"Bone": "bone", "Sinusoid": "sinusoid", "Arteriole": "arteriole", "Adipocyte": "fat"}


@dataclass(frozen=True)
class Slice:
    """One plane of the patch, shape (ny, nx) throughout; cell codes are 0 where the layer is empty."""

    step: int
    z: int
    whole: tuple[int, int]  #: sites of the whole plane
    tissue: Labels  #: ``cells.Tissue`` codes
    resident: Labels  #: kind codes
    resident_origin: Labels
    motile: Labels
    motile_origin: Labels


def newest(run: Run) -> Slice | None:
    """Return the middle plane of the newest checkpoint that can be read."""
    for folder in reversed(run.checkpoints):
        shards = sorted(folder.glob("shard-*.h5"))
        try:
            return _load(folder, shards[len(shards) // 2])
        except (OSError, KeyError, IndexError, ValueError):
            continue
    return None


def _load(folder: Path, shard: Path) -> Slice:
    with h5py.File(shard, "r", locking=False) as file:
        data = {name: _find(file, name) for name in ("tissue", "res_hot", "mot_hot")}
        z = data["tissue"].shape[0] // 2
        first = int(file.attrs.get("z0", 0))
        whole = data["tissue"].shape[1:]
        window = tuple(slice((n - min(n, WIDEST)) // 2, (n + min(n, WIDEST)) // 2) for n in whole)
        tissue, resident, motile = (data[name][(z, *window)] for name in ("tissue", "res_hot", "mot_hot"))
    return Slice(
        int(folder.name.rpartition("-")[2]), first + z, (int(whole[0]), int(whole[1])),
        tissue & cells.TISSUE_MASK,
        _field(resident, "kind"), _field(resident, "origin"), _field(motile, "kind"), _field(motile, "origin"),
    )  # fmt: skip


def _find(file: h5py.File, name: str) -> h5py.Dataset:
    """Return the dataset called ``name``, at the top of the shard or in a group of it."""
    found = file.visititems(lambda path, item: item if path.rpartition("/")[2] == name else None)
    if not isinstance(found, h5py.Dataset):
        raise KeyError(name)
    return found


def _field(words: NDArray[Any], name: str) -> Labels:
    field = next(f for f in cells.HOT if f.name == name)
    return ((words >> field.shift) & ((1 << field.bits) - 1)).astype(np.uint8)


# ---------------------------------------------------------------------------------------------- classes of sites


def tissue_masks(plane: Slice) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield title, CSS class and sites of every tissue that is not plain marrow."""
    for title, style in TISSUES.items():
        yield title, style, plane.tissue == cells.Tissue[title.upper()]


def by_group(run: Run, plane: Slice) -> Iterator[tuple[str, str, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield title, colour and sites (resident, motile) of every group of kinds."""
    for title, (colour, kinds) in groups(run).items():
        codes = [run.kinds[kind] for kind in kinds]
        yield title, colour, np.isin(plane.resident, codes), np.isin(plane.motile, codes)


def by_origin(run: Run, plane: Slice) -> Iterator[tuple[str, str, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield title, colour and sites (resident, motile): leukaemic cells first, then all others by origin."""
    leukaemic = [run.kinds[kind] for kind in ("lsc", "blast") if kind in run.kinds]
    sick = np.isin(plane.resident, leukaemic)
    yield "Leukaemic", "ink", sick, np.zeros_like(sick)
    colours = {"host": "red", "donor": "blue", "donor2": "green", "product": "orange"}
    for name, code in run.origins.items():
        resident = (plane.resident > 0) & (plane.resident_origin == code) & ~sick
        yield name.capitalize(), colours.get(name, "grey"), resident, (plane.motile > 0) & (plane.motile_origin == code)


# ---------------------------------------------------------------------------------------------- SVG


def svg(run: Run, plane: Slice, split: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the plane as SVG, cells coloured by ``split`` ("group" or "origin"), and the legend (title, colour)."""
    ny, nx = plane.tissue.shape
    parts, shown = [f'<rect class="tissue marrow" width="{nx}" height="{ny}"/>'], []
    for _, style, mask in tissue_masks(plane):
        parts.append(f'<path class="tissue {style}" d="{_boxes(mask)}"/>')
    for title, colour, resident, motile in (by_group if split == "group" else by_origin)(run, plane):
        if resident.any() or motile.any():
            shown.append((title, colour))
        parts.append(f'<path class="cell {colour}" d="{_dots(resident)}"/>')
        parts.append(f'<path class="rim" d="{_dots(motile)}"/><path class="motile {colour}" d="{_dots(motile)}"/>')
    label = f"Marrow plane z = {plane.z}, cells coloured by {split}"
    return f'<svg class="slice" viewBox="0 0 {nx} {ny}" role="img" aria-label="{label}">{"".join(parts)}</svg>', shown


def scale_bar(plane: Slice) -> int:
    """Return a round length that is about a quarter of the picture's width, in micrometres."""
    return next((um for um in (200, 100, 50) if um * 3 <= plane.tissue.shape[1] * SITE_UM), 20)


def _dots(mask: NDArray[np.bool_]) -> str:
    return "".join(f"M{x}.5 {y}.5h0" for y, x in np.argwhere(mask))


def _boxes(mask: NDArray[np.bool_]) -> str:
    """Return path data of the runs of true sites in every row, overlapping a little so that no seam shows."""
    words = []
    for y, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(np.int8)))
        words += [f"M{a} {y}h{b - a}v1.04h-{b - a}z" for a, b in edges.reshape(-1, 2)]
    return "".join(words)
