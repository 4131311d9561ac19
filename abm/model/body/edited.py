"""The edited share of blood and lymphocyte pools, and what edited lymphocytes carry into the marrow.

A pool grows, shrinks and is mixed by rules that do not look at edits, and linearly. So the edited cells of a pool are
advanced by the rules of the pool itself, beside it, and only their share is kept: whatever hits all cells alike
changes no share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from abm.cells import LOSS_ANTIGENS, N_ORIGINS, Antigen, Count, EditBit, Kind, Origin, Specificity, pack_hot
from abm.config_graft import Edit
from abm.model.body.blood import Blood
from abm.model.body.immune import INDEX, POOLS, RETURNS, T_CELLS, TRAVELLERS, Arrival, Lymphocytes
from abm.model.body.numerics import Floats, Packed, some, total
from abm.model.editing import altered_bits
from abm.philox import philox
from abm.streams import Stream
from abm.tables import Folder, read_table

#: Pools whose edited share is followed.
BLOOD = ("neutrophils", "monocytes", "platelets", "marrow_reticulocytes", "reticulocytes", "red_cells")
LYMPHOID = ("pools", "thymus")
#: Lineages of which the edited share is told.
SHARED = ("neutrophils", "monocytes", "platelets", "t", "b", "nk", "red")
#: Blood cells that may show an added receptor, with their place in ``Blood``.
MYELOID = {Kind.MONOCYTE: "monocytes", Kind.NEUTROPHIL: "neutrophils"}
#: Kinds that T cells of the body kill where the lattice shows whom they see, and whose edited shares stand here.
FOLLOWED = {**MYELOID, Kind.IMMATURE_B: "pools"}
#: Kinds in which the promoter of a receptor works, by the name that a scenario gives it.
LINEAGES = {"lymphoid": TRAVELLERS, "myeloid": (*MYELOID,), "all": (*TRAVELLERS, *MYELOID)}
#: What a share is of: cells with at least one edited allele, cells whose edit is complete.
ANY, COMPLETE = 0, 1
_EDITED = np.uint32(pack_hot(edits=1 << EditBit.EDITED))
_SWITCH = pack_hot(edits=1 << EditBit.SWITCH)
_WORDS = 1 << 32

#: Share of the carriers in a pool that show the receptor of the transgene, by receptor class.
Transgenes = Mapping[Specificity, Mapping[Kind, float]]
Words = NDArray[np.uint32]
Exits = Mapping[Kind, Floats]
#: Counts of edited cells that left, as rows of ``Edited``.
EDITED_ROWS = (Count.EDITED_EGRESS, Count.ALTERED_EGRESS)
T = TypeVar("T", Blood, Lymphocytes)


def read_transgenes(folder: Folder) -> dict[Specificity, dict[Kind, float]]:
    """Return which cells show the receptor of a transgene, from ``transgenes.csv``."""
    found: dict[Specificity, dict[Kind, float]] = {}
    for row in read_table(folder / "transgenes.csv", ("specificity", "kind", "share")):
        specificity = Specificity[row.choice("specificity", [s.name for s in Specificity if s])]
        kind = Kind[row.choice("kind", [kind.name for kind in LINEAGES["all"]])]
        row.choice("unit", ["1"])
        if kind in found.setdefault(specificity, {}):
            raise row.error("kind", f"{kind.name} of {specificity.name} stands twice")
        found[specificity][kind] = row.number("share", 0.0, 1.0)
    return found


class Edited(Packed):
    """Edited shares, shape (2, *shape of the pool): rows ``ANY`` and ``COMPLETE``.

    Attributes:
        bits: what a completely edited cell of an origin has gained, as bits of the hot word, shape (N_ORIGINS,);
            0: the origin has no edited cells.
        receptor: class that the transgene of an origin gives, shape (N_ORIGINS,).
    """

    STATE = ("bits", "receptor", *BLOOD, *LYMPHOID)

    def __init__(
        self,
        transgenes: Transgenes,
        seed: int,
        blood: Blood,
        lymphocytes: Lymphocytes,
        promoters: Mapping[Origin, str] | None = None,
    ) -> None:
        """Begin without edited cells; ``promoters``: lineage in which the receptor of an origin is shown (lymphoid)."""
        self._transgenes, self._seed = transgenes, seed
        self._promoters = dict(promoters or {})
        self.bits: Floats = np.zeros(N_ORIGINS)
        self.receptor: Floats = np.zeros(N_ORIGINS)
        self.pools: Floats
        self.thymus: Floats
        self.neutrophils: Floats
        self.monocytes: Floats
        for part, names in ((blood, BLOOD), (lymphocytes, LYMPHOID)):
            for name in names:
                setattr(self, name, np.zeros((2, *np.shape(getattr(part, name)))))

    @property
    def present(self) -> bool:
        """Whether edited cells have been given."""
        return some(self.bits)

    def begin(self, edit: Edit, origin: Origin) -> None:
        """Take note of an edited graft."""
        self.bits[origin] = altered_bits(edit)
        self.receptor[origin] = Specificity[edit.receptor] if edit.receptor else Specificity.NONE

    def take_over(self, bits: int, origin: Origin) -> None:
        """Take note of a graft whose cells were edited before; which receptor a gene of theirs gives is not known."""
        self.bits[origin] = int(self.bits[origin]) | bits

    def advance(self, part: T, exits: Exits, edited: Sequence[Exits], run: Callable[[T, Exits], None]) -> None:
        """Advance a part of the body, and its edited cells by the same rules.

        Args:
            part: blood or lymphocytes.
            exits: cells that left the marrow.
            edited: those of them that are edited, ``ANY`` and ``COMPLETE``.
            run: advances the part, given such cells.
        """
        if not self.present:
            run(part, exits)
            return
        names = BLOOD if isinstance(part, Blood) else LYMPHOID
        some = [part.part({name: getattr(self, name)[row] for name in names}) for row in (ANY, COMPLETE)]
        run(part, exits)
        for cells, entering in zip(some, edited, strict=True):
            run(cells, entering)
        for name in names:
            whole = getattr(part, name)
            setattr(self, name, np.stack([_share(getattr(cells, name), whole) for cells in some]))

    def join(self, kind: Kind, origin: Origin, cells: float, edited: Sequence[float], pool: float) -> None:
        """Let cells join a pool, which then holds ``pool``; ``edited`` of them are, ``ANY`` and ``COMPLETE``."""
        if self.present and pool > 0.0:
            row = INDEX[RETURNS.get(kind, kind)]
            kept = max(pool - cells, 0.0)
            for which, n in enumerate(edited):
                self.pools[which, row, origin] = min((self.pools[which, row, origin] * kept + n) / pool, 1.0)

    def emigrants_without(self, antigen: Antigen) -> dict[int, float]:
        """Return the share of thymic emigrants that have lost an antigen, by origin; of origins edited at its gene."""
        lost = pack_hot(loss=1 << LOSS_ANTIGENS.index(antigen))
        return {o: float(self.thymus[COMPLETE, -1, o]) for o, bits in enumerate(self.bits) if int(bits) & lost}

    def spare(self, share: Floats, chance: float, kept: Floats) -> None:
        """Let the shares of the first pools follow when cells that are not completely edited die with this chance.

        Args:
            share: of each pool that can be killed, by origin, shape (pools, N_ORIGINS); all of it: no edit protects.
            chance: with which a cell that can be killed dies.
            kept: share of each pool that is left, likewise.
        """
        n = len(share)
        self.pools[:, :n] = _spared(self.pools[:, :n], share, chance, kept)

    def spare_kind(self, kind: Kind, share: Floats, chance: float) -> None:
        """Let the shares of a pool or a kind of ``FOLLOWED`` do so; ``share``: by origin, shape (N_ORIGINS,)."""
        self._of(kind)[...] = _spared(self._of(kind), share, chance, 1.0 - share * chance)

    def complete(self, kind: Kind) -> Floats:
        """Return the completely edited share of a pool or a kind of ``FOLLOWED`` by origin, shape (N_ORIGINS,)."""
        found: Floats = self._of(kind)[COMPLETE]
        return found

    def _of(self, kind: Kind) -> Floats:
        """Return the shares of a kind as they are kept, shape (2, N_ORIGINS)."""
        shares: Floats = self.pools[:, INDEX[kind]] if kind in INDEX else getattr(self, FOLLOWED[kind])
        return shares[:, :N_ORIGINS]

    def purge(self, kill: float, blood: Blood, lymphocytes: Lymphocytes) -> None:
        """Let this share of the cells die that carry a safety switch: all that are completely edited have it."""
        carriers = self.switched()
        for part, names in ((blood, BLOOD), (lymphocytes, LYMPHOID)):
            for name in names:
                whole, shares = getattr(part, name), getattr(self, name)
                lost = kill * shares[COMPLETE] * np.resize(np.append(carriers, 0.0), whole.shape[-1])
                setattr(part, name, whole * (1.0 - lost))
                setattr(self, name, _share(np.maximum(shares - lost, 0.0), 1.0 - lost + np.zeros_like(shares)))

    def expressing(self, kind: Kind, origin: Origin) -> tuple[Specificity, float]:
        """Return the receptor class of a transgene and the share of a pool that shows it."""
        if not self.receptor[origin]:
            return Specificity.NONE, 0.0
        receptor, share = self._shown(kind, origin)
        return receptor, share * float(self.pools[COMPLETE, INDEX[kind], origin]) if share else 0.0

    def _shown(self, kind: Kind, origin: Origin) -> tuple[Specificity, float]:
        """Return the receptor class of an origin and the share of the carriers of a kind that show it."""
        receptor = Specificity(int(self.receptor[origin]))
        works = kind in LINEAGES[self._promoters.get(origin, "lymphoid")]
        return receptor, self._transgenes.get(receptor, {}).get(kind, 0.0) if works else 0.0

    def shown_by(self, kinds: Iterable[Kind]) -> bool:
        """Whether a graft of the run makes cells of any of these kinds show an added receptor."""
        return any(kind in LINEAGES[lineage] for kind in kinds for lineage in self._promoters.values())

    def showing(self, kind: Kind) -> Floats:
        """Return the share of a kind of ``MYELOID`` in the blood that shows the added receptor, by origin, (4,)."""
        shown = np.array([self._shown(kind, origin)[1] for origin in Origin])
        complete: Floats = getattr(self, MYELOID[kind])[COMPLETE, :N_ORIGINS]
        return shown * complete

    def myeloid_receptors(self) -> list[Specificity]:
        """Return the receptor class that myeloid cells of each origin show; ``NONE``: they show none."""
        found = [[self._shown(kind, origin) for kind in MYELOID] for origin in Origin]
        return [max((r for r, share in kinds if share > 0.0), default=Specificity.NONE) for kinds in found]

    def switched(self) -> Floats:
        """Return whether completely edited cells of an origin carry a safety switch, 0 or 1, shape (N_ORIGINS,)."""
        return np.array([float(int(bits) & _SWITCH != 0) for bits in self.bits])

    def of_cells(self, arrivals: Sequence[Arrival], turn: int) -> Words:
        """Return the bits that each lymphocyte of the arrivals carries, in their order, shape (cells,)."""
        found = np.zeros(sum(n for *_, n in arrivals), np.uint32)
        first = 0
        for kind, origin, specificity, n in arrivals if self.present else ():
            if self.bits[origin]:
                site = np.arange(first, first + n)
                word = philox(self._seed, site, turn, Stream.EDIT * 256 + 1)[0]
                found[first : first + n] = self._bits_of(kind, origin, specificity, word)
            first += n
        return found

    def _bits_of(self, kind: Kind, origin: Origin, specificity: Specificity, word: Words) -> Words:
        """Return the bits of cells of one class: all that show the receptor of the transgene carry it."""
        if kind is Kind.MACROPHAGE:  # nobody else comes as one
            return np.full(word.shape, np.uint32(int(self.bits[origin])) | _EDITED, np.uint32)
        if RETURNS.get(kind, kind) not in INDEX:  # of no pool whose edits are followed
            return np.zeros(word.shape, np.uint32)
        row = INDEX[RETURNS.get(kind, kind)]
        some, complete = (float(self.pools[which, row, origin]) for which in (ANY, COMPLETE))
        receptor, shown = self.expressing(POOLS[row], origin)
        if shown and specificity is receptor:
            some = complete = 1.0
        elif shown < 1.0:
            some, complete = ((share - shown) / (1.0 - shown) for share in (some, complete))
        gained: Words = np.where(word < complete * _WORDS, np.uint32(int(self.bits[origin])), np.uint32(0))
        gained |= np.where(word < max(some, complete) * _WORDS, _EDITED, np.uint32(0))
        return gained

    def shares(self, blood: Blood, lymphocytes: Lymphocytes, which: int) -> dict[str, float]:
        """Return the edited share of each lineage, transfused cells left out; 0 where no cell is."""
        if not self.present:
            return dict.fromkeys(SHARED, 0.0)
        rows = {"t": [INDEX[kind] for kind in T_CELLS], "b": [INDEX[Kind.IMMATURE_B]], "nk": [INDEX[Kind.NK]]}
        cells = {name: getattr(blood, name)[..., :N_ORIGINS] for name in ("neutrophils", "monocytes", "platelets")}
        shares = {name: getattr(self, name)[which, ..., :N_ORIGINS] for name in cells}
        cells |= {name: lymphocytes.pools[row] for name, row in rows.items()}
        shares |= {name: self.pools[which, row] for name, row in rows.items()}
        red = ("reticulocytes", "red_cells")
        cells["red"] = np.concatenate([getattr(blood, name)[:, :N_ORIGINS] for name in red])
        shares["red"] = np.concatenate([getattr(self, name)[which, :, :N_ORIGINS] for name in red])
        wholes = {name: total(found) for name, found in cells.items()}
        return {
            name: total(shares[name] * cells[name]) / whole if whole > 0.0 else 0.0 for name, whole in wholes.items()
        }


def _spared(shares: Floats, share: Floats, chance: float, kept: Floats) -> Floats:
    """Return edited shares after a loss of cells that are not completely edited, as :meth:`Edited.spare` has it."""
    differ = (share > 0.0) & (share < 1.0)
    some, complete = shares[ANY], shares[COMPLETE]
    partly = np.maximum(some - complete, 0.0) * np.where(differ, 1.0 - chance, 1.0)
    left = np.where(differ, kept, 1.0)
    return np.stack([_share(complete + partly, left), _share(complete, left)])


def _share(part: Floats, whole: Floats) -> Floats:
    """Return part over whole, at most 1; 0 of nothing."""
    return np.minimum(np.where(whole > 0.0, part / np.where(whole > 0.0, whole, 1.0), 0.0), 1.0)
