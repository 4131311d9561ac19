"""Which receptor classes the lymphocytes of a patient hold: alloreactive, added, and the rest of a repertoire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from abm.cells import Kind, Origin
from abm.model.body import rivals
from abm.model.body.immune import CD8_CELLS, T_CELLS
from abm.model.body.organs import GVH, HVG
from abm.model.body.repertoire import CONVENTIONAL, Share, alloreactive_shares

if TYPE_CHECKING:
    from abm.model.body import Body


def alloreactive(body: Body) -> dict[Origin, float]:
    """Return the precursors per T cell by side: those not yet activated, spread evenly over all of them."""
    host, donor, second, _ = body.lymphocytes.cells(T_CELLS).tolist()
    numbers = ((Origin.HOST, HVG, host), (Origin.DONOR, GVH, donor + second))
    precursors = {side: (float(body.allo.precursors[d]), cells) for side, d, cells in numbers}
    return {side: n / cells if cells > n else float(n > 0.0) for side, (n, cells) in precursors.items()}


def shares(body: Body, kind: Kind, origin: Origin, alloreactive: Mapping[Origin, float]) -> list[Share]:
    """Return the receptor classes in a pool and their shares of its cells.

    A cell that shows an added receptor shows no other (allelic exclusion): the others share what is left.

    Args:
        body: the patient.
        kind: the pool.
        origin: whose cells.
        alloreactive: precursors per T cell by side, as :func:`alloreactive` returns them.
    """
    side = Origin.DONOR if origin is Origin.DONOR2 else origin
    allo = alloreactive_shares(kind, side, alloreactive.get(side, 0.0), body.donor.ubiquitous_share)
    found = [*allo, *_against_other_donor(body, kind, origin), *body.repertoire(origin, kind)]
    added, shown = body.edited.expressing(kind, origin)
    return [(added, shown), *((s, x * (1.0 - shown)) for s, x in found)] if shown else found


def _against_other_donor(body: Body, kind: Kind, origin: Origin) -> list[Share]:
    """Return the class of a donor's pool that sees the other of two donors; none without one."""
    if body.rivals is None or kind not in CONVENTIONAL:
        return []
    found = rivals.classes(body, origin, float(body.lymphocytes.cells(T_CELLS)[origin]))
    if found is None:
        return []
    killer, helper, share = found
    return [(killer if kind in CD8_CELLS else helper, share)]
