"""What is built for users holds all that is needed, and finds it away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling is not installed: what the wheel holds is not checked")

ROOT = Path(__file__).resolve().parents[2]


def build(target: str, folder: Path) -> Path:
    """Build one distribution of the checkout into ``folder``."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout."""
    return build("wheel", tmp_path_factory.mktemp("wheel"))


def in_checkout(*patterns: str) -> set[str]:
    """Return the paths, from the top of the repository, that match the patterns."""
    found = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return {path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts}


def test_wheel_holds_package_and_data(wheel: Path) -> None:
    expected = in_checkout("abm/**/*.py")
    expected |= {f"abm/{path}" for path in in_checkout("kernels/*.cu*", "scenarios/**/*", "analysis/**/*", "slurm/*")}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == expected


def test_wheel_finds_its_data(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from abm.resources import folder, load_analysis\n"
        "print(folder('kernels'), folder('scenarios'), folder('slurm'), load_analysis().__path__[0], sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(site / "abm" / name) for name in ("kernels", "scenarios", "slurm", "analysis")]


def test_sdist_holds_the_repository(tmp_path: Path) -> None:
    made = build("sdist", tmp_path)
    with tarfile.open(made) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    python = (f"{folder}/**/*.py" for folder in ("abm", "kernels", "scenarios", "analysis", "tests", "benchmarks"))
    expected = in_checkout(*python, "kernels/*", "scenarios/**/*", "slurm/*", "*.md")
    assert expected <= held, sorted(expected - held)
