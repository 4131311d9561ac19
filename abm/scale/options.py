"""Options of ``abm check``: what to find out, and on which machine a run is meant to take place. Imports no weight."""

from __future__ import annotations

import click

CHECK = (
    click.option("--time", "timed", is_flag=True, help="Also run some steps to estimate the duration."),
    click.option("--ranks", type=int, metavar="N", help="Predict memory, messages and time on N ranks."),
    click.option("--device", metavar="NAME", help="What each rank has: host, a100, h100 or h200.  [default: host]"),
    click.option("--rate", type=float, metavar="R", help="Site-updates/s of one rank, instead of a trial or a guess."),
    click.option("--link", type=float, metavar="GB/S", help="Network of a node, each way.  [default: 25]"),
    click.option("--latency", type=float, metavar="US", help="Of a message.  [default: 10]"),
    click.option("--ranks-per-node", type=int, metavar="R", help="[default: 8 GPUs; on the host cores over threads]"),
    click.option("--checkpoint-gb-per-s", type=float, metavar="X", help="Of the file system.  [default: 10; host: 1]"),
)
