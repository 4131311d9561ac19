"""What antibodies do to the body and its lymphocytes, and what of that the lattice needs in a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from abm.cells import FIRST_MOTILE, HOT, N_KINDS, N_ORIGINS, Kind
from abm.exactmath import exp
from abm.model.body.antibodies import CTLA_4_AXIS, PD_1_AXIS
from abm.model.body.immune import INDEX, POOLS, T_CELLS, Arrival
from abm.model.body.numerics import HOURS_PER_DAY, total

if TYPE_CHECKING:
    from abm.model.body import Body

_LOSS = next(field for field in HOT if field.name == "loss")


def advance(body: Body, population: NDArray[np.int64], step_h: float, seen: NDArray[np.int64] | None = None) -> None:
    """Let antibodies kill in the body, tire its T cells and be cleared, also by what cells show.

    Args:
        body: the patient.
        population: residents by kind and origin.
        step_h: length of the step, hours.
        seen: residents that show what is watched (``Body.advance``); without it none has lost an antigen.
    """
    drugs, exhaustion, lymphocytes = body.antibodies, body.exhaustion, body.lymphocytes
    if not drugs.acting:
        exhaustion.advance(0.0, 0.0, step_h)
        return
    marrow, outside = np.zeros(N_KINDS), np.zeros(N_KINDS)
    marrow[:FIRST_MOTILE] = population.sum(axis=1) * body.scale.cells_per_agent
    able = min(lymphocytes.relative_t_cells, 1.0) * exhaustion.strength
    for row, kind in enumerate(POOLS):
        if drugs.body_kill(kind, able) > 0.0:
            _kill_pool(body, kind, able, step_h / HOURS_PER_DAY)
        outside[kind] = total(lymphocytes.pools[row])
    held, targets = drugs.lent(marrow + outside)
    per_t_cell = targets / max(total(lymphocytes.cells(T_CELLS)), 1.0)
    exhaustion.advance(exhaustion.engaged(held, per_t_cell), drugs.blocked(PD_1_AXIS), step_h)
    showing = dict.fromkeys(drugs.consumed, marrow + outside)
    if seen is None:
        seen = np.zeros((0, N_KINDS, N_ORIGINS), np.int64)
    for antigen, residents in zip(body.watch.antigens, seen[len(body.watch.classes) :], strict=False):
        showing[antigen] = residents.sum(axis=1) * body.scale.cells_per_agent + outside
    drugs.advance(drugs.shown(showing), step_h)


def _kill_pool(body: Body, kind: Kind, able: float, days: float) -> None:
    """Let lymphocytes of a pool die that show what antibodies bind; cells of a graft that lost it are spared."""
    pool, edited = body.lymphocytes.pools[INDEX[kind]], body.edited
    left = exp(-body.antibodies.body_kill(kind, able) * days)
    for origin, bits in enumerate(edited.bits.astype(np.int64).tolist()):
        lost = bits >> _LOSS.shift & (1 << _LOSS.bits) - 1
        saved = exp(-body.antibodies.body_kill(kind, able, lost) * days) if lost else left
        if saved > left:
            complete = float(edited.complete(kind)[origin])
            some = left / saved  # of those that are not completely edited, relative to the others
            kept = saved * (some + (1.0 - some) * complete)
            share = np.where(np.arange(N_ORIGINS) == origin, 1.0 - complete, 1.0)
            edited.spare_kind(kind, share, 1.0 - some)
            pool[origin] *= kept
        else:
            pool[origin] *= left


def exhaustion_of(body: Body, arrivals: Sequence[Arrival]) -> NDArray[np.uint32]:
    """Return the exhaustion of every lymphocyte that enters the marrow now, in their order."""
    return body.exhaustion.of_arrivals(arrivals, body.antibodies.borrowers, body.seed, int(body.turn))


def tiredness(body: Body, step_h: float) -> dict[str, NDArray[np.uint32]]:
    """Return what exhaustion does to lymphocytes on the lattice in the coming step, by kernel argument."""
    blocked = body.antibodies.blocked(PD_1_AXIS)
    return {"vigour": body.exhaustion.vigour(blocked), "tiring": body.exhaustion.tiring(blocked, step_h)}


def suppression(body: Body) -> float:
    """Return what blocked checkpoints leave of the suppression by regulatory T cells, 0-1."""
    return 1.0 - body.exhaustion.rules.ctla4_treg * body.antibodies.blocked(CTLA_4_AXIS)
