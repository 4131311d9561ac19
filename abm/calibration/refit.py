"""A calibration of relapse and GVHD: a design over the prior, every point in recorded patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from abm.calibration import matching, relapse, search
from abm.calibration.matching import Plausible
from abm.calibration.problem import Problem
from abm.calibration.relapse import Cohort, Told
from abm.model.body.numerics import Floats
from abm.validation import score
from abm.validation.targets import Catalogue, Target


def cohorts(
    problem: Problem, targets: Sequence[Target], catalogue: Catalogue, seeds: int, out: Path, tell: Told
) -> dict[str, Cohort]:
    """Return the cohorts that the targets need by name, of ``seeds`` recorded patients each."""
    return {
        name: relapse.gather(name, catalogue.protocols[name], range(1, seeds + 1), problem.persons, out, tell)
        for name in score.needed(targets, catalogue.protocols)
    }


def values(problem: Problem, found: Mapping[str, Cohort], targets: Sequence[Target], points: Floats) -> Floats:
    """Return what the targets come to at points (points, parameters), shape (points, targets)."""
    names = [free.row["name"] for free in problem.free]
    every = (relapse.rows(found, targets, dict(zip(names, map(float, point), strict=True))) for point in points)
    return np.array([[row.estimate.value for row in rows] for rows in every])


def judge(points: Floats, found: Floats, targets: Sequence[Target]) -> tuple[Floats, Plausible]:
    """Return the implausibility of every point, and what is left of the prior."""
    nothing = np.zeros(len(targets))
    implausible = matching.implausibility(found, search.bands(targets), matching.Offset(nothing, nothing))
    return implausible, matching.plausible(points, implausible)
