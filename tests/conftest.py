"""What every test may rely on: backends, and a header that says what this run covers and what it does not.

A test that needs something this machine lacks is skipped with the reason. With
``ABM_REQUIRE=host,mpi,cuda,slurm,shellcheck`` (any subset) the absence of a named thing ends the run instead.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Tests use small lattices, and several may share a machine: threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

BACKENDS = ("numpy", "host", "cuda")
REQUIRABLE = ("host", "mpi", "cuda", "slurm", "shellcheck")
DAEMONS = ("slurmctld", "slurmd", "munged")

# The same examples everywhere and no deadline: the first call of a backend compiles.
settings.register_profile(
    "abm",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("abm")


@cache
def find_backend(name: str) -> tuple[Any, str]:
    """Return the backend and where it comes from, or None and the reason why it is absent."""
    from abm.backends import choose
    from abm.errors import BackendError

    try:
        return choose(name)
    except BackendError as error:
        return None, str(error).splitlines()[0]


@cache
def mpiexec() -> str:
    """Return the launcher that belongs to this Python's MPI, else that of the machine; empty if there is none."""
    own = Path(sys.executable).parent / "mpiexec"
    return str(own) if own.exists() else shutil.which("mpiexec") or ""


@cache
def shellcheck() -> str:
    """Return the program that checks shell scripts: that of this environment, else of the machine; empty if neither."""
    own = Path(sys.executable).parent / "shellcheck"
    return str(own) if own.exists() else shutil.which("shellcheck") or ""


def nameless() -> str:
    """Return why SLURM cannot find this machine by its name; empty if it can."""
    try:
        socket.getaddrinfo(socket.gethostname(), None, family=socket.AF_INET, flags=socket.AI_ADDRCONFIG)
    except OSError as error:
        return f"no address of the name {socket.gethostname()} ({error.strerror}): is loopback the only interface?"
    return ""


@cache
def absence(name: str) -> str:
    """Return why ``name`` (one of REQUIRABLE) is not here; empty if it is."""
    if name == "mpi":
        missing = [] if find_spec("mpi4py") else ["mpi4py"]
        missing += [] if mpiexec() else ["mpiexec"]
        return f"no {' and no '.join(missing)}" if missing else ""
    if name == "slurm":
        missing = [program for program in DAEMONS if not shutil.which(program)]
        return f"no {', '.join(missing)}" if missing else nameless()
    if name == "shellcheck":
        return "" if shellcheck() else "no shellcheck"
    backend, reason = find_backend(name)
    return reason if backend is None else ""


def required() -> list[str]:
    """Return the names in ABM_REQUIRE."""
    names = [name.strip() for name in os.environ.get("ABM_REQUIRE", "").split(",") if name.strip()]
    unknown = sorted(set(names) - set(REQUIRABLE))
    if unknown:
        message = f"ABM_REQUIRE names {', '.join(unknown)}; known are {', '.join(REQUIRABLE)}"
        raise pytest.UsageError(message)
    return names


def pytest_report_header(config: pytest.Config) -> list[str]:
    present = [name for name in REQUIRABLE if not absence(name)]
    lines = [f"abm covered: {', '.join(['numpy', *present])}"]
    lines += [f"abm NOT covered: {name} ({absence(name)})" for name in REQUIRABLE if absence(name)]
    if not find_spec("nvidia"):
        lines.append("abm NOT covered: compiling the CUDA sources (no nvidia-cuda-nvrtc)")
    if "not slow" in str(config.getoption("markexpr")):
        lines.append("abm NOT covered: tests marked slow (add -m slow)")
    return lines


def pytest_sessionstart(session: pytest.Session) -> None:
    absent = [f"{name} ({absence(name)})" for name in required() if absence(name)]
    if absent:
        message = f"ABM_REQUIRE asks for {'; '.join(absent)}"
        raise pytest.UsageError(message)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in ("cuda", "mpi", "slurm"):
        if item.get_closest_marker(name) and absence(name):
            pytest.skip(absence(name))


def _parameter(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.cuda) if name == "cuda" else name


@pytest.fixture(scope="session", params=[_parameter(name) for name in BACKENDS])
def backend(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Every backend of this machine in turn."""
    found, reason = find_backend(request.param)
    if found is None:
        pytest.skip(reason)
    yield found
    found.sync()
