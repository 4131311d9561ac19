"""The treatment schedule of a run as bars on the time axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

HOURS_PER_DAY = 24.0


class Bar(NamedTuple):
    """One treatment from ``start`` to ``end`` (days of the run), fading out over the last ``taper`` days."""

    label: str
    action: str
    start: float
    end: float
    detail: str
    taper: float = 0.0
    moments: tuple[float, ...] = ()  #: days of the single doses


def bars(config: Mapping[str, Any], last_day: float) -> list[Bar]:
    """Return the treatments of ``config`` in order of their first day; drugs without an end last to ``last_day``."""
    events = sorted(config.get("events", []), key=lambda event: (event["day"], event["action"] != "graft"))
    stops = [event for event in events if event["action"] == "stop"]
    return [_bar(event, stops, last_day) for event in events if event["action"] != "stop"]


def rows(found: Sequence[Bar]) -> dict[str, list[Bar]]:
    """Return the bars by label, so that repeated courses of one treatment share a row."""
    table: dict[str, list[Bar]] = {}
    for bar in found:
        table.setdefault(bar.label, []).append(bar)
    return table


def stretches(bar: Bar, gap: float) -> list[tuple[float, float]]:
    """Return the stretches of days to draw: single doses if they are more than ``gap`` days apart, else the course."""
    apart = len(bar.moments) > 1 and bar.moments[1] - bar.moments[0] > gap
    return [(moment, moment) for moment in bar.moments] if apart else [(bar.start, bar.end)]


def _bar(event: Mapping[str, Any], stops: Sequence[Mapping[str, Any]], last_day: float) -> Bar:
    action, start = event["action"], float(event["day"])
    if action == "drug":
        return _drug(event, stops, last_day)
    if action == "art":
        end = last_day if event.get("until_day") is None else float(event["until_day"])
        return Bar(_label(event), action, start, end, f"{100 * event.get('adherence', 1.0):g} % of the doses")
    number = int(event.get("fractions" if action == "tbi" else "doses", 1))
    every = float(event.get("every_h", 12 if action == "tbi" else 24)) / HOURS_PER_DAY
    moments = tuple(start + index * every for index in range(number))
    end = moments[-1] + float(event.get("infusion_h", 0.0)) / HOURS_PER_DAY
    return Bar(_label(event), action, start, end, _detail(event, number), moments=moments)


def _drug(event: Mapping[str, Any], stops: Sequence[Mapping[str, Any]], last_day: float) -> Bar:
    start, until, taper = float(event["day"]), event.get("until_day"), float(event.get("taper_days", 0.0))
    planned = last_day if until is None else float(until)
    end = min([planned, *(float(s["day"]) for s in stops if s["drug"] == event["drug"] and s["day"] >= start)])
    detail = "" if event.get("level", 1.0) == 1.0 else f"occupancy {event['level']:g}"
    return Bar(_label(event), "drug", start, end, detail, taper if end == planned else 0.0)


def _label(event: Mapping[str, Any]) -> str:
    if event["action"] in ("chemo", "drug", "treat", "antibody"):
        return str(event["drug"]).replace("_", " ")
    names = {
        "tbi": "total-body irradiation",
        "art": "antiretroviral therapy",
        "switch": "safety switch",
        "graft": "graft",
        "gcsf": "G-CSF",
        "blood_loss": "loss of blood",
        "platelet_loss": "loss of platelets",
        "immunoglobulin": "immunoglobulin G",
    }
    fallback = str(event.get("product", event["action"]))
    return names.get(event["action"], fallback.upper() if len(fallback) <= 3 else fallback)


_DOSES = {
    "dose_mg": "mg",
    "dose_mg_per_kg": "mg/kg",
    "dose_mg_per_m2": "mg/m²",
    "dose_mg_h_per_l": "mg·h/L",
    "dose_ug_per_kg": "µg/kg",
    "dose_g_per_kg": "g/kg",
}


def _detail(event: Mapping[str, Any], number: int) -> str:
    if event["action"] == "tbi":
        return f"{event['dose_gy']:g} Gy in {number} fraction{'s' if number > 1 else ''}"
    if event["action"] in ("graft", "cells"):
        parts = [str(event[key]).replace("_", " ") for key in ("source", "receptor") if event.get(key)]
        parts += [f"{text}\N{NO-BREAK SPACE}{_count(event[key])}/kg" for key, text in _CELLS.items() if key in event]
        parts += [f"{_count(n)}\N{NO-BREAK SPACE}{kind.upper()}" for kind, n in event.get("cells", {}).items()]
        depletion = event.get("t_depletion_log10", 0.0)
        return ", ".join(parts + ([f"T cells depleted {depletion:g} log₁₀"] if depletion else []))
    if "share" in event:
        return f"{100 * event['share']:g} %"
    if event["action"] == "treat":
        graded = {"crs": "cytokine release of grade"}.get(event.get("against", ""), "grade")
        return f"from {graded} {event['grade']}, whenever it is reached"
    doses = [f"{event[key]:g} {unit}" for key, unit in _DOSES.items() if event.get(key) is not None]
    return " ".join(doses) + (f" × {number}" if number > 1 else "")


_CELLS = {"cd34_per_kg": "CD34⁺", "cd3_per_kg": "CD3⁺", "cells_per_kg": "cells"}


def _count(value: float) -> str:
    """Return a cell dose as 5.5×10⁶."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}×10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
