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
Figure = import_module("matplotlib.figure").Figure


def test_every_panel_of_a_run_with_the_disease_alone(tmp_path: Path) -> None:
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
    assert chronic.expected() == {"bcr_abl_slope_early": -0.052, "bcr_abl_slope_late": -0.0057}
    assert chronic.course(cml) == (-7.0, -3.0), "the first drug, to the end of its last interval"
    with pytest.raises(chronic.RunError, match="no chronic myeloid leukaemia"):
        chronic.draw(run, tmp_path / "none.svg")
    untreated = dataclasses.replace(cml, config={**cml.config, "events": []})
    with pytest.raises(chronic.RunError, match="no event gives a drug"):
        chronic.draw(untreated, tmp_path / "none.svg")


def test_published_slopes_go_through_what_is_found(tmp_path: Path) -> None:
    run = dataclasses.replace(chronic.open_run(make_run(tmp_path / "run")), day=np.arange(0.0, 400.0))
    values = np.where(run.day % 7 == 0, 0.0, 50.0 * np.exp(-0.052 * run.day))  # every seventh sample finds none
    axis = Figure().subplots()
    chronic._slopes(axis, run, values, 0.0)
    first, second = (line.get_xydata() for line in axis.get_lines())
    np.testing.assert_allclose(first[:, 1], 50.0 * np.exp(-0.052 * first[:, 0]))
    assert np.log(second[1, 1] / second[0, 1]) == pytest.approx(-0.0057 * (second[1, 0] - second[0, 0]))
    empty = Figure().subplots()
    chronic._slopes(empty, run, np.zeros(run.day.size), 0.0)
    assert not empty.get_lines()
