"""How all ranks save a checkpoint: each a file of its own, or one file together; if one rank fails, all do."""

from __future__ import annotations

from pathlib import Path

from abm.comm import SerialComm
from abm.errors import CheckpointError
from abm.io.checkpoint import write_checkpoint
from abm.io.together import write_together
from abm.state import Snapshot


def save(out: Path, snap: Snapshot, keep: int, comm: SerialComm, *, single_file: bool = False) -> Path:
    """Write a checkpoint that is whole before any rank goes on, and return its path.

    Args:
        out: output directory of the run.
        snap: the planes of this rank, and the whole body.
        keep: how many whole checkpoints stay, this one included.
        comm: all its ranks call this function.
        single_file: one file instead of a folder of shards.

    Raises:
        CheckpointError: on all ranks; older checkpoints are as they were.
    """
    if single_file:
        return write_together(out, snap, keep=keep, comm=comm)
    path: Path | None = None
    failure: CheckpointError | None = None
    try:
        path = write_checkpoint(out, snap, keep=keep, rank=comm.rank, n_ranks=comm.size, gather=comm.gather)
    except CheckpointError as error:
        failure = error

    def outcome() -> Path:
        if failure is not None:
            raise failure
        assert path is not None
        return path

    return comm.on_root(outcome)  # rank 0 writes the manifest, so it knows of every failure
