"""The command ``abm outcomes``: survival and incidence in a cohort of finished runs."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from abm.errors import ConfigError

if TYPE_CHECKING:
    from abm.endpoints import Value

DAYS = (100, 180, 365)


@click.command(
    epilog="""\b
Example:
  for seed in 1 2 3; do abm run allo_sibling --seed $seed --set patient.may_die=true; done
  abm outcomes runs/allo_sibling-seed* --out allo_sibling.csv
"""
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--out", type=click.Path(path_type=Path), help="CSV file for the whole curves.")
def outcomes(runs: Sequence[Path], out: Path | None) -> None:
    """Tell survival, relapse, GVHD and causes of death of the cohort whose runs are in DIR...

    Who lives at the end of the run is censored there. Rival events (relapse and death without it) are told apart by
    cumulative incidence, with 95 % intervals. Without patient.may_die nobody dies.
    """
    places = [folder.resolve() for folder in runs]
    for number, folder in enumerate(runs):
        if places[number] in places[:number]:
            raise ConfigError("stands twice; expected each patient once", file=folder)
    found = [_endpoints(folder) for folder in runs]
    for line in table(found):
        click.echo(line)
    if out:
        _write(found, out)
        click.echo(out)


def _endpoints(folder: Path) -> dict[str, Value]:
    from importlib import import_module

    from abm import resources

    resources.load_analysis()
    read = import_module("abm_analysis.read")
    try:
        found: dict[str, Value] = read.open_run(folder).endpoints()
    except read.RunError as error:
        raise ConfigError(str(error)) from None
    if not found:
        raise ConfigError("the run has no records yet", file=folder)
    return found


def table(found: Sequence[dict[str, Value]]) -> Iterator[str]:
    """Yield the lines of a cohort from the endpoints of its runs."""
    from abm.outcomes import OUTCOMES, at, times

    before = [one for one in found if not _begun(one)]
    found = [one for one in found if _begun(one)]
    if before:
        yield f"{len(before)} died or ended before day 0 and are not counted"
    if not found:
        return
    each = [times(one) for one in found]
    longest = max(time["os"].day for time in each)
    days = [day for day in DAYS if day <= longest] or [int(longest)]
    yield f"{f'{len(found)} patients':<44}" + "".join(f"{f'day {day}':>22}" for day in days)
    for name, outcome in OUTCOMES.items():
        shown = [at([time[name] for time in each], day, survives=outcome.survives) for day in days]
        texts = (f"{100 * p.share:.0f} % ({100 * p.low:.0f}-{100 * p.high:.0f})" for p in shown)
        yield f"{outcome.label:<44}" + "".join(f"{text:>22}" for text in texts)
    causes = Counter(str(one["death_cause"]) for one in found if one.get("death_cause"))
    yield "died of: " + (", ".join(f"{cause} {n}" for cause, n in causes.most_common()) or "nothing")
    failures = Counter(str(one["graft_outcome"]) for one in found if one.get("graft_outcome"))
    yield "grafts: " + (", ".join(f"{fate} {n}" for fate, n in failures.most_common()) or "none to judge")
    courses = Counter(str(one["disease"]) for one in found if one.get("disease") not in (None, "none"))
    if courses:
        yield "leukaemia: " + ", ".join(f"{course} {n}" for course, n in courses.most_common())


def _begun(one: dict[str, Value]) -> bool:
    """Whether the patient was followed on the day from which days count, that of the graft."""
    end = one["end_day"]
    return isinstance(end, int | float) and end >= 0.0


def _write(found: Sequence[dict[str, Value]], out: Path) -> None:
    from abm.outcomes import OUTCOMES, curve, times

    each = [times(one) for one in found if _begun(one)]
    try:
        with out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("outcome", "day", "share", "low", "high", "at_risk"))
            for name, outcome in OUTCOMES.items():
                for point in curve([time[name] for time in each], survives=outcome.survives):
                    writer.writerow((name, *(f"{x:.6g}" for x in point)))
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=out) from None
