"""NK cells that miss HLA: those of the host against the graft, those of the donor against leukaemia and host.

An NK cell spares who shows HLA for its inhibitory receptors. A donor who lacks HLA of the patient leaves a share of the
patient's NK cells unrestrained (``patient.missing_self``), and these kill stem and progenitor cells in the days before
they have settled, the more of them the more NK cells conditioning has left. Who has settled, and T cells, are spared.

A patient who lacks HLA of the donor leaves a share of the donor's NK cells unrestrained
(``patient.missing_self_graft``), and these kill leukaemic cells, one at a time: a few that are left, not the many of
overt disease. Leukaemia that has lost HLA, or an antigen, still lacks what it lacked, and is killed as before. In the
same way they kill antigen-presenting cells of the host, which wake T cells of both sides, and its lymphocytes, which
would reject the graft (Ruggeri, Science 2002); tissue is spared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_KINDS, Kind, Origin
from abm.exactmath import exp
from abm.model.body import residue
from abm.model.body.drugs import LEUKAEMIC
from abm.model.body.immune import INDEX
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, total
from abm.model.body.parameters import NaturalKillerRules, section

if TYPE_CHECKING:
    from abm.model.body import Body

_GRAFTS = (Origin.DONOR, Origin.DONOR2)
_LEUKAEMIC = np.array(LEUKAEMIC)


def rules_of(body: Body) -> NaturalKillerRules:
    """Return what NK cells do in a patient of this weight."""
    return section(NaturalKillerRules, body.tables.values, body.weight_kg)


def spared(body: Body, origin: Origin) -> float:
    """Return the share of infused stem and progenitor cells of this origin that the host's NK cells leave, 0-1."""
    free = body.patient.missing_self
    if free == 0.0 or origin not in _GRAFTS:
        return 1.0
    lymphocytes = body.lymphocytes
    level = float(lymphocytes.pools[INDEX[Kind.NK], Origin.HOST]) / lymphocytes.rules.nk_pool
    return exp(-rules_of(body).nk_rejection * free * level)


class DonorKillers(Packed):
    """NK cells of the donor that leukaemia and blood cells of the patient do not hold back.

    Attributes:
        targets: leukaemic cells of the marrow after the last step.
    """

    STATE = ("targets",)

    def __init__(self, rules: NaturalKillerRules, free: float) -> None:
        """Start before the graft; ``free``: share of the NK cells that HLA of the patient does not hold back, 0-1."""
        self.rules, self.free = rules, free
        self.targets = 0.0

    def rate(self, cells: float) -> float:
        """Return the rate at which a leukaemic cell is killed, 1/d, where the donor has so many NK cells."""
        able = self.free * cells
        return self.rules.nk_kill * able / (able + self.targets + self.rules.nk_search) if able > 0.0 else 0.0

    def rate_of_host(self, cells: float, lymphocytes: float) -> float:
        """Return that of a blood cell of the host, 1/d, which has so many ``lymphocytes`` in all."""
        able = self.free * cells
        found = able + self.targets + lymphocytes + self.rules.nk_search
        return self.rules.nk_host_kill * able / found if able > 0.0 else 0.0


def start(body: Body) -> DonorKillers | None:
    """Return those of a patient whose HLA leaves some unrestrained; ``None`` of all others."""
    free = body.patient.missing_self_graft
    return DonorKillers(rules_of(body), free) if free > 0.0 else None


def watch(body: Body, population: NDArray[np.int64]) -> None:
    """Count the leukaemic cells of the marrow; ``population``: residents of the patch by kind and origin."""
    if body.killers is not None:
        scale = body.scale
        below = residue.share(body) * scale.reference_cellularity
        body.killers.targets = max(float(population[_LEUKAEMIC].sum()), below) * scale.cells_per_agent


def hazards(body: Body, killers: DonorKillers) -> Floats:
    """Return the death hazard per hour by NK cells of the donor in the coming step, shape (64, 2).

    Of leukaemic cells alone, resting and cycling ones alike; steroids spare them, as they do from T cells.
    """
    table = np.zeros((N_KINDS, 2))
    rate = killers.rate(_of_grafts(body)) * (1.0 - body.drugs.inhibition("killing"))
    table[_LEUKAEMIC] = rate / HOURS_PER_DAY
    return table


def host_killed(body: Body) -> float:
    """Return the rate at which NK cells of the donor kill antigen-presenting cells and lymphocytes of the host, 1/d."""
    if body.killers is None:
        return 0.0
    lymphocytes = total(body.lymphocytes.pools[:, Origin.HOST])
    rate = body.killers.rate_of_host(_of_grafts(body), lymphocytes)
    return rate * (1.0 - body.drugs.inhibition("killing"))


def _of_grafts(body: Body) -> float:
    return sum(float(body.lymphocytes.pools[INDEX[Kind.NK], origin]) for origin in _GRAFTS)
