"""The sources as a GPU sees them (a thread per site, blocks of one), run on the CPU, thread after thread.

It finds what the compile test cannot: a wrong index or a missing case in the code that only a GPU takes, and kernels
whose result depends on the order of threads. It cannot find races inside one memory access.
"""

from __future__ import annotations

from typing import Any

from abm.backends.host import HostBackend, _Build, find_compiler
from abm.backends.numpy_backend import NumpyArrays
from abm.kernel import assemble

BEFORE = """
#include <stdint.h>
#include <string.h>
#define __CUDACC__
#define __global__
#define __device__
struct Dimension { unsigned x; };
static Dimension blockIdx = {0}, blockDim = {1}, gridDim = {1}, threadIdx = {0};
static unsigned long long atomicAdd(unsigned long long* at, unsigned long long by) {
    const unsigned long long old = *at;
    *at += by;
    return old;
}
static unsigned atomicAdd(unsigned* at, unsigned by) {
    const unsigned old = *at;
    *at += by;
    return old;
}
static int __ffs(int bits) { return __builtin_ffs(bits); }
static int __popc(unsigned bits) { return __builtin_popcount(bits); }
"""
AFTER = """
extern "C" void abm_be_thread(int thread, int block, int threads, int blocks) {
    threadIdx.x = unsigned(thread);
    blockIdx.x = unsigned(block);
    blockDim.x = unsigned(threads);
    gridDim.x = unsigned(blocks);
}
"""
THREADS, BLOCKS = 5, 3


class EmulatedGpu(HostBackend):
    """Kernels run as a small grid of threads, the last thread first."""

    name = "emulated"
    detail = "CUDA sources on the CPU"

    def __init__(self) -> None:
        """Compile, as the host backend does."""
        NumpyArrays.__init__(self)
        self._library, self.path, _ = _Build(find_compiler(), (), BEFORE + assemble() + AFTER).load()
        self._functions = {name: self._function(name) for name in self.kernels}

    def run(self, kernel_name: str, n: int, values: list[Any]) -> None:
        """Run all threads of the grid."""
        for index in reversed(range(THREADS * BLOCKS)):
            self._library.abm_be_thread(index % THREADS, index // THREADS, THREADS, BLOCKS)
            self._functions[kernel_name](n, *values)

    def chunk(self, plane: int, stages: int) -> int:
        """Return 0, as a GPU does."""
        return 0
