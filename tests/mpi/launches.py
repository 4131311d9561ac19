"""The program on several ranks, started, watched and ended by its process numbers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from tests.conftest import mpiexec

ROOT = Path(__file__).resolve().parents[2]
#: Without these a test under a launcher of its own would look launched itself.
QUIET = {name: value for name, value in os.environ.items() if not name.startswith(("PMI_", "PMIX_", "OMPI_", "SLURM_"))}
ENVIRONMENT = {**QUIET, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
#: No program of these tests may take longer, s.
PATIENCE_S = 60.0
ABM = ("-m", "abm")
#: The variable by which the processes of a launch are known.
MARK = "ABM_TEST_LAUNCH"


def launch(ranks: int, *arguments: str, program: Sequence[str] = ABM) -> list[str]:
    """Return the command of ``abm``, or of another Python program, on so many ranks."""
    command = [sys.executable, *program, *arguments]
    return [mpiexec(), "-n", str(ranks), *command] if ranks > 1 else command


def abm(
    ranks: int, *arguments: str, program: Sequence[str] = ABM, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run ``abm`` to its end; never for longer than a minute."""
    command = launch(ranks, *arguments, program=program)
    with started(command, **variables) as process:
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


class Launched(subprocess.Popen[str]):
    """A launcher and its ranks. They are known by a mark in their environment: launchers make sessions of their own."""

    mark: bytes

    def family(self) -> list[int]:
        """Return the living processes of this launch, the youngest last."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended, or is of another user; of the dead the file is empty
                if self.mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return sorted(found)

    def ranks(self) -> list[int]:
        """Return the processes that are ranks, not their launcher."""
        found = []
        for pid in self.family():
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if pid != self.pid and words[0] == sys.executable.encode():
                    found.append(pid)
        return found

    def await_end(self, patience_s: float = 20.0) -> None:
        """Assert that all of them end by themselves."""
        end = time.monotonic() + patience_s
        while (left := self.family()) and time.monotonic() < end:
            time.sleep(0.01)
        assert not left, f"{len(left)} processes do not end"


@contextmanager
def started(command: Sequence[str], **variables: str) -> Iterator[Launched]:
    """Start a command; whatever of it is left after the block is killed."""
    mark = f"{MARK}={uuid4()}"
    process = Launched(
        command,
        env=ENVIRONMENT | variables | dict([mark.split("=")]),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.mark = mark.encode()
    try:
        yield process
    finally:
        kill(process.family())
        with suppress(ValueError):  # read to their ends already
            process.communicate(timeout=PATIENCE_S)


def kill(pids: Sequence[int]) -> None:
    """Kill processes, of which some may be gone."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def last_word(done: subprocess.CompletedProcess[str], code: int = 0) -> str:
    """Return the state hash, which is all that a quiet run prints, on one rank."""
    assert done.returncode == code, done.stderr or done.stdout
    lines = done.stdout.splitlines()
    assert len(lines) == 1, f"one rank speaks, not {done.stdout}"
    return lines[0].split()[-1]
