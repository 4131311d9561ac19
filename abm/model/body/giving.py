"""How doses enter the body: drugs, antibodies, grafts, cells, losses of blood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.cells import N_ORIGINS, Kind, Origin
from abm.model.body import b_clones, families, fratricide, hiv_course, natural_killers, phagocytes
from abm.model.body.drugs import LEUKAEMIC
from abm.model.body.organs import GVH, HVG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from abm.model.body import Body
    from abm.model.body.dose import Dose


def due(doses: Sequence[Dose], population: NDArray[np.int64], followed: float = 0.0) -> list[Dose]:
    """Return the doses that are given, among them cells for a leukaemia only while there is enough of it.

    Args:
        doses: what the schedule says.
        population: resident cells of the patch by kind and origin.
        followed: leukaemic share of the marrow by the numbers that follow it below one agent.
    """
    if not any(dose.if_blast_fraction for dose in doses):
        return list(doses)
    share = max(int(population[list(LEUKAEMIC)].sum()) / max(int(population.sum()), 1), followed)
    return [dose for dose in doses if share >= dose.if_blast_fraction]


def give(body: Body, dose: Dose) -> None:
    """Give what acts from the next step on."""
    if dose.kind == "drug":
        body.drugs.give(dose.name, dose.amount)
    elif dose.kind == "antibody":
        body.antibodies.give(dose.name, dose.amount)
    elif dose.kind == "infusion":
        body.antibodies.infuse(dose.name, dose.amount)
    elif dose.kind == "radiation":
        body.drugs.irradiate(dose.amount)
    elif dose.kind == "gcsf":
        body.cytokines.inject_gcsf(dose.amount)
    elif dose.kind == "immunosuppression_level":
        body.treatment.end(body.drugs.index(dose.name))
        body.drugs.set_level(body.drugs.index(dose.name), dose.amount)
    elif dose.kind == "blood_loss":
        _bleed(body, dose.amount)
    elif dose.kind == "immunoglobulin":
        body.plasma.infuse_igg(dose.amount * body.weight_kg)
    elif dose.kind == "art" and body.hiv is not None:
        body.hiv.art.order(dose.amount)
    elif dose.kind == "platelet_loss":
        body.blood.destroy_platelets(dose.amount)
    elif dose.kind == "switch":
        _purge(body, dose.amount)
    elif dose.plan is not None:
        body.treatment.plan(body.drugs.index(dose.name), dose.amount, dose.plan)
    elif dose.receptor:
        fratricide.infuse(body, dose.receptor, dose.name, dose.cd3)
    elif dose.kind in ("graft", "cells"):
        infuse(body, dose)


def _bleed(body: Body, share: float) -> None:
    """Lose a share of the circulating blood; the few stem cells in it, which lodge within minutes, are left."""
    body.blood.bleed(share)
    body.lymphocytes.bleed(share)
    kept = 1.0 - share * body.lymphocytes.rules.t_blood_share
    for direction in (GVH, HVG):
        body.allo.survive(direction, kept, kept)
    body.engineered.survive(kept, kept)
    if body.rivals is not None:
        body.rivals.survive(kept, kept)
    if body.restricted is not None:
        body.restricted.survive(kept, kept)
    if body.disease is not None:
        body.disease.survive_of(slice(None), kept)


def _purge(body: Body, kill: float) -> None:
    """Let this share of the cells die that carry a safety switch."""
    before = body.lymphocytes.cells((Kind.CD4_MEMORY,)).tolist()
    body.edited.purge(kill, body.blood, body.lymphocytes)
    phagocytes.purge(body, kill)
    left = body.lymphocytes.cells((Kind.CD4_MEMORY,)).tolist()
    for origin, (some, whole) in enumerate(zip(left, before, strict=True)):
        for followed in (body.disease, body.hiv):
            if followed is not None and some < whole:
                followed.survive_of(slice(origin, origin + 1), some / whole)


def infuse(body: Body, graft: Dose) -> None:
    """Put the lymphocytes of a graft or cell product into the pools (:func:`give` does so)."""
    if graft.edit is not None:
        body.edited.begin(graft.edit, graft.origin)
    if graft.carried:
        body.edited.take_over(graft.carried, graft.origin)
    before = body.lymphocytes.pools.copy()
    age = None if graft.origin is Origin.HOST else body.patient.donor_age_years
    for kind, share in body.tables.grafts[graft.name].lymphocytes(age, body.lymphocytes.rules).items():
        pool = body.lymphocytes.add(kind, graft.origin, share * graft.cd3)
        body.edited.join(kind, graft.origin, share * graft.cd3, (0.0, 0.0), pool)
        body.clones.infuse(kind, graft.origin, share * graft.cd3, pool)
        body.plasma.infuse(kind, graft.origin, share * graft.cd3, pool)
        b_clones.infuse(body, kind, graft.origin, share * graft.cd3, pool)
        body.selection.infuse(kind, graft.origin, share * graft.cd3, pool)
        if body.disease is not None:
            for follower in body.disease.followers.values():
                follower.infuse(kind, graft.origin, share * graft.cd3, pool)
    if body.hiv is not None:
        hiv_course.graft(body.hiv, graft, before, body.lymphocytes.pools)
    if any(kind is not Kind.TREG for kind in body.tables.grafts[graft.name].cd3):  # those do not attack the host
        reactive = graft.cd3 * body.donor.graft_versus_host
        body.allo.precursors[GVH] += reactive * _families(body, reactive, int(graft.origin))
        if body.rivals is not None:
            body.rivals.infuse(graft.origin, graft.cd3)
        if body.restricted is not None:
            restricted = graft.cd3 * body.restricted.per_t_cell
            body.restricted.infuse(graft.cd3 * _families(body, restricted, int(graft.origin) + N_ORIGINS))
    if graft.kind == "graft":
        body.grafted = 1.0
        theirs = np.zeros_like(body.lymphocytes.pools)
        theirs[:, graft.origin] = body.lymphocytes.pools[:, graft.origin]
        body.clones.mark_graft(theirs)
        b_clones.mark_graft(body, graft.origin)


def _families(body: Body, precursors: float, place: int) -> float:
    """Return what the families among so many precursors come to, relative to what is expected of them."""
    expected = precursors * body.allo.rules.family_share
    return families.harvest(expected, body.seed, place, int(body.infections.turn))


def graft_agents(body: Body, graft: Dose) -> dict[Kind, float]:
    """Return the expected number of lattice agents by kind for the CD34+ or purified cells of ``graft``.

    The patch holds its stem cells in their share of those of the body, so purified ones come in the same share;
    of other kinds one agent stands for as many cells as in a whole graft of this source.
    """
    content, per_agent = body.tables.grafts[graft.name], body.scale.cells_per_agent
    spared = natural_killers.spared(body, graft.origin)
    agents = {kind: spared * graft.cd34 / per_agent * share for kind, share in content.cd34.items()}
    for kind, cells in graft.cells:
        of_kind = 1.0 / body.scale.cells_per_hsc if kind is Kind.HSC else content.enrichment[kind] / per_agent
        agents[kind] = agents.get(kind, 0.0) + spared * cells * of_kind
    return agents
