"""The report as one self-contained HTML page: front box, endpoints, figures, marrow slice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from abm import endpoints as ends
from abm.summary import summarise

from . import draw, slices, therapy
from .axes import day_ticks, signed
from .figures import PALETTE, ROMAN
from .panels import Panel
from .read import Run

HERE = Path(__file__).resolve().parent

#: Rows of the front box: label and the names under which a run's files may hold the value.
PROVENANCE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Model version", ("code_version", "version")),
    ("Git commit", ("git",)),
    ("Configuration", ("config_hash", "config_digest")),
    ("Rule tables", ("rules_hash", "rules_digest")),
    ("Kernels", ("kernel_digest",)),
    ("Backend", ("backend",)),
    ("Wall time", ("wall_s", "wall_time_s", "elapsed_s")),
)
HASH_LENGTH = 12  #: characters of a digest that are shown


def page(run: Run, panels: Sequence[Panel], plane: slices.Slice | None, notice: str = "") -> str:
    """Return the whole page; ``notice`` is a line for the reader at its foot."""
    bars = therapy.bars(run.config, float(run.day[-1]) if len(run.day) else 0.0)
    found = run.endpoints()
    return Template(part("template.html")).substitute(
        title=escape(title(run)),
        style=palette() + part("style.css"),
        script=part("script.js"),
        question=_question(run),
        front=_front(run),
        tiles=_tiles(found),
        events=_table(_event_rows(found)),
        landmarks=_landmarks(found),
        timeline=_timeline(run, bars),
        figures=_sections(run, panels, bars, plane),
        data=_data(panels),
        notice=escape(notice),
    )


def title(run: Run) -> str:
    """Return the title of the scenario, or the name of the directory."""
    return str(run.config.get("title") or run.path.resolve().name)


# ---------------------------------------------------------------------------------------------- head of the page


def part(name: str) -> str:
    """Return the text of a file that pages are made of."""
    return (HERE / name).read_text(encoding="utf-8")


def palette() -> str:
    """Return the colours by role, for light and dark pages, as CSS."""
    light = "".join(f"--{name}:{pair[0]};" for name, pair in PALETTE.items())
    dark = "".join(f"--{name}:{pair[1]};" for name, pair in PALETTE.items())
    classes = "".join(f".{name}{{--c:var(--{name})}}" for name in PALETTE)
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{classes}\n"


def _question(run: Run) -> str:
    """Return the comment block at the head of the scenario as paragraphs."""
    lines = []
    for line in run.config_text.splitlines():
        if line.strip() and not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    blocks = "\n".join(lines).strip().split("\n\n")
    return "".join(f"<p>{escape(block)}</p>" for block in blocks if block)


def _front(run: Run) -> str:
    facts = [("Patch", _patch(run)), ("Scaling", _scaling(run)), ("Patient", _patient(run))]
    if len(run.day):
        facts.append(("Agents", f"{int(run.population()[0]):,} → {int(run.population()[-1]):,}".replace(",", " ")))
        facts.append(("Simulated", f"day {run.day[0]:g} to {run.day[-1]:g}, {len(run.day)} records"))
    facts.append(("Seed", str(run.provenance.get("seed", run.config.get("seed", "–")))))
    for label, names in PROVENANCE:
        value = next((run.provenance[name] for name in names if name in run.provenance), None)
        facts.append((label, "–" if value is None else _fact(label, value)))
    return "".join(f"<div><dt>{label}</dt><dd>{escape(text)}</dd></div>" for label, text in facts if text != "–")


def _fact(label: str, value: Any) -> str:  # noqa: ANN401 - an attribute of a file
    if label == "Wall time":
        seconds = float(value)
        return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
    text = str(value)
    return text[:HASH_LENGTH] if len(text) >= 40 and text.isalnum() else text


def _patch(run: Run) -> str:
    patch = run.config.get("patch", {})
    if "shape" not in patch:
        return "–"
    size = " × ".join(f"{n * slices.SITE_UM / 1000:g}" for n in patch["shape"])
    return f"{' × '.join(str(n) for n in patch['shape'])} sites = {size} mm, {patch.get('species', 'human')}"


def _scaling(run: Run) -> str:
    mode = run.config.get("scale", {}).get("mode", "–")
    phi = run.provenance.get("phi", run.provenance.get("scale_phi"))
    if phi is None and "phi" in run.body and len(run.day):
        phi = run.body["phi"].values[-1]
    return mode if phi is None else f"{mode}, φ = {float(phi):.3g}"


def _patient(run: Run) -> str:
    patient = run.config.get("patient", {})
    measures = (("age_years", "years"), ("weight_kg", "kg"))
    parts = [f"{patient[key]:g} {unit}" for key, unit in measures if key in patient]
    if patient.get("disease", "none") != "none":
        blasts = patient.get("blast_fraction", 0.0)
        parts.append(f"{str(patient['disease']).upper()}, {100 * blasts:g} % blasts at the start")
    if run.graft() is not None and "donor" in patient:
        parts.append(f"{patient['donor']} donor")
    return ", ".join(parts) or "–"


# ---------------------------------------------------------------------------------------------- endpoints


def _tiles(found: Mapping[str, ends.Value]) -> str:
    """The few results a physician asks for first."""
    if not found:
        return ""
    tiles = [
        (f"Neutrophils ≥ {found['anc_level']:g}", _recovered(found, "anc"), "×10⁹/L, first of 3 days"),
        (f"Platelets ≥ {found['platelet_level']:g}", _recovered(found, "platelet"), "×10⁹/L, untransfused"),
    ]
    if found["graft"] is not None:
        day, share = next(
            ((d, v) for d in (100, 30) if isinstance(v := found[f"chimerism_myeloid_d{d}"], float)), (100, None)
        )
        tiles.append(("Donor myeloid", "–" if share is None else f"{share:.0f} %", f"on day {day}"))
        tiles.append(("GVHD", _grade(found["gvhd_max_grade"]), "highest grade"))
    if found["disease"] != "none":
        relapse, look = found["relapse_day"], found["first_look_day"]
        what = "Leukaemia" if relapse is None else f"Leukaemia, on day {relapse}"
        if look is not None:
            what = f"Leukaemia: no marrow that can be judged from day {look:+d} on"
        tiles.append((what, str(found["disease"]), _residual(found)))
    given = " / ".join(_plain(found[f"{name}_transfusions"]) for name in ("platelet", "red_cell"))
    tiles.append(("Transfusions", given, "platelets / red cells"))
    return "".join(f"<div><b>{escape(v)}</b><span>{escape(k)}<br>{pretty(n)}</span></div>" for k, v, n in tiles)


def _residual(found: Mapping[str, ends.Value]) -> str:
    level, limit = found["mrd_log10_end"], found["mrd_limit_log10_end"]
    if isinstance(level, float):
        return f"{100 * 10**level:.2g} % of marrow at the end"
    return f"< 10^{limit:.1f} of marrow at the end" if isinstance(limit, float) else ""


def _recovered(found: Mapping[str, ends.Value], name: str) -> str:
    day, status = found[f"{name}_recovery_day"], found[f"{name}_recovery"]
    return f"day {day:+d}" if isinstance(day, int) else str(status or "–")


def _grade(value: ends.Value) -> str:
    return "–" if value is None else "none" if value == 0 else f"grade {ROMAN[int(value)]}"


def _plain(value: ends.Value) -> str:
    return "–" if value is None else str(value)


def pretty(text: str) -> str:
    """Return the ASCII of ``abm.endpoints`` with typographic signs, escaped for HTML."""
    for plain, sign in ((">= ", "≥ "), ("e9/L", "×10⁹/L"), ("/uL", "/µL"), ("CD34+", "CD34⁺"), (" -", " −")):
        text = text.replace(plain, sign)
    head, *tails = escape(text).split("10^")
    return head + "".join(f"10<sup>{t[: _span(t)].replace('-', '−')}</sup>{t[_span(t) :]}" for t in tails)


def _span(text: str) -> int:
    """Return the length of the number at the start of ``text``."""
    return len(text) - len(text.lstrip("-0123456789."))


def _event_rows(found: Mapping[str, ends.Value]) -> list[tuple[str, str]]:
    apart = ("Donor chimerism", "Lymphocytes")
    return [row for row in summarise(found) if not row[0].startswith(apart)]


def _table(rows: Sequence[tuple[str, str]]) -> str:
    return "".join(f'<tr><th scope="row">{pretty(a)}</th><td>{pretty(b)}</td></tr>' for a, b in rows)


def _landmarks(found: Mapping[str, ends.Value]) -> str:
    """Chimerism and lymphocytes as a table of lineage by day."""
    blocks = (("Donor cells, %", "chimerism_", ends.LINEAGES), ("Lymphocytes, /µL", "", ends.LYMPHOCYTES))
    rows = []
    for heading, prefix, names in blocks:
        cells = {text: [found.get(f"{prefix}{name}_d{day}") for day in ends.LANDMARKS] for name, text in names.items()}
        cells = {text: values for text, values in cells.items() if any(v is not None for v in values)}
        if cells:
            rows.append(f'<tr><th colspan="{len(ends.LANDMARKS) + 1}" class="group">{heading}</th></tr>')
        for text, values in cells.items():
            numbers = "".join(f"<td>{'–' if v is None else f'{v:.0f}'}</td>" for v in values)
            rows.append(f'<tr><th scope="row">{pretty(text)}</th>{numbers}</tr>')
    if not rows:
        return ""
    head = "".join(f'<th scope="col">day {day}</th>' for day in ends.LANDMARKS)
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


# ---------------------------------------------------------------------------------------------- figures


def _timeline(run: Run, bars: Sequence[therapy.Bar]) -> str:
    """One row per treatment, placed in percent of the run, so that it fits any screen."""
    if not bars or len(run.day) < 2:
        return ""
    first, last = float(run.day[0]), float(run.day[-1])
    rows = []
    for label, row in therapy.rows(bars).items():
        detail = "; ".join(dict.fromkeys(bar.detail for bar in row if bar.detail))
        marks = "".join(_mark(bar, first, last) for bar in row)
        heading = f"<span>{escape(label)} <small>{escape(detail)}</small></span>"
        rows.append(f'<li>{heading}<div class="track">{marks}</div></li>')
    ticks = "".join(f'<i style="left:{_percent(d, first, last)}">{signed(d)}</i>' for d in day_ticks(first, last, 10))
    span = f'data-first="{first:g}" data-last="{last:g}"'
    return (
        f'<ul class="timeline" {span}>{"".join(rows)}'
        f'<li class="days"><span>day</span><div class="track">{ticks}<u class="cross"></u></div></li></ul>'
    )


def _mark(bar: therapy.Bar, first: float, last: float) -> str:
    colour = draw.LANES.get(bar.action, (2, "grey"))[1]
    start, end = max(bar.start, first), min(bar.end, last)
    left, width = _percent(start, first, last), f"{100 * max(end - start, 0) / (last - first):.2f}%"
    if bar.action == "graft":
        return f'<b class="graft {colour}" style="left:{left}"></b>'
    solid = 100 * (1 - min(1.0, bar.taper / max(end - start, 1e-9)))
    fade = f";--solid:{solid:.0f}%" if bar.taper else ""
    return f'<b class="{colour}{" taper" if bar.taper else ""}" style="left:{left};width:{width}{fade}"></b>'


def _percent(day: float, first: float, last: float) -> str:
    return f"{100 * (day - first) / (last - first):.2f}%"


def _sections(run: Run, panels: Sequence[Panel], bars: Sequence[therapy.Bar], plane: slices.Slice | None) -> str:
    parts = []
    for name, members in groupby(panels, key=lambda panel: panel.section):
        figures = "".join(_figure(panel, bars) for panel in members)
        extra = _slice(run, plane) if name == "Marrow" and plane is not None else ""
        parts.append(f'<section><h2>{escape(name)}</h2><div class="panels">{figures}{extra}</div></section>')
    return "".join(parts)


def _figure(panel: Panel, bars: Sequence[therapy.Bar]) -> str:
    note = f'<p class="note">{escape(panel.note)}</p>' if panel.note else ""
    return (
        f'<figure class="panel{" wide" if panel.wide else ""}" id="{panel.key}">'
        f'<figcaption><h3>{escape(panel.title)}</h3><span class="unit">{escape(panel.unit)}</span>'
        f'<span class="now"></span></figcaption>'
        f'<div class="scroll">{draw.svg(panel, bars)}</div>{draw.legend(panel)}{note}</figure>'
    )


def _slice(run: Run, plane: slices.Slice) -> str:
    day = _day_of(run, plane.step)
    ny, nx = plane.tissue.shape
    cut = "" if (ny, nx) == plane.whole else f", the middle {nx} × {ny} of {plane.whole[1]} × {plane.whole[0]} sites"
    pictures = []
    for split, heading in (("group", "Cells by lineage"), ("origin", "Cells by origin")):
        picture, shown = slices.svg(run, plane, split)
        keys = "".join(f'<li><i class="dot {colour}"></i>{escape(text)}</li>' for text, colour in shown)
        pictures.append(f'<div><h4>{heading}</h4>{picture}<ul class="legend">{keys}</ul></div>')
    um = slices.scale_bar(plane)
    width = 100 * um / (nx * slices.SITE_UM)
    tissues = "".join(f'<li><i class="box {style}"></i>{text}</li>' for text, style in slices.TISSUES.items())
    about = f"{day}plane z = {plane.z}{cut}; one site is {slices.SITE_UM} µm"
    return (
        f'<figure class="panel wide" id="slice"><figcaption><h3>Marrow slice</h3><span class="unit">{about}</span>'
        f'</figcaption><div class="pair">{"".join(pictures)}</div>'
        f'<ul class="legend">{tissues}<li><i class="dot ring"></i>small dots: T and NK cells, on the second layer</li>'
        f'<li class="ruler"><i style="--share:{width:.2f}"></i>{um} µm</li></ul></figure>'
    )


def _day_of(run: Run, step: int) -> str:
    day = run.day_of(step)
    return "" if day is None else f"day {day:.4g}, "


def _data(panels: Sequence[Panel]) -> str:
    """Return what the read-out needs: days, and the values of every line to four digits."""
    if not panels:
        return "{}"
    lines = {panel.key: [_numbers(line.values) for line in panel.lines] for panel in panels}
    return json.dumps({"day": _numbers(panels[0].day), "lines": lines}, separators=(",", ":"))


def _numbers(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values]
