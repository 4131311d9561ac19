"""The ``abm`` command. Imports of weight happen inside the commands, so that ``--help`` is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

import abm
from abm.bench.command import bench
from abm.calibration.command import calibrate
from abm.cli_options import BACKEND, QUIET, SEED, SET, STEPS, SUBMIT, WALLTIME, options
from abm.cohort import outcomes
from abm.comm import launched_rank
from abm.errors import AbmError, ConfigError
from abm.ranks import ranks
from abm.scale.options import CHECK
from abm.scenario_files import names_scenario, scenario_path
from abm.series import compare, table
from abm.stop_signals import StopSignals
from abm.sweep import sweep
from abm.validation.command import validate

#: Exit code of a program that Ctrl-C ended before there was anything to save.
EXIT_INTERRUPTED = 130


class Commands(click.Group):
    """Group that lists commands in the order of work and reports errors in one message, without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order they were written."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the whole first sentence of every command, not the part of it that fits a line."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(400)) for name, command in self.commands.items()])

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever the command returns
        """Run a command and turn errors into messages and exit codes."""
        try:
            return super().invoke(ctx)
        except AbmError as error:
            for line in str(error).splitlines():
                click.echo(f"error: {line}", err=True)
            ctx.exit(error.exit_code)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "abm"
            if launched_rank() == 0:  # all ranks have the same arguments
                click.echo(f"error: {error.format_message()} (see `{command} --help`)", err=True)
            ctx.exit(error.exit_code)
        except MemoryError as error:
            click.echo(f"error: not enough memory: {error or 'take a smaller patch.shape'}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            raise
        except OSError as error:
            click.echo(f"error: {error.filename or 'input/output'}: {error.strerror or error}", err=True)
            ctx.exit(1)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
First steps:
  abm doctor                       what this machine offers
  abm run aml_hsct                 one patient: leukaemia, conditioning, transplant
  abm report runs/aml_hsct-seed1   draw the curves
""",
)
@click.version_option(abm.__version__, prog_name="abm")
def main() -> None:
    """Simulate bone marrow, blood and stem-cell transplantation, cell by cell."""


@main.command(
    epilog="""\b
Examples:
  abm run aml_hsct
  abm run scenarios/aml_hsct.toml --seed 7 --out runs/seven
  abm run aml_hsct --set patient.donor=twin --set patch.shape=[96,96,96]
  abm run aml_hsct --set events.graft.day=1   change an event, the first of its action or drug
  abm run aml_hsct --steps 24                 a trial of one day
  mpiexec -n 4 abm run aml_hsct               on four ranks

\b
Exit codes: 0 done; 2 wrong input or a backend that is not there, nothing written; 3 cells were not conserved;
75 stopped by SIGTERM, SIGUSR1, Ctrl-C or --max-walltime after a checkpoint: continue with `abm resume DIR`.
"""
)
@click.argument("scenario")
@options(SET, SEED, BACKEND)
@click.option("--out", type=click.Path(path_type=Path), help="Output directory.  [default: runs/SCENARIO-seedSEED]")
@click.option("--overwrite", is_flag=True, help="Replace a run that is already there.")
@options(STEPS, WALLTIME, QUIET)
def run(
    scenario: str,
    overrides: tuple[str, ...],
    seed: int | None,
    backend: str,
    out: Path | None,
    overwrite: bool,
    steps: int | None,
    max_walltime: float | None,
    quiet: bool,
) -> None:
    """Run SCENARIO, a TOML file or the name of a shipped one.

    Writes config.toml, series.h5, checkpoints and run.log into one directory, and prints the clinical endpoints. The
    last word of the output is the hash of the final state.
    """
    with StopSignals() as stop, ranks() as comm:
        from abm.config import load_config

        path = scenario_path(scenario)
        config = load_config(path, overrides, seed)
        from abm.run import Options, start_run
        from abm.run_folder import default_folder

        chosen = Options(backend=backend, steps=steps, quiet=quiet, max_walltime_s=max_walltime)
        folder = out or default_folder(path, config)
        sys.exit(start_run(config, folder, overwrite=overwrite, options=chosen, stop=stop, comm=comm))


@main.command(
    epilog="""\b
Examples:
  abm resume runs/aml_hsct-seed1
  abm resume runs/aml_hsct-seed1 --backend numpy --set output.checkpoint_h=24
  abm resume runs/aml_hsct-seed1 --set time.end_day=365   a finished run, to a later day
"""
)
@click.argument("directory", type=click.Path(path_type=Path))
@options(SET, BACKEND, STEPS, WALLTIME, QUIET)
@click.option("--force", is_flag=True, help="Continue although parameters, rules or kernels have changed.")
def resume(
    directory: Path,
    overrides: tuple[str, ...],
    backend: str,
    steps: int | None,
    max_walltime: float | None,
    quiet: bool,
    force: bool,
) -> None:
    """Continue the run in DIRECTORY from its newest good checkpoint.

    The result is the same, bit for bit, as that of a run that was never stopped. Only [output] may be changed, and
    time.end_day made later: the run is then what it would have been with that end from the first day (but for one more
    record at the former end, if that is no multiple of output.series_h).
    """
    with StopSignals() as stop, ranks() as comm:
        from abm.run import Options, resume_run

        chosen = Options(backend=backend, steps=steps, quiet=quiet, force=force, max_walltime_s=max_walltime)
        sys.exit(resume_run(directory, overrides, options=chosen, stop=stop, comm=comm))


@main.command(
    epilog="""\b
Examples:
  abm check aml_hsct
  abm check my.toml --set patch.shape=[256,256,256] --time
  abm check my.toml --set patch.shape=[4096,1024,1024] --ranks 8 --device h100
"""
)
@click.argument("scenario")
@options(SET, SEED, BACKEND, *CHECK)
def check(scenario: str, overrides: tuple[str, ...], seed: int | None, backend: str, timed: bool, **scale: Any) -> None:  # noqa: ANN401
    """Check SCENARIO and its rule tables; print size, memory and backend. Writes nothing."""
    from abm.config import load_config
    from abm.describe import plan

    for line in plan(load_config(scenario_path(scenario), overrides, seed), backend, timed=timed, **scale):
        click.echo(line)


@main.command(
    epilog="""\b
Examples:
  abm submit aml_hsct > job.sbatch
  abm submit my.toml --set patch.shape=[512,256,256] --ranks 8 --cpus 4 --go
  abm submit my.toml --gpus --ranks 4 --time 12:00:00 --partition gpu --account me --go
"""
)
@click.argument("scenario")
@options(SET, SEED, *SUBMIT)
def submit(
    scenario: str, overrides: tuple[str, ...], seed: int | None, out: Path | None, go: bool, **wishes: Any
) -> None:
    """Print a batch script for SLURM that fits the run of SCENARIO, or submit it with --go.

    Memory and time are those of `abm check --ranks`, with a margin that the script states. A run that may need more
    time than its job queues itself again until it is done. The last word of --go is the number of the job.
    """
    from abm import submit as jobs

    for line in jobs.lines(scenario_path(scenario), overrides, seed, out, jobs.Wishes(**wishes), go=go):
        click.echo(line)


@main.command(
    epilog="""\b
Examples:
  abm describe > my.toml               a scenario with all defaults, explained
  abm describe aml_hsct                what this scenario says
  abm describe cd34_per_kg             one parameter: unit, default, range, meaning
  abm describe 'events.graft.*'        all parameters of a graft; * stands for anything, in quotes
  abm describe --rules human           every rule with its unit and source
  abm describe --rules human drugs     one table
  abm describe --rules human drugs --copy mine        the same as a file to change: [patch] rules = "mine"
  abm describe --observables           what a run records: names for --observe, of the CSV and of the series
  abm describe --schema > schema.json  JSON Schema, for editors
"""
)
@click.argument("name", required=False, metavar="[SCENARIO | PARAMETER | TABLE]")
@options(SET, SEED)
@click.option("--rules", metavar="SPECIES", help="Print the rule tables of a species.")
@click.option("--copy", type=click.Path(path_type=Path), metavar="FOLDER", help="Copy those tables there, to change.")
@click.option("--observables", is_flag=True, help="Print what a run records: name, unit and meaning.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of scenarios.")
def describe(
    name: str | None, overrides: tuple[str, ...], seed: int | None, rules: str | None, copy: Path | None,
    observables: bool, schema: bool,
) -> None:  # fmt: skip
    """Explain every parameter: unit, range, default and meaning; or every rule with its source.

    Without PARAMETER, --rules and --observables what is printed is itself a valid scenario.
    """
    from abm import describe as text

    if copy is not None and rules is None:
        raise ConfigError("expected with --rules SPECIES, which says whose tables", file="--copy")
    if schema:
        lines = text.schema()
    elif observables:
        lines = text.observables()
    elif rules is not None and copy is not None:
        lines = text.copied(rules, name, copy)
    elif rules is not None:
        lines = text.rules(rules, name)
    elif name is None:
        lines = text.defaults()
    elif names_scenario(name):
        from abm.config import load_config

        lines = text.scenario(load_config(scenario_path(name), overrides, seed))
    else:
        lines = text.parameters(name)
    click.echo("\n".join(lines))


@main.command("hash", epilog="\b\nExample:\n  abm hash runs/aml_hsct-seed1")
@click.argument("path", type=click.Path(path_type=Path))
def hash_(path: Path) -> None:
    """Print the state hash of a checkpoint or snapshot, or of the newest good checkpoint of a run, as the last word.

    Two runs with equal hashes at a step have the same state, bit for bit. Of a series.h5, the hash of its records.
    """
    from abm import io

    found, skipped = io.find_checkpoint(path)
    for message in skipped:
        click.echo(message, err=True)
    click.echo(io.state_line(found))


@main.command(epilog="\b\nExample:\n  abm verify runs/aml_hsct-seed1")
@click.argument("path", type=click.Path(path_type=Path))
def verify(path: Path) -> None:
    """Check the files of a run, or one of them: sizes, checksums and state hashes."""
    from abm import io
    from abm.errors import CheckpointError

    bad = False
    for file, problems in io.verdicts(path):
        click.echo(f"{file}: {'; '.join(problems) or 'good'}")
        bad |= bool(problems)
    if bad:
        sys.exit(CheckpointError.exit_code)


@main.command(epilog="\b\nExample:\n  abm merge runs/aml_hsct-seed1 --out day100.h5")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="File to write.  [default: checkpoint-STEP.h5 beside it]")
@click.option("--overwrite", is_flag=True, help="Replace a file that is already there.")
def merge(path: Path, out: Path | None, overwrite: bool) -> None:
    """Make one HDF5 file of a checkpoint, or of the newest good one of a run; the last word is its state hash.

    The file holds all planes, the body, and how they were made. In the directory of a run, beside its config.toml and
    under the name checkpoint-STEP.h5, it counts as a checkpoint: `abm resume` goes on from it.
    """
    from abm import io

    found, skipped = io.find_checkpoint(path)
    for message in skipped:
        click.echo(message, err=True)
    click.echo(io.state_line(io.merge(found, out, overwrite=overwrite)))


@main.command(epilog="\b\nExample:\n  abm report runs/aml_hsct-seed1")
@click.argument("directory", type=click.Path(path_type=Path))
def report(directory: Path) -> None:
    """Draw the curves of the run in DIRECTORY: pictures and one self-contained HTML page."""
    if not (directory / "series.h5").is_file():
        raise ConfigError("there is no run to report on: series.h5 is missing", file=directory)
    from importlib import import_module

    from abm import resources

    resources.load_analysis()
    read, draw = import_module("abm_analysis.read"), import_module("abm_analysis.report")
    try:
        files = draw.build(directory)
    except read.RunError as error:
        raise ConfigError(str(error)) from None
    for path in files:
        click.echo(path)


main.add_command(validate)
main.add_command(calibrate)
main.add_command(outcomes)
main.add_command(compare)
main.add_command(table)
main.add_command(sweep)


@main.command()
def doctor() -> None:
    """Say what this machine offers, what will be used, and how to get the rest."""
    from abm.doctor import examine

    for line in examine():
        click.echo(line)


main.add_command(bench)
