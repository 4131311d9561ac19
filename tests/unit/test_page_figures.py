"""Figures of the pages in docs/ that a command draws: panels and curves are those that the pages tell of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.made_up_run import make_run

pytest.importorskip("matplotlib", reason="matplotlib is not installed: no figure is drawn")
acute_hiv = import_module("figures.acute_hiv")
autoimmune = import_module("analysis.autoimmune")
clone_lives = import_module("figures.clone_lives")
combination = import_module("analysis.combination")
sheet = import_module("analysis.sheet")
shelter = import_module("figures.shelter")
treated_clones = import_module("figures.treated_clones")
MODULES = [acute_hiv, autoimmune, clone_lives, combination, shelter, treated_clones]


@pytest.fixture(autouse=True)
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keep every figure that is written."""
    kept: list[Any] = []

    def save(figure: Any, out: Path) -> None:
        kept.append(figure)
        sheet.save(figure, out)

    for module in MODULES:
        monkeypatch.setattr(module, "save", save)
    return kept


def curves(panel: Any) -> dict[str, np.ndarray]:
    """Return the values of the curves of a panel that have a name."""
    return {line.get_label(): np.asarray(line.get_ydata()) for line in panel.lines if line.get_label()[0] != "_"}


def of_disease(tmp_path: Path, needed: str) -> Any:
    run = autoimmune.open_run(make_run(tmp_path / needed))
    like = run.body["anc"]
    made = {name: like._replace(values=np.zeros(run.day.size), unit="1") for name in ("edss", "sledai")}
    plots = autoimmune.SCLEROSIS if needed == "edss" else autoimmune.LUPUS
    units = {"percent": "fraction", "1e9/L": "1e9/L", None: "1"}
    for curve in (curve for plot in plots for curve in plot.curves):
        made[curve.observable] = like._replace(values=np.full(run.day.size, 0.5), unit=units[curve.unit])
    return dataclasses.replace(run, body={**run.body, **made})


def test_every_run_of_autoimmune_disease_is_a_row(tmp_path: Path, figures: list[Any]) -> None:
    sclerosis, lupus = of_disease(tmp_path, "edss"), of_disease(tmp_path, "sledai")
    autoimmune.draw([sclerosis, lupus, lupus], tmp_path / "figure.png")
    panels = figures[0].axes
    assert len(panels) == 9
    drawn = [{line.get_gid() for line in panel.lines} - {None} for panel in panels]
    wanted = [{one.observable for one in plot.curves} for _, _, plots in autoimmune.ROWS for plot in plots]
    assert drawn == wanted
    assert curves(panels[2])["CD4"] == pytest.approx(50.0)  # percent
    assert [panel.get_ylabel() for panel in panels[::3]] == [name for name, _, _ in autoimmune.ROWS]
    with pytest.raises(autoimmune.RunError, match="expected a run of sclerosis: autograft, found no edss"):
        autoimmune.draw([lupus, lupus, lupus], tmp_path / "other.png")


def test_lives_are_counted_at_each_age(tmp_path: Path, figures: list[Any]) -> None:
    small, carrier = [0.0] * 91, [0.0] * 60 + [0.05] * 31
    lives = [clone_lives.Life(small, [], []), clone_lives.Life(carrier, [(2, [60, 61], [0.05, 0.05])], [83.0])]
    found = {0.0: [lives[0], lives[0]], 0.3: lives}
    clone_lives.draw_ages(found, tmp_path / "ages.png")
    clone_lives.draw_clones(found, tmp_path / "clones.png")
    ages, clones = figures
    seen = curves(ages.axes[0])
    assert not seen["clone of 2 %: no inflammation"].any()
    place = list(clone_lives.AGES).index(60)
    assert list(seen["clone of 2 %: lasting inflammation (0.3)"][[place - 1, place, -1]]) == [0.0, 50.0, 50.0]
    assert [list(ages.axes[0].lines[line].get_ydata()[-3:]) for line in (1, 3)] == [[0, 0, 0], [0.0, 50.0, 50.0]]
    titles = [panel.get_title() for panel in clones.axes]
    assert [title.split(": ")[1] for title in titles] == ["leukaemia in 0 of 2 by 90", "leukaemia in 1 of 2 by 90"]
    assert list(clones.axes[1].lines[0].get_ydata()) == [5.0, 5.0]
    assert {"one hit", "two hits", "TP53-like"} < set(curves(clones.axes[0]))


def test_a_life_is_that_of_the_rules() -> None:
    lives = clone_lives.cohorts(1, cells=2000)
    assert set(lives) == set(clone_lives.LEVELS)
    for life, *_ in lives.values():
        assert len(life.largest) == clone_lives.END + 1
        for variant, ages, frequencies in life.clones:
            assert variant in clone_lives.VARIANTS
            assert len(ages) == len(frequencies)
            assert min(frequencies) >= clone_lives.SMALLEST
            assert all(life.largest[age] >= frequency for age, frequency in zip(ages, frequencies, strict=True))


def test_treatment_selects_the_clone(tmp_path: Path, figures: list[Any]) -> None:
    found = treated_clones.cohorts(2, cells=20_000)
    late = {treated: [one.share[-1] for one in found[treated]] for treated in (True, False)}
    assert min(late[True]) > 1.5 * max(late[False])  # half of so small a marrow is the graft
    for one in (*found[True], *found[False]):
        assert (one.years[0], one.share[0]) == (pytest.approx(-51 / 365.25), pytest.approx(0.06))
        assert one.years[-1] == pytest.approx(10.0, abs=0.06)
    found = {True: [found[True][0]._replace(seen=year) for year in (1.0, 11.0)], False: found[False][:1]}
    assert [treated_clones.neoplasms(found[True], year) for year in (0.5, 10.0, 12.0)] == [0, 1, 2]
    treated_clones.draw(found, tmp_path / "figure.png")
    clones, ill = figures[0].axes
    assert len(clones.lines) == 3
    assert list(curves(ill)["DHAP, BEAC, autograft"]) == [0.0, 50.0, 50.0]


def test_virus_is_held_by_the_share_that_the_figure_tells(tmp_path: Path, figures: list[Any]) -> None:
    found = acute_hiv.courses((0.0, 1.0), days=14)
    open_, held = found
    assert open_.r0 == pytest.approx(held.r0)
    assert open_.load.max() > 100.0 * held.load.max() > 0.0
    acute_hiv.draw(found, tmp_path / "figure.png")
    (panel,) = figures[0].axes
    seen = curves(panel)
    assert list(seen["highest of 14 days"]) == [open_.load.max(), held.load.max()]
    assert panel.lines[-1].get_xdata()[0] == pytest.approx(100 * (1 - 1 / open_.r0))


def test_every_arm_of_a_combination_is_a_curve(tmp_path: Path, figures: list[Any]) -> None:
    bare = combination.open_run(make_run(tmp_path / "run"))
    like = bare.body["anc"]
    arms = []
    for level in (10.0, 1e5, 100.0, 1e6):
        made = {plot.observable: like._replace(values=np.full(bare.day.size, level)) for plot in combination.PLOTS}
        arms.append(dataclasses.replace(bare, body={**bare.body, **made}))
    combination.draw(arms, tmp_path / "figure.png")
    leukaemia, acute, chronic = figures[0].axes
    assert list(curves(chronic)) == [name for name, _ in combination.ARMS]
    assert [line.get_ydata()[0] for line in leukaemia.lines[:4]] == [10.0, 1e5, 100.0, 1e6]
    assert {line.get_gid() for line in acute.lines} == {"gvhd_grade"}
    none = dataclasses.replace(
        arms[0], body={**arms[0].body, "residual_stem_cells": like._replace(values=0 * like.values)}
    )
    with pytest.raises(combination.RunError, match=r"residual_leukaemia = true \(without the graft\)"):
        combination.draw([*arms[:3], none], tmp_path / "other.png")


def test_what_chemotherapy_leaves_is_drawn_with_where_it_lies(tmp_path: Path, figures: list[Any]) -> None:
    found = shelter.views(shelter.patient((16, 20, 18)), days=1.0)
    before, without, sheltered = found
    assert [view.tissue.tolist() for view in found[1:]] == [before.tissue.tolist()] * 2
    assert max(without.leukaemic.sum(), sheltered.leukaemic.sum()) < before.leukaemic.sum()
    shelter.draw(found, tmp_path / "figure.png", slice(None))
    assert [panel.get_title().splitlines()[0] for panel in figures[0].axes] == [view.title for view in found]
    for panel, view in zip(figures[0].axes, found, strict=True):
        drawn = {dots.get_label(): len(dots.get_offsets()) for dots in panel.collections if dots.get_label()[0] != "_"}
        assert drawn["leukaemic"] + drawn["leukaemic, at stroma"] == view.leukaemic.sum()
        assert drawn["leukaemic, at stroma"] == round(view.touching * view.leukaemic.sum())


@pytest.mark.parametrize(
    ("module", "words"),
    [(shelter, []), (clone_lives, ["a.png", "b.png", "none"]), (treated_clones, ["a.png", "0"]), (acute_hiv, [])],
)
def test_usage_is_told(module: Any, words: list[str]) -> None:
    main: Callable[[list[str]], None] = module.main
    with pytest.raises(SystemExit, match="usage: python -m figures"):
        main(words)
