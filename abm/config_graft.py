"""What a graft may hold besides usual doses: purified cells, the marrow of a former run, edited cells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ValidationInfo, field_validator, model_validator

from abm.cells import LOSS_ANTIGENS
from abm.config_table import Table, each_once, parameter
from abm.tables import did_you_mean

#: What can be edited besides the genes of antigens: a gene is added, or an enhancer disrupted (of BCL11A, for example).
TRANSGENE, ENHANCER = "TRANSGENE", "ENHANCER"
#: Vectors that bring a gene, by where they insert it.
VECTORS = ("lentiviral", "gammaretroviral")
LOCI = (*(antigen.name for antigen in LOSS_ANTIGENS), TRANSGENE, ENHANCER)


def _number_of(kind: str) -> Any:  # noqa: ANN401 - a pydantic FieldInfo
    return parameter("cells", f"purified {kind}, in all and not per kg", gt=0, le=1e12)


class Purified(Table):
    """Purified cells of a graft, by kind."""

    hsc: Annotated[float | None, _number_of("stem cells, such as 200 for a mouse")] = None
    mpp: Annotated[float | None, _number_of("multipotent progenitors")] = None
    cmp: Annotated[float | None, _number_of("common myeloid progenitors")] = None
    clp: Annotated[float | None, _number_of("common lymphoid progenitors")] = None
    mep: Annotated[float | None, _number_of("megakaryocyte-erythroid progenitors")] = None
    gmp: Annotated[float | None, _number_of("granulocyte-monocyte progenitors")] = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.numbers:
            msg = f"cells of at least one of {', '.join(type(self).model_fields)}; found none"
            raise ValueError(msg)
        return self

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers that are stated, by kind."""
        return self.model_dump(exclude_none=True)


def marrow_file(checkpoint: str) -> Path:
    """Return the file that tells one marrow from another: the manifest of a folder, or the merged file."""
    path = Path(checkpoint)
    return path / "manifest.json" if path.is_dir() else path


def _is_checkpoint(value: str) -> str:
    if value and not marrow_file(value).is_file():
        msg = "a checkpoint: a folder with manifest.json, or a merged file"
        raise ValueError(msg)
    return value


MarrowOf = Annotated[
    str,
    parameter(
        "",
        "take stem and progenitor cells, with their clones, from the marrow of a former run; empty: of no run",
        form="a checkpoint: a folder with manifest.json, or a merged file",
    ),
    AfterValidator(_is_checkpoint),
]


class Edit(Table):
    """How the stem and progenitor cells of a graft are edited; what follows from it stands in editing.csv."""

    locus: Annotated[
        str, parameter("", "antigen whose gene is knocked out; TRANSGENE: a gene is added; ENHANCER: one is disrupted")
    ]
    also: Annotated[
        tuple[str, ...],
        parameter("", "antigens whose genes are cut at the same time", form="a list of antigens", strict=False),
    ] = ()
    efficiency: Annotated[float | None, parameter("1", "edited share of the alleles, two in each cell", ge=0, le=1)] = (
        None
    )
    hdr: Annotated[
        float,
        parameter("1", "share of the edited alleles repaired from a template (HDR), the others by NHEJ", ge=0, le=1),
    ] = 0.0
    vcn: Annotated[float | None, parameter("1", "mean vector copies per cell instead of cut alleles", gt=0, le=20)] = (
        None
    )
    vector: Annotated[
        Literal["lentiviral", "gammaretroviral"] | None,
        parameter("", "what brings the copies (with vcn): lentiviral, gammaretroviral; absent: lentiviral"),
    ] = None
    activation: Annotated[
        float | None,
        parameter("1", "share of copies that switch a gene of growth on; absent: as in editing.csv", ge=0, le=1),
    ] = None
    receptor: Annotated[
        str,
        parameter(
            "", "receptor class that the transgene gives to the progeny: a name in the rule table transgenes.csv"
        ),
    ] = ""
    lineage: Annotated[
        Literal["lymphoid", "myeloid", "all"],
        parameter("", "progeny in which the promoter of the receptor works: lymphoid, myeloid or all"),
    ] = "lymphoid"
    switch: Annotated[bool, parameter("", "whether the transgene holds a safety switch")] = False

    @field_validator("locus")
    @classmethod
    def _known_locus(cls, value: str) -> str:
        if value not in LOCI:
            msg = "an antigen with a loss bit, TRANSGENE or ENHANCER"
            raise ValueError(msg, did_you_mean(value, LOCI))
        return value

    @field_validator("also")
    @classmethod
    def _known_loci(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known = [antigen.name for antigen in LOSS_ANTIGENS if antigen.name != info.data.get("locus")]
        return each_once(value, known, "antigens with a loss bit, other than the locus")

    @field_validator("receptor")
    @classmethod
    def _known_receptor(cls, value: str, info: ValidationInfo) -> str:
        names = (info.context or {}).get("transgenes")
        if value and names is not None and value not in names:
            msg = "a receptor class of transgenes.csv"
            raise ValueError(msg, did_you_mean(value, names))
        return value

    @model_validator(mode="after")
    def _one_way_to_edit(self) -> Self:
        adds = self.locus == TRANSGENE
        if (self.efficiency is None) == (self.vcn is None):
            msg = f"exactly one of efficiency, vcn; found {'none' if self.vcn is None else 'both'}"
        elif self.vcn is None and (self.vector or self.activation is not None):
            msg = "vector and activation with vcn only: a cut brings no copies of a vector"
        elif not adds and (self.vcn is not None or self.receptor or self.switch):
            msg = f'vcn, receptor and switch with locus = "{TRANSGENE}" only; found "{self.locus}"'
        elif self.also and self.locus in (TRANSGENE, ENHANCER):
            msg = f'also with an antigen as the locus only; found "{self.locus}"'
        elif adds and not (self.receptor or self.switch):
            msg = "receptor or switch: what the transgene is; found none"
        elif adds and self.vcn is None and not self.hdr:
            msg = "hdr > 0: a cut adds a gene only where it is repaired from a template; found 0"
        else:
            return self
        raise ValueError(msg)
