"""The body's parameters, read from ``body.csv``: one field per row, its unit in the field.

Values in cells, cells per day and litres belong to a body of ``reference_weight`` and scale with the patient's weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from abm.errors import ConfigError
from abm.exactmath import log
from abm.tables import Folder, read_values

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Units of values that grow in proportion to body weight.
EXTENSIVE = ("L", "m2", "cells", "cells/d")
#: Powers that are made by multiplication, and so have the same bits on every machine.
POWERS = (1.0, 2.0, 4.0, 8.0)
#: Counts at which a hazard is half of its highest value, and rates that something is divided by.
HALVES = (
    "infection_anc", "bleeding_platelets", "anaemia_hb", "leukaemia_half", "treg_half", "engineered_il7_half",
    "engineered_search", "relapse_half", "humoral_half", "leukaemia_hold_half",
    "injury_decay", "tissue_repair", "tissue_kill_half", "apc_half",
)  # fmt: skip
#: Shares of something: at most 1.
SHARES = ("leukaemia_hold", "marrow_alarm")
#: Units of values that something is divided by.
NEVER_ZERO = ("kg", "m2", "L", "d", "h", "a", "cells/d")


def in_unit(unit: str) -> Any:  # noqa: ANN401 - stands for a dataclass field
    """Return a parameter in this unit."""
    return field(metadata={"unit": unit})


_in = in_unit


@dataclass(frozen=True)
class SizeRules:
    """The reference body."""

    reference_weight: float = _in("kg")
    body_surface: float = _in("m2")


@dataclass(frozen=True)
class BloodRules:
    """Production, lifespan and amount of blood cells; transfusion."""

    blood_volume: float = _in("L")
    plasma_refill_half_life: float = _in("h")
    anc: float = _in("1e9/L")
    neutrophil_marginated: float = _in("1")
    neutrophil_production: float = _in("cells/d")
    monocytes: float = _in("1e9/L")
    monocyte_production: float = _in("cells/d")
    eosinophils: float = _in("1e9/L")
    eosinophil_production: float = _in("cells/d")
    platelet_production: float = _in("cells/d")
    platelet_lifespan: float = _in("d")
    platelet_requirement: float = _in("1e9/L/d")
    platelet_stages: float = _in("1")
    platelet_splenic_share: float = _in("1")
    red_cell_production: float = _in("cells/d")
    red_cell_lifespan: float = _in("d")
    red_cell_stages: float = _in("1")
    haemoglobin: float = _in("g/L")
    marrow_reticulocyte_time: float = _in("d")
    marrow_reticulocyte_stages: float = _in("1")
    blood_reticulocyte_time: float = _in("d")
    blast_blood_time: float = _in("d")
    platelet_trigger: float = _in("1e9/L")
    platelet_unit: float = _in("cells")
    haemoglobin_trigger: float = _in("g/L")
    red_cell_unit: float = _in("cells")


@dataclass(frozen=True)
class CytokineRules:
    """Turnover of G-CSF, EPO, TPO, FLT3 ligand and IL-7."""

    gcsf_clearance: float = _in("1/h")
    gcsf_clearance_per_anc: float = _in("1/h per 1e9/L")
    gcsf_drug_half_life: float = _in("h")
    gcsf_drug_area: float = _in("fold h per ug/kg")
    epo_half_life: float = _in("h")
    epo_slope: float = _in("L/g")
    epo_max: float = _in("fold")
    reticulocyte_shift: float = _in("d")
    tpo_half_life: float = _in("h")
    tpo_max: float = _in("fold")
    tpo_megakaryocyte_share: float = _in("1")
    flt3l_floor: float = _in("1")
    flt3l_cellularity_cap: float = _in("1")
    il7_floor: float = _in("1")
    il15_floor: float = _in("1")


@dataclass(frozen=True)
class LymphocyteRules:
    """Pools, thymus, homeostatic division and traffic to the marrow."""

    cd4_naive_pool: float = _in("cells")
    cd4_memory_pool: float = _in("cells")
    treg_pool: float = _in("cells")
    cd8_naive_pool: float = _in("cells")
    cd8_memory_pool: float = _in("cells")
    nk_pool: float = _in("cells")
    b_pool: float = _in("cells")
    t_blood_share: float = _in("1")
    effector_blood_share: float = _in("1")
    nk_blood_share: float = _in("1")
    b_blood_share: float = _in("1")
    nk_production: float = _in("cells/d")
    b_production: float = _in("cells/d")
    thymus_seeding: float = _in("cells/d")
    thymus_output: float = _in("cells/d")
    thymus_age: float = _in("a")
    thymus_age_half: float = _in("a")
    thymus_transit: float = _in("d")
    thymus_stages: float = _in("1")
    thymus_cd4_share: float = _in("1")
    thymus_treg_share: float = _in("1")
    thymus_recovery: float = _in("d")
    thymus_injury: float = _in("1")
    thymus_gvhd: float = _in("1")
    cd4_growth: float = _in("1/d")
    treg_growth: float = _in("1/d")
    cd8_growth: float = _in("1/d")
    naive_growth: float = _in("1/d")
    naive_conversion: float = _in("1/d")
    il7_cd8_memory: float = _in("1")
    graft_age: float = _in("a")
    cd4_naive_age_half: float = _in("a")
    cd8_naive_age_half: float = _in("a")
    t_marrow_entry: float = _in("1/d")
    treg_marrow_entry: float = _in("1/d")
    effector_marrow_entry: float = _in("1/d")
    nk_marrow_entry: float = _in("1/d")


@dataclass(frozen=True)
class OrganRules:
    """Alloreactivity and the organs it damages: the joint parameter set of the mean-field model."""

    injury_from_loss: float = _in("1/d")
    injury_from_killing: float = _in("1")
    injury_decay: float = _in("1/d")
    injury_half: float = _in("1")
    activation_floor: float = _in("1")
    rejection_danger: float = _in("1")
    relapse_danger: float = _in("1")
    relapse_half: float = _in("1")
    leukaemia_presentation: float = _in("1")
    leukaemia_hold: float = _in("1")
    leukaemia_hold_half: float = _in("1")
    marrow_alarm: float = _in("1")
    priming: float = _in("1/d")
    priming_half: float = _in("cells")
    priming_slope: float = _in("1")
    effector_growth: float = _in("1/d")
    effector_death: float = _in("1/d")
    programmed_burst: float = _in("1")
    programmed_days: float = _in("d")
    effector_burst: float = _in("1")
    rejection_burst: float = _in("1")
    family_share: float = _in("1")
    rival_spread: float = _in("1")
    effector_capacity: float = _in("cells")
    effector_enrichment: float = _in("1")
    effector_survivors: float = _in("1")
    exhausted_share: float = _in("1")
    exhausted_loss: float = _in("1/d")
    reinvigoration: float = _in("1/d")
    reinvigorated_yield: float = _in("1")
    activation_without_pd1: float = _in("1")
    apc_turnover: float = _in("d")
    apc_half: float = _in("1")
    indirect_presentation: float = _in("1")
    tissue_kill: float = _in("1/d")
    tissue_kill_half: float = _in("cells")
    tissue_repair: float = _in("1/d")
    blood_kill: float = _in("1/d")
    blood_kill_half: float = _in("cells")
    epithelium_injury: float = _in("1")
    treg_usual: float = _in("1")
    treg_half: float = _in("1")
    skin_kill: float = _in("1")
    gut_kill: float = _in("1")
    liver_kill: float = _in("1")
    skin_stage_1: float = _in("1")
    skin_stage_2: float = _in("1")
    skin_stage_3: float = _in("1")
    skin_stage_4: float = _in("1")
    gut_stage_1: float = _in("1")
    gut_stage_2: float = _in("1")
    gut_stage_3: float = _in("1")
    gut_stage_4: float = _in("1")
    liver_stage_1: float = _in("1")
    liver_stage_2: float = _in("1")
    liver_stage_3: float = _in("1")
    liver_stage_4: float = _in("1")


@dataclass(frozen=True)
class ChronicRules:
    """Onset and course of chronic GVHD."""

    chronic_half: float = _in("cells")
    chronic_rate: float = _in("1/d")
    chronic_delay: float = _in("d")
    chronic_growth: float = _in("1/d")
    chronic_repair: float = _in("d")
    chronic_thymus: float = _in("1/d")
    chronic_effectors: float = _in("cells")
    chronic_without_pd1: float = _in("1")


@dataclass(frozen=True)
class EngineeredRules:
    """Engineered T cells and the interleukin 6 that they set free."""

    engineered_growth: float = _in("1/d")
    engineered_il7_half: float = _in("fold")
    engineered_il7_power: float = _in("1")
    engineered_growth_without_il6: float = _in("1")
    engineered_death: float = _in("1/d")
    engineered_naive_activation: float = _in("1/d")
    engineered_memory_activation: float = _in("1/d")
    engineered_memory_share: float = _in("1")
    engineered_memory_loss: float = _in("1/d")
    engineered_exhaustion: float = _in("1/d")
    engineered_recovery: float = _in("1/d")
    engineered_kill: float = _in("1/d")
    engineered_culture: float = _in("d")
    engineered_search: float = _in("cells")
    engineered_marrow_entry: float = _in("1/d")
    il6_kills: float = _in("cells/d")
    il6_half_life: float = _in("h")
    il6_grade_1: float = _in("fold")
    il6_grade_2: float = _in("fold")
    il6_grade_3: float = _in("fold")
    il6_grade_4: float = _in("fold")


@dataclass(frozen=True)
class PhagocyteRules:
    """Myeloid cells with an added receptor."""

    macrophage_share: float = _in("1")
    macrophage_life: float = _in("d")
    macrophage_marrow_share: float = _in("1")
    macrophage_kill: float = _in("1/d")
    neutrophil_kill: float = _in("1/d")
    phagocyte_search: float = _in("cells")


@dataclass(frozen=True)
class StromaRules:
    """What conditioning leaves of the stroma of the marrow, and how soon it comes back."""

    stroma_injury: float = _in("1")
    stroma_recovery: float = _in("d")


@dataclass(frozen=True)
class HumoralRules:
    """What antibodies against HLA of the donor kill of a graft, and the MFI at which half of it."""

    humoral_kill: float = _in("log10")
    humoral_half: float = _in("MFI")


@dataclass(frozen=True)
class NaturalKillerRules:
    """What NK cells do where HLA does not hold them back: those of the host to a graft, a donor's to leukaemia."""

    nk_rejection: float = _in("1")
    nk_kill: float = _in("1/d")
    nk_host_kill: float = _in("1/d")
    nk_search: float = _in("cells")


@dataclass(frozen=True)
class StemRules:
    """Stem cells at their true number under treatment (``abm/stem_clones.py``)."""

    genotoxic_divisions: float = _in("1/log10")
    autograft_founders: float = _in("cells")


@dataclass(frozen=True)
class MortalityRules:
    """Hazards of death.

    At low counts each is highest without any cell, and half of that at the count named with it; likewise leukaemia, by
    its share of a full marrow. Of GVHD by grade and severity; of toxicity times the square of the epithelium lost.
    """

    infection_death: float = _in("1/d")
    infection_anc: float = _in("1e9/L")
    infection_power: float = _in("1")
    bleeding_death: float = _in("1/d")
    bleeding_platelets: float = _in("1e9/L")
    bleeding_power: float = _in("1")
    anaemia_death: float = _in("1/d")
    anaemia_hb: float = _in("g/L")
    anaemia_power: float = _in("1")
    gvhd_death_3: float = _in("1/d")
    gvhd_death_4: float = _in("1/d")
    chronic_death: float = _in("1/d")
    leukaemia_death: float = _in("1/d")
    leukaemia_half: float = _in("1")
    leukaemia_power: float = _in("1")
    toxicity_death: float = _in("1/d")


Rules = TypeVar("Rules", bound="DataclassInstance")
SECTIONS: tuple[type[Any], ...] = (
    SizeRules,
    BloodRules,
    CytokineRules,
    LymphocyteRules,
    OrganRules,
    ChronicRules,
    StromaRules,
    HumoralRules,
    NaturalKillerRules,
    MortalityRules,
    EngineeredRules,
    PhagocyteRules,
    StemRules,
)


def units_of(section: type[Any]) -> dict[str, str]:
    """Return the unit of every parameter of a section by name."""
    return {f.name: f.metadata["unit"] for f in fields(section)}


UNITS: Mapping[str, str] = {name: unit for section in SECTIONS for name, unit in units_of(section).items()}


def read_body(folder: Folder) -> dict[str, float]:
    """Return the values of ``body.csv`` by name, for the reference weight."""
    path = folder / "body.csv"
    values = read_values(path, UNITS)
    for name, value in values.items():
        if value < 0.0 or (value == 0.0 and UNITS[name] in NEVER_ZERO):
            limit = "> 0" if UNITS[name] in NEVER_ZERO else ">= 0"
            raise ConfigError(f"expected a number {limit}, found {value:g}", file=path, key=name)
        if name.endswith("_power") and value not in POWERS:
            raise ConfigError(f"expected 1, 2, 4 or 8, found {value:g}", file=path, key=name)
        if name in HALVES and value == 0.0:
            raise ConfigError("expected a number > 0, found 0", file=path, key=name)
        if name in SHARES and value > 1.0:
            raise ConfigError(f"expected a share up to 1, found {value:g}", file=path, key=name)
        if name.endswith("_stages") and (value < 1.0 or value != int(value)):
            raise ConfigError(f"expected a whole number >= 1, found {value:g}", file=path, key=name)
    most = values["marrow_reticulocyte_time"] / log(max(values["epo_max"], 1.001))
    if (shift := values["reticulocyte_shift"]) >= most:
        message = f"expected less than {most:.3g} (marrow_reticulocyte_time / ln epo_max), found {shift:g}"
        raise ConfigError(message, file=path, key="reticulocyte_shift")
    return values


def section(kind: type[Rules], values: Mapping[str, float], weight_kg: float) -> Rules:
    """Return one section of ``values``, the reference weight among them, for a patient of ``weight_kg``."""
    size = weight_kg / values["reference_weight"]
    units = units_of(kind)
    return kind(**{name: values[name] * (size if unit in EXTENSIVE else 1.0) for name, unit in units.items()})
