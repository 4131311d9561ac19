"""A life of stem cells at their true number: clones with driver mutations, and the leukaemia that comes of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from abm.config import Config
from abm.setup import load_model
from abm.stem_clones import StemClones, StemRates

STEM_CELLS = 100_000
STEP_A = 0.05
#: Variant allele frequency from which one speaks of clonal haematopoiesis (Steensma, Blood 2015).
FOUND = 0.02
YOUNG, OLD, END = 40.0, 70.0, 90.0
#: Years over which the growth of a clone is measured that has been found: sequencing ten years apart.
APART = 10.0


def chip_life(seed: int) -> dict[str, Any]:
    """Follow the marrow of one person from birth to the age of 90."""
    config = Config.model_validate({"patient": {"disease": "chip"}})
    marrow = StemClones(StemRates.of(config, load_model(config).rules), STEM_CELLS, seed)
    largest: dict[float, float] = {}
    growth, followed = None, (np.inf, 0.0, 0.0)
    for step in range(1, round(END / STEP_A) + 1):
        marrow.advance(STEP_A)
        age = round(step * STEP_A, 6)
        if age in (YOUNG, OLD):
            largest[age] = float(marrow.vaf.max(initial=0.0))
        if followed[0] == np.inf and marrow.vaf.max(initial=0.0) >= FOUND / 2:
            clone = int(marrow.vaf.argmax())
            followed = (age + APART, round(float(marrow.born[clone + 1]), 6), float(marrow.vaf[clone]))
        if growth is None and age >= followed[0]:
            theirs = marrow.vaf[np.isclose(marrow.born[1:], followed[1])]
            growth = 100.0 * ((float(theirs.max(initial=0.0)) / followed[2]) ** (1.0 / APART) - 1.0)
    carrier = largest[OLD] >= FOUND
    ill = any(OLD < year <= OLD + APART for year in marrow.transformed)
    values = {"chip_young": float(largest[YOUNG] >= FOUND), "chip_old": float(carrier), "chip_growth": growth}
    return {"first_day": 0, "curves": {}, "values": values | {"chip_leukaemia": float(ill) if carrier else None}}
