"""What the kernels of one step are told of rates and chances."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm.cells import FIRST_MOTILE, N_BEHAVIOURS, N_KINDS


class StepRates(NamedTuple):
    """What the kernels of one step need.

    Attributes:
        rates: hazards per step by variant, float32 (4 * 128 * N_BEHAVIOURS,): the rate of an event times the length of
            the step, which is its probability as long as those of a cell add up to less than 1; the chance of death by
            drugs, and of all else what is left to those that outlive it.
        ceiling: upper bound of the event probability, in 2^-32, uint32 (256,), whatever the variant: for cells that
            nobody touches, then for those that are struck or engaged. It only saves work.
        renew: thresholds of RENEW by variant, uint32 (4 * 128,).
        rated: which behaviours have a rate, a bit each, by variant, uint32 (4 * 128,).
        directed: chance in a step to die by drugs that spare cells with a loss bit, by that bit, float32 (128 * 9,).
        aimed: loss bits by which any of these spares a cell, uint16 (128,).
        exposed: chance in a step to die by drugs of which contact with stroma spares a cell, besides the others, by
            variant, float32 (4 * 128,).
    """

    rates: NDArray[np.float32]
    ceiling: NDArray[np.uint32]
    renew: NDArray[np.uint32]
    rated: NDArray[np.uint32]
    directed: NDArray[np.float32]
    aimed: NDArray[np.uint16]
    exposed: NDArray[np.float32]

    @property
    def wild(self) -> NDArray[np.float32]:
        """Hazards per step of the wild type, float32 (128, N_BEHAVIOURS)."""
        return self.rates.reshape(-1, N_BEHAVIOURS)[: N_KINDS * 2]

    def able(self, population: NDArray[np.int64]) -> list[tuple[str, int]]:
        """Return the layers ("res", "mot") where any cell of the population (64, 4) may have an event.

        With each comes the largest ceiling of its cells that nobody touches.
        """
        ceiling = self.ceiling.reshape(2, N_KINDS, 2).max(axis=2) * population.any(axis=1)
        layers = {"res": ceiling[:, :FIRST_MOTILE], "mot": ceiling[:, FIRST_MOTILE:]}
        return [(layer, int(found[0].max())) for layer, found in layers.items() if found.any()]
