"""T cells that see T cells: engineered ones whose antigen stands on lymphocytes, such as CD45.

They kill the lymphocytes of the body and each other, unless these have lost what the receptor binds: a product says so
(``lacks``), of a graft's cells the edited share does. In culture a product meets nothing but itself, so that one that
shows its own antigen does not last until it is given. Pairs meet as everywhere in :mod:`abm.model.body.engineered`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from abm.cells import ENGINEERED, LOSS_ANTIGENS, N_KINDS, N_ORIGINS, Kind, Origin, Specificity, pack_hot
from abm.exactmath import exp
from abm.model.body.edited import COMPLETE
from abm.model.body.immune import INDEX, TRAVELLERS
from abm.model.body.numerics import Floats, total
from abm.model.body.organs import GVH, HVG
from abm.model.recognition import Recognition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from abm.model.body import Body

#: Kinds of which engineered T cells are; those of their pool that circulate are all alike.
_PRODUCT = Kind.CD8_EFFECTOR
_ONE_CELL = 1.0


@dataclass(frozen=True)
class Fratricide:
    """Which lymphocytes the watched receptor classes see.

    Attributes:
        hiding: bits of the hot word, of losses each of which hides a kind from a class; uint32 (classes, N_KINDS).
        pools: whether a class sees a lymphocyte of the body that has lost nothing, bool (classes, N_KINDS, N_ORIGINS).
        products: whether a class sees the product of another class (or its own), bool (classes, classes).
    """

    hiding: NDArray[np.uint32] = field(default_factory=lambda: np.zeros((0, N_KINDS), np.uint32))
    pools: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, N_KINDS, N_ORIGINS), bool))
    products: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), bool))

    @classmethod
    def of(
        cls,
        recognition: Recognition,
        masks: NDArray[np.uint32],
        classes: Sequence[Specificity],
        lacks: Mapping[Specificity, int],
    ) -> Fratricide:
        """Find out from the tables.

        Args:
            recognition: who shows what.
            masks: antigens by kind and origin, uint32 (N_KINDS, N_ORIGINS).
            classes: that are watched.
            lacks: loss bits of the product of each class, as they stand in the hot word.
        """
        n, losses = len(classes), recognition.losses()
        bound = np.array([masks & recognition.receptors[c] for c in classes], np.uint32).reshape(n, *masks.shape)
        pools = np.zeros(bound.shape, bool)
        pools[:, list(TRAVELLERS)] = bound[:, list(TRAVELLERS)] != 0
        hiding = np.zeros((n, N_KINDS), np.uint32)
        for j in range(len(LOSS_ANTIGENS)):
            hidden = (bound[..., Origin.HOST] & ~losses[j]) == 0
            hiding |= np.where(hidden, np.uint32(pack_hot(loss=1 << j)), np.uint32(0))
        bits = np.array([lacks.get(c, 0) for c in classes], np.uint32)
        seen = (bound[:, _PRODUCT, Origin.PRODUCT] != 0)[:, np.newaxis]
        return cls(hiding, pools, seen & (hiding[:, _PRODUCT, np.newaxis] & bits == 0))

    @cached_property
    def possible(self) -> bool:
        """Whether any class sees any T cell."""
        return bool(self.pools.any() or self.products.any())


def shown(body: Body, row: int) -> Floats:
    """Return the share of the lymphocytes of each pool and origin that a watched class sees, (len(TRAVELLERS), 4)."""
    watch, edited = body.watch.fratricide, body.edited
    kinds = list(TRAVELLERS)
    lost = (watch.hiding[row, kinds][:, np.newaxis] & edited.bits.astype(np.uint32)) != 0
    return np.where(watch.pools[row][kinds], np.where(lost, 1.0 - edited.pools[COMPLETE, : len(kinds)], 1.0), 0.0)


def seen(body: Body, row: int) -> float:
    """Return the T and NK cells of the body, engineered ones included, that a watched class sees."""
    watch = body.watch
    found = total(body.lymphocytes.pools[: len(TRAVELLERS)] * shown(body, row))
    for other in np.flatnonzero(watch.fratricide.products[row]).tolist():
        found += total(body.engineered.cells[ENGINEERED.index(watch.classes[other])])
    return found


def strike(body: Body, hazard: Floats, days: float) -> None:
    """Let T and NK cells of the body die at the hazard (1/d) of each class that sees them, engineered ones last."""
    watch = body.watch
    if not watch.fratricide.possible:
        return
    dies = [1.0 - exp(-float(hazard[ENGINEERED.index(c)]) * days) for c in watch.classes]
    for row, chance in enumerate(dies):
        if chance > 0.0:
            _strike_pools(body, shown(body, row), chance)
    for row, chance in enumerate(dies):
        for other in np.flatnonzero(watch.fratricide.products[row]).tolist():
            body.engineered.cells[ENGINEERED.index(watch.classes[other])] *= 1.0 - chance


def _strike_pools(body: Body, share: Floats, chance: float) -> None:
    """Kill what is seen of the pools; who follows some of their cells is told what is left of all of them."""
    kept = 1.0 - share * chance
    body.edited.spare(share, chance, kept)
    body.lymphocytes.pools[: len(TRAVELLERS)] *= kept
    left = kept[INDEX[Kind.CD8_MEMORY]].tolist()
    for direction, side in ((GVH, Origin.DONOR), (HVG, Origin.HOST)):
        body.allo.survive(direction, left[side], left[side])
    if body.restricted is not None:
        body.restricted.survive(left[Origin.DONOR], left[Origin.DONOR])
    for origin, remains in enumerate(kept[INDEX[Kind.CD4_MEMORY]].tolist()):
        if body.hiv is not None:
            body.hiv.survive_of(slice(origin, origin + 1), remains)
        if body.disease is not None:
            body.disease.survive_of(slice(origin, origin + 1), remains)


def cultured(body: Body, receptor: Specificity) -> float:
    """Return the share of a product that is left after culture, in which its cells meet each other alone.

    In pairs E E / (E + E) half of them are engaged at a time: each is killed at half the rate of an engaged effector.
    """
    watch = body.watch
    if receptor not in watch.classes or not watch.fratricide.possible:
        return 1.0
    row = watch.classes.index(receptor)
    if not watch.fratricide.products[row, row]:
        return 1.0
    rules = body.engineered.rules
    return exp(-0.5 * rules.engineered_kill * rules.engineered_culture)


def infuse(body: Body, receptor: Specificity, name: str, cells: float) -> None:
    """Give the engineered T cells of a product that have survived its culture; less than one cell is none."""
    left = cells * cultured(body, receptor)
    if left >= _ONE_CELL:
        body.engineered.infuse(receptor, body.tables.products[name], left)
