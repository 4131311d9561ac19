"""The comparison with published data as one self-contained HTML page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from string import Template
from typing import Any

from .page import palette, part
from .validation_plot import COLOURS, Entry, svg, text

TITLES = {
    "A": "Steady state",
    "B": "Transplantation in mice",
    "C": "Chemotherapy and growth factor",
    "D": "Engraftment and chimerism",
    "V": "Checks of the engine",
}
_NUMBERS, _NUMBER = ("observed", "95 % interval", "band", "weight", "n"), ' class="num"'
HASH_LENGTH = 12  #: characters of a digest that are shown


def page(
    content: Mapping[str, Any], results: Mapping[str, Sequence[Entry]], checks: Mapping[str, Any] | None = None
) -> str:
    """Return the page.

    Args:
        content: what ``validation.json`` holds.
        results: finished patients by protocol, with their curves.
        checks: the same of an earlier comparison of patches and steps.
    """
    entries: list[Entry] = content["targets"]
    return Template(part("validation.html")).substitute(
        style=palette() + part("style.css"),
        tiles=_tiles(content["totals"], entries),
        sections=_sections(entries, results),
        rows=_table(entries),
        checks=_checks(checks) if checks else "",
        misses=_misses(entries),
        absent=_absent(entries),
        front=_front(content),
    )


def name(entry: Entry) -> str:
    """Return row and part of a target."""
    return f"{entry['id']}.{entry['part']}" if entry["part"] else str(entry["id"])


def observed(entry: Entry) -> str:
    """Return the observed value as text."""
    return "not reached" if entry["not_reached"] else text(entry["observed"])


def _tiles(totals: Mapping[str, int], entries: Sequence[Entry]) -> str:
    counts = Counter(entry["result"] for entry in entries)
    tiles = [
        (f"{totals['weight_3_in_band']} of {totals['weight_3_rows']}", "rows of strong evidence (weight 3) in band"),
        (f"{totals['in_band']} of {totals['rows']}", "all rows in band"),
        *((str(counts[result]), result) for result in COLOURS if result != "pass" and counts[result]),
    ]
    return "".join(f"<div><b>{value}</b><span>{label}</span></div>" for value, label in tiles)


def _verdict(entry: Entry) -> str:
    return f'<span class="verdict {COLOURS[entry["result"]]}">{entry["result"]}</span>'


def _range(ends: Sequence[float | None] | None) -> str:
    """Return both ends of an interval; an end that is not a number lies where the event is never reached."""
    if ends is None:
        return "–"
    return " to ".join("not reached" if end is None else text(end) for end in ends)


def _sections(entries: Sequence[Entry], results: Mapping[str, Sequence[Entry]]) -> str:
    parts = []
    for section, members in groupby(entries, key=lambda entry: str(entry["section"])):
        figures = "".join(_figure(entry, results) for entry in members if entry["result"] != "not modelled")
        if figures:
            heading = TITLES.get(section, section)
            parts.append(f'<section><h2>{heading}</h2><div class="panels small">{figures}</div></section>')
    return "".join(parts)


def _figure(entry: Entry, results: Mapping[str, Sequence[Entry]]) -> str:
    unit = "" if entry["unit"] == "1" else f"\N{NO-BREAK SPACE}{escape(_unit(entry['unit']))}"
    return (
        f'<figure class="panel" id="{name(entry)}"><figcaption><b>{name(entry)}</b>{_verdict(entry)}'
        f"<h3>{escape(entry['what'])}</h3></figcaption>{svg(entry, results)}"
        f'<p class="note">observed {observed(entry)} ({_range(entry["ci"])}), n = {entry["n"]}; '
        f"band {_range(entry['band'])}{unit}</p></figure>"
    )


def _unit(unit: str) -> str:
    return {"1e9/L": "×10⁹/L", "cells/d": "cells per day", "1": "", "%/d": "% per day"}.get(unit, unit)


def _table(entries: Iterable[Entry]) -> str:
    head = "".join(
        f"<th{_NUMBER if label in _NUMBERS else ''}>{label}</th>"
        for label in ("row", "what", "observed", "95 % interval", "band", "unit", "weight", "n", "result")
    )
    rows = "".join(_row(entry) for entry in entries)
    return f'<div class="rows"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _checks(document: Mapping[str, Any]) -> str:
    """Return whether patch and step matter, as a comparison of its own found it."""
    made, table = document["provenance"], _table(document["targets"])
    return (
        f"<section><h2>Patch and step</h2><p>The same patients on a patch of twice the size and in steps of half the "
        f"length, {made['date'][:10]}, code {made['code_digest'][:HASH_LENGTH]}.</p>{table}</section>"
    )


def _row(entry: Entry) -> str:
    numbers = (observed(entry), _range(entry["ci"]), _range(entry["band"]))
    source = f"<small>{escape(entry['source'])} ({entry['status']})</small>"
    return (
        f"<tr><td>{name(entry)}</td><td>{escape(entry['what'])}{source}</td>"
        + "".join(f'<td class="num">{number}</td>' for number in numbers)
        + f'<td>{escape(_unit(entry["unit"]))}</td><td class="num">{entry["weight"]}</td>'
        f'<td class="num">{entry["n"]}</td><td>{_verdict(entry)}</td></tr>'
    )


def _misses(entries: Iterable[Entry]) -> str:
    """Return every row that is not in its band, with what we suspect."""
    chosen = [entry for entry in entries if entry["result"] in ("near", "miss", "undecided")]
    rows = (
        f"<dt>{_verdict(entry)} {name(entry)}, weight {entry['weight']}: {escape(entry['what'])}</dt>"
        f"<dd>{escape(_suspicion(entry))}</dd>"
        for entry in chosen
    )
    return "".join(rows) or "<dd>none</dd>"


def _suspicion(entry: Entry) -> str:
    found = f"observed {observed(entry)}, band {_range(entry['band'])} {_unit(entry['unit'])}".rstrip()
    if entry["reason"]:
        return f"{found}: {entry['reason']}"
    if entry["result"] == "undecided":
        enough = f"; about {entry['would_do']} would do" if entry.get("would_do") else ""
        return f"{found}: {entry['n']} patients are too few for a band this narrow{enough}"
    return f"{found}. {entry.get('suspect') or 'No suspect named yet.'}"


def _absent(entries: Iterable[Entry]) -> str:
    """Return the reasons why rows are not modelled, each with its rows."""
    reasons: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry["result"] == "not modelled":
            reasons.setdefault(entry["reason"], []).append(entry)
    rows = (
        f"<dt>{escape(reason)}</dt><dd>{', '.join(_weighted(e) for e in members)}</dd>"
        for reason, members in reasons.items()
    )
    return "".join(rows) or "<dd>none</dd>"


def _weighted(entry: Entry) -> str:
    return f"{name(entry)} (weight {entry['weight']})"


def _front(content: Mapping[str, Any]) -> str:
    made, how = content["provenance"], content["how"]
    facts = [
        ("Model version", made["code_version"]),
        ("Date", made["date"]),
        ("Code", made["code_digest"][:HASH_LENGTH]),
        ("Kernels", made["kernel_digest"][:HASH_LENGTH]),
        *((f"Rules, {species}", digest[:HASH_LENGTH]) for species, digest in made["rules_hash"].items()),
        ("Cohorts", "quick: small patches, few patients" if how["quick"] else "whole"),
    ]
    if "cpu_s" in how:
        facts.append(("Patients", f"{how['patients']}, {how['cpu_s'] / 60:.1f} min of processor time"))
    if how["left_out"]:
        facts.append(("Left out of the quick cohorts", ", ".join(how["left_out"])))
    return "".join(f"<div><dt>{label}</dt><dd>{escape(str(value))}</dd></div>" for label, value in facts)
