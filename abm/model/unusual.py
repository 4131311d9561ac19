"""What a scenario orders that can be done and may yet be a slip: doses far from the usual, an event given twice.

Each is a note for the user; none changes what is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from abm.config_events import Cells, Chemo, Drug, Graft, Stop, Tbi, Timed, Treat
from abm.model.body import Tables
from abm.model.body.drugs import EFFECTS
from abm.model.therapy import UNIT_OF_KEY

#: A dose so many times the reference dose of its drug, or below it by as much, is likely in another unit.
FAR = 10.0
#: What a drug has to do to act on each complication that it may wait for.
HELPS = {
    "gvhd": ("activation", "proliferation", "killing"),
    "crs": ("il6", "activation", "proliferation", "killing"),
    "fever": ("antibacterial", "bacteria", "fungi"),
}


def unusual(events: Sequence[Timed], tables: Tables) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for everything in the ``[[events]]`` of a scenario that the user should look at again.

    Args:
        events: the events, all of them valid.
        tables: rule tables of the body (drugs and graft sources, with what is usual).
    """
    for index, event in enumerate(events):
        key = f"events.{index}"
        if event in events[:index]:
            yield f"{key}.day", f"the same event as events[{events.index(event)}]; both count"
        if isinstance(event, Graft):
            yield from _graft(event, key, tables)
        elif isinstance(event, Chemo):
            yield from _chemo(event, key, tables)
        elif isinstance(event, Treat):
            yield from _treat(event, key, events, tables)
        elif isinstance(event, Tbi):
            yield from _tbi(event, key, events)
        elif isinstance(event, Stop) and not any(_gives(other, event) for other in events):
            yield f"{key}.drug", f"no event gives {event.drug} up to day {event.day:g}: there is nothing to stop"


def _graft(event: Graft, key: str, tables: Tables) -> Iterator[tuple[str, str]]:
    """Tell of doses outside the usual range of the source."""
    for name, usual in tables.sources[event.source].ranges.items():
        dose = getattr(event, f"{name}_per_kg")
        if dose is not None and not usual.low <= dose <= usual.high:
            message = f"found {dose:g} 1/kg, outside {usual.low:g}-{usual.high:g} for {event.source}"
            yield f"{key}.{name}_per_kg", f"{message} (sources.csv: {usual.source})"


def _chemo(event: Chemo, key: str, tables: Tables) -> Iterator[tuple[str, str]]:
    """Tell of a dose far from that for which the kill of the drug is known."""
    name, dose = event.dose
    usual = tables.drugs[event.drug].reference.get(unit := UNIT_OF_KEY[name])
    if usual is not None and not usual / FAR <= dose <= usual * FAR:
        message = f"found {dose:g} {unit}, {dose / usual:.3g} times the reference dose of {event.drug}"
        yield f"{key}.{name}", f"{message}, {usual:g} {unit} (drugs.csv)"


def _treat(event: Treat, key: str, events: Sequence[Timed], tables: Tables) -> Iterator[tuple[str, str]]:
    """Tell of a drug that waits for what cannot come or what it does nothing to, and of an order that it replaces."""
    drug = tables.drugs[event.drug]
    if not any(drug.inhibition[EFFECTS.index(effect)] for effect in HELPS[event.against]):
        yield f"{key}.drug", f"{event.drug} does nothing to {event.against} (drugs.csv)"
    if event.against == "crs" and not any(isinstance(other, Cells) and other.receptor for other in events):
        yield f"{key}.against", "no event gives engineered T cells: there is no cytokine release"
    for place, other in enumerate(events):
        if isinstance(other, Drug) and other.drug == event.drug and (day := _withdraws(other, event)) is not None:
            message = f"{event.drug} no longer waits from day {day:g} on: events[{place}] sets its level"
            yield f"{key}.drug", message
        if isinstance(other, Treat) and other.drug == event.drug and other.day < event.day:
            yield f"{key}.drug", f"replaces the order of {event.drug} in events[{place}]: a drug waits for one thing"


def _withdraws(drug: Drug, order: Treat) -> float | None:
    """Return the day from which a drug given at a set level no longer waits; ``None``: it still does."""
    days = [drug.day]
    if drug.until_day is not None:
        days += [drug.until_day - float(int(min(drug.taper_days, drug.until_day - drug.day))), drug.until_day]
    return next((day for day in days if day > order.day), None)


def _tbi(event: Tbi, key: str, events: Sequence[Timed]) -> Iterator[tuple[str, str]]:
    """Tell of irradiation that falls on a graft, unless another one follows it."""
    days = [other.day for other in events if isinstance(other, Graft)]
    if days and max(days) < event.day:
        yield f"{key}.day", f"irradiates the graft of day {max(days):g}, and no other follows"


def _gives(event: Timed, stop: Stop) -> bool:
    """Whether an event gives the drug that is to be stopped, before that."""
    return isinstance(event, Chemo | Drug | Treat) and event.drug == stop.drug and event.day <= stop.day
