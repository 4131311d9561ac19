"""Drugs and radiation: exposure, log-kill, survival of fractions, targets, tables."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from abm.cells import N_KINDS, Behaviour, Cycle, Kind, Origin, is_motile
from abm.errors import ConfigError
from abm.model.body import Dose
from abm.model.body.drugs import (
    DRUG_TARGETS,
    RADIATION_TARGETS,
    Drugs,
    drug_target,
    radiation_target,
    read_drugs,
    read_radiation,
)
from abm.model.body.grafts import read_grafts
from abm.model.body.immune import INDEX, T_CELLS
from abm.model.body.numerics import total
from abm.model.body.organs import GVH, read_donors
from abm.model.body.parameters import read_body
from abm.model.rule_tables import BODY_SIGNALS
from abm.model.rules import load_rules
from abm.tables import out_of_range
from tests.unit.body_case import Person, live, make_body, tables
from tests.unit.table_case import FOLDER, change, copied

CYTOTOXIC = [name for name, drug in tables().drugs.items() if drug.reference]


def fresh() -> Drugs:
    found = tables()
    return Drugs(found.drugs, found.radiation)


@pytest.mark.parametrize("name", CYTOTOXIC)
@pytest.mark.parametrize("step_h", [0.25, 1.0])
def test_exposure_of_a_course_is_one(name: str, step_h: float) -> None:
    drugs, exposure = fresh(), 0.0
    drugs.give(name, 1.0)
    for _ in range(round(40 * math.log(2) / tables().drugs[name].rate / step_h)):
        exposure += sum(x for _, x in drugs.exposures(step_h))
        drugs.pass_step(step_h)
    assert exposure == pytest.approx(1.0, abs=1e-9)


def test_concentration_has_the_half_life() -> None:
    drugs = fresh()
    drugs.give("busulfan", 0.25)
    peak = drugs.concentrations()["busulfan"]
    for _ in range(27):
        drugs.pass_step(0.1)
    assert peak == pytest.approx(1.0)
    assert drugs.concentrations()["busulfan"] == pytest.approx(0.5)


@pytest.mark.parametrize("step_h", [0.25, 1.0])
def test_hazards_add_up_to_the_log_kill_of_the_table(step_h: float) -> None:
    body = make_body()
    live(body, step_h / 24, step_h, doses=[Dose("drug", "busulfan", 1.0)])
    cumulated = np.zeros((64, 2))
    for _ in range(round(120 / step_h)):
        cumulated += body.drug_hazards() * step_h
        live(body, step_h / 24, step_h)
    log10_kill = cumulated / math.log(10)
    busulfan = dict(zip(DRUG_TARGETS, tables().drugs["busulfan"].log10_kill, strict=True))
    assert log10_kill[Kind.HSC] == pytest.approx([busulfan["hsc_quiescent"], busulfan["hsc_cycling"]])
    assert log10_kill[Kind.GMP, 1] == pytest.approx(busulfan["progenitor"])
    assert log10_kill[Kind.LSC] == pytest.approx([busulfan["leukaemia_quiescent"], busulfan["leukaemia_cycling"]])
    assert log10_kill[Kind.CD8_NAIVE, 0] == pytest.approx(busulfan["t_resting"])
    assert log10_kill[Kind.NEUTROPHIL] == pytest.approx([busulfan["maturing"]] * 2)
    assert (log10_kill[Kind.EMPTY] == 0).all()


def test_radiation_acts_in_one_step_by_the_linear_quadratic_model() -> None:
    for step_h in (0.25, 1.0):
        body = make_body()
        live(body, step_h / 24, step_h, doses=[Dose("radiation", "tbi", 2.0)])
        survival = np.exp(-body.drug_hazards() * step_h)
        assert survival[Kind.HSC, 0] == pytest.approx(math.exp(-(0.7 * 2 + 0.055 * 4)))
        assert survival[Kind.CD4_NAIVE, 0] == pytest.approx(math.exp(-1.5 * 2))
        assert survival[Kind.NEUTROPHIL, 0] == 1.0
        live(body, step_h / 24, step_h)
        assert (body.drug_hazards() == 0).all()


def test_fractions_spare_and_add_within_a_step() -> None:
    kill = {}
    for name, fractions in (("single", [12.0]), ("split", [2.0] * 6)):
        drugs = fresh()
        for gy in fractions:
            drugs.irradiate(gy)
        kill[name] = drugs.kills(1.0)[1][0] / math.log(10)
    assert kill["split"] == pytest.approx((12 * 0.7 + 24 * 0.055) / math.log(10))
    assert kill["single"] > 1.5 * kill["split"]


def mouse() -> Drugs:
    found = tables("mouse")
    return Drugs(found.drugs, found.radiation)


def test_dormant_stem_cells_outlive_a_dose_that_kills_the_others() -> None:
    """Two populations by hand: each survives by its own parameters, and the mixture adds up."""
    lq, target = tables("mouse").radiation, RADIATION_TARGETS.index("hsc_quiescent")
    rule = lq.resistant[target]
    for gy in (1.0, 5.0, 9.5):
        drugs = mouse()
        drugs.irradiate(gy)
        sensitive = (1 - rule.share) * math.exp(-lq.alpha[target] * gy - lq.beta[target] * gy * gy)
        dormant = rule.share * math.exp(-rule.alpha * gy - rule.beta * gy * gy)
        assert math.exp(-drugs.kills(1.0)[1][target]) == pytest.approx(sensitive + dormant)
        drugs.pass_step(1e-6)
        assert drugs.resistant[target] == pytest.approx(dormant / (sensitive + dormant))
    others = np.delete(drugs.resistant, target)
    assert (others == 0.0).all()


def test_the_second_fraction_meets_what_the_first_has_left() -> None:
    """Sensitive cells are gone after the first; the mixture comes back within weeks."""
    target = RADIATION_TARGETS.index("hsc_quiescent")
    rule = tables("mouse").radiation.resistant[target]
    drugs, kills = mouse(), []
    for _ in range(2):
        drugs.irradiate(5.0)
        kills.append(drugs.kills(1.0)[1][target])
        drugs.pass_step(1.0)
    assert kills[1] == pytest.approx(rule.alpha * 5.0 + rule.beta * 25.0, rel=0.01)
    assert kills[1] < kills[0]
    share = drugs.resistant[target]
    drugs.pass_step(24.0 * rule.days)
    assert drugs.resistant[target] == pytest.approx(rule.share + (share - rule.share) * math.exp(-1.0))
    for _ in range(3):
        drugs.irradiate(50.0)  # far beyond the last cell
    assert np.isfinite(drugs.kills(1.0)[1]).all()


def test_conditioning_reaches_the_strength_expected_of_it() -> None:
    found = tables().drugs
    log10 = {target: found["busulfan"].log10_kill[i] + 0.6 * found["cyclophosphamide"].log10_kill[i]
             for i, target in enumerate(DRUG_TARGETS)}  # fmt: skip
    assert 3 < log10["hsc_quiescent"] < 4.5
    assert 3 <= log10["leukaemia_cycling"] <= 4
    assert 1 < log10["t_resting"] < 2
    assert 0 < log10["maturing"] < 0.5, "most cells past their last division are spared"


def test_hazards_of_chosen_kinds() -> None:
    body = make_body()
    live(body, 1 / 24, doses=[Dose("drug", "melphalan", 1.0)])
    table = body.drug_hazards([Kind.HSC])
    assert (table[Kind.HSC] > 0).all()
    assert np.count_nonzero(table) == 2
    assert (make_body().drug_hazards() == 0).all()


def test_every_kind_has_targets() -> None:
    for kind in Kind:
        if kind is not Kind.EMPTY:
            for cycle in Cycle:
                lymphocyte = is_motile(kind) and kind is not Kind.MACROPHAGE
                assert drug_target(kind, cycle).startswith("t_") == lymphocyte
                assert radiation_target(kind, cycle).startswith("lymphocyte") == lymphocyte


def test_atg_kills_t_cells_of_host_and_graft() -> None:
    body = make_body()
    live(body, 1 / 24, doses=[Dose("drug", "atg", 1.0)])
    live(body, 3)
    host = [body.lymphocytes.pools[INDEX[kind], Origin.HOST] for kind in T_CELLS]
    left = tables().drugs["atg"]
    killed = 2.0 * (1 - math.exp(-left.rate * 72))
    assert math.log10(7e11 / total(host)) == pytest.approx(killed, abs=0.1)
    live(body, 1 / 24, doses=[Dose("graft", "blood", cd34=3e8, cd3=2e10)])
    live(body, 4)
    donor = total(body.lymphocytes.pools[INDEX[kind], Origin.DONOR] for kind in T_CELLS)
    assert donor < 0.5 * 2e10
    assert body.allo.precursors[GVH] < 0.5 * 2e10 * tables().donors["sibling"].graft_versus_host


def test_total_body_irradiation_spares_memory_cells() -> None:
    body = make_body()
    live(body, 1 / 24, doses=[Dose("radiation", "tbi", 4.0)])
    live(body, 1 / 24)
    pools = body.lymphocytes.pools[:, Origin.HOST] / make_body().lymphocytes.pools[:, Origin.HOST]
    assert pools[INDEX[Kind.CD8_NAIVE]] == pytest.approx(math.exp(-6.0), rel=0.01)
    assert pools[INDEX[Kind.CD8_MEMORY]] == pytest.approx(math.exp(-1.8), rel=0.01)


def test_immunosuppressants_inhibit_together() -> None:
    drugs = fresh()
    drugs.set_level(drugs.index("ciclosporin"), 0.6)
    assert drugs.inhibition("activation") == pytest.approx(0.6)
    drugs.set_level(drugs.index("tacrolimus"), 0.5)
    assert drugs.inhibition("activation") == pytest.approx(0.8)
    drugs.set_level(drugs.index("mycophenolate"), 1.0)
    assert drugs.inhibition("proliferation") == pytest.approx(0.6)
    assert drugs.inhibition("killing") == 0.0
    assert drugs.concentrations()["tacrolimus"] == 0.5


def test_conditioning_hurts_gut_and_thymus_and_heals() -> None:
    body = make_body(Person(donor="twin"))
    live(body, 1, doses=[Dose("drug", "melphalan", 1.0)])
    hurt = body.observables()
    assert hurt["inflammation"] > 0.4
    assert hurt["gut"] < 0.85
    assert hurt["thymus"] < 0.9
    assert hurt["gvhd_grade"] == 0
    live(body, 60, step_h=4.0)
    assert body.observables()["gut"] > 0.99


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_tables_load(species: str) -> None:
    found = tables(species)
    assert len(found.drugs) == {"human": 28, "mouse": 15}[species]
    human_only = {"cd34_edited"} if species == "human" else set()
    sources = {"marrow", "blood", "cord", "marrow_t_depleted", "cd34_selected", "edited", *human_only}
    assert set(found.sources) == sources
    assert set(found.grafts) == {*found.sources, "dli", "treg"}
    assert len(found.donors) == 7
    for name in ("twin", "autologous"):
        assert found.donors[name].graft_versus_host == found.donors[name].host_versus_graft == 0.0


def broken(tmp_path: Path, table: str, old: str, new: str) -> Path:
    shutil.copy(FOLDER / "human" / table, tmp_path)
    change(tmp_path, table, old, new)
    return tmp_path


def test_wrong_tables_are_named(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "human" / "radiation.csv", tmp_path / "radiation.csv")
    for table, read, old, new, message in (
        ("drugs.csv", read_drugs, "busulfan,progenitor,", "busulfan,progenitr,", "mean progenitor"),
        ("drugs.csv", read_drugs, "busulfan,progenitor,", "busulfan,hsc_cycling,", "stands twice"),
        ("drugs.csv", read_drugs, "busulfan,reference_dose,3.2,,,mg/kg", "busulfan,reference_dose,3.2,,,g", "name 'g'"),
        ("drugs.csv", read_drugs, "ciclosporin,activation,1.0", "ciclosporin,activation,1.5", "<= 1"),
        ("drugs.csv", read_drugs, "ciclosporin,activation", "ciclosporin,half_life", "unknown name '1'"),
        ("drugs.csv", read_drugs, "tacrolimus,activation,1.0,,,1", "tacrolimus,half_life,1.0,,,h", "tacrolimus lacks"),
        ("radiation.csv", read_radiation, "progenitor,alpha,0.8", "progenitor,alpha,-1", ">= 0"),
        ("radiation.csv", read_radiation, "progenitor,beta", "progenitor,injury", "unknown name"),
        ("radiation.csv", read_radiation, "hsc_cycling,alpha", "hsc_quiescent,alpha", "stands twice"),
        ("radiation.csv", read_radiation, "hsc_cycling,alpha", "hsc_quiescent,resistant_share", "unknown name '1/Gy'"),
        ("drugs.csv", out_of_range, "progenitor,3.5,3,4", "progenitor,3.5,5,4", "low: expected at most"),
        ("drugs.csv", out_of_range, "progenitor,3.5,3,4", "progenitor,3.5,x,4", "low: expected a number"),
        ("drugs.csv", read_drugs, "phase_reference,1", "phase_reference,0", "expected a number >= 1e-09"),
        ("drugs.csv", read_drugs, "phase_reference,1,,,1/d", "phase_reference,1,,,1/h", "unknown name '1/h'"),
        ("drugs.csv", read_drugs, "methotrexate,megakaryocyte,0.10", "methotrexate,megakaryocyte,-1", "number >= 0"),
        ("drugs.csv", read_drugs, "megakaryocyte,0.10,,,log10", "megakaryocyte,0.35,,,1/h", "unknown name '1/h'"),
        ("drugs.csv", read_drugs, "value,low,high,unit", "value,lo,high,unit", "did you mean low"),
        ("grafts.csv", read_grafts, "blood,HSC,0.02", "blood,HSC,0.03", "add up to"),
        ("grafts.csv", read_grafts, "blood,HSC,", "blood,HSK,", "did you mean HSC"),
        ("body.csv", read_body, "red_cell_stages,12", "red_cell_stages,1.5", "red_cell_stages: expected a whole"),
        ("body.csv", read_body, "epo_half_life,6", "epo_half_life,0", "epo_half_life: expected a number > 0"),
        ("body.csv", read_body, "anc,4.0,1e9/L", "anc,4.0,1e6/L", "expected in '1e9/L'"),
        ("donors.csv", read_donors, "sibling,shares_antigens", "sibling,ubiquitous_share", "stands twice"),
        ("donors.csv", read_donors, "graft_versus_host,0.005,", "graft_versus_host,1.5,", "found '1.5'"),
        ("donors.csv", read_donors, "twin,shares_antigens", "twn,shares_antigens", "lacks"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=table) as caught:
            read(broken(tmp_path, table, old, new))
        assert message in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "resistant_beta,0.05",
            "resistant_gamma,0.05",
            "unknown name 'resistant_gamma' (did you mean resistant_alpha?)",
        ),
        ("resistant_days,40,28,56,d", "resistant_days,0,0,56,d", "expected a number >= 1e-09, found '0'"),
        (
            "hsc_quiescent,resistant_days",
            "hsc_cycling,resistant_days",
            "the table lacks resistant_days of hsc_quiescent",
        ),
    ],
)
def test_wrong_resistant_shares_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = copied(tmp_path, "mouse")
    change(folder, "radiation.csv", old, new)
    with pytest.raises(ConfigError, match=r"radiation.csv:\d+: ") as caught:
        read_radiation(folder)
    assert message in str(caught.value)


def test_missing_row_of_a_drug(tmp_path: Path) -> None:
    row = next(
        line for line in (FOLDER / "human" / "drugs.csv").read_text().splitlines() if "busulfan,maturing" in line
    )
    with pytest.raises(ConfigError, match="busulfan lacks maturing"):
        read_drugs(broken(tmp_path, "drugs.csv", row + "\n", ""))


def test_log_kill_per_course_is_what_the_literature_gives() -> None:
    """Courses as given: (drug, share of the reference course, target, log10 range)."""
    found = tables().drugs
    for name, courses, target, low, high in (
        ("busulfan", 0.5, "hsc_quiescent", 1.5, 2.0),
        ("melphalan", 200 / 140, "hsc_quiescent", 2.0, 2.5),
        ("melphalan", 1.0, "progenitor", 2.9, 3.1),
        ("atg", 1.0, "t_resting", 1.9, 2.1),
        ("alemtuzumab", 1.0, "t_resting", 2.9, 3.1),
        ("docetaxel", 1.0, "progenitor", 1.5, 2.0),
        ("fludarabine", 1.0, "t_resting", 1.0, 1.5),
    ):
        assert low <= courses * found[name].log10_kill[DRUG_TARGETS.index(target)] <= high, (name, target)
    pair = [found[name].log10_kill for name in ("cytarabine", "daunorubicin")]
    seven_three = [sum(both) for both in zip(*pair, strict=True)]
    induction = dict(zip(DRUG_TARGETS, seven_three, strict=True))
    assert 0.2 <= induction["hsc_cycling"] <= 0.5
    assert 2.5 <= induction["progenitor"] <= 3.0
    assert 2.0 <= induction["leukaemia_cycling"] <= 5.0


def test_a_drug_of_one_phase_kills_as_often_as_cells_pass_it() -> None:
    found = tables()
    drugs = Drugs(found.drugs, found.radiation, {Kind.MYELOCYTE: 1.0, Kind.MPP: 0.2, Kind.MEGAKARYOCYTE: 0.0})
    for name, scales in (("docetaxel", True), ("busulfan", False)):
        drugs.remaining[:] = 0.0
        drugs.give(name, 1.0)
        log10 = drugs.cell_kills(1e4) / math.log(10)
        full = found.drugs[name].log10_kill[DRUG_TARGETS.index("progenitor")]
        assert log10[Kind.MYELOCYTE, 1] == pytest.approx(full)
        assert log10[Kind.CMP, 1] == pytest.approx(full)  # rate not known: as the class
        assert log10[Kind.MPP, 1] == pytest.approx(full * (0.2 if scales else 1.0))
        assert log10[Kind.MEGAKARYOCYTE, 0] == pytest.approx(0.0 if scales else 0.3)
        hsc = found.drugs[name].log10_kill[DRUG_TARGETS.index("hsc_cycling")]
        assert log10[Kind.HSC, 1] == pytest.approx(hsc)


def test_cells_that_are_driven_to_divide_pass_the_phase_of_a_drug_more_often() -> None:
    found = tables()
    drugs = Drugs(found.drugs, found.radiation, {Kind.GMP: 0.5})
    pace = np.ones(N_KINDS)
    pace[[Kind.GMP, Kind.MEGAKARYOCYTE, Kind.HSC, Kind.NEUTROPHIL]] = 3.0
    for name, times in (("cytarabine", 3.0), ("busulfan", 1.0)):
        drugs.remaining[:] = 0.0
        drugs.give(name, 1.0)
        usual, driven = drugs.variant_kills(1e4)[0], drugs.variant_kills(1e4, pace)[0]
        assert driven[Kind.GMP, 1] == pytest.approx(times * usual[Kind.GMP, 1])
        assert driven[Kind.MEGAKARYOCYTE, 1] == pytest.approx(times * usual[Kind.MEGAKARYOCYTE, 1])
        unchanged = np.delete(driven - usual, [Kind.GMP, Kind.MEGAKARYOCYTE], axis=0)
        assert (unchanged == 0.0).all()  # stem cells, whose kill by cycle is a number of its own, and mature cells too


def test_the_pace_of_division_follows_the_growth_factors() -> None:
    rules = load_rules(FOLDER / "human")
    usual = dict(BODY_SIGNALS)
    assert rules.pace(usual) == pytest.approx(1.0)
    driven = rules.pace(usual | {"flt3l": 20.0, "gcsf": 100.0, "tpo": 20.0})
    rates = rules.rates(usual | {"flt3l": 20.0, "gcsf": 100.0, "tpo": 20.0}, np.zeros((N_KINDS, 2)), 1.0).wild
    before = rules.rates(usual, np.zeros((N_KINDS, 2)), 1.0).wild
    for kind, behaviour in ((Kind.MPP, Behaviour.DIVIDE), (Kind.MYELOBLAST, Behaviour.DIVIDE),
                            (Kind.MKP, Behaviour.DIVIDE), (Kind.MEGAKARYOCYTE, Behaviour.MATURE)):  # fmt: skip
        faster = float(rates[kind * 2 + 1, behaviour] / before[kind * 2 + 1, behaviour])
        assert driven[kind] == pytest.approx(faster, rel=1e-6)
        assert faster > 1.3
    assert driven[Kind.PRE_B] == 1.0


def test_megakaryocytes_die_of_what_acts_on_dna_that_is_copied_and_not_of_spindle_poisons_or_busulfan() -> None:
    """Thrombocytopenia is usual after cytarabine and methotrexate, rare after docetaxel, late after busulfan."""
    found = tables()
    drugs = Drugs(found.drugs, found.radiation, {Kind.MEGAKARYOCYTE: 0.0})
    for name, least, most in (
        ("cytarabine", 1.0, 1.0), ("methotrexate", 1.0, 1.0), ("docetaxel", 0.0, 0.0), ("busulfan", 0.0, 0.15),
        ("melphalan", 1.0, 1.0),
    ):  # fmt: skip
        drugs.remaining[:] = 0.0
        drugs.give(name, 1.0)
        full = found.drugs[name].log10_kill[DRUG_TARGETS.index("progenitor")] * math.log(10)
        killed = drugs.cell_kills(1e4)[Kind.MEGAKARYOCYTE, 0] / full
        assert least - 1e-9 <= killed <= most + 1e-9, name
