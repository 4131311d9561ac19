"""HIV on the lattice: tables, who is infected and who is not, who comes, and what the body makes of those who leave."""

from __future__ import annotations

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import N_KINDS, N_ORIGINS, Antigen, Behaviour, Count, Kind, Origin, Specificity, pack_hot
from abm.config import Config
from abm.model.body import Body, immunity
from abm.model.body.hiv_course import surroundings
from abm.model.body.hiv_marrow import ENTRY, INFECTED, killing, transmission, visitors, without_ccr5
from abm.model.body.immune import INDEX
from abm.model.rule_tables import BODY_SIGNALS
from abm.step import Simulation
from tests.kernels.states import human_rules
from tests.unit.body_case import counts, make_body, tables
from tests.unit.hiv_case import infected, virus_of

RULES = human_rules()
NO_DRUG = np.zeros((N_KINDS, 2))
SITES_PER_PAIR = 200.0
MEMORY, NAIVE, TREG = Kind.CD4_MEMORY, Kind.CD4_NAIVE, Kind.TREG
ECLIPSE, PRODUCTIVE, LATENT = INFECTED
_LOST = 1  # row of cells without CCR5


def viraemic(load: float = 1e5, x4: float = 0.0, productive: float = 1e9, null: float = 0.0) -> Body:
    """Return a body with free virus and productive cells."""
    body = infected(null=null)
    hiv = virus_of(body)
    hiv.onset = np.inf
    hiv.loads[:2] = load * (1.0 - x4), load * x4
    hiv.productive[0, Origin.HOST] = productive
    return body


def population(**cells: int) -> np.ndarray:
    """Return the cells of a lattice by kind and origin, those of the host as named."""
    found = np.zeros((N_KINDS, N_ORIGINS), np.int64)
    for name, n in cells.items():
        found[Kind[name.upper()], Origin.HOST] = n
    return found


def chances(body: Body, sites_per_pair: float = SITES_PER_PAIR) -> tuple[np.ndarray, np.ndarray]:
    """Return the chances of an hour by blood and by contact, by loss of CCR5, origin and kind."""
    found = transmission(body, population(cd4_memory=80, treg=20), sites_per_pair, 1.0)
    assert found is not None
    blood, contact = (table.reshape(2, N_ORIGINS, N_KINDS) / 2.0**32 for table in found[:2])
    return blood, contact


# -- tables


def test_rates_on_the_lattice_are_those_of_the_equations() -> None:
    values = tables().hiv
    assert values is not None
    rate = RULES.base.reshape(N_KINDS, 2, -1)
    assert rate[ECLIPSE, 0, Behaviour.MATURE] == 1.0 / values["eclipse"]
    assert rate[PRODUCTIVE, 0, Behaviour.DIE] == values["infected_death"]
    assert rate[LATENT, 0, Behaviour.MATURE] == values["reactivation"]
    for kind in INFECTED:
        assert rate[kind, 0, Behaviour.EGRESS] == rate[MEMORY, 0, Behaviour.EGRESS]


@pytest.mark.parametrize("effectors", [0.0, 1e9, 3e10, 1e30])
def test_productive_cells_die_as_in_the_body(effectors: float) -> None:
    body = viraemic()
    hiv = virus_of(body)
    hiv.effectors[Origin.HOST] = effectors
    signals = BODY_SIGNALS | {"hiv_killing": killing(body)}
    rates = RULES.rates(signals, NO_DRUG, 1.0).wild
    expected = hiv.rules.infected_death + hiv.kill_rate(surroundings(body))
    assert rates[2 * PRODUCTIVE, Behaviour.DIE] * 24.0 == pytest.approx(expected, rel=1e-6)
    assert body.signals()["hiv_killing"] == signals["hiv_killing"]


def test_only_productive_cells_show_the_antigen() -> None:
    receptor = int(RULES.recognition.receptors[Specificity.HIV])
    shown = {kind: RULES.recognition.shown(kind, Origin.HOST, donor_is_self=False) for kind in INFECTED}
    seen = [kind for kind in INFECTED if any(receptor >> antigen & 1 for antigen in shown[kind])]
    assert seen == [PRODUCTIVE]
    assert all(Antigen.CCR5 in shown[kind] for kind in INFECTED)


# -- hazards


def test_hazard_is_that_of_the_equations_shared_between_blood_and_contact() -> None:
    body = viraemic()
    hiv = virus_of(body)
    blood, contact = chances(body)
    hazard = hiv.rules.infectivity * 0.1 * hiv.rules.target_memory / 24.0  # at 1e5 copies/mL
    share = hiv.rules.contact_share
    assert blood[0, Origin.HOST, MEMORY] == pytest.approx(hazard * (1.0 - share), rel=1e-6)
    pools = body.lymphocytes.pools[[INDEX[MEMORY], INDEX[TREG]]].sum()
    sources = 1e9 * 100.0 / pools  # productive cells on the lattice
    assert contact[0, Origin.HOST, MEMORY] * sources / SITES_PER_PAIR == pytest.approx(hazard * share, rel=1e-6)
    blood, contact = chances(body, 0.0)  # nobody has counted the neighbours
    assert blood[0, Origin.HOST, MEMORY] == pytest.approx(hazard, rel=1e-6)
    assert not contact.any()


def test_virus_enters_by_its_coreceptor() -> None:
    blood, contact = chances(viraemic())
    for table in (blood, contact):
        assert not table[_LOST].any(), "R5 virus does not enter cells without CCR5"
        assert set(np.flatnonzero(table[0].any(axis=0))) == {MEMORY, TREG, Kind.CD4_EFFECTOR}
    blood, _ = chances(viraemic(x4=1.0))
    assert (blood[_LOST] == blood[0]).all()
    assert blood[_LOST, Origin.HOST, NAIVE] > 0.0


def test_therapy_blocks_infection_on_the_lattice() -> None:
    body = viraemic()
    before = chances(body)[0][0, Origin.HOST, MEMORY]
    virus_of(body).art.level = 1.0
    assert chances(body)[0][0, Origin.HOST, MEMORY] == pytest.approx(before / 101.0, rel=1e-3)


def test_without_virus_nothing_is_asked_of_the_lattice() -> None:
    there = population(cd4_memory=100)
    arrivals = [(MEMORY, Origin.HOST, Specificity.NONE, 5)]
    for body in (make_body(), infected(day=30.0)):
        assert transmission(body, there, SITES_PER_PAIR, 1.0) is None
        assert visitors(body, arrivals) == []
        assert not without_ccr5(body, arrivals).any()
        assert body.signals()["hiv_killing"] == 0.0


# -- traffic


def test_infected_cells_come_in_their_share() -> None:
    body = viraemic(productive=2e9)
    virus_of(body).eclipse[1, Origin.HOST] = 1e9
    pools = body.lymphocytes.pools[[INDEX[MEMORY], INDEX[TREG]]].sum()
    came = dict.fromkeys(INFECTED, 0)
    for turn in range(400):
        body.turn = float(turn)
        arrivals = [(MEMORY, Origin.HOST, Specificity.NONE, 20), (TREG, Origin.HOST, Specificity.NONE, 5)]
        for kind, origin, _, n in visitors(body, arrivals):
            assert origin is Origin.HOST
            came[kind] += n
    for kind, cells in ((PRODUCTIVE, 2e9), (ECLIPSE, 1e9)):
        expected = 400 * 25 * cells / pools
        assert abs(came[kind] - expected) < 4.0 * expected**0.5
    assert came[LATENT] == 0


def test_cells_without_ccr5_carry_its_loss_bit() -> None:
    body = viraemic(null=0.3)
    arrivals = [(MEMORY, Origin.HOST, Specificity.NONE, 4000), (Kind.CD8_NAIVE, Origin.HOST, Specificity.NONE, 50)]
    words = without_ccr5(body, arrivals)
    assert set(words.tolist()) == {0, pack_hot(loss=ENTRY)}
    assert (words[:4000] != 0).mean() == pytest.approx(0.3, abs=0.03)
    assert not words[4000:].any()


def test_infected_cells_that_leave_stay_in_the_account_of_the_infection() -> None:
    body = viraemic()
    table = counts(body, 1.0)
    before = body.lymphocytes.pools.copy(), virus_of(body).productive.copy()
    table[Count.EGRESS, list(INFECTED), Origin.HOST] = 3
    immunity.take_back(body, table)
    assert (body.lymphocytes.pools == before[0]).all()
    assert (virus_of(body).productive == before[1]).all()


# -- on the lattice


def patient(null: float) -> Simulation:
    """Return a patient in whom any contact with virus infects, a share of whose CD4 cells lack CCR5."""
    config = Config.model_validate(
        {
            "patch": {"shape": [18, 14, 13]},
            "time": {"start_day": 0.0, "end_day": 2.0},
            "patient": {"infection": "hiv", "infection_day": 0.0},
        }
    )
    sim = Simulation.start(config, NumpyBackend())
    hiv = sim.body.hiv
    assert hiv is not None
    hiv.loads[0], hiv.ready[...] = 1e12, 1.0
    hiv.coreceptor.null[...] = null
    return sim


def test_all_but_cells_without_ccr5_are_infected() -> None:
    sim = patient(null=0.0)
    hot = sim.lattice.owned("mot_hot")
    memory = (hot & 63) == MEMORY
    assert memory.sum() > 4
    spared = memory & (np.arange(hot.size).reshape(hot.shape) % 2 == 0)
    sim.lattice.load("mot_hot", np.where(spared, hot | np.uint32(pack_hot(loss=ENTRY)), hot))
    sim._pass_on(0)
    after = sim.lattice.owned("mot_hot")
    assert ((after & 63)[spared] == MEMORY).all()
    assert np.isin((after & 63)[memory & ~spared], [ECLIPSE, LATENT]).all()
    assert ((after & 63)[(hot & 63) == NAIVE] == NAIVE).all()
    assert ((after ^ hot) & ~np.uint32(63 | pack_hot(loss=ENTRY)) == 0).all(), "nothing else of the words changes"
