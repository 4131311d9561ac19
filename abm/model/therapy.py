"""The therapy schedule: what is given in which step, from the events of a scenario.

Times become whole steps here, once. Doses of the same step are given in the order of ``body.dose.ORDER``, then in
the order of the scenario.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from abm.cells import Kind, Origin
from abm.config_events import (
    Antibody,
    Art,
    BloodLoss,
    Cells,
    Chemo,
    Drug,
    Gcsf,
    Graft,
    Immunoglobulin,
    Label,
    PlateletLoss,
    Stop,
    Switch,
    Tbi,
    Timed,
    Treat,
)
from abm.config_graft import Edit
from abm.errors import ConfigError
from abm.exactmath import exp
from abm.model.body import Dose, Patient, Tables
from abm.model.body.dose import ORDER
from abm.model.body.drugs import LN10
from abm.model.body.grafts import Source
from abm.model.body.treatment import Plan
from abm.model.contradictions import contradiction
from abm.tables import did_you_mean

__all__ = ["Dose", "Schedule", "compile"]

#: Doses by step, shape (n_steps,).
Schedule = list[tuple[Dose, ...]]
MakeError = Callable[[str, str], ConfigError]

#: Unit of each dose key of a chemo event.
UNIT_OF_KEY = {"dose_mg_per_kg": "mg/kg", "dose_mg_per_m2": "mg/m2", "dose_mg": "mg", "dose_mg_h_per_l": "mg h/L"}
ORIGINS = {"first": Origin.DONOR, "second": Origin.DONOR2}
HOURS_PER_DAY = 24.0
TAPER_STEP_DAYS = 1.0  #: an immunosuppressant is tapered once a day


def compile(
    events: Sequence[Timed],
    tables: Tables,
    patient: Patient,
    n_steps: int,
    step_h: float,
    start_day: float,
    *,
    error: MakeError | None = None,
) -> Schedule:
    """Return the doses of every step, those behind the end of the run as well.

    Args:
        events: the ``[[events]]`` of a scenario.
        tables: rule tables of the body (drugs, graft sources).
        patient: weight, for doses per kg.
        n_steps: steps of the run. What falls behind its end stands behind it: a run may go on to a later day.
        step_h: length of a step, hours.
        start_day: day at the beginning of step 0.
        error: makes the error for (key, message), so that it can name file and line, such as ``Config.error``.
    """
    stopped = frozenset(event.drug for event in events if isinstance(event, Stop))
    error = error or (lambda key, message: ConfigError(message, key=key))
    if (found := contradiction(events, step_h)) is not None:
        raise error(*found)
    plan = _Plan(tables, patient, step_h, start_day, error, stopped)
    for index, event in sorted(enumerate(events), key=lambda item: item[1].day):
        plan.add(event, f"events.{index}")
    last = max((entry.step for entry in plan.entries), default=-1)
    schedule: list[list[_Entry]] = [[] for _ in range(max(n_steps, last + 1))]
    for entry in plan.entries:
        if entry.step >= 0:
            schedule[entry.step].append(entry)
    return [tuple(e.dose for e in sorted(found, key=lambda e: ORDER.index(e.dose.kind))) for found in schedule]


@dataclass(frozen=True)
class _Entry:
    step: int
    dose: Dose


@dataclass
class _Plan:
    """Doses collected so far."""

    tables: Tables
    patient: Patient
    step_h: float
    start_day: float
    error: MakeError
    stopped: frozenset[str] = frozenset()  # drugs that a later event ends
    entries: list[_Entry] = field(default_factory=list)
    edits: dict[str, Edit] = field(default_factory=dict)  # by donor: what their cells carry must be one thing
    lacks: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by receptor, likewise
    ccr5_null: dict[str, float] = field(default_factory=dict)  # by donor: what a graft said of their cells

    def add(self, event: Timed, key: str) -> None:
        """Add one event; ``key`` is its place in the scenario."""
        if isinstance(event, Chemo):
            self._repeat(event.day, event.every_h, event.doses, self._chemo(event, key))
        elif isinstance(event, Tbi):
            fraction = Dose("radiation", "tbi", event.dose_gy / event.fractions)
            self._repeat(event.day, event.every_h, event.fractions, fraction)
        elif isinstance(event, Antibody):
            self._antibody(event, key)
        elif isinstance(event, Gcsf):
            self._repeat(event.day, event.every_h, event.doses, Dose("gcsf", "gcsf", event.dose_ug_per_kg))
        elif isinstance(event, Immunoglobulin):
            dose = Dose("immunoglobulin", "immunoglobulin", event.dose_g_per_kg)
            self._repeat(event.day, event.every_h, event.doses, dose)
        elif isinstance(event, Label):
            self._repeat(event.day, HOURS_PER_DAY, 1, Dose("label", event.marker))
        elif isinstance(event, BloodLoss | PlateletLoss):
            self._repeat(event.day, HOURS_PER_DAY, 1, Dose(event.action, "loss", event.share))
        elif isinstance(event, Graft):
            self._graft(event, key)
        elif isinstance(event, Cells):
            self._repeat(event.day, HOURS_PER_DAY, 1, self._cells(event, key))
        elif isinstance(event, Drug):
            self._immunosuppress(event, key)
        elif isinstance(event, Art):
            self._antiretrovirals(event)
        elif isinstance(event, Treat):
            self._treat(event, key)
        elif isinstance(event, Switch):
            self._switch(event, key)
        elif isinstance(event, Stop):
            self._stop(event)

    def _repeat(self, day: float, every_h: float, doses: int, dose: Dose) -> None:
        self.entries += [_Entry(self._step(day + i * every_h / HOURS_PER_DAY), dose) for i in range(doses)]

    def _step(self, day: float) -> int:
        return round((day - self.start_day) * HOURS_PER_DAY / self.step_h)

    def _chemo(self, event: Chemo, key: str) -> Dose:
        """Return one dose as share of the drug's reference course."""
        drug = self.tables.drugs[event.drug]
        dose_key, amount = event.dose
        if not drug.reference:
            message = f'{drug.name} acts by its level; give it with action = "drug" and level, not as chemo'
            raise self.error(f"{key}.drug", message)
        if UNIT_OF_KEY[dose_key] not in drug.reference:
            known = [name for name, unit in UNIT_OF_KEY.items() if unit in drug.reference]
            message = f"{drug.name} has no reference dose in {UNIT_OF_KEY[dose_key]}; use {' or '.join(known)}"
            raise self.error(f"{key}.{dose_key}", message)
        return Dose("drug", drug.name, amount / (drug.reference[UNIT_OF_KEY[dose_key]] * drug.doses))

    def _antibody(self, event: Antibody, key: str) -> None:
        """Give an antibody at once, or let infusions run, one after the other."""
        if event.drug not in self.tables.antibodies:
            message = f"{event.drug} is not in antibodies.csv{did_you_mean(event.drug, self.tables.antibodies)}"
            raise self.error(f"{key}.drug", message)
        weight, values = self.patient.weight_kg, self.tables.values
        mg = event.mg(weight, values["body_surface"] * weight / values["reference_weight"])
        steps = round(event.infusion_h / self.step_h)
        if steps == 0:
            self._repeat(event.day, event.every_h, event.doses, Dose("antibody", event.drug, mg))
            return
        after = event.day + steps * self.step_h / HOURS_PER_DAY  # ends go first: another infusion may begin then
        self._repeat(after, event.every_h, event.doses, Dose("infusion", event.drug))
        self._repeat(event.day, event.every_h, event.doses, Dose("infusion", event.drug, mg / (steps * self.step_h)))

    def _graft(self, event: Graft, key: str) -> None:
        """Add a graft: its T cells at once, its stem cells when they can lodge."""
        if event.source not in self.tables.sources:
            message = f"{event.source} is not in sources.csv{did_you_mean(event.source, self.tables.sources)}"
            raise self.error(f"{key}.source", message)
        if event.edit and self.edits.setdefault(event.donor, event.edit) != event.edit:
            raise self.error(
                f"{key}.edit", f"expected the edit of the earlier graft of the {event.donor} donor, found another"
            )
        source = self.tables.sources[event.source]
        cd34, cd3 = _dose_per_kg(event, source)
        weight, spared = self.patient.weight_kg, self._spared()
        seeding = source.seeding * event.potency * spared
        if event.marrow_of:
            nucleated = (event.nucleated_per_kg or source.dose["nucleated"]) * weight * seeding
            content: dict[str, Any] = {"marrow_of": event.marrow_of, "nucleated": nucleated}
        else:
            content = {"cd34": cd34 * weight * seeding, "cells": self._purified(event, key)}
        content |= {"edit": event.edit, "ccr5_null": event.ccr5_null}
        if (said := self.ccr5_null.setdefault(event.donor, event.ccr5_null)) != event.ccr5_null:
            message = f"expected {said:g} as in the earlier graft of the {event.donor} donor, found {event.ccr5_null:g}"
            raise self.error(f"{key}.ccr5_null", message)
        stem = Dose("graft", event.source, origin=ORIGINS[event.donor], **content)
        cd3 = cd3 * weight * exp(-LN10 * event.t_depletion_log10) * spared
        if source.delay == 0.0:
            doses = [(0.0, replace(stem, cd3=cd3))]
        else:
            lymphocytes = Dose("graft", event.source, cd3=cd3, origin=stem.origin, ccr5_null=event.ccr5_null)
            doses = [(0.0, lymphocytes), (source.delay / HOURS_PER_DAY, stem)]
        self.entries += [_Entry(self._step(event.day + later), dose) for later, dose in doses]

    def _spared(self) -> float:
        """Return the share of a graft left by the patient's antibodies against HLA that all its cells show.

        They bind in the blood and kill in minutes to hours, before stem cells have lodged. Complement needs two of them
        side by side, so that few do nothing.
        """
        values, antibodies = self.tables.values, self.patient.donor_antibodies
        half, pairs = values["humoral_half"] * values["humoral_half"], antibodies * antibodies
        return exp(-LN10 * values["humoral_kill"] * pairs / (half + pairs))

    def _purified(self, event: Graft, key: str) -> tuple[tuple[Kind, float], ...]:
        """Return the purified cells of a graft that can lodge, by kind."""
        known = self.tables.grafts[event.source].enrichment
        numbers = event.cells.numbers if event.cells else {}
        for name in numbers:
            if Kind[name.upper()] not in known:
                has = ", ".join(kind.name for kind in known)
                message = f"{event.source} holds no {name.upper()} (grafts.csv); it has {has}"
                raise self.error(f"{key}.cells", message)
        share = self.tables.sources[event.source].purified_seeding * self._spared()
        return tuple((Kind[name.upper()], cells * share) for name, cells in numbers.items())

    def _cells(self, event: Cells, key: str) -> Dose:
        """Return a cell product as a number of cells."""
        if event.receptor_class:
            return self._engineered(event, key)
        if event.product not in self.tables.grafts:
            message = f"{event.product} is not in grafts.csv{did_you_mean(event.product, self.tables.grafts)}"
            raise self.error(f"{key}.product", message)
        cells = (event.cd3_per_kg or 0.0) * self.patient.weight_kg
        null = self.ccr5_null.get(event.donor, 0.0)
        dose = Dose("cells", event.product, cd3=cells, origin=ORIGINS[event.donor], ccr5_null=null)
        return replace(dose, if_blast_fraction=event.if_blast_fraction)

    def _engineered(self, event: Cells, key: str) -> Dose:
        """Return engineered T cells as a number of cells of a receptor class."""
        if event.product not in self.tables.products:
            message = f"{event.product} is not in products.csv{did_you_mean(event.product, self.tables.products)}"
            raise self.error(f"{key}.product", message)
        per_kg = event.cells_per_kg or self.tables.products[event.product].dose
        cells = per_kg * self.patient.weight_kg
        if (before := self.lacks.setdefault(event.receptor, event.lacks)) != event.lacks:
            expected = f"{list(before)} as in the earlier product with {event.receptor}"
            message = f"expected {expected}, found {list(event.lacks)}"
            raise self.error(f"{key}.lacks", message)
        product = Dose("cells", event.product, cd3=cells, origin=Origin.PRODUCT, receptor=event.receptor_class)
        return replace(product, lacks=event.loss)

    def _immunosuppress(self, event: Drug, key: str) -> None:
        """Set the level, then taper it day by day to 0 on ``until_day``; ends what was planned for the drug before."""
        self._must_act_by_level(event, key)
        self._must_have_level_and_end(event, key)
        self._cancel(event.drug, event.day)
        self.entries += [self._level(event.day, event.drug, event.level)]
        if event.until_day is None:
            return
        taper = min(event.taper_days, event.until_day - event.day)
        self.entries += [
            self._level(event.until_day - left, event.drug, event.level * left / event.taper_days)
            for left in _taper_days(taper)
        ]
        self.entries += [self._level(event.until_day, event.drug, 0.0)]

    def _must_have_level_and_end(self, event: Drug, key: str) -> None:
        """Refuse to hold T cells down by an unsaid amount, or for ever because nobody said how long."""
        ends = event.until_day is not None or event.drug in self.stopped
        for name, given in (("level", "level" in event.model_fields_set), ("until_day", ends)):
            if not given and self.tables.drugs[event.drug].holds_t_cells_down:
                message = f"missing; expected a level and an end of {event.drug}: until_day, or a later stop"
                raise self.error(f"{key}.{name}", message)

    def _must_act_by_level(self, event: Drug | Treat, key: str) -> None:
        if self.tables.drugs[event.drug].reference:
            message = f'{event.drug} acts by its dose; give it with action = "chemo" and a dose, not as {event.action}'
            raise self.error(f"{key}.drug", message)

    def _antiretrovirals(self, event: Art) -> None:
        """Order daily doses, which the body draws when they are due, and their end."""
        self._cancel("art", event.day)
        self.entries.append(_Entry(self._step(event.day), Dose("art", "art", event.adherence)))
        if event.until_day is not None:
            self.entries.append(_Entry(self._step(event.until_day), Dose("art", "art", 0.0)))

    def _treat(self, event: Treat, key: str) -> None:
        """Order a drug that begins by itself."""
        self._must_act_by_level(event, key)
        plan = Plan(event.grade, event.days, event.taper_days, event.against)
        self.entries.append(_Entry(self._step(event.day), Dose("treatment", event.drug, event.level, plan=plan)))

    def _switch(self, event: Switch, key: str) -> None:
        if not any(edit.switch for edit in self.edits.values()):
            raise self.error(f"{key}.action", "expected an earlier graft with edit.switch = true, found none")
        self._repeat(event.day, HOURS_PER_DAY, 1, Dose("switch", "switch", self.tables.editing["switch_kill"]))

    def _stop(self, event: Stop) -> None:
        """End an immunosuppressant at once; drop the planned doses of a cytotoxic drug."""
        self._cancel(event.drug, event.day)
        if not self.tables.drugs[event.drug].reference:
            self.entries.append(self._level(event.day, event.drug, 0.0))

    def _level(self, day: float, name: str, level: float) -> _Entry:
        return _Entry(self._step(day), Dose("immunosuppression_level", name, level))

    def _cancel(self, name: str, day: float) -> None:
        first = self._step(day)
        self.entries = [entry for entry in self.entries if entry.dose.name != name or entry.step < first]


def _dose_per_kg(event: Graft, source: Source) -> tuple[float, float]:
    """Return the CD34+ and CD3+ cells of a graft; of purified cells there is only what is stated."""
    share = (event.nucleated_per_kg or source.dose["nucleated"]) / source.dose["nucleated"]
    cd34 = source.dose["cd34"] * share if event.cd34_per_kg is None else event.cd34_per_kg
    cd3 = source.dose["cd3"] * share if event.cd3_per_kg is None else event.cd3_per_kg
    return (0.0, event.cd3_per_kg or 0.0) if event.cells else (cd34, cd3)


def _taper_days(taper: float) -> Iterator[float]:
    """Yield the days left of a taper, whole days before its end, longest first."""
    left = float(int(taper / TAPER_STEP_DAYS))
    while left > 0.0:
        yield left
        left -= TAPER_STEP_DAYS
