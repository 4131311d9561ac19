"""What the figures of a report show, apart from how they are drawn: one list of panels for HTML and PNG alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from abm import endpoints as ends
from abm.cells import Count, Kind, Origin

from . import courses
from .observables.marrow import GRANULOPOIESIS
from .panels import IMMUNITY, UNITS, Band, Floats, Line, Panel, Source, positive
from .read import Run

#: Colours by role, light and dark page: Okabe and Ito's palette for colour-blind readers, lightness adjusted.
PALETTE: dict[str, tuple[str, str]] = {
    "blue": ("#0072b2", "#4da3e8"),
    "red": ("#d55e00", "#f08648"),
    "green": ("#00875f", "#2bbf92"),
    "orange": ("#cf8a00", "#f2b63d"),
    "purple": ("#a8518a", "#dd94c2"),
    "sky": ("#4fa9dc", "#9ad4f7"),
    "yellow": ("#e6d23c", "#e9dc6b"),
    "ink": ("#1c1e21", "#f1f3f5"),
    "grey": ("#8a9099", "#8d949e"),
}

#: Groups of cell kinds in the marrow figures: colour and kinds; a kind that is in none joins "Other".
MARROW: dict[str, tuple[str, tuple[str, ...]]] = {
    "Leukaemic": ("ink", ("lsc", "blast")),
    "Stem and progenitor": ("purple", ("hsc", "mpp", "cmp", "clp", "mep", "gmp", "nk_progenitor", "thymus_seeding")),
    "Granulocytic": ("blue", GRANULOPOIESIS),
    "Monocytic, dendritic": ("sky", ("monoblast", "monocyte", "dendritic")),
    "Erythroid": ("red", ("bfu_e", "cfu_e", "proerythroblast", "polychromatic", "orthochromatic", "reticulocyte")),
    "Megakaryocytic": ("yellow", ("mkp", "megakaryocyte", "platelet_forming_mk")),
    "B-lymphoid": ("green", ("pro_b", "pre_b", "immature_b")),
    "T and NK": (
        "orange",
        (
            "cd8_naive", "cd8_effector", "cd8_memory", "cd4_naive", "cd4_effector", "cd4_memory", "treg", "nk",
            "cd4_hiv_eclipse", "cd4_hiv_productive", "cd4_hiv_latent",
        ),
    ),
}  # fmt: skip

ROMAN = ("0", "I", "II", "III", "IV")
EARLY = (-10.0, 45.0)  #: days around the graft shown enlarged
TRACE = 1e-4  #: share of a linear axis below which a value counts as nothing
ORGANS = ("skin", "gut", "liver")


def panels(run: Run) -> list[Panel]:
    """Return all figures for which the run has data, in the order of the report."""
    if len(run.day) < 2:
        return []
    source = Source(run)
    made: Iterable[Panel | None] = (
        _engraftment(source), _neutrophils(source), _platelets(source), _haemoglobin(source), _lymphocytes(source),
        _composition(source), _stem_cells(source), _residual_disease(source), _chimerism(source), _gvhd(source),
        _effectors(source), _engineered(source), _kills(source), _setting(source), _growth_factors(source),
        *courses.panels(source),
    )  # fmt: skip
    return [_without_traces(panel) for panel in made if panel is not None and panel.has_data]


def _without_traces(panel: Panel) -> Panel:
    """Return the panel with values that are nothing on its axis set to zero, for a calm read-out."""
    top = max(float(np.nanmax(np.abs(line.values), initial=0.0)) for line in panel.lines)
    least = (panel.low or 0.0) / 10 if panel.scale == "log" else TRACE * top
    tidy = [line._replace(values=np.where(np.abs(line.values) < least, 0.0, line.values)) for line in panel.lines]
    return replace(panel, lines=tidy)


# ---------------------------------------------------------------------------------------------- blood


def _level(source: Source, name: str) -> tuple[float, str]:
    level: float = getattr(source.course.levels, name)
    return level, f"{level:g}"


def _recovery_mark(source: Source, name: str, label: str = "") -> list[tuple[float, float, str]]:
    day, (level, text) = source.found[f"{name}_recovery_day"], _level(source, name)
    before = f"{label} ≥ {text}: " if label else ""
    return [(day + source.zero, level, f"{before}day {day:+d}")] if isinstance(day, int) else []


def _engraftment(source: Source) -> Panel | None:
    lines = source.lines(("anc", "Neutrophils", "blue"), ("platelets", "Platelets", "red"))
    start, end = EARLY[0] + source.zero, EARLY[1] + source.zero
    if not lines or source.run.graft() is None or source.day[-1] <= end:
        return None
    marks = _recovery_mark(source, "anc", "ANC") + _recovery_mark(source, "platelet", "platelets")
    return Panel(
        "engraftment", "Blood", "Engraftment", UNITS["1e9/L"], source.day, lines, "log", 0.01, 400.0,
        thresholds=(_level(source, "anc"), _level(source, "platelet")),
        marks=[mark for mark in marks if mark[0] <= end],
        ticks=[("platelet transfusion", source.given("platelet_transfusions"))],
        window=(max(start, float(source.day[0])), end), wide=True,
        note="Recovery: first of 3 successive days at or above the line, platelets untransfused for 7 days.",
    )  # fmt: skip


def _neutrophils(source: Source) -> Panel:
    lines = source.lines(("anc", "Neutrophils (ANC)", "blue"), ("monocytes", "Monocytes", "sky"))
    return Panel(
        "neutrophils", "Blood", "Neutrophils and monocytes", source.unit("anc"), source.day, lines, "log", 0.01, 30.0,
        thresholds=(_level(source, "anc"),), marks=_recovery_mark(source, "anc"),
    )  # fmt: skip


def _platelets(source: Source) -> Panel:
    lines = source.lines(("platelets", "Platelets", "red"))
    return Panel(
        "platelets", "Blood", "Platelets", source.unit("platelets"), source.day, lines, "log", 1.0, 1000.0,
        thresholds=(_level(source, "platelet"),), marks=_recovery_mark(source, "platelet"),
        ticks=[("transfusion", source.given("platelet_transfusions"))],
    )  # fmt: skip


def _haemoglobin(source: Source) -> Panel:
    lines = source.lines(("hb", "Haemoglobin", "red"))
    return Panel(
        "haemoglobin", "Blood", "Haemoglobin", source.unit("hb"), source.day, lines, low=6.0,
        ticks=[("transfusion", source.given("red_cell_transfusions"))],
    )  # fmt: skip


def _lymphocytes(source: Source) -> Panel:
    lines = source.lines(("cd4", "CD4 T", "blue"), ("cd8", "CD8 T", "red"), ("b", "B", "green"), ("nk", "NK", "orange"))
    return Panel(
        "lymphocytes", "Blood", "Lymphocyte subsets", source.unit("cd4"), source.day, lines, "log",
        thresholds=((200.0, "200"),) if source.unit("cd4") == UNITS["1/uL"] else (),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------- marrow


def groups(run: Run) -> dict[str, tuple[str, list[str]]]:
    """Return colour and kinds of every marrow group that the run knows; the last one holds all other kinds."""
    known = {title: (colour, [k for k in kinds if k in run.kinds]) for title, (colour, kinds) in MARROW.items()}
    grouped = {kind for _, kinds in MARROW.values() for kind in kinds}
    return known | {"Other": ("grey", [kind for kind in run.kinds if kind not in grouped])}


def _composition(source: Source) -> Panel:
    lines = []
    for title, (colour, kinds) in groups(source.run).items():
        cells = source.run.population(kinds)
        if cells.any():
            lines.append(Line(title, source.pick(cells) / 1e3, colour))
    return Panel(
        "marrow", "Marrow", "Marrow composition", "thousand cells in the patch", source.day, lines, "stack", low=0.0
    )  # fmt: skip


def _stem_cells(source: Source) -> Panel:
    population = source.course.counts[:, int(Count.POPULATION)]
    hsc, lsc = population[:, int(Kind.HSC)], population[:, int(Kind.LSC)]
    donor = hsc[:, list(ends.DONOR_ORIGINS)].sum(axis=1)
    cells = (("Host HSC", hsc[:, int(Origin.HOST)], "red"), ("Donor HSC", donor, "blue"),
             ("Leukaemic stem cells", lsc.sum(axis=1), "ink"))  # fmt: skip
    lines = [Line(t, positive(source.pick(number)), c, decimals=0) for t, number, c in cells if number.any()]
    return Panel(
        "stem_cells", "Marrow", "Stem cells by origin", "cells in the patch", source.day, lines, "log", low=0.7
    )  # fmt: skip


def _residual_disease(source: Source) -> Panel | None:
    if source.found["disease"] == "none":
        return None
    fraction, cells = ends.leukaemic_fraction(source.course.counts)
    limit = Line("Patch limit, 1 cell", source.pick(1.0 / np.maximum(cells, 1)), "grey", dashed=True)
    marks, relapse = [], source.found["relapse_day"]
    if isinstance(relapse, int):
        marks.append((relapse + source.zero, ends.RELAPSE, f"relapse, day {relapse:+d}"))
    return Panel(
        "leukaemia", "Leukaemia and graft", "Leukaemic cells in the marrow", "of nucleated cells", source.day,
        [Line("LSC and blasts", positive(source.pick(fraction)), "ink"), limit], "log", high=1.0,
        low=float(10.0 ** np.floor(np.log10(np.nanmin(limit.values)) - 0.3)),
        thresholds=((ends.RELAPSE, "5 %"), (ends.FLOW_POSITIVE, "0.1 %")), marks=marks,
        shade_below=limit,
        note="5 %: overt. 0.1 %: cut-off of flow cytometry. Below the dashed line: less than one cell of the patch.",
    )  # fmt: skip


def _chimerism(source: Source) -> Panel | None:
    if source.run.graft() is None:
        return None
    lines = source.lines(
        ("donor_myeloid", "Myeloid", "blue"), ("donor_t", "T", "red"), ("donor_b", "B", "green"),
        ("donor_nk", "NK", "orange"), ("donor_red", "Red cells", "purple"),
    )  # fmt: skip
    marrow = (("Marrow HSC", (Kind.HSC,), "ink"), ("Marrow CD34⁺", ends.CD34, "grey"))
    lines += [Line(t, source.pick(ends.donor_percent(source.course.counts, k)), c, dashed=True) for t, k, c in marrow]
    return Panel(
        "chimerism", "Leukaemia and graft", "Donor chimerism", "% donor", source.day, lines, low=0.0, high=100.0,
        thresholds=((95.0, "95"),), note="Above 95 %: full donor chimerism.",
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------- immunity


def _gvhd(source: Source) -> Panel | None:
    lines = source.lines(*zip(ORGANS, ("Skin", "Gut", "Liver"), ("orange", "green", "purple"), strict=True))
    if not lines or source.run.graft() is None:
        return None
    bands: list[Band] = []
    if "gvhd_grade" in source.run.body:
        grade = _grade(source, "gvhd_grade")
        lines, bands = [*lines, grade], _bands(source.day, grade.values)
    intact = any("intact" in column.doc for column in (source.run.body.get(n) for n in ORGANS) if column)
    return Panel(
        "gvhd", IMMUNITY, "Organs and GVHD", "intact share of the organ" if intact else "organ score",
        source.day, lines, low=0.0, high=1.0 if intact else None, bands=bands, note="Shading: overall grade.",
    )  # fmt: skip


def _grade(source: Source, name: str) -> Line:
    grade = np.floor(np.nan_to_num(source.pick(source.run.body[name].values)) + 1e-6)
    return Line("Grade", grade, "red", drawn=False, decimals=0)


def _engineered(source: Source) -> Panel | None:
    if not source.given("engineered_body").size:
        return None
    lines, grade = source.lines(("engineered_body", "Engineered T cells", "purple")), _grade(source, "crs_grade")
    return Panel(
        "engineered", IMMUNITY, "Engineered T cells", "cells of the body", source.day, [*lines, grade], "log", low=1e6,
        bands=_bands(source.day, grade.values), note="Shading: grade of cytokine release.",
    )  # fmt: skip


def _bands(day: Floats, grade: Floats) -> list[Band]:
    edges = np.flatnonzero(np.diff(grade)) + 1
    starts, stops = np.concatenate([[0], edges]), np.concatenate([edges, [len(day) - 1]])
    return [
        Band(float(day[a]), float(day[b]), int(grade[a]), ROMAN[min(int(grade[a]), 4)])
        for a, b in zip(starts, stops, strict=True)
        if grade[a] > 0
    ]


def _kills(source: Source) -> Panel | None:
    """Immune kills: leukaemic cells, and normal host cells on the patch."""
    run = source.run
    if "kill" not in run.count_rows or not run.events("kill").any():
        return None
    leukaemic = [kind for kind in ("lsc", "blast") if kind in run.kinds]
    normal = [kind for kind in run.kinds if kind not in leukaemic]
    lines = [
        Line("Leukaemic cells", _last_day(source, run.events("kill", leukaemic)), "ink"),
        Line("Normal host cells", _last_day(source, run.events("kill", normal, "host")), "orange"),
    ]
    title = "Cells killed by immune cells"
    return Panel("kills", IMMUNITY, title, "in the patch, last 24 h", source.day, lines, low=0.0)


def _last_day(source: Source, sums: Any) -> Floats:  # noqa: ANN401 - any array
    """Return the sum over the last 24 h at the drawn records from sums since the record before."""
    total, day = np.cumsum(np.asarray(sums, dtype=np.float64)), source.course.day
    return source.pick(total - np.interp(day - 1.0, day, total))


def _effectors(source: Source) -> Panel:
    lines = source.lines(
        ("allo_effectors", "Donor against host", "blue"), ("host_versus_graft_effectors", "Host against graft", "red")
    )
    return Panel(
        "effectors", IMMUNITY, "Alloreactive T cells", source.unit("allo_effectors"), source.day,
        [line._replace(values=positive(line.values)) for line in lines], "log", low=1e3,
    )  # fmt: skip


def _setting(source: Source) -> Panel:
    lines = source.lines(
        ("inflammation", "Inflammation", "red"), ("cni", "T-cell inhibition by drugs", "purple"),
        ("thymus", "Thymic function", "green"),
    )  # fmt: skip
    return Panel("setting", IMMUNITY, "Inflammation and immunosuppression", "relative", source.day, lines, low=0.0)


def _growth_factors(source: Source) -> Panel:
    wanted = (("gcsf", "G-CSF", "blue"), ("epo", "EPO", "red"), ("tpo", "TPO", "green"), ("flt3l", "FLT3L", "purple"),
              ("il7", "IL-7", "orange"))  # fmt: skip
    lines = source.lines(*wanted)
    units = {source.unit(name) for name, _, _ in wanted if name in source.run.body}
    unit = "× first value" if len(units) > 1 else "".join(units)
    if len(units) > 1:
        lines = [line._replace(values=line.values / line.values[0]) for line in lines if line.values[0] > 0]
    return Panel(
        "growth_factors", IMMUNITY, "Growth factors", unit or "relative to normal", source.day,
        [line._replace(values=positive(line.values)) for line in lines], "log",
    )  # fmt: skip
