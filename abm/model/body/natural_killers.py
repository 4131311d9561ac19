"""NK cells of the host against the graft: missing-self.

An NK cell spares who shows HLA for its inhibitory receptors. A donor who lacks HLA of the patient leaves a share of the
patient's NK cells unrestrained (``patient.missing_self``), and these kill stem and progenitor cells in the days before
they have settled, the more of them the more NK cells conditioning has left. Who has settled, and T cells, are spared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from abm.cells import Kind, Origin
from abm.exactmath import exp
from abm.model.body.immune import INDEX
from abm.model.body.parameters import NaturalKillerRules, section

if TYPE_CHECKING:
    from abm.model.body import Body


def spared(body: Body, origin: Origin) -> float:
    """Return the share of infused stem and progenitor cells of this origin that the host's NK cells leave, 0-1."""
    free = body.patient.missing_self
    if free == 0.0 or origin not in (Origin.DONOR, Origin.DONOR2):
        return 1.0
    rules = section(NaturalKillerRules, body.tables.values, body.weight_kg)
    lymphocytes = body.lymphocytes
    level = float(lymphocytes.pools[INDEX[Kind.NK], Origin.HOST]) / lymphocytes.rules.nk_pool
    return exp(-rules.nk_rejection * free * level)
