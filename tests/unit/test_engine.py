"""Parts of the engine one by one: slabs, ledger, circulation, initial cells, setup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from abm import step, tallies
from abm.backends.numpy_backend import NumpyBackend
from abm.cells import (
    COLD,
    HOT,
    N_COUNTS,
    NOWHERE,
    SITE_BITS,
    Count,
    Kind,
    Origin,
    Specificity,
    pack_cold,
    pack_hot,
)
from abm.comm import SerialComm
from abm.config import Config, load_config
from abm.domain import Domain
from abm.errors import ConfigError, LedgerError
from abm.header import cpp_header
from abm.ledger import CARRIED, check
from abm.messages import Edges
from abm.model.traffic import Circulation, arrivals_by_slot, not_lodged
from abm.phases import HALO, bytes_per_site
from abm.setup import load_model
from abm.step import Simulation
from abm.tallies import Reading, Tallies
from tests.tiny import tiny_config

TRIALS = {
    "hsc_trials": 4.0,
    "progenitor_trials": 2.0,
    "lymphocyte_trials": 3.0,
    "hsc_clearance": 0.5,
    "progenitor_clearance": 0.0,
}


def test_words_have_no_overlap_and_fill_32_bits() -> None:
    for fields in (HOT, COLD):
        assert sum(f.bits for f in fields) == 32
        masks = [((1 << f.bits) - 1) << f.shift for f in fields]
        assert sum(masks) == 0xFFFFFFFF
        assert np.bitwise_or.reduce(masks) == 0xFFFFFFFF


def test_packing_refuses_what_does_not_fit() -> None:
    assert pack_hot(kind=Kind.HSC, origin=Origin.DONOR) == 1 | 1 << 6
    assert pack_cold(clone=7, stage=3) == 7 | 3 << 16
    with pytest.raises(ValueError, match="does not fit in 6 bits"):
        pack_hot(kind=64)


def test_the_header_names_every_field() -> None:
    header = cpp_header()
    for field in HOT:
        assert f"#define HOT_{field.name.upper()}_SHIFT {field.shift}u" in header


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_slabs_cover_the_lattice_once(size: int) -> None:
    parts = [Domain((17, 4, 5), 3, rank, size) for rank in range(size)]
    planes = [z for d in parts for z in range(*d.slab(d.rank))]
    assert planes == list(range(17))


def test_the_window_stays_inside_the_halo() -> None:
    domain = Domain((16, 4, 5), 3)
    assert domain.window(1) == (18 * 20, 2 * 20)
    with pytest.raises(ValueError, match="4 planes beyond"):
        domain.window(4)


def test_the_halo_wraps() -> None:
    domain, backend = Domain((6, 2, 2), 2), NumpyBackend()
    array = np.zeros(domain.local_shape, np.uint32)
    array[2:8] = np.arange(6)[:, None, None]
    comm = SerialComm()
    comm.exchange(backend, domain, Edges([(array, 2)]))
    assert comm.exchange_s > 0.0
    assert array[:, 0, 0].tolist() == [4, 5, 0, 1, 2, 3, 4, 5, 0, 1]


def test_the_ledger_names_what_does_not_add_up() -> None:
    counts = np.zeros((N_COUNTS, 64, 4), np.int64)
    before = np.zeros((64, 4), np.int64)
    before[Kind.MPP, 0] = 10
    counts[Count.BIRTH, Kind.MPP, 0], counts[Count.LEFT, Kind.MPP, 0] = 3, 2
    counts[Count.EGRESS, Kind.MPP, 0], counts[Count.POPULATION, Kind.MPP, 0] = 1, 10
    check(before, np.zeros_like(before), counts, 5)
    counts[Count.POPULATION, Kind.MPP, 0] = 11
    with pytest.raises(LedgerError, match=r"step 5: 11 cells of MPP \(host\).*account for 10"):
        check(before, np.zeros_like(before), counts, 5)


def test_a_lost_cell_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    sim = Simulation.start(tiny_config(), NumpyBackend())
    sim.advance()
    sim.snapshot()
    hot = sim.lattice.owned("res_hot")
    where = tuple(np.argwhere(hot != 0)[0])
    hot[where] = 0
    sim.lattice.load("res_hot", hot)
    with pytest.raises(
        LedgerError, match=r"before step 1: \d+ cells of .* are on the lattice \(population\), \d+ were carried"
    ):
        sim.snapshot()
    monkeypatch.setattr(step, "AUDITED", 3)
    sim.advance()
    sim.advance()
    with pytest.raises(LedgerError, match="before step 3"):
        sim.advance()


def test_who_is_there_is_carried_on_as_it_is_counted(backend: Any) -> None:
    """All cells and the quiescent, whatever happens to them; also of a patient who is restored."""
    sim = Simulation.start(tiny_config(), backend)
    quiescent = set()
    for _ in range(8):
        sim.advance()
        for row in CARRIED:
            np.testing.assert_array_equal(sim.last[row], sim.lattice.census()[row])
        quiescent.add(int(sim.last[Count.QUIESCENT].sum()))
    assert len(quiescent) > 1
    again = Simulation.restore(tiny_config(), backend, sim.snapshot())
    for one in (sim, again):
        one.advance()
    np.testing.assert_array_equal(sim.last, again.last)


def test_a_graft_rounds_to_its_mean() -> None:
    n = [Circulation(TRIALS, seed).infuse({Kind.HSC: 2.25}, Origin.DONOR, 0) for seed in range(400)]
    assert set(n) == {2, 3}
    assert 2.15 < np.mean(n) < 2.35


def test_circulating_cells_keep_their_words_until_they_lodge() -> None:
    blood = Circulation(TRIALS, 3)
    blood.infuse({Kind.HSC: 5.0, Kind.GMP: 3.0}, Origin.DONOR, 1)
    arrivals = [(Kind.CD8_NAIVE, Origin.DONOR, Specificity.NONE, 4)]
    requests = blood.requests(arrivals, 2, 1.0)
    assert requests.hot.size == 12
    assert np.diff(requests.last, prepend=0).tolist() == [4] * 5 + [2] * 3 + [3] * 4
    lodged = np.zeros(12, bool)
    lodged[[0, 8]] = True
    assert not_lodged(arrivals, lodged[8:]) == [(Kind.CD8_NAIVE, Origin.DONOR, Specificity.NONE, 3)]
    blood.keep(~lodged[:8])
    assert arrivals_by_slot(blood.hot)[Kind.HSC, Origin.DONOR] == 4


def test_a_cell_never_tries_more_sites_than_a_trial_has_numbers() -> None:
    blood = Circulation(TRIALS | {"hsc_trials": 1e6}, 3)
    blood.infuse({Kind.HSC: 1.0}, Origin.DONOR, 1)
    requests = blood.requests([], 2, 4.0)
    assert (int(requests.last[0]) - 1) << SITE_BITS < NOWHERE


def test_clearance_empties_the_blood() -> None:
    blood = Circulation(TRIALS, 3)
    blood.infuse({Kind.HSC: 200.0, Kind.GMP: 50.0}, Origin.DONOR, 1)
    cleared = blood.clear(7, 1.0, np.zeros((4, 64, 2)))
    assert 55 <= cleared <= 105  # 39 % of 200; progenitors have none here
    assert arrivals_by_slot(blood.hot)[Kind.GMP, Origin.DONOR] == 50


def test_the_start_is_near_the_mean_field() -> None:
    config = Config.model_validate({"patch": {"shape": [40, 40, 40]}, "time": {"start_day": 0.0, "end_day": 1.0}})
    sim = Simulation.start(config, NumpyBackend())
    resident = sim.last[Count.POPULATION, 1:40].sum()
    assert resident == pytest.approx(sim.scale.reference_cellularity, rel=0.03)
    assert sim.last[Count.POPULATION, Kind.HSC].sum() == sim.last[Count.NICHE, Kind.HSC].sum()
    assert sim.last[Count.POPULATION, 40:].sum() > 0.02 * resident


def test_the_state_fits_64_bytes_per_site() -> None:
    assert bytes_per_site()[-1][0] == "total"
    assert bytes_per_site()[-1][1] <= 64


def test_a_patch_too_small_for_its_halo_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text("[patch]\nshape = [64, 64, 4]\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_model(load_config(path))
    assert f"small.toml:2: patch.shape: expected at least {2 * HALO} sites in each direction" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"time": {"step_min": 60, "motile_step_min": 60}}, "time.motile_step_min: cells of 2 um2/min would hop 7.2"),
        ({"time": {"step_min": 360, "motile_step_min": 1}}, "time.step_min: expected at most 256 motile sub-steps"),
    ],
)
def test_what_the_random_walk_cannot_do_is_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_model(Config.model_validate(changes))
    assert str(error.value).startswith(problem)


def test_substeps_follow_the_motility() -> None:
    auto = load_model(tiny_config())
    fastest = auto.rules.motility.max()
    assert 6 * fastest * 60 / auto.substeps / 100 <= 0.95 < 6 * fastest * 60 / (auto.substeps - 1) / 100
    fixed = load_model(tiny_config(time={"start_day": -2.0, "end_day": 2.0, "motile_step_min": 5}))
    assert fixed.substeps == 12


def test_leavers_beyond_those_that_are_read_with_the_counts_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def words(read_ahead: int) -> NDArray[Any]:
        monkeypatch.setattr(tallies, "READ_AHEAD", read_ahead)
        made = Tallies(NumpyBackend(), SerialComm(), 4)
        made.n_leavers[0] = 5
        made.leaver_site[:5] = [40, 10, 30, 20, 50]
        made.leaver_words[:10] = range(10)
        return np.stack(Reading(made).leavers())

    assert words(1024).tolist() == [[2, 6, 4, 0, 8], [3, 7, 5, 1, 9]]
    assert (words(3) == words(1024)).all()


def test_too_many_leavers_are_an_error() -> None:
    made = Tallies(NumpyBackend(), SerialComm(), 1)
    made.n_leavers[0] = made.room + 1
    with pytest.raises(LedgerError, match=f"{made.room + 1} stem cells leave in one step; at most {made.room} can be"):
        Reading(made).leavers()
