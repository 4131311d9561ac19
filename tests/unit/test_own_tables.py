"""Tables of one's own (``[patch] rules``) replace those of the species, and stay with the run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from abm import cli
from abm.cells import Behaviour, Kind
from abm.config import Config, load_config, rules_folder, rules_of
from abm.errors import ConfigError
from abm.model.rules import load_rules
from abm.tables import rules_digest

SCENARIO = """title = "own tables"
[patch]
shape = [10, 10, 10]
rules = "mine"
[time]
start_day = 0
end_day = 1
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scenario and a folder with one changed table: blasts die three times a day."""
    monkeypatch.chdir(tmp_path)
    Path("case.toml").write_text(SCENARIO)
    Path("mine").mkdir()
    text = (rules_folder("human") / "behaviours.csv").read_text(encoding="utf-8")
    assert "\nBLAST,any,DIE,0.05," in text
    Path("mine/behaviours.csv").write_text(text.replace("\nBLAST,any,DIE,0.05,", "\nBLAST,any,DIE,3,"))


def abm(*args: str) -> Result:
    return CliRunner().invoke(cli.main, list(args), catch_exceptions=False, prog_name="abm")


def blast_death(config: Config) -> float:
    return float(load_rules(rules_of(config.patch)).base[Kind.BLAST * 2, Behaviour.DIE])


def test_a_table_replaces_that_of_the_species_and_no_other() -> None:
    config = load_config(Path("case.toml"))
    assert blast_death(config) == 3.0
    assert blast_death(Config()) == 0.05
    folder = rules_of(config.patch)
    assert folder / "behaviours.csv" == Path("mine/behaviours.csv").absolute()
    assert folder / "kinds.csv" == rules_folder("human") / "kinds.csv"


def test_the_folder_is_relative_to_the_scenario_or_to_where_the_user_is(tmp_path: Path) -> None:
    Path("deeper").mkdir()
    shutil.move("mine", "deeper/mine")
    shutil.move("case.toml", "deeper/case.toml")
    assert load_config(Path("deeper/case.toml")).patch.rules == str(tmp_path / "deeper" / "mine")
    config = load_config(Path("deeper/case.toml"), ["patch.rules=deeper/mine"])
    assert config.patch.rules == str(tmp_path / "deeper" / "mine")
    assert load_config(Path("deeper/case.toml"), ["patch.rules="]).patch.rules == ""


def test_content_counts_for_the_digest_and_the_place_does_not() -> None:
    first = load_config(Path("case.toml")).digest()
    shutil.copytree("mine", "elsewhere")
    assert load_config(Path("case.toml"), ["patch.rules=elsewhere"]).digest() == first
    with Path("elsewhere/behaviours.csv").open("a") as table:
        table.write("# a note\n")
    assert load_config(Path("case.toml"), ["patch.rules=elsewhere"]).digest() != first
    assert load_config(Path("case.toml"), ["patch.rules="]).digest() != first


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda: shutil.rmtree("mine"), 'expected a folder with at least one rule table (*.csv), found "'),
        (lambda: Path("mine/behaviours.csv").unlink(), "expected a folder with at least one rule table (*.csv)"),
        (
            lambda: Path("mine/behaviours.csv").rename("mine/behaviors.csv"),
            "; it holds behaviors.csv (did you mean behaviours.csv?)",
        ),
    ],
)
def test_a_wrong_folder_is_an_error_with_line_and_key(change: object, expected: str) -> None:
    change()  # type: ignore[operator]
    with pytest.raises(ConfigError) as caught:
        load_config(Path("case.toml"))
    assert str(caught.value).startswith("case.toml:4: patch.rules: ")
    assert expected in str(caught.value)


def test_a_mistake_in_the_table_names_the_table() -> None:
    path = Path("mine/behaviours.csv")
    path.write_text(path.read_text().replace("BLAST,any,DIE,3,", "BLAST,any,DIE,much,"))
    done = abm("check", "case.toml", "--backend", "numpy")
    assert done.exit_code == 2
    assert f"{path.absolute()}:" in done.stderr
    assert "base: expected a number >= 0, found 'much'" in done.stderr


def test_check_says_which_tables() -> None:
    done = abm("check", "case.toml", "--backend", "numpy")
    assert done.exit_code == 0, done.output
    assert f"own tables behaviours.csv of {Path('mine').absolute()}" in done.stdout


def test_a_run_keeps_its_tables_and_goes_on_without_the_originals() -> None:
    whole = abm("run", "case.toml", "--backend", "numpy", "--out", "whole", "--quiet").stdout.split()[-1]
    plain = abm("run", "case.toml", "--backend", "numpy", "--out", "plain", "--set", "patch.rules=", "--quiet")
    assert not Path("plain/rules-used").exists()
    assert plain.exit_code == 0
    assert abm("run", "case.toml", "--backend", "numpy", "--out", "first", "--steps", "5", "--quiet").exit_code == 0
    assert rules_digest(Path("first/rules-used")) == rules_digest(Path("mine"))
    shutil.rmtree("mine")
    shutil.move("first", "moved")
    resumed = abm("resume", "moved", "--backend", "numpy", "--quiet")
    assert resumed.exit_code == 0, resumed.output
    assert resumed.stdout.split()[-1] == whole


def test_changed_tables_are_not_continued_unasked() -> None:
    abm("run", "case.toml", "--backend", "numpy", "--out", "out", "--steps", "5", "--quiet")
    table = Path("out/rules-used/behaviours.csv")
    table.write_text(table.read_text().replace("BLAST,any,DIE,3,", "BLAST,any,DIE,4,"))
    refused = abm("resume", "out", "--backend", "numpy")
    assert refused.exit_code == 2
    assert "config.toml or its own tables changed since this checkpoint was written" in refused.stderr


def test_a_run_can_be_replaced_from_its_own_copy() -> None:
    first = abm("run", "case.toml", "--backend", "numpy", "--out", "out", "--steps", "3", "--quiet").stdout.split()[-1]
    again = abm(
        "run", "out/config.toml", "--backend", "numpy", "--out", "out", "--overwrite", "--steps", "3", "--quiet"
    )
    assert again.exit_code == 0, again.output
    assert again.stdout.split()[-1] == first
    assert rules_digest(Path("out/rules-used")) == rules_digest(Path("mine"))
    assert abm("run", "case.toml", "--backend", "numpy", "--out", "out", "--overwrite", "--steps", "1",
               "--set", "patch.rules=").exit_code == 0  # fmt: skip
    assert not Path("out/rules-used").exists()
