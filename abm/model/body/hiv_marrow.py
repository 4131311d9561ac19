"""HIV on the marrow lattice, as the body's equations of the infection have it.

The equations hold all virus and all infected cells, and take these out of the pools. The lattice shows a sample of
them, as it does of engineered cells, whose account is the body's: infected cells come to the marrow in the share in
which they are in the body, and cells that are there meanwhile catch the virus, from the blood and from productive
cells beside them, with the hazard of the equations. Those go back to their pools in the account of the body, from which
the equations have taken as many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm.cells import LOSS_ANTIGENS, N_KINDS, N_ORIGINS, Antigen, Count, Kind, Origin, Specificity, pack_hot
from abm.model.body.coreceptor import TARGETS
from abm.model.body.edited import COMPLETE
from abm.model.body.hiv import R5, X4, Hiv
from abm.model.body.hiv_course import surroundings
from abm.model.body.immune import INDEX, Arrival
from abm.model.body.numerics import HOURS_PER_DAY, Floats, column_totals, total
from abm.philox import philox
from abm.streams import Stream

if TYPE_CHECKING:
    from abm.model.body import Body

#: Infected cells, in the order of the compartments of the equations.
INFECTED = (Kind.CD4_HIV_ECLIPSE, Kind.CD4_HIV_PRODUCTIVE, Kind.CD4_HIV_LATENT)
#: Pools whose cells R5 virus enters.
WITH_CCR5 = (Kind.CD4_MEMORY, Kind.TREG)
#: Loss bit of the coreceptor.
ENTRY = 1 << LOSS_ANTIGENS.index(Antigen.CCR5)
#: Arguments of the kernels: what lets virus in, who passes it on, what an infected cell becomes as a rule and rarely.
BECOMES = {
    "entry": ENTRY,
    "source": int(Kind.CD4_HIV_PRODUCTIVE),
    "usual": int(Kind.CD4_HIV_ECLIPSE),
    "other": int(Kind.CD4_HIV_LATENT),
}
_NULL = np.uint32(pack_hot(loss=ENTRY))
_WORDS = 1 << 32
_MOST = 1.0 - 1.0 / _WORDS  #: share of which odds are told, where the rest is lost to rounding
_ROWS = {kind: row for row, kind in enumerate(TARGETS)}
_POOLS = [INDEX[kind] for kind in WITH_CCR5]
#: Draws of ``Stream.VIRUS``: infected cells that come, cells without CCR5 that come.
_COMING, _LACKING = Stream.VIRUS * 256 + 2, Stream.VIRUS * 256 + 3

Words = NDArray[np.uint32]


class Transmission(NamedTuple):
    """What the kernels of a step need.

    Attributes:
        by_blood: chance in the step (x 2^-32) by the lowest byte of the hot word, then of cells without CCR5, (512,).
        by_contact: the same for each productive cell among the neighbours.
        rare: chance (x 2^-32) that an infected cell turns latent.
    """

    by_blood: Words
    by_contact: Words
    rare: int


def visitors(body: Body, arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Return the infected cells that come to the marrow beside these lymphocytes of the pools."""
    hiv = body.hiv
    if hiv is None or not arrivals:
        return []
    found: list[Arrival] = []
    compartments = np.stack([column_totals(cells) for cells in (hiv.eclipse, hiv.productive, hiv.latent)])
    words = philox(body.seed, np.arange(compartments.size), int(body.turn), _COMING)[0].reshape(compartments.shape)
    for origin in Origin:
        coming = sum(n for kind, whose, _, n in arrivals if kind in WITH_CCR5 and whose is origin)
        pool = total(body.lymphocytes.pools[_POOLS, origin])
        for row, kind in enumerate(INFECTED) if coming and pool > 0.0 else ():
            expected = float(compartments[row, origin]) * coming / pool
            n = int(expected + float(words[row, origin]) / _WORDS)  # rounded at random
            if n:
                found.append((kind, origin, Specificity.NONE, n))
    return found


def without_ccr5(body: Body, arrivals: Sequence[Arrival]) -> Words:
    """Return the loss bit of the cells that came without CCR5, in their order, shape (cells,).

    In patients with edited cells ``Edited`` says who lacks it.
    """
    hiv, size = body.hiv, sum(n for *_, n in arrivals)
    if hiv is None or body.edited.present or not hiv.coreceptor.null.any():
        return np.zeros(size, np.uint32)
    null = hiv.coreceptor.null
    shares = [float(null[_ROWS[kind], origin]) if kind in _ROWS else 0.0 for kind, origin, *_ in arrivals]
    words = philox(body.seed, np.arange(size), int(body.turn), _LACKING)[0]
    return np.where(words < np.array(shares).repeat([n for *_, n in arrivals]) * _WORDS, _NULL, np.uint32(0))


def replace_infected(body: Body, counts: NDArray[np.int64]) -> None:
    """Give cells that became infected on the lattice back to their pools, from which the equations take them."""
    infected = counts[Count.BECAME][[Kind.CD4_HIV_ECLIPSE, Kind.CD4_HIV_LATENT]].sum(axis=0)
    for origin in np.flatnonzero(infected).tolist():
        regulatory = int(counts[Count.LEFT, Kind.TREG, origin])  # these become nothing else
        for kind, n in ((Kind.TREG, regulatory), (Kind.CD4_MEMORY, int(infected[origin]) - regulatory)):
            body.lymphocytes.add(kind, origin, n * body.scale.cells_per_agent)


def killing(body: Body) -> float:
    """Return the share of their highest rate at which T cells clear productive cells, as odds; 0 without HIV."""
    hiv = body.hiv
    if hiv is None or hiv.rules.ctl_kill <= 0.0:
        return 0.0
    share = min(hiv.kill_rate(surroundings(body)) / hiv.rules.ctl_kill, _MOST)
    return share / (1.0 - share)


def transmission(
    body: Body, population: NDArray[np.int64], sites_per_pair: float, step_h: float
) -> Transmission | None:
    """Return what passes HIV on among the cells of the lattice in the coming step; ``None``: nothing does.

    Args:
        body: the body.
        population: cells of the lattice, int64 (64, 4).
        sites_per_pair: marrow sites over the mean number of marrow sites beside one; 0: nobody counted.
        step_h: length of the step, hours.
    """
    hiv = body.hiv
    if hiv is None:
        return None
    hazards = hiv.hazards()
    if total(hazards) <= 0.0:
        return None
    days = step_h / HOURS_PER_DAY
    by_target = _by_target(body, hiv, total(hazards[R5]), total(hazards[X4])) * days
    share, each = hiv.rules.contact_share, 0.0
    sources = _productive_agents(body, hiv, population)
    if sources > 0.0 and sites_per_pair > 0.0:  # in a mixed lattice this share of infections is then by contact
        each = share * sites_per_pair / sources
    else:
        share = 0.0
    rare = min(int(hiv.rules.latent_share * _WORDS), _WORDS - 1)
    return Transmission(_thresholds(by_target * (1.0 - share)), _thresholds(by_target * each), rare)


def _productive_agents(body: Body, hiv: Hiv, population: NDArray[np.int64]) -> float:
    """Return the productive cells to be expected on the lattice: they come and go as the cells that virus enters."""
    pools = total(body.lymphocytes.pools[_POOLS].reshape(-1))
    agents = float(population[list(WITH_CCR5)].sum())
    return total(hiv.productive) * agents / pools if pools > 0.0 else 0.0


def _by_target(body: Body, hiv: Hiv, by_r5: float, by_x4: float) -> Floats:
    """Return the hazard (per day) of a cell by origin and kind, without loss of CCR5 and with it, (2, 4, 64)."""
    table = np.zeros((2, N_ORIGINS, N_KINDS))
    r5 = by_r5 * (1.0 - _unseen(body, hiv))
    for row, kind in enumerate(TARGETS):
        ready = hiv.ready[row]
        table[0, :, kind] = ready * (by_x4 + (r5[row] if kind in WITH_CCR5 else 0.0))
        table[1, :, kind] = ready * by_x4
    table[0, :, Kind.CD4_EFFECTOR] = hiv.rules.target_effector * (by_x4 + r5[_ROWS[Kind.CD4_MEMORY]])
    table[1, :, Kind.CD4_EFFECTOR] = hiv.rules.target_effector * by_x4
    return table


def _unseen(body: Body, hiv: Hiv) -> Floats:
    """Return the share of the cells without the loss bit that lack CCR5 all the same, (len(TARGETS), 4).

    Of patients who have both edited cells and a donor without CCR5, only the edited ones carry the bit.
    """
    null = hiv.coreceptor.null
    if not body.edited.present:
        return np.zeros_like(null)
    lost = [float(int(bits) & int(_NULL) != 0) for bits in body.edited.bits]
    shown = body.edited.pools[COMPLETE][[INDEX[kind] for kind in TARGETS]] * np.array(lost)
    hidden: Floats = np.maximum(null - shown, 0.0) / np.maximum(1.0 - shown, 1e-9)
    return np.minimum(hidden, 1.0)


def _thresholds(chances: Floats) -> Words:
    """Return chances as thresholds (x 2^-32)."""
    return np.minimum(chances.reshape(-1) * _WORDS, _WORDS - 1).astype(np.uint32)
