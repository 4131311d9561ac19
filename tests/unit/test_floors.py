"""A module imports only from its own floor or from floors below it, in no circle; some libraries have one home."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Floor of each module or package of abm/, lowest first.
FLOORS = (
    {
        "__init__",
        "cells",
        "diversity",
        "header",
        "streams",
        "philox",
        "exactmath",
        "resources",
        "errors",
        "endpoints",
        "read_outs",
        "outcomes",
        "summary",
        "stop_signals",
    },
    {
        "config",
        "config_antibody",
        "config_cells",
        "config_errors",
        "config_graft",
        "config_hiv",
        "config_infection",
        "config_leukaemia",
        "config_lines",
        "config_events",
        "config_models",
        "config_output",
        "config_table",
        "state",
        "kernel",
        "tables",
        "reference",
    },
    {"domain", "messages", "comm", "backends"},
    {"model"},
    {
        "step",
        "setup",
        "harvest",
        "notes",
        "phases",
        "chains",
        "tallies",
        "ledger",
        "lodgement",
        "homing",
        "observe",
        "io",
        "memory",
        "stem_clones",
        "well_mixed",
    },
    {
        "run",
        "run_folder",
        "progress",
        "ranks",
        "describe",
        "doctor",
        "bench",
        "scale",
        "submit",
        "validation",
        "calibration",
        "cli_options",
        "cohort",
        "scenario_files",
        "series",
    },
    {"cli", "sweep", "__main__"},
)

#: Library -> the only places that may import it, as prefixes of paths from the top of the repository.
HOMES = {
    "cupy": ("abm/backends/cuda.py",),
    "mpi4py": ("abm/comm.py",),
    "h5py": ("abm/io/", "analysis/"),
    "ctypes": ("abm/backends/host.py", "abm/backends/team.py"),
    "subprocess": ("abm/backends/host.py", "abm/bench/", "abm/submit.py"),
    "tqdm": ("abm/progress.py",),
    "matplotlib": ("analysis/",),
    "SALib": ("abm/calibration/",),
}

SOURCES = sorted([*ROOT.glob("abm/**/*.py"), *ROOT.glob("analysis/**/*.py")])


def floor(part: str) -> int:
    """Return the floor of a module or package directly under abm."""
    found = [level for level, names in enumerate(FLOORS) if part in names]
    assert found, f"abm/{part} has no floor: name it in FLOORS"
    return found[0]


def imports(path: Path) -> list[str]:
    """Return the full names of all modules ``path`` imports, at its top or inside its functions."""
    package = path.relative_to(ROOT).parent.parts
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names += [stem, *(f"{stem}.{alias.name}" for alias in node.names)]
    return names


def parts_of_abm(path: Path) -> set[str]:
    """Return the parts of abm (first level names) that ``path`` imports."""
    known = set().union(*FLOORS)
    names = [name.split(".") for name in imports(path)]
    return {n[1] for n in names if n[0] == "abm" and len(n) > 1 and n[1] in known}


def part_of(path: Path) -> str:
    """Return the module or package directly under abm that ``path`` belongs to."""
    return path.relative_to(ROOT / "abm").parts[0].removesuffix(".py")


def test_every_import_goes_down() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} (floor {floor(part_of(path))}) imports abm.{part} (floor {floor(part)})"
        for path in SOURCES
        if path.is_relative_to(ROOT / "abm")
        for part in parts_of_abm(path)
        if floor(part) > floor(part_of(path))
    ]
    assert not wrong, "\n".join(wrong)


def test_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in SOURCES:
        if path.is_relative_to(ROOT / "abm"):
            own = part_of(path)
            graph.setdefault(own, set()).update(parts_of_abm(path) - {own, "__init__"})
    TopologicalSorter(graph).prepare()  # raises CycleError and names the circle


def test_twins_and_analysis_see_only_constants() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports abm.{part}"
        for path in SOURCES
        if path.is_relative_to(ROOT / "abm" / "reference") or path.is_relative_to(ROOT / "analysis")
        for part in parts_of_abm(path) - {"reference"}
        if floor(part) > 0
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", HOMES)
def test_library_has_one_home(library: str) -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if any(name.split(".")[0] == library for name in imports(path))
        and not path.relative_to(ROOT).as_posix().startswith(HOMES[library])
    ]
    assert not wrong, f"{library} is imported outside {HOMES[library]}: {wrong}"


def test_import_abm_is_light() -> None:
    code = "import abm, sys; print(*sorted({'numpy', 'h5py', 'pydantic', 'cupy', 'mpi4py'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
