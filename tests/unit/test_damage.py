"""Sub-lethal damage by hits: how it comes and goes, what it does to later hits, who carries it."""

from __future__ import annotations

from dataclasses import replace
from math import comb
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from abm.backends import choose
from abm.backends.numpy_backend import NumpyBackend
from abm.cells import (
    N_COUNTS,
    N_KINDS,
    N_ORIGINS,
    Behaviour,
    Event,
    Kind,
    Origin,
    Signal,
    Specificity,
    pack_cold,
    pack_hot,
)
from abm.config import Config
from abm.errors import ConfigError
from abm.harvest import Harvest
from abm.io import state_hash
from abm.model.damage import MOST, DamageRules, read_damage
from abm.model.rules import Rules
from abm.model.traffic import Circulation
from abm.reference.commit import commit
from abm.reference.damage import damage
from abm.reference.lattice import COLD, claiming, get
from abm.state import Snapshot
from abm.step import Simulation
from tests.kernels.states import human_rules
from tests.unit.damage_case import RULES, crowd, swarm
from tests.unit.table_case import FOLDER, change, copied

SIDE = 24
TWO32 = 4294967296.0


def struck_cells(level: int, aiming: int, step: int, rules: DamageRules, step_h: float) -> NDArray[np.uint32]:
    """Return the levels after a step of residents that had this one and that so many lymphocytes engage."""
    shape = (SIDE, SIDE, SIDE)
    cold = np.full(shape, pack_cold(damage=level, clone=7), np.uint32)
    engaged = np.zeros(shape, np.uint8)
    targets = (slice(1, None, 3),) * 3
    for m in range(aiming):  # site m of the neighbourhood of each target looks at its middle
        offset = np.array([m // 9, m // 3 % 3, m % 3]) - 1
        z, y, x = (slice(1 + d, None if d < 1 else None, 3) for d in offset)
        engaged[z, y, x] = (27 - m) | 1 << 5
    struck = np.zeros(shape, np.uint8)
    struck[targets] = aiming > 0
    counted = np.zeros(1, np.int64)
    damage(
        cold.size, first=0, ny=SIDE, nx=SIDE, low=0, high=SIDE * SIDE * (SIDE - 1), total=cold.size, shift=0, seed=3,
        step=step, word=1, begin=0, end=cold.size, engaged=engaged, struck=struck, res_cold=cold, n_damaged=counted,
        strength=np.array([0.0, 0.1], np.float32), **rules.tables(step_h),
    )  # fmt: skip
    found = get(cold, COLD["damage"])
    assert counted[0] == np.count_nonzero(found)
    assert (get(cold, COLD["clone"]) == 7).all()
    return found[targets].reshape(-1)


def test_each_level_is_repaired_for_itself() -> None:
    """Nobody strikes: of five levels those left are binomial, half of them after a half-life, and none comes back."""
    found = np.concatenate([struck_cells(5, 0, step, RULES, RULES.half_life) for step in range(20)])
    shares = np.bincount(found, minlength=MOST + 1) / found.size
    expected = [comb(5, k) / 32 for k in range(6)] + [0, 0]
    np.testing.assert_allclose(shares, expected, atol=4 * 0.5 / found.size**0.5)
    assert found.max() == 5


@pytest.mark.parametrize("step_h", [1.0, 0.5, 0.25])
def test_steady_strikes_meet_as_much_damage_whatever_the_step(step_h: float) -> None:
    """Four effectors of a tenth: hits * 0.4 / r levels on average at the start of a step, r = ln 2 / half_life."""
    tables, rate = RULES.tables(step_h), float(np.log(2.0)) / RULES.half_life
    left = (1.0 - tables["kept"].astype(float)[8] / TWO32).item()  # of one level
    steady = float(0.4 * tables["wounding"][0]) / (1.0 - left)
    assert steady == pytest.approx(0.4 * RULES.hits / rate, rel=1e-5)
    added = np.concatenate([struck_cells(0, 4, step, RULES, step_h) for step in range(20)])
    expected = float(0.4 * tables["wounding"][0])
    assert added.mean() == pytest.approx(expected, abs=4 * (expected / added.size) ** 0.5)


def test_many_hits_fill_the_word_and_no_more() -> None:
    strong = replace(RULES, hits=100.0)
    assert (struck_cells(3, 27, 0, strong, 1.0) == MOST).all()
    assert not struck_cells(0, 27, 0, replace(RULES, hits=0.0), 1.0).any()


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_after_three_hits_a_further_one_kills(species: str) -> None:
    """By the tables the hazard of an engaged effector is then its rate of hits, and fresh cells die as ever."""
    rules = Rules.load(FOLDER / species)
    row, hits = Kind.BLAST * 2, read_damage(FOLDER / species).hits
    places = range(*rules.tables["rule_start"][row : row + 2].tolist())
    [k] = [k for k in places if rules.tables["rule_signal"][k] == Signal.DAMAGE]
    assert rules.tables["rule_behaviour"][k] == Behaviour.KILL
    gain, half, power = (float(rules.tables[f"rule_{name}"][k]) for name in ("gain", "half", "power"))
    fresh = rules.base[row, Behaviour.KILL] / 24.0
    worn = [fresh * (1.0 + gain * d**power / (half + d**power)) for d in range(MOST + 1)]
    assert worn[0] == fresh == pytest.approx(0.25)
    assert worn[3] == pytest.approx(hits)
    assert (np.diff(worn) > 0.0).all()


def test_damage_stays_with_cells_but_for_those_that_leave() -> None:
    """Both daughters have that of their mother; in the blood and in a graft there is none."""
    damaged, clone = pack_cold(damage=5, clone=3), pack_cold(clone=3)
    blood = Circulation({}, 1)
    hot = np.array([pack_hot(kind=Kind.HSC, origin=Origin.HOST)], np.uint32)
    blood.add(hot, np.array([damaged], np.uint32))
    assert blood.cold.tolist() == [clone]
    snapshot = Snapshot(0, (1, 1, 1), 0, 1, {"res_hot": hot, "res_cold": np.array([damaged], np.uint32)}, {}, {})
    assert Harvest.of(snapshot, [Kind.HSC]).cold.tolist() == [clone]
    tables = human_rules().tables
    renew, word = np.full(4 * 128, 0xFFFFFFFF, np.uint32), pack_hot(kind=Kind.BLAST)
    words = {"hot": np.zeros((1, 1, 8), np.uint32), "cold": np.zeros((1, 1, 8), np.uint32)}
    words["hot"][0, 0, 3], words["cold"][0, 0, 3] = word, damaged
    action, priority = np.zeros(8, np.uint8), np.zeros(8, np.uint32)
    action[3] = claiming(np.uint32(Event.DIVIDE), np.uint32(5))
    room = {"n_leavers": np.zeros(1, np.int64), "leaver_site": np.zeros(0, np.int64)}
    commit(
        8, first=0, ny=1, nx=8, low=0, high=0, total=8, shift=0, seed=1, step=0, word=0, mutation=0, begin=0, end=8,
        room=0, action=action, priority=priority, renew=renew, chosen=np.zeros(64, np.uint8),
        counts=np.zeros(N_COUNTS * N_KINDS * N_ORIGINS, np.uint32), leaver_words=np.zeros(0, np.uint32),
        **{name: tables[name] for name in ("flags", "stages", "fate_next", "fate_share", "active_form")},
        mutation_start=np.zeros(257, np.int32), mutation_chance=np.zeros(0, np.uint32),
        mutation_gain=np.zeros(0, np.uint32), **words, **room,
    )  # fmt: skip
    assert words["cold"][words["hot"] != 0].tolist() == [damaged, damaged]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("hits,1,", "hits,-1,", "hits: expected a number >= 0, found -1"),
        ("half_life,0.93,h", "half_life,0,h", "half_life: expected a number > 0, found 0"),
        ("hits,1,", "hits,1e11,", "hits: expected at most 1e+06, found 1e+11"),
        ("half_life,0.93,h", "half_life,1e17,h", "half_life: expected at most 1e+09, found 1e+17"),
        ("half_life,0.93,h", "half_life,0.93,d", "half_life is expected in 'h', found 'd'"),
        ("half_life,", "halflife,", "unknown name 'halflife' (did you mean half_life?)"),
    ],
)
def test_a_mistake_in_the_table_is_one_clear_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = copied(tmp_path)
    change(folder, "damage.csv", old, new)
    with pytest.raises(ConfigError) as caught:
        read_damage(folder)
    assert message in str(caught.value)
    assert str(folder / "damage.csv") in str(caught.value)


def test_damage_fades_where_no_effector_is_left_and_a_restart_does_not_change_that(tmp_path: Path) -> None:
    sim = swarm(tmp_path, RULES.hits, 60, kill=0.0)
    for _ in range(3):
        sim.advance()
    for name in ("mot_hot", "mot_cold"):
        sim.lattice.load(name, np.zeros_like(sim.lattice.owned(name)))
    sim._refresh_counts()
    before = sim.record().values["damaged"]
    again = Simulation.restore(sim.config, NumpyBackend(), sim.snapshot())
    shares = []
    for _ in range(20):
        sim.advance()
        again.advance()
        shares.append(sim.record().values["damaged"])
    assert shares[0] < before
    assert 0.0 == shares[-1] < shares[2] < 0.7 * before
    assert sim.damaged == again.damaged == 0, "nobody looks for damage any more"
    assert state_hash(sim.snapshot()) == state_hash(again.snapshot())


def test_whoever_strikes_leaves_damage_also_after_a_restart(tmp_path: Path) -> None:
    """A kind of an own table that strikes and is no effector: memory cells that meet who shows them their antigen."""
    rules = copied(tmp_path)
    change(rules, "kinds.csv", "CD8_MEMORY,0,t_cell,,0,", "CD8_MEMORY,0,t_cell,,1,")
    config = Config.model_validate({"seed": 2, "patch": {"shape": [20] * 3, "rules": str(rules)}})
    sim = Simulation.start(config, choose("auto")[0])
    killer = {"kind": Kind.CD8_MEMORY, "origin": Origin.DONOR, "specificity": Specificity.HOST_UBIQUITOUS}
    crowd(sim, pack_hot(kind=Kind.DENDRITIC, origin=Origin.HOST), pack_hot(**killer), 0.4)
    again = Simulation.restore(sim.config, choose("auto")[0], sim.snapshot())
    for _ in range(2):
        sim.advance()
        again.advance()
        assert sim.damaged == again.damaged > 0
    assert state_hash(sim.snapshot()) == state_hash(again.snapshot())
