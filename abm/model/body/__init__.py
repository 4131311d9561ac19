"""The well-mixed rest of the patient: blood, growth factors, drugs, lymphocytes, organs.

Advanced once per step on rank 0, in float64, with + - * / and ``abm.exactmath`` alone. Lattice to body: exact counts of
cells that left. Body to lattice: a few signals, a table of hazards, and whole agents that arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from abm.cells import FIRST_MOTILE, N_KINDS, N_VARIANTS, Count, Kind, Label, Origin
from abm.exactmath import exp
from abm.model.body import engagement, hiv_course, report, targets, threats
from abm.model.body.antibodies import CTLA_4_AXIS, PD_1_AXIS, Antibodies
from abm.model.body.autoimmune import start_disease
from abm.model.body.blood import Blood
from abm.model.body.chronic import ChronicDisease
from abm.model.body.clones import Clones
from abm.model.body.cytokines import Cytokines
from abm.model.body.dose import Dose
from abm.model.body.drugs import DRUG_TARGETS, EFFECTS, RADIATION_TARGETS, Drugs
from abm.model.body.edited import Edited, Exits
from abm.model.body.engineered import Engineered
from abm.model.body.exhaustion import Exhaustion
from abm.model.body.given import MEGAKARYOCYTES, PRODUCTION, Patient, Scale, Tables, daily_production
from abm.model.body.hiv import Exposure
from abm.model.body.immune import POOLS, T_CELLS, Arrival, Lymphocytes
from abm.model.body.infection import Infections
from abm.model.body.mortality import Mortality
from abm.model.body.numerics import Floats, Packed
from abm.model.body.organs import GVH, HVG, Alloimmunity, Surroundings, find_donor
from abm.model.body.parameters import (
    BloodRules,
    ChronicRules,
    CytokineRules,
    EngineeredRules,
    LymphocyteRules,
    MortalityRules,
    OrganRules,
    section,
)
from abm.model.body.regulation import allowed_growth
from abm.model.body.repertoire import OWN, Share, alloreactive_shares, draw_classes
from abm.model.body.report import OBSERVABLES
from abm.model.body.targets import Watch
from abm.model.body.treatment import Treatment
from abm.tables import Folder

__all__ = [
    "OBSERVABLES", "Arrival", "Body", "Dose", "Exposure", "Patient", "Scale", "Tables", "Watch", "daily_production",
]  # fmt: skip

#: State that belongs to no part.
NUMBERS = ("day", "step_h", "cellularity", "grafted", "turn")
HOSTS, DONORS = slice(Origin.HOST, Origin.DONOR), slice(Origin.DONOR, Origin.PRODUCT)
#: Counts of edited cells that left, as rows of ``Edited``; and of all that come back to their pools, before them.
EDITED_ROWS = (Count.EDITED_EGRESS, Count.ALTERED_EGRESS)
BACK_ROWS = (Count.EGRESS, *EDITED_ROWS)
#: Leukaemic cells in the blood: one agent stands for as many cells as in the marrow.
BLASTS = (Kind.BLAST, Kind.LSC)


class Body:
    """One patient. All state stands in its parts; :meth:`pack` returns it, :meth:`unpack` takes it over."""

    def __init__(
        self,
        tables: Tables,
        patient: Patient,
        scale: Scale,
        seed: int = 0,
        watch: Watch | None = None,
        exposure: Exposure | None = None,
    ) -> None:
        """Start at homeostasis, all cells of host origin.

        Args:
            tables: the rule tables.
            patient: the patient.
            scale: how the patch stands for the whole marrow.
            seed: that of the run.
            watch: receptor classes of engineered T cells that the run may give; none if left out.
            exposure: to HIV; none if left out.
        """
        missing = [kind.name for kind in PRODUCTION if kind not in scale.exit_cells]
        if missing:
            msg = f"Scale.exit_cells lacks {', '.join(missing)}"
            raise ValueError(msg)
        weight = patient.weight_kg
        self.tables, self.scale, self.seed, self.weight_kg = tables, scale, seed, weight
        self.hiv = hiv_course.make(tables, patient, exposure, seed)
        self.donor = find_donor(tables.donors, patient.donor).of_pair(patient.alloreactivity)
        self.blood = Blood(section(BloodRules, tables.values, weight))
        cytokine_rules = section(CytokineRules, tables.values, weight)
        self.cytokines = Cytokines(cytokine_rules, self.blood.anc, self.blood.platelet_count, self.blood.hb)
        self.drugs = Drugs(tables.drugs, tables.radiation, scale.division, tables.variants)
        self.antibodies = Antibodies(tables.antibodies, weight / tables.values["reference_weight"])
        self.exhaustion = Exhaustion(tables.exhaustion)
        self.treatment = Treatment(len(tables.drugs))
        self.infections = Infections(tables.pathogens, seed)
        self.patient = patient
        mortality_rules = section(MortalityRules, tables.values, weight)
        self.mortality = Mortality(mortality_rules, self.blood.anc, self.blood.platelet_count, self.blood.hb)
        lymphocyte_rules = section(LymphocyteRules, tables.values, weight)
        self.clones = Clones(tables.clones, seed, _persons(patient.donor))
        self.lymphocytes = Lymphocytes(lymphocyte_rules, patient.age_years, scale.cells_per_agent, self._enter)
        self.clones.start = self.clones.repertoire(self.lymphocytes.pools)
        self.edited = Edited(tables.transgenes, seed, self.blood, self.lymphocytes)
        self.allo = Alloimmunity(section(OrganRules, tables.values, weight), self.donor, scale.cells_per_agent)
        self.chronic = ChronicDisease(section(ChronicRules, tables.values, weight), seed)
        host_t = self.lymphocytes.relative_t_cells * self.lymphocytes.reference_t_cells
        self.allo.precursors[HVG] = host_t * self.donor.host_versus_graft
        self._exit_weights: Floats = np.zeros((N_KINDS, 1))
        for kind in PRODUCTION:
            self._exit_weights[kind] = scale.exit_cells[kind]
        self._exit_weights[list(BLASTS)] = scale.cells_per_agent
        self.watch = watch or Watch()
        self.engineered = Engineered(
            section(EngineeredRules, tables.values, weight),
            patient.engineered_fitness,
            scale.cells_per_agent / self.allo.rules.effector_enrichment,
        )
        self.repertoires = {Origin.HOST: tables.repertoires[OWN]}
        foreign = tables.repertoires[patient.donor]
        self.repertoires |= dict.fromkeys((Origin.DONOR, Origin.DONOR2, Origin.PRODUCT), foreign)
        self.usual_defence = threats.defenders(self)
        self.disease = start_disease(
            tables.autoimmune, tables.values, tables.repertoires[OWN], foreign, patient.weight_kg, seed
        )
        self.turn = 0.0
        self.day = 0.0
        self.step_h = 0.0
        self.cellularity = 1.0
        self.grafted = 0.0

    @classmethod
    def load(cls, folder: Folder, patient: Patient, scale: Scale) -> Self:
        """Read the rule tables in ``folder`` and start a patient."""
        return cls(Tables.load(folder), patient, scale)

    def catch_up(self, day: float) -> None:
        """Let an infection that began before the run take its course until ``day``."""
        if self.hiv is not None:
            hiv_course.live_until(self, self.hiv, day)

    # ------------------------------------------------------------------------------------------------- one step

    def advance(
        self,
        step_h: float,
        day: float,
        counts: NDArray[np.int64],
        doses: Sequence[Dose],
        draw: int | None = None,
        seen: NDArray[np.int64] | None = None,
    ) -> None:
        """Advance by one step of the lattice.

        Drugs and radiation given here act from the next step on, in lattice and body alike; grafts and cell
        products put their lymphocytes into the body at once (their CD34+ cells are for the lattice).

        Args:
            step_h: length of the step, hours.
            day: day at the end of the step.
            counts: int64 (N_COUNTS, 64, 4) of the step.
            doses: what is given now, in order.
            draw: 32 random bits that decide whether the patient dies; ``None``: nobody does.
            seen: residents that each watched receptor class sees, and that show each watched antigen, int64
                (classes + antigens, 64, 4); ``None``: nobody looked.
        """
        self.step_h, self.day = step_h, day
        population = counts[Count.POPULATION, :FIRST_MOTILE]
        self.cellularity = float(population.sum()) / self.scale.reference_cellularity
        exits = self._exits(counts[Count.EGRESS])
        self._survive_drugs(step_h)
        labelled = counts[Count.LABELLED_EGRESS, Kind.NEUTROPHIL] * self._exit_weights[Kind.NEUTROPHIL]
        labelled, early = labelled / (1 << Label.DNA), self.cytokines.reticulocyte_shift
        edited = [self._exits(counts[row]) for row in EDITED_ROWS] if self.edited.present else ()
        self.edited.advance(self.blood, exits, edited, lambda part, cells: part.advance(cells, labelled, early, step_h))
        self._take_back(counts)
        self._advance_immunity(exits, edited, population, step_h)
        if seen is not None and self.engineered.present:
            targets.encounter(self, seen, counts[Count.POPULATION], step_h)
        self.drugs.pass_step(step_h)
        engagement.advance(self, population, step_h, seen)
        for drug, level in self.treatment.advance((self.allo.grade(), self.engineered.grade()), step_h):
            self.drugs.set_level(drug, level)
        counted = (self.blood.anc, self.blood.platelet_count, self.blood.hb)
        self.cytokines.advance(*counted, step_h, self._megakaryocytes(population))
        for dose in doses:
            self._give(dose)
        self.blood.transfuse(day)
        self.infections.advance(threats.host(self), day, step_h)
        counts_now = (self.blood.anc, self.blood.platelet_count, self.blood.hb)
        hazards = self.mortality.hazards(*counts_now, threats.illness(self, population))
        self.mortality.advance(hazards, self.infections.hazards().tolist(), day, step_h, draw)
        self.lymphocytes.queue(step_h)
        self.allo.queue(step_h, self.lymphocytes.rules.effector_marrow_entry, self.chronic.effectors)
        self.engineered.queue(step_h)

    def _exits(self, egress: NDArray[np.int64]) -> dict[Kind, Floats]:
        """Return the real cells that left the marrow by origin, each of shape (4,)."""
        cells = egress * self._exit_weights
        return {kind: cells[kind] for kind in (*PRODUCTION, *BLASTS)}

    def _megakaryocytes(self, population: NDArray[np.int64]) -> float | None:
        """Return megakaryocytes relative to homeostasis; ``None`` if their usual number is not known."""
        usual = self.scale.megakaryocytes
        return float(population[list(MEGAKARYOCYTES)].sum()) / usual if usual else None

    def _enter(self, kind: Kind, source: int, cells: Floats, pool: Floats) -> None:
        """Tell who keeps account of a pool's cells of those it has gained but not by division."""
        self.clones.enter(kind, source, cells, pool)
        if self.hiv is not None:
            self.hiv.coreceptor.enter(kind, source, cells, pool)
        if self.disease is not None:
            self.disease.reactive.enter(kind, source, cells, pool)

    def _survive_drugs(self, step_h: float) -> None:
        """Let drugs and radiation on board kill lymphocytes of the body and injure organs during the step."""
        if not self.drugs.acting:
            return
        by_drug, by_radiation = self.drugs.kills(step_h)
        resting, cycling = (float(by_drug[DRUG_TARGETS.index(name)]) for name in ("t_resting", "t_cycling"))
        naive, memory = (
            float(by_radiation[RADIATION_TARGETS.index(f"lymphocyte_{name}")]) for name in ("naive", "memory")
        )
        if resting + cycling + naive + memory > 0.0:
            tender = (Kind.CD4_NAIVE, Kind.CD8_NAIVE, Kind.IMMATURE_B)
            survival = [exp(-resting - (naive if kind in tender else memory)) for kind in POOLS]
            self.lymphocytes.pools *= np.array(survival)[:, np.newaxis]
            for direction in (GVH, HVG):
                self.allo.survive(direction, exp(-resting - memory), exp(-cycling - memory))
            self.engineered.survive(exp(-resting - memory), exp(-cycling - memory))
            if self.hiv is not None:
                self.hiv.survive(exp(-resting - memory), exp(-cycling - memory))
        if self.disease is not None:
            self.disease.survive(by_drug)
        injury = self.drugs.injury(step_h)
        if injury > 0.0:
            self.allo.injure(injury)
            self.lymphocytes.damage_thymus(self.lymphocytes.rules.thymus_injury * injury)

    def _take_back(self, counts: NDArray[np.int64]) -> None:
        """Return lymphocytes that left the lattice; alloreactive and engineered ones never left their pools."""
        for kind, origin in np.argwhere(counts[Count.EGRESS, FIRST_MOTILE:]).tolist():
            found, whose = Kind(kind + FIRST_MOTILE), Origin(origin)
            if whose is not Origin.PRODUCT and (found is not Kind.CD8_EFFECTOR or not self.allo.reactive(whose)):
                n, *edited = (int(counts[row, found, whose]) * self.scale.cells_per_agent for row in BACK_ROWS)
                self.edited.join(found, whose, n, edited, self.lymphocytes.add(found, whose, n))

    def _advance_immunity(
        self, exits: Exits, edited: Sequence[Exits], population: NDArray[np.int64], step_h: float
    ) -> None:
        """Advance pools, thymus, alloreactive cells and organs."""
        if self.hiv is not None:
            hiv_course.follow_edits(self.hiv, self.edited)
        lack = self.lymphopenia
        self.edited.advance(self.lymphocytes, exits, edited, lambda part, cells: part.advance(cells, lack, step_h))
        if self.hiv is not None:
            self.hiv.advance(self.lymphocytes.pools, hiv_course.surroundings(self), self.day, step_h)
        for direction, victims, mirror in ((GVH, HOSTS, HVG), (HVG, DONORS, GVH)):
            survival = self.allo.survival_of_other_side(direction, step_h)
            if survival < 1.0:
                self.lymphocytes.pools[:, victims] *= survival
                self.allo.survive(mirror, survival, survival)
                if self.hiv is not None:
                    self.hiv.survive_of(victims, survival)
        loss_before = self.allo.immune_loss.tolist()
        self.allo.advance(self._surroundings(population), step_h)
        gained = max(now - old for now, old in zip(self.allo.immune_loss.tolist(), loss_before, strict=True))
        if gained > 0.0:
            self.lymphocytes.damage_thymus(self.lymphocytes.rules.thymus_gvhd * gained)
        if self.disease is not None:
            inhibition = {effect: self.drugs.inhibition(effect) for effect in EFFECTS}
            self.disease.advance(self.lymphocytes, inhibition, step_h)
        self._advance_chronic(step_h)

    def _advance_chronic(self, step_h: float) -> None:
        """Advance chronic GVHD, to which unused host-reactive T cells and a hurt thymus lead."""
        reactive = float(self.allo.precursors[GVH]) * (1.0 - self.drugs.inhibition("activation"))
        thymus = self.lymphocytes.thymic_function
        self.chronic.advance(reactive, thymus, int(self.infections.turn), self.day, step_h)
        if self.chronic.severity > 0.0:
            self.lymphocytes.damage_thymus(self.chronic.thymic_damage(step_h))

    @property
    def lymphopenia(self) -> tuple[float, float]:
        """Drives of homeostatic division, of all T cells and of CD8 memory cells."""
        cd8 = self.cytokines.cd8_lymphopenia(self.lymphocytes.relative_cd8_cells)
        return self.cytokines.lymphopenia(self.relative_t_cells), cd8

    @property
    def relative_t_cells(self) -> float:
        """T cells relative to homeostasis, engineered ones included: they feed on the same interleukins."""
        return self.lymphocytes.relative_t_cells + self.engineered.total / self.lymphocytes.reference_t_cells

    def _surroundings(self, population: NDArray[np.int64]) -> Surroundings:
        by_origin = population.sum(axis=0)
        host, donor = int(by_origin[Origin.HOST]), int(by_origin[Origin.DONOR] + by_origin[Origin.DONOR2])
        reference = self.scale.reference_cellularity
        return Surroundings(
            host_apc=min(host / reference, 1.0) if self.grafted else 1.0,
            donor_antigen=min(donor / reference, 1.0),
            leukaemia=min(int(population[list(BLASTS)].sum()) / reference, 1.0),
            priming=1.0 + self.exhaustion.rules.ctla4_priming * self.antibodies.blocked(CTLA_4_AXIS),
            unbraked=self.antibodies.blocked(PD_1_AXIS),
            unregulated=allowed_growth(self.lymphocytes, float(self.allo.effectors[GVH]), self.allo.rules),
            activation=1.0 - self.drugs.inhibition("activation"),
            proliferation=1.0 - self.drugs.inhibition("proliferation"),
            killing=1.0 - self.drugs.inhibition("killing"),
        )

    # ------------------------------------------------------------------------------------------------- therapy

    def _give(self, dose: Dose) -> None:
        if dose.kind == "drug":
            self.drugs.give(dose.name, dose.amount)
        elif dose.kind == "antibody":
            self.antibodies.give(dose.name, dose.amount)
        elif dose.kind == "infusion":
            self.antibodies.infuse(dose.name, dose.amount)
        elif dose.kind == "radiation":
            self.drugs.irradiate(dose.amount)
        elif dose.kind == "gcsf":
            self.cytokines.inject_gcsf(dose.amount)
        elif dose.kind == "immunosuppression_level":
            self.treatment.end(self.drugs.index(dose.name))
            self.drugs.set_level(self.drugs.index(dose.name), dose.amount)
        elif dose.kind == "blood_loss":
            self._bleed(dose.amount)
        elif dose.kind == "art" and self.hiv is not None:
            self.hiv.art.order(dose.amount)
        elif dose.kind == "platelet_loss":
            self.blood.destroy_platelets(dose.amount)
        elif dose.kind == "switch":
            self.edited.purge(dose.amount, self.blood, self.lymphocytes)
        elif dose.plan is not None:
            self.treatment.plan(self.drugs.index(dose.name), dose.amount, dose.plan)
        elif dose.receptor:
            self.engineered.infuse(dose.receptor, self.tables.products[dose.name], dose.cd3)
        elif dose.kind in ("graft", "cells"):
            self.infuse(dose)

    def _bleed(self, share: float) -> None:
        """Lose a share of the circulating blood; the few stem cells in it, which lodge within minutes, are left."""
        self.blood.bleed(share)
        self.lymphocytes.bleed(share)
        kept = 1.0 - share * self.lymphocytes.rules.t_blood_share
        for direction in (GVH, HVG):
            self.allo.survive(direction, kept, kept)
        self.engineered.survive(kept, kept)

    def infuse(self, graft: Dose) -> None:
        """Put the lymphocytes of a graft or cell product into the pools (:meth:`advance` does so for its doses)."""
        if graft.edit is not None:
            self.edited.begin(graft.edit, graft.origin)
        before = self.lymphocytes.pools.copy()
        for kind, share in self.tables.grafts[graft.name].cd3.items():
            pool = self.lymphocytes.add(kind, graft.origin, share * graft.cd3)
            self.edited.join(kind, graft.origin, share * graft.cd3, (0.0, 0.0), pool)
            self.clones.infuse(kind, graft.origin, share * graft.cd3, pool)
            if self.disease is not None:
                self.disease.reactive.infuse(kind, graft.origin, share * graft.cd3, pool)
        if self.hiv is not None:
            hiv_course.graft(self.hiv, graft, before, self.lymphocytes.pools)
        if any(kind is not Kind.TREG for kind in self.tables.grafts[graft.name].cd3):  # those do not attack the host
            self.allo.precursors[GVH] += graft.cd3 * self.donor.graft_versus_host
        if graft.kind == "graft":
            self.grafted = 1.0
            theirs = np.zeros_like(self.lymphocytes.pools)
            theirs[:, graft.origin] = self.lymphocytes.pools[:, graft.origin]
            self.clones.mark_graft(theirs)

    def graft_agents(self, graft: Dose) -> dict[Kind, float]:
        """Return the expected number of lattice agents by kind for the CD34+ or purified cells of ``graft``.

        The patch holds its stem cells in their share of those of the body, so purified ones come in the same share;
        of other kinds one agent stands for as many cells as in a whole graft of this source.
        """
        content, per_agent = self.tables.grafts[graft.name], self.scale.cells_per_agent
        agents = {kind: graft.cd34 / per_agent * share for kind, share in content.cd34.items()}
        for kind, cells in graft.cells:
            of_kind = 1.0 / self.scale.cells_per_hsc if kind is Kind.HSC else content.enrichment[kind] / per_agent
            agents[kind] = agents.get(kind, 0.0) + cells * of_kind
        return agents

    # ----------------------------------------------------------------------------------------- what the lattice sees

    def signals(self) -> dict[str, float]:
        """Return body signals: folds over baseline (1 at homeostasis) and 0-1 scalars (0 at homeostasis)."""
        return {
            "gcsf": self.cytokines.gcsf + self.cytokines.gcsf_drug,
            "epo": self.cytokines.epo,
            "tpo": self.cytokines.tpo,
            "flt3l": self.cytokines.flt3l(self.cellularity),
            "il7": self.cytokines.il7(self.relative_t_cells),
            "inflammation_body": min(self.allo.inflammation, 1.0),
            "cni": self.drugs.inhibition("activation"),
        }

    def drug_hazards(self, kinds: Iterable[Kind] = tuple(Kind)) -> Floats:
        """Return the death hazard per hour by drugs and radiation in the coming step, shape (64, 2).

        Columns are the cycle states; rows of kinds not asked for are 0. The hazard is the mean over the step, so that
        hazard times step adds up to ln(10) * log10 kill over a course, whatever the step.
        """
        table = np.zeros((N_KINDS, 2))
        rows = [int(kind) for kind in kinds]
        if self.step_h > 0.0 and self.drugs.acting:
            table[rows] = self.drugs.cell_kills(self.step_h)[rows] / self.step_h
        if self.antibodies.acting:
            table[rows] += self.antibodies.hazards()[rows, :, -1]
        return table

    def variant_hazards(self) -> Floats:
        """Return the same for each variant of a cell, the wild type first, shape (4, 64, 2)."""
        table = np.zeros((N_VARIANTS, N_KINDS, 2))
        if self.step_h > 0.0 and self.drugs.acting:
            table = self.drugs.variant_kills(self.step_h) / self.step_h
        return table + self.antibodies.hazards()[..., -1] if self.antibodies.acting else table

    @property
    def looks(self) -> bool:
        """Whether it matters in the coming step who shows what is watched."""
        return self.engineered.present or (self.antibodies.acting and bool(self.watch.antigens))

    def directed_hazards(self) -> Floats | None:
        """Return the death hazard per hour by antibodies that spare cells without an antigen, shape (64, 2, 8).

        The last axis says which loss bit spares a cell; ``None``: there is no such hazard.
        """
        return self.antibodies.hazards()[..., :-1] if self.antibodies.acting else None

    def lymphocyte_arrivals(self) -> list[Arrival]:
        """Return the lymphocytes that enter the marrow now: (kind, origin, specificity, agents); call once a step."""
        shares = partial(self.receptor_shares, alloreactive=self._alloreactive())
        leaving = draw_classes(self.lymphocytes.depart(), shares, self.seed, int(self.turn))
        self.turn += 1.0
        return [*leaving, *self.allo.depart(), *self.engineered.depart()]

    def _alloreactive(self) -> dict[Origin, float]:
        """Return the precursors per T cell by side: those not yet activated, spread evenly over all of them."""
        host, donor, second, _ = self.lymphocytes.cells(T_CELLS).tolist()
        numbers = ((Origin.HOST, HVG, host), (Origin.DONOR, GVH, donor + second))
        precursors = {side: (float(self.allo.precursors[d]), cells) for side, d, cells in numbers}
        return {side: n / cells if cells > n else float(n > 0.0) for side, (n, cells) in precursors.items()}

    def receptor_shares(self, kind: Kind, origin: Origin, alloreactive: Mapping[Origin, float]) -> list[Share]:
        """Return the receptor classes in a pool and their shares of its cells."""
        side = Origin.DONOR if origin is Origin.DONOR2 else origin
        share = alloreactive.get(side, 0.0)
        allo = alloreactive_shares(kind, side, share, self.donor.ubiquitous_share)
        found = [*allo, *self.repertoire(origin, kind)]
        added, shown = self.edited.expressing(kind, origin)
        return [(added, shown), *((s, x * (1.0 - shown)) for s, x in found)] if shown else found

    def repertoire(self, origin: Origin, kind: Kind) -> Sequence[Share]:
        """Return the receptor classes of a pool that are not alloreactive."""
        return self.repertoires[origin].get(kind, ())

    def clones_of(self, arrivals: Sequence[Arrival]) -> NDArray[np.uint32]:
        """Return the clone of every lymphocyte that enters the marrow now, in their order."""
        return self.clones.of_cells(arrivals, int(self.turn))

    def edits_of(self, arrivals: Sequence[Arrival]) -> NDArray[np.uint32]:
        """Return the bits of edits and losses of every lymphocyte that enters the marrow now, in their order."""
        return self.edited.of_cells(arrivals, int(self.turn))

    def settle(self, turned_away: Iterable[Arrival]) -> None:
        """Give lymphocytes that found no site back to the body."""
        for kind, origin, specificity, agents in turned_away:
            if kind in POOLS:
                self.lymphocytes.add(kind, origin, agents * self.scale.cells_per_agent)
            elif origin is not Origin.PRODUCT:
                self.allo.wait_again(origin, specificity, agents)

    # -------------------------------------------------------------------------------------------------- reporting

    def observables(self) -> dict[str, float]:
        """Return what is measured, by the names of ``OBSERVABLES``."""
        return report.observables(self)

    def chimerism(self) -> dict[str, Floats]:
        """Return the share of every origin in each lineage of the blood, each of shape (4,); 0 where no cell is."""
        return report.chimerism(self.blood, self.lymphocytes, self.allo)

    # ----------------------------------------------------------------------------------------------------- files

    def pack(self) -> dict[str, Floats]:
        """Return all state by name."""
        arrays = {name: np.array(getattr(self, name)) for name in NUMBERS}
        for part, name in self._parts():
            arrays |= {f"{name}.{key}": array for key, array in part.pack().items()}
        return arrays

    def unpack(self, arrays: Mapping[str, Floats]) -> None:
        """Take over the state that :meth:`pack` returned."""
        for name in NUMBERS:
            setattr(self, name, float(arrays[name]))
        for part, name in self._parts():
            part.unpack({key: arrays[f"{name}.{key}"] for key in part.STATE})

    def _parts(self) -> list[tuple[Packed, str]]:
        parts = (
            "blood",
            "cytokines",
            "drugs",
            "antibodies",
            "exhaustion",
            "treatment",
            "infections",
            "mortality",
            "clones",
            "lymphocytes",
            "allo",
            "chronic",
            "engineered",
            "edited",
        )
        found: list[tuple[Packed, str]] = [(getattr(self, name), name) for name in parts]
        found += [(part, name) for name, part in (self.hiv.parts if self.hiv else {}).items()]
        if self.disease is not None:
            found += [(self.disease, "disease"), (self.disease.reactive, "self_reactive")]
        return found


def _persons(donor: str) -> dict[Origin, int]:
    """Return whose receptors the cells of an origin have: an autologous graft has the patient's."""
    first = 0 if donor == OWN else 1
    return {Origin.HOST: 0, Origin.DONOR: first, Origin.DONOR2: 2, Origin.PRODUCT: first}
