"""Clones of stem cells under treatment: what kills them less, what survivors gain, what an autograft carries."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm.backends import choose
from abm.backends.numpy_backend import NumpyBackend
from abm.cells import GAIN_VARIANT, MARKS, N_VARIANTS, Cycle, Kind, Origin, pack_cold, pack_hot
from abm.config import Config, load_config
from abm.errors import ConfigError
from abm.model.body import Dose
from abm.model.heredity import Subclone
from abm.model.traffic import Circulation
from abm.setup import Model, load_model
from abm.stem_clones import Gain, StemClones, StemRates, log10_kill
from abm.step import Simulation
from abm.validation.lives import CARRIER, STEM_CELLS, autograft_life, latency, treat
from tests.unit.test_config import problems

TP53 = 3
SMALL = {"patch": {"shape": [16] * 3}}
SCENARIO = Path(__file__).parents[2] / "scenarios" / "tmn_after_autograft.toml"


@cache
def model() -> Model:
    return load_model(load_config(SCENARIO))


def marrow(tp53: int, cells: int = STEM_CELLS, **changes: Any) -> StemClones:
    rates = StemRates.of(model().config, model().rules, occupancy=model().traffic["niche_occupancy"])
    found = StemClones(replace(rates, **changes), cells, 1)
    found.begin(TP53, tp53)
    return found


# -- kill


@pytest.mark.parametrize("drug", ["busulfan", "cyclophosphamide", "melphalan", "cisplatin", "carmustine", "etoposide"])
def test_mutated_cells_survive_genotoxic_drugs(drug: str) -> None:
    kill = log10_kill(model().tables, Dose("drug", drug, 1.0))
    assert kill[0] == model().tables.drugs[drug].log10_kill[0] > 0.0
    assert kill[TP53] == pytest.approx(0.4 * kill[0])
    assert kill[1] == kill[0]


def test_radiation_kills_mutated_cells_less_on_the_lattice_and_well_mixed() -> None:
    rules = model().tables.radiation
    kill = log10_kill(model().tables, Dose("radiation", "tbi", 2.0))
    assert kill[0] == pytest.approx((rules.alpha[0] * 2.0 + rules.beta[0] * 4.0) / np.log(10.0))
    assert kill[TP53] == pytest.approx(0.4 * kill[0])
    sim = Simulation.start(
        Config.model_validate({"patient": {"disease": "chip"}, "patch": {"shape": [16] * 3}}), NumpyBackend()
    )
    drugs = sim.body.drugs
    drugs.irradiate(2.0)
    table = drugs.variant_kills(1.0)
    assert table.shape[0] == N_VARIANTS
    np.testing.assert_allclose(table[TP53, Kind.HSC], 0.4 * table[0, Kind.HSC])
    np.testing.assert_array_equal(table[TP53, Kind.GMP], table[0, Kind.GMP])


def test_what_kills_no_stem_cell_is_none() -> None:
    for dose in (Dose("gcsf", "gcsf", 5.0), Dose("drug", "vincristine", 0.0), Dose("graft", "blood")):
        assert not log10_kill(model().tables, dose).any()


def test_exposure_selects_as_the_kills_say() -> None:
    found = marrow(10_000, gains=())
    found.expose(np.array([2.0, 2.0, 2.0, 0.8]), 0.0)
    wild, mutated = found.size.tolist()
    assert abs(wild - 900) < 5 * 30
    assert abs(mutated - 1585) < 5 * 37


def test_survivors_gain_mutations_in_proportion_to_the_kill() -> None:
    gains = (Gain(0, 1e-3, TP53, 0),)
    hits = []
    for log10 in (0.5, 1.0):
        found = marrow(0, gains=gains)
        found.expose(np.full(N_VARIANTS, log10), 20.0)
        assert found.transformed == []
        hits.append((found.size.size - 2, 20.0 * log10 * 1e-3 * STEM_CELLS * 10**-log10))
    for seen, expected in hits:
        assert abs(seen - expected) < 5 * np.sqrt(expected)
    assert marrow(0, gains=gains).size.size == 2


def test_treatment_kills_leukaemic_cells_that_it_has_made() -> None:
    found = marrow(0, gains=())
    found.transformed = [0.1] * 1000
    found.expose(np.zeros(N_VARIANTS), 20.0, 1.0)
    assert abs(len(found.transformed) - 100) < 5 * 10
    found.expose(np.zeros(N_VARIANTS), 20.0)
    assert abs(len(found.transformed) - 100) < 5 * 10
    kill = log10_kill(model().tables, Dose("drug", "etoposide", 1.0), Kind.LSC)
    assert kill.tolist() == [model().tables.drugs["etoposide"].log10_kill[6]] * N_VARIANTS


# -- graft


def test_a_graft_carries_clones_and_they_are_known_again() -> None:
    found = marrow(20_000, gains=())
    graft = found.collect(10_000)
    assert graft.size.sum() == 10_000
    assert abs(int(graft.size[1]) - 2_000) < 5 * 40
    found.expose(np.array([6.0, 6.0, 6.0, 6.0]), 0.0)
    assert found.size.sum() < 10
    found.engraft(graft)
    assert found.variant.tolist() == [0, TP53]
    assert 10_000 <= found.size.sum() < 10_010
    assert found.number.tolist() == graft.number.tolist()


def test_there_is_no_more_room_than_niches() -> None:
    found = marrow(20_000, gains=())
    found.engraft(found.collect(STEM_CELLS))
    assert found.size.sum() == STEM_CELLS
    assert abs(found.share(TP53) - 0.2) < 0.01


def test_empty_niches_fill_as_fast_as_cells_divide() -> None:
    found = marrow(0, gains=())
    found.expose(np.full(N_VARIANTS, 2.0), 0.0)
    left = int(found.size.sum())
    found.advance(0.01)
    gone = found.rates.leave[0] * 0.01
    assert found.size.sum() == pytest.approx(left * (1.0 - gone) * (1.0 + found.rates.fastest * 0.01), rel=0.02)
    while found.size.sum() < STEM_CELLS:
        found.advance(0.01)
        assert found.year < 1.0
    found.advance(0.01)
    assert found.size.sum() == STEM_CELLS


def test_the_treatment_of_the_scenario_raises_the_share_of_the_clone() -> None:
    found = marrow(6_000)
    carried = treat(found, model())
    assert 0.02 < carried < 0.05
    assert found.share(TP53) > 1.5 * 0.06
    assert found.size.sum() < STEM_CELLS
    graft = model().tables.values["autograft_founders"]
    assert graft < found.size.sum() < 2.0 * graft
    plain = marrow(6_000)
    fair = {name: np.ones_like(factor) for name, factor in model().tables.variants.items()}
    treat(plain, replace(model(), tables=replace(model().tables, variants=fair)))
    assert plain.share(TP53) < 1.3 * 0.06


@pytest.mark.parametrize("fastest", [float("inf"), 30.0])
def test_a_marrow_without_a_stem_cell_waits_for_the_graft(fastest: float) -> None:
    found = marrow(6_000, fastest=fastest)
    graft = found.collect(1_000)
    found.expose(np.full(N_VARIANTS, 40.0), 0.0)
    found.advance(0.02)
    assert found.size.sum() == found.share(TP53) == found.vaf.sum() == 0.0
    found.engraft(graft)
    found.advance(0.02)
    assert found.size.sum() > 900
    assert 0.03 < found.share(TP53) < 0.1


def test_more_cells_of_a_clone_than_there_are_of_the_wild_type_are_all_of_these() -> None:
    found = marrow(60_000)
    found.begin(1, 60_000)
    assert found.share(1) == pytest.approx(0.4)
    assert found.size.sum() == STEM_CELLS


def test_a_life_with_and_without_the_clone() -> None:
    found = autograft_life(3, clone=True)
    assert found == autograft_life(3, clone=True)
    values = found["values"]
    assert values["tmn_carriers"] in (0.0, 1.0)
    assert values["tmn_others"] is None
    assert values["tmn_clone"] > 100.0 * CARRIER
    assert 0.2 < latency(model()) < 3.0


class Sure(Circulation):
    """The circulation of a test: nothing in it but a graft."""


def grafted(shares: tuple[Subclone, ...], n: int = 20_000) -> Sure:
    found = Sure({}, 7)
    hot = np.full(n, pack_hot(kind=Kind.HSC, origin=Origin.DONOR, cycle=Cycle.QUIESCENT), np.uint32)
    hot[::2] = pack_hot(kind=Kind.MPP, origin=Origin.DONOR)
    found.add(hot, np.zeros(n, np.uint32))
    found.vary(shares, 100, 5, 0)
    return found


def test_the_patients_own_graft_holds_variants_in_their_shares() -> None:
    shares = (Subclone(Kind.HSC, 0.1, TP53 << GAIN_VARIANT), Subclone(Kind.HSC, 0.3, 1 << GAIN_VARIANT))
    found = grafted(shares)
    variant = found.cold // np.uint32(pack_cold(resist=1))
    stem = found.hot & np.uint32(63) == Kind.HSC
    assert not variant[~stem].any()
    assert not variant[:100].any()
    n = int(stem[100:].sum())
    for number, share in ((TP53, 0.1), (1, 0.3)):
        assert abs(int((variant == number).sum()) - share * n) < 5 * np.sqrt(share * (1 - share) * n)
    lost = grafted((Subclone(Kind.HSC, 1.0, 1),))
    assert ((lost.hot[100:] & np.uint32(pack_hot(loss=1)) != 0) == (lost.hot[100:] & np.uint32(63) == Kind.HSC)).all()


@pytest.mark.parametrize(("donor", "carries"), [("autologous", True), ("sibling", False)])
def test_a_graft_of_somebody_else_has_none_of_them(donor: str, carries: bool) -> None:
    events = [{"day": 0.0, "action": "graft", "source": "blood", "cd34_per_kg": 2e8}]
    patient = {"disease": "chip", "donor": donor, "hsc_variants": {"tp53": 1.0}}
    setup = {"patch": {"shape": [16] * 3}, "patient": patient, "events": events}
    sim = Simulation.start(Config.model_validate(setup | {"time": {"start_day": 0, "end_day": 4}}), choose("auto")[0])
    assert sim.lattice.marks()[MARKS["variant"][0] + TP53 - 1, Kind.HSC].sum() == sim.last[0, Kind.HSC].sum() > 0
    for _ in range(round(sim.model.tables.sources["blood"].delay) + 2):  # then the stem cells are in the blood
        sim.advance()
    places = (
        (sim.circulation.hot, sim.circulation.cold),
        [sim.lattice.owned(f"res_{w}").ravel() for w in ("hot", "cold")],
    )
    hot, cold = (np.concatenate(words) for words in zip(*places, strict=True))
    donors = cold[(hot & np.uint32(0xFF)) == pack_hot(kind=Kind.HSC, origin=Origin.DONOR)]
    assert donors.size > 3
    assert (donors >= pack_cold(resist=TP53)).all() if carries else (donors < pack_cold(resist=1)).all()


# -- what is wrong is one line

PATIENT = '[patient]\ndisease = "chip"\nhsc_variants = {}\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ tp53 = 0 }", "expected shares > 0 that add up to at most 1; found tp53 0"),
        ("{ tp53 = 0.6, one_hit = 0.5 }", "shares > 0 that add up to at most 1; found tp53 0.6, one_hit 0.5"),
        ("{ tp53 = -0.1 }", "expected shares > 0 that add up to at most 1; found tp53 -0.1"),
        ('{ tp53 = "much" }', 'expected a table of shares by name, such as { tp53 = 0.1 }, found "much"'),
        ("0.1", "expected a table, found 0.1"),
    ],
)
def test_wrong_shares_are_one_line(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, PATIENT.format(text))
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith("case.toml:3: patient.hsc_variants: ")


@pytest.mark.parametrize(
    ("disease", "name", "expected"),
    [
        ("chip", "tp35", r"expected a variant of HSC in variants.csv, found tp35 \(did you mean tp53\?\)"),
        ("none", "tp35", r"expected a variant of HSC in variants.csv, found tp35 \(known: activated\)"),
        ("aml", "tp53", "expected none of clonal haematopoiesis beside aml, found tp53"),
        ("dlbcl", "one_hit", "expected none of clonal haematopoiesis beside dlbcl, found one_hit"),
    ],
)
def test_an_unknown_variant_is_one_line(tmp_path: Path, disease: str, name: str, expected: str) -> None:
    path = tmp_path / "case.toml"
    path.write_text(f'[patient]\ndisease = "{disease}"\nhsc_variants = {{ {name} = 0.1 }}\n')
    with pytest.raises(ConfigError, match=rf"case.toml:3: patient.hsc_variants.{name}: {expected}") as caught:
        load_model(load_config(path))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("disease", ["none", "ms", "sle"])
def test_a_clone_may_stand_beside_what_leaves_the_marrow_healthy(disease: str) -> None:
    """Such as sclerosis: both diseases are there with all their rows."""
    patient = {"disease": disease, "donor": "autologous", "hsc_variants": {"tp53": 0.5}}
    config = Config.model_validate(SMALL | {"patient": patient})
    model = load_model(config)
    chip = load_model(Config.model_validate(SMALL | {"patient": patient | {"disease": "chip"}}))
    assert model.rules.heredity.mutations == chip.rules.heredity.mutations
    assert (model.tables.variants["busulfan"] == chip.tables.variants["busulfan"]).all()
    assert set(model.tables.autoimmune) == {"ms": {"sclerosis"}, "sle": {"lupus"}}.get(disease, set())
    marks = Simulation.start(config, NumpyBackend()).lattice.marks()[:, Kind.HSC].sum(axis=-1)
    assert marks[MARKS["variant"][0] + TP53 - 1] > 0


def test_a_variant_of_the_species_brings_no_clonal_haematopoiesis() -> None:
    own = Config.model_validate({"patient": {"hsc_variants": {"activated": 0.1}}})
    assert own.rules == Config().rules
    assert "tp53" not in {name for _, name in load_model(own).rules.heredity.variants.names}
