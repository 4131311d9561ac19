"""A life of stem cells at their true number: clones with driver mutations, and the leukaemia that comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from abm import resources
from abm.cells import GAIN_VARIANT, Kind
from abm.config import Config, load_config
from abm.endpoints import RELAPSE
from abm.exactmath import log
from abm.model import leukaemia
from abm.model.body.parameters import StemRules, section
from abm.setup import Model, load_model, subclones
from abm.stem_clones import DAYS_PER_YEAR, StemClones, StemRates, log10_kill

STEM_CELLS = 100_000
STEPS = 20  #: a year
#: Variant allele frequency from which one speaks of clonal haematopoiesis (Steensma, Blood 2015).
CARRIER = 0.02
#: That from which a clone is followed, as sequencing finds it, and years to the second sample.
FOUND, APART = 0.01, 10
YOUNG, OLD, END = 40, 70, 90
#: Days before an autograft on which its cells are taken, after the treatment before; years for which it is followed.
COLLECTED, AFTER = 14.0, 10.0

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


def autograft_life(seed: int, *, clone: bool) -> dict[str, Any]:
    """Follow the stem cells of a patient of ``tmn_after_autograft`` through its treatment and ten years from the graft.

    Args:
        seed: of the patient.
        clone: whether the patient has the clone of the scenario; otherwise clones are those that arose in a life.
    """
    config = load_config(resources.folder("scenarios") / "tmn_after_autograft.toml", seed=seed)
    model = load_model(config)
    rates = StemRates.of(config, model.rules, occupancy=model.traffic["niche_occupancy"])
    marrow = StemClones(rates, STEM_CELLS, seed)
    if clone:
        for subclone in subclones(model):
            marrow.begin(subclone.gain >> GAIN_VARIANT, round(subclone.share * STEM_CELLS))
    else:
        while marrow.year < config.patient.age_years:
            marrow.advance(1.0 / STEPS)
    marrow.transformed.clear()
    carrier = treat(marrow, model) >= CARRIER
    start, late = marrow.year, latency(model)
    while marrow.year < start + AFTER:
        marrow.advance(1.0 / STEPS)
    ill = float(any(year + late <= start + AFTER for year in marrow.transformed))
    values = {
        "tmn_carriers": ill if carrier else None,
        "tmn_others": None if carrier else ill,
        "tmn_clone": 100.0 * float(marrow.vaf.max(initial=0.0)),
    }
    return {"first_day": 0, "values": values, "curves": {}}


def treat(marrow: StemClones, model: Model) -> float:
    """Give what the schedule says up to the graft; return the largest clone in it, as variant allele frequency."""
    config, rules = model.config, section(StemRules, model.tables.values, model.config.patient.weight_kg)
    day = config.time.start_day
    days = {config.day(step): doses for step, doses in enumerate(model.schedule) if doses}
    graft_day = next(when for when, doses in days.items() if any(dose.kind == "graft" for dose in doses))
    graft, largest = None, 0.0
    for when, doses in days.items():
        if graft is None and when > graft_day - COLLECTED:
            graft = marrow.collect(round(rules.autograft_founders))
            largest = float(marrow.vaf.max(initial=0.0))
        marrow.advance((when - day) / DAYS_PER_YEAR)
        day = when
        for dose in doses:
            if (kill := log10_kill(model.tables, dose)).any():
                marrow.expose(kill, rules.genotoxic_divisions, float(log10_kill(model.tables, dose, Kind.LSC)[0]))
            elif dose.cd34 and graft is not None:  # of a graft its lymphocytes come first
                marrow.engraft(graft)
    return largest


def latency(model: Model) -> float:
    """Return the years in which one leukaemic stem cell becomes a leukaemia that is seen."""
    residue = model.tables.residue
    if residue is None:
        msg = "a leukaemia of one cell takes the stem cells of residue.csv"
        raise ValueError(msg)
    cells = residue.lsc_frequency * model.traffic["marrow_cells"] * RELAPSE
    return log(cells) / leukaemia.growth(model.rules, model.traffic["open_share"]) / DAYS_PER_YEAR


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
