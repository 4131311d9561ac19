"""The figure of engineered T cells is drawn from a run that has some."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from tests.unit.made_up_run import make_run

pytest.importorskip("matplotlib", reason="matplotlib is not installed: no figure is drawn")
engineered = import_module("analysis.engineered")


def test_every_panel_has_its_curve(tmp_path: Path) -> None:
    run = engineered.open_run(make_run(tmp_path / "run"))
    like = run.body["anc"]
    units = {"engineered_body": "cells", "blast_percent": "%", "b": "1e9/L", "il6": "fold"}
    made = {name: like._replace(values=np.full(run.day.size, 2e7), unit=unit) for name, unit in units.items()}
    with_cells = dataclasses.replace(run, body={**run.body, **made})
    engineered.draw(with_cells, tmp_path / "some.svg")
    drawn = (tmp_path / "some.svg").read_text(encoding="utf-8")
    assert drawn.count('id="axes_') == len(engineered.PANELS)
    none = {**made, "engineered_body": like._replace(values=np.zeros(run.day.size), unit="cells")}
    with pytest.raises(engineered.RunError, match="no engineered T cells"):
        engineered.draw(dataclasses.replace(run, body={**run.body, **none}), tmp_path / "none.svg")
