"""A simulation that costs nothing, and the commands run on it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from click.testing import CliRunner, Result

from abm import cli, describe, run
from abm.cells import N_COUNTS, N_KINDS, N_ORIGINS, Count, Kind
from abm.comm import SerialComm
from abm.config import Config
from abm.io import Record
from abm.state import Snapshot, checkpoint_fields

SCENARIO = """title = "test"
[patch]
shape = [4, 5, 6]
[time]
start_day = 0
end_day = 2
[output]
checkpoint_h = 12
"""


UNITS = {"anc": ("1e9/L", "neutrophils"), "platelets": ("1e9/L", "platelets")}


class Fake:
    """A simulation whose state is one number per site; it calls a hook before each step."""

    before_step: ClassVar[Callable[[int], None]] = staticmethod(lambda step: None)

    def __init__(self, config: Config, backend: Any, comm: SerialComm | None = None) -> None:
        self.config, self.backend, self.comm, self.step = config, backend, comm or SerialComm(), 0
        self.words = np.zeros(config.patch.shape, np.uint32)
        self.births = np.zeros(1, np.int64)

    start = classmethod(lambda cls, config, backend, comm=None: cls(config, backend, comm))

    @classmethod
    def restore(cls, config: Config, backend: Any, snapshot: Snapshot, comm: SerialComm | None = None) -> Self:
        sim = cls(config, backend, comm)
        sim.step, sim.words, sim.births = snapshot.step, snapshot.arrays["res_hot"], snapshot.body["output.births"]
        return sim

    @staticmethod
    def validate(config: Config) -> None:
        if min(config.patch.shape) < 3:
            raise config.error("patch.shape", "expected >= 3 sites in each direction")

    @staticmethod
    def memory(config: Config) -> list[tuple[str, int]]:
        return [("tissue", 1), ("words", 16), ("total", 17)]

    def advance(self) -> None:
        type(self).before_step(self.step)
        self.words += np.arange(self.words.size, dtype=np.uint32).reshape(self.words.shape) * np.uint32(
            self.config.seed
        )
        self.births += 1
        self.step += 1

    day = property(lambda self: self.config.day(self.step))
    n_agents = property(lambda self: 42)
    over = property(lambda self: self.step >= self.config.n_steps)

    def facts(self) -> list[tuple[str, str]]:
        return [("scaling mode", "enriched, phi = 100")]

    def record(self) -> Record:
        counts = np.zeros((N_COUNTS, N_KINDS, N_ORIGINS), np.int64)
        counts[Count.BIRTH, Kind.HSC, 0] = self.births[0]
        self.births[0] = 0
        return Record(self.step, self.day, {"anc": 2.0 + self.step, "platelets": 200.0}, counts)

    def snapshot(self) -> Snapshot:
        shape = self.config.patch.shape
        arrays = {f.name: np.zeros(shape, f.dtype) for f in checkpoint_fields()} | {"res_hot": self.words.copy()}
        meta: dict[str, str | int] = {"config": self.config.resolved_toml(), **run.digests(self.config)}
        return Snapshot(self.step, shape, 0, shape[0], arrays, {"output.births": self.births.copy()}, meta)


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in ``folder`` with ``case.toml`` and the simulation above; do not wait for disks."""
    monkeypatch.chdir(folder)
    for module in (run, describe):
        monkeypatch.setattr(module, "Simulation", Fake)
    monkeypatch.setattr(run, "UNITS", UNITS)
    monkeypatch.setattr(Fake, "before_step", staticmethod(lambda step: None))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    (folder / "case.toml").write_text(SCENARIO)


def abm(*args: str) -> Result:
    return CliRunner().invoke(cli.main, list(args), catch_exceptions=False, prog_name="abm")


def run_case(*args: str) -> Result:
    return abm("run", "case.toml", "--backend", "numpy", *args)


def last_word(result: Result) -> str:
    assert result.exit_code in (0, 75), result.output
    return result.stdout.split()[-1]


def at_step(step: int, action: Callable[[], None]) -> Callable[[int], None]:
    return staticmethod(lambda now: action() if now == step else None)


def send(name: str, times: int = 1) -> Callable[[], None]:
    return lambda: [signal.raise_signal(getattr(signal, name)) for _ in range(times)] and None


OUT = Path("runs/case-seed1")
