"""Targets as data: the shipped files are whole, and a wrong one is told in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from abm import resources
from abm.errors import ConfigError
from abm.validation import targets
from tests.unit.validation_case import PROTOCOLS, TARGET, write


@pytest.fixture(scope="module")
def shipped() -> targets.Catalogue:
    return targets.read_catalogue()


def complaint(folder: Path) -> str:
    with pytest.raises(ConfigError) as error:
        targets.read_catalogue(folder)
    assert error.value.exit_code == 2
    return str(error.value)


def test_every_row_of_the_sections_is_there(shipped: targets.Catalogue) -> None:
    rows = {target.id for name, members in shipped.sections.items() if name != "V" for target in members}
    assert rows == {f"O{number:02d}" for number in (*range(1, 86), 87, 88, 89)}


def test_every_target_is_scored_or_says_why_not(shipped: targets.Catalogue) -> None:
    for target in shipped.targets:
        assert bool(target.not_modelled) != bool(target.protocol), target.name
        if target.band is not None and target.centre is not None:
            assert target.band[0] <= target.centre <= target.band[1], target.name


@pytest.mark.parametrize(
    ("name", "band"),
    [
        ("O01.granulopoiesis", (45, 62)),
        ("O05.red_cells", (1.8e11, 2.4e11)),
        ("O11.d16", (2.64, 6.16)),
        ("O21.nadir", (0.2, 1.2)),
        ("O28.difference", (3, 7)),
        ("O31.anc_high", (9, 12)),
        ("O33.overall", (3, 8)),
        ("O37.edited", (-7, 7)),
        ("O39.cd4_d100", (0.08, 0.2)),
        ("O42.sibling", (25, 40)),
        ("O42.mismatched", (45, 62)),
        ("O45.high", (35, 53)),
        ("O49.acute", (9, 23)),
        ("O58.cml", (64, 86)),
        ("O77.ratio", (0.02, 0.24)),
        ("O78.relapse_free", (72, 88)),
        ("O84", (25, 50)),
    ],
)
def test_bands_are_the_published_ones(shipped: targets.Catalogue, name: str, band: tuple[float, float]) -> None:
    found = next(target for target in shipped.targets if target.name == name)
    assert found.band == pytest.approx(band)


def test_every_protocol_is_used(shipped: targets.Catalogue) -> None:
    used = {name for target in shipped.targets for name in target.cohorts}
    # those of scenarios that wait for their observables are named in advance
    assert set(shipped.protocols) - used <= {"volunteer_gcsf"}


def test_a_good_file_is_read(tmp_path: Path) -> None:
    (target,) = targets.read_catalogue(write(tmp_path)).targets
    assert (target.name, target.band, target.protocol) == ("O04.anc", (2.0, 7.0), ("adults",))


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('observable = "anc"', 'observable = "amc"', 7, "observable: expected an observable .* (did you mean anc?)"),
        ("band = [2, 7]\n", "", 1, "O04.anc.band: missing; expected [low, high]"),
        ("band = [2, 7]", "band = [7, 2]", 11, "band: expected [low, high] with low <= high, found [7"),
        ("days = [1, 2]", "days = [2, 1]", 8, "days: expected two days [first, last] with first <= last, found [2"),
        (
            "band = [2, 7]",
            "band = [2, 7]\ncentre = 9",
            12,
            "O04.anc.centre: expected a number inside the band [2.0, 7.0]",
        ),
        ("band = [2, 7]", "band = 2", 11, "band: expected [low, high] with low <= high, found 2"),
        ("weight = 3", "wieght = 3", 12, "wieght: unknown key (did you mean weight?)"),
        ("weight = 3", "weight = 4", 12, "weight: expected a whole number >= 1 and <= 3, found 4"),
        ('unit = "1e9/L"', 'unit = "g/L"', 10, "O04.anc.unit: expected '1e9/L', that of anc as mean, found 'g/L'"),
        ('species = "human"', 'species = "rat"', 5, 'species: expected one of human, mouse, found "rat"'),
        ('species = "human"', 'species = "mouse"', 5, "O04.anc.species: expected human, that of adults, found mouse"),
        ('protocol = "adults"', 'protocol = "adult"', 6, "expected a protocol of protocols/, found 'adult' (did"),
        ("days = [1, 2]\n", "", 7, "anc is a curve: expected day or days"),
        ('observable = "anc"', 'observable = "anc_nadir"', 7, "anc_nadir is one number: expected no day or days"),
        ('source = "made up"\n', "", 1, "source: missing; expected text"),
        ('statistic = "mean"', 'statistic = "mode"', 9, "statistic: expected one of median, mean, share, correlation"),
        ('statistic = "mean"', 'statistic = "mean"\nreference = "adults"', 1, "expected contrast and reference"),
        (
            'statistic = "mean"',
            'statistic = "mean"\nat_least = 3',
            9,
            'expected "share", to which at_least and at_most',
        ),
        (
            'statistic = "mean"',
            'statistic = "correlation"\ncorrelate = "patient.wieght_kg"',
            10,
            "expected a parameter with a prior in adults, found 'patient.wieght_kg' (did you mean patient.weight_kg?)",
        ),
        (
            'statistic = "mean"',
            'statistic = "share"\nreference = "adults"\ncontrast = "ratio"',
            9,
            "expected median or mean, of which a ratio is made",
        ),
        ('statistic = "mean"', 'statistic = "hazard"', 9, 'expected with contrast = "ratio"'),
        ('statistic = "mean"', 'statistic = "mean"\nagainst = "hb"', 10, "expected with contrast and reference"),
        ('statistic = "mean"', 'statistic = "mean"\nagainst = "anx"', 10, "expected an observable of analysis"),
        (
            'statistic = "mean"',
            'statistic = "hazard"\nreference = "adults"\ncontrast = "difference"',
            9,
            'expected with contrast = "ratio"',
        ),
        (
            'statistic = "mean"',
            'statistic = "mean"\nreference = "adults"\ncontrast = "reduction"',
            12,
            "expected '%', that of anc as reduction, found '1e9/L'",
        ),
        ("[[target]]", "[[targets]]", 1, "targets: unknown table (did you mean target?)"),
        ("weight = 3", "weight = ", 12, "not valid TOML"),
    ],
)
def test_wrong_target(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in TARGET
    found = complaint(write(tmp_path, TARGET.replace(old, new)))
    assert found.startswith(f"{tmp_path / 'A.toml'}:{line}: "), found
    assert "\n" not in found
    assert re.search(re.escape(words).replace(re.escape(".*"), ".*"), found), found


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'distribution = "normal"',
            'distribution = "normol"',
            "distribution: expected one of normal, lognormal, uniform",
        ),
        ("spread = 10\n", "", "centre and spread of a normal distribution"),
        ("limits = [50, 90]", "limits = [90, 50]", "limits: expected [low, high] with low <= high, found [90"),
        (
            'scenario = "homeostasis"\n',
            'scenario = "homeostatis"\n',
            "A.toml:2: scenario: expected a shipped scenario, found 'homeostatis' (did you mean homeostasis?)",
        ),
        (
            'scenario = "homeostasis"\n',
            'experiment = "random_wolk"\n',
            "A.toml:2: experiment: expected a known one, found 'random_wolk' (did you mean random_walk?)",
        ),
        ('scenario = "homeostasis"\n', "", "adults: expected exactly one of scenario, experiment"),
        ("[mice]\n", "[mice]\npriors = 1\n", "priors: expected tables"),
        (
            'scenario = "homeostasis"\n',
            'experiment = "random_walk"\nwell_mixed = true\n',
            "well_mixed: expected false for an experiment",
        ),
        ("quick_seeds = 2", "quick_seeds = -1", "quick_seeds: expected a whole number >= 0"),
    ],
)
def test_wrong_protocol(tmp_path: Path, old: str, new: str, words: str) -> None:
    found = complaint(write(tmp_path, protocols=PROTOCOLS.replace(old, new, 1)))
    assert found.startswith(f"{tmp_path / 'protocols' / 'A.toml'}:"), found
    assert words in found


@pytest.mark.parametrize(
    ("model", "words"),
    [("adult", "found 'adult' (did you mean adults?)"), ("old", "expected a protocol further up, found 'old'")],
)
def test_a_protocol_that_is_like_no_other(tmp_path: Path, model: str, words: str) -> None:
    found = complaint(write(tmp_path, protocols=f'{PROTOCOLS}[old]\nlike = "{model}"\nwhat = "old people"\n'))
    assert found.startswith(f"{tmp_path / 'protocols' / 'A.toml'}:{len(PROTOCOLS.splitlines()) + 2}: like: "), found
    assert words in found


def test_a_protocol_takes_over_what_it_does_not_state(tmp_path: Path) -> None:
    own = """set = ["time.end_day=9"]
[old.priors."patient.age_years"]
distribution = "uniform"
limits = [60, 80]
source = "made up"
status = "assumption"
"""
    text = PROTOCOLS.replace('what = "healthy"\n', 'what = "healthy"\nset = ["time.end_day=5", "seed=2"]\n', 1)
    found = targets.read_catalogue(write(tmp_path, protocols=f'{text}[old]\nlike = "adults"\nwhat = "old"\n{own}'))
    old, adults = found.protocols["old"], found.protocols["adults"]
    assert (old.scenario, old.seeds, old.what) == (adults.scenario, adults.seeds, "old")
    assert old.set == ("time.end_day=5", "seed=2", "time.end_day=9")
    assert set(old.priors) == {"patient.weight_kg", "patient.age_years"}
    assert set(adults.priors) == {"patient.weight_kg"}


def test_protocols_of_several_files(tmp_path: Path) -> None:
    folder = write(tmp_path)
    other = folder / "protocols" / "B.toml"
    other.write_text('\n[old]\nlike = "adults"\nwhat = "old people"\n', encoding="utf-8")
    found = targets.read_catalogue(folder).protocols
    assert list(found) == ["adults", "mice", "old"]
    assert (found["old"].what, found["old"].priors) == ("old people", found["adults"].priors)
    other.write_text('\n[old]\nlike = "adults"\nwhat = "old"\nseads = 3\n', encoding="utf-8")
    assert complaint(folder) == f"{other}:5: seads: unknown key (did you mean seeds?)"
    other.write_text(f"\n{PROTOCOLS}", encoding="utf-8")
    assert complaint(folder) == f"{other}:2: adults: stands in another file too"


def test_a_row_that_stands_twice(tmp_path: Path) -> None:
    assert "O04.anc stands twice" in complaint(write(tmp_path, f"{TARGET}\n{TARGET}"))


def test_missing_folder_is_told(tmp_path: Path) -> None:
    assert "protocols: expected at least one .toml file" in complaint(tmp_path / "nowhere")


def test_choice_by_row_part_section_and_species(shipped: targets.Catalogue) -> None:
    def names(**how: object) -> list[str]:
        return [target.name for target in targets.choose(shipped, **how)]  # type: ignore[arg-type]

    assert names(only=["O03", "O04.anc"]) == ["O03", "O04.anc"]
    assert {name.split(".")[0] for name in names(only=["O28"])} == {"O28"}
    assert set(names(sections=["B"])) == set(names(species="mouse")) - set(names(sections=["A", "F", "L"]))
    assert not any(name.startswith("V") for name in names()), "checks of the engine run when asked for"
    assert names(only=["V6"]) == ["V6"]
    with pytest.raises(ConfigError, match=r"--only: expected a target, found 'O99'"):
        names(only=["O99"])
    with pytest.raises(ConfigError, match=r"--section: expected a section, found 'Z'"):
        names(sections=["Z"])


def test_registry_states_units_and_meaning() -> None:
    for name, entry in targets.registry().items():
        assert entry.unit, name
        assert entry.doc.endswith((".", ";")) or entry.doc, name


def test_shipped_files_hold_no_other_tables() -> None:
    folder = resources.folder("analysis") / "targets"
    assert {path.stem for path in folder.iterdir()} == {*"ABCDEFGHIJKLMV", "protocols"}
    assert {path.suffix for path in (folder / "protocols").iterdir()} == {".toml"}
