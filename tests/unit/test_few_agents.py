"""Grafts of a handful of stem-cell agents: how many they are, and when that is told."""

from __future__ import annotations

from math import exp

import pytest

from abm.backends import choose
from abm.cells import Kind
from abm.config import Config
from abm.few_agents import few_agents, stem_cell_agents
from abm.model.body import giving
from abm.step import Simulation

GRAFT = {"day": 0, "action": "graft", "source": "cd34_selected", "cd34_per_kg": 5e6}


def scenario(side: int, *grafts: dict[str, object], species: str = "human") -> Config:
    patient = {"weight_kg": 70.0 if species == "human" else 0.025}
    patch = {"shape": (side, side, side), "species": species}
    events = [{"day": -6, "action": "tbi", "dose_gy": 12}, *(GRAFT | graft for graft in grafts)]
    return Config.model_validate({"patch": patch, "patient": patient, "events": events, "time": {"start_day": -7}})


def said(*grafts: dict[str, object], side: int = 24) -> list[tuple[str, str]]:
    return list(few_agents(scenario(side, *grafts)))


def test_the_number_is_that_of_a_run() -> None:
    for species, side in (("human", 24), ("human", 32), ("mouse", 32)):
        config = scenario(side, {}, species=species)
        run = Simulation.start(config, choose("numpy")[0])
        [dose] = [dose for doses in run.model.schedule for dose in doses if dose.kind == "graft" and dose.cd34]
        there = giving.graft_agents(run.body, dose)[Kind.HSC]
        assert stem_cell_agents(config) == {1: pytest.approx(there, rel=0.2)}


def test_a_graft_of_about_one_agent_is_told_with_its_chance_and_what_helps() -> None:
    expected = stem_cell_agents(scenario(24, {}))[1]
    [(key, message)] = said({})
    assert key == "events.1.source"
    assert message.startswith(f"brings about {expected:.2g} stem-cell agents to this patch, and fails by chance")
    assert f"up to about {100.0 * exp(-expected):.0f} % of patients; in less than 5 % from 3 agents on: " in message
    side, times = int(message.partition("patch.shape from [")[2].partition(",")[0]), 3.0 / expected
    assert f"or {times:.2g} times the dose" in message
    enough = stem_cell_agents(scenario(side, {}))[1]
    assert 3.0 <= enough < 3.5
    assert stem_cell_agents(scenario(24, {"cd34_per_kg": 5e6 * times}))[1] == pytest.approx(3.0)
    assert said({}, side=side) == [] == said({"cd34_per_kg": 5e6 * times})


def test_units_of_one_day_count_together_and_later_ones_apart() -> None:
    assert len(said({"cd34_per_kg": 1.2e7}, {"cd34_per_kg": 1e7, "donor": "second"})) == 0
    assert [key for key, _ in said({"cd34_per_kg": 1.2e7}, {"day": 30})] == ["events.1.source", "events.2.source"]


def test_potency_and_purified_cells_count() -> None:
    [(_, weak)] = said({"cd34_per_kg": 5e7, "potency": 0.1})
    assert weak == said({})[0][1]
    few: dict[str, object] = {"source": "marrow", "cd34_per_kg": None, "cells": {"hsc": 100.0}}
    assert "brings about" in said(few)[0][1]
