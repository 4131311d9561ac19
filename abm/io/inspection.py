"""What ``abm verify`` and ``abm hash`` say about any file that a run writes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from abm.errors import CheckpointError
from abm.io.atomic import check_seal, has_seal, open_hdf5
from abm.io.checkpoint import newest_good
from abm.io.manifest import MANIFEST
from abm.io.reader import read_manifest, verify
from abm.io.series import FILE, Series

#: All that a run writes and that can be checked, in the order in which it is told.
_CHECKED = ("checkpoint-*[0-9]", "checkpoint-*.h5", FILE, "snapshot-*.vtkhdf")
_HDF5 = b"\x89HDF\r\n\x1a\n"


def find_checkpoint(path: Path) -> tuple[Path, list[str]]:
    """Return the newest good checkpoint of a run, with what is to be said of newer ones; or the file ``path`` itself.

    Raises:
        CheckpointError: there is none.
    """
    return (found, []) if (found := _one(path)) else newest_good(path)


def verdicts(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield each checkpoint and file of a run, or the one that ``path`` is, with all that is wrong with it.

    Raises:
        CheckpointError: there is nothing to check.
    """
    one = _one(path)
    # Each under the first pattern that it fits.
    found = {one: 0} if one else {f: i for i in reversed(range(len(_CHECKED))) for f in path.glob(_CHECKED[i])}
    if not found:
        msg = f"{path}: no checkpoints, series or snapshots there"
        raise CheckpointError(msg)
    for file in sorted(found, key=lambda f: (found[f], f.name)):
        yield file, problems(file)


def problems(path: Path) -> list[str]:
    """Return all that is wrong with one checkpoint or file of a run."""
    if path.is_dir():
        return verify(path)
    try:
        if not has_seal(path):
            return [_why_no_seal(path)]
        check_seal(path)
        kind = _kind(path)
        if kind == "series":
            Series.load(path.parent, sys.maxsize, name=path.name)
    except OSError as error:
        return [error.strerror or str(error)]
    except CheckpointError as error:
        return [str(error).removeprefix(f"{path}: ")]
    return verify(path) if kind == "checkpoint" else []


def state_line(path: Path) -> str:
    """Return what ``abm hash`` prints of one checkpoint or file, the hash as its last word.

    Raises:
        CheckpointError: damaged.
    """
    if wrong := problems(path):
        msg = f"{path}: {'; '.join(wrong)}"
        raise CheckpointError(msg)
    kind = "checkpoint" if path.is_dir() else _kind(path)
    if kind == "series":
        series = Series.load(path.parent, sys.maxsize, name=path.name)
        return f"{path} {len(series)} records up to step {series.last_step} series hash {series.digest()}"
    if kind == "checkpoint":
        manifest = read_manifest(path)
        return f"{path} step {manifest.step} state hash {manifest.state_hash}"
    with open_hdf5(path) as file:
        shown = file["abm"].attrs
        return f"{path} step {shown['step']} state hash {shown['state_hash']}"


def _one(path: Path) -> Path | None:
    """Return the one checkpoint or file that ``path`` is or belongs to, ``None`` if it is the directory of a run."""
    if path.is_file():
        return path.parent if (path.parent / MANIFEST).exists() else path
    return path if path.name.startswith("checkpoint-") or (path / MANIFEST).exists() else None


def _kind(path: Path) -> str:
    """Return what an undamaged file is."""
    with open_hdf5(path) as file:
        for kind, member in (("snapshot", "VTKHDF"), ("series", "counts"), ("checkpoint", "body")):
            if member in file:
                return kind
    msg = f"{path}: not a file of a run"
    raise CheckpointError(msg)


def _why_no_seal(path: Path) -> str:
    with path.open("rb") as file:
        return "carries no checksum" if file.read(len(_HDF5)) == _HDF5 else "damaged, or not a file of a run"
