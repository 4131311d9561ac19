"""Contact with stroma: what it spares leukaemic cells of the kill by drugs and radiation.

Cells that adhere to reticular cells outlive drugs that kill others beside them (cell-adhesion-mediated drug resistance:
Meads, Gatenby & Dalton, Nat Rev Cancer 2009). The kill that ``drugs.csv`` and ``radiation.csv`` state is that of all
leukaemic cells of a marrow, wherever they lie: contact makes it unequal, and leaves the whole as it is stated. So what
is followed in numbers, without places, meets the same kill as a patch, and rest in a niche, which is at stroma, is not
counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_KINDS, N_VARIANTS, Cycle
from abm.errors import ConfigError
from abm.exactmath import exp, log
from abm.model.body.drugs import LEUKAEMIC
from abm.model.body.numerics import Floats
from abm.tables import Folder, read_values

if TYPE_CHECKING:
    from abm.model.body import Body

SHELTER_TABLE = "shelter.csv"
UNITS: Mapping[str, str] = {"spared": "1"}
_ROUNDS = 12  #: of Newton's method; five are enough for a dose that leaves one cell in a million
_MOST = 30.0  #: -ln(survival) beyond which no cell is left
_HIGHEST = 0.95  #: share that may be spared: what all in contact are spared, the others meet twentyfold


def read_shelter(folder: Folder) -> float:
    """Return the share of the hazard by drugs that contact spares, 0-1."""
    path = folder / SHELTER_TABLE
    spared = read_values(path, UNITS)["spared"]
    if not 0.0 <= spared <= _HIGHEST:
        raise ConfigError(f"expected a share from 0 to {_HIGHEST:g}, found {spared:g}", file=path, key="spared")
    return spared


def split(
    body: Body, whole: Floats, population: NDArray[np.int64], count: Callable[[], NDArray[np.int64]]
) -> tuple[Floats, Floats | None]:
    """Return the death hazard per hour of all cells, and what comes on top of it for those without contact, if any.

    Stroma that conditioning has killed spares nobody.

    Args:
        body: the body.
        whole: hazard by all that the body brings, wild type first, shape (4 or 1, 64, 2).
        population: cells of the patch, int64 (64, 4).
        count: counts its leukaemic cells, int64 (N_BESIDE, 64, 4): of each variant resting ones without and with
            contact, cycling ones likewise; asked only where it matters.
    """
    spared = body.tables.shelter * body.stroma.intact
    if spared <= 0.0 or body.step_h <= 0.0 or not body.drugs.acting or not population[list(LEUKAEMIC)].any():
        return whole, None
    kill = body.drugs.variant_kills(body.step_h)
    beside = count().sum(axis=2).reshape(N_VARIANTS, 2, 2, N_KINDS)
    if len(kill) == 1:  # all variants are alike
        beside = beside.sum(axis=0, keepdims=True)
    of_all, bare = whole.copy(), np.zeros_like(whole)
    for row in product(range(len(kill)), LEUKAEMIC, Cycle):
        variant, kind, cycle = row
        apart, touching = beside[variant, cycle, :, kind].tolist()
        if apart + touching == 0:
            continue
        by_drug = float(kill[row])
        raised = factor(by_drug, touching / (apart + touching), spared) * by_drug
        bare[row] = raised * spared / body.step_h
        of_all[row] += (raised * (1.0 - spared) - by_drug) / body.step_h
    return np.maximum(of_all, 0.0), bare


def factor(kill: float, touching: float, spared: float) -> float:
    """Return by what the kill of cells without contact exceeds that of the whole, so that this is what it should be.

    It solves c exp(-(1 - e) m x) + (1 - c) exp(-m x) = exp(-x) for m. The logarithm of the left side is convex in m and
    falls, so that Newton's method from the mean of the hazards goes up to the root.

    Args:
        kill: -ln(survival) of the whole, x.
        touching: share of cells in contact, c.
        spared: share of the hazard that contact spares, e.
    """
    m, x = 1.0 / (1.0 - spared * touching), min(kill, _MOST)
    if x <= 0.0 or touching in (0.0, 1.0):
        return m
    kept = 1.0 - spared
    for _ in range(_ROUNDS):
        gain = exp(spared * m * x) * touching  # of those in contact, over one of the others
        left, slope = gain + (1.0 - touching), kept * gain + (1.0 - touching)
        m += (log(left) - m * x + x) * left / (slope * x)
    return m
