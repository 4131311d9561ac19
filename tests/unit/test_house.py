"""House rules that a machine can check: sizes, sources of numbers, portability, documents that agree."""

from __future__ import annotations

import ast
import csv
import re
from pathlib import Path

import pytest

import abm

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("abm", "analysis", "benchmarks", "kernels", "tests")
PYTHON = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*.py"))
KERNELS = sorted(ROOT.glob("kernels/*.cu*"))
TABLES = sorted(ROOT.glob("scenarios/rules/*/*.csv"))
SCENARIOS = sorted(ROOT.glob("scenarios/*.toml"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60  #: without the signature: that of a twin is dictated by its kernel
STATUSES = {"read", "recalled", "derived", "assumption"}


def name(path: Path) -> str:
    """Return the path from the top of the repository, for the names of test cases."""
    return path.relative_to(ROOT).as_posix()


def code_of(path: Path) -> str:
    """Return C++ source without its comments."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_there_is_something_to_check() -> None:
    assert PYTHON
    assert KERNELS
    assert TABLES
    assert SCENARIOS


def test_files_are_short() -> None:
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in [*PYTHON, *KERNELS]}
    assert not {path: n for path, n in lines.items() if n > MAX_FILE_LINES}


def test_functions_are_short() -> None:
    long = [
        f"{name(path)}:{node.lineno} {node.name}"
        for path in PYTHON
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.body[0].lineno >= MAX_FUNCTION_LINES
    ]
    assert not long


@pytest.mark.parametrize("table", TABLES, ids=name)
def test_every_number_has_unit_and_source(table: Path) -> None:
    text = [line for line in table.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    rows = list(csv.DictReader(text))
    assert rows
    assert list(rows[0])[-3:] == ["unit", "source", "status"]
    bare = [row for row in rows if not (row["unit"] and row["source"]) or row["status"] not in STATUSES]
    assert not bare


def test_only_portable_knows_the_compiler() -> None:
    assert [path.name for path in KERNELS if "__CUDACC" in code_of(path)] == ["portable.cuh"]
    assert len((ROOT / "kernels" / "portable.cuh").read_text(encoding="utf-8").splitlines()) < 90


@pytest.mark.parametrize("kernel", KERNELS, ids=name)
def test_kernels_use_nothing_that_differs_between_machines(kernel: Path) -> None:
    inexact = r"\b(?:exp|log|pow|sin|cos|tan|fma|fmin|fmax)[fl]?\s*\("
    atomics = r"\batomic\w+\s*\(" if kernel.name != "device.cuh" else "(?!)"  # there: integer counters only
    assert not re.findall(f"{inexact}|{atomics}", code_of(kernel))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name)
def test_scenario_says_what_it_is_for(scenario: Path) -> None:
    lines = scenario.read_text(encoding="utf-8").splitlines()
    header = "\n".join(line for line in lines[: next(i for i, x in enumerate(lines) if not x.startswith("#"))])
    for word in ("question", "expected", "run time"):
        assert word in header.lower(), f"the header of {scenario.name} does not state: {word}"


def test_version_has_one_source() -> None:
    assert f"version: {abm.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^## \[({re.escape(abm.__version__)}|Unreleased)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_readme_opens_with_the_two_commands() -> None:
    commands = re.findall(r"^    (python3 -m venv .+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert len(commands) == 2
    assert "abm run scenarios/aml_hsct.toml" in commands[0]
    assert commands[1].endswith(".venv/bin/python -m pytest")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "-m pytest" in ci, "CI runs the README's own line"
    assert commands[1] not in ci, "CI reads the line from the README, so that the two cannot differ"
