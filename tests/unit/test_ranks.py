"""Durations on the command line, and what a launcher tells."""

from __future__ import annotations

from typing import Any

import click
import pytest

from abm import comm
from abm.comm import SerialComm, connect, launched_rank, launched_ranks, local_rank
from abm.ranks import wall_time

PARAMETER: Any = None
LAUNCHERS = (*comm.SIZE_VARIABLES, *comm.RANK_VARIABLES, *comm.LOCAL_RANK_VARIABLES)


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1:30", 90), ("0:01:30", 90), ("2:00:00", 7200), ("1-02:00:00", 93600), ("7.5", 7.5)],
)
def test_wall_times(text: str, seconds: float) -> None:
    assert wall_time(PARAMETER, PARAMETER, text) == seconds


@pytest.mark.parametrize("text", ["", "-5", "1h", "1:2:3:4", "1-5"])
def test_what_is_no_wall_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected seconds"):
        wall_time(PARAMETER, PARAMETER, text)


def test_no_wall_time_is_none() -> None:
    assert wall_time(PARAMETER, PARAMETER, None) is None


def test_without_a_launcher_there_is_one_rank() -> None:
    assert (launched_ranks(), launched_rank(), local_rank()) == (1, 0, 0)
    assert type(connect()) is SerialComm


def test_a_launcher_inside_a_batch_job_is_believed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setenv("PMI_RANK", "2")
    monkeypatch.setenv("MPI_LOCALRANKID", "3")
    assert (launched_ranks(), launched_rank(), local_rank()) == (4, 2, 3)
