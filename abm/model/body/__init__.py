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

from abm.cells import FIRST_MOTILE, Count, Kind, Label, Origin
from abm.model.body import (
    b_clones,
    engagement,
    escape,
    giving,
    hazards,
    hiv_course,
    hiv_marrow,
    immunity,
    natural_killers,
    parts,
    phagocytes,
    plasma,
    receptors,
    report,
    residue,
    restricted,
    rivals,
    targets,
    threats,
)
from abm.model.body.antibodies import Antibodies
from abm.model.body.autoimmune import start_disease
from abm.model.body.b_clones import BClones
from abm.model.body.blood import Blood
from abm.model.body.chronic import ChronicDisease
from abm.model.body.clones import Clones, persons
from abm.model.body.cytokines import Cytokines
from abm.model.body.dose import Dose
from abm.model.body.drugs import Drugs
from abm.model.body.edited import EDITED_ROWS, Edited
from abm.model.body.engineered import Engineered
from abm.model.body.exhaustion import Exhaustion
from abm.model.body.given import BLASTS, PRODUCTION, Patient, Scale, Tables, daily_production
from abm.model.body.hiv import Exposure
from abm.model.body.immune import POOLS, T_CELLS, Arrival, Lymphocytes
from abm.model.body.infection import Infections
from abm.model.body.mortality import Mortality
from abm.model.body.numerics import Floats
from abm.model.body.organs import HVG, Alloimmunity, find_donor
from abm.model.body.parameters import (
    BloodRules,
    ChronicRules,
    CytokineRules,
    EngineeredRules,
    LymphocyteRules,
    MortalityRules,
    OrganRules,
    StromaRules,
    section,
)
from abm.model.body.phagocytes import Phagocytes
from abm.model.body.repertoire import CLASSES, OWN, Share, draw_classes
from abm.model.body.report import OBSERVABLES
from abm.model.body.selection import Selection
from abm.model.body.stroma import Stroma
from abm.model.body.targets import Watch
from abm.model.body.treatment import Treatment
from abm.philox import Ahead
from abm.tables import Folder

__all__ = [
    "OBSERVABLES", "Arrival", "Body", "Dose", "Exposure", "Patient", "Scale", "Tables", "Watch", "daily_production",
]  # fmt: skip


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
        self.donor = find_donor(tables.donors, patient.donor_type).of_pair(patient.alloreactivity)
        self.blood = Blood(section(BloodRules, tables.values, weight))
        cytokine_rules = section(CytokineRules, tables.values, weight)
        self.cytokines = Cytokines(cytokine_rules, self.blood.anc, self.blood.platelet_count, self.blood.hb)
        sensitivity = patient.leukaemia_sensitivity
        self.drugs = Drugs(tables.drugs, tables.radiation, scale.division, tables.variants, sensitivity)
        self.antibodies = Antibodies(tables.antibodies, weight / tables.values["reference_weight"])
        self.exhaustion = Exhaustion(tables.exhaustion)
        self.treatment = Treatment(len(tables.drugs))
        self.infections = Infections(tables.pathogens, seed)
        self.patient = patient
        mortality_rules = section(MortalityRules, tables.values, weight)
        self.mortality = Mortality(mortality_rules, self.blood.anc, self.blood.platelet_count, self.blood.hb)
        self.stroma = Stroma(section(StromaRules, tables.values, weight), patient.stroma_tenderness)
        self.watch = watch or Watch()
        self._start_immunity(patient, seed)
        self.residue, self.restricted, self.rivals = residue.start(self), restricted.start(self), rivals.start(self)
        self.escaped = escape.start(self)
        self.killers = natural_killers.start(self)
        self.phagocytes = Phagocytes.of(self)
        self.turn = self.day = self.step_h = 0.0
        self.cellularity = 1.0
        self.grafted = 0.0

    def _start_immunity(self, patient: Patient, seed: int) -> None:
        """Fill the pools of lymphocytes; nobody is activated."""
        tables, scale, weight = self.tables, self.scale, self.weight_kg
        lymphocyte_rules = section(LymphocyteRules, tables.values, weight)
        self.clones = Clones(tables.clones, seed, persons(patient.donor_type))
        self.lymphocytes = Lymphocytes(lymphocyte_rules, patient.age_years, scale.cells_per_agent, self._enter)
        self.plasma = plasma.start(self)
        self._classes = Ahead(seed, CLASSES)
        self.clones.start = self.clones.repertoire(self.lymphocytes.pools)
        self.b_clones = BClones(tables.b_clones, seed, persons(patient.donor_type))
        b_clones.start(self)
        self.selection = Selection(tables.selection)
        self.edited = Edited(tables.transgenes, seed, self.blood, self.lymphocytes, self.watch.promoters)
        organ_rules = section(OrganRules, tables.values, weight)
        self.allo = Alloimmunity(organ_rules, self.donor, scale.cells_per_agent, patient.gvhd_susceptibility)
        self.chronic = ChronicDisease(section(ChronicRules, tables.values, weight), seed)
        host_t = self.lymphocytes.relative_t_cells * self.lymphocytes.reference_t_cells
        self.allo.precursors[HVG] = host_t * self.donor.host_versus_graft * patient.t_cells
        self.engineered = Engineered(
            section(EngineeredRules, tables.values, weight),
            patient.engineered_fitness,
            scale.cells_per_agent / self.allo.rules.effector_enrichment,
        )
        self.repertoires = {Origin.HOST: tables.repertoires[OWN]}
        foreign = tables.repertoires[patient.donor_type]
        self.repertoires |= dict.fromkeys((Origin.DONOR, Origin.DONOR2, Origin.PRODUCT), foreign)
        self.virus_specific = {virus: threats.shares_of(self.repertoires, virus) for virus in threats.VIRUSES}
        self.usual_defence = threats.defenders(self)
        self.lymphocytes.pools[: len(T_CELLS)] *= patient.t_cells
        self.disease = start_disease(
            tables.autoimmune,
            tables.values,
            tables.repertoires[OWN],
            foreign,
            patient.weight_kg,
            seed,
            patient.autoreactivity,
        )

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
        spared: int = 0,
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
            spared: agents that are leukaemic stem cells of the kind watched by a mark (``escape.mark``).
        """
        self.step_h, self.day = step_h, day
        population = counts[Count.POPULATION, :FIRST_MOTILE]
        self.cellularity = float(population.sum()) / self.scale.reference_cellularity
        exits = self._exits(counts[Count.EGRESS])
        escape.follow(self, counts[Count.POPULATION], seen, step_h, spared)
        natural_killers.watch(self, population)
        self.stroma.advance(step_h)
        immunity.survive_drugs(self, step_h)
        edited = [self._exits(counts[row]) for row in EDITED_ROWS] if self.edited.present else ()
        self._fill_blood(exits, edited, counts[Count.LABELLED_EGRESS, Kind.NEUTROPHIL], step_h)
        immunity.take_back(self, counts)
        immunity.advance(self, exits, edited, counts[Count.POPULATION], step_h)
        phagocytes.advance(self, step_h)
        if seen is not None and self.armed:
            targets.encounter(self, seen, counts[Count.POPULATION], step_h)
        self.drugs.pass_step(step_h)
        engagement.advance(self, population, step_h, seen)
        grades = (self.allo.grade(), self.engineered.grade(), threats.febrile_neutropenia(self))
        for drug, level in self.treatment.advance(grades, step_h):
            self.drugs.set_level(drug, level)
        counted = (self.blood.anc, self.blood.platelet_count, self.blood.hb)
        self.cytokines.advance(*counted, step_h, self.scale.relative_megakaryocytes(population))
        for dose in giving.due(doses, population, residue.share(self)):
            giving.give(self, dose)
        self.blood.transfuse(day)
        self.infections.advance(threats.host(self), day, step_h)
        counts_now = (self.blood.anc, self.blood.platelet_count, self.blood.hb)
        hazards = self.mortality.hazards(*counts_now, threats.illness(self, population))
        self.mortality.advance(hazards, self.infections.hazards().tolist(), day, step_h, draw)
        self.lymphocytes.queue(step_h)
        self.allo.queue(step_h, self.lymphocytes.rules.effector_marrow_entry, self.chronic.effectors)
        self.engineered.queue(step_h)
        if self.rivals is not None:
            self.rivals.queue(self.lymphocytes.rules.effector_marrow_entry, step_h)

    def _fill_blood(
        self, exits: Mapping[Kind, Floats], edited: Sequence[Mapping[Kind, Floats]], egress: Floats, step_h: float
    ) -> None:
        """Let the blood take up what left the marrow; egress: labelled neutrophils among it in agents, by origin."""
        labelled = egress * self.scale.exit_weights[Kind.NEUTROPHIL] / (1 << Label.DNA)
        early, used = self.cytokines.reticulocyte_shift, self.blood.used_platelets(step_h)
        self.edited.advance(
            self.blood, exits, edited, lambda part, cells: part.advance(cells, labelled, early, step_h, used)
        )

    def _exits(self, egress: NDArray[np.int64]) -> dict[Kind, Floats]:
        """Return the real cells that left the marrow by origin, each of shape (4,)."""
        cells = egress * self.scale.exit_weights
        return {kind: cells[kind] for kind in (*PRODUCTION, *BLASTS)}

    def _enter(self, kind: Kind, source: int, cells: Floats, pool: Floats) -> None:
        """Tell who keeps account of a pool's cells of those it has gained but not by division."""
        self.clones.enter(kind, source, cells, pool)
        self.plasma.enter(kind, cells, pool)
        self.selection.enter(kind, source, cells, pool)
        if self.hiv is not None:
            self.hiv.coreceptor.enter(kind, source, cells, pool)
        if self.disease is not None:
            for follower in self.disease.followers.values():
                follower.enter(kind, source, cells, pool)

    @property
    def lymphopenia(self) -> tuple[float, float]:
        """Drives of homeostatic division, by IL-7 and, of CD8 memory cells, by IL-15."""
        cd8 = self.cytokines.cd8_lymphopenia(self.lymphocytes.relative_cd8_cells)
        return self.cytokines.lymphopenia(self.il7_uptake), cd8

    @property
    def il7_uptake(self) -> float:
        """Uptake of IL-7 relative to homeostasis, that of engineered T cells included."""
        return (self.lymphocytes.il7_uptake + self.engineered.total) / self.lymphocytes.reference_il7_uptake

    @property
    def relative_t_cells(self) -> float:
        """T cells relative to homeostasis, engineered ones included: together they feed on IL-7 and IL-15."""
        return self.lymphocytes.relative_t_cells + self.engineered.total / self.lymphocytes.reference_t_cells

    # ----------------------------------------------------------------------------------------- what the lattice sees

    def signals(self) -> dict[str, float]:
        """Return body signals: folds over baseline (1 at homeostasis) and 0-1 scalars (0 at homeostasis)."""
        return {
            "gcsf": self.cytokines.gcsf_ahead(self.step_h),
            "epo": self.cytokines.epo,
            "tpo": self.cytokines.tpo,
            "flt3l": self.cytokines.flt3l(self.cellularity),
            "il7": self.cytokines.il7(self.il7_uptake),
            "inflammation_body": min(self.allo.inflammation, 1.0),
            "cni": self.drugs.inhibition("activation"),
            "stroma": self.stroma.intact,
            "hiv_killing": hiv_marrow.killing(self),
        }

    def drug_hazards(self, kinds: Iterable[Kind] = tuple(Kind)) -> Floats:
        """Return the death hazard per hour by what the body brings in the coming step, shape (64, 2).

        Columns are the cycle states; rows of kinds not asked for are 0. The hazard is the mean over the step, so that
        hazard times step adds up to ln(10) * log10 kill over a course, whatever the step.
        """
        return hazards.by_kind(self, kinds)

    def variant_hazards(self, pace: Floats | None = None) -> Floats:
        """Return the same by variant, wild type first, (4, 64, 2); (1, 64, 2): alike. ``pace``: of division, (64,)."""
        return hazards.by_variant(self, pace)

    @property
    def armed(self) -> bool:
        """Whether the body holds cells with an added receptor whose targets are counted."""
        return self.engineered.present or (self.phagocytes is not None and self.edited.present)

    @property
    def looks(self) -> bool:
        """Whether it matters in the coming step who shows what is watched."""
        cells = self.armed or (self.escaped is not None and bool(self.watch.classes))
        return cells or (self.antibodies.acting and bool(self.watch.antigens))

    def directed_hazards(self) -> Floats | None:
        """Return the death hazard per hour by antibodies that spare cells without an antigen, shape (64, 2, 9).

        The last axis says which loss bit spares a cell; ``None``: there is no such hazard.
        """
        return self.antibodies.hazards()[..., :-1] if self.antibodies.acting else None

    def lymphocyte_arrivals(self) -> list[Arrival]:
        """Return the lymphocytes that enter the marrow now: (kind, origin, specificity, agents); call once a step."""
        shares = partial(receptors.shares, self, alloreactive=receptors.alloreactive(self))
        leaving = draw_classes(self.lymphocytes.depart(), shares, self._classes, int(self.turn))
        self.turn += 1.0
        found = [*leaving, *self.allo.depart(), *self.engineered.depart()]
        if self.rivals is not None:
            found += self.rivals.depart()
        if self.phagocytes is not None:
            found += self.phagocytes.depart(self.edited.myeloid_receptors())
        return found

    def draw_ahead(self) -> None:
        """Draw what the next arrivals will need; the host has time for it while a device is at work."""
        self._classes.prepare(int(self.turn))
        self.clones.draw_ahead(int(self.turn) + 1)

    def repertoire(self, origin: Origin, kind: Kind) -> Sequence[Share]:
        """Return the receptor classes of a pool that are not alloreactive, self-reactive ones as far as they escape."""
        return [(s, x * self.selection.of(s, kind, origin)) for s, x in self.repertoires[origin].get(kind, ())]

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
            elif self.rivals is not None and specificity in rivals.SEEN:
                self.rivals.wait_again(specificity, agents)
            elif origin is not Origin.PRODUCT and kind is not Kind.MACROPHAGE:
                self.allo.wait_again(origin, specificity, agents)

    # -------------------------------------------------------------------------------------------------- reporting

    def observables(self) -> dict[str, float]:
        """Return what is measured, by the names of ``OBSERVABLES``."""
        return report.observables(self)

    def chimerism(self) -> dict[str, Floats]:
        """Return the share of every origin in each lineage of the blood, each of shape (4,); 0 where no cell is."""
        return report.chimerism(self.blood, self.lymphocytes, self.allo, self.rivals)

    # ----------------------------------------------------------------------------------------------------- files

    def pack(self) -> dict[str, Floats]:
        """Return all state by name."""
        return parts.pack(self)

    def unpack(self, arrays: Mapping[str, Floats]) -> None:
        """Take over the state that :meth:`pack` returned."""
        parts.unpack(self, arrays)
