"""Figures of what only some runs have, on a made-up patient: there if it goes on, absent if it does not."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm import resources
from tests.unit.made_up_run import make_run

resources.load_analysis()
from abm_analysis import draw, figures, panels, read, therapy  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read.open_run(make_run(tmp_path_factory.mktemp("runs") / "a", every_h=24, last_day=60))


def shown(run: Any, **values: float) -> Mapping[str, Any]:
    """Return the panels of the run with observables that rise from 0 to a value on day 10."""
    body = {name: read.Column(np.where(run.day < 10.0, 0.0, top), "1", "") for name, top in values.items()}
    found = figures.panels(dataclasses.replace(run, body=run.body | body))
    return {panel.key: panel for panel in found}


@pytest.mark.parametrize(
    ("key", "values", "labels"),
    [
        ("repertoire", {"cd4_shannon": 5.0, "cd8_shannon": 4.0, "b_shannon": 5.5}, ["CD4", "CD8", "B"]),
        ("new_receptors", {"cd4_new": 0.9, "cd8_new": 0.0}, ["CD4"]),
        ("selection", {"escape_self": 0.4, "escape_donor": 1.0}, ["See tissue", "See the donor"]),
        ("infections", {"cmv_load": 3.0, "bacteria_load": 0.0}, ["CMV"]),
        ("edited", {"altered_share_t": 0.4, "edited_hsc": 0.5}, ["T", "Marrow HSC, any allele"]),
        ("hiv", {"hiv_load": 1e5}, ["HIV RNA"]),
        ("infected", {"hiv_share": 0.01, "marrow_hiv": 0.02}, ["Whole body", "Marrow lattice"]),
        ("virus", {"hiv_load": 1e5, "hiv_resistant": 0.5}, ["Virus that resists therapy"]),
        ("sclerosis", {"edss": 3.5}, ["EDSS"]),
        ("lupus", {"sledai": 12.0}, ["SLEDAI"]),
        ("lupus_loop", {"sledai": 12.0, "interferon": 1.0}, ["Interferon"]),
        (
            "variants",
            {"vaf": 0.1, "hsc_variant_1": 0.2},
            ["Stem cells, variant 1", "Variant allele frequency, myeloid"],
        ),
    ],
)
def test_what_goes_on_is_drawn_and_nothing_else(
    run: Any, key: str, values: Mapping[str, float], labels: list[str]
) -> None:
    assert [line.label for line in shown(run, **values)[key].lines] == labels
    assert key not in shown(run, **dict.fromkeys(values, 0.0))
    assert key not in shown(run)


def test_antibodies_are_drawn_while_there_is_one(run: Any) -> None:
    assert "antibodies" not in shown(run, exhaustion=0.3), "chronic infection tires T cells as well"
    made = shown(run, antibodies=5.0, pd1_blocked=0.9)["antibodies"]
    assert (made.title, len(made.lines)) == ("PD-1 blocked", 1)
    made = shown(run, antibodies=5.0, lent=0.9, exhaustion=0.3)["antibodies"]
    assert (made.title, len(made.lines)) == ("Antibodies and T cells", 2)


def test_igg_is_drawn_once_it_falls_well_below_what_it_was(run: Any) -> None:
    for lowest, drawn in ((0.9, False), (0.4, True)):
        igg = read.Column(np.where(run.day < 10.0, 10.0, 10.0 * lowest), "g/L", "")
        found = figures.panels(dataclasses.replace(run, body=run.body | {"igg": igg, "host_igg": igg}))
        lines = [line.label for panel in found if panel.key == "igg" for line in panel.lines]
        assert lines == (["Immunoglobulin G", "made by cells of the host"] if drawn else [])


def test_residual_stem_cells_have_no_value_on_a_logarithmic_axis_once_gone(run: Any) -> None:
    assert "residue" not in shown(run, residual_stem_cells=1e5), "not followed in this run"
    [line, _] = shown(run, residual_share=0.1, residual_stem_cells=1e5, escaped_stem_cells=10.0)["residue"].lines
    assert np.isnan(line.values[0])
    assert line.values[-1] == 1e5


def test_episodes_stand_at_the_foot(run: Any) -> None:
    made = shown(run, cmv_load=3.0, cmv_episodes=1.0)["infections"]
    [(label, days)] = made.ticks
    assert (label, list(days)) == ("CMV, episode", [10.0])


def test_treatments_that_wait_or_last_have_a_colour_and_a_bar() -> None:
    events = [
        {"day": 0.0, "action": "treat", "drug": "tocilizumab", "against": "crs", "grade": 2},
        {"day": -5.0, "action": "art", "adherence": 0.9, "until_day": 20.0},
        {"day": 30.0, "action": "art"},
        {"day": 50.0, "action": "switch"},
    ]
    bars = therapy.bars({"events": events}, 180.0)
    assert {bar.action for bar in bars} <= draw.LANES.keys()
    assert [(b.label, b.start, b.end, b.detail) for b in bars if b.action == "art"] == [
        ("antiretroviral therapy", -5.0, 20.0, "90 % of the doses"),
        ("antiretroviral therapy", 30.0, 180.0, "100 % of the doses"),
    ]


def test_happenings_outside_of_the_days_shown_are_left_out(run: Any, tmp_path: Path) -> None:
    """Beside the axes they left no room for these."""
    pytest.importorskip("matplotlib")
    from abm_analysis import pictures

    assert set(pictures.STRIP) | {"graft"} == set(draw.LANES), "every colour of the strip is explained"
    [panel] = [panel for panel in figures.panels(run) if panel.key == "engraftment"]
    late = panels.Panel(**vars(panel) | {"ticks": [("late", np.array([1000.0]))]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pictures.write_panel(late, [], tmp_path / "late.png").exists()
