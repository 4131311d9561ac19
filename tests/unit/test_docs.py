"""Documents that can be followed: links lead somewhere, events can be copied, commands and scenarios exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from itertools import groupby
from pathlib import Path

import click
import pytest

from abm.cli import main
from abm.config import load_config
from abm.scenario_files import scenario_path
from abm.setup import load_model

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Other texts with links, and with commands that are to be true.
TEXTS = [
    *PAGES,
    *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "slurm/README.md", "benchmarks/README.md")),
]
SCENARIOS = {path.stem for path in ROOT.glob("scenarios/*.toml")}
#: Pictures that `abm report` and `abm compare` have drawn.
OF_REPORTS = {"aml_hsct.png", "arms.png", "clones.png"}
#: What an example leaves open: an adult with leukaemia, followed long enough for all of them.
PATIENT = '[patient]\ndisease = "aml"\nblast_fraction = 0.05\n'
RUN = "[patch]\nshape = [20, 20, 20]\n[time]\nstart_day = -10\nend_day = 400\n"


def blocks(page: Path) -> list[str]:
    """Return the indented blocks of a page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found = ["\n".join(block) for code, block in groupby(lines, lambda x: not x or x.startswith("    ")) if code]
    return [re.sub("^    ", "", text, flags=re.MULTILINE) for text in found if text.strip()]


def examples() -> list[tuple[str, str]]:
    """Return page and text of every piece of a scenario."""
    return [
        (page.name, text) for page in PAGES for text in blocks(page) if re.search(r"^\[+\w+\]+", text, re.MULTILINE)
    ]


def commands() -> list[tuple[str, list[str]]]:
    """Return page and words of every ``abm`` command that stands on a line of its own."""
    found = []
    for page in TEXTS:
        lines = "\n".join(blocks(page)).replace("\\\n", " ").splitlines()
        for line in lines:
            text = re.split(r"\s{3,}", line.removeprefix(".venv/bin/").strip())[0]
            if text.startswith("abm ") and "$" not in text:
                found.append((page.name, shlex.split(text)[1:]))
    return found


def headings(page: Path) -> set[str]:
    """Return the anchors of a page as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text(encoding="utf-8"))
    own = [(page.parent / link if link else page, anchor) for link, anchor in links if "://" not in link]
    assert not [str(path) for path, _ in own if not path.exists()]
    assert not [f"{path}#{anchor}" for path, anchor in own if anchor and anchor not in headings(path)]


def test_every_page_and_picture_is_shown() -> None:
    texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
    pictures = [path for path in (ROOT / "docs").iterdir() if path.suffix in (".png", ".svg")]
    assert pictures
    assert not [path.name for path in pictures if not any(path.name in text for text in texts.values())]
    assert not [page.name for page in PAGES[1:] if f"docs/{page.name}" not in texts[PAGES[0]]]


def test_pictures_are_drawn_by_commands_that_pages_tell() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    drawn = re.findall(r"python -m ((?:analysis|figures)\.\w+)((?: [\w./]+)+)", text)
    assert not [module for module, _ in drawn if not (ROOT / f"{module.replace('.', '/')}.py").exists()]
    told = {word for _, words in drawn for word in words.split()}
    pictures = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".png", ".svg")}
    assert {name for name in pictures if f"docs/{name}" not in told} == OF_REPORTS


def test_every_scenario_is_sorted_by_question_on_a_page_that_the_readme_leads_to() -> None:
    by_question = re.findall(r"^\| \[`(\w+)`\]", (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8"), re.M)
    assert len(by_question) == len(set(by_question))
    assert set(by_question) == SCENARIOS
    assert "(docs/scenarios.md)" in PAGES[0].read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "text"), examples())
def test_what_an_example_says_can_be_run(page: str, text: str, tmp_path: Path) -> None:
    del page
    case = tmp_path / "case.toml"
    said = tomllib.loads(text)
    usual = [part for part in (RUN, PATIENT) if not said.keys() & tomllib.loads(part).keys()]
    case.write_text("".join(usual) + text, encoding="utf-8")
    config = load_config(case)
    assert any(load_model(config).schedule) or not config.events


def test_there_are_examples_and_commands() -> None:
    assert len(examples()) >= 12
    assert len(commands()) > 30


@pytest.mark.parametrize(("page", "words"), commands())
def test_commands_exist_with_their_options_and_scenarios(page: str, words: list[str]) -> None:
    del page
    command = main.commands[words[0]]
    known = {text for option in command.params for text in (*option.opts, *option.secondary_opts)} | {"--help"}
    assert not [word for word in words if word.startswith("--") and word not in known]
    if words[0] in ("run", "sweep") and not words[1].startswith("my"):
        changes = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
        path = scenario_path(words[1])
        load_config(path, [change for change in changes if "patch.rules" not in change])
    assert isinstance(command, click.Command)


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_paragraph_stands_twice(page: Path) -> None:
    """Two versions of one, as a merge leaves them, begin alike."""
    lines = page.read_text(encoding="utf-8").splitlines()
    prose = [line[:50] for line in lines if len(line) > 60 and line[0] not in "| #!-*"]
    assert not {line for line in prose if prose.count(line) > 1}
