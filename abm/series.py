"""The commands ``abm table`` and ``abm compare``: the time series of runs as files for other programs, and arms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click

from abm.errors import ConfigError

#: What ``abm compare`` shows unless it is told.
USUAL = "anc,platelets,blast_percent,donor_myeloid"
#: Kinds of pictures that it draws, by how their names end.
PICTURES = (".png", ".svg", ".pdf")


def _names(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, ...]:
    """Split a list with commas."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _analysis(name: str) -> ModuleType:
    from abm import resources

    resources.load_analysis()
    return import_module(f"abm_analysis.{name}")


def _check_free(out: Path, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise ConfigError("already there; replace it with --overwrite, or choose another with --out", file=out)


def _written(write: Callable[[], None], out: Path) -> None:
    """Write, and say so; or say in one line why it cannot be done."""
    try:
        write()
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=out) from None
    click.echo(out)


@click.command(
    epilog="""\b
Examples:
  abm table runs/aml_hsct-seed1
  abm table runs/aml_hsct-seed1 --tidy --out long.csv
In Python: pandas.read_csv("runs/aml_hsct-seed1/table.csv").
"""
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--tidy", is_flag=True, help="A row for each day, quantity, kind and origin, instead of one for each day."
)
@click.option("--out", type=click.Path(path_type=Path), help="CSV file.  [default: DIRECTORY/table.csv]")
@click.option("--overwrite", is_flag=True, help="Replace a file that is already there.")
def table(directory: Path, tidy: bool, out: Path | None, overwrite: bool) -> None:
    """Write the time series of the run in DIRECTORY as CSV: blood, body, and cells by kind and origin.

    A row is a day (every output.series_h); the header tells the units. What the names mean: `abm describe
    --observables`.
    """
    read = _analysis("read")
    try:
        run = read.open_run(directory)
    except read.RunError as error:
        raise ConfigError(str(error)) from None
    file = out or directory / "table.csv"
    _check_free(file, overwrite)
    _written(lambda: (read.write_tidy if tidy else read.write_wide)(run, file), file)


@click.command(
    epilog="""\b
Example: does a graft without CD33 shield the blood from CAR-T cells? Five patients with the edit and five without
  for seed in 1 2 3 4 5; do
    abm run cd33ko_cart --seed $seed --out runs/edited-seed$seed
    abm run cd33ko_cart --seed $seed --out runs/unedited-seed$seed --set events.graft.edit.efficiency=0
  done
  abm compare runs/edited-seed* runs/unedited-seed* --observe anc,platelets --out arms.png
"""
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option(
    "--observe", "names", callback=_names, default=USUAL, show_default=True, metavar="NAMES",
    help="What to compare, with commas; `abm describe --observables` lists them.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("compare.png"), show_default=True,
    help="Picture; a CSV file of that name stands beside it.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace files that are already there.")
def compare(runs: Sequence[Path], names: tuple[str, ...], out: Path, overwrite: bool) -> None:
    """Compare arms of patients whose runs are in DIR...: median and range over time, as a picture and a CSV file.

    An arm is all directories of one name before -seedN. Who has died, or was followed for less time, no longer counts
    from then on. Printed is the last day of each arm.
    """
    places = [folder.resolve() for folder in runs]
    for number, folder in enumerate(runs):
        if places[number] in places[:number]:
            raise ConfigError("stands twice; expected each patient once", file=folder)
        if places[number].name in [place.name for place in places[:number]]:
            raise ConfigError("another folder has this name, by which arms are told apart; rename one", file=folder)
    if not names:
        raise ConfigError("expected names with commas, such as anc,platelets", file="--observe")
    if out.suffix.lower() not in PICTURES:
        raise ConfigError(f"expected a picture: a name that ends in {', '.join(PICTURES)}", file=out)
    arms = _analysis("arms")
    csv_file = out.with_suffix(".csv")
    for file in (out, csv_file):
        _check_free(file, overwrite)
    try:
        found = arms.gather(runs)
        columns = arms.columns_of(found, names)
    except arms.RunError as error:
        raise ConfigError(str(error)) from None
    summed = [arms.summed(name, patients, names) for name, patients in found.items()]
    click.echo("\n".join(arms.lines(summed, columns)))
    _written(lambda: arms.write(summed, columns, csv_file), csv_file)
    try:
        _written(lambda: arms.draw(summed, columns, out), out)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ConfigError("the picture needs matplotlib: pip install matplotlib", file=out) from None
