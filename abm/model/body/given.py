"""What a body is given: patient, scale of the patch, rule tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_KINDS, Kind
from abm.model.body.antibodies import Antibody, read_antibodies
from abm.model.body.autoimmune import Values, read_autoimmune
from abm.model.body.b_clones import read_b_clones
from abm.model.body.clones import CloneRules, read_clones
from abm.model.body.drugs import Drug, Radiation, read_drugs, read_radiation
from abm.model.body.edited import Transgenes, read_transgenes
from abm.model.body.exhaustion import ExhaustionRules, read_exhaustion
from abm.model.body.grafts import Graft, Source, read_grafts, read_sources
from abm.model.body.hiv_rules import read_hiv
from abm.model.body.infection import Pathogen, read_pathogens
from abm.model.body.organs import Donor, read_donors
from abm.model.body.parameters import read_body
from abm.model.body.plasma import read_plasma, read_plasma_antigens
from abm.model.body.products import Product, read_products
from abm.model.body.repertoire import Repertoire, read_repertoires
from abm.model.body.residue import ResidueRules, StemCells, read_residue
from abm.model.body.selection import Selected, read_selection
from abm.model.body.shelter import read_shelter
from abm.model.editing import read_editing
from abm.model.heredity import read_variants
from abm.model.rule_tables import read_kinds
from abm.tables import Folder

#: Kinds whose egress is a daily production of the body, with the parameter that declares it.
PRODUCTION = {
    Kind.NEUTROPHIL: "neutrophil_production",
    Kind.MONOCYTE: "monocyte_production",
    Kind.EOSINOPHIL: "eosinophil_production",
    Kind.PLATELET_FORMING_MK: "platelet_production",
    Kind.RETICULOCYTE: "red_cell_production",
    Kind.IMMATURE_B: "b_production",
    Kind.NK_PROGENITOR: "nk_production",
    Kind.THYMUS_SEEDING: "thymus_seeding",
}

#: Leukaemic cells in the blood: one agent stands for as many cells as in the marrow.
BLASTS = (Kind.BLAST, Kind.LSC)
#: Kinds that take up TPO in the marrow.
MEGAKARYOCYTES = (Kind.MEGAKARYOCYTE, Kind.PLATELET_FORMING_MK)
_MEGAKARYOCYTES = np.array(MEGAKARYOCYTES)


class Patient(Protocol):
    """What the body needs to know of the patient."""

    @property
    def weight_kg(self) -> float:
        """Body weight."""

    @property
    def age_years(self) -> float:
        """Age; sets the thymus."""

    @property
    def donor_age_years(self) -> float | None:
        """Age of the donor; ``None``: that to which the composition of grafts belongs."""

    @property
    def donor_type(self) -> str:
        """Donor type, a name of ``donors.csv``."""

    @property
    def between_donors(self) -> str:
        """Name in ``donors.csv`` of the type as which two donors see each other."""

    @property
    def alloreactivity(self) -> float:
        """Precursors that recognise the other side, relative to the usual pair of this donor type."""

    @property
    def autoreactivity(self) -> float:
        """T cells that know their own in an autoimmune disease, relative to the usual patient."""

    @property
    def gvhd_susceptibility(self) -> float:
        """Rate at which alloreactive T cells kill this patient's tissue, relative to the usual one."""

    @property
    def donor_antibodies(self) -> float:
        """Antibodies against HLA of the donor, MFI."""

    @property
    def t_cells(self) -> float:
        """T cells at the start, relative to a healthy adult."""

    @property
    def stroma_tenderness(self) -> float:
        """Stroma of the marrow that conditioning kills, in logarithms, relative to the usual patient."""

    @property
    def missing_self(self) -> float:
        """Share of the NK cells that HLA of the donor does not hold back, 0-1."""

    @property
    def missing_self_graft(self) -> float:
        """Share of the donor's NK cells that HLA of the patient does not hold back, 0-1."""

    @property
    def cmv_carrier(self) -> bool:
        """Whether the patient carries latent cytomegalovirus."""

    @property
    def treat_infections(self) -> bool:
        """Whether infections are treated once they are told."""

    @property
    def engineered_fitness(self) -> float:
        """Division rate of this patient's engineered T cells, relative to the usual one."""

    @property
    def leukaemia_sensitivity(self) -> float:
        """Log kill of leukaemic cells by drugs and radiation, relative to the tables."""

    @property
    def leukaemia_immunogenicity(self) -> float:
        """Kill of leukaemic cells by lymphocytes, relative to that of other cells of the host."""

    @property
    def restricted_alloreactivity(self) -> float:
        """Precursors that recognise blood cells alone, relative to the usual pair of this donor type."""


@dataclass(frozen=True)
class Scale:
    """How the patch stands for the whole marrow.

    Attributes:
        cells_per_agent: real cells for which one lattice agent stands.
        exit_cells: real cells for which one agent stands that leaves the lattice, by kind of ``PRODUCTION``.
        reference_cellularity: resident agents of the patch at homeostasis.
        cells_per_hsc: real stem cells for which an agent stands that is one.
        megakaryocytes: of the patch at homeostasis; 0 where nobody counts them.
        division: division rate at homeostasis, 1/d, by kind; empty where drugs need not know it.
        leukaemia: stem cells of a leukaemia that is followed below one agent; ``None``: none is.
    """

    cells_per_agent: float
    exit_cells: Mapping[Kind, float]
    reference_cellularity: float
    cells_per_hsc: float
    megakaryocytes: float = 0.0
    division: Mapping[Kind, float] = field(default_factory=dict)
    leukaemia: StemCells | None = None

    @cached_property
    def exit_weights(self) -> NDArray[np.float64]:
        """Real cells for which an agent stands that leaves, by kind, shape (64, 1)."""
        weights = np.zeros((N_KINDS, 1))
        for kind in PRODUCTION:
            weights[kind] = self.exit_cells[kind]
        weights[list(BLASTS)] = self.cells_per_agent
        return weights

    def relative_megakaryocytes(self, population: NDArray[np.int64]) -> float | None:
        """Return megakaryocytes relative to homeostasis; ``None`` if their usual number is not known."""
        found = float(population[_MEGAKARYOCYTES].sum())
        return found / self.megakaryocytes if self.megakaryocytes else None


@dataclass(frozen=True)
class Tables:
    """The rule tables of the body of one species."""

    values: Mapping[str, float]
    drugs: dict[str, Drug]
    antibodies: dict[str, Antibody]
    exhaustion: ExhaustionRules
    radiation: Radiation
    variants: Mapping[str, NDArray[np.float64]]
    grafts: dict[str, Graft]
    sources: dict[str, Source]
    donors: dict[str, Donor]
    repertoires: dict[str, Repertoire]
    selection: tuple[Selected, ...]
    clones: dict[Kind, CloneRules]
    b_clones: tuple[CloneRules, ...]
    pathogens: tuple[Pathogen, ...]
    products: dict[str, Product]
    editing: dict[str, float]
    transgenes: Transgenes
    plasma: Mapping[str, float]
    plasma_antigens: int
    hiv: Mapping[str, float] | None = None
    autoimmune: Mapping[str, Values] = field(default_factory=dict)
    residue: ResidueRules | None = None
    shelter: float = 0.0

    @classmethod
    def load(cls, folder: Folder) -> Self:
        """Read the tables of a species folder that the body needs."""
        grafts, donors = read_grafts(folder), read_donors(folder)
        return cls(
            read_body(folder),
            read_drugs(folder),
            read_antibodies(folder),
            read_exhaustion(folder),
            read_radiation(folder),
            read_variants(folder, read_kinds(folder / "kinds.csv")).drugs,
            grafts,
            read_sources(folder, grafts),
            donors,
            read_repertoires(folder, donors),
            read_selection(folder),
            read_clones(folder),
            read_b_clones(folder),
            read_pathogens(folder),
            read_products(folder),
            read_editing(folder),
            read_transgenes(folder),
            read_plasma(folder),
            read_plasma_antigens(folder),
            read_hiv(folder),
            read_autoimmune(folder),
            read_residue(folder),
            read_shelter(folder),
        )


def daily_production(tables: Tables, weight_kg: float) -> dict[Kind, float]:
    """Return the cells per day that the lattice must deliver at homeostasis, by the kind that leaves it."""
    size = weight_kg / tables.values["reference_weight"]
    return {kind: tables.values[name] * size for kind, name in PRODUCTION.items()}
