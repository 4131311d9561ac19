"""What ``abm doctor`` finds: the machine, the backends, the libraries, and how to get what is missing."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import abm
from abm import resources
from abm.backends import choose
from abm.backends.host import cores
from abm.errors import BackendError

LIBRARIES = ("numpy", "h5py", "pydantic", "click", "tqdm", "tomli-w")


def examine() -> Iterator[str]:
    """Yield one line per finding; what is missing is followed by how to get it."""
    yield f"abm {abm.__version__} on Python {platform.python_version()}, {platform.platform()}"
    yield f"libraries   {', '.join(f'{name} {installed(name)}' for name in LIBRARIES)}"
    yield f"processor   {cores()} cores usable, {memory_gib():.0f} GiB memory{threads()}"
    for name in ("cuda", "host", "numpy"):
        yield f"backend     {backend(name)}"
    yield f"auto takes  {choose('auto')[1].splitlines()[0].split(';')[0]}"
    yield f"files       HDF5 through h5py {installed('h5py')}; checkpoints need no parallel HDF5"
    yield f"MPI         {mpi()}"
    yield f"report      {report()}"
    for name in ("kernels", "scenarios", "analysis", "slurm"):
        yield f"data        {data(name)}"


def installed(name: str) -> str:
    """Return the version of a library, or an empty text."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def memory_gib() -> float:
    """Return the memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def threads() -> str:
    """Return what limits the threads of the host backend."""
    limit = os.environ.get("OMP_NUM_THREADS")
    return f", OMP_NUM_THREADS={limit}" if limit else ""


def backend(name: str) -> str:
    """Return whether a backend works here, or what it lacks."""
    try:
        return f"{choose(name)[1].removesuffix(' (as asked)')}"
    except BackendError as error:
        return f"{name}: not available: " + "\n            ".join(str(error).splitlines())


def mpi() -> str:
    """Return what there is for several processes."""
    launcher = shutil.which("mpiexec") or shutil.which("srun")
    found = [f"mpi4py {installed('mpi4py')}"] * bool(installed("mpi4py")) + [launcher] * bool(launcher)
    return f"{', '.join(str(item) for item in found) or 'not found'}; a run uses one process"


def report() -> str:
    """Return whether ``abm report`` can draw."""
    found = installed("matplotlib")
    return f"matplotlib {found}" if found else "no matplotlib: pip install 'abm-marrow[report]'"


def data(name: str) -> str:
    """Return where a data folder is."""
    try:
        return f"{name}: {resources.folder(name)}"
    except FileNotFoundError as error:
        return f"{error}"
