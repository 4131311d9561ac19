"""Files: checkpoints to continue from, time series to analyse, snapshots to look at."""

from __future__ import annotations

from abm.io.checkpoint import holds_checkpoint, newest_good, write_checkpoint
from abm.io.hash import state_hash
from abm.io.inspection import find_checkpoint, state_line, verdicts
from abm.io.merged import merge
from abm.io.reader import read_checkpoint, read_manifest, verify
from abm.io.save import save
from abm.io.series import Record, Series
from abm.io.together import obstacle
from abm.io.vtkhdf import write_snapshot

__all__ = [
    "Record",
    "Series",
    "find_checkpoint",
    "holds_checkpoint",
    "merge",
    "newest_good",
    "obstacle",
    "read_checkpoint",
    "read_manifest",
    "save",
    "state_hash",
    "state_line",
    "verdicts",
    "verify",
    "write_checkpoint",
    "write_snapshot",
]
