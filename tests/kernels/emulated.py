"""The sources as a GPU sees them, run on the CPU by ``fibres.h``: warps, blocks and shared memory included.

It finds what the compile test cannot: a wrong index or a missing case in the code that only a GPU takes, a missing
barrier, and kernels whose result depends on the order of threads. Blocks run one after another, so it cannot find races
between them, nor inside one memory access.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from abm.backends.cuda import FORMS, options
from abm.backends.host import HostBackend, _Build, find_compiler
from abm.backends.numpy_backend import NumpyArrays
from abm.kernel import DTYPES, PREFIX, Kernel, assemble

FIBRES = Path(__file__).with_name("fibres.h").read_text(encoding="utf-8")
#: Orders of threads; any other number stands for a random one.
UPWARDS, DOWNWARDS = 0, 1
BLOCKS = 3


class EmulatedGpu(HostBackend):
    """Kernels run as a small grid of blocks.

    Attributes:
        order: in which the threads of a block run.
    """

    name = "emulated"
    detail = "CUDA sources on the CPU"

    def __init__(self, folder: Path | None = None, threads: int = 64, forms: Sequence[str] = FORMS) -> None:
        """Compile, as the host backend does."""
        NumpyArrays.__init__(self, folder)
        source = FIBRES + assemble(folder) + "".join(map(entry, self.kernels.values()))
        flags = ["-O1", *(option for option in options(forms, threads) if option.startswith("-D"))]
        self._library, self.path, _ = _Build(find_compiler(), flags, source).load()
        self._functions = {name: self._function(name) for name in self.kernels}
        self.block, self.order = threads, DOWNWARDS

    def _function(self, name: str) -> Any:
        function = getattr(self._library, f"run_{name}")
        function.argtypes = super()._function(name).argtypes
        function.restype = ctypes.c_char_p
        return function

    def run(self, kernel_name: str, n: int, values: list[Any]) -> None:
        """Run all threads of the grid."""
        self._library.abm_set_grid(self.block, BLOCKS, self.order)
        problem = self._functions[kernel_name](n, *values)
        if problem:
            msg = f"kernel {kernel_name}: {problem.decode()}"
            raise RuntimeError(msg)

    def chunk(self, plane: int, stages: int) -> int:
        """Return 0, as a GPU does."""
        return 0


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
