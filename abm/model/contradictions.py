"""Events that cannot both be meant: two levels of a drug on one day, one begun and stopped, infusions that overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from abm.config_events import Antibody, Drug, Stop, Timed

HOURS_PER_DAY = 24.0


def contradiction(events: Sequence[Timed], step_h: float) -> tuple[str, str] | None:
    """Return (key, message) of the first event that contradicts one before it, ``None`` if there is none."""
    levels: dict[tuple[str, float], tuple[int, Timed]] = {}
    running: dict[str, list[tuple[float, float, int]]] = {}
    for index, event in enumerate(events):
        key = f"events.{index}"
        if isinstance(event, Drug | Stop):
            other, before = levels.setdefault((event.drug, event.day), (index, event))
            if other != index and _wanted(before) != _wanted(event):
                message = f"{_wanted(event)} on day {event.day:g}, but {_wanted(before)} in events[{other}]"
                return f"{key}.drug", f"{event.drug}: {message}"
        if isinstance(event, Antibody):
            found = running.setdefault(event.drug, [])
            for start, end in _infusions(event, step_h):
                for since, until, other in found:
                    if start < until and since < end:
                        message = f"infusion of {event.drug} from hour {start:g} overlaps with that of events[{other}]"
                        return f"{key}.infusion_h", f"{message} ({since:g} to {until:g} h)"
                found.append((start, end, index))
    return None


def _wanted(event: Timed) -> str:
    return f"level {event.level:g}" if isinstance(event, Drug) else "stop"


def _infusions(event: Antibody, step_h: float) -> Iterator[tuple[float, float]]:
    """Yield start and end of each infusion, hours after day 0; none if doses are given at once."""
    hours = round(event.infusion_h / step_h) * step_h
    if hours > 0.0:
        for dose in range(event.doses):
            start = event.day * HOURS_PER_DAY + dose * event.every_h
            yield start, start + hours
