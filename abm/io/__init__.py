"""Files: checkpoints to continue from, time series to analyse, snapshots to look at."""

from __future__ import annotations

from abm.io.checkpoint import newest_good, read_checkpoint, read_manifest, verify, write_checkpoint
from abm.io.hash import state_hash
from abm.io.series import Record, Series
from abm.io.vtkhdf import write_snapshot

__all__ = [
    "Record",
    "Series",
    "newest_good",
    "read_checkpoint",
    "read_manifest",
    "state_hash",
    "verify",
    "write_checkpoint",
    "write_snapshot",
]
