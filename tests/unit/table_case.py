"""Rule tables of which a test spoils a row."""

from __future__ import annotations

import shutil
from pathlib import Path

from abm import resources

FOLDER = resources.folder("scenarios") / "rules"


def change(folder: Path, table: str, old: str, new: str) -> int:
    """Replace text in a table; returns the line it stands in."""
    path = folder / table
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def copied(tmp_path: Path, species: str = "human") -> Path:
    """Return a copy of the rule tables of a species."""
    return Path(shutil.copytree(FOLDER / species, tmp_path / species))
