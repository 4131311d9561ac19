"""Simulate the patients of all protocols over the cores; every finished one is kept in a small file.

A second call runs only what is missing, because a file's name holds the digest of all that decides its content.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Self

from abm.backends import choose
from abm.errors import AbmError
from abm.io.atomic import write_bytes
from abm.validation.cases import Case
from abm.validation.patient import FORMAT_VERSION, Result, simulate

FOLDER = "patients"
#: Is told patients done, all patients, seconds spent, and estimated seconds of work done in them and still to do.
Tell = Callable[[int, int, float, tuple[float, float]], None]


def one_thread() -> None:
    """Give a process one core: patients, not planes, are what runs side by side."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read when the kernels are loaded


def prepare() -> str:
    """Make the backend ready before the workers start, so that one process compiles it; return which it is, and why."""
    one_thread()
    backend, reason = choose("auto")
    return f"{backend.name}: {reason}" if not reason.startswith(backend.name) else reason


def begin_worker() -> None:
    """Prepare a worker process: one core, an end without a traceback at Ctrl-C, and no life without its parent."""
    one_thread()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    """Wait for the parent to end, however it does; a worker whose parent was killed would wait for work for ever."""
    parent.join()
    os._exit(1)


@dataclass(frozen=True)
class Store:
    """Folder of finished patients."""

    folder: Path

    def get(self, case: Case) -> Result | None:
        """Return a finished patient; ``None`` if it is not there, or not whole."""
        try:
            found = json.loads((self.folder / case.file).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        good = (
            isinstance(found, dict) and found.get("format_version") == FORMAT_VERSION and found.get("key") == case.key
        )
        return found if good else None

    def put(self, case: Case, result: Result) -> None:
        """Keep a finished patient; the file is whole or not there."""
        write_bytes(self.folder / case.file, (json.dumps(result, allow_nan=False) + "\n").encode())


class Workers:
    """Processes side by side, kept from one call to the next: each of them loads the kernels once."""

    def __init__(self, jobs: int) -> None:
        """Take the number of processes; with 1 the work is done in this one. None is started before there is work."""
        self.jobs = jobs
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        """Return them."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes; work that has not begun is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def do(self, wanted: Sequence[Case], work: Callable[[Case], Result]) -> Iterator[tuple[Case, Result]]:
        """Yield every case with its result as soon as it is there."""
        if self.jobs == 1 or (len(wanted) < 2 and self._pool is None):
            yield from ((case, work(case)) for case in wanted)
            return
        if self._pool is None:
            # spawned, not forked: a forked child would inherit threads and open HDF5 files
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.jobs, mp_context=context, initializer=begin_worker)
        pending: dict[Future[Result], Case] = {self._pool.submit(work, case): case for case in wanted}
        try:
            for done in as_completed(pending):
                yield pending[done], done.result()
        except BrokenProcessPool:
            msg = "a worker process was ended from outside (memory?); finished patients are kept: try fewer --jobs"
            raise AbmError(msg) from None


def run_all(
    wanted: Sequence[Case],
    store: Store,
    workers: Workers,
    progress: Tell,
    work: Callable[[Case], Result] | None = None,
) -> dict[Case, Result]:
    """Return the result of every case, from the store or by work.

    Args:
        wanted: all patients.
        store: where finished ones are kept.
        workers: who does the work.
        progress: is told how far the work is.
        work: what to do for a case, instead of :func:`simulate`.
    """
    store.folder.mkdir(parents=True, exist_ok=True)  # a folder that cannot be made is told before the work
    results = {case: found for case in wanted if (found := store.get(case)) is not None}
    left = [case for case in wanted if case not in results]
    left.sort(key=lambda case: -case.work_s)  # the short ones last: then no process waits long for another
    ahead, behind, began = sum(case.work_s for case in left), 0.0, time.monotonic()
    progress(len(results), len(wanted), 0.0, (behind, ahead))
    for case, result in workers.do(left, work or simulate):
        store.put(case, result)
        results[case] = result
        behind, ahead = behind + case.work_s, ahead - case.work_s
        progress(len(results), len(wanted), time.monotonic() - began, (behind, ahead))
    return results
