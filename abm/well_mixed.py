"""A patient without a lattice: expected numbers of cells under the same rules, coupled to the same body.

What space does enters as averages: the share of divisions that find room in a crowded marrow (``open_share``), the mean
answer to the distance from a sinusoid, the share of sites that are empty niches. Chance, neighbours and leukaemic
agents are left out. A hundred times cheaper than a small patch; where both differ, the lattice is right.
"""

from __future__ import annotations

from math import exp

import numpy as np
from numpy.typing import NDArray

from abm import observe, setup
from abm.cells import (
    ENGINEERED,
    FIRST_MOTILE,
    N_COUNTS,
    N_HAZARDS,
    N_KINDS,
    N_MARKS,
    N_ORIGINS,
    STANDING,
    Behaviour,
    Count,
    Kind,
    Label,
    Origin,
)
from abm.config import Config
from abm.io.series import Record
from abm.model import labels
from abm.model.body import Body, Dose, Scale, giving, targets
from abm.model.body.immunity import DONORS, HOSTS
from abm.model.body.numerics import HOURS_PER_DAY
from abm.model.body.organs import GVH, HVG
from abm.model.body.rivals import RIVALS
from abm.model.meanfield import MAX_STAGES

Floats = NDArray[np.float64]
#: Niches of the imagined patch: so many that rounding to whole agents does not matter.
NICHES = 1_000_000
_DIVIDE, _MATURE, _EGRESS, _SWITCH = Behaviour.DIVIDE, Behaviour.MATURE, Behaviour.EGRESS, Behaviour.SWITCH
_CYCLING = slice(1, 2 * FIRST_MOTILE, 2)  # rows of the rate table of residents in cycle
_LEAVING = (Count.EGRESS, Count.LABELLED_EGRESS)  # events that are counted
_IN_TURN = 8  #: numbers of a row that NumPy adds side by side: rows cut to multiples of it have the same sums


class WellMixed:
    """One patient in expected numbers; followed like one on the lattice.

    Attributes:
        pool: cells by origin, kind and stage, without stem cells, shape (4, 64, 32); ``label`` likewise: label that
            they carry, in cells with all of it.
        stem: stem cells by origin: resting in a niche, cycling in a niche, beside niches, in blood; shape (4, 4).
        blood: progenitors that circulate, by origin and kind, shape (4, 64).
        kinds: residents that something follows, shape (n,); ``stages``: theirs; ``fates``: share of them that becomes
            each kind, shape (n, 64).
    """

    def __init__(self, config: Config) -> None:
        """Start a healthy patient at homeostasis."""
        if config.patient.blast_fraction and not config.patient.residual_leukaemia:
            message = "expected 0, or residual_leukaemia = true: a well-mixed patient has no other leukaemia"
            raise config.error("patient.blast_fraction", message)
        self.config, self.model = config, setup.load_model(config)
        if self.model.harvests:
            raise config.error("events", "expected no marrow_of: a well-mixed patient takes no cells of a checkpoint")
        rules = self.model.rules
        self.niches_per_site = self.model.tissue["niche_density"] * setup.SITE_UM**3 * 1e-9
        census = setup.Census(NICHES, round(NICHES / self.niches_per_site))
        scale = setup.make_scale(self.model, census)
        watch = setup.make_watch(self.model)
        self.body = Body(self.model.tables, config.patient, scale, config.seed, watch, self.model.exposure)
        self.body.catch_up(config.time.start_day)
        self.step = 0
        held = setup.occupied(self.model, census)
        self.pool = np.zeros((N_ORIGINS, N_KINDS, MAX_STAGES))
        self.pool[Origin.HOST] = self.model.homeostasis.pool * held
        self.pool[:, Kind.HSC] = 0.0
        self.label = np.zeros_like(self.pool)
        cycling = float(self.model.homeostasis.cycling[Kind.HSC])
        self.stem = np.zeros((N_ORIGINS, 4))
        self.stem[Origin.HOST, :2] = held * (1.0 - cycling), held * cycling
        self.blood = np.zeros((N_ORIGINS, N_KINDS))
        self.flux = np.zeros((N_COUNTS, N_KINDS, N_ORIGINS))
        fates = {kind: options for kind, options in rules.fates.items() if kind < FIRST_MOTILE}
        self.kinds = np.array([*fates])
        self.stages = np.array([rules.kinds[kind].stages for kind in fates])
        self.fates = np.zeros((len(self.kinds), N_KINDS))
        for row, options in enumerate(fates.values()):
            for following, part in options:
                self.fates[row, following] += part
        stages = np.array([rules.kinds[Kind(k)].stages if k in rules.kinds else 0 for k in range(FIRST_MOTILE)])
        self._active = np.arange(-(-int(stages.max()) // _IN_TURN) * _IN_TURN) < stages[:, None]
        self._resident = slice(None), slice(FIRST_MOTILE), slice(self._active.shape[1])
        self.last = self._standing(np.zeros(self.flux.shape, np.int64))
        self.sites = census.marrow
        self.full = 1.0 - self.model.open_share
        self.reference = self.cells / census.marrow
        nobody = np.zeros((N_MARKS, N_KINDS, N_ORIGINS), np.int64)
        self._inherited = observe.inherited(nobody, self.last, rules)  # no cell carries a mark, so this does not change
        self.distance, at_niche, beside = self.model.local_answers
        self._able = self._find_able()
        self._followed = np.ones_like(self._active, np.float64)  # stages that another one of the kind follows
        self._followed[self.kinds, self.stages - 1] = 0.0
        self._followed = self._followed[:, :-1]
        self.at_niche, self.beside = float(at_niche), float(beside)

    def _find_able(self) -> Floats:
        """Return what of its rate each event has here, of ripe cells and of those in a stage, (2, kinds, N_HAZARDS)."""
        able = np.ones((2, FIRST_MOTILE, N_HAZARDS))
        able[..., [Behaviour.KILL, Behaviour.ACTIVATE, Behaviour.MOVE]] = 0.0
        able[..., _EGRESS] = self.distance[:FIRST_MOTILE]
        able[0][:, [_MATURE, _DIVIDE]] = 0.0
        return able

    @property
    def cells(self) -> float:
        """Resident cells."""
        return float(self.pool.sum() + self.stem[:, :3].sum())

    @property
    def scale(self) -> Scale:
        """How the cells count in the body."""
        return self.body.scale

    @property
    def over(self) -> bool:
        """Whether there is no further step: the schedule is at its end, or the patient is dead."""
        return self.step >= self.config.n_steps or self.body.mortality.dead

    def record(self) -> Record:
        """Return the current state and the events since the last record, and start a new account of events."""
        counts = np.rint(self.flux).astype(np.int64)
        counts[list(STANDING)] = self.last[list(STANDING)]
        self.flux[...] = 0.0
        values = self.body.observables() | observe.marrow(counts, self.model.rules, NICHES) | self._inherited
        return Record(self.step, self.config.day(self.step), values, counts)

    def advance(self) -> None:
        """Advance by one step; doses act from the next one on, as on the lattice."""
        step_h = self.config.step_h
        held = float(self.stem[:, :2].sum())
        vacancy = (1.0 - held / NICHES) / (1.0 - self.model.traffic["niche_occupancy"])
        signals = self.body.signals() | {"niche_vacancy": vacancy, "crowding": 0.0}  # room is never used up here
        pace = self.model.rules.pace(signals) if self.body.drugs.acting else None
        drugs = self.body.variant_hazards(pace)[0]
        rates, thresholds = self.model.rules.wild(signals, drugs, step_h)
        table, renew = rates.astype(np.float64), thresholds / 4294967295.0
        density = self.cells / self.sites
        room = 1.0 - self.full * min(density / self.reference, 1.0) ** 6  # all six neighbours are taken
        counts = np.zeros((N_COUNTS, N_KINDS, N_ORIGINS))
        self._lodge(step_h, held, density)
        self._commit(table, renew, room, counts)
        self._move_stem_cells(table, room, counts)
        self._clear(drugs, step_h)
        self._fight(step_h)
        self._strike(step_h)
        left = np.zeros(counts.shape, np.int64)
        for row in _LEAVING:
            self.flux[row] += counts[row]
            left[row] = np.rint(counts[row])
        self.last = self._standing(left)
        doses = self.model.schedule[self.step]
        self.step += 1
        self.body.advance(step_h, self.config.day(self.step), self.last, doses, seen=self._seen())
        for dose in doses:
            self._give(dose, table)

    def _standing(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the counts with the cells that are there now."""
        counts[Count.POPULATION, :FIRST_MOTILE] = np.rint(self.pool[self._resident].sum(axis=2)).T
        counts[Count.POPULATION, Kind.HSC] = np.rint(self.stem[:, :3].sum(axis=1))
        counts[Count.NICHE, Kind.HSC] = np.rint(self.stem[:, :2].sum(axis=1))
        counts[Count.QUIESCENT, Kind.HSC] = np.rint(self.stem[:, 0])
        return counts

    def _commit(self, table: Floats, renew: Floats, room: Floats, counts: Floats) -> None:
        """Let resident cells die, leave, mature and divide, at most one event each in a step."""
        share = self._shares(table, room)
        leaves, matures, divides = share[..., _EGRESS], share[..., _MATURE], share[..., _DIVIDE]
        dies = share[..., Behaviour.DIE] + share[..., Behaviour.DRUG]
        again = renew[_CYCLING]
        kept = 1.0 - dies - leaves - matures + divides * (2.0 * again - 1.0)
        onward = self._by_stage(matures + divides * 2.0 * (1.0 - again))
        gone, cells = self._by_stage(leaves), self.pool[self._resident]
        counts[Count.EGRESS, :FIRST_MOTILE] = (cells * gone).sum(axis=2).T
        self.pool[self._resident] = cells * self._by_stage(kept) + self._onward(cells * onward)
        label = self.label[self._resident]
        if label.any():
            passed = matures + divides * (1.0 - again)  # each daughter has half of it
            counts[Count.LABELLED_EGRESS, :FIRST_MOTILE] = (label * gone).sum(axis=2).T * (1 << Label.DNA)
            stays = self._by_stage(1.0 - (dies + leaves + passed))
            self.label[self._resident] = label * stays + self._onward(label * self._by_stage(passed))

    def _shares(self, table: Floats, room: Floats) -> Floats:
        """Return the share of cells with each event, (2, kinds, N_HAZARDS): ripe ones, those still in a stage."""
        hazard = self._able * table[_CYCLING, :N_HAZARDS]
        hazard[1, :, _DIVIDE] *= room[:FIRST_MOTILE]
        return np.asarray(hazard / np.maximum(hazard.sum(axis=2, keepdims=True), 1.0))

    def _by_stage(self, share: Floats) -> Floats:
        """Return a share of ripe cells and of those still in a stage by kind and stage."""
        return np.where(self._active, share[1, :, None], share[0, :, None])

    def _onward(self, flux: Floats) -> Floats:
        """Return where cells go that pass a stage: the next one, or the first of what follows the kind."""
        arrived = np.zeros_like(flux)
        arrived[:, :, 1:] = flux[:, :, :-1] * self._followed
        arrived[:, :, 0] = (flux[:, self.kinds, self.stages - 1] @ self.fates)[:, : flux.shape[1]]
        return arrived

    def _move_stem_cells(self, table: Floats, room: Floats, counts: Floats) -> None:
        """Let stem cells wake, divide, leave their niche, commit beside it or go into the blood."""
        rest, awake = table[Kind.HSC * 2 : Kind.HSC * 2 + 2].tolist()
        leave, divide = awake[_EGRESS] * self.at_niche, awake[_DIVIDE] * float(room[Kind.HSC])
        leave_beside, mature = awake[_EGRESS] * self.beside, awake[_MATURE]
        for origin, (resting, cycling, beside, roaming) in enumerate(self.stem.tolist()):
            if not (resting or cycling or beside):
                continue
            woken, slept, died = _events(resting, rest[_SWITCH], leave, rest[Behaviour.DRUG])
            divided, gone, lost = _events(cycling, divide, leave, awake[Behaviour.DRUG])
            matured, left, fallen = _events(beside, mature, leave_beside, awake[Behaviour.DRUG])
            out = slept + gone + left
            self.stem[origin] = (
                resting + (divided - woken - slept - died),
                cycling + (woken - divided - gone - lost),
                beside + (divided - matured - left - fallen),
                roaming + out,
            )
            counts[Count.EGRESS, Kind.HSC, origin] += out
            for following, part in self.model.rules.fates[Kind.HSC]:
                self.pool[origin, following, 0] += matured * part

    def _lodge(self, step_h: float, held: float, density: float) -> None:
        """Let circulating cells find a site: stem cells an empty niche, progenitors any empty one."""
        traffic, empty = self.model.traffic, 1.0 - min(density, 1.0)
        niche = (1.0 - held / NICHES) * self.niches_per_site * empty
        found = self.stem[:, 3] * (1.0 - (1.0 - niche) ** (traffic["hsc_trials"] * step_h))
        self.stem[:, 0] += found
        self.stem[:, 3] -= found
        if not self.blood.any():
            return
        lodged = self.blood * (1.0 - (1.0 - empty) ** (traffic["progenitor_trials"] * step_h))
        self.pool[:, :, 0] += lodged
        self.blood -= lodged

    def _clear(self, drugs: Floats, step_h: float) -> None:
        """Remove circulating cells that find no site in time, or die of drugs."""
        traffic = self.model.traffic
        self.stem[:, 3] *= exp(-(traffic["hsc_clearance"] + drugs[Kind.HSC, 0]) * step_h)
        if self.blood.any():
            self.blood *= np.exp(-(traffic["progenitor_clearance"] + drugs[:, 1]) * step_h)

    def _fight(self, step_h: float) -> None:
        """Let blood cells of host and donor die by alloreactive T cells of the other side, as lymphocytes do."""
        allo, rivals = self.body.allo, self.body.rivals
        sides = [(HOSTS, allo.survival_of_other_side(GVH, step_h)), (DONORS, allo.survival_of_other_side(HVG, step_h))]
        if rivals is not None:
            others = (rivals.survival_of_other(1 - side, allo, step_h) for side in range(len(RIVALS)))
            sides += [(slice(o, Origin(o + 1)), survival) for o, survival in zip(RIVALS, others, strict=True)]
        for victims, survival in sides:
            if survival < 1.0:
                self.pool[victims, :FIRST_MOTILE] *= survival
                for cells in (self.stem, self.blood, self.label):
                    cells[victims] *= survival

    def _seen(self) -> NDArray[np.int64] | None:
        """Return the residents that engineered T cells see, as none has lost an antigen; ``None`` if nobody looks."""
        shown = self.body.watch.shown
        return self.last[Count.POPULATION] * shown if self.body.looks and shown is not None else None

    def _strike(self, step_h: float) -> None:
        """Let marrow cells that engineered T cells see die as fast as those outside it."""
        shown, seen = self.body.watch.shown, self._seen()
        if seen is None or shown is None or not self.body.armed:
            return
        hazard = targets.hazards(self.body, targets.meet(self.body, seen, self.last[Count.POPULATION])[1])
        rate = sum(hazard[ENGINEERED.index(c)] * sees for c, sees in zip(self.body.watch.classes, shown, strict=True))
        survival = np.exp(-np.asarray(rate).T * (step_h / HOURS_PER_DAY))
        self.pool *= survival[..., np.newaxis]
        self.label *= survival[..., np.newaxis]
        self.blood *= survival
        self.stem *= survival[:, Kind.HSC, np.newaxis]

    def _give(self, dose: Dose, table: Floats) -> None:
        if dose.kind == "graft":
            for kind, agents in giving.graft_agents(self.body, dose).items():
                if kind is Kind.HSC:
                    self.stem[dose.origin, 3] += agents
                else:
                    self.blood[dose.origin, kind] += agents
        elif dose.kind == "label" and dose.name == "dna":
            take = labels.takers(dose.name, table, self.model.traffic["s_phase"], self.config.step_h)
            self.label[:, :FIRST_MOTILE] = self.pool[:, :FIRST_MOTILE] * (take[_CYCLING] / 4294967295.0)[:, None]


def _events(cells: float, act: float, leave: float, drug: float) -> tuple[float, float, float]:
    """Return how many act, leave, and die, when at most one of these events happens in a step."""
    share = 1.0 / max(act + leave + drug, 1.0)
    return cells * (act * share), cells * (leave * share), cells * (drug * share)
