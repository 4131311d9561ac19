"""The figure of chronic myeloid leukaemia is drawn from a run that has some, with the slopes that are published."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from tests.unit.made_up_run import make_run

pytest.importorskip("matplotlib", reason="matplotlib is not installed: no figure is drawn")
chronic = import_module("analysis.chronic")


def test_three_panels_and_both_slopes(tmp_path: Path) -> None:
    run = chronic.open_run(make_run(tmp_path / "run"))
    like = run.body["anc"]
    made = {
        name: like._replace(values=np.full(run.day.size, 5.0), unit=unit)
        for name, unit in {"blast_percent": "percent", "residual_stem_cells": "cells"}.items()
    }
    patient = run.config["patient"] | {"disease": "cml"}
    cml = dataclasses.replace(run, body={**run.body, **made}, config={**run.config, "patient": patient})
    chronic.draw(cml, tmp_path / "cml.svg")
    drawn = (tmp_path / "cml.svg").read_text(encoding="utf-8")
    assert drawn.count('id="axes_') == 3
    assert drawn.count("stroke-dasharray") >= 2
    assert chronic.expected() == {"bcr_abl_slope_early": -0.052, "bcr_abl_slope_late": -0.0057}
    assert chronic.course(cml) == (-7.0, -3.0), "the first drug, to the end of its last interval"
    with pytest.raises(chronic.RunError, match="no chronic myeloid leukaemia"):
        chronic.draw(run, tmp_path / "none.svg")
    untreated = dataclasses.replace(cml, config={**cml.config, "events": []})
    with pytest.raises(chronic.RunError, match="no event gives a drug"):
        chronic.draw(untreated, tmp_path / "none.svg")
