"""Command-line programs on several ranks: how errors end them, and limits of time."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click

from abm.comm import SerialComm, connect
from abm.errors import AbmError


@contextmanager
def ranks() -> Iterator[SerialComm]:
    """Yield the communication of this launch; an error inside ends all ranks, with one message.

    If all ranks meet it, rank 0 speaks and each ends in order. If only some do, these speak and end the others, who
    would wait for them forever.
    """
    comm = connect()
    try:
        yield comm
    except (AbmError, OSError) as error:
        if comm.size > 1:
            _end_together(comm, str(error), getattr(error, "exit_code", 1))
        raise
    except Exception:
        if comm.size > 1:
            traceback.print_exc()
            sys.stderr.flush()
            comm.abort(1)
        raise


def _end_together(comm: SerialComm, message: str, code: int) -> None:
    """Speak on one rank and leave, or end all."""
    common = comm.is_common()
    if common and comm.rank != 0:
        sys.exit(code)
    if not common:
        for line in message.splitlines():
            click.echo(f"error: rank {comm.rank}: {line}", err=True)
        sys.stderr.flush()
        comm.abort(code)


def wall_time(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return the seconds of ``90``, ``1:30``, ``0:01:30`` or ``0-00:01:30``; the callback of an option."""
    if value is None:
        return None
    match = re.fullmatch(r"(?:(?:(?:(\d+)-)?(\d+):)?(\d+):)?(\d+(?:\.\d+)?)", value)
    if match is None:
        msg = f"{value!r} is no time: expected seconds, m:ss, h:mm:ss or d-hh:mm:ss"
        raise click.BadParameter(msg, ctx, param)
    days, hours, minutes, seconds = (float(text or 0) for text in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
