"""HIV in a patient: what the body tells the infection, and the course that lies before the first day of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.cells import N_ORIGINS, Antigen, Kind, Origin, Specificity
from abm.model.body.coreceptor import TARGETS
from abm.model.body.given import PRODUCTION, daily_production
from abm.model.body.hiv import RESISTANT, X4, Exposure, Hiv, Host
from abm.model.body.hiv_rules import HivRules
from abm.model.body.immune import INDEX
from abm.model.body.numerics import HOURS_PER_DAY, Floats, total
from abm.model.body.parameters import section

if TYPE_CHECKING:
    from abm.model.body import Body
    from abm.model.body.dose import Dose
    from abm.model.body.edited import Edited
    from abm.model.body.given import Patient, Tables

#: Steps of the time before a run, in which nothing but lymphocytes and virus changes.
EARLIER_STEP_H = 12.0
_MEMORY = INDEX[Kind.CD4_MEMORY]
#: name -> (unit, meaning).
OBSERVABLES = {
    "hiv_load": ("copies/mL", "HIV RNA in plasma"),
    "hiv_x4": ("fraction", "share of it that uses CXCR4"),
    "hiv_resistant": ("fraction", "share of it that resists a part of the therapy"),
    "hiv_infected": ("cells", "cells that make HIV, in the whole body"),
    "hiv_latent": ("cells", "cells with latent HIV, in the whole body"),
    "hiv_effectors": ("cells", "CD8 effectors against HIV, in the whole body"),
    "hiv_blocked": ("fraction", "share of HIV infections that therapy blocks"),
    "ccr5_null": ("fraction", "share of CD4 cells without CCR5"),
    "hiv_share": ("fraction", "infected share of the CD4 cells that HIV enters by CCR5: memory and regulatory cells"),
    "hiv_reproduction": ("1", "cells that one infects as things stand, were there no T cells against it"),
}


def make(tables: Tables, patient: Patient, exposure: Exposure | None, seed: int) -> Hiv | None:
    """Return the infection of a patient, ``None`` without one."""
    if exposure is None or tables.hiv is None:
        return None
    values = {**tables.hiv, "reference_weight": tables.values["reference_weight"]}
    return Hiv(section(HivRules, values, patient.weight_kg), exposure, seed)


def surroundings(body: Body) -> Host:
    """Return what the infection depends on besides itself."""
    frequency = [
        total(share for specificity, share in body.repertoire(origin, Kind.CD8_NAIVE) if specificity == Specificity.HIV)
        for origin in Origin
    ]
    naive = body.lymphocytes.pools[INDEX[Kind.CD8_NAIVE]]
    left = [1.0 - body.drugs.inhibition(effect) for effect in ("activation", "proliferation", "killing")]
    return Host(naive * np.array(frequency), *left)


def live_until(body: Body, hiv: Hiv, day: float) -> None:
    """Let an untreated patient live from the exposure, then one on therapy, until the run starts on ``day``."""
    exposure = hiv.exposure
    hours = (day - exposure.day) * HOURS_PER_DAY
    steps = max(int(hours / EARLIER_STEP_H + 0.5), 0)
    made = daily_production(body.tables, body.weight_kg)
    exits: dict[Kind, Floats] = {kind: np.zeros(N_ORIGINS) for kind in PRODUCTION}
    for kind, cells in exits.items():
        cells[Origin.HOST] = made[kind] * (EARLIER_STEP_H / HOURS_PER_DAY)
    memory = total(body.lymphocytes.pools[_MEMORY])
    disease, body.disease = body.disease, None  # whose accounts of self-reactive cells hear of none that enter
    for step in range(steps):
        now = day - (steps - 1 - step) * EARLIER_STEP_H / HOURS_PER_DAY
        if now > exposure.art_day and hiv.art.adherence == 0.0:
            hiv.art.order(1.0)
        body.lymphocytes.advance(exits, body.lymphopenia, EARLIER_STEP_H)
        body.clones.settle()
        hiv.advance(body.lymphocytes.pools, surroundings(body), now, EARLIER_STEP_H)
    body.disease = disease
    if body.disease is not None:  # self-reactive cells are as frequent when the run begins as they are stated to be
        body.disease.survive_of(slice(None), min(total(body.lymphocytes.pools[_MEMORY]) / memory, 1.0))


def advance(body: Body, hiv: Hiv, step_h: float) -> None:
    """Let virus enter and kill cells for a step; self-reactive memory cells are lost as the pool is."""
    before = body.lymphocytes.pools[_MEMORY].tolist()
    hiv.advance(body.lymphocytes.pools, surroundings(body), body.day, step_h)
    for origin, was in enumerate(before if body.disease is not None else ()):
        left = float(body.lymphocytes.pools[_MEMORY, origin])
        if body.disease is not None and left < was:
            body.disease.survive_of(slice(origin, origin + 1), left / was)


def graft(hiv: Hiv, dose: Dose, before: Floats, after: Floats) -> None:
    """Take in the cells of a graft or product; ``before`` and ``after``: the pools, rows as ``immune.POOLS``."""
    rows = [INDEX[kind] for kind in TARGETS]
    now = after[rows, dose.origin]
    hiv.coreceptor.join(dose.origin, dose.ccr5_null, (now - before[rows, dose.origin]) / np.maximum(now, 1.0))
    if dose.kind == "graft":  # lymphocytes alone change nothing about the stem cells that feed the thymus
        hiv.coreceptor.stem[dose.origin] = dose.ccr5_null


def follow_edits(hiv: Hiv, edited: Edited) -> None:
    """Let thymic emigrants lack CCR5 in the share of those whose gene is knocked out on both alleles."""
    for origin, share in edited.emigrants_without(Antigen.CCR5).items():
        hiv.coreceptor.stem[origin] = share


def observables(body: Body) -> dict[str, float]:
    """Return the present values by the names of ``OBSERVABLES``; all 0 in a patient without the infection."""
    hiv = body.hiv
    if hiv is None:
        return dict.fromkeys(OBSERVABLES, 0.0)
    pools = body.lymphocytes.pools
    cells = pools[[INDEX[kind] for kind in TARGETS]]
    whole = total(hiv.loads)
    infected = total([total(part) for part in (hiv.eclipse, hiv.productive, hiv.latent)])
    return {
        "hiv_load": whole,
        "hiv_x4": total(hiv.loads[X4]) / whole if whole > 0.0 else 0.0,
        "hiv_resistant": total(hiv.loads[RESISTANT]) / whole if whole > 0.0 else 0.0,
        "hiv_infected": total(hiv.productive),
        "hiv_latent": total(hiv.latent),
        "hiv_effectors": total(hiv.effectors),
        "hiv_blocked": hiv.art.blocked(),
        "ccr5_null": total(cells * hiv.coreceptor.null) / max(total(cells), 1.0),
        "hiv_share": infected / max(infected + total(cells[1:]), 1.0),
        "hiv_reproduction": hiv.reproduction_number(pools),
    }
