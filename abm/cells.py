"""What a cell is: kinds, bit fields of the two cell words, tissue labels, antigens, events.

Everything here is a constant. The C++ header that kernels include is generated from
this module (:mod:`abm.header`), so the bit table exists exactly once.

Registries are append-only: a code, once released, is never reused, because checkpoints
and rule tables refer to it.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

N_KINDS = 64
N_ORIGINS = 4


class Kind(IntEnum):
    """Cell kinds. Codes 1-39 live in the resident layer, 40-63 in the motile layer."""

    EMPTY = 0
    HSC = 1
    MPP = 2
    CMP = 3
    CLP = 4
    MEP = 5
    GMP = 6
    MYELOBLAST = 7
    PROMYELOCYTE = 8
    MYELOCYTE = 9
    METAMYELOCYTE = 10
    NEUTROPHIL = 11
    MONOBLAST = 12
    MONOCYTE = 13
    BFU_E = 14
    CFU_E = 15
    PROERYTHROBLAST = 16
    POLYCHROMATIC = 17
    ORTHOCHROMATIC = 18
    MKP = 19
    MEGAKARYOCYTE = 20
    PRO_B = 21
    PRE_B = 22
    IMMATURE_B = 23
    DENDRITIC = 24
    NK_PROGENITOR = 25
    THYMUS_SEEDING = 26
    LSC = 27
    BLAST = 28
    PLATELET_FORMING_MK = 29
    RETICULOCYTE = 30
    EOSINOPHIL_MYELOCYTE = 31  # eosinophils and basophils are lumped
    EOSINOPHIL = 32
    CD8_NAIVE = 40
    CD8_EFFECTOR = 41
    CD8_MEMORY = 42
    CD4_NAIVE = 43
    CD4_EFFECTOR = 44
    CD4_MEMORY = 45
    TREG = 46
    NK = 47
    MACROPHAGE = 48  # from blood monocytes, with a receptor that a gene has added
    CD4_HIV_ECLIPSE = 49  # CD4 T cells that HIV has entered and that make no virus yet
    CD4_HIV_PRODUCTIVE = 50
    CD4_HIV_LATENT = 51


FIRST_MOTILE = 40


def is_motile(kind: Kind) -> bool:
    """Whether cells of ``kind`` live in the motile layer."""
    return kind >= FIRST_MOTILE


class Origin(IntEnum):
    """Whose cell it is."""

    HOST = 0
    DONOR = 1
    DONOR2 = 2
    PRODUCT = 3


class Cycle(IntEnum):
    """Cell-cycle state; rule tables distinguish the first two."""

    QUIESCENT = 0
    CYCLING = 1


class Antigen(IntEnum):
    """Bit position of every antigen a cell can show; what each is stands in antigens.csv."""

    HOST_MINOR_UBIQUITOUS = 0
    HOST_MINOR_HAEMATOPOIETIC = 1
    DONOR_MINOR = 2
    HLA_CLASS_I = 3
    CD33 = 4
    CD19 = 5
    CD123 = 6
    BCMA = 7
    PD_L1 = 8
    WT1 = 9
    LEUKAEMIA_NEO = 10
    CCR5 = 11
    HLA_CLASS_II = 12
    HOST_MINOR_UBIQUITOUS_II = 13  # those that HLA class II presents, which CD4 T cells see
    HOST_MINOR_HAEMATOPOIETIC_II = 14
    DONOR_MINOR_II = 15
    CMV = 16
    EBV = 17
    HIV = 18
    SELF_MYELIN = 19
    SELF_NUCLEAR = 20
    CD20 = 22
    CD45 = 23
    FIRST_DONOR = 26  # of one of two donors, which the other lacks
    FIRST_DONOR_II = 27
    SECOND_DONOR = 28
    SECOND_DONOR_II = 29


#: Levels at which a cell may show an antigen: 1 to this.
N_LEVELS = 3

#: Loss bit j of the hot word clears this antigen (knock-out, mutation), and with an HLA class the peptides it presents.
#: The first is the youngest: the field has grown downwards, so that words without it are what they were.
LOSS_ANTIGENS: tuple[Antigen, ...] = (
    Antigen.CD45,
    Antigen.HOST_MINOR_HAEMATOPOIETIC,
    Antigen.HLA_CLASS_I,
    Antigen.CD33,
    Antigen.CD19,
    Antigen.CD123,
    Antigen.BCMA,
    Antigen.LEUKAEMIA_NEO,
    Antigen.CCR5,
)


class Specificity(IntEnum):
    """Receptor class of a lymphocyte; 0 recognises nothing in the model."""

    NONE = 0
    HOST_UBIQUITOUS = 1
    HOST_HAEMATOPOIETIC = 2
    DONOR = 3
    LEUKAEMIA = 4
    HOST_UBIQUITOUS_II = 5
    HOST_HAEMATOPOIETIC_II = 6
    DONOR_II = 7
    CMV = 8
    EBV = 9
    HIV = 10
    MYELIN = 11
    NUCLEAR = 12
    CAR_CD19 = 13
    CAR_CD33 = 14
    CAR_BCMA = 15
    CAR_CD19_CD123 = 16  # one T cell with receptors for both
    TCR_TRANSGENE = 17
    CAR_CD20 = 18
    CAR_CD45 = 19
    FIRST_DONOR = 26
    FIRST_DONOR_II = 27
    SECOND_DONOR = 28
    SECOND_DONOR_II = 29


#: Receptor classes that a gene brings into a T cell, in the order of the pools of the body.
ENGINEERED = (
    Specificity.CAR_CD19,
    Specificity.CAR_CD33,
    Specificity.CAR_BCMA,
    Specificity.CAR_CD19_CD123,
    Specificity.TCR_TRANSGENE,
    Specificity.CAR_CD20,
    Specificity.CAR_CD45,
)

N_SPECIFICITIES = 32
#: Sets of receptors that may be lent at a time, each to some kinds of lymphocytes; their rows follow the classes.
N_LOANS = 3
#: Antigens by which a cell slows the lymphocyte that engages it, the more the more exhausted that is.
BRAKES = 1 << Antigen.PD_L1
#: Different kill strengths that rule tables may have: the class of a lymphocyte's stands beside its target in a byte.
HIT_CLASSES = 8


class Tissue(IntEnum):
    """Low four bits of the tissue byte."""

    MARROW = 0
    BONE = 1
    SINUSOID = 2
    ARTERIOLE = 3
    ADIPOCYTE = 4


TISSUE_MASK = 0x0F
NICHE_ENDOSTEAL = 0x10  #: HSC niche at the bone surface
NICHE_SINUSOIDAL = 0x20  #: HSC niche at a sinusoid wall
NICHE_MASK = 0x30
STROMA_BIT = 0x40  #: CXCL12-abundant reticular cell at this marrow site (source of CXCL12)


class Field(NamedTuple):
    """One bit field of a cell word."""

    name: str
    shift: int
    bits: int
    doc: str


HOT: tuple[Field, ...] = (
    Field("kind", 0, 6, "cell kind (Kind)"),
    Field("origin", 6, 2, "host, donor, second donor, product (Origin)"),
    Field("cycle", 8, 2, "quiescent or cycling (Cycle)"),
    Field("activation", 10, 2, "lymphocyte activation 0-3"),
    Field("exhaustion", 12, 2, "lymphocyte exhaustion 0-3"),
    Field("specificity", 14, 5, "receptor class (Specificity)"),
    Field("loss", 19, 9, "antigens lost (LOSS_ANTIGENS)"),
    Field("edits", 28, 4, "heritable edits"),
)

COLD: tuple[Field, ...] = (
    Field("clone", 0, 16, "clone id"),
    Field("stage", 16, 5, "divisions done or maturation steps passed inside the kind"),
    Field("damage", 21, 3, "levels of sub-lethal damage by hits"),
    Field("timer", 24, 2, "counter (engagement, eclipse)"),
    Field("label", 26, 4, "level of a label (Label), halved by each division"),
    Field("resist", 30, 2, "variant: 0 the wild type, others as variants.csv has them"),
)


#: Variants of a cell: the wild type and three that a table names.
N_VARIANTS = 4
#: What is counted of what cells carry, by place: loss bits, variants other than the wild type, edits, any damage.
MARKS = {"loss": (0, 9), "variant": (9, N_VARIANTS - 1), "edit": (12, 4), "damage": (16, 1)}
N_MARKS = 17
#: What is counted of leukaemic cells beside stroma: 4 * variant + 2 * cycling + touches it.
N_BESIDE = 4 * N_VARIANTS
#: What a mutation brings: the loss bits, above them from here on a variant, and another kind.
GAIN_VARIANT, GAIN_KIND = 9, 11


class Label(IntEnum):
    """Level of a label given to follow cells: divisions until it is too dilute to be seen.

    Nothing a cell does depends on it. Each daughter has half of the mother's label, which is 2^level of the smallest
    amount: one level less.
    """

    NONE = 0
    HISTONE = 1  # such as H2B-GFP no longer made: only cells that have not divided since carry it
    DNA = 7  # such as tritiated thymidine, built into the DNA of cells that copy it


class EditBit(IntEnum):
    """Bits of the edits that a cell inherits. A knock-out of both alleles of an antigen's gene is its loss bit."""

    EDITED = 0  # at least one allele changed as intended
    TRANSGENE = 1  # a receptor gene that progeny of some kinds expresses
    SWITCH = 2  # a safety switch
    ENHANCER = 3  # an enhancer disrupted on both alleles, such as that of BCL11A


class Behaviour(IntEnum):
    """Columns of the rate table: hazards per step, but for RENEW (a probability)."""

    DIE = 0  # natural death
    DRUG = 1  # death by drug or radiation (filled by the body)
    KILL = 2  # death per immune hit
    EGRESS = 3  # leave the lattice for the blood
    MATURE = 4  # advance one stage without division
    DIVIDE = 5  # two daughters; needs an empty neighbour
    MOVE = 6  # hop to an empty neighbour
    SWITCH = 7  # toggle quiescent / cycling
    ACTIVATE = 8  # antigen-driven transition to the kind's activated form
    RENEW = 9  # probability that a daughter does not advance a stage


N_BEHAVIOURS = 10
N_HAZARDS = 9  #: behaviours below this compete for the one event per step


class Event(IntEnum):
    """Event chosen for a cell in a step (low four bits of the action word) = Behaviour + 1."""

    NONE = 0
    DIE = 1
    DRUG = 2
    KILL = 3
    EGRESS = 4
    MATURE = 5
    DIVIDE = 6
    MOVE = 7
    SWITCH = 8
    ACTIVATE = 9


class Count(IntEnum):
    """Rows of the int64 count table (each row: kind x origin)."""

    POPULATION = 0
    BIRTH = 1  # divisions completed, by kind of the mother
    DIE = 2
    DRUG = 3
    KILL = 4
    EGRESS = 5
    BECAME = 6  # cells that entered the kind by transition (maturation, daughters, activation)
    LEFT = 7  # cells that left the kind by transition
    NICHE = 8  # cells of the kind that sit on an HSC niche site
    QUIESCENT = 9
    LABELLED_EGRESS = 10  # label that those of EGRESS carry, 2^level for each
    LABELLED = 11  # cells that carry a label
    EDITED_EGRESS = 12  # those of EGRESS that carry an edit
    ALTERED_EGRESS = 13  # those of EGRESS that lost an antigen or gained what an edit adds


#: Rows that tell who is there; the others count events.
STANDING = (Count.POPULATION, Count.NICHE, Count.QUIESCENT, Count.LABELLED)
N_COUNTS = 14
#: Parts of a slab that are counted apart: at most so many threads share the work of a kernel on the host.
N_PARTS = 64
#: What cells from the blood find: number of the trial, above bits for the global site; NOWHERE: none.
SITE_BITS, NOWHERE = 47, (1 << 63) - 1


class Signal(IntEnum):
    """Local signals a rule may use inside a kernel (body signals are folded in on the host)."""

    NICHE = 0  # 1 on an HSC niche site, else 0
    SINUSOID_DISTANCE = 1  # sites to the nearest sinusoid
    N_HSPC = 2  # stem and progenitor cells among the 26 neighbours
    N_LEUKAEMIC = 3  # leukaemic cells among the 26 neighbours
    N_RESIDENT = 4  # resident cells among the 26 neighbours
    N_EFFECTOR = 5  # effector lymphocytes among 26 neighbours and the own site
    N_TREG = 6  # regulatory T cells, likewise
    N_APC = 7  # antigen-presenting cells, likewise
    HITS = 8  # effectors engaging this very cell
    ENGAGED = 9  # 1 if this lymphocyte is engaged with a target, else 0
    CXCL12 = 10  # field, relative to its mean at stroma
    INFLAMMATION = 11  # field (interferon-gamma-like), relative units
    STAGE = 12  # own stage counter
    DAMAGE = 13  # levels of sub-lethal damage of this cell that were there before the step


#: Neighbourhood classes packed in one 32-bit histogram, 5 bits each.
HISTOGRAM = ("hspc", "leukaemic", "resident", "effector", "treg", "apc")
HISTOGRAM_BITS = 5


class Flag(IntEnum):
    """Bit positions of per-kind flags in the kind table."""

    HSPC = 0
    LEUKAEMIC = 1
    EFFECTOR = 2
    TREG = 3
    APC = 4
    NICHE_SEEKER = 5  # prefers an empty niche neighbour when it divides or moves
    REST_AFTER_DIVISION = 6  # daughters become quiescent
    CYCLING = 7  # newly made cells of this kind are cycling


@lru_cache(maxsize=1024)  # the cells that arrive in a step are of a few classes
def pack_hot(**values: int) -> int:
    """Pack named hot-word fields into one 32-bit word; unnamed fields are zero."""
    return _pack(HOT, values)


def pack_cold(**values: int) -> int:
    """Pack named cold-word fields into one 32-bit word; unnamed fields are zero."""
    return _pack(COLD, values)


def _pack(fields: tuple[Field, ...], values: dict[str, int]) -> int:
    word = 0
    known = {f.name: f for f in fields}
    for name, value in values.items():
        field = known[name]
        if not 0 <= value < 1 << field.bits:
            msg = f"{name} = {value} does not fit in {field.bits} bits"
            raise ValueError(msg)
        word |= int(value) << field.shift
    return word
