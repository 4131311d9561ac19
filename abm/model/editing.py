"""The product stage of gene editing: which cells of a graft carry what, and which of them can still lodge.

Each cell draws its two alleles (or its vector copies) for itself, so that a share e of edited alleles makes e^2 cells
with both, 2 e (1 - e) with one and (1 - e)^2 with none. Both alleles of an antigen's gene lost is a loss bit of the
cell. With one allele left it shows half of the antigen, which is the same level of ``levels.csv``: it is marked as
edited and seen like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abm.cells import LOSS_ANTIGENS, Antigen, EditBit, Kind, pack_hot
from abm.config_graft import ENHANCER, TRANSGENE, Edit
from abm.exactmath import exp
from abm.philox import philox
from abm.streams import Stream
from abm.tables import Folder, read_table, read_values

#: What editing.csv must hold: unit by name.
EDITING_UNITS = {
    "nhej_engraftment": "1",
    "hdr_engraftment": "1",
    "hdr_stem_ratio": "1",
    "large_deletion": "fraction",
    "translocation": "fraction",
    "switch_kill": "fraction",
}
_WORDS = 1 << 32
_KIND = np.uint32(63)
_EDITED = np.uint32(pack_hot(edits=1 << EditBit.EDITED))

Words = NDArray[np.uint32]


def read_editing(folder: Folder) -> dict[str, float]:
    """Return the numbers of ``editing.csv`` by name: all are shares or ratios of at most 1."""
    for row in read_table(folder / "editing.csv", ("name", "value"), key=("name",)):
        row.number("value", 0.0, 1.0)
    return read_values(folder / "editing.csv", EDITING_UNITS)


def altered_bits(edit: Edit) -> int:
    """Return the bits of the hot word that a completely edited cell has gained."""
    if edit.locus == TRANSGENE:
        switch = (1 << EditBit.SWITCH) if edit.switch else 0
        return pack_hot(edits=1 << EditBit.TRANSGENE | switch)
    if edit.locus == ENHANCER:
        return pack_hot(edits=1 << EditBit.ENHANCER)
    return pack_hot(loss=1 << LOSS_ANTIGENS.index(Antigen[edit.locus]))


def without_effect(edit: Edit, shown: Collection[Antigen]) -> str | None:
    """Return what is to be said of an edit of a gene that no cell expresses; ``shown``: antigens that cells show."""
    if edit.locus in (TRANSGENE, ENHANCER) or Antigen[edit.locus] in shown:
        return None
    return f"no cell of the graft shows {edit.locus} (expression.csv, origins.csv): its loss changes nothing"


@dataclass(frozen=True)
class Product:
    """How the cells of a graft are edited; calling it edits them.

    Attributes:
        edit: what is done.
        values: of ``editing.csv``.
        seed: of the run.
        step: number of the step in which they are given.
        index: number of the graft among those of this step.
    """

    edit: Edit
    values: Mapping[str, float]
    seed: int
    step: int
    index: int

    def __call__(self, hot: Words, cold: Words) -> tuple[Words, Words]:
        """Return the words of the cells that can lodge, shape (at most as many,)."""
        stem = (hot & _KIND) == Kind.HSC
        words = philox(self.seed, np.arange(hot.size) + (self.index << 32), self.step, Stream.EDIT * 256)
        edited, complete, from_template = self._copies(words) if self.edit.vcn else self._alleles(words, stem)
        gained = np.where(edited, _EDITED, np.uint32(0))
        gained |= np.where(complete, np.uint32(altered_bits(self.edit)), np.uint32(0))
        v = self.values
        fitness = np.where(from_template, v["hdr_engraftment"], np.where(edited, v["nhej_engraftment"], 1.0))
        lodges = np.where(stem, fitness, 1.0)
        if not self.edit.vcn:
            lodges = lodges * np.where(edited, 1.0 - v["translocation"], 1.0)
        kept = words[3] < lodges * _WORDS
        return (hot | gained)[kept], cold[kept]

    def _alleles(self, words: tuple[Words, ...], stem: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], ...]:
        """Return whether each cell has an edited allele, is completely edited, has an allele from the template."""
        efficiency = self.edit.efficiency or 0.0
        hdr = efficiency * self.edit.hdr * np.where(stem, self.values["hdr_stem_ratio"], 1.0)
        cut = [words[j] < efficiency * _WORDS for j in (0, 1)]
        template = [words[j] < hdr * _WORDS for j in (0, 1)]
        edited, from_template = cut[0] | cut[1], template[0] | template[1]
        if self.edit.locus != TRANSGENE:
            return edited, cut[0] & cut[1], from_template
        deleted = words[2] < self.values["large_deletion"] * _WORDS  # takes one of the inserted copies along
        return edited, np.where(deleted, template[0] & template[1], from_template), from_template

    def _copies(self, words: tuple[Words, ...]) -> tuple[NDArray[np.bool_], ...]:
        """Return the same for vector copies, the number of which is a Poisson draw: cells with any are edited."""
        carries = words[0] >= exp(-(self.edit.vcn or 0.0)) * _WORDS
        return carries, carries, np.zeros_like(carries)
