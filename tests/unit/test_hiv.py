"""HIV: what scenarios and tables may say, cells without CCR5, therapy, and what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import N_ORIGINS, Kind, Origin
from abm.config import Config, load_config
from abm.errors import ConfigError
from abm.io import state_hash
from abm.io.upgrades import UPGRADERS
from abm.model.body import Dose, giving
from abm.model.body.antiretrovirals import Antiretrovirals
from abm.model.body.chance import MANY, drawn, poisson
from abm.model.body.clones import NEW
from abm.model.body.coreceptor import TARGETS, Coreceptor
from abm.model.body.hiv import R5, RESISTANT, STRAINS, X4
from abm.model.body.hiv_course import surroundings
from abm.model.body.hiv_rules import HivRules, read_hiv
from abm.model.body.immune import INDEX
from abm.model.body.numerics import total
from abm.model.body.parameters import section
from abm.setup import load_model
from abm.state import Snapshot
from abm.step import Simulation
from tests.unit.body_case import counts, make_body, tables
from tests.unit.hiv_case import days_of, infected, virus_of
from tests.unit.table_case import change, copied

HEAD = "[patch]\nshape = [20, 20, 20]\n[time]\nstart_day = -5\nend_day = 5\n[patient]\n"
INFECTED = 'infection = "hiv"\n'
ART = '[[events]]\nday = 0\naction = "art"\n'
NULL_GRAFT = '[[events]]\nday = 0\naction = "graft"\nsource = "blood"\n'


def problem(tmp_path: Path, text: str) -> str:
    """Return the one line that loading a scenario ends with, without the folder."""
    path = tmp_path / "case.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_model(load_config(path))
    assert caught.value.exit_code == 2
    (line,) = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    return line


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ('infection = "hvi"\n', "case.toml:7: patient.infection", "did you mean hiv?"),
        ("infection_day = -9\n", "case.toml:7: patient.infection_day", "-9"),
        ("art_day = -9\n", "case.toml:7: patient.art_day", "-9"),
        (INFECTED + "infection_day = -9\nart_day = -10\n", "case.toml:9: patient.art_day", "-10"),
        (INFECTED + "infection_day = -9\nart_day = 1\n", "case.toml:9: patient.art_day", "found 1"),
        (INFECTED + "infection_day = 6\n", "case.toml:8: patient.infection_day", "a day up to end_day = 5, found 6"),
        (INFECTED + "art_day = -9\n", "case.toml:8: patient.art_day", "the exposure (-5)"),
        (ART, "case.toml:9: events[0].action", 'found "none"'),
        (INFECTED + ART + "adherence = 1.2\n", "case.toml:11: events[0].adherence", "1.2"),
        (INFECTED + ART + "until_day = -1\n", "case.toml:11: events[0].until_day", "a day after day = 0"),
        (INFECTED + ART + "dose_mg = 50\n", "case.toml:11: events[0].dose_mg", "dose_mg"),
        (NULL_GRAFT + "ccr5_null = 1.5\n", "case.toml:11: events[0].ccr5_null", "1.5"),
        (
            NULL_GRAFT + "ccr5_null = 1.0\n" + NULL_GRAFT,
            "case.toml:12: events[1].ccr5_null",
            "expected 1 as in the earlier",
        ),
        (NULL_GRAFT + "ccr5_nul = 1.0\n", "case.toml:11: events[0].ccr5_nul", "ccr5_null"),
    ],
)
def test_wrong_scenarios_are_one_line(tmp_path: Path, text: str, place: str, found: str) -> None:
    line = problem(tmp_path, text)
    assert line.startswith(place), line
    assert found in line


def test_mice_have_no_hiv(tmp_path: Path) -> None:
    config = Config.model_validate({"patch": {"species": "mouse"}, "patient": {"infection": "hiv"}})
    with pytest.raises(
        ConfigError, match=r'patient\.infection: expected "none", found "hiv"; there is no hiv\.csv for'
    ):
        load_model(config)
    assert read_hiv(copied(tmp_path, "mouse")) is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("eclipse,1.0,d", "eclipse,0,d", "eclipse: expected a number > 0, found 0"),
        ("eclipse,1.0,d", "eclipse,1.0,h", "unit: eclipse is expected in 'd', found 'h'"),
        ("eclipse,1.0,d", "eclipse,soon,d", "value: expected a number, found 'soon'"),
        ("eclipse,1.0", "eclypse,1.0", "name: unknown name 'eclypse' (did you mean eclipse?)"),
        ("target_memory,0.10", "target_memory,1.10", "target_memory: expected a share up to 1, found 1.1"),
        ("latent_share,3e-5", "latent_share,-3e-5", "latent_share: expected a number >= 0, found -3e-05"),
        ("resistance_fold,10", "resistance_fold,0.5", "resistance_fold: expected a number >= 1, found 0.5"),
        ("resistance_cost,0.06", "resistance_cost,1.5", "resistance_cost: expected a share up to 1, found 1.5"),
        ("resistance_mutation,1e-5,1", "resistance_mutation,1e-5,1/d", "unit: resistance_mutation is expected in '1'"),
        ("art_quotient,100,1", "eclipse,100,d", "name: 'eclipse' stands twice in this table"),
    ],
)
def test_wrong_tables_are_one_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    folder = copied(tmp_path)
    change(folder, "hiv.csv", old, new)
    with pytest.raises(ConfigError) as caught:
        read_hiv(folder)
    assert str(caught.value).startswith(f"{folder / 'hiv.csv'}:")
    assert says in str(caught.value)


# -- numbers that are drawn


def test_few_events_are_poisson_and_many_are_their_mean() -> None:
    words = np.random.default_rng(0).integers(0, 2**32, 20_000, np.uint32)
    for mean in (0.1, 3.0, 40.0):
        found = np.array([poisson(mean, int(word)) for word in words])
        assert (found == np.floor(found)).all()
        spread = (mean / words.size) ** 0.5
        assert abs(found.mean() - mean) < 4 * spread
        assert abs(found.var() / mean - 1) < 4 * (2 / words.size) ** 0.5 + 4 * spread / mean
    assert poisson(MANY, 5) == MANY
    assert poisson(0.0, 5) == poisson(-1.0, 5) == 0.0
    assert drawn(np.array([[0.0, 1e6]]), words[:2].reshape(1, 2)).tolist() == [[0.0, 1e6]]


# -- cells without CCR5


def test_cells_enter_a_pool_with_the_share_they_come_with() -> None:
    cells = Coreceptor()
    cells.stem[Origin.DONOR] = 0.8
    cells.join(Origin.DONOR, 0.8, np.array([0.5, 1.0, 0.0]))
    assert cells.null[:, Origin.DONOR].tolist() == pytest.approx([0.4, 0.8, 0.0])
    entering, pool = np.array([0.0, 25.0, 0.0, 0.0]), np.array([0.0, 100.0, 0.0, 0.0])
    cells.enter(Kind.CD4_NAIVE, NEW, entering, pool)
    assert cells.null[0, Origin.DONOR] == pytest.approx(0.75 * 0.4 + 0.25 * 0.8)
    cells.enter(Kind.CD4_MEMORY, 1, entering, pool)
    assert cells.null[1, Origin.DONOR] == pytest.approx(0.75 * 0.8 + 0.25 * 0.5)
    cells.enter(Kind.CD8_NAIVE, NEW, entering, pool)
    assert not cells.null[:, Origin.HOST].any()


def test_lymphocytes_of_a_donor_without_ccr5_lack_it_and_leave_the_stem_cells_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    dli = '[[events]]\nday = 4\naction = "cells"\nproduct = "dli"\ncd3_per_kg = 1e8\n'
    for said, null in (("ccr5_null = 1.0\n", 1.0), ("", 0.0)):
        path.write_text(HEAD + NULL_GRAFT + said + dli, encoding="utf-8")
        given = [dose for doses in load_model(load_config(path)).schedule for dose in doses]
        body = infected(day=100.0)
        for dose in given:
            body.advance(1.0, body.day + 1.0 / 24, counts(body, 1.0), (dose,))
        assert [dose.kind for dose in given][-1] == "cells"
        assert virus_of(body).coreceptor.stem[Origin.DONOR] == null
        assert virus_of(body).coreceptor.null[:, Origin.DONOR].tolist() == pytest.approx([null] * len(TARGETS))


def test_lymphocytes_alone_say_nothing_about_stem_cells() -> None:
    body = infected(day=100.0)
    giving.infuse(body, Dose("graft", "blood", cd34=1e8, cd3=1e9, ccr5_null=1.0))
    giving.infuse(body, Dose("cells", "dli", cd3=1e10))  # of somebody with CCR5
    assert virus_of(body).coreceptor.stem[Origin.DONOR] == 1.0
    assert virus_of(body).coreceptor.null[1, Origin.DONOR] == pytest.approx(1 / 11, rel=0.1)


def test_virus_takes_what_it_can_enter_and_nothing_else() -> None:
    body = infected(null=0.6)
    hiv, pools = virus_of(body), body.lymphocytes.pools
    rows = [INDEX[kind] for kind in TARGETS]
    before = pools[rows].copy()
    with_ccr5 = before * (1 - hiv.coreceptor.null)
    words = np.zeros((len(STRAINS), N_ORIGINS), np.uint32)
    entered = hiv._infect(pools, np.array([0.3, 0.0, 0.2, 0.0]), words)
    assert entered[X4].sum() == 0
    assert entered[R5].sum() == pytest.approx((before - pools[rows]).sum(), rel=1e-9)
    assert (pools[rows][0] == before[0]).all()  # naive cells have no CCR5
    left = pools[rows] * hiv.coreceptor.null
    assert left == pytest.approx(before * 0.6, rel=1e-12)  # not one of those without it
    assert (with_ccr5 - entered[R5].sum() >= 0)[1, Origin.HOST]
    assert entered[RESISTANT].sum() == pytest.approx(0.4 * entered.sum(), rel=1e-9)
    entered = hiv._infect(pools, np.array([0.0, 0.5, 0.0, 0.0]), words)
    assert entered[R5].sum() == 0
    assert pools[rows][0, Origin.HOST] < before[0, Origin.HOST]
    assert (pools[rows] * hiv.coreceptor.null).sum() < left.sum()


def test_the_share_of_protected_cells_rises_where_virus_spreads() -> None:
    body = infected(null=0.3)
    shares = [seen["ccr5_null"] for seen in days_of(body, 40, 3.0)]
    assert shares[0] == pytest.approx(0.3)
    assert shares[-1] > 0.31


# -- infected cells


def test_cells_are_kept_account_of() -> None:
    """Cells that leave the pools are infected ones; those die at the stated rate, and there is no other way out."""
    body = infected(ctl_kill=0.0, infected_death=1e-12)
    hiv = virus_of(body)
    hiv.productive[0, Origin.HOST] = 1e6
    hiv.onset = np.inf
    host_pools = body.lymphocytes.pools
    start = total(host_pools)
    for _ in range(48):
        hiv.advance(host_pools, surroundings(body), 1.0, 1.0)
    inside = total(hiv.eclipse) + total(hiv.productive) + total(hiv.latent) - 1e6
    assert inside > 1e4
    assert start - total(host_pools) == pytest.approx(inside, rel=1e-6)


def test_without_exposure_nothing_happens() -> None:
    healthy, later = make_body(), infected(day=30.0)
    for step in range(48):
        for body in (healthy, later):
            body.advance(1.0, (step + 1) / 24, counts(body, 1.0), ())
    assert (healthy.lymphocytes.pools == later.lymphocytes.pools).all()
    assert virus_of(later).onset == 37.0
    assert healthy.pack().keys() < later.pack().keys()


def test_founders_may_fail() -> None:
    """With one infected cell the infection dies out in some patients and not in others."""
    peaks = [max(s["hiv_load"] for s in days_of(infected(seed=s, founder_cells=1.0), 20, 3.0)) for s in range(12)]
    assert 0 < sum(peak < 1e-3 for peak in peaks) < 12


# -- resistance


def test_reverse_transcription_changes_as_many_viruses_as_stated_forth_and_back() -> None:
    hiv = virus_of(infected(x4_mutation=0.0, resistance_mutation=1e-3))
    entered = np.zeros((len(STRAINS), N_ORIGINS))
    entered[:, Origin.HOST] = 4e9, 2e9, 1e9, 0.0
    found = hiv._mutate(entered, np.zeros((7, *entered.shape), np.uint32))
    change = np.array([-3e6, -2e6, 3e6, 2e6])
    assert found[:, Origin.HOST] - entered[:, Origin.HOST] == pytest.approx(change)
    assert not found[:, Origin.DONOR].any()


def gain(adherence: float) -> float:
    """Return by what factor resistant virus gains on the other in ten days at the start of an infection."""
    body = infected(day=1e6, resistance_mutation=0.0)
    hiv = virus_of(body)
    hiv.productive[:, Origin.HOST] = 1e6, 0.0, 1e6, 0.0
    hiv.art.order(adherence)
    for _ in days_of(body, 10, 3.0):
        pass
    return total(hiv.productive[2]) / total(hiv.productive[0])


def test_resistance_costs_without_therapy_and_pays_with_it() -> None:
    assert 0.5 < gain(0.0) < 0.95
    assert gain(0.4) > 1.5


def test_a_checkpoint_without_resistant_virus_has_none_of_it() -> None:
    new = {f"hiv.{name}": array for name, array in virus_of(infected()).pack().items()}
    by_strain = [f"hiv.{name}" for name in ("eclipse", "productive", "latent", "sheltered", "loads")]
    old = new | {name: np.full((2, *new[name].shape[1:]), 3.0) for name in by_strain}
    found = UPGRADERS[5](Snapshot(3, (8, 4, 4), 0, 8, {}, old)).body
    assert {name: array.shape for name, array in found.items()} == {name: array.shape for name, array in new.items()}
    for name in by_strain:
        assert (found[name][:2] == 3.0).all()
        assert not found[name][2:].any()
    assert (found["hiv.ready"] == new["hiv.ready"]).all()


# -- therapy


def rules() -> HivRules:
    found = tables()
    assert found.hiv is not None
    return section(HivRules, {**found.hiv, "reference_weight": 70.0}, 70.0)


def test_every_dose_taken_leaves_the_trough_of_the_table() -> None:
    therapy = Antiretrovirals(rules(), 1)
    therapy.order(1.0)
    blocked = [therapy.advance(1.0) for _ in range(24 * 20)]
    assert therapy.level == pytest.approx(1.0, rel=1e-4)
    assert blocked[-1] == pytest.approx((0.99, 10 / 11), abs=2e-3)
    assert therapy.doses == 20
    therapy.order(0.0)
    for _ in range(17):
        therapy.advance(1.0)
    assert therapy.level == pytest.approx(0.5, rel=1e-3)
    assert therapy.doses == 20


def test_doses_are_forgotten_as_often_as_stated() -> None:
    therapy = Antiretrovirals(rules(), 3)
    therapy.order(0.7)
    levels = []
    for _ in range(3000):
        therapy.advance(24.0)
        levels.append(therapy.level)
    assert np.mean(levels) == pytest.approx(0.7, abs=0.03)
    assert min(levels) < 0.1


def test_therapy_clears_plasma_and_its_end_brings_virus_back() -> None:
    body = infected(day=-400.0)
    body.catch_up(0.0)
    start = body.observables()
    assert start["hiv_load"] > 1e3
    on = [*days_of(body, 200, 3.0, (Dose("art", "art", 1.0),))]
    assert on[-1]["hiv_load"] < 50
    assert on[-1]["hiv_latent"] > 0.5 * start["hiv_latent"]
    off = [*days_of(body, 90, 3.0, (Dose("art", "art", 0.0),))]
    assert off[-1]["hiv_load"] > 1e3


def test_a_patient_on_therapy_before_the_run_starts_suppressed() -> None:
    body = infected(day=-800.0, art_day=-400.0)
    body.catch_up(0.0)
    seen = body.observables()
    assert seen["hiv_load"] < 50
    assert seen["hiv_latent"] > 1e4
    assert seen["hiv_blocked"] > 0.98
    clones = body.clones.ids.copy()
    body.clones.settle()
    assert (body.clones.ids == clones).all(), "nobody waits for a slot that a checkpoint would forget"


# -- the law


CHRONIC = {
    "seed": 5,
    "patch": {"shape": [16, 14, 13]},
    "time": {"start_day": -2.0, "end_day": 2.0},
    "patient": {"infection": "hiv", "infection_day": -60.0, "donor": "haplo"},
    "events": [
        {"day": -1.0, "action": "art", "adherence": 0.8, "until_day": 1.0},
        {"day": -1.0, "action": "tbi", "dose_gy": 4.0},
        {"day": 0.0, "action": "graft", "source": "blood", "cd34_per_kg": 2e8, "ccr5_null": 1.0},
    ],
}


def test_a_resumed_run_is_the_undisturbed_one() -> None:
    config = Config.model_validate(CHRONIC)
    whole = Simulation.start(config, NumpyBackend())
    while whole.step < 30:
        whole.advance()
    rest = Simulation.restore(config, NumpyBackend(), whole.snapshot())
    while not whole.over:
        whole.advance()
        rest.advance()
    assert state_hash(whole.snapshot()) == state_hash(rest.snapshot())
    seen = whole.observables()
    assert seen["hiv_load"] > 0
    assert seen["hiv_blocked"] > 0
    assert seen["ccr5_null"] > 0
