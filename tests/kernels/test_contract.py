"""The kernel contract: signatures are read right, twins match them, launches refuse wrong arguments."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm import resources
from abm.backends import Backend, choose
from abm.errors import BackendError
from abm.kernel import DTYPES, Arg, assemble, digest, load_topics, parse

ROOT = Path(__file__).resolve().parents[2]
#: What knows more of the machine than a kernel does.
MACHINE = ("portable", "device", "host", "lists", "sight", "tally", "team", "tiles")
TOPICS = sorted(path.stem for path in resources.folder("kernels").glob("*.cu"))

SOURCE = """
#include "generated.cuh"
#include "philox.cuh"
KERNEL(scale)(int64_t n, uint8_t shift, float factor, const float* in, float* out) {
    FOR_EACH (i, n) {
        out[i] = factor * in[i] + (float)shift;
    }
}
"""

TWIN = """
import numpy as np

def scale(n, shift, factor, **arrays):
    assert type(shift) is int and type(factor) is np.float32
    arrays["out"][:n] = factor * arrays["in"][:n] + np.float32(shift)
"""


def twins(topic: str) -> dict[str, list[str]]:
    """Return the arguments of each twin a module defines: its functions that start with ``n``, unlike helpers."""
    module = import_module(f"abm.reference.{topic}")
    functions = [f for _, f in inspect.getmembers(module, inspect.isfunction) if f.__module__ == module.__name__]
    arguments = {f.__name__: list(inspect.signature(f).parameters) for f in functions}
    return {name: args for name, args in arguments.items() if args[:1] == ["n"] and not name.startswith("_")}


def code(path: Path) -> str:
    """Return a source file without its comments."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_every_topic_has_a_twin_module_and_the_reverse() -> None:
    modules = {path.stem for path in (ROOT / "abm" / "reference").glob("*.py")}
    assert set(TOPICS) <= modules
    kernels = {kernel.topic for kernel in load_topics().values()}
    assert kernels == set(TOPICS), "a topic without a kernel"


@pytest.mark.parametrize("topic", TOPICS)
def test_twins_have_the_names_and_arguments_of_the_kernels(topic: str) -> None:
    declared = {k.name: ["n", *(a.name for a in k.args)] for k in load_topics().values() if k.topic == topic}
    assert twins(topic) == declared


def test_twins_use_no_function_whose_last_bit_varies() -> None:
    for path in (ROOT / "abm" / "reference").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"np\.(?:exp|log|power|sin|cos|random)\b", text) == [], path.name


def test_only_portable_cuh_knows_the_compiler() -> None:
    for path in resources.folder("kernels").glob("*.cu*"):
        if path.stem not in MACHINE:
            alien = r"\b__\w+|#\s*include\s*<|\b(?:blockIdx|threadIdx)\b|\batomic\w+\s*\("
            inexact = r"\b(?:exp|log|pow|sin|cos|sqrt|fma|fmin|fmax)f?\s*\("
            assert re.findall(f"{alien}|{inexact}", code(path)) == [], path.name
    assert len((resources.folder("kernels") / "portable.cuh").read_text().splitlines()) < 90


def test_parse_reads_types_directions_and_skips_comments() -> None:
    kernels = parse(
        "// KERNEL(no)(int64_t n) {\n"
        "KERNEL(one)(int64_t n, uint32_t word, /* in */ const int64_t *a,\n  uint8_t* b  // out\n) {}\n"
        "KERNEL(two)(int64_t n) {}\n",
        "topic",
    )
    assert list(kernels) == ["one", "two"]
    assert kernels["one"].topic == "topic"
    assert kernels["one"].args == (
        Arg("word", np.dtype(np.uint32), is_pointer=False, is_output=False),
        Arg("a", np.dtype(np.int64), is_pointer=True, is_output=False),
        Arg("b", np.dtype(np.uint8), is_pointer=True, is_output=True),
    )
    assert kernels["two"].args == ()


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("KERNEL(f)(int n) {}", "first argument must be 'int64_t n'"),
        ("KERNEL(f)() {}", "first argument must be 'int64_t n'"),
        ("KERNEL(f)(int64_t n, long x) {}", "cannot read argument 'long x'"),
        ("KERNEL(f)(int64_t n, float** x) {}", "cannot read argument"),
        ("KERNEL(f)(int64_t n, float x, float x) {}", "share a name"),
        ("KERNEL(f)(int64_t n, float n) {}", "share a name"),
        ("KERNEL(f)(int64_t n);", "is not written as KERNEL"),
        ("KERNEL f(int64_t n) {}", "is not written as KERNEL"),
        ("KERNEL(f)(int64_t n) {} KERNEL(f)(int64_t n) {}", "defined twice"),
    ],
)
def test_parse_refuses_signatures_outside_the_contract(source: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse(source, "topic")


def test_two_topics_cannot_share_a_kernel_name(tmp_path: Path) -> None:
    for topic in ("a", "b"):
        (tmp_path / f"{topic}.cu").write_text("KERNEL(same)(int64_t n) {}")
    with pytest.raises(ValueError, match=r"kernel same stands in a\.cu and in b\.cu"):
        load_topics(tmp_path)


def test_assembled_source_holds_each_header_once() -> None:
    source = assemble()
    assert re.findall(r'^\s*#\s*include\s+".*', source, re.MULTILINE) == []
    headers = {path.name for path in resources.folder("kernels").glob("*.cuh")}
    assert {name: source.count(f'#line 1 "{name}"') for name in headers} == dict.fromkeys(headers, 1)
    assert str(ROOT) not in source


def test_missing_header_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.cu").write_text('\n#include "nowhere.cuh"\n')
    with pytest.raises(FileNotFoundError, match=r'a\.cu:2: no such file to include: "nowhere\.cuh"'):
        assemble(tmp_path)


def test_digest_follows_the_headers(tmp_path: Path) -> None:
    (tmp_path / "a.cu").write_text('#include "own.cuh"\nKERNEL(f)(int64_t n) {}\n')
    digests = set()
    for text in ("#define X 1\n", "#define X 2\n"):
        (tmp_path / "own.cuh").write_text(text)
        digests.add(digest(tmp_path))
    assert len(digests) == 2


@pytest.fixture(scope="module", params=["numpy", "host", pytest.param("cuda", marks=pytest.mark.cuda)])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Each backend with one kernel of its own."""
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "tiny_topic.cu").write_text(SOURCE)
    try:
        backend, _ = choose(request.param, folder)
    except BackendError as error:
        pytest.skip(str(error))
    if request.param == "numpy":
        backend.package = "tiny_twins"  # type: ignore[attr-defined]
        (folder / "tiny_twins").mkdir()
        (folder / "tiny_twins" / "tiny_topic.py").write_text(TWIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield backend


def arguments(backend: Backend) -> dict[str, Any]:
    """Return right arguments of the kernel ``scale`` for 5 sites."""
    values = np.arange(5, dtype=np.float32)
    return {"shift": 3, "factor": 0.1, "in": backend.to_device(values), "out": backend.alloc(5, np.float32)}


def test_launch_computes(tiny: Backend) -> None:
    args = arguments(tiny)
    tiny.launch("scale", 4, **args)
    tiny.sync()
    expected = np.float32(0.1) * np.arange(5, dtype=np.float32) + np.float32(3)
    np.testing.assert_array_equal(tiny.to_host(args["out"]), [*expected[:4], 0])


def test_launch_of_nothing_does_nothing(tiny: Backend) -> None:
    args = arguments(tiny)
    tiny.launch("scale", 0, **args)
    assert not tiny.to_host(args["out"]).any()


@pytest.mark.parametrize(
    ("change", "error", "problem"),
    [
        ({"in": None}, TypeError, "argument in: expected .*ndarray, found NoneType"),
        ({"extra": 1}, TypeError, r"missing arguments \[\], unknown arguments \['extra'\]"),
        ({"shift": 256}, ValueError, "argument shift: 256 does not fit in uint8"),
        ({"shift": -1}, ValueError, "argument shift: -1 does not fit in uint8"),
        ({"shift": 1.5}, TypeError, "argument shift: expected an integer, found float"),
        ({"factor": "1"}, TypeError, "argument factor: expected a number, found str"),
    ],
)
def test_launch_refuses_wrong_values(tiny: Backend, change: dict[str, Any], error: type, problem: str) -> None:
    with pytest.raises(error, match=f"kernel scale.*{problem}"):
        tiny.launch("scale", 5, **{**arguments(tiny), **change})


def test_launch_refuses_wrong_arrays(tiny: Backend) -> None:
    args = arguments(tiny)
    for dtype in (np.float64, np.int32):
        with pytest.raises(TypeError, match=f"argument out: expected dtype float32, found {np.dtype(dtype)}"):
            tiny.launch("scale", 5, **{**args, "out": tiny.alloc(5, dtype)})
    with pytest.raises(ValueError, match="argument in: the array is not C-contiguous"):
        tiny.launch("scale", 5, **{**args, "in": tiny.alloc(10, np.float32)[::2]})


def test_launch_names_missing_arguments_and_kernels(tiny: Backend) -> None:
    args = arguments(tiny)
    del args["out"]
    with pytest.raises(TypeError, match=r"missing arguments \['out'\]"):
        tiny.launch("scale", 5, **args)
    with pytest.raises(KeyError, match="no kernel 'scales'; there are scale"):
        tiny.launch("scales", 5)


def test_launch_refuses_a_read_only_output(tiny: Backend) -> None:
    if tiny.name == "cuda":
        pytest.skip("CuPy arrays have no read-only flag")
    args = arguments(tiny)
    args["out"].flags.writeable = False
    with pytest.raises(ValueError, match="argument out: the output array is read-only"):
        tiny.launch("scale", 5, **args)


def test_arrays_are_zeroed_copied_and_come_back(tiny: Backend) -> None:
    assert not tiny.to_host(tiny.alloc((2, 3), np.uint32)).any()
    original = np.arange(6, dtype=np.uint32).reshape(2, 3)
    array = tiny.to_device(original)
    original[:] = 0
    np.testing.assert_array_equal(tiny.to_host(array), np.arange(6).reshape(2, 3))
    target = tiny.alloc((4, 3), np.uint32)
    tiny.copy(target[1:3], array)
    np.testing.assert_array_equal(tiny.to_host(target)[:, 0], [0, 0, 3, 0])
    with pytest.raises(ValueError, match=r"cannot copy uint32\(2, 3\) into uint32\(4, 3\)"):
        tiny.copy(target, array)


def test_fields_of_transposed_arrays_become_contiguous(tiny: Backend) -> None:
    array = tiny.to_device(np.arange(6, dtype=np.uint32).reshape(2, 3).T)
    assert array.flags.c_contiguous


def test_every_type_of_the_contract_crosses_the_boundary(tmp_path: Path) -> None:
    """Each scalar type at its limits, written to an array of the same type."""
    body = "\n".join(
        f"KERNEL(put_{t})(int64_t n, uint8_t pad, {t} value, {t}* out) {{ FOR_EACH (i, n) {{ out[i] = value; }} }}"
        for t in DTYPES
    )
    (tmp_path / "put.cu").write_text('#include "portable.cuh"\n' + body)
    try:
        backend, _ = choose("host", tmp_path)
    except BackendError as error:
        pytest.skip(str(error))
    for name, dtype in DTYPES.items():
        limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        for value in (limits.min, limits.max):
            out = backend.alloc(3, dtype)
            backend.launch(f"put_{name}", 3, pad=255, value=value, out=out)
            assert out.tolist() == [value] * 3, name


def test_host_library_holds_no_fused_multiply_add() -> None:
    objdump = shutil.which("objdump")
    try:
        backend, _ = choose("host")
    except BackendError as error:
        pytest.skip(str(error))
    if objdump is None:
        pytest.skip("no objdump to disassemble the host library with")
    done = subprocess.run([objdump, "-d", str(backend.path)], capture_output=True, text=True, check=True)  # type: ignore[attr-defined]
    assert "abm_" in done.stdout
    assert re.findall(r"\n.*\b(?:vf\w*m(?:add|sub)\w*|fmadd|fmsub|fmla|fmls)\b.*", done.stdout) == []


def test_only_the_host_selects_by_masks() -> None:
    """Of masks NVRTC 13.0 made wrong moves for sm_90; no machine without a GPU would notice."""
    files = resources.folder("kernels").glob("*.cu*")
    masked = [path.name for path in files if re.search(r"-\s*int\d+_t\(\w+\) &", path.read_text())]
    assert masked == ["host.cuh"]
