"""A process that dies at any moment of writing leaves a checkpoint that is whole.

Run as a program, this file is the experiment: it starts processes that write checkpoints and kills them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
N_RANDOM = 25
KEEP = 1  #: the hardest case: the only other checkpoint is removed as soon as a new one is whole


def make(step: int) -> object:
    """Return a small state that differs at each step."""
    from abm.state import Snapshot, checkpoint_fields

    shape = (6, 16, 16)
    rng = np.random.default_rng(step)
    arrays = {f.name: rng.integers(0, 200, shape).astype(f.dtype) for f in checkpoint_fields()}
    return Snapshot(step, shape, 0, 6, arrays, {"pool": rng.random(9)}, {"seed": step})


def write_all(out: Path, first: int, last: int) -> None:
    """Write series and checkpoints as a run does that starts or continues at ``first``."""
    from abm.io import Record, Series, write_checkpoint
    from abm.io.series import COUNTS_SHAPE

    units = {"anc": ("1e9/L", "neutrophils")}
    series = Series.load(out, first - 1) if (out / "series.h5").exists() else Series(units)
    for step in range(first, last):
        series.append(Record(step, float(step), {"anc": 1.0}, np.full(COUNTS_SHAPE, step, np.int64)))
        series.write(out)
        write_checkpoint(out, make(step), keep=KEEP)  # type: ignore[arg-type]


def child(work: Callable[[], None]) -> int:
    """Start a process that does ``work``."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def die_at(call: int) -> None:
    """Kill this process just before its ``call``-th change of the file system."""
    calls = iter(range(10**6))

    def deadly(real: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*args: object, **kwargs: object) -> object:
            if next(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return wrapper

    for name in ("fsync", "replace", "unlink", "rmdir", "mkdir"):
        setattr(os, name, deadly(getattr(os, name)))


def check(out: Path, at_least: int) -> tuple[int, bool]:
    """Check what is left; return the newest whole step and whether the death left something half done."""
    from abm.io import Series, newest_good, read_checkpoint, state_hash, verify

    litter = bool([*out.glob("*.tmp"), *out.glob("checkpoint-*/*.tmp")])
    path, skipped = newest_good(out)
    step = int(path.name.removeprefix("checkpoint-"))
    assert step >= at_least, f"went back from {at_least} to {step}"
    assert len(skipped) <= 1
    assert verify(path) == []
    assert state_hash(read_checkpoint(path)) == state_hash(make(step))  # type: ignore[arg-type]
    assert [record.step for record in Series.load(out, step).records()] == list(range(step + 1))
    return step, litter or bool(skipped)


def at_random(out: Path) -> int:
    """Kill at random times, continuing from what is left; return how many deaths left something half done."""
    rng = random.Random(1)
    step, hits = 0, 0
    for _ in range(N_RANDOM):
        pid = child(lambda start=step: write_all(out, start + 1, 10**6))  # type: ignore[misc]
        time.sleep(0.01 + 0.06 * rng.random())
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        found, hit = check(out, step)
        step, hits = found, hits + hit
    return hits


def at_every_call(out: Path) -> tuple[int, int]:
    """Die before each file system call of two checkpoints; return the number of deaths and of half-done ones."""
    call, hits = 0, 0
    while True:
        work = out / str(call)
        work.mkdir()
        write_all(work, 0, 1)
        pid = child(lambda n=call, folder=work: (die_at(n), write_all(folder, 1, 3))[-1])  # type: ignore[misc]
        if os.waitpid(pid, 0)[1] == 0:
            return call, hits
        step, hit = check(work, 0)
        hits += hit
        write_all(work, step + 1, step + 2)
        left = sorted(p.name for p in work.iterdir())
        assert left == [f"checkpoint-{step + 1:08d}", "series.h5"], left
        call += 1


def test_a_whole_checkpoint_is_left() -> None:
    """In a process of its own, because it forks."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["random_hits"] > 0
    assert found["calls"] > 30
    assert found["call_hits"] > found["calls"] // 2


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        write_all(out, 0, 1)
        random_hits = at_random(out)
        calls, call_hits = at_every_call(Path(tempfile.mkdtemp(dir=folder)))
        print(json.dumps({"random_hits": random_hits, "calls": calls, "call_hits": call_hits}))
