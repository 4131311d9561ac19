"""Diseases with a targeted drug, as rows: chronic myeloid leukaemia and imatinib, AML and a FLT3 inhibitor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm.backends.numpy_backend import NumpyBackend
from abm.cells import Antigen, Count, Cycle, Kind, Origin
from abm.config import Config, load_config
from abm.errors import ConfigError
from abm.model.body.mortality import Illness, Mortality
from abm.model.body.parameters import MortalityRules, section
from abm.setup import load_model
from abm.step import Simulation
from abm.well_mixed import WellMixed

CML: dict[str, Any] = {
    "seed": 3,
    "patch": {"shape": [18, 16, 16]},
    "time": {"start_day": 0.0, "end_day": 30.0, "step_min": 240},
    "patient": {"disease": "cml", "blast_fraction": 0.5},
}
IMATINIB = {"day": 0.0, "action": "chemo", "drug": "imatinib", "dose_mg": 400.0, "doses": 30}
ON = {"events": [IMATINIB]}


def leukaemic(sim: Simulation) -> int:
    return int(sim.last[Count.POPULATION, [Kind.LSC, Kind.BLAST]].sum())


def test_progenitors_mature_and_show_what_myeloid_cells_show() -> None:
    rules = load_model(Config.model_validate(CML)).rules
    assert rules.fates[Kind.BLAST] == ((Kind.METAMYELOCYTE, 1.0),)
    shown = rules.recognition.shown(Kind.BLAST, Origin.HOST, donor_is_self=True)
    assert {Antigen.CD33, Antigen.LEUKAEMIA_NEO} <= shown.keys()
    leukaemic = {key: n for key, n in rules.heredity.variants.names.items() if key[0] is not Kind.HSC}
    assert leukaemic == {(Kind.LSC, "t315i"): 1, (Kind.BLAST, "t315i"): 1}


def test_imatinib_kills_cycling_cells_of_cml_alone_and_not_those_with_t315i() -> None:
    sim = Simulation.start(Config.model_validate(CML), NumpyBackend())
    sim.body.drugs.give("imatinib", 1.0)
    wild, mutant = sim.body.drugs.variant_kills(1e4)[:2]
    assert wild[Kind.BLAST, Cycle.CYCLING] == pytest.approx(0.052 * np.log(10), rel=1e-3)
    assert wild[Kind.LSC, Cycle.QUIESCENT] == 0.0
    assert not mutant[[Kind.LSC, Kind.BLAST]].any()
    assert wild[[Kind.HSC, Kind.METAMYELOCYTE]].max() == 0.0
    np.testing.assert_array_equal(
        np.delete(wild, [Kind.LSC, Kind.BLAST], 0), np.delete(mutant, [Kind.LSC, Kind.BLAST], 0)
    )
    aml = Simulation.start(Config.model_validate(CML | {"patient": {"disease": "aml"}}), NumpyBackend())
    aml.body.drugs.give("imatinib", 1.0)
    assert aml.body.drugs.cell_kills(1e4)[Kind.BLAST].max() == 0.0


def test_leukaemia_falls_on_imatinib_and_not_without(backend: Any) -> None:
    """In three patients together: so small a patch gains or loses a fifth of its leukaemia by chance."""
    start = treated = untreated = 0
    for seed in (1, 2, 3):
        patients = [Simulation.start(Config.model_validate(CML | {"seed": seed} | more), backend) for more in ({}, ON)]
        start += leukaemic(patients[0])
        while not patients[0].over:
            for patient in patients:
                patient.advance()
        untreated, treated = (n + leukaemic(p) for n, p in zip((untreated, treated), patients, strict=True))
    assert treated < 0.6 * start
    assert untreated > 0.8 * start


def test_a_course_of_ten_years_is_one_event() -> None:
    event = IMATINIB | {"doses": 3650}
    config = Config.model_validate(CML | {"time": {"start_day": 0.0, "end_day": 3650.0}, "events": [event]})
    given = [dose for doses in load_model(config).schedule for dose in doses]
    assert len(given) == 3650
    assert {dose.amount for dose in given} == {1.0}


def test_a_dose_in_the_wrong_unit_is_one_line(tmp_path: Path) -> None:
    case = tmp_path / "case.toml"
    case.write_text(
        "[time]\nstart_day = 0\nend_day = 3\n[[events]]\nday = 0\n"
        'action = "chemo"\ndrug = "imatinib"\ndose_mg_per_m2 = 400\n'
    )
    with pytest.raises(ConfigError, match=r"case.toml:8: .*imatinib has no reference dose in mg/m2; use dose_mg"):
        load_model(load_config(case))


def test_a_flt3_inhibitor_kills_what_depends_on_flt3() -> None:
    kills = {}
    for disease in ("aml", "aml_flt3"):
        patient = {"disease": disease, "blast_fraction": 0.3}
        sim = Simulation.start(Config.model_validate(CML | {"patient": patient}), NumpyBackend())
        sim.body.drugs.give("gilteritinib", 1.0)
        kills[disease] = sim.body.drugs.variant_kills(1e5)[:, Kind.BLAST, Cycle.CYCLING]
    assert not kills["aml"].any()
    wild, cytarabine_resistant, ras_mutant, f691l = kills["aml_flt3"]
    assert wild == cytarabine_resistant == pytest.approx(0.076 * np.log(10), rel=1e-3)
    assert ras_mutant == 0.0 < f691l < 0.5 * wild


def test_ras_mutants_grow_out_on_a_flt3_inhibitor(backend: Any) -> None:
    event = IMATINIB | {"drug": "gilteritinib", "dose_mg": 120.0}
    patient = {"disease": "aml_flt3", "blast_fraction": 0.5, "preexisting_mutants": 2.5e4}  # half a percent
    changes = {"patient": patient, "patch": {"shape": [24, 24, 24]}}
    sim = Simulation.start(Config.model_validate(CML | changes | {"events": [event]}), backend)
    before, start = sim.record().values["variant_2"], leukaemic(sim)
    while not sim.over:
        sim.advance()
    after = sim.record().values["variant_2"]
    assert leukaemic(sim) * (1.0 - after) < 0.7 * start * (1.0 - before)
    assert after > 2.0 * before > 0.0


def test_a_flt3_inhibitor_halves_the_platelets_of_a_healthy_marrow_and_leaves_neutrophils() -> None:
    """Remissions without recovered platelets are as frequent as those with them (target O65)."""
    event = IMATINIB | {"drug": "gilteritinib", "dose_mg": 120.0, "doses": 100}
    time = CML["time"] | {"end_day": 100.0}
    patient = WellMixed(Config.model_validate(CML | {"time": time, "patient": {}, "events": [event]}))
    while not patient.over:
        patient.advance()
    found = patient.body.observables()
    assert 60.0 < found["platelets"] < 95.0
    assert found["anc"] > 1.0


def days_to_live(disease: str) -> float:
    """Return the median survival in days with a marrow packed with this leukaemia and normal counts."""
    values = load_model(Config.model_validate(CML | {"patient": {"disease": disease}})).tables.values
    counts = (4.0, 190.0, 145.0)
    hazards = Mortality(section(MortalityRules, values, values["reference_weight"]), *counts).hazards
    return float(np.log(2.0) / hazards(*counts, Illness(leukaemia=1.6)).sum())


def test_aml_that_relapsed_under_care_kills_half_within_three_months() -> None:
    assert 75.0 < days_to_live("aml_flt3") < 110.0
    assert days_to_live("aml") < 0.6 * days_to_live("aml_flt3")
