"""Exhaustion: rises under antigen, falls at rest, weakens strikes; blocked checkpoints spare and wake."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm import cells
from abm.cells import Kind, Origin, Signal, Specificity
from abm.config import load_config, rules_of
from abm.errors import ConfigError
from abm.model.body import Dose, engagement
from abm.model.body.exhaustion import Exhaustion, read_exhaustion
from abm.model.body.organs import GVH, Surroundings
from tests.kernels.states import human_rules
from tests.unit.body_case import live, make_body, tables
from tests.unit.table_case import FOLDER, change, copied

RULES = read_exhaustion(FOLDER / "human")
ONE = 1 << 32


def test_the_level_follows_the_closed_form() -> None:
    """All the time engaged: exponential approach to the highest level, a third of the rate a level; then recovery."""
    found = Exhaustion(RULES)
    for _ in range(24 * 10):
        found.advance(1.0, 0.0, 1.0)
    assert found.level == pytest.approx(1.0 - float(np.exp(-10 * RULES.tiring / 3)))
    tired = found.level
    for _ in range(24 * 7):
        found.advance(0.0, 0.0, 1.0)
    assert found.level == pytest.approx(tired * float(np.exp(-7 * RULES.recovery / 3)))


def test_a_blocked_axis_slows_it_and_half_the_time_engaged_is_in_between() -> None:
    levels = []
    for engaged, blocked in ((1.0, 0.0), (1.0, 0.9), (0.5, 0.0), (0.0, 0.0)):
        found = Exhaustion(RULES)
        for _ in range(24 * 14):
            found.advance(engaged, blocked, 1.0)
        levels.append(found.level)
    assert levels[0] > levels[1] > levels[3] == 0.0
    assert levels[0] > levels[2] > 0.0


def test_strikes_weaken_with_the_level_and_with_a_brake_on_the_target() -> None:
    chances = Exhaustion(RULES).vigour(0.0) / ONE
    free, braked = chances[0::2], chances[1::2]
    assert free[0] == braked[0] == pytest.approx(1.0)
    np.testing.assert_allclose(free, [1.0, 2 / 3, 1 / 3, 0.0], atol=1e-9)
    assert (braked[1:3] < free[1:3]).all()
    np.testing.assert_array_equal(*(x.reshape(4, 2)[:, 0] for x in (Exhaustion(RULES).vigour(b) for b in (0.0, 1.0))))
    freed = Exhaustion(RULES).vigour(1.0).reshape(4, 2)
    np.testing.assert_array_equal(freed[:, 0], freed[:, 1])


def test_amplified_ligand_holds_fresh_effectors_too_until_pd1_is_blocked() -> None:
    lymphoma = read_exhaustion(rules_of(load_config(FOLDER.parent / "checkpoint_lymphoma.toml").patch, "hodgkin"))
    held, freed = (Exhaustion(lymphoma).vigour(blocked).reshape(4, 2) / ONE for blocked in (0.0, 1.0))
    np.testing.assert_allclose(held[:3, 1] / held[:3, 0], 1.0 - lymphoma.brake_fresh, rtol=1e-6)
    np.testing.assert_array_equal(freed[:, 0], freed[:, 1])
    assert RULES.brake_fresh == 0.0 < lymphoma.brake_fresh


def test_a_level_takes_as_long_in_steps_of_any_length() -> None:
    for step_h in (1.0, 6.0):
        tire, rest = Exhaustion(RULES).tiring(0.0, step_h) / ONE
        assert step_h / 24 / tire == pytest.approx(1 / RULES.tiring, rel=1e-6)
        assert step_h / 24 / rest == pytest.approx(1 / RULES.recovery, rel=1e-6)


def test_arrivals_are_as_tired_as_the_body() -> None:
    found = Exhaustion(RULES)
    arrivals = [
        (Kind.CD8_MEMORY, Origin.HOST, Specificity.NONE, 3000),
        (Kind.NK, Origin.HOST, Specificity.NONE, 50),
        (Kind.CD8_MEMORY, Origin.PRODUCT, Specificity.CAR_CD19, 50),
    ]
    assert not found.of_arrivals(arrivals, {Kind.CD8_MEMORY}, 1, 1).any()
    found.level = 0.4
    levels = found.of_arrivals(arrivals, {Kind.CD8_MEMORY}, 1, 1)
    assert levels[:3000].mean() == pytest.approx(1.2, abs=4 * 0.85 / 3000**0.5)
    assert set(levels[:3000]) == {0, 1, 2, 3}
    assert not levels[3000:].any(), "no kinds that hold no loan, nor engineered cells, whose exhausted ones do not come"
    assert levels.size == 3100


def test_an_engager_tires_t_cells_and_an_interval_lets_them_recover() -> None:
    body = make_body()
    live(body, 14.0, doses=[Dose("infusion", "blinatumomab", 0.028 / 24)])
    tired = body.exhaustion.level
    live(body, 7.0, doses=[Dose("infusion", "blinatumomab", 0.0)])
    assert 0.0 < body.exhaustion.level < tired


def test_nothing_tires_without_antibodies() -> None:
    body = make_body()
    live(body, 3.0)
    assert body.exhaustion.level == 0.0
    assert not body.antibodies.acting


# ------------------------------------------------------------------------------------ alloreactive cells, checkpoints


def allo_after(days: float, **around: float) -> Any:
    """Return the alloimmunity some days into a response, then 60 days on under these surroundings."""
    body = make_body()
    allo = body.allo
    allo.effectors[GVH] = 1e8
    allo.primed[GVH] = 1e8
    for _ in range(round(days)):
        allo.advance(Surroundings(host_apc=0.0), 24.0)
    for _ in range(60):
        allo.advance(replace(Surroundings(host_apc=0.0), **around), 24.0)
    return allo


def test_a_twentieth_of_the_effectors_outlives_the_response_exhausted() -> None:
    body = make_body()
    body.allo.effectors[GVH] = 1e8
    for _ in range(100):
        body.allo.advance(Surroundings(host_apc=0.0), 24.0)
    rules = body.allo.rules
    loss, death = rules.exhausted_loss, rules.effector_death
    expected = 1e8 * rules.exhausted_share * death / (death - loss) * (np.exp(-loss * 100) - np.exp(-death * 100))
    assert body.allo.exhausted[GVH] == pytest.approx(float(expected), rel=1e-3)


def test_blocking_pd1_wakes_exhausted_cells_and_they_hurt() -> None:
    held, woken = allo_after(100.0), allo_after(100.0, unbraked=0.9)
    assert woken.effectors[GVH] > 10.0 * held.effectors[GVH]
    assert woken.exhausted[GVH] < held.exhausted[GVH]
    assert woken.immune_loss.max() > 2.0 * held.immune_loss.max()


def test_cells_that_are_woken_divide() -> None:
    """Effectors per exhausted cell woken, over so short a time that next to none dies."""
    body = make_body()
    body.allo.exhausted[GVH] = 1e8
    body.allo.advance(Surroundings(host_apc=0.0, unbraked=1.0), 0.1)
    lost = 1e8 - body.allo.exhausted[GVH]
    rules = body.allo.rules
    woken = lost * rules.reinvigoration / (rules.reinvigoration + rules.exhausted_loss)
    assert rules.reinvigorated_yield > 1.0
    assert body.allo.effectors[GVH] == pytest.approx(rules.reinvigorated_yield * woken, rel=1e-3)


def test_intact_tissue_activates_only_without_pd1() -> None:
    """Long after a graft: no injury, no antigen-presenting cell of the host."""
    effectors = []
    for unbraked in (0.0, 1.0):
        body = make_body()
        body.allo.precursors[GVH], body.allo.host_apc, body.allo.donor_apc = 1e7, 0.0, 1.0
        for _ in range(30):
            body.allo.advance(Surroundings(host_apc=0.0, donor_apc=1.0, unbraked=unbraked), 24.0)
        effectors.append(float(body.allo.effectors[GVH]))
    assert effectors[0] == 0.0 < effectors[1]


def test_blocking_ctla4_primes_more() -> None:
    primed = []
    for factor in (1.0, 1.0 + RULES.ctla4_priming):
        body = make_body()
        body.allo.precursors[GVH] = 1e5
        for _ in range(10):
            body.allo.advance(Surroundings(priming=factor), 24.0)
        primed.append(body.allo.primed[GVH])
    assert 1.3 * primed[0] < primed[1] < 1.75 * primed[0]


def test_the_body_sees_the_checkpoints_that_are_blocked() -> None:
    body = make_body()
    live(body, 1.0, doses=[Dose("antibody", "nivolumab", 240.0), Dose("antibody", "ipilimumab", 210.0)])
    seen = body.observables()
    assert 0.9 < seen["pd1_blocked"] < 1.0
    assert 0.9 < seen["ctla4_blocked"] < 1.0
    assert engagement.suppression(body) == pytest.approx(1.0 - RULES.ctla4_treg * seen["ctla4_blocked"])
    live(body, 90.0)
    assert body.observables()["pd1_blocked"] > 0.7  # two to three months after one dose (Brahmer 2010)


def test_both_ends_of_the_axis_count_once() -> None:
    body = make_body()
    live(body, 0.1, doses=[Dose("antibody", "nivolumab", 20.0), Dose("antibody", "atezolizumab", 20.0)])
    one, other = (
        body.antibodies.occupancies()[list(tables().antibodies).index(n)] for n in ("nivolumab", "atezolizumab")
    )
    assert body.observables()["pd1_blocked"] == pytest.approx(1.0 - (1.0 - one) * (1.0 - other))


def test_less_suppression_by_regulatory_t_cells_changes_their_rules_alone() -> None:
    rules = human_rules()
    by_treg = rules.tables["rule_signal"] == Signal.N_TREG
    assert by_treg.any()
    np.testing.assert_array_equal(rules.gains(1.0), rules.tables["rule_gain"])
    np.testing.assert_allclose(rules.gains(0.65)[by_treg], 0.65 * rules.tables["rule_gain"][by_treg], rtol=1e-6)
    np.testing.assert_array_equal(rules.gains(0.65)[~by_treg], rules.tables["rule_gain"][~by_treg])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tiring,0.3", "tiring,-0.3", "tiring: expected a number >= 0, found -0.3"),
        ("brake,0.5", "brake,1.5", "brake: expected a number >= 0 and <= 1, found 1.5"),
        ("targets_half,0.1", "targets_half,0", "targets_half: expected a number > 0, found 0"),
        ("recovery,", "recovry,", "unknown name 'recovry' (did you mean recovery?)"),
    ],
)
def test_a_mistake_in_the_table_is_one_clear_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = copied(tmp_path)
    change(folder, "exhaustion.csv", old, new)
    with pytest.raises(ConfigError) as caught:
        read_exhaustion(folder)
    assert message in str(caught.value)
    assert str(folder / "exhaustion.csv") in str(caught.value)


def test_levels_fit_the_word() -> None:
    assert cells.pack_hot(exhaustion=3) == 3 << 12
