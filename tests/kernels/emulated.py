"""The sources as a GPU sees them, run on the CPU by ``fibres.h``: warps, blocks and shared memory included.

It finds what the compile test cannot: a wrong index or a missing case in the code that only a GPU takes, a missing
barrier, and kernels whose result depends on the order of threads. Blocks run one after another, so it cannot find races
between them, nor inside one memory access.
"""

from __future__ import annotations

import ctypes
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from abm.backends.cuda import FORMS, options
from abm.backends.host import _Build, find_compiler
from abm.backends.numpy_backend import NumpyBackend
from abm.kernel import DTYPES, PREFIX, Arg, Kernel, assemble

FIBRES = Path(__file__).with_name("fibres.h").read_text(encoding="utf-8")
#: Orders of threads; any other number stands for a random one.
UPWARDS, DOWNWARDS = 0, 1
BLOCKS = 3


class Device:
    """The kernels of a source, compiled as a GPU would see them; ``order``: in which the threads of a block run."""

    def __init__(self, source: str, kernels: Mapping[str, Kernel], flags: Sequence[str]) -> None:
        """Compile, as the host backend does."""
        whole = FIBRES + source + "".join(map(entry, kernels.values()))
        flags = ["-O1", *flags, *shlex.split(os.environ.get("ABM_CXXFLAGS", ""))]
        self.compiled, self.path, _ = _Build(find_compiler(), flags, whole).load()
        self.kernels = kernels
        self.order = DOWNWARDS

    def run(self, name: str, blocks: int, threads: int, values: Sequence[Any]) -> None:
        """Run a kernel over a grid; arrays as addresses."""
        function = getattr(self.compiled, f"run_{name}")
        function.argtypes = [ctypes.c_int64, *map(c_type, self.kernels[name].args)]
        function.restype = ctypes.c_char_p
        self.compiled.abm_set_grid(threads, blocks, self.order)
        problem = function(*values)
        if problem:
            msg = f"kernel {name}: {problem.decode()}"
            raise RuntimeError(msg)


class EmulatedGpu(NumpyBackend):
    """Kernels run as a small grid of blocks."""

    name = "emulated"
    rings = True
    detail = "CUDA sources on the CPU"

    def __init__(self, folder: Path | None = None, threads: int = 64, forms: Sequence[str] = FORMS) -> None:
        """Compile the kernels of a folder."""
        super().__init__(folder)
        self.device = Device(assemble(folder), self.kernels, defines(options(forms, threads)))
        self.block = threads

    def function(self, kernel: Kernel) -> Callable[..., None]:
        """Return what runs all threads of the grid."""

        def run(n: int, **values: Any) -> None:
            given = (values[arg.name] for arg in kernel.args)
            addresses = [v.ctypes.data if isinstance(v, np.ndarray) else v for v in given]
            self.device.run(kernel.name, BLOCKS, self.block, [n, *addresses])

        return run

    def chunk(self, plane: int, stages: int) -> int:
        """Return 0, as a GPU does."""
        return 0


def defines(given: Sequence[str]) -> list[str]:
    """Return the options that a C++ compiler takes too."""
    return [option for option in given if option.startswith("-D")]


def c_type(arg: Arg) -> Any:
    """Return the type by which ctypes passes an argument."""
    if arg.is_pointer:
        return ctypes.c_void_p
    bits, letter = 8 * arg.dtype.itemsize, arg.dtype.kind
    if letter == "f":
        return ctypes.c_float if bits == 32 else ctypes.c_double
    return getattr(ctypes, f"c_{'u' * (letter == 'u')}int{bits}")


def entry(kernel: Kernel) -> str:
    """Return the function that runs a kernel over a grid."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    declared = [
        f"{'' if a.is_output else 'const ' * a.is_pointer}{names[a.dtype]}{'*' * a.is_pointer} {a.name}"
        for a in kernel.args
    ]
    given = ", ".join(["n", *(a.name for a in kernel.args)])
    call = f"fibres::run([&] {{ {PREFIX}{kernel.name}({given}); }})"
    return f'extern "C" const char* run_{kernel.name}({", ".join(["int64_t n", *declared])}) {{ return {call}; }}\n'
