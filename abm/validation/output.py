"""What a comparison prints and leaves: a table, ``validation.json`` and a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from math import isfinite, isinf, isnan
from pathlib import Path
from typing import Any

import abm
from abm import kernel, resources
from abm.io.atomic import write_bytes
from abm.tables import rules_digest
from abm.validation import looks
from abm.validation import statistics as stats
from abm.validation.cases import code_digest
from abm.validation.comparison import Cohorts
from abm.validation.patient import Result
from abm.validation.score import Row, totals
from abm.validation.targets import Catalogue

FORMAT_VERSION = 1
JSON_FILE, PAGE_FILE, CHECKS_FILE = "validation.json", "validation.html", "patch_and_step.json"
_WHAT = 46  #: characters of the description in the table


def number(value: float) -> str:
    """Return a number with three digits, as the table shows it."""
    if isnan(value):
        return "-"
    if isinf(value):
        return "not reached"
    return f"{value:.3g}" if abs(value) < 1e4 else f"{value:.2e}"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table, aligned, and the totals."""
    head = ("id", "what", "observed", "95 % interval", "band", "unit", "weight", "n", "result", "CPU s")
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    for line in cells:
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.reason:
            reasons.setdefault((row.result, row.reason), []).append(row.target.name)
    yield from (f"{result}, {reason}: {', '.join(names)}" for (result, reason), names in reasons.items())
    found = totals(rows)
    yield f"in band, weight 3: {_of(found['weight_3_in_band'], found['weight_3_rows'])}"
    yield f"in band, all rows: {_of(found['in_band'], found['rows'])}"


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole}" + (f" ({100 * part / whole:.0f} %)" if whole else "")


def _cells(row: Row) -> tuple[str, ...]:
    target, estimate = row.target, row.estimate
    what = target.what if len(target.what) <= _WHAT else f"{target.what[: _WHAT - 3]}..."
    ci = "-" if estimate.ci is None else f"{number(estimate.ci[0])} to {number(estimate.ci[1])}"
    band = "-" if target.band is None else f"{number(target.band[0])} to {number(target.band[1])}"
    spent = f"{row.cpu_s:.0f}" if row.values else "-"
    return (target.name, what, number(estimate.value), ci, band, target.unit, str(target.weight), str(estimate.n),
            row.result, spent)  # fmt: skip


def document(rows: Sequence[Row], catalogue: Catalogue, how: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything but the curves as one JSON object."""
    return {
        "format_version": FORMAT_VERSION,
        "provenance": provenance(),
        "how": dict(how),
        "totals": totals(rows),
        "targets": [_entry(row, catalogue.section_of(row.target)) for row in rows],
    }


def effort(
    cohorts: Cohorts, results: Mapping[str, Sequence[Result]], jobs: int, wall_s: float
) -> dict[str, int | float | None]:
    """Return how many patients there were, what was estimated for them and what they took.

    Args:
        cohorts: who was asked for.
        results: all patients by protocol, those of earlier calls among them.
        jobs: processes side by side.
        wall_s: time that passed in this call.
    """
    plan, everyone = cohorts.plan, [result for members in results.values() for result in members]
    return {
        "budget_min": plan.budget_s / 60.0 if isfinite(plan.budget_s) else None,
        "first": looks.FIRST,
        "growth": looks.GROWTH,
        "patients": len(everyone),
        "estimated_s": round(plan.spent_s({name: len(members) for name, members in results.items()}), 1),
        "cpu_s": round(sum(float(result["cpu_s"]) for result in everyone), 1),
        "jobs": jobs,
        "wall_s": round(wall_s, 1),
    }


def provenance() -> dict[str, Any]:
    """Return what the numbers depend on."""
    rules = resources.folder("scenarios") / "rules"
    return {
        "code_version": abm.__version__,
        "code_digest": code_digest(),
        "kernel_digest": kernel.digest(),
        "rules_hash": {path.name: rules_digest(path) for path in sorted(rules.iterdir()) if path.is_dir()},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _entry(row: Row, section: str) -> dict[str, Any]:
    target, (value, ci, n) = row.target, row.estimate
    stated = target.model_dump(exclude={"protocol", "not_modelled"}, exclude_none=True)
    return {
        **{key: text for key, text in stated.items() if text != "" or key == "part"},
        "section": section,
        "protocols": list(target.protocol),
        "band": None if target.band is None else list(target.band),
        "observed": stats.finite(value),
        "not_reached": stats.not_reached(value),
        "ci": None if ci is None else [stats.finite(end) for end in ci],
        "n": n,
        "values": [stats.finite(value) for value in row.values],
        "result": row.result,
        "would_do": row.would_do,
        "reason": row.reason,
        "cpu_s": round(row.cpu_s, 1),
        "wall_s": round(row.wall_s, 1),
    }


def patch_and_step() -> dict[str, Any] | None:
    """Return the shipped comparison of patches and steps: V2 and V3 of a run of their own, too dear for every one."""
    path = resources.folder("analysis") / "validation" / CHECKS_FILE
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found


def write(out: Path, content: Mapping[str, Any], results: Mapping[str, Sequence[Result]]) -> list[Path]:
    """Write JSON and page into ``out``; return the files."""
    out.mkdir(parents=True, exist_ok=True)
    resources.load_analysis()
    page = import_module("abm_analysis.validation_page").page(content, results, patch_and_step())
    files = [(JSON_FILE, json.dumps(content, indent=1, allow_nan=False) + "\n"), (PAGE_FILE, page)]
    for name, text in files:
        write_bytes(out / name, text.encode("utf-8"))
    return [out / name for name, _ in files]
