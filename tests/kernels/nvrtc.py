"""Compiles CUDA sources without a GPU: NVRTC from the ``nvidia-cuda-nvrtc`` wheel, called through ctypes."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from abm.backends.cuda import options as own_options

#: What CuPy 14 adds to our own options.
CUPY_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")


class CompileError(Exception):
    """NVRTC refused the source; the message is its log."""


@cache
def library() -> ctypes.CDLL | None:
    """Return libnvrtc out of site-packages/nvidia, or None."""
    spec = find_spec("nvidia")
    places = list(spec.submodule_search_locations or ()) if spec else []
    files = sorted(file for place in places for file in Path(place).rglob("libnvrtc.so*"))
    return ctypes.CDLL(str(files[0])) if files else None


def compile_source(source: str, architecture: str) -> bytes:
    """Return the cubin (``sm_NN``) or the PTX text (``compute_NN``) of ``source``."""
    nvrtc = library()
    assert nvrtc is not None, "check library() first"
    program = ctypes.c_void_p()
    _check(nvrtc, nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"abm.cu", 0, None, None))
    try:
        options = [o.encode() for o in (*own_options(), *CUPY_OPTIONS, f"--gpu-architecture={architecture}")]
        if nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)):
            raise CompileError(_fetch(nvrtc, program, "ProgramLog").decode())
        return _fetch(nvrtc, program, "PTX" if architecture.startswith("compute") else "CUBIN")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _fetch(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}")(program, buffer))
    return buffer.raw


def _check(nvrtc: ctypes.CDLL, status: int) -> None:
    if status:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise RuntimeError(nvrtc.nvrtcGetErrorString(status).decode())
