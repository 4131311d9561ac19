"""The parts of a body that hold state, and that state by name, as checkpoints hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from abm.model.body.numerics import Floats, Packed

if TYPE_CHECKING:
    from abm.model.body import Body

#: Parts that every body has, by attribute.
PARTS = ("blood", "cytokines", "drugs", "antibodies", "exhaustion", "treatment", "infections", "mortality", "clones",
         "b_clones", "selection", "lymphocytes", "plasma", "allo", "chronic", "engineered", "edited",
         "stroma")  # fmt: skip
#: Parts that some have.
OWN = ("residue", "restricted", "escaped", "killers", "phagocytes", "rivals")
#: State that belongs to no part.
NUMBERS = ("day", "step_h", "cellularity", "grafted", "turn")


def pack(body: Body) -> dict[str, Floats]:
    """Return all state of a body by name."""
    arrays = {name: np.array(getattr(body, name)) for name in NUMBERS}
    for part, name in _of(body):
        arrays |= {f"{name}.{key}": array for key, array in part.pack().items()}
    return arrays


def unpack(body: Body, arrays: Mapping[str, Floats]) -> None:
    """Take over the state that :func:`pack` returned."""
    for name in NUMBERS:
        setattr(body, name, float(arrays[name]))
    if body.watch.haplotype and "escaped.phase" not in arrays:  # of before these were followed
        body.escaped = None
    for part, name in _of(body):
        part.unpack({key: arrays[f"{name}.{key}"] for key in part.STATE})


def _of(body: Body) -> list[tuple[Packed, str]]:
    found: list[tuple[Packed, str]] = [(getattr(body, name), name) for name in PARTS]
    found += [(part, name) for name, part in (body.hiv.parts if body.hiv else {}).items()]
    found += [(part, name) for name in OWN if (part := getattr(body, name)) is not None]
    if body.disease is not None:
        found.append((body.disease, "disease"))
        found += [(part, name) for name, part in body.disease.followers.items()]
    return found
