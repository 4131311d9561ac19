"""A patient in time: the ordered phases of one step, and the state as a whole."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from abm import __version__, kernel, observe, phases, setup
from abm.cells import N_COUNTS, N_KINDS, N_ORIGINS, NICHE_MASK, STANDING, Count, Flag, Kind, Origin
from abm.comm import SerialComm
from abm.config import Config, rules_folder
from abm.errors import CheckpointError
from abm.homing import Homing
from abm.io.series import Record
from abm.ledger import AUDITED, Ledger
from abm.model import labels
from abm.model.body import Body, Dose, engagement, escape, giving, immunity, natural_killers, shelter
from abm.model.body.antibodies import AXES
from abm.model.body.hiv_marrow import BECOMES, transmission
from abm.model.editing import Product, activated_variant
from abm.model.heredity import with_progeny
from abm.model.loans import Loans
from abm.model.rules import StepRates
from abm.model.traffic import STEM_KINDS, Circulation, arrivals_by_slot, marrow_signals
from abm.phases import HALO, Phases
from abm.philox import philox_scalar
from abm.state import Snapshot
from abm.streams import Stream, cpp_header
from abm.tables import rules_digest
from abm.tallies import Reading

#: Jacobi sweeps of each field before the first step; each step does one more. The fields keep their state between steps
#: and follow their sources within (length / site)^2 sweeps, one to three days: fast enough for stroma and inflammation,
#: which change over weeks.
SWEEPS_BEFORE_START = 150
#: Step number for draws made before the first step.
_BEFORE_START = 0xFFFFFFFF


class Simulation:
    """One patient: lattice, body and schedule after ``step`` completed steps."""

    def __init__(self, config: Config, backend: Any, comm: SerialComm | None = None) -> None:  # noqa: ANN401
        """Load the model and allocate the slab of this rank; use :meth:`start` or :meth:`restore`."""
        self.config, self.backend = config, backend
        self.model = setup.load_model(config)
        self.comm = comm or SerialComm()
        self.domain = setup.make_domain(config, self.comm)
        if backend.rings:
            self.domain = self.domain.as_ring()
        self.lattice = Phases(backend, self.domain, self.comm, config.seed)
        self.step = 0
        self.rates: StepRates | None = None  # those the kernels have
        self.damaged = 0  # residents that may carry damage
        self.first_label = labels.first_given(self.model.schedule)
        self.flux = np.zeros((N_COUNTS, N_KINDS, N_ORIGINS), np.int64)
        self.last = np.zeros_like(self.flux)
        self.ledger = Ledger(self.lattice.census)

    @classmethod
    def start(cls, config: Config, backend: Any, comm: SerialComm | None = None) -> Self:  # noqa: ANN401
        """Return a fresh patient at ``start_day``."""
        sim = cls(config, backend, comm)
        planes = setup.make_tissue(sim.model, sim.domain)
        sim.lattice.load("tissue", planes.label)
        sim.lattice.load("distance", planes.distance)
        sim._prepare(setup.Census.take(planes.label, sim.comm, neighbours=sim.model.exposure is not None))
        hot, cold = setup.make_cells(sim.model, sim.census, sim.domain, planes.label)
        sim.lattice.load("res_hot", hot)
        sim.lattice.load("res_cold", cold)
        sim.body.catch_up(config.time.start_day)
        sim._settle_lymphocytes()
        sim._refresh_counts()
        sim._relax_fields()
        return sim

    @classmethod
    def restore(
        cls,
        config: Config,
        backend: Any,  # noqa: ANN401
        snapshot: Snapshot,
        comm: SerialComm | None = None,
    ) -> Self:
        """Return the patient of a checkpoint (the planes of this rank), whatever backend or rank count wrote it.

        Raises:
            CheckpointError: its body is of other rule tables, with other drugs perhaps.
        """
        sim = cls(config, backend, comm)
        for name, array in snapshot.arrays.items():
            sim.lattice.load(name, array)
        tissue = snapshot.arrays["tissue"]
        sim._prepare(setup.Census.take(tissue, sim.comm, neighbours=sim.model.exposure is not None))
        body = dict(snapshot.body)
        sim.circulation.hot, sim.circulation.cold = body.pop("circulation_hot"), body.pop("circulation_cold")
        sim.flux, sim.last = body.pop("output.flux"), body.pop("last_counts")
        try:
            sim.body.unpack(body)
        except (KeyError, ValueError) as error:
            msg = f"the body of this checkpoint does not fit the rule tables: {error}; start anew with `abm run`"
            raise CheckpointError(msg) from error
        sim.step, sim.damaged = snapshot.step, 1  # the first step counts them
        sim.ledger.open()
        return sim

    def _prepare(self, census: setup.Census) -> None:
        """Make what depends on the tissue: scale, body, device tables."""
        self.census = census
        self.scale = setup.make_scale(self.model, census)
        model, rules, watch = self.model, self.model.rules, setup.make_watch(self.model)
        self.body = Body(model.tables, self.config.patient, self.scale, self.config.seed, watch, model.exposure)
        receptors = [int(rules.recognition.receptors[receptor]) for receptor in watch.classes]
        self.lattice.tallies.watch([*receptors, *(1 << antigen for antigen in watch.antigens)])
        self.circulation = Circulation(self.model.traffic, self.config.seed)
        self.homing = Homing(self.body, self.circulation, self.lattice, self.config.step_h)
        enrichment = self.body.allo.rules.effector_enrichment
        self.loans = Loans.of(rules, self.model.tables.antibodies, self.body.donor.shares_antigens, enrichment)
        self.lent, self.blocked = ((0.0,) * len(self.loans.lenders), False), (0.0,) * len(AXES)
        strength = self.loans.strength / np.float32(enrichment)
        self.lattice.set_constants(
            {
                **rules.tables,
                **rules.sight(self.body.donor.shares_antigens),
                **self.loans.rows(self.lent[0]),
                **engagement.tiredness(self.body, self.config.step_h),
                **model.damage.tables(self.config.step_h),
                "rule_gain": rules.gains(),
                "strength": strength,
                "hop": self.model.hop,
                "chosen": np.isin(np.arange(N_KINDS), STEM_KINDS).astype(np.uint8),
            }
        )
        self.effectors = rules.mask(Flag.EFFECTOR)
        self.strikers = np.isin(np.arange(N_KINDS), [kind for kind, info in rules.kinds.items() if info.strength > 0.0])
        self.lattice.exchange("tissue", "distance")
        read = {signal.name.lower() for signal in rules.local_signals}  # a field that no rule looks at stays zero
        self.sweeps = {name: setup.sweep_settings(values) for name, values in self.model.fields.items() if name in read}

    def advance(self) -> None:
        """Advance lattice and body by one step; who may be read is said at each phase."""
        t, lattice = self.step, self.lattice
        if t % AUDITED == 0:
            self.ledger.audit(t)
        doses = self.model.schedule[t] if t < self.n_steps else ()
        self._throw_switches(doses, t)
        self._pass_on(t)
        seeking = self.homing.begin(t)  # cells from the blood lodge on open sites
        counted = self.model.rules.needs_histogram(self.last[Count.POPULATION] + seeking)
        self._lend()
        # 1, 2: contacts, reach 1; quasi-steady fields
        tires = self.model.tables.exhaustion.tiring > 0.0 and self.homing.any_of(self.effectors, self.last, seeking)
        lattice.meet(t, self.sweeps, counted=counted, tires=tires)
        arrived = self.homing.end()
        present = self.last[Count.POPULATION] + arrived
        signals = self.body.signals() | self._marrow_signals()
        drugs = self.body.variant_hazards(self.model.rules.pace(signals) if self.body.drugs.acting else None)
        directed = self.body.directed_hazards()
        sheltered, bare = shelter.split(self.body, drugs, present, lattice.beside_stroma)
        rates = self.model.rules.rates(signals, sheltered, self.config.step_h, directed, bare)
        if rates is not self.rates:
            self.rates = rates
            lattice.set_constants(rates._asdict())
        # 3-5: fate, claims, next words; both layers see contacts of level t. 7: exact counts
        watched = self.body.looks
        hurts = self.model.damage.hits > 0.0 and (self.damaged > 0 or bool(present[self.strikers].any()))
        lattice.change(t, dict(rates.able(present)), labelled=t > self.first_label, watched=watched, hurts=hurts)
        reading = Reading(lattice.tallies, seen=watched)
        lattice.walk(t, self.model.substeps)  # 6: random walk of the motile layer, while the body advances
        self.body.draw_ahead()
        counts, self.damaged = reading.counts(), reading.damaged() if hurts else 0
        if any(counts[Count.EGRESS, kind].any() for kind in STEM_KINDS):
            self.circulation.add(*reading.leavers())
        self.ledger.enter(self.last[Count.POPULATION], arrived, self.homing.resting, counts, t)
        seen = reading.seen() if watched else None
        spared = self._spared()
        self._advance_body(t, counts, doses, seen, spared)  # acts from t + 1 on
        self._give_stem_cells(doses, t)
        self._show_residue(t, counts, seen, spared)
        self._give_labels(doses, t, rates)
        self.circulation.clear(t, self.config.step_h, drugs, directed)
        self.last = counts
        self.flux += counts
        self.step = t + 1

    def _lend(self) -> None:
        """Bring what antibodies do to lymphocytes up to date: receptors that they lend, checkpoints that they block."""
        held = self.loans.held(self.body.antibodies.occupancies())
        lent = held, any(held) and immunity.samples_effectors(self.body)
        if lent != self.lent:
            self.lattice.set_constants(self.loans.rows(held, sampled=lent[1]))
            self.lent = lent
        blocked = tuple(self.body.antibodies.blocked(axis) for axis in AXES)
        if blocked != self.blocked:
            gains = {"rule_gain": self.model.rules.gains(engagement.suppression(self.body))}
            self.lattice.set_constants(engagement.tiredness(self.body, self.config.step_h) | gains)
            self.blocked = blocked

    # -- blood and marrow

    def _spared(self) -> int:
        """Return the leukaemic stem cells that are followed below one agent by a mark."""
        mark = escape.mark(self.body)
        return 0 if mark is None else int(self.lattice.marks()[mark, Kind.LSC].sum())

    def _advance_body(
        self,
        step: int,
        counts: NDArray[np.int64],
        doses: tuple[Dose, ...],
        seen: NDArray[np.int64] | None,
        spared: int,
    ) -> None:
        """Advance the body on rank 0 and tell all others."""
        if self.comm.rank == 0:
            may_die = self.config.patient.may_die
            draw = philox_scalar(self.config.seed, 0, step, Stream.DEATH * 256)[0] if may_die else None
            self.body.advance(self.config.step_h, self.config.day(step + 1), counts, doses, draw, seen, spared)
        if self.comm.size > 1:
            self.body.unpack(self.comm.share(self.body.pack()))

    def _settle_lymphocytes(self) -> None:
        """Fill the motile layer with the lymphocytes that a day brings: their residence time is about a day."""
        self.body.lymphocytes.queue(24.0)
        self.homing.begin(_BEFORE_START)
        self.homing.end()

    def _relax_fields(self) -> None:
        """Bring the fields near their steady state before the first step."""
        self.lattice.exchange("res_hot", motile_depth=HALO)
        counted = self.model.rules.needs_histogram(self.last[Count.POPULATION])
        self.lattice.contacts(_BEFORE_START, counted=counted)
        for name, settings in self.sweeps.items():
            for _ in range(SWEEPS_BEFORE_START):
                self.lattice.exchange(name)
                self.lattice.sweep(name, settings)

    def _give_stem_cells(self, doses: tuple[Dose, ...], step: int) -> None:
        for index, dose in enumerate(doses):
            before = self.circulation.hot.size
            if dose.marrow_of:
                harvest = self.model.harvests[dose.marrow_of]
                agents = dose.nucleated / self.scale.cells_per_agent * natural_killers.spared(self.body, dose.origin)
                self.circulation.add(*harvest.draw(agents, dose.origin, self.config.seed, step, index))
            elif dose.kind == "graft":
                self.circulation.infuse(giving.graft_agents(self.body, dose), dose.origin, step, index)
                if self.config.patient.donor == "autologous":
                    own = with_progeny(setup.subclones(self.model), self.model.rules.fates)
                    self.circulation.vary(own, before, step, index)
            if dose.edit is not None:
                variant = activated_variant(self.model.rules.heredity.variants)
                product = Product(dose.edit, self.model.tables.editing, self.config.seed, step, index, variant)
                self.circulation.edit(product, before)

    def _show_residue(self, step: int, counts: NDArray[np.int64], seen: NDArray[np.int64] | None, spared: int) -> None:
        """Let leukaemic stem cells into the blood once residual leukaemia is more agents than the patch has."""
        body, blood = self.body, self.circulation
        lost, variant = (body.watch.lost, body.watch.spared) if body.escaped is not None else (0, 0)
        hidden = escape.agents(body, counts[Count.POPULATION], seen) if body.watch.classes else spared
        if lost or variant:
            hidden += blood.number(Kind.LSC, lost, variant or None)
        there = int(counts[Count.POPULATION, Kind.LSC].sum()) + blood.number(Kind.LSC)
        for index, (residue, agents, loss, kind) in enumerate(
            ((body.residue, there - hidden, 0, 0), (body.escaped, hidden, lost, variant))
        ):
            if residue is not None:
                missing = int(residue.agents) - agents
                blood.infuse({Kind.LSC: float(max(missing, 0))}, Origin.HOST, step, index, loss, kind)

    def _throw_switches(self, doses: tuple[Dose, ...], step: int) -> None:
        """Let cells die at once that carry a safety switch; those of the body die at the end of the step."""
        for dose in doses:
            if dose.kind == "switch":
                self.lattice.purge(step, min(int(dose.amount * 4294967296.0), 0xFFFFFFFF))
                self.circulation.purge(dose.amount, step)

    def _pass_on(self, step: int) -> None:
        """Let HIV of the blood and of productive cells infect CD4 cells of the lattice."""
        sites_per_pair = self.census.sites_per_pair
        found = transmission(self.body, self.last[Count.POPULATION], sites_per_pair, self.config.step_h)
        if found is not None:
            chances = {"by_blood": found.by_blood, "by_contact": found.by_contact}
            self.lattice.transmit(step, chances, rare=found.rare, **BECOMES)

    def _give_labels(self, doses: tuple[Dose, ...], step: int, rates: StepRates) -> None:
        """Let cells take up the labels among the doses."""
        for dose in doses:
            if dose.kind == "label":
                take = labels.takers(dose.name, rates.wild, self.model.traffic["s_phase"], self.config.step_h)
                self.lattice.label(step, labels.MARKERS[dose.name], take)

    def _marrow_signals(self) -> dict[str, float]:
        """Return signals of the patch as a whole: the share of empty niches over that at homeostasis, crowding."""
        size = self.census.niches, self.census.marrow
        return marrow_signals(self.last, self.model.rules, size, self.model.traffic)

    def _refresh_counts(self) -> None:
        """Count the population of a fresh lattice on the host."""
        residents, motile, tissue = (self.lattice.owned(name) for name in ("res_hot", "mot_hot", "tissue"))
        population, niches = np.zeros_like(self.flux[0]), np.zeros_like(self.flux[0])
        for resident, free, label in zip(residents, motile, tissue, strict=True):  # copies stay small
            population += arrivals_by_slot(resident[resident != 0]) + arrivals_by_slot(free[free != 0])
            niches += arrivals_by_slot(resident[(label & NICHE_MASK) != 0])
        self.last = np.zeros_like(self.flux)
        self.last[Count.POPULATION] = self.comm.sum_int64(population)
        self.last[Count.NICHE] = self.comm.sum_int64(niches)
        self.last[Count.NICHE, Kind.EMPTY] = 0
        self.ledger.open()

    # -- what others see

    @property
    def day(self) -> float:
        """Day of the state (day 0: transplant)."""
        return self.config.day(self.step)

    @property
    def n_steps(self) -> int:
        """Steps from start to end."""
        return self.config.n_steps

    @property
    def over(self) -> bool:
        """Whether there is no further step: the schedule is at its end, or the patient is dead."""
        return self.step >= self.n_steps or self.body.mortality.dead

    @property
    def n_sites(self) -> int:
        """Sites of the lattice."""
        return self.domain.total

    @property
    def n_agents(self) -> int:
        """Cells in both layers."""
        return int(self.last[Count.POPULATION].sum())

    def observables(self) -> dict[str, float]:
        """Return all reported numbers of the current state."""
        return self.body.observables() | observe.marrow(self.last, self.model.rules, self.census.niches)

    def record(self) -> Record:
        """Return the current state and the events since the last record, and start a new account of events."""
        counts = self.flux.copy()
        for row in STANDING:
            counts[row] = self.last[row]
        self.flux[...] = 0
        values = self.observables() | observe.inherited(self.lattice.marks(), self.last, self.model.rules)
        return Record(step=self.step, day=self.day, values=values, counts=counts)

    def snapshot(self) -> Snapshot:
        """Return the whole state on the host, ready to be written; all ranks count who is there first."""
        self.ledger.audit(self.step)
        z0, z1 = self.domain.slab(self.domain.rank)
        body: dict[str, NDArray[Any]] = dict(self.body.pack())
        body |= {
            "circulation_hot": self.circulation.hot,
            "circulation_cold": self.circulation.cold,
            "output.flux": self.flux.copy(),
            "last_counts": self.last,
        }
        return Snapshot(self.step, self.domain.shape, z0, z1, self.lattice.snapshot(), body, self._meta())

    def _meta(self) -> dict[str, str | int]:
        return {
            "seed": self.config.seed,
            "config": self.config.resolved_toml(),
            "config_hash": self.config.digest(),
            "rules_hash": rules_digest(rules_folder(self.config.patch.species)),
            "kernel_digest": kernel.digest(),
            "stream_digest": cpp_header(),
            "code_version": __version__,
            "backend": self.backend.name,
        }

    def facts(self) -> list[tuple[str, str]]:
        """Return what a user should know about the scale of the run."""
        hsc = self.last[Count.POPULATION, Kind.HSC].sum()
        phi = setup.enrichment(self.scale)
        volume = self.n_sites * 1e-6
        return [
            ("patch", f"{' x '.join(str(n) for n in self.domain.shape)} sites, {volume:.3g} mm3 of marrow"),
            ("scaling mode", f"{self.config.scale.mode}: one agent stands for {self.scale.cells_per_agent:.3g} cells"),
            ("HSC", f"{hsc} in {self.census.niches} niches; enrichment phi = {phi:.3g}"),
            ("motile sub-steps", f"{self.model.substeps} per step"),
        ]

    @staticmethod
    def memory(config: Config) -> list[tuple[str, int]]:
        """Return bytes per site of every lattice array; the last entry is the total."""
        del config
        return phases.bytes_per_site()

    @staticmethod
    def validate(config: Config) -> None:
        """Check everything a run would read; raises ConfigError."""
        setup.load_model(config)
