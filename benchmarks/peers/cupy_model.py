"""marrow-lite as array expressions in CuPy: the expressions are those of ``numpy_model``."""

from __future__ import annotations

from typing import Any

from benchmarks.peers import numpy_model
from benchmarks.peers.model import optional

NAME = "CuPy"


def available() -> str:
    """Return "" if this peer can run here, else the reason why not."""
    cupy, reason = optional("cupy")
    if reason:
        return reason
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no GPU: {error}"
    return "" if count else "no GPU"


class Model(numpy_model.Model):
    """The model on the current GPU."""

    def __init__(self, n: int, seed: int) -> None:
        # here, not above: this file can be read where there is no CuPy
        self.xp, reason = optional("cupy")
        if reason:
            raise ImportError(reason)
        super().__init__(n, seed)

    def generator(self, seed: int) -> Any:
        """Return the source of random numbers."""
        return self.xp.random.default_rng(seed)

    def draw(self, count: int) -> Any:
        """Return random numbers of 16 bits, (count,)."""
        # as wide as CuPy makes them
        return self.rng.integers(0, 1 << 16, count, dtype=self.xp.uint32)

    def step(self) -> None:
        """Advance by one step and wait for it."""
        super().step()
        self.xp.cuda.get_current_stream().synchronize()
