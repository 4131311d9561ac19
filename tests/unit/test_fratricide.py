"""Engineered T cells whose antigen stands on T cells: who is seen, who is killed, what an edit spares."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from pathlib import Path

import numpy as np
import pytest

from abm.backends import choose
from abm.cells import ENGINEERED, LOSS_ANTIGENS, N_KINDS, N_ORIGINS, Antigen, Kind, Origin, Specificity, pack_hot
from abm.config import Config, load_config
from abm.errors import ConfigError
from abm.io import state_hash
from abm.io.upgrades import UPGRADERS
from abm.model.body import Body, Watch, fratricide
from abm.model.body.edited import ANY, COMPLETE
from abm.model.body.engineered import N_STORED
from abm.model.body.fratricide import Fratricide
from abm.model.body.immune import INDEX, TRAVELLERS
from abm.setup import load_model
from abm.state import Snapshot
from abm.step import Simulation
from tests.unit.body_case import make_body

CD45 = pack_hot(loss=1 << LOSS_ANTIGENS.index(Antigen.CD45))
CLASSES = (Specificity.CAR_CD19, Specificity.CAR_CD45)
ROW = ENGINEERED.index(Specificity.CAR_CD45)
RULES = load_model(Config()).rules
DONOR = Origin.DONOR


def seen_by(*classes: Specificity, lacks: Mapping[Specificity, int]) -> Fratricide:
    masks = RULES.recognition.masks(RULES.kinds, False)[0].reshape(N_ORIGINS, N_KINDS).T
    return Fratricide.of(RULES.recognition, masks, classes, lacks)


def body_with(*classes: Specificity, lacks: Mapping[Specificity, int]) -> Body:
    body = make_body()
    body.watch = Watch(classes, fratricide=seen_by(*classes, lacks=lacks))
    return body


def strike(body: Body, rate: float = 2.0, days: float = 0.5) -> float:
    """Let CD45 CAR-T cells kill at this rate; return the chance to die of who is seen."""
    hazard = np.zeros(len(ENGINEERED))
    hazard[ROW] = rate
    fratricide.strike(body, hazard, days)
    return 1.0 - exp(-rate * days)


def test_who_is_seen_stands_in_the_tables() -> None:
    found = seen_by(*CLASSES, Specificity.CAR_CD19_CD123, lacks={})
    kinds = list(TRAVELLERS)
    assert not found.pools[[0, 2]].any()
    assert found.pools[1, kinds].all()
    assert not found.pools[1, [kind for kind in Kind if kind not in kinds]].any()  # those are counted on the lattice
    assert found.products.tolist() == [[False] * 3, [True] * 3, [False] * 3]
    assert (found.hiding[1, kinds] == CD45).all()
    blast = pack_hot(loss=1 << LOSS_ANTIGENS.index(Antigen.CD33))
    assert not found.hiding[1, Kind.BLAST] & blast  # another antigen than the receptor's hides nobody


def test_an_edited_product_is_not_seen() -> None:
    found = seen_by(*CLASSES, lacks={Specificity.CAR_CD45: CD45})
    assert found.products.tolist() == [[False, False], [True, False]]
    other = pack_hot(loss=1 << LOSS_ANTIGENS.index(Antigen.CCR5))
    assert seen_by(*CLASSES, lacks={Specificity.CAR_CD45: other}).products[1, 1]


@pytest.mark.parametrize("receptor", CLASSES)
def test_a_product_that_shows_its_own_antigen_does_not_outlast_culture(receptor: Specificity) -> None:
    plain, spared = (body_with(*CLASSES, lacks=lost) for lost in ({}, {Specificity.CAR_CD45: CD45}))
    for body in (plain, spared):
        fratricide.infuse(body, receptor, "car_t", 1e8)
    rules = plain.engineered.rules
    left = 1e8 * exp(-0.5 * rules.engineered_kill * rules.engineered_culture)
    assert left < 1.0
    assert spared.engineered.total == pytest.approx(1e8)
    assert plain.engineered.total == (0.0 if receptor is Specificity.CAR_CD45 else pytest.approx(1e8))
    rules_of_a_day = plain.engineered.rules.__class__(**vars(rules) | {"engineered_culture": 1.0})
    plain.engineered.rules = rules_of_a_day
    assert fratricide.cultured(plain, Specificity.CAR_CD45) == pytest.approx(exp(-0.5 * rules.engineered_kill))


def test_lymphocytes_die_as_far_as_they_show_the_antigen() -> None:
    body = body_with(*CLASSES, lacks={Specificity.CAR_CD45: CD45})
    body.lymphocytes.pools[:, DONOR] = 1e9
    body.edited.bits[DONOR] = CD45
    rows = slice(0, len(TRAVELLERS))
    body.edited.pools[COMPLETE, rows, DONOR], body.edited.pools[ANY, rows, DONOR] = 0.6, 0.8
    before, allo = body.lymphocytes.pools.copy(), body.allo.precursors.copy()
    chance = strike(body)
    after = body.lymphocytes.pools
    np.testing.assert_allclose(after[rows, Origin.HOST], before[rows, Origin.HOST] * (1.0 - chance))
    np.testing.assert_allclose(after[rows, DONOR], 1e9 * (1.0 - 0.4 * chance))
    np.testing.assert_allclose(body.edited.pools[COMPLETE, rows, DONOR] * after[rows, DONOR], 0.6e9)
    some = 0.6 + 0.2 * (1.0 - chance)  # one allele left: seen like any other
    np.testing.assert_allclose(body.edited.pools[ANY, rows, DONOR] * after[rows, DONOR], some * 1e9)
    b_cells = INDEX[Kind.IMMATURE_B]
    assert after[b_cells, Origin.HOST] == before[b_cells, Origin.HOST]  # of those the lattice knows the share
    assert body.allo.precursors[1] == pytest.approx(allo[1] * (1.0 - chance))


def test_an_edit_of_another_gene_spares_nobody() -> None:
    body = body_with(*CLASSES, lacks={})
    body.lymphocytes.pools[:, DONOR] = 1e9
    body.edited.bits[DONOR] = pack_hot(loss=1 << LOSS_ANTIGENS.index(Antigen.CD33))
    body.edited.pools[:, :, DONOR] = 0.5
    chance = strike(body)
    np.testing.assert_allclose(body.lymphocytes.pools[: len(TRAVELLERS), DONOR], 1e9 * (1.0 - chance))
    assert (body.edited.pools[:, :, DONOR] == 0.5).all()


def test_other_products_die_too() -> None:
    body = body_with(*CLASSES, lacks={Specificity.CAR_CD45: CD45})
    for receptor in CLASSES:
        fratricide.infuse(body, receptor, "car_t", 1e8)
    assert fratricide.seen(body, 1) > fratricide.seen(body, 0) == 0.0
    chance = strike(body)
    per_class = body.engineered.cells.sum(axis=1)
    assert per_class[ENGINEERED.index(Specificity.CAR_CD19)] == pytest.approx(1e8 * (1.0 - chance))
    assert per_class[ROW] == pytest.approx(1e8)


def test_a_state_without_the_youngest_receptors_is_what_it_was() -> None:
    body, again = make_body(), make_body()
    fratricide.infuse(body, Specificity.CAR_CD19, "car_t", 1e8)
    assert {len(body.pack()[f"engineered.{name}"]) for name in ("cells", "cd4", "waiting")} == {N_STORED}
    again.unpack(body.pack())
    np.testing.assert_array_equal(again.engineered.cells, body.engineered.cells)
    fratricide.infuse(body, Specificity.CAR_CD45, "car_t", 1e7)
    assert len(body.pack()["engineered.cells"]) == ROW + 1
    again.unpack(body.pack())
    np.testing.assert_array_equal(again.engineered.cells, body.engineered.cells)
    torn = body.pack() | {"engineered.cells": np.zeros((len(ENGINEERED) + 1, 4))}
    with pytest.raises(ValueError, match="cells has shape"):
        again.unpack(torn)


def test_words_of_format_6_mean_what_they_meant() -> None:
    """Eight loss bits from bit 20 on, and below them a receptor class of six bits, of which none had the highest."""
    place = {antigen: 20 + j for j, antigen in enumerate(LOSS_ANTIGENS[1:])}
    for antigen, bit in place.items():
        assert pack_hot(loss=1 << LOSS_ANTIGENS.index(antigen)) == 1 << bit
    assert pack_hot(loss=1) == 1 << 19
    for specificity in Specificity:
        assert pack_hot(specificity=specificity) == specificity << 14
    old = make_body()
    fratricide.infuse(old, Specificity.CAR_CD19, "car_t", 1e8)
    read = UPGRADERS[6](Snapshot(0, (1, 1, 1), 0, 1, {}, old.pack(), {}))
    body = make_body()
    body.unpack(read.body)
    assert body.engineered.total == old.engineered.total == pytest.approx(1e8)


SCENARIO = """
seed = 1
[patch]
shape = [16, 16, 16]
species = "human"
[time]
start_day = 0
end_day = 2
{events}
"""
EVENT = """
[[events]]
day = {day}
action = "cells"
product = "car_t"
receptor = "CAR_CD45"
lacks = {lacks}
"""


def test_products_of_one_receptor_are_edited_alike(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    events = EVENT.format(day=0, lacks='["CD45"]') + EVENT.format(day=1, lacks="[]")
    path.write_text(SCENARIO.format(events=events))
    message = r"lacks: expected \['CD45'\] as in the earlier product with CAR_CD45, found \[\]"
    with pytest.raises(ConfigError, match=message) as caught:
        Simulation.start(load_config(path), choose("auto")[0])
    assert len(str(caught.value).splitlines()) == 1


def test_files_carry_them_on(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.write_text(SCENARIO.format(events=EVENT.format(day=0, lacks='["CD45"]')))
    config, backend = load_config(path), choose("auto")[0]
    first = Simulation.start(config, backend)
    for _ in range(12):
        first.advance()
    second = Simulation.restore(config, backend, first.snapshot())
    for sim in (first, second):
        for _ in range(6):
            sim.advance()
    assert first.observables()["engineered_body"] > 0.0
    assert state_hash(first.snapshot()) == state_hash(second.snapshot())
