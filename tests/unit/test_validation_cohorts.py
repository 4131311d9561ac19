"""Patients drawn from priors, and the scores of their cohorts."""

from __future__ import annotations

import re
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest

from abm.config import load_config
from abm.errors import ConfigError
from abm.validation import cases, experiments, patient, score, targets
from abm.validation import statistics as stats
from abm.validation.protocols import Protocol
from tests.unit.validation_case import adults, write


@pytest.fixture
def protocols(tmp_path: Path) -> dict[str, Protocol]:
    return dict(targets.read_catalogue(write(tmp_path)).protocols)


def test_patients_differ_within_the_limits_and_stay_the_same(protocols: dict[str, Protocol]) -> None:
    first, again = (adults(200, protocols=protocols) for _ in range(2))
    assert first == again
    weights = np.array([dict(case.drawn)["patient.weight_kg"] for case in first])
    assert 50 <= weights.min() < weights.max() <= 90
    # normal 70 +- 10, cut at 2 standard deviations: 70 +- 8.8; the mean of 200 has an error of 0.62
    assert weights.mean() == pytest.approx(70, abs=2.5)
    assert weights.std() == pytest.approx(8.8, abs=1.5)
    assert first[0].overrides == (f"patient.weight_kg={weights[0]:.4g}",)


def test_a_patient_is_the_same_person_in_every_protocol(protocols: dict[str, Protocol]) -> None:
    other = protocols["adults"].model_copy(update={"set": ("time.end_day=9",)})
    assert [case.drawn for case in cases.cases("other", other, quick=False, seeds=4)] == [
        case.drawn for case in adults(4, protocols=protocols)
    ]


def test_the_key_follows_all_that_decides_a_result(
    protocols: dict[str, Protocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = adults(1, protocols=protocols)
    changed = {**protocols, "adults": protocols["adults"].model_copy(update={"set": ("time.end_day=9",)})}
    keys = {before.key, adults(1, protocols=changed)[0].key}
    mixed = {**protocols, "adults": protocols["adults"].model_copy(update={"well_mixed": True})}
    (without,) = adults(1, protocols=mixed)
    assert without.well_mixed
    assert not before.well_mixed
    keys.add(without.key)
    monkeypatch.setattr(cases, "rules_digest", lambda folder: "other rules")
    keys.add(adults(1, protocols=protocols)[0].key)
    monkeypatch.setattr(cases, "code_digest", lambda: "other code")
    keys.add(adults(1, protocols=protocols)[0].key)
    assert len(keys) == 5


def test_the_digest_of_the_code_knows_whatever_a_patient_runs_through() -> None:
    package = Path(cases.__file__).parent
    found, new = set(), {"patient"}
    while new:
        found |= new
        texts = [(package / f"{name}.py").read_text(encoding="utf-8") for name in new]
        imported = {name for text in texts for name in re.findall(r"from abm\.validation\.(\w+) import", text)}
        new = imported - found
    # what these decide stands in the key itself: the overrides, and what was drawn
    assert {f"validation/{name}.py" for name in found - {"cases", "draws", "protocols"}} == set(cases._INSIDE)


def test_the_key_of_an_experiment_follows_the_scenarios_it_runs(
    protocols: dict[str, Protocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    change = {"scenario": "", "experiment": "serial_transfer", "priors": {}}
    chain = protocols["mice"].model_copy(update=change)
    (before,) = cases.cases("chain", chain, quick=False, seeds=1)
    assert (before.scenario, before.experiment) == ("", "serial_transfer")
    monkeypatch.setattr(cases, "scenarios_digest", lambda: "other scenarios")
    (after,) = cases.cases("chain", chain, quick=False, seeds=1)
    assert after.key != before.key


def test_lives_of_stem_cells_are_told_as_short(protocols: dict[str, Protocol]) -> None:
    """They would else take the budget of a quick comparison, a third of a minute for each tenth of a second."""
    found = {}
    for name in ("chip_life", "lentiviral_leukaemia", "serial_transfer"):
        change = {"scenario": "", "experiment": name, "priors": {}}
        (case,) = cases.cases(name, protocols["mice"].model_copy(update=change), quick=True, seeds=1)
        found[name] = case.work_s
    assert found["lentiviral_leukaemia"] < found["chip_life"] < 1.0 < found["serial_transfer"]
    assert set(cases._EXPERIMENT_S) < set(experiments.EXPERIMENTS)


def test_events_are_dropped_and_added(protocols: dict[str, Protocol]) -> None:
    changes = {
        "scenario": "aml_hsct",
        "drop": ("busulfan", "cyclophosphamide"),
        "events": ({"day": -1, "action": "tbi", "dose_gy": 2.0},),
        "set": ("events.graft.cd34_per_kg=4e6", "events.tbi.day=0"),
    }
    (case,) = cases.cases("ric", protocols["adults"].model_copy(update=changes), quick=False, seeds=1)
    config = load_config(Path(case.scenario), case.overrides, case.seed)
    assert [event.action for event in config.events] == ["drug", "graft", "tbi"]
    assert config.events[1].cd34_per_kg == 4e6  # type: ignore[union-attr]
    assert config.events[2].day == 0


def test_priors_of_dropped_events_fall_away(protocols: dict[str, Protocol]) -> None:
    prior = protocols["adults"].priors["patient.weight_kg"]
    priors = {f"events.{name}": prior for name in ("busulfan.dose_mg_per_kg", "graft.cd34_per_kg")}
    changes = {"scenario": "aml_hsct", "drop": ("busulfan",), "priors": priors}
    (case,) = cases.cases("ric", protocols["adults"].model_copy(update=changes), quick=False, seeds=1)
    assert [key for key, _ in case.drawn] == ["events.graft.cd34_per_kg"]


def test_an_override_that_does_not_fit_names_the_protocol(protocols: dict[str, Protocol]) -> None:
    wrong = protocols["adults"].model_copy(update={"set": ("patient.wieght_kg=70",)})
    with pytest.raises(ConfigError, match=r"protocols: adults: does not fit homeostasis.toml: .*wieght_kg"):
        cases.cases("adults", wrong, quick=False, seeds=1)


# ---------------------------------------------------------------------------------------------- scores


def target(**changes: object) -> targets.Target:
    facts = {"id": "O01", "what": "x", "species": "human", "weight": 3, "source": "x", "status": "read"}
    asked_for = {"protocol": "adults", "observable": "anc", "unit": "%", "band": [0, 1]}
    stated = facts | asked_for | changes
    return targets.Target.model_validate(stated, context={"observables": list(targets.registry())})


def test_value_of_a_curve_is_the_mean_of_its_days() -> None:
    result = {"first_day": -1, "values": {}, "curves": {"anc": [9.0, 1.0, 2.0, None, 6.0]}}
    assert score.value_of(result, target(days=[0, 1])) == 1.5
    assert score.value_of(result, target(days=[1, 3])) == 4.0
    assert score.value_of(result, target(day=-1)) == 9.0
    for beyond in (target(day=4), target(days=[-2, 1]), target(day=2)):
        assert np.isnan(score.value_of(result, beyond))


def test_value_tells_never_from_not_asked() -> None:
    wanted = target(observable="anc_engraftment_day")
    for stored, expected in ((12.0, 12.0), ("never", inf), (None, nan)):
        found = score.value_of({"first_day": 0, "values": {"anc_engraftment_day": stored}, "curves": {}}, wanted)
        assert found == pytest.approx(expected, nan_ok=True)


def test_hits_of_a_share() -> None:
    values = np.array([3.0, 5.0, 95.0, 97.0, inf])
    assert list(score.is_hit(values, target(at_least=5, at_most=95))) == [False, True, True, False, False]
    assert list(score.is_hit(np.array([0.0, 1.0]), target())) == [False, True]


def _engrafted(name: str, day: float, seed: int = 1) -> patient.Result:
    return {"first_day": 0, "values": {name: day}, "curves": {}, "wall_s": 2, "cpu_s": 1, "seed": seed}


def test_cohorts_are_pooled_and_compared() -> None:
    days = {"a": [18, 19, 20, 21, 22, 23], "b": [13, 14, 15, 16, 17, 18]}
    results = {name: [_engrafted("anc_engraftment_day", day) for day in members] for name, members in days.items()}
    pooled = target(observable="anc_engraftment_day", protocol=["a", "b"], band=[0, 40])
    row = score.score(pooled, results, {})
    assert (row.estimate.value, row.estimate.n, row.cpu_s, row.wall_s) == (18.0, 12, 12.0, 24.0)
    apart = target(observable="anc_engraftment_day", protocol="a", reference="b", contrast="difference", band=[0, 10])
    assert score.score(apart, results, {}).estimate.value == 5.0
    swapped = target(observable="anc_engraftment_day", protocol="b", reference="a", contrast="reduction", band=[0, 100])
    estimate = score.score(swapped, results, {}).estimate
    assert estimate.value == pytest.approx(100.0 * 5.0 / 20.5)
    assert estimate.ci is not None
    assert estimate.ci[0] < estimate.value < estimate.ci[1]


def test_the_same_persons_are_compared_in_pairs_and_count_once() -> None:
    days = [11.0, 17, 14, 20, 12, 26]
    results = {
        "a": [_engrafted("anc_engraftment_day", day + 5, seed) for seed, day in enumerate(days)],
        "b": [_engrafted("anc_engraftment_day", day, seed) for seed, day in enumerate(days)],
    }
    apart = target(observable="anc_engraftment_day", protocol="a", reference="b", contrast="difference", band=[0, 10])
    assert score.score(apart, results, {}).estimate == (5.0, (5.0, 5.0), 6), "each of them needs five days more"
    early = target(
        observable="anc_engraftment_day", protocol=["a", "b"], statistic="share", at_most=16, unit="%", band=[0, 99]
    )
    assert score.score(early, results, {}).estimate == (
        pytest.approx(100 * 4 / 12),
        pytest.approx(stats.share(2, 6).ci),
        12,
    )


def test_groups_of_one_cohort_are_compared() -> None:
    """An observable against another one, which other patients of the same cohort have."""
    values = [("anc_engraftment_day", d) for d in range(20, 27)] + [
        ("platelet_engraftment_day", d) for d in range(10, 17)
    ]
    results = {"a": [_engrafted(name, day) for name, day in values]}
    apart = target(
        observable="anc_engraftment_day", against="platelet_engraftment_day",
        protocol="a", reference="a", contrast="difference", band=[0, 20],
    )  # fmt: skip
    row = score.score(apart, results, {})
    assert (row.estimate.value, row.estimate.n) == (10.0, 7)
    assert row.cpu_s == 14.0, "patients of one cohort count once"


def test_displacements_are_followed_around_the_box() -> None:
    """Two walkers, one a step of 3 along x every hour and across the border, one at rest: mean of 12**2 and 0."""
    hours = np.arange(25)
    tracks = np.zeros((25, 2, 3), np.int64)
    tracks[:, 0, 2] = (40 + 3 * hours) % 48
    assert experiments.mean_square(tracks) == pytest.approx(12**2 / 2)


def test_gammaretroviral_vectors_give_leukaemia_in_some_and_lentiviral_ones_in_none() -> None:
    """Eight years of 1e5 stem cells; 5 of 10 and 4 of 10 patients is what 40 % may look like, 0 and 10 are not."""
    measured = {
        vector: [experiments.EXPERIMENTS[f"{vector}_leukaemia"](seed) for seed in range(10)]
        for vector in ("gammaretroviral", "lentiviral")
    }
    ill = {vector: sum(result["values"]["vector_leukaemia"] for result in made) for vector, made in measured.items()}
    assert 1 <= ill["gammaretroviral"] <= 9
    assert ill["lentiviral"] == 0
