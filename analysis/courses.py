"""Figures of what only some runs have: residual leukaemia, edits, infections, HIV, antibodies, autoimmunity, IgG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from abm.read_outs import lacks_igg

from .panels import IMMUNITY, Line, Panel, Source, positive

COURSE = "Course of the disease"
DETECTED = 50.0  #: copies of HIV RNA per mL that usual assays see
LINEAGES = (("CD4", "blue"), ("CD8", "red"), ("B", "green"))
WORTH_DRAWING = 0.02  #: change in the share of thymocytes that escapes negative selection
PATHOGENS = (
    ("bacteria", "Bacteria", "blue"), ("fungi", "Fungi", "orange"), ("cmv", "CMV", "red"), ("ebv", "EBV", "purple"),
)  # fmt: skip

Wanted = Sequence[tuple[str, str, str]]


def panels(source: Source) -> list[Panel | None]:
    """Return the figures of everything that goes on in this run; ``None`` for what does not."""
    return [
        _repertoire(source), _new_receptors(source), _selection(source), _antibodies(source), _igg(source),
        _infections(source),
        _edited(source), _residue(source), _hiv(source), _virus(source), _infected(source), _sclerosis(source),
        _lupus(source), _lupus_loop(source), _variants(source),
    ]  # fmt: skip


def _lines(source: Source, *wanted: tuple[str, str, str], log: bool = False) -> list[Line]:
    """Return the lines of observables that are ever above nothing; ``log``: with gaps where there is no logarithm."""
    there = [line for line in source.lines(*wanted) if np.nan_to_num(line.values).max(initial=0.0) > 0.0]
    return [line._replace(values=positive(line.values)) for line in there] if log else there


def _repertoire(source: Source) -> Panel | None:
    lines = _lines(source, *((f"{x.lower()}_shannon", x, hue) for x, hue in LINEAGES))
    return Panel(
        "repertoire", IMMUNITY, "Diversity of T- and B-cell clones", "Shannon entropy, nats", source.day, lines,
        low=0.0, note="Of a sample of cells of the body; Simpson, Chao1 and overlap stand in the series.",
    )  # fmt: skip


def _new_receptors(source: Source) -> Panel | None:
    lineages = ((f"{x.lower()}_new", x, hue) for x, hue in LINEAGES)
    lines = _lines(source, *lineages, ("plasma_new", "Plasma cells", "purple"))
    return Panel(
        "new_receptors", IMMUNITY, "Lymphocytes whose receptors are new", "share made since the start", source.day,
        lines, low=0.0, high=1.0,
    )  # fmt: skip


def _selection(source: Source) -> Panel | None:
    escape = _lines(source, ("escape_self", "", "ink"))
    if not escape or float(np.ptp(escape[0].values)) < WORTH_DRAWING:
        return None
    lines = _lines(
        source, ("escape_self", "See tissue", "blue"), ("escape_host_blood", "See blood cells of the host", "red"),
        ("escape_donor", "See the donor", "green"),
    )  # fmt: skip
    return Panel(
        "selection", IMMUNITY, "Negative selection", "share of thymocytes that escapes", source.day, lines,
        low=0.0, high=1.0,
    )  # fmt: skip


def _antibodies(source: Source) -> Panel | None:
    if not _lines(source, ("antibodies", "", "ink")):
        return None
    lines = _lines(
        source, ("pd1_blocked", "PD-1 blocked", "purple"), ("ctla4_blocked", "CTLA-4 blocked", "sky"),
        ("lent", "T cells with a receptor on loan", "green"), ("exhaustion", "Exhaustion of T cells", "red"),
    )  # fmt: skip
    title = lines[0].label if len(lines) == 1 else "Antibodies and T cells"
    return Panel("antibodies", IMMUNITY, title, "share", source.day, lines, low=0.0, high=1.0)


def _igg(source: Source) -> Panel | None:
    lines = source.lines(("igg", "Immunoglobulin G", "ink"), ("host_igg", "made by cells of the host", "blue"))
    if not lines or not lacks_igg(lines[0].values):
        return None
    return Panel(
        "igg", IMMUNITY, "Immunoglobulin G", source.unit("igg"), source.day, lines, low=0.0,
        note="Antibody against former vaccines and the number of plasma cells stand in the series.",
    )  # fmt: skip


def _infections(source: Source) -> Panel | None:
    lines = _lines(source, *((f"{name}_load", text, colour) for name, text, colour in PATHOGENS), log=True)
    told = [(text, source.given(f"{name}_episodes")) for name, text, _ in PATHOGENS]
    return Panel(
        "infections", IMMUNITY, "Infections", "load, relative", source.day, lines, "log", 0.01, 100.0,
        thresholds=((1.0, "told"),), ticks=[(f"{text}, episode", days) for text, days in told if days.size],
        note="1: told by fever, antigen or copies.",
    )  # fmt: skip


def _edited(source: Source) -> Panel | None:
    lines = _lines(
        source, ("altered_share_neutrophils", "Neutrophils", "blue"), ("altered_share_monocytes", "Monocytes", "sky"),
        ("altered_share_platelets", "Platelets", "red"), ("altered_share_t", "T", "orange"),
        ("altered_share_b", "B", "green"), ("altered_share_nk", "NK", "purple"),
    )  # fmt: skip
    marrow = _lines(source, ("edited_hsc", "Marrow HSC, any allele", "ink"))
    lines += [line._replace(dashed=True) for line in marrow]
    return Panel(
        "edited", COURSE, "Edited cells by lineage", "share", source.day, lines, low=0.0, high=1.0,
        note="Both alleles lost, or the added gene there; of stem cells, at least one allele edited.",
    )  # fmt: skip


def _residue(source: Source) -> Panel | None:
    if not _lines(source, ("residual_share", "", "ink")):
        return None
    wanted = (
        ("residual_stem_cells", "Leukaemic stem cells", "ink"),
        ("escaped_stem_cells", "without antigen, or resistant", "red"),
    )
    lines = _lines(source, *wanted, log=True)
    return Panel(
        "residue", COURSE, "Leukaemic stem cells of the whole marrow", "cells", source.day, lines, "log", low=1.0,
        note="Followed in numbers while they are fewer than some agents of the patch.",
    )  # fmt: skip


def _hiv(source: Source) -> Panel | None:
    lines = _lines(source, ("hiv_load", "HIV RNA", "red"), log=True)
    return Panel(
        "hiv", COURSE, "HIV RNA in plasma", source.unit("hiv_load"), source.day, lines, "log", 1.0, 1e7,
        thresholds=((DETECTED, f"{DETECTED:g}"),), note="Dotted line: what usual assays see.",
    )  # fmt: skip


def _virus(source: Source) -> Panel | None:
    if not _lines(source, ("hiv_load", "", "ink")):
        return None
    lines = source.lines(
        ("ccr5_null", "CD4 cells without CCR5", "blue"), ("hiv_x4", "Virus that uses CXCR4", "orange"),
        ("hiv_resistant", "Virus that resists therapy", "red"),
    )  # fmt: skip
    return Panel("virus", COURSE, "Virus and cells it cannot enter", "share", source.day, lines, low=0.0, high=1.0)


def _infected(source: Source) -> Panel | None:
    wanted = (("hiv_share", "Whole body", "blue"), ("marrow_hiv", "Marrow lattice", "red"))
    return Panel(
        "infected", COURSE, "CD4 cells with HIV", "share of memory and regulatory cells", source.day,
        _lines(source, *wanted, log=True), "log", 1e-5, 1.0,
        note="The lattice shows whole agents, few of which are infected: gaps are records without any.",
    )  # fmt: skip


def _sclerosis(source: Source) -> Panel | None:
    lines = _lines(source, ("edss", "EDSS", "ink"))
    happened = (("relapse", source.given("ms_relapses")), ("new lesion", source.given("ms_lesions")))
    return Panel(
        "sclerosis", COURSE, "Disability in multiple sclerosis", "EDSS, points", source.day, lines, low=0.0, high=10.0,
        ticks=[(text, days) for text, days in happened if days.size],
    )  # fmt: skip


def _lupus(source: Source) -> Panel | None:
    lines = _lines(source, ("sledai", "SLEDAI", "ink"))
    flares = source.given("sle_flares")
    return Panel(
        "lupus", COURSE, "Activity of lupus", "SLEDAI, points", source.day, lines, low=0.0,
        ticks=[("flare", flares)] if flares.size else [],
    )  # fmt: skip


def _lupus_loop(source: Source) -> Panel | None:
    if not _lines(source, ("sledai", "", "ink")):
        return None
    lines = _lines(
        source, ("autoantibody", "Autoantibody", "red"), ("interferon", "Interferon", "purple"),
        ("nuclear_b", "Nuclear-reactive B cells", "green"), ("vaccine_titre", "Antibody of vaccines", "blue"),
    )  # fmt: skip
    return Panel(
        "lupus_loop", COURSE, "What drives lupus", "relative to active disease", source.day, lines, low=0.0
    )  # fmt: skip


def _variants(source: Source) -> Panel | None:
    wanted: Wanted = (
        ("hsc_variant_1", "Stem cells, variant 1", "blue"), ("hsc_variant_2", "variant 2", "red"),
        ("hsc_variant_3", "variant 3", "orange"), ("vaf", "Variant allele frequency, myeloid", "ink"),
    )  # fmt: skip
    return Panel(
        "variants", COURSE, "Clones of variants", "share", source.day, _lines(source, *wanted), low=0.0, high=1.0,
        note="Variants are numbered in variants.csv.",
    )  # fmt: skip
