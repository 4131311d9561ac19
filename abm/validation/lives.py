"""A life of stem cells at their true number: clones with driver mutations, and the leukaemia that comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from abm.config import Config
from abm.setup import load_model
from abm.stem_clones import StemClones, StemRates

STEM_CELLS = 100_000
STEPS = 20  #: a year
#: Variant allele frequency from which one speaks of clonal haematopoiesis (Steensma, Blood 2015).
CARRIER = 0.02
#: That from which a clone is followed, as sequencing finds it, and years to the second sample.
FOUND, APART = 0.01, 10
YOUNG, OLD, END = 40, 70, 90

#: Variant allele frequency of every clone by the year in which it arose.
Clones = dict[float, float]


def chip_life(seed: int) -> dict[str, Any]:
    """Follow the marrow of one person from birth to the age of 90."""
    config = Config.model_validate({"patient": {"disease": "chip"}})
    marrow = StemClones(StemRates.of(config, load_model(config).rules), STEM_CELLS, seed)
    ages = [_clones(marrow)]
    while len(ages) <= END:
        for _ in range(STEPS):
            marrow.advance(1.0 / STEPS)
        ages.append(_clones(marrow))
    young, old = (float(max(ages[age].values(), default=0.0) >= CARRIER) for age in (YOUNG, OLD))
    ill = float(any(OLD < year <= OLD + APART for year in marrow.transformed))
    values = {"chip_young": young, "chip_old": old, "chip_growth": growth(ages), "chip_leukaemia": ill if old else None}
    return {"first_day": 0, "values": values, "curves": {}}


def _clones(marrow: StemClones) -> Clones:
    return dict(zip(marrow.born[1:].tolist(), marrow.vaf.tolist(), strict=True))


def growth(ages: Sequence[Clones]) -> float | None:
    """Return the yearly growth in percent of the first clone that is found; ``None`` if there is none in time."""
    for age, clones in enumerate(ages[:-APART]):
        if clones and max(clones.values()) >= FOUND:
            clone = max(clones, key=clones.__getitem__)
            ratio = ages[age + APART].get(clone, 0.0) / clones[clone]
            return 100.0 * float(ratio ** (1.0 / APART) - 1.0)
    return None
