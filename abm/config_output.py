"""What a run writes."""

from __future__ import annotations

from typing import Annotated

from abm.config_table import Table, parameter


class Output(Table):
    """What is written and how often; never changes the simulated trajectory."""

    series_h: Annotated[int, parameter("h", "interval of the time series", ge=1, le=87600)] = 6
    checkpoint_h: Annotated[int, parameter("h", "interval of checkpoints", ge=1, le=876000)] = 240
    snapshot_h: Annotated[int, parameter("h", "interval of snapshots to look at; 0: none", ge=0, le=876000)] = 0
    keep: Annotated[int, parameter("1", "checkpoints kept; older ones are removed", ge=1, le=1000)] = 2
    single_file: Annotated[
        bool, parameter("1", "a checkpoint is one file that all ranks write together; h5py must be built with MPI")
    ] = False
