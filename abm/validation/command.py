"""The command ``abm validate``. Imports of weight happen inside, so that ``--help`` is instant."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from abm.errors import ConfigError

if TYPE_CHECKING:
    from abm.validation.patient import Result
    from abm.validation.score import Row
    from abm.validation.targets import Catalogue, Target

#: Fewer than this many seconds between two progress lines are not worth a line.
EVERY_S = 5.0


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Split a list with commas."""
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())


@click.command(
    epilog="""\b
Examples:
  abm validate --quick                     what can be said in a quarter of an hour on 2 cores
  abm validate                             whole cohorts: a day on 2 cores, an hour on a node
  abm validate --section A --species human
  abm validate --only O04,O28.difference   rows, or single numbers of them
  abm validate --section V                 checks of the engine itself

\b
A row passes if the observed value lies in the published band; near: it misses by less than half the band's
width; undecided: the cohort is too small for this band; not modelled: says why, and counts as not in band.
Cohorts grow from 3 patients by doubling while the interval of a row that needs them lies neither inside nor outside
its band as a whole, up to the protocol's number; with --seeds they have that number at once.
Finished patients are kept in OUT/patients: a second call runs what is missing, or what a change of rules,
kernels or code has made out of date. The targets stand in analysis/targets/*.toml; --targets takes your own.
"""
)
@click.option("--only", callback=_names, metavar="IDS", help="These rows (O04) or parts (O04.anc), with commas.")
@click.option("--section", "sections", callback=_names, metavar="NAMES", help="Sections: A to L or V.")
@click.option("--species", metavar="NAME", help="human or mouse.  [default: both]")
@click.option("--quick", is_flag=True, help="Small patches, few patients, short runs.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("validation"), show_default=True, help="Folder.")
@click.option(
    "--seeds", type=click.IntRange(1), metavar="N", help="Patients of each cohort, instead of its own number."
)
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
    folder: Path | None,
    jobs: int | None,
) -> None:
    """Compare the model with published data: simulate cohorts, print a table, write validation.json and a page.

    Each target is a number with a band from the literature. One set of rules per species serves all of them; patients
    differ by stated priors only.
    """
    from abm.validation import looks, output, score, targets

    _check_species(species)
    catalogue = targets.read_catalogue(folder)
    chosen = targets.choose(catalogue, only, sections, species)
    left_out = score.too_large(chosen, catalogue.protocols) if quick else []
    wanted = [target for target in chosen if target not in left_out]
    if not wanted:
        raise ConfigError("no target is left by these options", file="--only, --section, --species, --quick")
    rows, results = compare(catalogue, wanted, out, quick=quick, seeds=seeds, jobs=jobs or os.cpu_count() or 1)
    for line in output.table(rows):
        click.echo(line)
    names = [target.name for target in left_out]
    if names:
        click.echo(f"left out of --quick, their cohorts are too large: {', '.join(names)}")
    grown = None if seeds else {"first": looks.FIRST, "growth": looks.GROWTH}
    options = {
        "quick": quick,
        "seeds": seeds,
        "looks": grown,
        "only": list(only),
        "sections": list(sections),
        "species": species,
    }
    for path in output.write(out, output.document(rows, catalogue, {**options, "left_out": names}), results):
        click.echo(f"{path}: written")


def _check_species(name: str | None) -> None:
    from abm.tables import did_you_mean
    from abm.validation.targets import SPECIES

    if name is not None and name not in SPECIES:
        message = f"expected one of {', '.join(SPECIES)}, found {name!r}{did_you_mean(name, SPECIES)}"
        raise ConfigError(message, file="--species")


def compare(
    catalogue: Catalogue, wanted: list[Target], out: Path, *, quick: bool, seeds: int | None, jobs: int
) -> tuple[list[Row], dict[str, list[Result]]]:
    """Run what the targets need; return a row for each, and the results of all patients by protocol.

    Cohorts grow from look to look (``looks``), unless ``seeds`` says how many patients they have.
    """
    from abm.validation import cases, looks, score, work

    names = score.needed(wanted, catalogue.protocols)
    absent = {name: cases.missing(catalogue.protocols[name]) for name in names}
    cohorts = {
        name: [] if absent[name] else cases.cases(name, catalogue.protocols[name], quick=quick, seeds=seeds)
        for name in names
    }
    click.echo(f"backend {work.prepare()}", err=True)
    most = {name: len(members) for name, members in cohorts.items()}
    now, store = most if seeds else looks.first(most), work.Store(out / work.FOLDER)
    while True:
        here = [case for name, members in cohorts.items() for case in members[: now[name]]]
        later = [case for name, members in cohorts.items() for case in members[now[name] :]]
        found = work.run_all(here, store, jobs, Progress(sum(case.work_s for case in later)))
        results = {name: [found[case] for case in members[: now[name]]] for name, members in cohorts.items()}
        rows = [score.score(target, results, absent) for target in wanted]
        if (following := looks.grown(rows, now, most)) == now:
            return rows, results
        now = following


class Progress:
    """Prints now and then how many patients are done and how long the rest may take."""

    def __init__(self, later_s: float = 0.0) -> None:
        """Start the clock; nothing is printed yet.

        Args:
            later_s: processor time that patients may take who are simulated only if these do not suffice, about.
        """
        self.later_s, self.last, self.begun = later_s, 0.0, False

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
            click.echo(f"{total} patients{kept}", err=True)
            return
        if done < total and time.monotonic() - self.last < EVERY_S:
            return
        self.last = time.monotonic()
        (behind, ahead), more = work_s, ""
        rate, ahead = (spent_s / behind if behind > 0.0 else 0.0), max(ahead, 0.0)
        if self.later_s:
            more = f", at most {rate * (ahead + self.later_s):.0f} s if all cohorts have to grow"
        click.echo(f"patient {done} of {total}, {spent_s:.0f} s, about {rate * ahead:.0f} s left{more}", err=True)
