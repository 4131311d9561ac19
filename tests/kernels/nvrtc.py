"""Compiles CUDA sources without a GPU: NVRTC from the ``nvidia-cuda-nvrtc`` wheel, called through ctypes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from abm.backends.cuda import FORMS
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


def compile_source(source: str, architecture: str, forms: Sequence[str] = FORMS) -> bytes:
    """Return the cubin (``sm_NN``) or the PTX text (``compute_NN``) of ``source``, in some forms that a GPU has."""
    nvrtc = library()
    assert nvrtc is not None, "check library() first"
    program = ctypes.c_void_p()
    _check(nvrtc, nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"abm.cu", 0, None, None))
    try:
        options = [o.encode() for o in (*own_options(forms), *CUPY_OPTIONS, f"--gpu-architecture={architecture}")]
        if nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)):
            raise CompileError(_fetch(nvrtc, program, "ProgramLog").decode())
        return _fetch(nvrtc, program, "PTX" if architecture.startswith("compute") else "CUBIN")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def disassembler() -> str | None:
    """Return the program ``cuobjdump``, of its wheel or on the path, if ``nvdisasm``, which it calls, is there too."""
    spec = find_spec("nvidia")
    places = list(spec.submodule_search_locations or ()) if spec else []
    own = [str(file.parent) for place in places for file in Path(place).rglob("cuobjdump*")]
    path = os.pathsep.join([*own, os.environ.get("PATH", "")])
    return shutil.which("cuobjdump", path=path) if shutil.which("nvdisasm", path=path) else None


def machine_code(source: str, architecture: str) -> str:
    """Return the instructions of ``source`` as text."""
    program = disassembler()
    assert program is not None, "check disassembler() first"
    path = os.pathsep.join([str(Path(program).parent), os.environ.get("PATH", "")])
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compile_source(source, architecture))
        file.flush()
        command = [program, "-sass", file.name]
        done = subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=True)
    return done.stdout


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
