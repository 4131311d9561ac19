"""What the equations of alloreactivity and residual leukaemia were given in well-mixed patients, step by step.

Blood, pools, drugs and marrow of a patient hardly depend on how donor T cells kill, and cost nearly all of the time.
So they are recorded once; :mod:`abm.calibration.replay` solves the equations for all patients at once in what was
recorded, under other numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np

from abm.cells import FIRST_MOTILE, Count, Kind, Origin
from abm.config import load_config
from abm.model.body import Body
from abm.model.body.drugs import EFFECTS
from abm.model.body.numerics import HOURS_PER_DAY, Floats, total
from abm.model.body.organs import GVH, Alloimmunity, Surroundings
from abm.model.body.restricted import RestrictedTCells
from abm.philox import philox_scalar
from abm.streams import Stream
from abm.validation.cases import Case
from abm.well_mixed import WellMixed

_TWO32 = 4294967296.0
STEROID = "prednisolone"  #: the one drug that waits for GVHD in the cohorts that are replayed


class _Alloimmunity(Alloimmunity):
    """One that notes what it is told in a step."""

    kept, injured, left = np.ones(2), 0.0, 0.0
    around = Surroundings()

    def survive(self, direction: int, precursors: float, effectors: float) -> None:
        if direction == GVH:
            self.kept = self.kept * (precursors, effectors)
        super().survive(direction, precursors, effectors)

    def injure(self, amount: float) -> None:
        self.injured += amount
        super().injure(amount)

    def advance(self, around: Surroundings, step_h: float) -> None:
        super().advance(around, step_h)
        self.around, self.left = around, float(self.precursors[GVH])


class _Restricted(RestrictedTCells):
    """Likewise."""

    memory_growth, given = 0.0, 0.0

    def advance(self, allo: Alloimmunity, around: Surroundings, memory_growth: float, step_h: float) -> None:
        self.memory_growth = memory_growth
        super().advance(allo, around, memory_growth, step_h)

    def infuse(self, cd3: float) -> None:
        self.given += cd3
        super().infuse(cd3)


@dataclass(frozen=True)
class Course:
    """What patients met, by step and patient, each of shape (steps, patients).

    Attributes:
        day: at the end of the step.
        kept_resting: share of resting donor T cells that drugs and T cells of the host left; likewise ``kept_cycling``.
        injured: conditioning injury added.
        infused: host-reactive precursors given at the end of the step; ``cd3``: donor T cells given then.
        host: cells of the host in the marrow relative to homeostasis; ``cellularity``: all cells likewise.
        donor_apc: level that antigen-presenting cells of the donor turn over to, 0-1.
        grafted: 1 once a graft was given.
        activation: share that drugs leave; likewise ``proliferation``; ``killing`` without the steroid.
        priming, unbraked, unregulated: as in ``Surroundings``.
        memory_growth: of CD8 memory cells, 1/d.
        ordered: level at which the steroid is ordered, 0 without an order.
        least: grade from which on it is given, for ``lasting`` days and ``taper`` days of taper.
        drug_resting: -ln(survival) of resting leukaemic stem cells by drugs and radiation; likewise ``drug_cycling``.
        luck: number that decides the onset of chronic GVHD, 0-1.
        hazard: of death by all but GVHD and leukaemia, 1/d.
    """

    day: Floats
    kept_resting: Floats
    kept_cycling: Floats
    injured: Floats
    infused: Floats
    cd3: Floats
    host: Floats
    cellularity: Floats
    donor_apc: Floats
    grafted: Floats
    activation: Floats
    proliferation: Floats
    killing: Floats
    priming: Floats
    unbraked: Floats
    unregulated: Floats
    memory_growth: Floats
    ordered: Floats
    least: Floats
    lasting: Floats
    taper: Floats
    drug_resting: Floats
    drug_cycling: Floats
    luck: Floats
    hazard: Floats

    @classmethod
    def together(cls, courses: list[Self]) -> Self:
        """Return courses of one length side by side."""
        return cls(*(np.hstack([getattr(one, f.name) for one in courses]) for f in fields(cls)))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what :meth:`write` wrote."""
        with np.load(path) as stored:
            return cls(*(stored[f.name] for f in fields(cls)))

    def write(self, path: Path) -> None:
        """Write an uncompressed file of NumPy."""
        np.savez(path, **{f.name: getattr(self, f.name) for f in fields(self)})


def record(case: Case) -> tuple[Course, WellMixed]:
    """Follow a patient with residual leukaemia; return what it met, and the patient at the end."""
    patient = WellMixed(load_config(Path(case.scenario), case.overrides, case.seed))
    allo, restricted = watch(patient.body)
    rows = []
    while not patient.over:
        rows.append(_step(patient, allo, restricted))
    columns = np.array(rows, np.float64).T
    return Course(*columns[:, :, np.newaxis]), patient


def watch(body: Body) -> tuple[_Alloimmunity, _Restricted]:
    """Replace the alloreactive cells of a patient at the start by some that note what they are told."""
    if body.restricted is None or body.residue is None:
        message = "expected a patient with residual leukaemia"
        raise ValueError(message)
    usual = body.allo
    allo = _Alloimmunity(usual.rules, usual.donor, body.scale.cells_per_agent, body.patient.gvhd_susceptibility)
    allo.unpack(usual.pack())
    restricted = _Restricted(body.restricted.rules, body.restricted.per_t_cell)
    body.allo, body.restricted = allo, restricted
    return allo, restricted


def _step(patient: WellMixed, allo: _Alloimmunity, restricted: _Restricted) -> list[float]:
    """Advance by a step; return a row of what was met in it, in the order of ``Course``."""
    body = patient.body
    allo.kept, allo.injured, allo.left = np.ones(2), 0.0, float(allo.precursors[GVH])
    restricted.memory_growth = restricted.given = 0.0
    grafted, step_h = body.grafted, patient.config.step_h
    drug = body.drugs.cell_kills(step_h)[Kind.LSC]
    luck = philox_scalar(body.seed, 0, int(body.infections.turn), Stream.CHRONIC * 256)[0] / _TWO32
    exposure = body.mortality.exposure.copy()
    steroid = body.drugs.index(STEROID)
    order = body.treatment.order[steroid, :4].tolist()
    left = 1.0 - body.drugs.drugs[steroid].inhibition[EFFECTS.index("killing")] * float(body.drugs.level[steroid])
    patient.advance()
    around = allo.around
    died = body.mortality.exposure - exposure
    host = int(patient.last[Count.POPULATION, :FIRST_MOTILE, Origin.HOST].sum())
    return [
        body.day, *allo.kept.tolist(), allo.injured, float(allo.precursors[GVH]) - allo.left, restricted.given,
        host / body.scale.reference_cellularity, body.cellularity, around.donor_apc, grafted, around.activation,
        around.proliferation, around.killing / left, around.priming, around.unbraked, around.unregulated,
        restricted.memory_growth, *order, *drug.tolist(), luck,
        (total(died) - died[3] - died[4]) * HOURS_PER_DAY / step_h,
    ]  # fmt: skip
