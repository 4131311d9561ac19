"""Events that cannot both be meant are one line; those that do nothing, or harm what was given, are noted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from abm import resources
from abm.config import Config, load_config
from abm.config_events import Art, Cells, Chemo, Drug, Graft, Stop, Tbi, Timed, Treat
from abm.errors import ConfigError
from abm.model.contradictions import contradiction
from abm.model.unusual import unusual
from abm.notes import notes
from abm.setup import load_model
from tests.unit.body_case import tables

SCENARIOS = sorted(Path(resources.folder("scenarios")).glob("*.toml"))
GRAFT = Graft(day=0, action="graft", source="blood")
CAR_T = Cells(day=30, action="cells", product="car_t", receptor="CAR_CD19")


def treat(drug: str = "prednisolone", **changes: object) -> Treat:
    usual = {"day": 0, "action": "treat", "grade": 2, "days": 14, "taper_days": 56}
    return Treat.model_validate(usual | {"drug": drug, **changes})


def drug(**changes: object) -> Drug:
    usual = {"day": 0, "action": "drug", "drug": "ciclosporin", "level": 0.6, "until_day": 90}
    return Drug.model_validate(usual | changes)


def art(**changes: object) -> Art:
    return Art.model_validate({"day": 0, "action": "art", **changes})


def said(events: Iterable[Timed]) -> list[tuple[str, str]]:
    return list(unusual(list(events), tables()))


@pytest.mark.parametrize(
    ("first", "second", "key", "message"),
    [
        (drug(), drug(until_day=50), "drug", "ciclosporin: level 0.6 until day 50 on day 0, but level 0.6"),
        (art(), art(adherence=0.3), "adherence", "antiretroviral therapy: adherence 0.3 on day 0, but adherence 1 in"),
        (
            art(),
            art(until_day=9),
            "adherence",
            "antiretroviral therapy: adherence 1 until day 9 on day 0, but adherence 1 in",
        ),
        (
            treat(),
            treat(days=7),
            "drug",
            "prednisolone that waits: level 1 for 7 d and 56 d of taper against gvhd of grade 2 on day 0",
        ),
        (
            treat(),
            treat(against="crs"),
            "drug",
            "prednisolone that waits: level 1 for 14 d and 56 d of taper against crs of grade 2 on day 0",
        ),
    ],
)  # fmt: skip
def test_two_wishes_on_one_day_contradict(first: Timed, second: Timed, key: str, message: str) -> None:
    found = contradiction([first, GRAFT, second], step_h=1.0)
    assert found is not None
    assert found[0] == f"events.2.{key}"
    assert found[1].startswith(message)
    assert found[1].endswith("in events[0]")
    later = second.model_copy(update={"day": 5.0})
    assert contradiction([first, later], step_h=1.0) is None, "a later wish replaces the first"
    assert contradiction([first, first], step_h=1.0) is None, "the same twice is noted and no contradiction"


def test_a_course_that_is_stopped_on_its_first_day_contradicts_itself() -> None:
    course = Chemo(day=0, action="chemo", drug="imatinib", dose_mg=400, doses=30)
    stop = Stop(day=0, action="stop", drug="imatinib")
    message = "imatinib is stopped on day 0, on which events[0] begins it"
    assert contradiction([course, GRAFT, stop], step_h=1.0) == ("events.2.drug", message)
    assert contradiction([course, stop.model_copy(update={"day": 9.0})], step_h=1.0) is None
    earlier = course.model_copy(update={"day": -9.0})
    assert contradiction([earlier, stop, course], step_h=1.0) is None, "one dose ends, another begins"


def test_a_contradiction_is_one_line_of_the_scenario(tmp_path: Path) -> None:
    case = tmp_path / "case.toml"
    events = ['day = 0\naction = "art"\nadherence = 0.9', 'day = 0\naction = "art"\nadherence = 0.2']
    case.write_text('[patient]\ninfection = "hiv"\n' + "".join(f"[[events]]\n{text}\n" for text in events))
    with pytest.raises(ConfigError) as caught:
        load_model(load_config(case))
    line = "events[1].adherence: antiretroviral therapy: adherence 0.2 on day 0, but adherence 0.9 in events[0]"
    assert str(caught.value) == f"{case}:10: {line}"


def test_a_drug_that_does_nothing_to_what_it_waits_for_is_noted() -> None:
    assert said([treat()]) == []
    assert said([treat("tocilizumab")]) == [("events.0.drug", "tocilizumab does nothing to gvhd (drugs.csv)")]
    assert said([treat("meropenem", against="fever")]) == []
    assert said([treat("prednisolone", against="fever")]) == [
        ("events.0.drug", "prednisolone does nothing to fever (drugs.csv)")
    ]


def test_cytokine_release_needs_engineered_cells() -> None:
    order = treat("tocilizumab", against="crs")
    nothing = [("events.0.against", "no event gives engineered T cells: there is no cytokine release")]
    assert said([order]) == nothing
    assert said([order, Cells(day=30, action="cells", product="dli", cd3_per_kg=1e7)]) == nothing
    assert said([order, CAR_T]) == []


def test_an_order_that_replaces_another_is_noted() -> None:
    later = treat(day=20, against="crs")
    message = "replaces the order of prednisolone in events[0]: a drug waits for one thing"
    assert said([treat(), CAR_T, later]) == [("events.2.drug", message)]
    assert said([treat(), CAR_T, treat("tocilizumab", day=20, against="crs")]) == []


def test_a_drug_given_at_a_level_no_longer_waits_and_that_is_noted() -> None:
    order = treat(day=0)
    message = "prednisolone no longer waits from day {} on: events[1] sets its level"
    for changes, day in (
        ({"day": 9}, 9),
        ({"day": -5, "until_day": 20}, 20),
        ({"day": 0, "until_day": 20, "taper_days": 4}, 16),
    ):
        level = drug(drug="prednisolone", **changes)
        assert said([order, level]) == [("events.0.drug", message.format(day))]
    over = drug(drug="prednisolone", day=-5, until_day=-1)
    assert said([order, over, drug()]) == []


def patient(tmp_path: Path, event: str, disease: str = "all") -> list[str]:
    """Return what is noted of one event in a patient with leukaemia, without the name of the file."""
    case = tmp_path / "case.toml"
    case.write_text(f'[patient]\ndisease = "{disease}"\nblast_fraction = 0.1\n[[events]]\nday = 0\n{event}\n')
    found = notes(load_config(case))
    return [note.removeprefix(f"{case}:") for note in found if note.startswith(str(case))]


def test_a_drug_that_kills_no_leukaemia_of_this_kind_is_noted(tmp_path: Path) -> None:
    imatinib = 'action = "chemo"\ndrug = "imatinib"\ndose_mg = 400'
    message = "7: events[0].drug: imatinib kills no leukaemia of this patient; it does with patient.disease = cml"
    assert patient(tmp_path, imatinib) == [message]
    assert patient(tmp_path, imatinib, "cml") == []
    assert patient(tmp_path, 'action = "chemo"\ndrug = "cytarabine"\ndose_mg_per_m2 = 100') == []


def test_a_product_that_sees_itself_is_noted(tmp_path: Path) -> None:
    product = 'action = "cells"\nproduct = "car_t"\nreceptor = "CAR_CD45"'
    message = "8: events[0].receptor: the product shows what CAR_CD45 sees, so that none of it outlives its culture"
    assert [note.startswith(message) for note in patient(tmp_path, product)] == [True]
    assert patient(tmp_path, f'{product}\nlacks = ["CD45"]') == []
    assert patient(tmp_path, product.replace("CD45", "CD19")) == []


def test_a_mouse_that_weighs_as_much_as_a_man_is_noted() -> None:
    mouse = Config.model_validate({"patch": {"species": "mouse"}})
    assert "patient.weight_kg: found 70 kg; a mouse has about 0.025 kg (body.csv)" in notes(mouse)
    light = mouse.model_copy(update={"patient": mouse.patient.model_copy(update={"weight_kg": 0.02})})
    assert not any("weight_kg" in note for note in notes(light))


def test_irradiation_of_a_graft_is_noted() -> None:
    irradiation = Tbi(day=1, action="tbi", dose_gy=2.0)
    message = "irradiates the graft of day 0, and no other follows"
    assert said([GRAFT, irradiation]) == [("events.1.day", message)]
    assert said([GRAFT, irradiation.model_copy(update={"day": -1.0})]) == []
    assert said([GRAFT, irradiation, GRAFT.model_copy(update={"day": 2.0})]) == []


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_no_shipped_scenario_contradicts_itself_or_needs_a_second_look(path: Path) -> None:
    config = load_config(path)
    assert contradiction(config.events, config.step_h) is None
    assert [note for note in notes(config) if "outside" not in note] == [], "but for odd doses, which are meant"


@pytest.mark.parametrize(
    ("action", "drug", "says"),
    [
        ("chemo", "blinatumomab", 'a drug of drugs.csv, found "blinatumomab" (it is an antibody: action = "antibody")'),
        (
            "antibody",
            "busulfan",
            'an antibody of antibodies.csv, found "busulfan" (it is a drug of drugs.csv: action = "chemo" or "drug")',
        ),
    ],
)
def test_a_drug_under_the_wrong_action_is_told_which_is_right(
    tmp_path: Path, action: str, drug: str, says: str
) -> None:
    path = tmp_path / "case.toml"
    path.write_text(f'[[events]]\nday = 0\naction = "{action}"\ndrug = "{drug}"\ndose_mg = 1\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}:4: events[0].drug: expected {says}"
