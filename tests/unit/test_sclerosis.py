"""Multiple sclerosis: triggers, relapses, disability; what ablation and graft do to the self-reactive cells."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest

from abm.cells import Kind, Origin, Specificity
from abm.config import Patch, load_config, rules_of
from abm.errors import ConfigError
from abm.io.upgrades import UPGRADERS
from abm.model.body import Body, Dose, Exposure, Tables, giving, receptors
from abm.model.body.autoimmune import read_autoimmune
from abm.model.body.autoimmunity import DAYS_PER_YEAR, PoolShares, trigger
from abm.model.body.clones import NAIVE, NEW
from abm.model.body.immune import INDEX
from abm.model.body.sclerosis import LESION, RELAPSE, Sclerosis
from abm.state import Snapshot
from abm.tables import Overlay
from tests.unit.body_case import Person, live, make_body
from tests.unit.table_case import change, copied

OWN = Person(donor="autologous")
GRAFT = Dose(kind="graft", name="blood", origin=Origin.DONOR, cd34=4e8, cd3=1.4e10)


def patient(person: Person = OWN) -> Body:
    return make_body(person, Tables.load(rules_of(Patch(), "ms")))


def disease(body: Body) -> Sclerosis:
    assert isinstance(body.disease, Sclerosis)
    return body.disease


def test_only_a_patient_with_the_disease_has_it() -> None:
    healthy = make_body(OWN)
    assert healthy.disease is None
    assert not any(name.startswith(("disease", "self_reactive")) for name in healthy.pack())
    live(healthy, 3.0, step_h=24.0)
    assert healthy.observables()["edss"] == 0.0
    assert patient().observables()["edss"] == 3.5


def test_self_reactive_cells_stand_in_the_repertoire() -> None:
    body = patient()
    memory = body.lymphocytes.pools[INDEX[Kind.CD4_MEMORY], Origin.HOST]
    assert disease(body).clones.total == pytest.approx(1e-4 * memory)
    assert disease(body).naive.of(Kind.CD4_NAIVE, Origin.HOST) == 3e-6
    shares = dict(receptors.shares(body, Kind.CD4_MEMORY, Origin.HOST, {}))
    assert shares[Specificity.MYELIN] == 1e-4
    assert dict(receptors.shares(make_body(OWN), Kind.CD4_MEMORY, Origin.HOST, {}))[Specificity.MYELIN] == 3e-6


def test_shares_mix_in_proportion_to_the_cells() -> None:
    naive, memory = Kind.CD4_NAIVE, Kind.CD4_MEMORY
    found = PoolShares({naive: 0.0, memory: 0.5}, {naive: 0.2, memory: 0.4}, {naive: 0.0, memory: 0.8})
    some, pool = np.array([25.0, 0, 0, 0]), np.array([100.0, 0, 0, 0])
    found.enter(naive, NEW, some, pool)
    assert found.of(naive, Origin.HOST) == pytest.approx(0.75 * 0.2)
    found.enter(memory, NAIVE, some, pool)
    assert found.of(memory, Origin.HOST) == pytest.approx(0.75 * 0.4 + 0.25 * 0.15)
    found.infuse(memory, Origin.DONOR, 10.0, 10.0)
    assert found.of(memory, Origin.DONOR) == 0.8
    before = found.share.copy()
    found.enter(Kind.TREG, NEW, some, pool)
    found.infuse(Kind.CD8_NAIVE, Origin.HOST, 10.0, 20.0)
    assert (found.share == before).all()


def test_triggers_come_as_often_and_as_strong_as_stated() -> None:
    rate, spread, n = 60.0, 0.5, 40_000
    found = np.array([trigger(5, turn, rate, spread, 24.0)[0] for turn in range(n)])
    expected = n * (1 - np.exp(-rate / DAYS_PER_YEAR))
    hits = found[found > 0]
    assert abs(hits.size - expected) < 4 * np.sqrt(expected)
    for x in (0.5, 1.0, 3.0):
        share = 1 / (1 + x ** (1 / spread))
        assert abs((hits > x).mean() - share) < 4 * np.sqrt(share * (1 - share) / hits.size)


def test_drugs_kill_self_reactive_cells_as_they_kill_their_pools() -> None:
    body = patient()
    live(body, 1.0)
    clones = disease(body).clones
    before, hidden, pool = clones.cells.sum(), clones.resident.sum(), body.lymphocytes.cells([Kind.CD4_MEMORY]).sum()
    assert hidden == pytest.approx(0.1 * clones.total, rel=1e-3)
    live(body, 1.0, doses=[Dose(kind="drug", name="cyclophosphamide", amount=1.0)])  # later naive cells join them
    left = body.lymphocytes.cells([Kind.CD4_MEMORY]).sum()
    assert left < 0.05 * pool
    assert clones.cells.sum() / before == pytest.approx(left / pool, rel=0.03)
    # memory cells come back a little by division, those in the nervous system do not
    assert clones.resident.sum() / hidden == pytest.approx((left / pool) ** 0.075, rel=0.02)
    assert body.observables()["myelin_memory"] == pytest.approx(clones.cells.sum() + clones.resident.sum())


def test_radiation_reaches_the_nervous_system_and_kills_effectors() -> None:
    body = patient()
    ill = disease(body)
    ill.course[1] = 1e6
    before, hidden = ill.clones.cells.sum(), ill.clones.resident.sum()
    live(body, 1.0, doses=[Dose(kind="radiation", name="tbi", amount=12.0)])
    left = ill.clones.cells.sum() / before
    assert left < 0.02
    assert ill.clones.resident.sum() / hidden == pytest.approx(left, rel=0.5)
    assert ill.course[1] < 0.02 * 1e6


def test_virus_takes_self_reactive_cells_with_their_pool() -> None:
    found = Tables.load(rules_of(Patch(), "ms"))
    scale = make_body(OWN, found).scale
    body = Body(found, OWN, scale, 1, exposure=Exposure(0.0, inf))
    pool, row = body.lymphocytes.pools, INDEX[Kind.CD4_MEMORY]
    cells, clones = pool[row].sum(), disease(body).clones.cells[:-1].sum()
    live(body, 400.0, step_h=12.0)
    left = body.lymphocytes.pools[row].sum() / cells
    assert left < 0.9
    # new memory cells of naive ones fill a part of the pool, none of the old clones
    assert disease(body).clones.cells[:-1].sum() / clones < left


def test_an_infection_before_the_run_leaves_them_as_frequent_as_stated() -> None:
    found = Tables.load(rules_of(Patch(), "ms"))
    body = Body(found, OWN, make_body(OWN, found).scale, 1, exposure=Exposure(-700.0, inf))
    body.catch_up(0.0)
    memory = body.lymphocytes.pools[INDEX[Kind.CD4_MEMORY], Origin.HOST]
    assert disease(body).clones.cells.sum() == pytest.approx(0.9 * 1e-4 * memory, rel=0.01)
    fresh = disease(make_body(OWN, found))
    assert disease(body).working.of(Kind.TREG, Origin.HOST) == fresh.working.of(Kind.TREG, Origin.HOST)
    kept = disease(body).clones.cells.sum() / fresh.clones.cells.sum()
    assert disease(body).clones.cells == pytest.approx(kept * fresh.clones.cells)


def test_patients_differ_in_how_many_cells_see_myelin() -> None:
    usual, more = (disease(patient(Person(donor="autologous", autoreactivity=x))) for x in (1.0, 3.0))
    assert more.clones.total == pytest.approx(3.0 * usual.clones.total)
    assert more.naive.of(Kind.CD4_NAIVE, Origin.HOST) == pytest.approx(3.0 * 3e-6)


def test_resident_cells_cost_axons_without_relapses() -> None:
    """As many points a year as stated for the usual patient, in proportion to the cells."""
    for some, years in ((1.0, 2.0), (4.0, 1.0)):
        body = patient(Person(donor="autologous", autoreactivity=some))
        ill = disease(body)
        ill.rules = replace(ill.rules, trigger_rate=0.0)
        live(body, years * DAYS_PER_YEAR, step_h=24.0)
        seen = body.observables()
        assert seen["ms_relapses"] == 0.0
        assert seen["edss"] - 3.5 == pytest.approx(0.12 * some * years * (1 - 3.5 / 10), rel=0.05)


def test_more_than_myelin_reactive_cells_of_others_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.write_text('[patient]\ndisease = "sle"\nautoreactivity = 2.0\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).endswith(
        'case.toml:3: patient.autoreactivity: expected 1 for a patient without multiple sclerosis (or disease = "ms"), '
        "found 2.0"
    )
    path.write_text('[patient]\ndisease = "ms"\nautoreactivity = -2.0\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"case\.toml:3: patient\.autoreactivity.*found -2\.0"):
        load_config(path)


def test_an_autograft_brings_them_back_and_a_donor_does_not() -> None:
    for person, share, old in ((OWN, 1e-4, 1.0), (Person(donor="sibling"), 3e-6, 0.0)):
        body = patient(person)
        giving.infuse(body, GRAFT)
        given, cells = body.lymphocytes.pools[INDEX[Kind.CD4_MEMORY], Origin.DONOR], disease(body).clones.cells
        assert cells[:, Origin.DONOR].sum() == pytest.approx(share * given, rel=0.05)
        assert cells[:-1, Origin.DONOR].sum() == old * cells[:, Origin.DONOR].sum()


def test_regulatory_cells_that_work_hold_a_wave_back_and_it_wears_them_out() -> None:
    peaks, shares = {}, {}
    for name, strength, renewed in (("quiet", 0.0, False), ("usual", 1.0, False), ("renewed", 1.0, True)):
        body = patient()
        ill = disease(body)
        ill.rules = replace(ill.rules, trigger_rate=0.0)
        if renewed:
            ill.working.share[:] = 1.0
        expected = (0.15 + 0.12) / (0.15 + 1.0) if renewed else 1.0
        assert ill.unregulated(body.lymphocytes) == pytest.approx(expected)
        ill.course[0] = strength
        ill.clones.shown[::10] = 1.0
        peaks[name] = 0.0
        for _ in range(40):
            live(body, 1.0, step_h=24.0)
            peaks[name] = max(peaks[name], body.observables()["myelin_effectors"])
        shares[name] = ill.working.of(Kind.TREG, Origin.HOST)
    assert peaks["quiet"] < peaks["renewed"] < 1e6 < peaks["usual"]
    assert peaks["renewed"] < 0.5 * peaks["usual"], peaks
    assert shares["usual"] < 0.99 * shares["quiet"]


def test_new_regulatory_cells_come_with_the_thymus_and_a_healthy_donor() -> None:
    body = patient()
    body.lymphocytes.pools[INDEX[Kind.TREG]] *= 1e-3
    live(body, 365.0, step_h=24.0)
    assert disease(body).working.of(Kind.TREG, Origin.HOST) > 0.5
    for person, share in ((OWN, 0.12), (Person(donor="sibling"), 1.0)):
        body = patient(person)
        giving.infuse(body, GRAFT)
        assert disease(body).working.of(Kind.TREG, Origin.DONOR) == share


def test_an_older_checkpoint_gets_as_many_cells_as_it_had() -> None:
    body = patient()
    old = {name: array for name, array in body.pack().items() if not name.startswith(("pathogenic", "working"))}
    old |= {"self_reactive.share": np.array([[3e-6] * 4, [2e-5] * 4]), "antibodies.amount": np.zeros(16)}
    new = UPGRADERS[5](UPGRADERS[4](Snapshot(3, (8, 4, 4), 0, 8, {}, old))).body
    assert not new["pathogenic.resident"].any()
    body.unpack(new)
    memory = body.lymphocytes.pools[INDEX[Kind.CD4_MEMORY], Origin.HOST]
    assert disease(body).clones.total == pytest.approx(2e-5 * memory)
    assert disease(body).working.of(Kind.TREG, Origin.HOST) == 0.12
    live(body, 1.0)


def test_drugs_that_hold_activation_back_lower_the_wave() -> None:
    peaks = []
    for level in (0.0, 1.0):
        body = patient()
        body.drugs.set_level(body.drugs.index("interferon_beta"), level)
        disease(body).course[0] = 2.0
        disease(body).clones.shown[::10] = 1.0
        peak = 0.0
        for _ in range(30):
            live(body, 1.0, step_h=24.0)
            peak = max(peak, body.observables()["myelin_effectors"])
        peaks.append(peak)
    assert 0.2 * peaks[0] < peaks[1] < 0.9 * peaks[0]


def test_a_strong_trigger_is_one_relapse_and_leaves_disability_where_it_is_felt() -> None:
    lasting = []
    for eloquent in (0.0, 1.0):
        body = patient()
        ill = disease(body)
        ill.rules = replace(ill.rules, trigger_rate=0.0)
        ill.course[0], ill.eloquent = 3.0, eloquent
        ill.clones.shown[::10] = 1.0
        worst = 0.0
        for _ in range(240):
            live(body, 1.0, step_h=24.0)
            worst = max(worst, body.observables()["edss"])
        assert ill.events[RELAPSE] == ill.events[LESION] == 1.0
        end = body.observables()["edss"]
        assert worst > end + 0.5
        lasting.append(end - 3.5)
    assert lasting[0] < 0.1 < lasting[1] < 3.0


def test_the_course_does_not_depend_on_the_step() -> None:
    found = []
    for step_h in (1.0, 24.0):
        body = patient()
        ill = disease(body)
        ill.rules = replace(ill.rules, trigger_rate=0.0)
        ill.course[0] = 1.5
        ill.clones.shown[::10] = 1.0
        live(body, 20.0, step_h=step_h)
        found.append(ill.course.copy())
    np.testing.assert_allclose(found[0], found[1], rtol=2e-3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trigger_rate,3,", "trigger_rate,-3,", r"sclerosis.csv: trigger_rate: expected a number >= 0, found -3"),
        ("regulator_half,1e6,", "regulator_half,0,", r"regulator_half: expected a number > 0, found 0"),
        ("resident_share,0.1,", "resident_share,0,", r"resident_share: expected a number > 0, found 0"),
        ("resident_share,0.1,", "resident_share,1.5,", r"resident_share: expected at most 1, found 1.5"),
        ("smouldering_loss,0.12,", "smouldering_loss,-1,", r"smouldering_loss: expected a number >= 0, found -1"),
        ("working_half,0.15,", "working_half,0,", r"working_half: expected a number > 0, found 0"),
        ("working_share,0.12,", "working_share,1.2,", r"working_share: expected at most 1, found 1.2"),
        ("shown_share,0.1,", "shown_share,10,", r"shown_share: expected at most 1, found 10"),
        ("clones,100,", "clones,0.5,", r"sclerosis.csv: clones: expected a whole number >= 1, found 0.5"),
        ("remyelination,", "remyelinaton,", r"unknown name 'remyelinaton' \(did you mean remyelination\?\)"),
        ("trigger_duration,7,d", "trigger_duration,7,h", r"trigger_duration is expected in 'd', found 'h'"),
        ("axon_loss,0.115,", "axon_loss,much,", r"value: expected a number, found 'much'"),
    ],
)
def test_a_spoilt_table_is_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    base = copied(tmp_path)
    rows = base / "diseases" / "ms"
    change(rows, "sclerosis.csv", old, new)
    with pytest.raises(ConfigError, match=message):
        read_autoimmune(Overlay(base, None, rows))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[patient]\ndisease = "ms"\nblast_fraction = 0.1\n', r"case.toml:3: patient.blast_fraction: expected 0"),
        ('[patch]\nspecies = "mouse"\n[patient]\ndisease = "ms"\n', r'patient.disease: expected "none" or "aml"'),
        (
            '[[events]]\nday = 0\naction = "drug"\ndrug = "interferon_beta"\n',
            r"case.toml:4: events.0..drug: expected a drug of drugs.csv",
        ),
    ],
)
def test_bad_input(tmp_path: Path, text: str, message: str) -> None:
    case = tmp_path / "case.toml"
    case.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(case)


def test_a_drug_of_the_disease_is_known_with_it(tmp_path: Path) -> None:
    case = tmp_path / "case.toml"
    case.write_text('[patient]\ndisease="ms"\n[[events]]\nday=0\naction="drug"\ndrug="interferon_beta"\n')
    assert load_config(case).events[0].day == 0
