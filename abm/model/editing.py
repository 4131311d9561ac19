"""The product stage of gene editing: which cells of a graft carry what, and which of them can still lodge.

Each cell draws its two alleles (or its vector copies). A cell that takes the editor up well loses both: in a share r of
the cells (``allele_correlation``) one draw decides for both, so that a share e of edited alleles makes
e^2 + r e (1 - e) cells with both. Both alleles of an antigen's gene lost is a loss bit of the cell. With one allele
left it shows half of the antigen, which is the same level of ``levels.csv``: it is marked as edited and seen like any
other.

What goes wrong: a cut elsewhere, a deletion of kilobases, a translocation, a vector copy beside a gene of growth. Each
break makes p53 answer and costs engraftment. A stem cell in which a gene of growth is switched on, or one that holds
growth back is cut, becomes the variant ``activated`` of ``variants.csv``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm.cells import LOSS_ANTIGENS, Antigen, EditBit, Kind, pack_cold, pack_hot
from abm.config_graft import ENHANCER, TRANSGENE, VECTORS, Edit
from abm.exactmath import exp
from abm.model.heredity import Variants
from abm.philox import philox
from abm.streams import Stream
from abm.tables import Folder, read_table, read_values

#: What editing.csv must hold: unit by name.
EDITING_UNITS = {
    "allele_correlation": "1",
    "break_engraftment": "1",
    "hdr_engraftment": "1",
    "hdr_stem_ratio": "1",
    "off_target": "fraction",
    "off_target_activation": "fraction",
    "large_deletion": "fraction",
    "translocation": "fraction",
    "switch_kill": "fraction",
    **{f"{vector}_activation": "fraction" for vector in VECTORS},
}
#: Variant of stem cells that a break or a vector copy in the wrong place makes.
ACTIVATED = "activated"
_VARIANT = np.uint32(pack_cold(resist=1))  #: the variant stands in the highest bits of the cold word
_WORDS = 1 << 32
#: Draws of the stream: the one between is the body's; from the last on, one for each further gene.
_ALLELES, _ACCIDENTS, _ALSO = 0, 2, 3
_KIND = np.uint32(63)
_EDITED = np.uint32(pack_hot(edits=1 << EditBit.EDITED))

Words = NDArray[np.uint32]
Flags = NDArray[np.bool_]


def read_editing(folder: Folder) -> dict[str, float]:
    """Return the numbers of ``editing.csv`` by name: all are shares or ratios of at most 1."""
    for row in read_table(folder / "editing.csv", ("name", "value"), key=("name",)):
        row.number("value", 0.0, 1.0)
    return read_values(folder / "editing.csv", EDITING_UNITS)


def altered_bits(edit: Edit, gene: str = "") -> int:
    """Return the bits of the hot word that a completely edited cell has gained, or by what is done at one gene."""
    if edit.locus == TRANSGENE:
        switch = (1 << EditBit.SWITCH) if edit.switch else 0
        return pack_hot(edits=1 << EditBit.TRANSGENE | switch)
    if edit.locus == ENHANCER:
        return pack_hot(edits=1 << EditBit.ENHANCER)
    genes = (gene,) if gene else (edit.locus, *edit.also)
    return pack_hot(loss=sum(1 << LOSS_ANTIGENS.index(Antigen[name]) for name in genes))


def activated_variant(variants: Variants) -> int:
    """Return the variant of stem cells in which a gene of growth was hit; 0: the tables have none."""
    return variants.names.get((Kind.HSC, ACTIVATED), 0)


def without_effect(edit: Edit, shown: Collection[Antigen]) -> str | None:
    """Return what is to be said of an edit of a gene that no cell expresses; ``shown``: antigens that cells show."""
    for name in (edit.locus, *edit.also):
        if name not in (TRANSGENE, ENHANCER) and Antigen[name] not in shown:
            return f"no cell of the graft shows {name} (expression.csv, origins.csv): its loss changes nothing"
    return None


class Made(NamedTuple):
    """What became of cells, shape (cells,) throughout.

    Attributes:
        edited: whether each has an edited allele.
        gained: bits that are gained by what is complete.
        from_template: whether it has an allele repaired from the template.
        breaks: of its DNA.
        activated: whether a gene of growth was hit.
    """

    edited: Flags
    gained: Words
    from_template: Flags
    breaks: NDArray[np.int64]
    activated: Flags


@dataclass(frozen=True)
class Product:
    """How the cells of a graft are edited; calling it edits them.

    Attributes:
        edit: what is done.
        values: of ``editing.csv``.
        seed: of the run.
        step: number of the step in which they are given.
        index: number of the graft among those of this step.
        variant: of stem cells in which a gene of growth was hit; 0: the tables know none.
    """

    edit: Edit
    values: Mapping[str, float]
    seed: int
    step: int
    index: int
    variant: int = 0

    def __call__(self, hot: Words, cold: Words) -> tuple[Words, Words]:
        """Return the words of the cells that can lodge, shape (at most as many,)."""
        stem = (hot & _KIND) == Kind.HSC
        words, accidents = (self._words(hot.size, draw) for draw in (_ALLELES, _ACCIDENTS))
        made = self._copies(words, accidents) if self.edit.vcn else self._alleles(words, accidents, stem)
        gained = np.where(made.edited, _EDITED, np.uint32(0)) | made.gained
        v = self.values
        x = v["break_engraftment"]
        lodges = np.where(made.from_template, v["hdr_engraftment"], 1.0)
        most = 2 * (1 + len(self.edit.also)) + 1  # two alleles of every gene, and a cut elsewhere
        lodges = lodges * np.cumprod([1.0, *[x] * most])[made.breaks]
        lodges = np.where(stem, lodges, 1.0) * np.where(made.breaks > 0, 1.0 - v["translocation"], 1.0)
        kept = words[3] < lodges * _WORDS
        changed = made.activated & stem & (cold < _VARIANT)  # who is a variant already stays what it is
        variant = np.where(changed, np.uint32(self.variant) * _VARIANT, np.uint32(0))
        return (hot | gained)[kept], (cold | variant)[kept]

    def _words(self, n: int, draw: int) -> tuple[Words, ...]:
        place = np.arange(n) + (self.index << 32)
        return philox(self.seed, place, self.step, Stream.EDIT * 256 + draw)

    def _alleles(self, words: tuple[Words, ...], accidents: tuple[Words, ...], stem: Flags) -> Made:
        """Return what an editor makes of cells."""
        v, efficiency = self.values, self.edit.efficiency or 0.0
        hdr = efficiency * self.edit.hdr * np.where(stem, v["hdr_stem_ratio"], 1.0)
        alike = accidents[0] < v["allele_correlation"] * _WORDS
        draws = words[0], np.where(alike, words[0], words[1])
        template = [word < hdr * _WORDS for word in draws]
        from_template = template[0] | template[1]
        genes = dict(self._cut(words, alike, efficiency))
        cut = [allele for alleles in genes.values() for allele in alleles]
        edited: Flags = np.logical_or.reduce(cut)
        elsewhere = edited & (accidents[1] < v["off_target"] * _WORDS)
        complete = {name: alleles[0] & alleles[1] for name, alleles in genes.items()}
        if self.edit.locus == TRANSGENE:
            deleted = words[2] < v["large_deletion"] * _WORDS  # takes one of the inserted copies along
            complete = {TRANSGENE: np.where(deleted, template[0] & template[1], from_template)}
        gained = np.zeros(stem.size, np.uint32)
        for name, done in complete.items():
            gained |= np.where(done, np.uint32(altered_bits(self.edit, name)), np.uint32(0))
        breaks = sum((np.asarray(broken, np.int64) for broken in (*cut, elsewhere)), np.zeros(stem.size, np.int64))
        activated = elsewhere & (accidents[2] < v["off_target_activation"] * _WORDS)
        return Made(edited, gained, from_template, breaks, activated)

    def _cut(self, words: tuple[Words, ...], alike: Flags, efficiency: float) -> Iterator[tuple[str, list[Flags]]]:
        """Yield the genes that are to be cut, and in which cells each of the two alleles is.

        A cell that takes the editor up well, or not at all, does so for all of them.
        """
        for number, name in enumerate((self.edit.locus, *self.edit.also)):
            own = self._words(alike.size, _ALSO + number - 1) if number else words
            yield name, [np.where(alike, words[0], word) < efficiency * _WORDS for word in own[:2]]

    def _copies(self, words: tuple[Words, ...], accidents: tuple[Words, ...]) -> Made:
        """Return what a vector makes of cells: its copies are a Poisson number, and each may lie in a bad place."""
        vcn, vector = self.edit.vcn or 0.0, self.edit.vector or VECTORS[0]
        each = self.values[f"{vector}_activation"] if self.edit.activation is None else self.edit.activation
        carries = words[0] >= exp(-vcn) * _WORDS
        # of Poisson copies those in a bad place are Poisson as well; who has one of them carries the gene
        activated = carries & (accidents[2] * (1.0 - exp(-vcn)) < (1.0 - exp(-vcn * each)) * _WORDS)
        gained = np.where(carries, np.uint32(altered_bits(self.edit)), np.uint32(0))
        return Made(carries, gained, np.zeros_like(carries), np.zeros(carries.size, np.int64), activated)
