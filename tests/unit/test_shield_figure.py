"""The figure of the shield is drawn from what `abm validate` keeps of patients."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: no figure is drawn")
shield = import_module("analysis.shield")


def kept(folder: Path, cohort: str, patient: int, level: float) -> None:
    values: list[float | None] = [*[level] * 96, None, level]
    curves = dict.fromkeys(("anc", "platelets", "altered_neutrophils"), values)
    place = folder / "patients" / f"{cohort}-{patient}-0123456789abcdef.json"
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps({"first_day": -7, "curves": curves}), encoding="utf-8")


def test_all_arms_are_drawn(tmp_path: Path) -> None:
    for patient in (1, 2):
        for cohort, _, _ in (*shield.ARMS, *shield.HALF):
            kept(tmp_path, cohort, patient, 2.0)
    shield.draw(tmp_path, tmp_path / "shield.svg", [1, 2, 2])
    drawn = (tmp_path / "shield.svg").read_text(encoding="utf-8")
    assert drawn.count('id="line2d') >= 2 * 2 * 3 + 2
    days, values = shield.curve(tmp_path, "half_shielded", 1, "anc")
    assert (days[0], days[-1], values[0]) == (-7.0, 90.0, 2.0)
    assert values[96] != values[96]  # a day without a value is a gap


def test_a_patient_who_was_not_simulated_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"shielded_remission-3-\*\.json"):
        shield.curve(tmp_path, "shielded_remission", 3, "anc")
