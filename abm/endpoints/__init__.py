"""Clinical endpoints of one run: pure functions of its time series.

Conventions
    * Days count from the graft (the run's own day 0 when no graft is given). Calendar day ``k`` holds all
      records with ``k <= day < k + 1``; its value is the lowest of them, so a count must hold all day long.
      A calendar day without a record takes the value of the last day that has one.
    * An endpoint that was not reached, or cannot be judged yet, is ``None``.
    * Thresholds are definitions, not parameters. [ASTCT] is the consensus of Kharfan-Dabaja et al. 2021 as tabulated in
      PMC11161398 (read); [ELN] is Dohner et al. 2017 (response table read, relapse wording recalled) and, for residual
      disease by flow cytometry, Heuser et al. 2021 (recalled); [GF] is the series of PMC4548938 (abstract read);
      [IWG] is Cheson et al. 2003 (recalled: response four weeks after treatment); [CML] is Hochhaus et al. 2020
      (recalled: a major molecular response is BCR-ABL of at most 0.1 %).

Units expected of the body's observables stand in :data:`UNITS`.
"""

from __future__ import annotations

from abm import read_outs

from .blood import (
    DONOR_MINIMUM,
    FAILURE_DAY,
    Recovery,
    blood,
    graft_outcomes,
    recovery,
    transfusion_supported,
)
from .course import (
    EPISODES,
    RECOVERED,
    UNITS,
    Bools,
    Course,
    Floats,
    Ints,
    Levels,
    Value,
    by_calendar_day,
    first_successive,
    value_at,
)
from .events import CAUSES, death, gvhd, infections
from .leukaemia import (
    FIRST_LOOK,
    FLOW_DETECTED,
    FLOW_POSITIVE,
    RELAPSE,
    Disease,
    disease_course,
    flow_result,
    leukaemia,
    leukaemic_fraction,
)
from .marrow import CD34, DONOR_ORIGINS, LANDMARKS, LINEAGES, LYMPHOCYTES, donor_percent, landmarks

__all__ = [
    "Disease",
    "Bools",
    "CAUSES",
    "CD34",
    "Course",
    "DONOR_MINIMUM",
    "DONOR_ORIGINS",
    "EPISODES",
    "FAILURE_DAY",
    "FIRST_LOOK",
    "FLOW_DETECTED",
    "FLOW_POSITIVE",
    "Floats",
    "Ints",
    "LANDMARKS",
    "LINEAGES",
    "LYMPHOCYTES",
    "Levels",
    "RECOVERED",
    "RELAPSE",
    "Recovery",
    "UNITS",
    "Value",
    "by_calendar_day",
    "disease_course",
    "donor_percent",
    "endpoints",
    "first_successive",
    "flow_result",
    "leukaemic_fraction",
    "recovery",
    "transfusion_supported",
    "value_at",
]


def endpoints(course: Course) -> dict[str, Value]:
    """Return every endpoint of ``course`` by name; empty for an empty course."""
    if course.day.size == 0:
        return {}
    found: dict[str, Value] = {"end_day": float(course.since_graft[-1])}
    given = course.graft_day is not None and course.since_graft[-1] >= 0
    found["graft"] = course.graft_source if given else None
    found |= blood(course) | landmarks(course) | leukaemia(course) | gvhd(course) | infections(course) | death(course)
    return found | graft_outcomes(course) | read_outs.of(course.since_graft, course.body)
