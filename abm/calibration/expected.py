"""What the rules say of a target when chance is left out: its cohort as well-mixed patients, seconds for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from abm.calibration.search import simulate_well_mixed
from abm.config import Patient, load_config
from abm.endpoints import RELAPSE
from abm.validation import cases, score, work
from abm.validation.cases import Case
from abm.validation.protocols import Protocol
from abm.validation.score import Row
from abm.validation.targets import Catalogue, Target

#: A well-mixed patient has no leukaemia but what is followed in numbers: one in remission is followed without, one with
#: more is not followed.
_HEALTHY = "patient.blast_fraction=0.0"
LEUKAEMIA, EXPERIMENT = "a well-mixed patient has no leukaemia", "no scenario, and so no well-mixed patient"
OTHER_MARROW = "a well-mixed patient takes no cells of a checkpoint"


def expected(
    catalogue: Catalogue, targets: Sequence[Target], out: Path, seeds: int, jobs: int,
    progress: work.Tell,
) -> list[Row]:  # fmt: skip
    """Return a row for each target from cohorts of ``seeds`` well-mixed patients; one, where all are alike.

    Finished patients are kept in ``out`` and not followed again.
    """
    names = score.needed(targets, catalogue.protocols)
    absent = {name: unfit(name, catalogue.protocols[name]) for name in names}
    cohorts = {name: [] if absent[name] else members(name, catalogue.protocols[name], seeds) for name in names}
    every = [case for cohort in cohorts.values() for case in cohort]
    with work.Workers(jobs) as workers:
        found = work.run_all(every, work.Store(out / "expected"), workers, progress, simulate_well_mixed)
    results = {name: [found[case] for case in cohort] for name, cohort in cohorts.items()}
    return [score.score(target, results, absent) for target in targets]


def members(name: str, protocol: Protocol, seeds: int) -> list[Case]:
    """Return the patients of a cohort, without the last blasts of a remission unless these are followed in numbers."""
    patient, priors = _first(name, protocol), protocol.priors
    without = bool(patient.blast_fraction) and not patient.residual_leukaemia
    changes = (*protocol.quick, *([_HEALTHY] if without else []))
    free = {key: prior for key, prior in priors.items() if key != "patient.blast_fraction"} if without else priors
    changed = protocol.model_copy(update={"quick": changes, "priors": free})
    return cases.cases(name, changed, quick=True, seeds=seeds if free else 1)


def unfit(name: str, protocol: Protocol) -> str:
    """Return why the patients of a cohort cannot be followed without a lattice, or nothing."""
    if protocol.experiment:
        return EXPERIMENT
    if any("marrow_of" in event for event in cases.event_list(protocol, cases.scenario_file(protocol))):
        return OTHER_MARROW
    patient = _first(name, protocol)
    return LEUKAEMIA if patient.blast_fraction > RELAPSE and not patient.residual_leukaemia else ""


def _first(name: str, protocol: Protocol) -> Patient:
    """Return the first patient of a cohort."""
    case = cases.cases(name, protocol, quick=True, seeds=1)[0]
    return load_config(Path(case.scenario), case.overrides, case.seed).patient
