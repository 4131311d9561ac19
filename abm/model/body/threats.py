"""What threatens the patient at this moment: what infections meet, and what may kill."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from abm.cells import Kind, Origin, Specificity
from abm.model.body import residue
from abm.model.body.drugs import LEUKAEMIC
from abm.model.body.immune import INDEX
from abm.model.body.infection import BACTERIA, FUNGI, PATHOGENS, Host
from abm.model.body.mortality import Illness
from abm.model.body.numerics import total
from abm.model.body.organs import ORGANS
from abm.model.body.repertoire import Repertoire

if TYPE_CHECKING:
    from abm.model.body import Body

#: Upper limits of the neutrophil count in neutropenia of grades 1-4, 1e9/L (CTCAE).
NEUTROPENIA = (2.0, 1.5, 1.0, 0.5)
_NOBODY = 1e-9  #: keeps a quotient finite
_LEUKAEMIC = np.array(LEUKAEMIC)
VIRUSES = (Specificity.CMV, Specificity.EBV)


def defenders(body: Body) -> tuple[float, ...]:
    """Return what stands against each pathogen: neutrophils in 1e9/L, T cells of the class in the body."""
    anc = body.blood.anc
    return (anc, anc, *(_specific(body, virus) for virus in VIRUSES))


def _specific(body: Body, specificity: Specificity) -> float:
    """Return the T cells of a receptor class in the body."""
    pools = body.lymphocytes.pools.tolist()
    return total([share * pools[row][origin] for row, origin, share in body.virus_specific[specificity]])


def shares_of(repertoires: Mapping[Origin, Repertoire], specificity: Specificity) -> list[tuple[int, int, float]]:
    """Return the share of a receptor class in every pool that holds it, as (row of the pool, origin, share)."""
    return [
        (INDEX[kind], int(origin), share)
        for origin, repertoire in repertoires.items()
        for kind, shares in repertoire.items()
        for found, share in shares
        if found is specificity
    ]


def host(body: Body) -> Host:
    """Return what infections meet."""
    inhibited = body.drugs.inhibitions
    steroid = inhibited["killing"]
    active = (1.0 - inhibited["activation"]) * (1.0 - steroid)
    acting = (1.0, 1.0 - steroid, active, active)  # steroids leave neutrophils blunt against moulds
    pairs = zip(defenders(body), body.usual_defence, acting, strict=True)
    pools, rules = body.lymphocytes.pools, body.lymphocytes.rules
    b_cells = min(total(pools[INDEX[Kind.IMMATURE_B]]) / rules.b_pool, 1.0)  # EBV lives in them
    return Host(
        defence=[now / max(usual, _NOBODY) * share for now, usual, share in pairs],
        room=(1.0, 1.0, float(body.patient.cmv_carrier), b_cells),
        gut_loss=1.0 - float(body.allo.integrity[ORGANS.index("gut")]),
        steroid=steroid,
        prevented=[inhibited[name] for name in PATHOGENS],
        treated=_treated(body),
    )


def _treated(body: Body) -> list[float]:
    """Return the share of the full treatment by pathogen: the usual one, or the antibiotics on board."""
    usual = [float(body.patient.treat_infections)] * len(PATHOGENS)
    usual[BACTERIA] = max(usual[BACTERIA], body.drugs.inhibition("antibacterial"))
    return usual


def febrile_neutropenia(body: Body) -> int:
    """Return the grade of neutropenia while an infection by bacteria or fungi gives fever, 0-4 (0: no fever)."""
    if min(float(body.infections.began[i]) for i in (BACTERIA, FUNGI)) == inf:
        return 0
    return sum(body.blood.anc < limit for limit in NEUTROPENIA)


def illness(body: Body, population: NDArray[np.int64]) -> Illness:
    """Return what threatens besides low counts; ``population``: resident cells of the patch by kind and origin."""
    visible = int(population[_LEUKAEMIC].sum()) / body.scale.reference_cellularity
    leukaemia = min(max(visible, residue.share(body)), 1.0)
    injury = total(body.allo.injury_loss.tolist()) / len(ORGANS)
    protected = body.drugs.inhibition("bacteria")
    return Illness(body.allo.grade(), body.chronic.severity, leukaemia, injury, protected)
