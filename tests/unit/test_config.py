"""Scenario files: defaults, overrides, round trip, and every problem of a wrong file at once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abm import resources
from abm.config import Chemo, Config, load_config
from abm.config_lines import key_lines, line_of
from abm.errors import ConfigError

TREAT = """[[events]]
action = "treat"
drug = "ciclosporin"
day = 0
grade = 2
days = 14
taper_days = 56
"""
GRAFT = """
[[events]]
day = 0
action = "graft"
source = "blood"
cd34_per_kg = 5e6
cd3_per_kg = 2e8
"""
PURIFIED = """
[[events]]
day = 0
action = "graft"
source = "blood"
cells = { hsc = 200 }
"""
CHEMO = """
[[events]]
day = -5
action = "chemo"
drug = "busulfan"
dose_mg_per_kg = 3.2
"""


@pytest.fixture(autouse=True)
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two species with two drugs, whatever the shipped tables say."""
    for species in ("human", "mouse"):
        folder = tmp_path / "scenarios" / "rules" / species
        folder.mkdir(parents=True)
        rows = "".join(f"{drug},1,1,x,assumption\n" for drug in ("busulfan", "ciclosporin"))
        (folder / "drugs.csv").write_text("drug,p,unit,source,status\n" + rows)
        rows = "".join(f"{graft},1,1,x,assumption\n" for graft in ("blood", "cord"))
        (folder / "sources.csv").write_text("graft,p,unit,source,status\n" + rows)
        (folder / "antibodies.csv").write_text("antibody,p,unit,source,status\nblinatumomab,1,1,x,assumption\n")
        (folder / "transgenes.csv").write_text("specificity,p,unit,source,status\nTCR_TRANSGENE,1,1,x,assumption\n")
        (folder / "products.csv").write_text("product,p,unit,source,status\ncar_t,1,1,x,assumption\n")
    monkeypatch.setattr(resources, "folder", lambda name: tmp_path / name)
    return tmp_path


def load(folder: Path, text: str, *overrides: str, seed: int | None = None) -> Config:
    path = folder / "case.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides, seed)


def problems(folder: Path, text: str, *overrides: str) -> list[str]:
    """Return the lines of the error, with the folder left out."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, *overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_defaults() -> None:
    config = Config()
    assert config.patch.shape == (64, 64, 64)
    assert config.n_sites == 64**3
    assert config.step_h == 1.0
    assert config.n_steps == 190 * 24
    assert (config.day(0), config.day(config.n_steps)) == (-10.0, 180.0)


def test_file_overrides_and_seed(tmp_path: Path) -> None:
    config = load(tmp_path, CHEMO + GRAFT, "patch.shape=[8, 9, 10]", "patch.species=mouse", "events.1.day=2", seed=7)
    assert (config.patch.shape, config.patch.species, config.seed) == ((8, 9, 10), "mouse", 7)
    chemo, graft = config.events
    assert isinstance(chemo, Chemo)
    assert chemo.dose == ("dose_mg_per_kg", 3.2)
    assert graft.day == 2.0
    assert load(tmp_path, CHEMO, "events=[]").events == ()


def test_events_are_found_by_action_or_drug(tmp_path: Path) -> None:
    config = load(tmp_path, CHEMO + GRAFT, "events.busulfan.day=-3", "events.graft.cd34_per_kg=1e6")
    assert [event.day for event in config.events] == [-3.0, 0.0]
    assert config == load(tmp_path, CHEMO + GRAFT, "events.0.day=-3", "events.1.cd34_per_kg=1e6")


def test_resolved_toml_round_trips(tmp_path: Path) -> None:
    config = load(tmp_path, 'title = "a \\"b\\" \\u00e9 # c"\nseed = 18446744073709551615\n' + CHEMO + GRAFT)
    again = load(tmp_path, config.resolved_toml())
    assert again == config
    assert again.resolved_toml() == config.resolved_toml()
    assert again.digest() == config.digest()
    assert hash(again) == hash(config)


@given(
    shape=st.tuples(*[st.integers(1, 10**6)] * 3),
    weight=st.floats(1e-3, 300),
    days=st.tuples(st.integers(-3650, 0), st.integers(1, 3650)),
    cd34=st.floats(1e-9, 1e9),
    title=st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
)
def test_any_valid_config_round_trips(
    tmp_path: Path, shape: tuple[int, int, int], weight: float, days: tuple[int, int], cd34: float, title: str
) -> None:
    graft = {"action": "graft", "day": 0, "source": "cord", "cd34_per_kg": cd34, "cd3_per_kg": 0}
    tables: dict[str, Any] = {
        "title": title,
        "patch": {"shape": shape},
        "time": {"start_day": days[0], "end_day": days[1]},
        "patient": {"weight_kg": weight},
        "events": [graft],
    }
    config = Config.model_validate(tables)
    assert load(tmp_path, config.resolved_toml()) == config


def test_digest_ignores_what_cannot_change_the_trajectory() -> None:
    plain = Config().digest()
    assert Config.model_validate({"output": {"series_h": 1}, "title": "x"}).digest() == plain
    assert Config.model_validate({"seed": 2}).digest() != plain
    assert Config.model_validate({"patient": {"donor": "twin"}}).digest() != plain


def test_json_schema_has_units_and_sentences() -> None:
    weight = Config.json_schema()["$defs"]["Patient"]["properties"]["weight_kg"]
    assert weight["unit"] == "kg"
    assert weight["exclusiveMinimum"] == 0
    assert weight["description"]


def test_all_problems_are_reported_at_once_in_file_order(tmp_path: Path) -> None:
    text = """seeed = 3
[patch]
shape = [64,
  64, 0]
[patient]
weight = 70
donor = "siblin"
[[events]]
day = -12
action = "chemo"
drug = "busulphan"
dose = 3.2
[[events]]
day = -1
action = "tbi"
dose_gy = -3
"""
    found = problems(tmp_path, text, "time.stp_min=30")
    assert sorted(found) == sorted(
        [
            "case.toml:1: seeed: unknown key (did you mean seed?)",
            "case.toml:3: patch.shape: expected three whole numbers >= 1: [nz, ny, nx], found 0",
            "case.toml:6: patient.weight: missing unit; use weight_kg",
            "case.toml:7: patient.donor: expected one of sibling, unrelated, mismatched, haplo, cord, twin, "
            'autologous, found "siblin" (did you mean sibling?)',
            "case.toml:9: events[0].day: expected a day from start_day = -10 on, found -12",
            'case.toml:11: events[0].drug: expected a drug of drugs.csv, found "busulphan" (did you mean busulfan?)',
            "case.toml:12: events[0].dose: missing unit; use one of dose_mg_per_kg, dose_mg_per_m2, dose_mg, "
            "dose_mg_h_per_l",
            "case.toml:16: events[1].dose_gy: expected a number > 0 and <= 50 (Gy), found -3",
            "--set time.stp_min=30: time.stp_min: unknown key (did you mean step_min?)",
        ]
    )
    from_file = [line for line in found if line.startswith("case")]
    assert from_file == sorted(from_file, key=lambda line: int(line.split(":")[1]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed = -1", "case.toml:1: seed: expected a whole number >= 0 and <= 18446744073709551615, found -1"),
        ("seed = true", "case.toml:1: seed: expected a whole number >= 0"),
        ("seed = 1.5", "found 1.5"),
        ("shape = [8, 8, 8]", "case.toml:1: shape: unknown key here; it belongs in [patch]"),
        ("patch = 3", "case.toml:1: patch: expected a table, found 3"),
        ("events = 3", "case.toml:1: events: expected [[events]] tables, found 3"),
        (
            '[patch]\nshape = "64"',
            'case.toml:2: patch.shape: expected three whole numbers >= 1: [nz, ny, nx], found "64"',
        ),
        ("[patch]\nshape = [8, 8]", "case.toml:2: patch.shape: expected three whole numbers"),
        ('[patch]\nspecies = "humen"', 'found "humen" (did you mean human?)'),
        (
            "[patient]\nweight_kg = inf",
            "case.toml:2: patient.weight_kg: expected a number > 0 and <= 300 (kg), found inf",
        ),
        ("[patient]\nweight_kg = nan", "found nan"),
        ('[patient]\nweight_kg = "70 kg"', 'found "70 kg"'),
        (
            "[patient]\nblast_fraction = 0.5",
            'expected 0 for a patient without a malignancy (or the disease of one, such as "aml"), found 0.5',
        ),
        ("[time]\nstep_min = 50", "case.toml:2: time.step_min: expected a whole number that divides 1440 min"),
        ("[time]\nstep_h = 1", "case.toml:2: time.step_h: unknown key (did you mean step_min?)"),
        ("[time]\nmotile_step_min = 7", 'time.motile_step_min: expected "auto" or a whole number >= 1 that divides'),
        ('[time]\nmotile_step_min = "never"', 'expected "auto" or a whole number >= 1, found "never"'),
        ("[time]\nend_day = -20", "case.toml:2: time.end_day: expected a day after start_day = -10, found -20"),
        ("[time]\nstart_day = 300", "time.end_day: expected a day after start_day = 300, found 180"),
        ("[time]\nend_day = 1.01", "case.toml:2: time.end_day: expected a whole number of steps of 60 min"),
        (
            "[time]\nstep_min = 480\n[output]\nseries_h = 6",
            "case.toml:4: output.series_h: expected a multiple of step_min",
        ),
        ('[scale]\nmode = "true-density"', 'scale.mode: expected "enriched", found "true-density"'),
        ('[scale]\nmode = "true_density"', "did you mean true-density?"),
        (
            '[[events]]\nday = 0\naction = "graf"',
            "case.toml:3: events[0].action: expected one of chemo, tbi, graft, cells",
        ),
        ("[[events]]\nday = 0", "case.toml:1: events[0].action: missing; expected one of chemo"),
        (
            '[[events]]\naction = "stop"\ndrug = "busulfan"',
            "case.toml:1: events[0].day: missing; expected a number (d)",
        ),
        (
            TREAT.replace("grade = 2", "grade = 5"),
            "case.toml:5: events[0].grade: expected a whole number >= 1 and <= 4",
        ),
        (TREAT.replace("days = 14\n", ""), "events[0].days: missing; expected a number > 0"),
        (TREAT.replace("ciclosporin", "ciclosporn"), 'found "ciclosporn" (did you mean ciclosporin?)'),
        ("[patient]\nalloreactivity = -1", "case.toml:2: patient.alloreactivity: expected a number >= 0 and <= 100"),
        (CHEMO + "dose_mg_per_m2 = 3", "events[0]: expected exactly one of the dose keys"),
        (CHEMO.replace("dose_mg_per_kg = 3.2", ""), "found none"),
        (CHEMO.replace("3.2", "0"), "events[0].dose_mg_per_kg: expected a number > 0 and <= 10000 (mg/kg), found 0"),
        (CHEMO.replace("-5", "181"), "events[0].day: expected a day up to end_day = 180, found 181"),
        (GRAFT.replace("source", "sorce"), "events[0].sorce: unknown key (did you mean source?)"),
        (GRAFT + GRAFT.replace("5e6", "-5e6"), "case.toml:13: events[1].cd34_per_kg: expected a number > 0"),
        (GRAFT.replace("5e6", "0"), "events[0].cd34_per_kg: expected a number > 0 and <= 1000000000 (1/kg), found 0"),
        (GRAFT.replace('"blood"', '"bloods"'), "events[0].source: expected a source of sources.csv, found"),
        (GRAFT + 'donor = "third"', "events[0].donor: expected one of"),
        (
            GRAFT + 'edit = { locus = "TRANSGENE", vcn = 1.0, switch = true, vector = "lentivral" }',
            'edit.vector: expected one of lentiviral, gammaretroviral, found "lentivral" (did you mean lentiviral?)',
        ),
        (PURIFIED.replace("hsc", "hsk"), "case.toml:6: events[0].cells.hsk: unknown key (did you mean hsc?)"),
        (PURIFIED.replace("200", "0"), "case.toml:6: events[0].cells.hsc: expected a number > 0 and <= 1e+12"),
        (PURIFIED.replace("{ hsc = 200 }", "{}"), "events[0].cells: expected cells of at least one of hsc, mpp"),
        (PURIFIED.replace("{ hsc = 200 }", "200"), "case.toml:6: events[0].cells: expected a table, found 200"),
        (
            PURIFIED + "cd34_per_kg = 5e6",
            "expected only one of cells, cd34_per_kg, nucleated_per_kg; found cells, cd34_per_kg",
        ),
        ('[[events]]\naction = "drug"\nday = 0\ndrug = "ciclosporin"\nuntil_day = 0', "expected a day after day = 0"),
        (
            '[[events]]\naction = "drug"\nday = 0\ndrug = "ciclosporin"\ntaper_days = 9',
            "expected 0, or until_day as well",
        ),
    ],
)
def test_one_problem_one_line(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith("case.toml:") or "true-density" in text


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("foo", "--set foo: expected table.key=value, such as patch.shape=[32,32,32]"),
        ("=3", "--set =3: expected table.key=value"),
        ("patch.shape=[8,8]", "--set patch.shape=[8,8]: patch.shape: expected three whole numbers"),
        ("events.7.day=2", "--set events.7.day=2: events[7]: no such entry; the scenario has 1, counted from 0"),
        ("events.0.drugg=x", "--set events.0.drugg=x: events[0].drugg: unknown key (did you mean drug?)"),
        (
            "events.busulfam.day=2",
            "--set events.busulfam.day=2: events.busulfam: no such event (did you mean busulfan?)",
        ),
        ("events.busulfan.day=-11", "--set events.busulfan.day=-11: events[0].day: expected a day from start_day"),
        ("seed.x=2", "--set seed.x=2: seed.x: no such key"),
        ("events.0.day=-11", "--set events.0.day=-11: events[0].day: expected a day from start_day = -10 on"),
    ],
)
def test_wrong_override_is_quoted(tmp_path: Path, override: str, expected: str) -> None:
    found = problems(tmp_path, "seed = 1" + CHEMO, override)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_unreadable_files(tmp_path: Path) -> None:
    assert problems(tmp_path, "seed = 1\n[patch\n")[0].startswith("case.toml:2: not valid TOML")
    assert "case.toml:2: not valid TOML" in problems(tmp_path, "seed = 1\nseed = 2\n")[0]
    path = tmp_path / "case.toml"
    path.write_bytes(b"title = '\xff'")
    with pytest.raises(ConfigError, match=r"case\.toml: the scenario is not UTF-8 text"):
        load_config(path)
    with pytest.raises(ConfigError, match="cannot read the scenario: No such file"):
        load_config(tmp_path / "none.toml")


def test_truncated_drug_table_is_named(tmp_path: Path) -> None:
    table = tmp_path / "scenarios" / "rules" / "human" / "drugs.csv"
    table.write_bytes(table.read_bytes()[:-5])
    assert "drugs.csv:3: the last line has no line end: the table is truncated" in problems(tmp_path, CHEMO)[0]


def test_other_modules_can_point_at_a_key(tmp_path: Path) -> None:
    config = load(tmp_path, "[patch]\nshape = [8, 8, 8]\n" + CHEMO, "time.step_min=30")
    place = f"{tmp_path}/case.toml"
    assert str(config.error("patch.shape", "too small")) == f"{place}:2: patch.shape: too small"
    assert str(config.error("events.0.drug", "bad")) == f"{place}:7: events[0].drug: bad"
    assert str(config.error("time.step_min", "bad")) == "--set time.step_min=30: time.step_min: bad"
    assert str(Config().error("patch.shape", "too small")) == "patch.shape: too small"


def test_lines_of_keys() -> None:
    text = '''a = 1
b.c = [ # [x]
  1, "]", 2 ]
"d e" = """
f = 1
[g]
"""
[h . i]   # comment
j = { k = 1 }
[[l]]
m = 1
[[l]]
[l.n]
o = '#]'
p = 2
'''
    tomllib.loads(text)
    lines = key_lines(text)
    assert lines == {
        ("a",): 1,
        ("b", "c"): 2,
        ("d e",): 4,
        ("h", "i"): 8,
        ("h", "i", "j"): 9,
        ("l", 0): 10,
        ("l", 0, "m"): 11,
        ("l", 1): 12,
        ("l", 1, "n"): 13,
        ("l", 1, "n", "o"): 14,
        ("l", 1, "n", "p"): 15,
    }
    assert line_of(lines, ("h", "i", "j", "k")) == 9
    assert line_of(lines, ("z",)) is None


ANTIBODY = """
[[events]]
day = 0
action = "antibody"
drug = "blinatumomab"
dose_mg = 0.2
infusion_h = 168
"""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            '"blinatumomab"',
            '"blinatumumab"',
            "case.toml:5: events[0].drug: expected an antibody of antibodies.csv, "
            'found "blinatumumab" (did you mean blinatumomab?)',
        ),
        (
            "dose_mg = 0.2",
            "dose_mg = 0.2\ndose_mg_per_kg = 1",
            "case.toml:2: events[0]: expected exactly one of the dose keys dose_mg, dose_mg_per_kg, dose_mg_per_m2; "
            "found dose_mg, dose_mg_per_kg",
        ),
        ("168", "-1", "case.toml:7: events[0].infusion_h: expected a number >= 0 and <= 8760 (h), found -1"),
    ],
)
def test_a_mistake_about_an_antibody_is_one_line(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert problems(tmp_path, ANTIBODY.replace(old, new)) == [line]
