"""The two steps of a calibration: a design over the prior by the well-mixed model, then a few points on the lattice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from abm.calibration import matching
from abm.calibration.problem import Problem, current, write_tables
from abm.config import load_config
from abm.validation import cases, following, patient, score, work
from abm.validation.cases import Case
from abm.validation.patient import Result
from abm.validation.protocols import Prior, Protocol
from abm.validation.targets import Catalogue, Target
from abm.well_mixed import WellMixed

Floats = NDArray[np.float64]
#: Length of the steps of the well-mixed model, min: fast, and short against all that is compared.
STEP = "time.step_min=180"
SEED = 20231  #: of the design


@dataclass(frozen=True)
class Search:
    """A calibration under way; all that is computed is kept in ``out`` and not computed again."""

    problem: Problem
    targets: Sequence[Target]
    catalogue: Catalogue
    out: Path
    jobs: int
    progress: work.Tell

    def well_mixed(self, points: Floats) -> Floats:
        """Return what the well-mixed model gives for the targets at points (points, parameters)."""
        return self._values(points, _typical, simulate_well_mixed)

    def lattice(self, points: Floats, seeds: int) -> Floats:
        """Return what cohorts of ``seeds`` typical patients on the lattice give."""

        def cohort(name: str, protocol: Protocol) -> list[Case]:
            return cases.cases(name, _without_priors(protocol), quick=True, seeds=seeds)

        return self._values(points, cohort, patient.simulate)

    def _values(
        self, points: Floats, members: Callable[[str, Protocol], list[Case]], simulate: Callable[[Case], Result]
    ) -> Floats:
        names = score.needed(self.targets, self.catalogue.protocols)
        wanted: list[dict[str, list[Case]]] = []
        for point in points:
            folder = write_tables(self.problem, point, self.out / "tables" / _digest(point))
            changed = {name: _with_tables(self.catalogue.protocols[name], folder) for name in names}
            wanted.append({name: members(name, protocol) for name, protocol in changed.items()})
        every = [case for found in wanted for group in found.values() for case in group]
        with work.Workers(self.jobs) as workers:
            done = work.run_all(every, work.Store(self.out / simulate.__name__), workers, self.progress, simulate)
        return np.array([[_value(target, found, done) for target in self.targets] for found in wanted])


def design(problem: Problem, number: int) -> Floats:
    """Return a Latin hypercube over the prior, after the values that stand in the tables; (number + 1, parameters)."""
    from SALib.sample import latin

    drawn = np.asarray(latin.sample(_salib(problem), number, seed=SEED), np.float64)
    return np.vstack([current(problem), drawn])


def sensitivity(problem: Problem, points: Floats, found: Floats) -> Floats:
    """Return how much each parameter moves each target: median PAWN index over the design, (targets, parameters)."""
    from SALib.analyze import pawn

    rows = [pawn.analyze(_salib(problem), points, values, S=5, seed=SEED)["median"] for values in found.T]
    return np.array(rows, np.float64)


def _salib(problem: Problem) -> dict[str, object]:
    free = problem.free
    return {"num_vars": len(free), "names": [f.name for f in free], "bounds": [[f.low, f.high] for f in free]}


def _value(target: Target, members: dict[str, list[Case]], done: dict[Case, Result]) -> float:
    values = [score.value_of(done[case], target) for name in target.protocol for case in members[name]]
    return float(np.mean(values) if target.statistic == "mean" else np.median(values))


def _with_tables(protocol: Protocol, folder: Path) -> Protocol:
    return protocol.model_copy(update={"set": (*protocol.set, f"patch.rules={json.dumps(str(folder.resolve()))}")})


def _without_priors(protocol: Protocol) -> Protocol:
    """Return the cohort of equal, typical patients: what differs between points is then not who the patients are."""
    centres = tuple(f"{key}={_centre(prior)!r}" for key, prior in protocol.priors.items())
    return protocol.model_copy(update={"set": (*protocol.set, *centres), "priors": {}})


def _centre(prior: Prior) -> float:
    return prior.centre if prior.centre is not None else (prior.limits[0] + prior.limits[1]) / 2


def _typical(name: str, protocol: Protocol) -> list[Case]:
    """Return the typical patient of a cohort, for the well-mixed model."""
    protocol = _without_priors(protocol)
    return cases.cases(name, protocol.model_copy(update={"quick": (*protocol.quick, STEP)}), quick=True, seeds=1)


def simulate_well_mixed(case: Case) -> Result:
    """Follow a patient of the well-mixed model."""
    config = load_config(Path(case.scenario), case.overrides, case.seed)
    measured = following.follow(WellMixed(config), config, "well mixed")
    facts = {"protocol": case.protocol, "seed": case.seed, "key": case.key, "drawn": []}
    return {"format_version": patient.FORMAT_VERSION, **facts, "wall_s": 0.0, "cpu_s": 0.0, **measured}


def _digest(point: Sequence[float] | Floats) -> str:
    return hashlib.sha256(",".join(f"{x:.6g}" for x in point).encode()).hexdigest()[:12]


def bands(targets: Sequence[Target]) -> matching.Bands:
    """Return what the targets aim at."""
    return matching.Bands.of([target.band or (0.0, 0.0) for target in targets], [target.centre for target in targets])
