"""Cells on their way from the blood into the marrow: asked to take sites, and told to the body once they have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_KINDS, N_ORIGINS, NOWHERE, Count
from abm.model.body import Body, engagement, hiv_marrow
from abm.model.traffic import Arrival, Circulation, Requests, arrivals_by_slot, not_lodged, quiescent
from abm.phases import Phases


class _Underway(NamedTuple):
    """Cells that look for a site; ``places`` waits for what they find."""

    lymphocytes: Sequence[Arrival]
    requests: Requests
    places: Callable[[], NDArray[np.int64]]


class Homing:
    """Circulating stem cells and lymphocytes of the body that enter the marrow, in two parts of a step.

    Between them a device may be at work: nothing waits for where the cells find a site.
    """

    def __init__(self, body: Body, circulation: Circulation, lattice: Phases, step_h: float) -> None:
        """Stand between blood and lattice; ``step_h``: length of a step, hours."""
        self.body, self.circulation, self.lattice, self.step_h = body, circulation, lattice, step_h
        self._underway: _Underway | None = None
        self._settled: NDArray[np.int64] = np.zeros((N_KINDS, N_ORIGINS), np.int64)
        self.resting = self._settled  # those of the settled cells that are quiescent

    def begin(self, step: int) -> NDArray[np.int64]:
        """Let circulating cells lodge on open sites; returns how many look for one, by kind and origin."""
        body, lymphocytes = self.body, self.body.lymphocyte_arrivals()
        lymphocytes += hiv_marrow.visitors(body, lymphocytes)
        if not lymphocytes and not self.circulation.hot.size:
            self._settled = self.resting = np.zeros((N_KINDS, N_ORIGINS), np.int64)
            return self._settled
        clones, tired = body.clones_of(lymphocytes), engagement.exhaustion_of(body, lymphocytes)
        edits = body.edits_of(lymphocytes) | hiv_marrow.without_ccr5(body, lymphocytes)
        requests = self.circulation.requests(lymphocytes, step, self.step_h, clones, tired, edits)
        self._underway = _Underway(lymphocytes, requests, self.lattice.lodge(step, *requests))
        return arrivals_by_slot(requests.hot)

    def any_of(self, kinds: NDArray[np.bool_], last: NDArray[np.int64], seeking: NDArray[np.int64]) -> bool:
        """Whether cells of these kinds (64,) are on the lattice, by the ``last`` counts or of those seeking (64, 4).

        Where cells went is asked for if only that can tell.
        """
        there = bool(last[Count.POPULATION, kinds].any())
        return there or (bool(seeking[kinds].any()) and bool(self.end()[kinds].any()))

    def end(self) -> NDArray[np.int64]:
        """Give those who found no site back to the blood; returns the settled cells by kind and origin."""
        if self._underway is not None:
            lymphocytes, requests, places = self._underway
            lodged = places() != NOWHERE
            n_stem = self.circulation.hot.size
            self.circulation.keep(~lodged[:n_stem])
            missing = not_lodged(lymphocytes, lodged[n_stem:])
            self.body.settle([cells for cells in missing if cells[0] not in hiv_marrow.INFECTED])
            hot = requests.hot[lodged]
            self._settled, self._underway = arrivals_by_slot(hot), None
            self.resting = arrivals_by_slot(quiescent(hot))
        return self._settled
