"""What a graft may hold besides usual doses: purified cells, the marrow of a former run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import model_validator

from abm.config_table import Table, parameter


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
