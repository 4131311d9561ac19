"""The command ``abm validate``. Imports of weight happen inside, so that ``--help`` is instant."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from abm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from abm.validation.comparison import Cohorts, Look

#: Fewer than this many seconds between two progress lines are not worth a line.
EVERY_S = 5.0


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Split a list with commas."""
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())


@click.command(
    epilog="""\b
Examples:
  abm validate --quick                     what can be said in ten minutes on 2 cores
  abm validate --quick --budget 75         small patches still, more patients: 75 min of one core
  abm validate --check                     what whole cohorts take; writes nothing
  abm validate                             whole cohorts
  abm validate --section A,B --species human
  abm validate --only O04,O28.difference   rows, or single numbers of them
  abm validate --section V                 checks of the engine itself

\b
A row passes if the observed value lies in the published band; near: it misses by less than half the band's
width; undecided: the cohort is too small for this band; not modelled: says why, and counts as not in band.
Cohorts begin with 3 to 6 patients and grow by doubling while the interval of a row that needs them lies neither inside
nor outside its band as a whole, up to the protocol's number; with --seeds they have that number at once. A budget is
shared out by an estimate of the work, rows of weight 3 first, so that every machine simulates the same patients; rows
that it does not reach are listed.
Finished patients are kept in OUT/patients: a second call runs what is missing, or what a change of rules,
kernels or code has made out of date. The targets stand in analysis/targets/*.toml; --targets takes your own.
"""
)
@click.option("--only", callback=_names, metavar="IDS", help="These rows (O04) or parts (O04.anc), with commas.")
@click.option("--section", "sections", callback=_names, metavar="NAMES", help="Sections: A to M or V.")
@click.option("--species", metavar="NAME", help="human or mouse.  [default: both]")
@click.option("--quick", is_flag=True, help="Small patches, few patients, short runs.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("validation"), show_default=True, help="Folder.")
@click.option(
    "--seeds", type=click.IntRange(1), metavar="N", help="Patients of each cohort, instead of its own number."
)
@click.option(
    "--budget",
    type=click.FloatRange(0.0, min_open=True),
    metavar="MIN",
    help="Processor minutes of all patients, by estimate.  [default: 18 with --quick, else none]",
)
@click.option("--check", is_flag=True, help="Say what it takes; simulate and write nothing.")
@click.option(
    "--targets",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Target files instead of the shipped ones.",
)
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Runs side by side.  [default: all cores]")
def validate(
    only: tuple[str, ...],
    sections: tuple[str, ...],
    species: str | None,
    quick: bool,
    out: Path,
    seeds: int | None,
    budget: float | None,
    check: bool,
    folder: Path | None,
    jobs: int | None,
) -> None:
    """Compare the model with published data: simulate cohorts, print a table, write validation.json and a page.

    Each target is a number with a band from the literature. One set of rules per species serves all of them; patients
    differ by stated priors only.
    """
    from abm.run_folder import check_writable
    from abm.validation import comparison, output, score, targets, work

    if seeds and budget is not None:
        raise ConfigError("expected without --seeds, which says how many patients there are", file="--budget")
    _check_species(species)
    catalogue, size = targets.read_catalogue(folder), comparison.Size(quick, seeds, budget)
    chosen = targets.choose(catalogue, only, sections, species)
    left_out = score.too_large(chosen, catalogue.protocols) if quick else []
    wanted = [target for target in chosen if target not in left_out]
    if not wanted:
        raise ConfigError("no target is left by these options", file="--only, --section, --species, --quick")
    cohorts, jobs = comparison.Cohorts(catalogue, wanted, size), jobs or os.cpu_count() or 1
    for line in forecast(cohorts, jobs):
        click.echo(line, err=not check)
    if check:
        return
    check_writable(out)
    click.echo(f"backend {work.prepare()}", err=True)
    began = time.monotonic()
    with work.Workers(jobs) as workers:
        rows, results = comparison.compare(cohorts, work.Store(out / work.FOLDER), workers, Progress)
    for line in output.table(rows):
        click.echo(line)
    names = [target.name for target in left_out]
    if names:
        click.echo(f"left out of --quick, their cohorts are too large: {', '.join(names)}")
    asked = {"quick": quick, "seeds": seeds, "only": list(only), "sections": list(sections), "species": species}
    how = {**asked, "left_out": names, **output.effort(cohorts, results, jobs, time.monotonic() - began)}
    for path in output.write(out, output.document(rows, catalogue, how), results):
        click.echo(f"{path}: written")


def _check_species(name: str | None) -> None:
    from abm.tables import did_you_mean
    from abm.validation.targets import SPECIES

    if name is not None and name not in SPECIES:
        message = f"expected one of {', '.join(SPECIES)}, found {name!r}{did_you_mean(name, SPECIES)}"
        raise ConfigError(message, file="--species")


def forecast(cohorts: Cohorts, jobs: int) -> Iterator[str]:
    """Yield what the comparison will take, by estimate."""
    plan = cohorts.plan
    whole = plan.spent_s(plan.most)
    yield (
        f"{sum(n > 0 for n in plan.most.values())} cohorts; complete they have {sum(plan.most.values())} patients: "
        f"about {whole / 60:.0f} min of processor time, {whole / 60 / jobs:.0f} min with {jobs} jobs"
    )
    if plan.budget_s < whole:
        yield (
            f"budget {plan.budget_s / 60:g} min of processor time, about {plan.budget_s / 60 / jobs:.0f} min with "
            f"{jobs} jobs; rows of weight 3 come first"
        )


class Progress:
    """Prints now and then how many patients are done and how long the rest may take."""

    def __init__(self, look: Look | None = None) -> None:
        """Start the clock; nothing is printed yet. ``look``: what is asked for, where it is one of several."""
        self.look, self.last, self.begun = look, 0.0, False

    def __call__(self, done: int, total: int, spent_s: float, work_s: tuple[float, float]) -> None:
        """Print a line unless the last one is fresh.

        Args:
            done: patients that are finished.
            total: all patients.
            spent_s: time that has passed.
            work_s: processor time that was estimated for those done in this time, and for those to do.
        """
        if not self.begun:
            self.begun = True
            kept = f", {done} of them already there" if done else ""
            number = f"look {self.look.number}: " if self.look else ""
            click.echo(f"{number}{total} patients{kept}; about {work_s[1] / 60:.1f} min of processor time", err=True)
            return
        if done < total and time.monotonic() - self.last < EVERY_S:
            return
        self.last = time.monotonic()
        (behind, ahead), more = work_s, ""
        rate, ahead = (spent_s / behind if behind > 0.0 else 0.0), max(ahead, 0.0)
        if self.look and self.look.later_s:
            more = f", at most {rate * (ahead + self.look.later_s):.0f} s if cohorts have to grow"
        click.echo(f"patient {done} of {total}, {spent_s:.0f} s, about {rate * ahead:.0f} s left{more}", err=True)
