"""A cohort of `abm validate` that is truly simulated, small and short."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from abm import config
from abm.step import Simulation
from abm.validation import cases, experiments, targets, work
from abm.validation.patient import Result, simulate
from tests.conftest import absence
from tests.unit.validation_case import PROTOCOLS, write

SMALL = 'set = ["patch.shape=[16,16,16]", "time.end_day=3"]\nseeds = 3'


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = write(tmp_path_factory.mktemp("targets"), protocols=PROTOCOLS.replace("seeds = 3", SMALL, 1))
    protocol = targets.read_catalogue(folder).protocols["adults"]
    (case,) = cases.cases("adults", protocol, quick=False, seeds=1)
    found = simulate(case)
    assert json.loads(json.dumps(found, allow_nan=False))["key"] == case.key
    return found


def test_every_observable_of_a_healthy_patient_is_there(patient: Result) -> None:
    absent = {name for name, value in patient["values"].items() if value is None}
    treated = {name for name in targets.registry() if "_back_to_" in name} | {
        "anc_nadir",
        "anc_nadir_day",
        "days_below_1",
    }
    grafted = {"anc_engraftment_day", "platelet_engraftment_day", "platelet_50_day", "platelet_output_day"}
    grafted |= {"primary_graft_failure", "graft_lost"}
    grafted |= {f"{name}_normal_day" for name in ("nk", "cd8", "b", "cd4")} | {"subsets_in_order"}
    grafted |= {"dendritic_back_day", "innate_first"}
    grafted |= {f"acute_gvhd_{name}" for name in ("1_4", "2_4", "3_4", "onset_day")}
    grafted |= {name for name in targets.registry() if name.startswith("donor_") and name.endswith("_day")}
    grafted |= {"infections_after_graft", "viral_reactivation"}
    lives = {name for name in targets.registry() if name.startswith(("chip_", "tmn_"))} | {"vector_leukaemia"}
    chains = {"motility_ratio", "competitive_loss", "serial_transfers"}
    leukaemic = {"relapse", "leukaemia_doubling_time", "blasts_at_cytopenia"}
    ill = {name for name in targets.registry() if name.startswith(("bcr_abl_slope", "bcr_abl_halving", "hiv_", "ms_"))}
    cells = {name for name in targets.registry() if name.startswith("cart_") or "_after_lymphocytes" in name}
    cells |= {"cytokine_release_grade", "months_to_remission", "infused_t_lost", "altered_t_seen_day"}
    drugs = {name for name in targets.registry() if name.endswith("_after_antibody")}
    drugs |= {"directed_anc_nadir", "edited_share_change", "leukaemia_kill"}
    leukaemic |= {"overt_relapse_day", "overt_relapse_probability", "nonrelapse_mortality", "event_free"}
    leukaemic |= {name for name in targets.registry() if name.startswith("relapse_")}
    leukaemic |= {"haplotype_lost_chance", "any_relapse_chance"}
    leukaemic |= {"complete_remission", "composite_remission", "months_alive", "days_to_1e12_cells"}
    lacking = {"infection_rate_anc_0_1", "infection_rate_anc_0_5", "infection_rate_anc_1", "neutropenic_infection_risk"}
    others = ill | cells | drugs | lacking | {"full_donor_day", "b_cells_return_day"}
    bled = {"reticulocyte_peak_day", "reticulocyte_rise", "hb_recovery_weeks", "platelets_normal_day"}
    assert absent == treated | grafted | leukaemic | chains | lives | bled | others | {"gvhd_grade", "label_peak_day"}
    assert all(len(curve) == 4 for curve in patient["curves"].values())
    of_ill = {"bcr_abl", "bcr_abl_quarter", "mrd_flow", "mrd_pcr", "philadelphia_positive", "sledai"}
    assert set(patient["values"]) | set(patient["curves"]) == set(targets.registry()) - of_ill


def test_a_healthy_patch_starts_near_normal(patient: Result) -> None:
    """The first day of a patch that holds a dozen stem cells: within a third for counts, a half for production."""
    first = {name: curve[0] for name, curve in patient["curves"].items()}
    assert first["anc"] == pytest.approx(4.0, rel=0.33)
    assert first["neutrophil_production"] == pytest.approx(6e10, rel=0.5)
    assert first["red_cell_production"] == pytest.approx(2.1e11, rel=0.5)
    assert 100 > first["granulopoiesis"] + first["erythroblasts"] > 70


def test_no_cell_appears_or_vanishes(patient: Result) -> None:
    assert patient["values"]["unbalanced_cells"] == 0


def test_files_are_read_back_as_the_same_patient(tmp_path: Path, patient: Result) -> None:
    weight = dict(patient["drawn"])["patient.weight_kg"]
    path = cases.scenario_file(targets.read_catalogue().protocols["healthy_adult"])
    assert path is not None
    assert config.load_config(path, [f"patient.weight_kg={weight}"]).patient.weight_kg == weight
    case = cases.Case("adults", 1, "", "", (), (), patient["key"])
    work.Store(tmp_path).put(case, patient)
    assert work.Store(tmp_path).get(case) == patient


@pytest.mark.science
@pytest.mark.skipif(bool(absence("host")), reason="slow without a compiler")
def test_lone_lymphocytes_spread_as_fast_as_set() -> None:
    """3072 displacements: their mean square has an error of sqrt(2 / 3 / 3072) = 1.5 %; three of them are 4.4 %."""
    ratio = experiments.random_walk(11)["values"]["motility_ratio"]
    assert ratio == pytest.approx(1.0, abs=0.045)


def test_marrow_goes_from_mouse_to_mouse(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a small patch, with a fifth of a marrow each time: blood returns, and a poorer marrow competes less well."""
    small = ["patch.shape=[24, 24, 24]", "events.1.nucleated_per_kg=4e9", "time.end_day=30"]
    lived = experiments._lived
    seen: list[tuple[str, list[str]]] = []

    def shrunk(scenario: str, changes: list[str], seed: int) -> Simulation:
        seen.append((scenario, changes))
        more = [*changes, *small] if scenario == "mouse_serial" else [*changes, *small, "events.2.nucleated_per_kg=4e9"]
        return lived(scenario, more, seed)

    monkeypatch.setattr(experiments, "_lived", shrunk)
    monkeypatch.setattr(experiments, "_MOST_TRANSFERS", 2)
    values = experiments.serial_transfer(1)["values"]
    assert [name for name, _ in seen] == ["mouse_serial", "mouse_competitive", "mouse_serial"]
    assert seen[0][1] == []
    assert "marrow_of" in seen[1][1][0]
    assert seen[2][1] == [change for change in seen[1][1] if "marrow_of" in change], "the marrow of the first mouse"
    assert values["serial_transfers"] in (1.0, 2.0)
    assert values["competitive_loss"] == "never" or values["competitive_loss"] > 0.5
