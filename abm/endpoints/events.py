"""GVHD, infections and death."""

from __future__ import annotations

import numpy as np

from .course import EPISODES, ROUNDING, Course, Value, first_day

CHRONIC_MODERATE = 30.0  #: severity in percent from which chronic GVHD is treated systemically; ours

#: Causes of death in the order in which ``cause_of_death`` counts them from 1; 0 is alive.
CAUSES = ("infection", "bleeding", "anaemia", "GVHD", "leukaemia", "toxicity")


def gvhd(course: Course) -> dict[str, Value]:
    """Highest overall grade (0-4) after the graft and first days of grades I, II and III, and of chronic GVHD."""
    grade = course.body.get("gvhd_grade")
    onsets = (("gvhd_onset_day", 1), ("gvhd_grade2_onset_day", 2), ("gvhd_grade3_onset_day", 3))
    chronic = (("chronic_gvhd_onset_day", 0.0), ("chronic_gvhd_moderate_day", CHRONIC_MODERATE))
    if grade is None or course.graft_day is None or not (course.since_graft >= 0).any():
        return dict.fromkeys(("gvhd_max_grade", *(name for name, _ in (*onsets, *chronic))))
    after = course.since_graft >= 0
    level = np.floor(np.nan_to_num(grade[after]) + ROUNDING).astype(np.int64)
    found: dict[str, Value] = {"gvhd_max_grade": int(level.max())}
    for name, least in onsets:
        found[name] = first_day(course.since_graft[after], level >= least)
    severity = course.body.get("chronic_gvhd", np.zeros_like(grade))
    for name, beyond in chronic:
        found[name] = first_day(course.since_graft, severity > beyond)
    return found


def infections(course: Course) -> dict[str, Value]:
    """Return how many episodes of each infection began after day 0, and the day of the first one."""
    found: dict[str, Value] = {}
    for name in EPISODES:
        so_far = course.body.get(name)
        began = None if so_far is None else np.diff(so_far, prepend=so_far[0]) * (course.since_graft >= 0)
        found[name] = None if began is None else round(float(began.sum()))
        found[f"{name.removesuffix('_episodes')}_day"] = (
            None if began is None else first_day(course.since_graft, began > 0)
        )
    return found


def death(course: Course) -> dict[str, Value]:
    """Status at the end, day and cause of death, and the survival that the hazards leave by the end in percent.

    A run ends with its patient, so that the last record is that of the death. Time to event is ``death_day``, or
    ``end_day`` of who is alive (censored). ``None`` where the run does not tell.
    """
    cause = course.body.get("cause_of_death")
    survival = course.body.get("survival")
    found: dict[str, Value] = dict.fromkeys(("vital_status", "death_day", "death_cause"))
    found["survival_end"] = None if survival is None else float(survival[-1])
    if cause is None or not cause[-1] > 0:
        return found if cause is None else found | {"vital_status": "alive"}
    dead = int(np.argmax(cause > 0))
    return found | {
        "vital_status": "dead",
        "death_day": float(course.since_graft[dead]),
        "death_cause": CAUSES[int(cause[dead]) - 1],
    }
