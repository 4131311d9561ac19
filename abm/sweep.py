"""The command ``abm sweep``: one parameter of a scenario through several values, in patients without a lattice."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click

from abm.cli_options import SET, options
from abm.errors import ConfigError
from abm.scenario_files import scenario_path

if TYPE_CHECKING:
    from abm.config import Config

Row = tuple[float, ...]


def _list(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, ...]:
    """Split a list with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


@click.command(
    epilog="""\b
Examples: how much of a graft must lack CCR5, how many doses must be taken
  abm sweep ccr5_hiv events.7.ccr5_null 0,0.6,0.8,0.9,1 --observe hiv_load,ccr5_null \\
    --set patient.disease=none --set patient.blast_fraction=0 --set time.step_min=720
  abm sweep hiv_resistance events.0.adherence 0.1,0.3,0.5,0.7,1 --observe hiv_load,hiv_resistant
"""
)
@click.argument("scenario")
@click.argument("key")
@click.argument("values", callback=_list)
@click.option(
    "--observe",
    "names",
    callback=_list,
    required=True,
    metavar="NAMES",
    help="Of the body, with commas; `abm describe --observables` lists them.",
)
@options(SET)
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Patients a value.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("sweep.csv"), show_default=True, help="CSV file.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is already there.")
def sweep(
    scenario: str, key: str, values: tuple[str, ...], names: tuple[str, ...], overrides: tuple[str, ...],
    seeds: int, out: Path, overwrite: bool,
) -> None:  # fmt: skip
    """Follow SCENARIO without a lattice, KEY set to each of VALUES in turn; write what is observed over time.

    A row of the file is a patient on a day (every output.series_h). Printed is what is seen at the end, the median of
    the patients of a value. Leukaemia on the lattice has no place here: say `--set patient.disease=none --set
    patient.blast_fraction=0`, or sweep with `abm run` in a loop and draw with `abm compare`.
    """
    if not values:
        raise ConfigError("expected values with commas, such as 0,0.5,1", key=key)
    _check(names)
    if out.exists() and not overwrite:
        raise ConfigError("already there; replace it with --overwrite, or choose another with --out", file=out)
    from abm.config import load_config
    from abm.well_mixed import WellMixed

    path, numbers = scenario_path(scenario), range(1, seeds + 1)
    configs = [[load_config(path, [*overrides, f"{key}={value}"], seed) for seed in numbers] for value in values]
    for first, *_ in configs:  # what cannot be followed without a lattice is told before the file is begun
        _check_grafts(first)
        WellMixed(first)
    try:
        with out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow((key, "seed", "day", *names))
            width = max(24, len(key) + 2)
            click.echo(f"{key:<{width}}" + "".join(f"{name:>20}" for name in names))
            for value, patients in zip(values, configs, strict=True):
                last = []
                for seed, config in zip(numbers, patients, strict=True):
                    rows = list(follow(config, names))
                    writer.writerows((value, seed, *(f"{x:.6g}" for x in row)) for row in rows)
                    last.append(rows[-1][1:])
                click.echo(f"{value:<{width}}" + "".join(f"{median(seen):>20.5g}" for seen in zip(*last, strict=True)))
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=out) from None
    click.echo(out)


def _check(names: Sequence[str]) -> None:
    from abm import observe
    from abm.model.body import OBSERVABLES
    from abm.tables import did_you_mean

    for name in names:
        if name in observe.OBSERVABLES:
            message = f"{name} is of the marrow, which a sweep does not have; expected an observable of the body"
            raise ConfigError(message, file="--observe")
        if name not in OBSERVABLES:
            message = f"expected an observable of the body, found {name}{did_you_mean(name, OBSERVABLES)}"
            raise ConfigError(message, file="--observe")


def _check_grafts(config: Config) -> None:
    """Refuse edited grafts: without a lattice nobody follows which cells carry the edit, and it would do nothing."""
    for index, event in enumerate(config.events):
        if event.action == "graft" and event.edit is not None:
            message = "expected none: a patient without a lattice follows no edits (abm run and abm validate do)"
            raise config.error(f"events.{index}.edit", message)


def follow(config: Config, names: Sequence[str]) -> Iterator[Row]:
    """Yield day and observables of a patient without a lattice at the times of ``output.series_h``, and at the end."""
    from abm.well_mixed import WellMixed

    patient = WellMixed(config)
    every = config.output.series_h * 60 // config.time.step_min
    while True:
        if patient.step % every == 0 or patient.over:
            seen = patient.body.observables()
            yield (config.day(patient.step), *(seen[name] for name in names))
        if patient.over:
            return
        patient.advance()
