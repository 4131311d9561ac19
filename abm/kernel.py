"""Kernel signatures, parsed from the ``.cu`` sources, and the assembled source itself.

A signature is written once, in ``kernels/<topic>.cu``, and from there feeds ctypes, CuPy, the argument
checks of every backend and the tests that compare kernels with their NumPy twins::

    KERNEL(grow)(int64_t n, float rate, const float* height, float* height_next) {
        FOR_EACH (i, n) { ... }
    }

A ``const`` pointer is an input, any other pointer an output (or both). Sources are assembled into one
string without ``#include`` of own files: CuPy's cache would not notice an edited header.
"""

from __future__ import annotations

import hashlib
import operator
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from abm import header, resources, streams

#: C++ types a signature may use.
DTYPES: dict[str, np.dtype[Any]] = {
    "int64_t": np.dtype(np.int64),
    "uint64_t": np.dtype(np.uint64),
    "int32_t": np.dtype(np.int32),
    "uint32_t": np.dtype(np.uint32),
    "uint16_t": np.dtype(np.uint16),
    "uint8_t": np.dtype(np.uint8),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}

_LIMITS = {dtype: (np.iinfo(dtype).min, np.iinfo(dtype).max) for dtype in DTYPES.values() if dtype.kind != "f"}

#: What the assembled source exports a kernel as (see ``portable.cuh``).
PREFIX = "abm_"
#: The include that stands for the constants of ``abm/cells.py`` and ``abm/streams.py``.
GENERATED = "generated.cuh"

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_KERNEL = re.compile(r"\bKERNEL\s*\(\s*(\w+)\s*\)\s*\(([^()]*)\)\s*\{")
_ARGUMENT = re.compile(r"(const\s+)?(\w+)\s*(\*)?\s*(\w+)")
_INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')


class Arg(NamedTuple):
    """One argument of a kernel."""

    name: str
    dtype: np.dtype[Any]
    is_pointer: bool
    is_output: bool


class Kernel(NamedTuple):
    """A kernel's name, its arguments after ``n`` and the topic (file stem) it stands in."""

    name: str
    args: tuple[Arg, ...]
    topic: str = ""

    def bind(self, values: Mapping[str, Any], array_type: type[Any]) -> list[Any]:
        """Check keyword arguments and return them in the order of the signature.

        Integer scalars come back as Python int, floating scalars as NumPy scalars of the declared type, arrays
        untouched.

        Args:
            values: arguments by name: all of them and no other.
            array_type: the array class of the backend.

        Raises:
            TypeError: a missing or unknown name, a wrong type or dtype.
            ValueError: an array that is not C-contiguous, a scalar out of range.
        """
        if len(values) != len(self.args) or not all(arg.name in values for arg in self.args):
            raise self._wrong_names(values)
        bound = []
        for arg in self.args:  # hot: a step makes dozens of launches, so messages are made only when needed
            value = values[arg.name]
            if not arg.is_pointer:
                value = cast_scalar(self.name, arg, value)
            elif not isinstance(value, array_type):
                found = type(value).__name__
                raise _refusal(TypeError, self.name, arg, f"expected {array_type.__name__}, found {found}")
            elif value.dtype != arg.dtype:
                raise _refusal(TypeError, self.name, arg, f"expected dtype {arg.dtype}, found {value.dtype}")
            elif not value.flags.c_contiguous:
                raise _refusal(ValueError, self.name, arg, "the array is not C-contiguous")
            bound.append(value)
        return bound

    def _wrong_names(self, values: Mapping[str, Any]) -> TypeError:
        expected = {arg.name for arg in self.args}
        missing, unknown = sorted(expected - values.keys()), sorted(values.keys() - expected)
        return TypeError(f"kernel {self.name}: missing arguments {missing}, unknown arguments {unknown}")


def cast_scalar(kernel: str, arg: Arg, value: Any) -> Any:
    """Cast a scalar to the declared type without losing anything but float precision."""
    if arg.dtype.kind == "f":
        if not isinstance(value, (int, float, np.integer, np.floating)):
            raise _refusal(TypeError, kernel, arg, f"expected a number, found {type(value).__name__}")
        return arg.dtype.type(value)
    try:
        number = operator.index(value)
    except TypeError:
        raise _refusal(TypeError, kernel, arg, f"expected an integer, found {type(value).__name__}") from None
    low, high = _LIMITS[arg.dtype]
    if not low <= number <= high:
        raise _refusal(ValueError, kernel, arg, f"{number} does not fit in {arg.dtype}")
    return number


def _refusal(error: type[Exception], kernel: str, arg: Arg, problem: str) -> Exception:
    return error(f"kernel {kernel}, argument {arg.name}: {problem}")


def parse(source: str, topic: str = "") -> dict[str, Kernel]:
    """Read the signatures of all kernels in ``source``, in the order they stand there.

    Raises:
        ValueError: a signature outside the contract, or two kernels of one name.
    """
    text = _COMMENT.sub(" ", source)
    kernels: dict[str, Kernel] = {}
    for name, arguments in _KERNEL.findall(text):
        if name in kernels:
            msg = f"{topic}: kernel {name} is defined twice"
            raise ValueError(msg)
        kernels[name] = Kernel(name, _parse_arguments(f"{topic}: kernel {name}", arguments), topic)
    if len(kernels) != len(re.findall(r"\bKERNEL\b", text)):
        msg = f"{topic}: a kernel is not written as KERNEL(name)(int64_t n, ...) {{; understood: {list(kernels)}"
        raise ValueError(msg)
    return kernels


def _parse_arguments(where: str, text: str) -> tuple[Arg, ...]:
    """Split ``int64_t n, const float* a, ...`` and drop the leading ``n``."""
    first, *rest = (" ".join(part.split()) for part in text.split(","))
    if first != "int64_t n":
        msg = f"{where}: the first argument must be 'int64_t n', found {first!r}"
        raise ValueError(msg)
    args = tuple(_parse_argument(where, part) for part in rest)
    names = [arg.name for arg in args]
    if len({*names, "n"}) != len(names) + 1:
        msg = f"{where}: two arguments share a name"
        raise ValueError(msg)
    return args


def _parse_argument(where: str, text: str) -> Arg:
    match = _ARGUMENT.fullmatch(text)
    if match is None or match[2] not in DTYPES:
        msg = f"{where}: cannot read argument {text!r}; types are {', '.join(DTYPES)}"
        raise ValueError(msg)
    constant, ctype, star, name = match.groups()
    return Arg(name, DTYPES[ctype], star is not None, star is not None and constant is None)


def load_topics(folder: Path | None = None) -> dict[str, Kernel]:
    """Return every kernel of every ``*.cu`` file in ``folder`` (default: the shipped kernels)."""
    kernels: dict[str, Kernel] = {}
    for path in _topics(folder):
        for name, kernel in parse(path.read_text(encoding="utf-8"), path.stem).items():
            if name in kernels:
                msg = f"kernel {name} stands in {kernels[name].topic}.cu and in {path.name}"
                raise ValueError(msg)
            kernels[name] = kernel
    return kernels


def assemble(folder: Path | None = None) -> str:
    """Return all topics as one source string, own headers inlined once each, with ``#line`` marks."""
    done: set[str] = set()
    return "".join(_inline(path, done) for path in _topics(folder))


def digest(folder: Path | None = None) -> str:
    """Return the sha256 of the assembled source: the identity of the physics."""
    return hashlib.sha256(assemble(folder).encode()).hexdigest()


def first_errors(log: str, count: int = 8) -> str:
    """Return the first error lines of a compiler's log, indented; not its pages of notes."""
    lines = log.splitlines()
    errors = [line for line in lines if "error" in line] or lines
    more = [f"... and {len(errors) - count} more"] if len(errors) > count else []
    return "\n".join(f"  {line}" for line in errors[:count] + more)


def _topics(folder: Path | None) -> list[Path]:
    return sorted((folder or resources.folder("kernels")).glob("*.cu"))


def _inline(path: Path, done: set[str]) -> str:
    """Return the text of ``path`` with its own includes replaced by what they name."""
    done.add(path.name)
    lines = [f'#line 1 "{path.name}"\n']
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = _INCLUDE.match(line)
        if match:
            lines.append(_included(path, number, match[1], done))
        elif line.strip() != "#pragma once":  # compilers warn about it in a main file
            lines.append(line + "\n")
        else:
            lines.append("\n")
    return "".join(lines)


def _included(path: Path, number: int, name: str, done: set[str]) -> str:
    if name in done:
        return "\n"
    back = f'#line {number + 1} "{path.name}"\n'
    if name == GENERATED:
        done.add(name)
        return f'#line 1 "{name}"\n' + header.cpp_header() + streams.cpp_header() + back
    for base in (path.parent, resources.folder("kernels")):
        if (base / name).is_file():
            return _inline(base / name, done) + back
    msg = f'{path.name}:{number}: no such file to include: "{name}"'
    raise FileNotFoundError(msg)
