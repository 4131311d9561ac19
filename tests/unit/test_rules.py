"""Rule tables: what is compiled from them, and every mistake a user can make in one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abm.cells import (
    LOSS_ANTIGENS,
    N_KINDS,
    N_SPECIFICITIES,
    Antigen,
    Behaviour,
    Flag,
    Kind,
    Origin,
    Specificity,
)
from abm.errors import ConfigError
from abm.model.meanfield import homeostasis
from abm.model.rules import BODY_SIGNALS, Rules, load_rules
from tests.unit.table_case import FOLDER, change, copied

NO_DRUG = np.zeros((64, 2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copied(tmp_path)


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_the_shipped_tables_load(species: str) -> None:
    rules = load_rules(FOLDER / species)
    infected = set() if species == "human" else {kind for kind in Kind if "HIV" in kind.name}  # mice have no HIV
    assert rules.kinds.keys() == {k for k in Kind if k} - infected
    assert rules.mask(Flag.EFFECTOR)[Kind.CD8_EFFECTOR]
    assert rules.recognition.receptors[Specificity.HOST_UBIQUITOUS] == 1 << Antigen.HOST_MINOR_UBIQUITOUS


def test_at_baseline_the_rates_are_those_of_the_table() -> None:
    rules = Rules.load(FOLDER / "human")
    step = rules.rates(dict(BODY_SIGNALS), NO_DRUG, 1.0)
    rates = step.wild
    expected = rules.base[:, : Behaviour.RENEW] / 24.0
    expected[:, Behaviour.DRUG] = 0.0
    np.testing.assert_allclose(rates[:, : Behaviour.RENEW], expected, rtol=1e-6)
    assert step.renew[Kind.HSC * 2] == 0xFFFFFFFF
    assert step.renew[Kind.LSC * 2] == int(0.66 * 2**32)


def test_signals_move_rates_in_the_stated_direction() -> None:
    rules = Rules.load(FOLDER / "human")
    base = rules.rates(dict(BODY_SIGNALS), NO_DRUG, 1.0).wild
    stressed = rules.rates(BODY_SIGNALS | {"gcsf": 40.0, "cni": 0.6}, NO_DRUG, 1.0).wild
    assert stressed[Kind.NEUTROPHIL * 2, Behaviour.EGRESS] > 2 * base[Kind.NEUTROPHIL * 2, Behaviour.EGRESS]
    assert stressed[Kind.CD8_NAIVE * 2, Behaviour.ACTIVATE] < 0.7 * base[Kind.CD8_NAIVE * 2, Behaviour.ACTIVATE]


def test_the_ceiling_bounds_what_any_neighbourhood_can_do() -> None:
    rules = Rules.load(FOLDER / "human")
    signals = BODY_SIGNALS | {"flt3l": 30.0, "gcsf": 40.0, "niche_vacancy": 14.0}
    step = rules.rates(signals, NO_DRUG + 0.01, 1.0)
    hazards = step.wild[:, : Behaviour.KILL].astype(float).sum(axis=1)
    hazards += step.wild[:, Behaviour.EGRESS : Behaviour.ACTIVATE].sum(axis=1)
    for ceiling in step.ceiling.reshape(2, -1):
        assert (ceiling >= np.minimum(hazards, 1 - 2**-24) * 2**32).all()
    untouched, touched = step.ceiling.reshape(2, -1)
    assert (untouched <= touched).all()
    assert touched[Kind.BLAST * 2] > untouched[Kind.BLAST * 2]  # it may be killed


@pytest.mark.parametrize("killed", [1e-3, 0.5, 2.0, 8.0])
@pytest.mark.parametrize("step_h", [0.5, 1.0, 4.0])
def test_a_dose_leaves_what_it_should_and_only_that_divides(killed: float, step_h: float) -> None:
    """Daughters come of survivors only, however large the kill: as competing hazards alone do not have it."""
    rules, row = Rules.load(FOLDER / "human"), 2 * Kind.MYELOCYTE + 1
    before = rules.rates(dict(BODY_SIGNALS), NO_DRUG, step_h).wild[row].astype(float)
    after = rules.rates(dict(BODY_SIGNALS), NO_DRUG + killed / step_h, step_h).wild[row].astype(float)
    survives = np.exp(-killed)
    assert after[Behaviour.DRUG] == pytest.approx(1 - survives, rel=1e-6)
    others = [b for b in range(Behaviour.RENEW) if b != Behaviour.DRUG]
    np.testing.assert_allclose(after[others], before[others] * survives, rtol=1e-6)
    after[[Behaviour.KILL, Behaviour.MOVE]] = 0.0  # nobody strikes; a move has no turn with them
    assert after.sum() < 1.0


def test_a_kind_without_rates_has_no_ceiling() -> None:
    rules = Rules.load(FOLDER / "human")
    step = rules.rates(dict(BODY_SIGNALS), NO_DRUG, 1.0)
    assert step.ceiling.reshape(2, 64, 2)[:, Kind.EMPTY].max() == 0
    population = np.zeros((64, 4), np.int64)
    assert step.able(population) == []
    population[Kind.MPP, 0] = 5
    assert [layer for layer, _ in step.able(population)] == ["res"]
    population[Kind.TREG, 0] = 1
    assert [layer for layer, _ in step.able(population)] == ["res", "mot"]


def test_neighbours_are_counted_only_where_a_rule_sees_them() -> None:
    rules = Rules.load(FOLDER / "human")
    population = np.zeros((64, 4), np.int64)
    population[[Kind.HSC, Kind.MPP, Kind.NEUTROPHIL, Kind.TREG], 0] = 100
    assert not rules.needs_histogram(population)
    leukaemic, attacked = population.copy(), population.copy()
    leukaemic[Kind.BLAST, 0] = 1  # progenitors and stroma feel it
    attacked[Kind.CD8_EFFECTOR, 1] = 1  # regulatory cells blunt it
    assert rules.needs_histogram(leukaemic)
    assert rules.needs_histogram(attacked)


def test_antigens_depend_on_whose_cell_it_is() -> None:
    rules = Rules.load(FOLDER / "human")
    masks = {is_self: rules.sight(is_self)["antigens"].reshape(3, 4, 64) for is_self in (False, True)}
    table = {is_self: shown[0].T for is_self, shown in masks.items()}
    host_minor = 1 << Antigen.HOST_MINOR_UBIQUITOUS
    assert table[False][Kind.BLAST, Origin.HOST] & host_minor
    assert not table[False][Kind.BLAST, Origin.DONOR] & host_minor
    assert table[False][Kind.HSC, Origin.DONOR] & (1 << Antigen.DONOR_MINOR)
    assert table[True][Kind.HSC, Origin.DONOR] == table[True][Kind.HSC, Origin.HOST]


def test_who_sees_whom_follows_antigens_and_receptors() -> None:
    rules = load_rules(FOLDER / "human")
    sees = rules.sight(donor_is_self=False)["sees"].reshape(-1, 256)
    host_blast, donor_blast = int(Kind.BLAST), int(Kind.BLAST) + N_KINDS * Origin.DONOR
    dendritic = int(Kind.DENDRITIC)
    against_host = sees[Specificity.HOST_HAEMATOPOIETIC]
    assert (against_host[host_blast], against_host[donor_blast], against_host[dendritic]) == (1, 0, 3)
    assert not sees[Specificity.NONE].any()
    assert not sees[:, ::N_KINDS].any(), "an empty site is nobody's target"


def test_a_peptide_is_seen_with_the_hla_that_presents_it() -> None:
    sight = load_rules(FOLDER / "human").recognition
    first, second = Antigen.HOST_MINOR_UBIQUITOUS, Antigen.HOST_MINOR_UBIQUITOUS_II
    host = {kind: sight.shown(kind, Origin.HOST, donor_is_self=False) for kind in Kind}
    assert first not in host[Kind.RETICULOCYTE]
    assert first in host[Kind.HSC]
    assert second not in host[Kind.HSC]
    assert host[Kind.DENDRITIC][second] == 3
    assert (host[Kind.MPP][first], host[Kind.MPP][second]) == (3, 2), "as dense as the HLA class, not denser"
    assert host[Kind.ORTHOCHROMATIC][first] == 1


def test_a_loss_takes_what_the_cell_no_longer_presents() -> None:
    rules = load_rules(FOLDER / "human")
    losses = dict(zip(LOSS_ANTIGENS, rules.tables["losses"].tolist(), strict=True))
    assert losses[Antigen.CD33] == 1 << Antigen.CD33
    assert losses[Antigen.HLA_CLASS_I] & 1 << Antigen.WT1
    assert losses[Antigen.HLA_CLASS_I] & 1 << Antigen.HOST_MINOR_UBIQUITOUS
    assert not losses[Antigen.HLA_CLASS_I] & (1 << Antigen.CD33 | 1 << Antigen.HOST_MINOR_UBIQUITOUS_II)


def test_a_kill_is_weighed_by_kind_affinity_and_level(folder: Path) -> None:
    change(folder, "expression.csv", "PRE_B,CD19,2", "PRE_B,SELF_MYELIN,1,level,x,assumption\nPRE_B,CD19,2")
    rules = load_rules(folder)
    strength = rules.tables["strength"][rules.tables["hit_class"]].reshape(N_SPECIFICITIES, N_KINDS, 4)
    best, low = Specificity.HOST_UBIQUITOUS, Specificity.MYELIN
    assert strength[best, Kind.CD8_EFFECTOR].tolist() == pytest.approx([0.0, 0.5, 1.0, 1.0])
    assert strength[best, Kind.CD4_EFFECTOR].tolist() == pytest.approx([0.0, 0.1, 0.2, 0.2])
    assert strength[low, Kind.CD8_EFFECTOR].tolist() == pytest.approx([0.0, 0.25, 0.0, 0.0]), "shown at level 1 alone"
    assert not strength[Specificity.NONE].any()
    assert not strength[:, Kind.CD8_NAIVE].any()


def test_a_receptor_has_no_strength_where_no_cell_shows_what_it_binds() -> None:
    """CD19 stands at levels 2 and 3 alone, by disease; nobody in the marrow shows myelin."""
    rules = load_rules(FOLDER / "human")
    strength = rules.tables["strength"][rules.tables["hit_class"]].reshape(N_SPECIFICITIES, N_KINDS, 4)
    assert strength[Specificity.CAR_CD19, Kind.CD8_EFFECTOR].tolist() == [0.0, 0.0, 1.0, 0.0]
    assert not strength[Specificity.MYELIN].any()


def test_more_kill_strengths_than_a_byte_holds_are_refused(folder: Path) -> None:
    path = folder / "kinds.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    column = next(line for line in lines if line.startswith("kind,")).split(",").index("strength")
    edited, strength = [], 0.1
    for line in lines:
        fields = line.split(",")
        if len(fields) > column and not line.startswith(("#", "kind,")):
            fields[column] = f"{strength:g}"
            strength += 0.1
        edited.append(",".join(fields))
    path.write_text("\n".join(edited) + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="at most 8 different kill strengths"):
        load_rules(folder)


@pytest.mark.parametrize(
    ("table", "row", "said"), [("antigens.csv", "CD19,", "missing: CD19"), ("levels.csv", "2,", "missing: 2")]
)
def test_an_antigen_or_level_that_is_missing_is_said(folder: Path, table: str, row: str, said: str) -> None:
    lines = (folder / table).read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / table).write_text("".join(line for line in lines if not line.startswith(row)), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_rules(folder)
    assert f"{table}: " in str(error.value)
    assert said in str(error.value)


def test_homeostasis_conserves_flux() -> None:
    rules = Rules.load(FOLDER / "human")
    state = homeostasis(rules, 0.6)
    influx = state.cycling[Kind.HSC] * rules.base[Kind.HSC * 2 + 1, Behaviour.DIVIDE] * 0.6
    row = rules.base[Kind.MPP * 2 + 1]
    pool, gain = state.pool[Kind.MPP], 2 * (1 - row[Behaviour.RENEW]) * row[Behaviour.DIVIDE]
    loss = row[Behaviour.DIVIDE] * (1 - 2 * row[Behaviour.RENEW])
    assert pool[0] * loss == pytest.approx(influx)
    assert pool[1] * loss == pytest.approx(pool[0] * gain)


def test_crowding_and_distance_keep_cells_longer() -> None:
    rules, half = Rules.load(FOLDER / "human"), np.full(64, 0.5)
    state, crowded = homeostasis(rules, 0.6), homeostasis(rules, 0.6, open_share=half)
    stay, slow = (x.pool[Kind.EOSINOPHIL_MYELOCYTE].sum() / x.exits[Kind.EOSINOPHIL] for x in (state, crowded))
    assert slow == pytest.approx(2 * stay)
    far = homeostasis(rules, 0.6, leaving=half)
    assert far.pool[Kind.RETICULOCYTE].sum() == pytest.approx(2 * state.pool[Kind.RETICULOCYTE].sum())
    assert far.exits[Kind.RETICULOCYTE] == pytest.approx(state.exits[Kind.RETICULOCYTE])


@pytest.mark.parametrize(
    ("table", "old", "new", "said"),
    [
        ("kinds.csv", "HSC,1,stem", "HSCC,1,stem", "unknown name 'HSCC' (did you mean HSC?)"),
        ("kinds.csv", "HSPC NICHE_SEEKER", "HSPC NICHE_SEKER", "did you mean NICHE_SEEKER?"),
        ("behaviours.csv", "MPP,any,DIVIDE,0.157,1/day", "MPP,any,DIVIDE,0.157,1/h", "unknown name '1/h'"),
        ("behaviours.csv", "MPP,any,DIVIDE,0.157", "MPP,any,DIVIDE,-0.2", "expected a number >= 0, found '-0.2'"),
        ("behaviours.csv", "MPP,any,DIVIDE,0.157", "MPP,any,DIVDE,0.2", "did you mean DIVIDE?"),
        ("behaviours.csv", "MPP,any,DIVIDE,0.157", "HSC,any,MATURE,0.2", "is set twice"),
        ("responses.csv", "flt3l,increases", "flt3,increases", "did you mean flt3l?"),
        ("responses.csv", "increases,20,5,4", "increases,0.5,5,4", "expected a number >= 1, found '0.5'"),
        ("responses.csv", "increases,20,5,4", "increases,20,5,3", "expected 1, 2 or 4"),
        ("fates.csv", "CMP,GMP,0.775", "CMP,GMP,0.5", "the shares of CMP add up to 0.725, expected 1"),
        ("fates.csv", "HSC,MPP,1", "HSC,CD8_NAIVE,1", "live in different layers"),
        ("fates.csv", "PRE_B,IMMATURE_B,1", "DENDRITIC,IMMATURE_B,1", "has fates but no stages"),
        ("receptors.csv", "DONOR,DONOR_MINOR,1", "DONOR,DONOR_MINR,1", "did you mean DONOR_MINOR?"),
        ("receptors.csv", "DONOR,DONOR_MINOR,1", "DONER,DONOR_MINOR,1", "did you mean DONOR?"),
        (
            "receptors.csv",
            "DONOR,DONOR_MINOR,1",
            "DONOR,DONOR_MINOR,1.5",
            "expected a number >= 0 and <= 1, found '1.5'",
        ),
        (
            "receptors.csv",
            "LEUKAEMIA,WT1,1",
            "LEUKAEMIA,WT1,0.5",
            "one affinity: expected 1 as in its other rows, found 0.5",
        ),
        ("receptors.csv", "CAR_CD19,CD19,1", "CAR_CD19,CD91,1", "unknown name 'CD91' (did you mean CD19?)"),
        ("receptors.csv", "CAR_CD20,CD20,1", "CAR_CD200,CD20,1", "did you mean CAR_CD20?"),
        ("origins.csv", "DONOR,self", "DONOR,twin", "unknown name 'twin'"),
        ("origins.csv", "DONOR,other,DONOR_MINOR,", "DONOR,other,CD33,", "CD33 follows the kind of a cell"),
        ("antigens.csv", "CD19,lineage", "CD33,lineage", "CD33 stands twice"),
        ("antigens.csv", "CD19,lineage", "CD19,lineag", "unknown name 'lineag' (did you mean lineage?)"),
        ("antigens.csv", "CD19,lineage,-,yes", "CD19,lineage,HLA_CLASS_3,yes", "did you mean HLA_CLASS_I"),
        ("antigens.csv", "CD19,lineage,-,yes", "CD19,lineage,-,maybe", "unknown name 'maybe'"),
        ("antigens.csv", "PD_L1,checkpoint,-,no", "PD_L1,checkpoint,-,yes", "PD_L1 has no loss bit in a cell"),
        ("expression.csv", "LSC,CD33,2", "LSC,CD3,2", "unknown name 'CD3'"),
        ("expression.csv", "LSC,CD33,2", "LSCC,CD33,2", "did you mean LSC?"),
        ("expression.csv", "LSC,CD33,2", "LSC,CD33,4", "expected a whole number >= 1 and <= 3, found '4'"),
        ("expression.csv", "LSC,CD123,3", "LSC,CD33,3", "LSC CD33 stands twice"),
        ("expression.csv", "LSC,CD33,2", "LSC,DONOR_MINOR,2", "DONOR_MINOR follows the origin of a cell"),
        ("levels.csv", "2,10000,1", "1,10000,1", "level 1 stands twice"),
        ("levels.csv", "2,10000,1", "2,100,1", "expected a number >= 1000, found '100'"),
        ("levels.csv", "2,10000,1", "2,10000,1.2", "expected a number >= 0 and <= 1, found '1.2'"),
        ("activations.csv", "CD8_NAIVE,CD8_EFFECTOR", "CD8_NAIVE,CD8_EFFECTR", "did you mean CD8_EFFECTOR?"),
    ],
)
def test_a_mistake_names_file_and_line(folder: Path, table: str, old: str, new: str, said: str) -> None:
    line = change(folder, table, old, new)
    with pytest.raises(ConfigError) as error:
        load_rules(folder)
    message = str(error.value)
    assert said in message
    assert f"{table}:{line}:" in message or "add up" in message


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        load_rules(tmp_path / "elephant")
