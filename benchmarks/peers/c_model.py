"""marrow-lite in C with OpenMP (``marrow_lite.c``), compiled when first used and called through ctypes.

The threads are OMP_NUM_THREADS, or all cores.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.peers.model import DEATH, DIVISION, KILL, TUMOUR, level, start

NAME = "C with OpenMP"
SOURCE = Path(__file__).with_name("marrow_lite.c")
MAX_N = 1290  #: sites are counted in 32 bits; LONGEST_ROW of the C code
FLAGS = ("-std=c11", "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared")


def available() -> str:
    """Return "" if this peer can run here, else the reason why not."""
    compiler = os.environ.get("CC", "cc")
    if not shutil.which(compiler):
        return f"no C compiler {compiler}"
    try:
        library()
    except subprocess.CalledProcessError as error:
        return f"{compiler} fails: {error.stderr.decode().strip().partition(chr(10))[0]}"
    return ""


@cache
def library() -> ctypes.CDLL:
    """Compile and load the C code."""
    with tempfile.TemporaryDirectory() as work:
        built = Path(work) / "marrow_lite.so"
        command = [os.environ.get("CC", "cc"), *FLAGS, "-o", str(built), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True)
        loaded = ctypes.CDLL(str(built))
    byte, word, long = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
    loaded.act.argtypes = (byte, byte, byte, byte, ctypes.c_int64, ctypes.c_int, word, long)
    loaded.fates.argtypes = (byte, byte, ctypes.c_int, word, word, long)
    loaded.act.restype = loaded.fates.restype = None
    return loaded


class Model:
    """The model in arrays of bytes."""

    def __init__(self, n: int, seed: int) -> None:
        if n > MAX_N:
            raise ValueError(f"n = {n}: at most {MAX_N}")
        resident, motile = start(n, seed)
        self.n = n
        self.resident = resident.ravel()
        self.motile = motile.ravel()
        self.t_cells = np.argwhere(motile).astype(np.uint16, order="C")
        self.near = np.empty_like(self.resident)
        self.mothers = np.empty(n**3, np.int32)
        self.rng = np.random.default_rng(seed)

    def step(self) -> None:
        """Advance by one step."""
        act_key, fates_key = self.rng.integers(0, 1 << 64, 2, np.uint64).tolist()
        code = library()
        code.act(
            self.resident.ctypes.data,
            self.motile.ctypes.data,
            self.near.ctypes.data,
            self.t_cells.ctypes.data,
            len(self.t_cells),
            self.n,
            level(KILL),
            act_key,
        )
        dies, divides = level(DEATH), level(DEATH + DIVISION)
        code.fates(self.resident.ctypes.data, self.mothers.ctypes.data, self.n, dies, divides, fates_key)

    def counts(self) -> dict[str, int]:
        """Return the numbers of cells."""
        return {
            "resident": int(np.count_nonzero(self.resident)),
            "tumour": int(np.count_nonzero(self.resident == TUMOUR)),
            "t_cells": int(np.count_nonzero(self.motile)),
        }
