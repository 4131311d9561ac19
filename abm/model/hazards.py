"""What drugs do to the hazards of a step: they come first, all else befalls those that outlive them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abm import exactmath
from abm.cells import N_HAZARDS, Behaviour

_RIVALS = [b for b in range(N_HAZARDS) if b != Behaviour.DRUG]


def killed(hazard: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of cells that do not outlive a hazard by drug or radiation of the whole step: 1 - exp(-x).

    A dose may kill nearly all cells in an hour. Other events come about in what is left of them: as mere rivals of such
    a death they would save their cells, one in a hundred of which would divide instead of dying.
    """
    hazards = hazard.ravel().tolist()
    share = {x: 1.0 - exactmath.exp(-x) for x in set(hazards)}
    return np.array([share[x] for x in hazards]).reshape(hazard.shape)


def kill(rate: NDArray[np.float64], by_drug: NDArray[np.float64]) -> None:
    """Let drugs act on hazards per step, in place: they come first, all else befalls those that outlive them."""
    if by_drug.any():
        by_drug = killed(by_drug)
        rate[..., _RIVALS] *= 1.0 - by_drug[..., None]
    rate[..., Behaviour.DRUG] = by_drug
    rate[..., Behaviour.RENEW] = 0.0
