"""Lymphocytes of the body in a step: what drugs leave of them, who comes back, whom they fight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from abm.cells import FIRST_MOTILE, Count, Kind, Origin
from abm.exactmath import exp
from abm.model.body import hiv_course, hiv_marrow, natural_killers, plasma, residue, selection
from abm.model.body.antibodies import CTLA_4_AXIS, PD_1_AXIS
from abm.model.body.drugs import DRUG_TARGETS, EFFECTS, RADIATION_TARGETS
from abm.model.body.edited import EDITED_ROWS
from abm.model.body.given import BLASTS
from abm.model.body.immune import POOLS, RETURNS, T_CELLS
from abm.model.body.numerics import HOURS_PER_DAY, total
from abm.model.body.organs import GVH, HVG, Surroundings, find_donor
from abm.model.body.regulation import allowed_growth
from abm.model.body.rivals import RIVALS, presented

if TYPE_CHECKING:
    from collections.abc import Sequence

    from abm.model.body import Body
    from abm.model.body.edited import Exits
    from abm.model.body.rivals import Rivals

_NOBODY = 1e-9  #: keeps a quotient finite
_POOLS, _BLASTS = np.array(POOLS), np.array(BLASTS)
HOSTS, DONORS = slice(Origin.HOST, Origin.DONOR), slice(Origin.DONOR, Origin.PRODUCT)


def survive_drugs(body: Body, step_h: float) -> None:
    """Let drugs and radiation on board kill lymphocytes of the body and injure organs during the step."""
    if not body.drugs.acting:
        return
    by_drug, by_radiation = body.drugs.kills(step_h)
    resting, cycling = (float(by_drug[DRUG_TARGETS.index(name)]) for name in ("t_resting", "t_cycling"))
    naive, memory = (float(by_radiation[RADIATION_TARGETS.index(f"lymphocyte_{name}")]) for name in ("naive", "memory"))
    if resting + cycling + naive + memory > 0.0:
        tender = (Kind.CD4_NAIVE, Kind.CD8_NAIVE, Kind.IMMATURE_B)
        survival = [exp(-resting - (naive if kind in tender else memory)) for kind in POOLS]
        body.lymphocytes.pools *= np.array(survival)[:, np.newaxis]
        for direction in (GVH, HVG):
            body.allo.survive(direction, exp(-resting - memory), exp(-cycling - memory))
        body.engineered.survive(exp(-resting - memory), exp(-cycling - memory))
        if body.rivals is not None:
            body.rivals.survive(exp(-resting - memory), exp(-cycling - memory))
        if body.restricted is not None:
            body.restricted.survive(exp(-resting - memory), exp(-cycling - memory))
        if body.hiv is not None:
            body.hiv.survive(exp(-resting - memory), exp(-cycling - memory))
    by_dose = float(by_radiation[RADIATION_TARGETS.index("maturing")])
    body.plasma.survive(exp(-cycling - memory), exp(-float(by_drug[DRUG_TARGETS.index("plasma")]) - by_dose))
    if body.phagocytes is not None:
        body.phagocytes.survive(exp(-float(by_drug[DRUG_TARGETS.index("maturing")]) - by_dose))
    if body.disease is not None:
        body.disease.survive(by_drug, by_radiation)
    injury = body.drugs.injury(step_h)
    if injury > 0.0:
        body.allo.injure(injury)
        body.stroma.injure(injury)
        body.lymphocytes.damage_thymus(body.lymphocytes.rules.thymus_injury * injury)


def take_back(body: Body, counts: NDArray[np.int64]) -> None:
    """Return lymphocytes that left the lattice; engineered and infected ones are in the body's account all along.

    Of the effectors that leave some outlive their response and become memory.
    """
    hiv_marrow.replace_infected(body, counts)
    if not counts[Count.EGRESS, FIRST_MOTILE:].any():
        return
    some_edited = body.edited.present
    for kind, origin in np.argwhere(counts[Count.EGRESS, FIRST_MOTILE:]).tolist():
        found, whose = Kind(kind + FIRST_MOTILE), Origin(origin)
        if whose is not Origin.PRODUCT and found not in hiv_marrow.INFECTED:
            per_agent = body.scale.cells_per_agent
            if found in RETURNS:
                per_agent = cells_per_effector(body, whose) * body.allo.rules.effector_survivors
            n = int(counts[Count.EGRESS, found, whose]) * per_agent
            pool = body.lymphocytes.add(found, whose, n)
            if some_edited:
                edited = [int(counts[row, found, whose]) * per_agent for row in EDITED_ROWS]
                body.edited.join(found, whose, n, edited, pool)


def cells_per_effector(body: Body, origin: Origin) -> float:
    """Return the cells for which an effector agent that leaves the lattice stands.

    Alloreactive ones are denser on the lattice than in life. Those that came of memory cells of the pools, under an
    engager, are not: what has entered as a whole agent leaves as one.
    """
    enriched = body.grafted and body.allo.reactive(origin)
    return body.scale.cells_per_agent / (body.allo.rules.effector_enrichment if enriched else 1.0)


def samples_effectors(body: Body) -> bool:
    """Whether effectors of the lattice may be a sample, denser than in life, each of which kills less."""
    sides = Origin.HOST, Origin.DONOR
    return body.engineered.present or (bool(body.grafted) and any(body.allo.reactive(origin) for origin in sides))


def advance(body: Body, exits: Exits, edited: Sequence[Exits], population: NDArray[np.int64], step_h: float) -> None:
    """Advance pools, thymus, alloreactive cells and organs."""
    if body.hiv is not None:
        hiv_course.follow_edits(body.hiv, body.edited)
    selection.look(body)
    lack = body.lymphopenia
    body.edited.advance(body.lymphocytes, exits, edited, lambda part, cells: part.advance(cells, lack, step_h))
    if body.hiv is not None:
        hiv_course.advance(body, body.hiv, step_h)
    for direction, victims, mirror in ((GVH, HOSTS, HVG), (HVG, DONORS, GVH)):
        survival = body.allo.survival_of_other_side(direction, step_h)
        if survival < 1.0:
            _strike(body, victims, survival)
            body.allo.survive(mirror, survival, survival)
            if mirror == GVH and body.restricted is not None:
                body.restricted.survive(survival, survival)
            if mirror == GVH and body.rivals is not None:
                body.rivals.survive(survival, survival)
    if body.rivals is not None:
        _strike_each_other(body, body.rivals, step_h)
    if (missed := natural_killers.host_killed(body)) > 0.0:
        survival = exp(-missed * step_h / HOURS_PER_DAY)
        _strike(body, HOSTS, survival)
        body.allo.survive(HVG, survival, survival)
    if body.grafted or not body.allo.untouched:
        _advance_allo(body, population, step_h)
    if body.disease is not None:
        inhibition = {effect: body.drugs.inhibition(effect) for effect in EFFECTS}
        body.disease.advance(body.lymphocytes, inhibition, step_h)
    _advance_chronic(body, step_h)
    plasma.advance(body, step_h)


def _strike(body: Body, victims: slice, survival: float) -> None:
    """Keep only this share of the lymphocytes of some origins."""
    body.lymphocytes.pools[:, victims] *= survival
    attacked = body.plasma.attacked(victims, survival)
    if body.hiv is not None:
        body.hiv.survive_of(victims, survival)
    if body.disease is not None:
        body.disease.survive_of(victims, survival)
        if victims is HOSTS:  # plasma cells of the disease are the patient's
            body.disease.survive_plasma(attacked)


def _strike_each_other(body: Body, rivals: Rivals, step_h: float) -> None:
    """Let T cells of two donors kill each other's lymphocytes; those against the host are shared as all T cells are."""
    both = body.lymphocytes.cells(T_CELLS)[DONORS].tolist()
    survivals = [rivals.survival_of_other(1 - side, body.allo, step_h) for side in range(len(RIVALS))]
    for side, (origin, survival) in enumerate(zip(RIVALS, survivals, strict=True)):
        if survival < 1.0:
            _strike(body, slice(origin, origin + 1), survival)
            rivals.survive(survival, survival, side)
            of_all = 1.0 - both[side] / max(total(both), _NOBODY) * (1.0 - survival)
            body.allo.survive(GVH, of_all, of_all)
            if body.restricted is not None:
                body.restricted.survive(of_all, of_all)


def _advance_allo(body: Body, population: NDArray[np.int64], step_h: float) -> None:
    """Advance alloreactive cells and organs; what the thymus loses with them."""
    loss_before = body.allo.immune_loss.tolist()
    around = _surroundings(body, population)
    body.allo.advance(around, step_h)
    if body.restricted is not None:
        memory_growth = body.lymphocytes.rules.cd8_growth * body.lymphopenia[1]
        body.restricted.advance(body.allo, around, memory_growth, step_h)
    if body.rivals is not None:
        body.rivals.advance(body.allo, around, presented(body, population), step_h)
    gained = max(now - old for now, old in zip(body.allo.immune_loss.tolist(), loss_before, strict=True))
    if gained > 0.0:
        body.lymphocytes.damage_thymus(body.lymphocytes.rules.thymus_gvhd * gained)


def _advance_chronic(body: Body, step_h: float) -> None:
    """Advance chronic GVHD, to which unused host-reactive T cells and a hurt thymus lead."""
    usual = find_donor(body.tables.donors, body.patient.donor_type).graft_versus_host
    reactive = float(body.allo.precursors[GVH]) * (1.0 - body.drugs.inhibition("activation")) / max(usual, _NOBODY)
    thymus = selection.epithelium(body)
    unbraked = body.antibodies.blocked(PD_1_AXIS)
    body.chronic.advance(reactive, thymus, int(body.infections.turn), body.day, step_h, unbraked)
    if body.chronic.severity > 0.0:
        body.lymphocytes.damage_thymus(body.chronic.thymic_damage(step_h))


def _surroundings(body: Body, population: NDArray[np.int64]) -> Surroundings:
    residents = population[:FIRST_MOTILE]
    by_origin = residents.sum(axis=0).tolist()
    host, donor = by_origin[Origin.HOST], by_origin[Origin.DONOR] + by_origin[Origin.DONOR2]
    reference, inhibited = body.scale.reference_cellularity, body.drugs.inhibitions
    everywhere = body.lymphocytes.pools + population[_POOLS] * body.scale.cells_per_agent
    visible = int(residents[_BLASTS].sum()) / reference
    leukaemia = max(visible, residue.share(body))
    return Surroundings(
        host_apc=min(host / reference + (leukaemia - visible), 1.0) if body.grafted else 1.0,
        donor_apc=donor / (donor + host + body.allo.rules.apc_half * reference),
        donor_antigen=min(donor / reference, 1.0),
        host_apc_killed=natural_killers.host_killed(body),
        leukaemia=min(leukaemia, 1.0),
        priming=1.0 + body.exhaustion.rules.ctla4_priming * body.antibodies.blocked(CTLA_4_AXIS),
        unbraked=body.antibodies.blocked(PD_1_AXIS),
        unregulated=allowed_growth(everywhere, float(body.allo.effectors[GVH]), body.allo.rules),
        activation=1.0 - inhibited["activation"],
        proliferation=1.0 - inhibited["proliferation"],
        killing=1.0 - inhibited["killing"],
    )
