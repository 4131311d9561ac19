"""Large patches made of copies of a small one: to make the tissue of 1e8 sites takes a minute, to copy it seconds.

Rates are those of any patch of this size: no kernel knows that what lies 160 sites further looks the same, and after
the first step it does not, as draws differ from site to site.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from abm.config import Config
from abm.step import Simulation

#: A patch is made of copies from this length on, sites, of a patch of at most that one.
TILED, TILE = 320, 160
#: Body arrays that count agents of the patch.
OF_PATCH = ("last_counts", "output.flux")


def copies(size: int) -> int:
    """Return how many copies along each edge make a patch of this length: 1 if it is not made of any."""
    fitting = (k for k in range(2, size) if size % k == 0 and size // k <= TILE)
    return next(fitting, 1) if size >= TILED else 1


def tile(config: Config, backend: Any, small: Simulation) -> Simulation:  # noqa: ANN401 - any backend
    """Return a patient whose patch is made of copies of another's, on the same day, with a body like that one's."""
    times = tuple(large // own for large, own in zip(config.patch.shape, small.config.patch.shape, strict=True))
    snapshot = small.snapshot()
    arrays = {name: np.tile(array, times) for name, array in snapshot.arrays.items()}
    counted = {name: snapshot.body[name] * np.prod(times) for name in OF_PATCH}
    return Simulation.restore(config, backend, replace(snapshot, arrays=arrays, body=dict(snapshot.body) | counted))
