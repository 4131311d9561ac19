"""Relapse and GVHD of whole cohorts from a few recorded patients: what the targets come to under other numbers.

A patient of every seed is recorded once (:mod:`abm.calibration.recorded`), and several persons live in what it met:
their leukaemia, and how many T cells react, are drawn anew from the priors of the protocol. What is measured of them is
what ``abm validate`` measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from abm.calibration.recorded import STEROID, Course, record
from abm.calibration.replay import Numbers, Persons, Replay
from abm.config import load_config
from abm.model.body import Body, Tables
from abm.model.body.drugs import EFFECTS
from abm.model.body.numerics import Floats
from abm.model.body.organs import find_donor
from abm.model.body.parameters import ChronicRules, MortalityRules, OrganRules, section
from abm.validation import cases, score
from abm.validation.cases import Case
from abm.validation.draws import draw
from abm.validation.patient import Result
from abm.validation.protocols import Protocol
from abm.validation.score import Row
from abm.validation.targets import Target, registry
from abm.well_mixed import WellMixed

Told = Callable[[str], None]
#: What a person has in proportion to what was recorded.
SHARED = (
    "lsc_frequency", "blast_fraction", "residual_doubling_days", "leukaemia_sensitivity", "restricted_alloreactivity",
    "alloreactivity",
)  # fmt: skip
#: Those that a person has instead of what was recorded, not in proportion to it.
OWN = {
    "patient.leukaemia_immunogenicity": "immunogenicity",
    "patient.gvhd_susceptibility": "susceptibility",
}
_PERSON = 1000  #: persons in one recorded patient have seeds that many apart
_TURN = 0.6180339887498949  #: golden section: turns of the draws, spread evenly


@dataclass(frozen=True)
class Cohort:
    """Recorded patients of a protocol, and the persons who live in what they met.

    Attributes:
        course: what was met.
        persons: all of them.
        tables: rule tables of their disease.
        configs: seed, patient and events by person, as observables read them.
    """

    course: Course
    persons: Persons
    tables: Tables
    configs: tuple[Mapping[str, Any], ...]


def gather(name: str, protocol: Protocol, seeds: range, per_seed: int, out: Path, tell: Told) -> Cohort:
    """Record patients of a protocol as far as ``out`` does not hold them, and draw ``per_seed`` persons for each.

    Args:
        name: of the protocol.
        protocol: the protocol.
        seeds: numbers of the patients.
        per_seed: persons who live in what each of them met; the first is the patient.
        out: folder of what is recorded.
        tell: told before a patient is recorded.
    """
    every = cases.cases(name, protocol, quick=True, seeds=seeds[-1], first=seeds[0])
    courses: list[Course] = []
    people: list[Persons] = []
    configs: list[Mapping[str, Any]] = []
    for place, case in enumerate(every):
        courses.append(_recorded(case, out, tell))
        config = load_config(Path(case.scenario), case.overrides, case.seed)
        own = persons_of(WellMixed(config).body)
        for number in range(per_seed):
            people.append(_drawn(own, case, protocol, number, place))
            configs.append(config.model_dump(mode="json") | {"seed": case.seed + _PERSON * number})
    together = Persons(*(np.concatenate([getattr(one, f.name) for one in people]) for f in fields(Persons)))
    rules = config.rules
    return Cohort(Course.together(courses), together, Tables.load(rules), tuple(configs))


def _recorded(case: Case, out: Path, tell: Told) -> Course:
    path = out / f"{Path(case.file).stem}.npz"
    if not path.exists():
        tell(f"{case.protocol}: patient {case.seed}")
        out.mkdir(parents=True, exist_ok=True)
        record(case)[0].write(path)
    return Course.read(path)


def persons_of(body: Body) -> Persons:
    """Return a patient at the start as the only person of a cohort."""
    residue, restricted, who = body.residue, body.restricted, body.patient
    if residue is None or restricted is None:
        message = "expected a patient with residual leukaemia"
        raise ValueError(message)
    stem, donor = residue.stem, body.donor
    usual = find_donor(body.tables.donors, who.donor_type).graft_versus_host
    leukaemia = (stem.wake, stem.divide, stem.renew, stem.die, stem.resting, stem.open_share, stem.full, stem.start)
    numbers = (
        body.weight_kg, donor.graft_versus_host, 1.0, usual, donor.ubiquitous_share, restricted.per_t_cell,
        who.gvhd_susceptibility, who.leukaemia_immunogenicity, 1.0, *leukaemia, residue.luck, 0.0,
    )  # fmt: skip
    return Persons(np.zeros(1, np.int64), *(np.array([number]) for number in numbers))


def _drawn(own: Persons, case: Case, protocol: Protocol, number: int, place: int) -> Persons:
    """Return person ``number`` in a recorded patient; number 0 is the recorded one."""
    old, seed = dict(case.drawn), case.seed + _PERSON * number
    new = {key: draw(prior, key, seed, protocol.priors) for key, prior in protocol.priors.items() if key in old}
    frequency, blasts, doubling, sensitivity, restricted, reactive = (
        new[key] / old[key] if key in old else 1.0 for key in (f"patient.{name}" for name in SHARED)
    )
    changed = {attribute: np.full(1, new[key]) for key, attribute in OWN.items() if key in new}
    person = replace(
        own,
        place=np.array([place]),
        full=own.full * frequency,
        start=own.start * (frequency * blasts),
        wake=own.wake / doubling,
        divide=own.divide / doubling,
        die=own.die / doubling,
        sensitivity=np.full(1, sensitivity),
        restricted=own.restricted * restricted,
        graft_versus_host=own.graft_versus_host * reactive,
        alloreactivity=np.full(1, reactive),
        turn=np.full(1, number * _TURN % 1.0),
        luck=(own.luck + number * _TURN) % 1.0,
    )
    return replace(person, **changed)


def numbers_of(cohort: Cohort, changes: Mapping[str, float] | None = None) -> Numbers:
    """Return the numbers of the tables of a cohort, some of ``body.csv`` and ``residue.csv`` changed."""
    tables, changes = cohort.tables, changes or {}
    if tables.residue is None:
        message = "expected a species with residue.csv"
        raise ValueError(message)
    values = {name: changes.get(name, value) for name, value in tables.values.items()}
    rules = replace(tables.residue, **{name: x for name, x in changes.items() if hasattr(tables.residue, name)})
    weight: Any = cohort.persons.weight  # the numbers of all persons at once
    return Numbers(
        organs=section(OrganRules, values, weight),
        chronic=section(ChronicRules, values, weight),
        residue=rules,
        mortality=section(MortalityRules, values, weight),
        thymus_injury=values["thymus_injury"],
        thymus_gvhd=values["thymus_gvhd"],
        thymus_recovery=values["thymus_recovery"],
        steroid=tables.drugs[STEROID].inhibition[EFFECTS.index("killing")],
    )


def follow(cohort: Cohort, numbers: Numbers) -> tuple[Floats, dict[str, Floats]]:
    """Return days and observables of all persons, day by day; each observable of shape (days, persons)."""
    replay, steps = Replay(cohort.course, cohort.persons, numbers), len(cohort.course.day)
    every = max(round(1.0 / replay.days), 1)
    days: list[float] = []
    series: dict[str, list[Floats]] = {}
    for step in range(steps):
        replay.advance(step)
        if (step + 1) % every == 0 or step == steps - 1:
            days.append(float(cohort.course.day[step, 0]))
            for name, values in replay.observables(last=step == steps - 1).items():
                series.setdefault(name, []).append(values)
    return np.array(days), {name: np.array(rows) for name, rows in series.items()}


def results(cohort: Cohort, numbers: Numbers, names: Sequence[str]) -> list[Result]:
    """Return the observables ``names`` of every person, in the form of a finished patient."""
    day, series = follow(cohort, numbers)
    read, known = import_module("abm_analysis.read"), registry()
    found = []
    for person, config in enumerate(cohort.configs):
        body = {name: read.Column(values[:, person], "fraction") for name, values in series.items()}
        run = read.Run(Path(), config, "", {}, np.arange(len(day)), day, body, np.zeros(0), {}, {}, {}, [])
        values = {name: known[name].make(run) for name in names}
        shown = {name: "never" if value == np.inf else value for name, value in values.items()}
        found.append({"values": shown, "curves": {}, "seed": config["seed"], "cpu_s": 0.0, "wall_s": 0.0})
    return found


def rows(cohorts: Mapping[str, Cohort], targets: Sequence[Target], changes: Mapping[str, float]) -> list[Row]:
    """Return what targets come to under changed numbers."""
    wanted: dict[str, set[str]] = {}
    for target in targets:
        for name in target.cohorts:
            wanted.setdefault(name, set()).update({target.observable, target.against or target.observable})
    found = {
        name: results(cohorts[name], numbers_of(cohorts[name], changes), sorted(of)) for name, of in wanted.items()
    }
    return [score.score(target, found, {}) for target in targets]
