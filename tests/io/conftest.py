"""States that look like real ones, most words occupied; and a user without rights."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from abm.cells import COLD, HOT
from abm.state import Array, Snapshot, checkpoint_fields

NOBODY = 65534  #: a user without rights

META: dict[str, str | int] = {
    "seed": 2**64 - 1,
    "config": '[patch]\nshape = [7, 6, 5]\ntitle = "µm"\n',
    "config_hash": "c0",
    "rules_hash": "d1",
    "kernel_digest": "e2",
    "stream_digest": "f3",
    "code_version": "0.1.0",
    "git": "unknown",
    "backend": "numpy",
}


def words(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    bits = sum(f.bits for f in HOT)
    assert bits == sum(f.bits for f in COLD) == 32
    return rng.integers(0, 2**32, shape, dtype=np.uint32) * (rng.random(shape) < 0.6)


def make(shape: tuple[int, int, int] = (7, 6, 5), step: int = 24, seed: int = 1) -> Snapshot:
    """Return a random state."""
    rng = np.random.default_rng([seed, step])
    makers = {
        "u1": lambda: rng.integers(0, 256, shape, dtype=np.uint8),
        "u4": lambda: words(rng, shape).astype(np.uint32),
        "f4": lambda: rng.random(shape, dtype=np.float32),
    }
    body: dict[str, Array] = {
        "pools": rng.random(17),
        "blood/neutrophils": np.array(rng.random()),
        "circulating": words(rng, (3000,)).astype(np.uint32),
        "counts": rng.integers(-5, 5, (10, 64, 4)),
        "nobody": np.zeros((0, 2)),
        "flags": np.array([True, False]),
    }
    arrays = {f.name: makers[f.dtype]() for f in checkpoint_fields()}
    return Snapshot(step, shape, 0, shape[0], arrays, body, dict(META))


@pytest.fixture
def make_snapshot() -> Callable[..., Snapshot]:
    """``make(shape, step, seed)``: a random state."""
    return make


@contextmanager
def without_rights() -> Iterator[None]:
    """Give up the rights of root for the block, if this is root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may read: the usual one is closed to all but its owner."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)
