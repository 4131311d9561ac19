"""The tables of a scenario: every parameter with its unit, range, default and meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from abm import resources
from abm.config_hiv import Infected
from abm.config_infection import Exposed
from abm.config_leukaemia import Leukaemic
from abm.config_table import Table, parameter
from abm.tables import did_you_mean

MINUTES_PER_DAY = 1440

#: Types of donors.csv that lack HLA of the patient, which may be what holds NK cells back.
MISMATCHED = ("mismatched", "haplo", "cord")
#: Types of donors.csv by donor and matched HLA alleles of 8.
MATCHED = {
    "sibling": {8: "sibling"},
    "unrelated": {8: "unrelated", 7: "mismatched"},
    "mismatched": {7: "mismatched"},
    "haplo": dict.fromkeys(range(4, 8), "haplo"),
    "cord": dict.fromkeys(range(4, 9), "cord"),
    "twin": {8: "twin"},
    "autologous": {8: "autologous"},
}
Length = Annotated[int, Field(ge=1, le=1_000_000)]


class Patch(Table):
    """The piece of marrow: sites of 10 um, periodic in y and x, and in z unless its ends are closed."""

    shape: Annotated[
        tuple[Length, Length, Length],
        parameter("sites of 10 um", "size of the patch", form="three whole numbers >= 1: [nz, ny, nx]", strict=False),
    ] = (64, 64, 64)
    species: Annotated[str, parameter("", "rule tables to use: human, mouse, ...")] = "human"
    rules: Annotated[
        str,
        parameter("", "tables that replace those of the species, by file name; empty: none", form="a folder of tables"),
    ] = ""
    tissue: Annotated[Literal["adult"], parameter("", "preset of the tissue generator")] = "adult"
    ends: Annotated[
        Literal["periodic", "closed"],
        parameter("", "what lies beyond the first and last plane: the other end, or bone"),
    ] = "periodic"

    @field_validator("species")
    @classmethod
    def _known(cls, value: str) -> str:
        names = resources.species_names()
        if value not in names:
            raise ValueError("a species with rule tables", did_you_mean(value, names))
        return value

    @field_validator("rules")
    @classmethod
    def _tables(cls, value: str, info: ValidationInfo) -> str:
        found = sorted(path.name for path in Path(value).glob("*.csv")) if value else []
        if value and not found:
            msg = "a folder with at least one rule table (*.csv)"
            raise ValueError(msg)
        names = resources.table_names(info.data.get("species", "human"))
        for name in found:
            if name not in names:
                raise ValueError("rule tables of the species only", f"; it holds {name}{did_you_mean(name, names)}")
        return value


class Scale(Table):
    """How the patch stands for the whole marrow."""

    mode: Annotated[
        Literal["enriched", "true-density"],
        parameter("", "enriched: stem cells denser than in life, their output weighted down; true-density: as in life"),
    ] = "enriched"


class Time(Table):
    """Simulated time; day 0 is the day of the transplant, if there is one."""

    start_day: Annotated[float, parameter("d", "first day", ge=-3650, le=36500)] = -10.0
    end_day: Annotated[float, parameter("d", "last day", ge=-3650, le=36500, validate_default=True)] = 180.0
    step_min: Annotated[int, parameter("min", "fate step; divides a day", ge=1, le=MINUTES_PER_DAY)] = 60
    motile_step_min: Annotated[
        Literal["auto"] | int,
        parameter(
            "min",
            "motile sub-step; auto: from the motility",
            form='"auto" or a whole number >= 1',
            validate_default=True,
        ),
    ] = "auto"

    @field_validator("step_min")
    @classmethod
    def _divides_day(cls, value: int) -> int:
        if MINUTES_PER_DAY % value:
            msg = "a whole number that divides 1440 min (1 day)"
            raise ValueError(msg)
        return value

    @field_validator("motile_step_min")
    @classmethod
    def _divides_step(cls, value: int | str, info: ValidationInfo) -> int | str:
        step = info.data.get("step_min")
        if isinstance(value, int) and (value < 1 or (step is not None and step % value)):
            msg = f'"auto" or a whole number >= 1 that divides step_min = {step}'
            raise ValueError(msg)
        return value

    @field_validator("end_day")
    @classmethod
    def _after_start(cls, value: float, info: ValidationInfo) -> float:
        start = info.data.get("start_day")
        if start is not None and value <= start:
            msg = f"a day after start_day = {start:g}"
            raise ValueError(msg)
        return value


class Patient(Infected, Exposed, Leukaemic):
    """The host and the donor."""

    weight_kg: Annotated[float, parameter("kg", "body weight; scales doses", gt=0, le=300)] = 70.0
    age_years: Annotated[float, parameter("a", "age; scales thymus output", ge=0, le=120)] = 40.0
    disease: Annotated[
        Literal[
            "none",
            "aml",
            "aml_flt3",
            "aml_ras",
            "all",
            "cml",
            "burkitt",
            "dlbcl",
            "follicular",
            "hodgkin",
            "myeloma",
            "chip",
            "ms",
            "sle",
        ],  # fmt: skip
        parameter("", "at the start: leukaemia, lymphoma, myeloma, clonal haematopoiesis, multiple sclerosis or lupus"),
    ] = "none"
    blast_fraction: Annotated[
        float, parameter("1", "leukaemic share of nucleated marrow cells at the start", ge=0, le=0.99)
    ] = 0.0
    donor: Annotated[
        Literal["sibling", "unrelated", "mismatched", "haplo", "cord", "twin", "autologous"],
        parameter("", "who the graft comes from; sets how many T cells recognise the host"),
    ] = "sibling"
    hla_match: Annotated[
        int | None,
        parameter("of 8", "matched alleles of HLA-A, -B, -C and -DRB1; absent: as usual for the donor", ge=4, le=8),
    ] = None
    missing_self: Annotated[
        float,
        parameter("1", "share of the host's NK cells that HLA of the donor does not hold back", ge=0, le=1),
    ] = 0.0
    missing_self_graft: Annotated[
        float,
        parameter("1", "share of the donor's NK cells that HLA of the patient does not hold back", ge=0, le=1),
    ] = 0.0
    donors_match: Annotated[
        int | None,
        parameter(
            "of 8",
            "matched alleles of HLA between first and second donor; absent: they see each other as the patient",
            ge=4,
            le=8,
        ),
    ] = None
    donor_antibodies: Annotated[
        float,
        parameter("MFI", "antibodies against HLA that only the donor has, by bead fluorescence", ge=0, le=1e5),
    ] = 0.0
    donor_age_years: Annotated[
        float | None,
        parameter("a", "age of the donor; sets the naive share of T cells given; absent: 40", ge=0, le=100),
    ] = None
    alloreactivity: Annotated[
        float,
        parameter(
            "1", "precursors of graft and host that recognise each other, over those of the usual pair", ge=0, le=100
        ),
    ] = 1.0
    autoreactivity: Annotated[
        float, parameter("1", "myelin-reactive T cells at the start, over those of the usual patient", ge=0, le=1000)
    ] = 1.0
    gvhd_susceptibility: Annotated[
        float, parameter("1", "rate at which alloreactive T cells kill tissue, over the usual one", gt=0, le=100)
    ] = 1.0
    t_cells: Annotated[float, parameter("1", "T cells at the start, over those of a healthy adult", gt=0, le=10)] = 1.0
    stroma_tenderness: Annotated[
        float,
        parameter("1", "stroma of the marrow that conditioning kills, in logarithms, over the usual", ge=0, le=100),
    ] = 1.0
    preexisting_mutants: Annotated[
        float, parameter("1", "mutant shares of cells at the start, over those of mutations.csv", ge=0, le=1e6)
    ] = 1.0
    hsc_variants: Annotated[
        dict[str, float],
        parameter(
            "1",
            "shares of stem cells that are a variant of variants.csv at the start, in place of those of mutations.csv",
            form="a table of shares by name, such as { tp53 = 0.1 }",
        ),
    ] = {}
    engineered_fitness: Annotated[
        float, parameter("1", "division rate of engineered T cells over the usual one", gt=0, le=10)
    ] = 1.0
    may_die: Annotated[
        bool, parameter("", "whether illness (infection, low counts, GVHD, ...) can kill; the run then ends")
    ] = False

    @field_validator("autoreactivity")
    @classmethod
    def _needs_sclerosis(cls, value: float, info: ValidationInfo) -> float:
        if value != 1.0 and info.data.get("disease") != "ms":
            msg = '1 for a patient without multiple sclerosis (or disease = "ms")'
            raise ValueError(msg)
        return value

    @field_validator("hsc_variants")
    @classmethod
    def _are_shares(cls, value: dict[str, float]) -> dict[str, float]:
        if any(not 0.0 < share <= 1.0 for share in value.values()) or sum(value.values()) > 1.0:
            msg = f"shares > 0 that add up to at most 1; found {', '.join(f'{k} {v:g}' for k, v in value.items())}"
            raise ValueError(msg)
        return value

    @field_validator("hla_match")
    @classmethod
    def _of_donor(cls, value: int | None, info: ValidationInfo) -> int | None:
        known = MATCHED.get(info.data.get("donor", ""), {})
        if value is not None and known and value not in known:
            msg = f"{' or '.join(map(str, sorted(known)))} (of 8) for this donor"
            raise ValueError(msg)
        return value

    @field_validator("missing_self", "missing_self_graft", "donor_antibodies")
    @classmethod
    def _needs_mismatch(cls, value: float, info: ValidationInfo) -> float:
        known = MATCHED.get(info.data.get("donor", ""), {})
        if value > 0 and known and known.get(info.data.get("hla_match") or max(known)) not in MISMATCHED:
            msg = f"0 for a donor with the HLA of the patient (or a donor such as {', '.join(MISMATCHED)})"
            raise ValueError(msg)
        return value

    @property
    def donor_type(self) -> str:
        """The donor's name in donors.csv."""
        return self.donor if self.hla_match is None else MATCHED[self.donor][self.hla_match]

    @field_validator("donors_match")
    @classmethod
    def _of_strangers(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("donor") in ("twin", "autologous"):
            msg = "no value for a donor who is the patient or a twin: a second one would be the same person"
            raise ValueError(msg)
        return value

    @property
    def between_donors(self) -> str:
        """The type of donors.csv as which two donors see each other: as unrelated people do, if a match is stated."""
        if self.donors_match is None:
            return self.donor_type
        matched = MATCHED["unrelated"].get(self.donors_match)
        return matched or ("cord" if self.donor == "cord" else "haplo")

    @field_validator("blast_fraction")
    @classmethod
    def _needs_disease(cls, value: float, info: ValidationInfo) -> float:
        if value > 0 and info.data.get("disease") in ("none", "chip", "ms", "sle"):
            msg = '0 for a patient without a malignancy (or the disease of one, such as "aml")'
            raise ValueError(msg)
        return value
