"""Events that cannot both be meant: two wishes for a drug on one day, one begun and stopped, infusions that overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from abm.config_events import Antibody, Art, Chemo, Drug, Stop, Timed, Treat

HOURS_PER_DAY = 24.0


def contradiction(events: Sequence[Timed], step_h: float) -> tuple[str, str] | None:
    """Return (key, message) of the first event that contradicts one before it, ``None`` if there is none."""
    wanted: dict[tuple[str, float], tuple[int, str]] = {}
    running: dict[str, list[tuple[float, float, int]]] = {}
    for index, event in enumerate(events):
        key = f"events.{index}"
        if (order := _order(event)) is not None:
            field, what, wish = order
            other, before = wanted.setdefault((what, event.day), (index, wish))
            if before != wish:
                return f"{key}.{field}", f"{what}: {wish} on day {event.day:g}, but {before} in events[{other}]"
        if isinstance(event, Stop) and (begun := _begun(events[:index], event)) is not None:
            return f"{key}.drug", f"{event.drug} is stopped on day {event.day:g}, on which events[{begun}] begins it"
        if isinstance(event, Antibody):
            found = running.setdefault(event.drug, [])
            for start, end in _infusions(event, step_h):
                for since, until, other in found:
                    if start < until and since < end:
                        message = f"infusion of {event.drug} from hour {start:g} overlaps with that of events[{other}]"
                        return f"{key}.infusion_h", f"{message} ({since:g} to {until:g} h)"
                found.append((start, end, index))
    return None


def _order(event: Timed) -> tuple[str, str, str] | None:
    """Return key, what is given and what is wanted of it, of events of which one day bears one; ``None`` for others."""
    if isinstance(event, Drug):
        return "drug", event.drug, f"level {event.level:g}{_end(event)}"
    if isinstance(event, Stop):
        return "drug", event.drug, "stop"
    if isinstance(event, Art):
        return "adherence", "antiretroviral therapy", f"adherence {event.adherence:g}{_end(event)}"
    if isinstance(event, Treat):  # a drug waits for one complication: the body keeps its last order
        course = f"level {event.level:g} for {event.days:g} d and {event.taper_days:g} d of taper"
        return "drug", f"{event.drug} that waits", f"{course} against {event.against} of grade {event.grade}"
    return None


def _begun(before: Sequence[Timed], stop: Stop) -> int | None:
    """Return the place of doses that a stop takes away, all of them; what follows it on that day replaces what was."""
    there = [i for i, e in enumerate(before) if isinstance(e, Chemo) and (e.drug, e.day) == (stop.drug, stop.day)]
    return there[-1] if there else None


def _end(event: Drug | Art) -> str:
    return "" if event.until_day is None else f" until day {event.until_day:g}"


def _infusions(event: Antibody, step_h: float) -> Iterator[tuple[float, float]]:
    """Yield start and end of each infusion, hours after day 0; none if doses are given at once."""
    hours = round(event.infusion_h / step_h) * step_h
    if hours > 0.0:
        for dose in range(event.doses):
            start = event.day * HOURS_PER_DAY + dose * event.every_h
            yield start, start + hours
