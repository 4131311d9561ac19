"""Files as a run of one or several ranks writes them, made in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from abm.errors import CheckpointError
from abm.io import Record, Series, merge, write_checkpoint, write_snapshot
from abm.io.manifest import Part
from abm.io.series import COUNTS_SHAPE
from abm.state import Snapshot


def part_of(snap: Snapshot, z0: int, z1: int) -> Snapshot:
    """Return some planes of a state."""
    arrays = {name: array[z0 - snap.z0 : z1 - snap.z0] for name, array in snap.arrays.items()}
    return replace(snap, z0=z0, z1=z1, arrays=arrays)


def write_shards(out: Path, snap: Snapshot, edges: Sequence[int], keep: int = 2) -> Path:
    """Write as the ranks of an MPI run would; the last one to come, rank 0, writes the manifest."""
    n = len(edges) - 1
    parts: list[Part] = []

    def gather(part: Part) -> list[Part] | None:
        parts.append(part)
        return parts if len(parts) == n else None

    path, failure = out, None
    for rank in reversed(range(n)):
        own = part_of(snap, edges[rank], edges[rank + 1])
        try:
            path = write_checkpoint(out, own, keep=keep, rank=rank, n_ranks=n, gather=gather)
        except CheckpointError as error:  # the others write on, as ranks do
            failure = error
    if failure is not None:
        raise failure
    return path


def assert_same(a: Snapshot, b: Snapshot) -> None:
    """Two states are the same in every bit, and were made in the same way."""
    assert (a.step, a.shape, a.z0, a.z1, a.meta) == (b.step, b.shape, b.z0, b.z1, b.meta)
    for one, other in ((a.arrays, b.arrays), (a.body, b.body)):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name].dtype == other[name].dtype, name
            np.testing.assert_array_equal(one[name], other[name], name, strict=True)


def names(folder: Path) -> list[str]:
    """Return what a folder holds."""
    return sorted(p.name for p in folder.iterdir())


def writers(out: Path, snap: Snapshot) -> list[Callable[[], object]]:
    """Return all ways to write a file into ``out``, which holds the checkpoint of step 12."""
    series = Series({"anc": ("1e9/L", "neutrophils")})
    rng = np.random.default_rng(1)
    for step in range(20):
        series.append(Record(step, float(step), {"anc": 1.0}, rng.integers(0, 2**62, COUNTS_SHAPE)))
    return [
        lambda: write_checkpoint(out, snap, keep=1),
        lambda: write_shards(out, snap, (0, 9, 16), keep=1),
        lambda: write_snapshot(out, snap),
        lambda: series.write(out),
        lambda: merge(out / "checkpoint-00000012", out / "merged.h5"),
    ]
