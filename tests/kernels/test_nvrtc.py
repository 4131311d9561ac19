"""The CUDA sources compile for real GPUs, and no multiply-add is contracted, on machines without a GPU."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from abm.backends.cuda import FORMS
from abm.kernel import PREFIX, assemble, load_topics
from tests.kernels.nvrtc import CompileError, compile_source, disassembler, library, machine_code

if library() is None:
    pytest.skip("no libnvrtc: pip install nvidia-cuda-nvrtc to compile the CUDA sources", allow_module_level=True)


@pytest.mark.parametrize(("architecture", "forms"), [("sm_80", FORMS), ("sm_90", FORMS), ("sm_90", ())], ids=str)
def test_all_topics_compile_to_machine_code(architecture: str, forms: tuple[str, ...]) -> None:
    cubin = compile_source(assemble(), architecture, forms)
    assert cubin.startswith(b"\x7fELF")
    assert [name for name in load_topics() if f"{PREFIX}{name}\0".encode() not in cubin] == []


def test_ptx_holds_no_fma_and_nothing_ptxas_may_fuse() -> None:
    ptx = compile_source(assemble(), "compute_80").decode()
    assert f".visible .entry {PREFIX}" in ptx
    assert re.findall(r"\n.*\bfma\..*", ptx) == []
    # PTX lets the assembler contract a multiply and an add that name no rounding mode
    assert re.findall(r"\n.*\b(?:add|sub|mul)(?:\.ftz)?\.f(?:32|64).*", ptx) == []


@pytest.mark.skipif(not disassembler(), reason="machine code is NOT looked at: no cuobjdump and nvdisasm")
def test_machine_code_fuses_only_inside_divisions() -> None:
    shipped = machine_code(assemble(), "sm_90")
    assert re.findall(r"\bFMUL\b", shipped)
    assert re.findall(r"\bDFMA\b", shipped) == []
    undivided, divisions = re.subn(r"\b(sp|half) / \(", r"\1 * (", assemble())
    assert divisions == 2, "the divisions of real numbers: of `hill` and `sweep_cxcl12`"
    assert re.findall(r"\bFFMA\b", machine_code(undivided, "sm_90")) == []


def test_no_kernel_computes_a_transcendental_function() -> None:
    ptx = compile_source(assemble(), "compute_80").decode()
    assert re.findall(r"\n.*\b(?:ex2|lg2|sin|cos|tanh|rsqrt)\..*", ptx) == []


def test_errors_name_our_own_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "bad.cu").write_text(
        '#include "philox.cuh"\nKERNEL(bad)(int64_t n, float* out) {\n    out[n] = missing;\n}\n'
    )
    with pytest.raises(CompileError, match=r"bad\.cu\(3\)"):
        compile_source(assemble(tmp_path), "sm_80")
