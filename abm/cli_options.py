"""Options that several commands have, and those of ``abm submit``. Imports no weight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from abm.ranks import wall_time

BACKENDS = ("auto", "numpy", "host", "cuda")
GPUS = ("a100", "h100", "h200")

Decorator = Callable[[Any], Any]


def options(*chosen: Decorator) -> Decorator:
    """Join several option decorators; they appear in the help in this order."""

    def decorate(command: Any) -> Any:  # noqa: ANN401 - a click command
        for option in reversed(chosen):
            command = option(command)
        return command

    return decorate


SET = click.option(
    "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE",
    help="Change one parameter; may be repeated. An event is named by its place from 0 on, or by its action or drug: "
    "events.2.day, events.graft.day, events.busulfan.doses.",
)  # fmt: skip
SEED = click.option("--seed", type=click.IntRange(0, 2**64 - 1), help="Random seed, instead of the scenario's.")
BACKEND = click.option(
    "--backend", type=click.Choice(BACKENDS), default="auto", show_default=True, help="Where to compute."
)
STEPS = click.option("--steps", type=click.IntRange(1), metavar="N", help="Stop after N steps, for a trial.")
WALLTIME = click.option(
    "--max-walltime",
    callback=wall_time,
    metavar="TIME",
    help="Stop with a checkpoint before this wall time: seconds, m:ss, h:mm:ss or d-hh:mm:ss.",
)
QUIET = click.option("--quiet", is_flag=True, help="Print only the state hash.")

SUBMIT = (
    click.option(
        "--out", type=click.Path(path_type=Path), help="Directory of the run.  [default: runs/SCENARIO-seedSEED]"
    ),
    click.option("--ranks", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="MPI ranks."),
    click.option("--cpus", "cores", type=click.IntRange(1), metavar="N", help="Of a rank.  [default: 1; with GPUs: 8]"),
    click.option("--gpus", is_flag=True, help="A GPU for each rank."),
    click.option("--device", type=click.Choice(GPUS), default="h100", show_default=True, help="Its kind, to estimate."),
    click.option("--mem", "memory", metavar="SIZE", help="Of a rank, such as 4G, instead of the estimate."),
    click.option("--time", metavar="TIME", help="Of the job, h:mm:ss or d-hh:mm:ss, instead of the estimate."),
    click.option("--partition", metavar="P", help="Where to run."),
    click.option("--account", metavar="A", help="Who pays."),
    click.option("--go", is_flag=True, help="Submit it: keep the script as job.sbatch in the directory of the run."),
)
