"""A real SLURM of two virtual nodes on this machine: private, on the loopback interface, gone afterwards."""

from __future__ import annotations

import getpass
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

#: Daemons do without systemd, cgroups and a database. ``cred_expire`` is also the time a requeued job waits.
#: ``config_overrides``: nodes have the cores written here, whatever the machine has.
CONFIGURATION = """
ClusterName=test
FirstJobId={first_job}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CryptoType=crypto/munge
MpiDefault=pmi2
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
SlurmdParameters=config_overrides
GresTypes=gpu
SchedulerParameters=sched_min_interval=0,sched_interval=2,bf_interval=2,batch_sched_delay=0
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=4000 Gres=gpu:2 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=4000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
NODES = ("n1", "n2")
START_S, STOP_S = 20.0, 15.0
PATIENCE_S = 180.0  #: for what takes seconds on a machine with nothing else to do


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: it took too long; says what was waited for.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            msg = f"waited {seconds:g} s for {what}"
            raise TimeoutError(msg)
        time.sleep(0.1)


def free_ports(n: int) -> list[int]:
    """Return ports of the loopback interface on which nobody listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def segments() -> set[str]:
    """Return the shared memory of MPICH on this machine."""
    return {str(path) for path in Path("/dev/shm").glob("mpich_shm_*")}


class Cluster:
    """Starts with ``with`` and ends, with everything it started, after it."""

    def __init__(self, variables: dict[str, str]) -> None:
        """Prepare a cluster whose jobs see ``variables``."""
        # sockets have short names, so this cannot be one of pytest's folders
        self.folder = Path(tempfile.mkdtemp(prefix="abm-slurm-"))
        self.env = variables | {"SLURM_CONF": str(self.folder / "slurm.conf")}
        self.segments = segments()
        self.started: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []

    def __enter__(self) -> Cluster:
        """Start all daemons; if one does not come up, show what they said."""
        try:
            self._write()
            munge = ["--foreground", "--force", f"--key-file={self.folder}/key", f"--socket={self.folder}/munge.sock"]
            files = [f"--{name}-file={self.folder}/munged.{name}" for name in ("pid", "log", "seed")]
            self._start("munged", *munge, *files)
            until((self.folder / "munge.sock").exists, "munged", START_S)
            self._start("slurmctld", "-D", "-c")
            for node in NODES:
                self._start("slurmd", "-D", "-N", node)
            until(self._is_idle, "two idle nodes", START_S)
        except BaseException as error:
            logs = "".join(f"\n== {log.name}\n{Path(log.name).read_text()}" for _, log in self.started)
            self.__exit__()
            if isinstance(error, Exception):
                msg = f"SLURM does not start: {error}{logs}"
                raise RuntimeError(msg) from error
            raise
        return self

    def _write(self) -> None:
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir()
        for name, device in (("gpu0", "/dev/null"), ("gpu1", "/dev/zero")):  # SLURM asks for devices, any will do
            (self.folder / name).symlink_to(device)
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-1]\n", encoding="ascii")
        key = self.folder / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        facts = {"host": socket.gethostname(), "user": getpass.getuser(), "folder": self.folder, "ports": free_ports(3)}
        # numbers of their own: MPICH names shared memory after jobs, and those of an earlier cluster may have left some
        facts["first_job"] = 1000 + secrets.randbelow(60_000) * 1000
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(**facts), encoding="ascii")

    def _start(self, program: str, *arguments: str) -> None:
        log = (self.folder / f"{program}-{len(self.started)}.log").open("wb")
        # should this process be killed, the daemon ends too
        guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        command = [*guard, shutil.which(program) or program, *arguments]
        daemon = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, cwd=self.folder)
        self.started.append((daemon, log))

    def _is_idle(self) -> bool:
        for daemon, log in self.started:
            if daemon.poll() is not None:
                msg = f"{log.name}: exit code {daemon.returncode}"
                raise ChildProcessError(msg)
        found = self.call("sinfo", "--noheader", "--Node", "--format=%t", check=False)
        return found.stdout.split() == ["idle"] * len(NODES)

    def __exit__(self, *_: object) -> None:
        """Cancel what still runs, then stop the daemons that were started here, the last first."""
        try:
            if len(self.started) > 1 and self.started[1][0].poll() is None:
                self._cancel_all()
            self._clean_memory()
        finally:
            for daemon, log in reversed(self.started):
                daemon.send_signal(signal.SIGTERM)
                try:
                    daemon.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()
                log.close()
            shutil.rmtree(self.folder)

    def _cancel_all(self) -> None:
        """Cancel all jobs, those that wait first, and wait for their end."""
        for which in (["--state=PENDING"], []):
            self.call("scancel", *which, "--user", getpass.getuser(), check=False)
        with suppress(TimeoutError):
            until(lambda: not self.call("squeue", "--noheader", check=False).stdout.strip(), "jobs to end", STOP_S)

    def _clean_memory(self) -> None:
        """Remove what killed ranks of these jobs left in shared memory: what is new, and mapped by nobody."""
        for path in segments() - self.segments:
            in_use = False
            for maps in Path("/proc").glob("[0-9]*/maps"):
                with suppress(OSError):  # it ended, or belongs to another user
                    in_use |= path in maps.read_text(encoding="utf-8", errors="replace")
            if not in_use:
                with suppress(OSError):
                    Path(path).unlink()

    def call(
        self, *command: str, check: bool = True, cwd: Path | None = None, timeout: float = 60, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of SLURM to its end."""
        done = subprocess.run(
            command, env=self.env | variables, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert not check or done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stderr}{done.stdout}"
        return done

    def sbatch(self, *arguments: str, cwd: Path, **variables: str) -> str:
        """Submit a job from a folder and return its number."""
        return self.call("sbatch", "--parsable", *arguments, cwd=cwd, **variables).stdout.strip()

    def facts(self, job: str) -> list[dict[str, str]]:
        """Return what SLURM says about a job; of an array, about each task."""
        text = self.call("scontrol", "show", "job", "--oneliner", job).stdout
        return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines() if line]

    def state(self, job: str) -> str:
        """Return the state of a job such as ``RUNNING``."""
        return self.facts(job)[0]["JobState"]

    def finish(self, job: str) -> list[dict[str, str]]:
        """Wait for the end of a job, or of all tasks of an array; return the facts of each."""
        over = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}
        try:
            until(lambda: all(f["JobState"] in over for f in self.facts(job)), f"the end of job {job}")
        except TimeoutError as error:
            nodes = self.call("sinfo", "--noheader", "--Node", "--format=%N %T %E").stdout
            found = [f"{f['JobState']} ({f.get('Reason')}) on {f.get('NodeList')}" for f in self.facts(job)]
            msg = f"{error}: {', '.join(found)}; nodes: {'; '.join(nodes.splitlines())}"
            raise TimeoutError(msg) from None
        return self.facts(job)
