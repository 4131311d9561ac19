"""Labels that show where cells go: who takes one up."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_KINDS, Behaviour, Kind, Label
from abm.exactmath import exp
from abm.model.body import Dose

#: What a marker leaves in a cell.
MARKERS = {"dna": Label.DNA, "histone": Label.HISTONE}
_ALWAYS = 0xFFFFFFFF


def takers(marker: str, rates: NDArray[np.floating], s_phase_h: float, step_h: float) -> NDArray[np.uint32]:
    """Return the threshold (x 2^-32) to take up a marker by row of the rate table of the wild type, uint32 (128,).

    "dna": a cell that divides at rate r copies its DNA for ``s_phase_h`` hours before, and is caught in it with
    probability 1 - exp(-r s_phase_h). "histone": every stem cell.

    Args:
        marker: a name of ``MARKERS``.
        rates: of the wild type per step, shape (128, N_BEHAVIOURS).
        s_phase_h: duration of DNA synthesis, hours.
        step_h: length of the step, hours.
    """
    take = np.zeros(N_KINDS * 2, np.uint32)
    if marker == "histone":
        take[[2 * Kind.HSC, 2 * Kind.HSC + 1]] = _ALWAYS
    else:
        divide = rates[:, Behaviour.DIVIDE].astype(np.float64) / step_h
        take[:] = [int((1.0 - exp(-rate * s_phase_h)) * _ALWAYS) for rate in divide.tolist()]
    return take


def first_given(schedule: list[tuple[Dose, ...]]) -> float:
    """Return the first step at the end of which a label is given; infinite if none is."""
    steps = (t for t, doses in enumerate(schedule) if any(dose.kind == "label" for dose in doses))
    return next(steps, inf)
