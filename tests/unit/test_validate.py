"""`abm validate`: results kept and reused, rows, files and messages; no run is simulated."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from abm.errors import AbmError
from abm.validation import cases, patient, targets, work
from abm.validation.cases import Case
from abm.validation.protocols import Protocol
from abm.validation.statistics import RESULTS
from tests.unit.validation_case import PROTOCOLS, TARGET, adults, asked_for, fake, run, write

ENGRAFTED = """
[[target]]
id = "O28"
what = "day of ANC 0.5"
species = "human"
protocol = "adults"
observable = "anc_engraftment_day"
statistic = "share"
at_most = 14
unit = "%"
band = [60, 100]
weight = 2
source = "made up"
status = "read"
suspect = "a slow graft"

[[target]]
id = "O20"
what = "serial transplantation"
species = "mouse"
not_modelled = "nobody has written it"
unit = "1"
band = [2, 10]
weight = 2
source = "made up"
status = "recalled"

[[target]]
id = "O15"
what = "donor share"
species = "human"
not_modelled = "nobody has run it"
unit = "%"
band = [4, 12]
weight = 3
source = "made up"
status = "read"
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    return asked_for(monkeypatch)


@pytest.fixture
def protocols(tmp_path: Path) -> dict[str, Protocol]:
    return dict(targets.read_catalogue(write(tmp_path)).protocols)


# ---------------------------------------------------------------------------------------------- keeping results


def test_only_what_is_missing_is_run_again(tmp_path: Path, protocols: dict[str, Protocol]) -> None:
    store, wanted = work.Store(tmp_path / "kept"), adults(4, protocols=protocols)
    told: list[tuple[int, int]] = []
    run_all = _counting(store, told)
    done: list[int] = []
    first = run_all(wanted, lambda case: done.append(case.seed) or fake(case))
    assert (done, told[-1]) == ([1, 2, 3, 4], (4, 4))
    (store.folder / wanted[1].file).write_text('{"format_version": 1, "key": ')  # torn
    (store.folder / wanted[2].file).unlink()
    done.clear()
    assert run_all(wanted, lambda case: done.append(case.seed) or fake(case)) == first
    assert done == [2, 3]
    assert not list(store.folder.glob("*.tmp"))


def _counting(store: work.Store, told: list[tuple[int, int]]) -> Callable[..., dict[Case, patient.Result]]:
    return lambda wanted, do: work.run_all(
        wanted, store, work.Workers(1), lambda done, of, *_: told.append((done, of)), do
    )


def test_what_was_finished_before_a_failure_is_kept(tmp_path: Path, protocols: dict[str, Protocol]) -> None:
    store, wanted = work.Store(tmp_path), adults(3, protocols=protocols)

    def breaks(case: Case) -> patient.Result:
        if case.seed == 3:
            raise AbmError("no more")
        return fake(case)

    with pytest.raises(AbmError, match="no more"):
        work.run_all(wanted, store, work.Workers(1), lambda *told: None, breaks)
    assert [store.get(case) is not None for case in wanted] == [True, True, False]


def test_a_result_of_other_rules_is_not_taken(tmp_path: Path, protocols: dict[str, Protocol]) -> None:
    store, (case,) = work.Store(tmp_path), adults(1, protocols=protocols)
    store.put(case, fake(case))
    assert store.get(case) == fake(case)
    other = dataclasses.replace(case, key="0" * 64)
    (store.folder / case.file).rename(store.folder / other.file)  # as if two digests began alike
    assert store.get(other) is None


def test_processes_side_by_side_give_every_result(tmp_path: Path, protocols: dict[str, Protocol]) -> None:
    wanted = adults(3, protocols=protocols)
    with work.Workers(2) as workers:
        for number in (2, 3):
            found = work.run_all(wanted[:number], work.Store(tmp_path), workers, lambda *told: None, dataclasses.asdict)
            assert [found[case]["seed"] for case in wanted[:number]] == [1, 2, 3][:number]


# ---------------------------------------------------------------------------------------------- the command


def test_command_prints_every_row_and_writes_both_files(tmp_path: Path, asked: list[Case]) -> None:
    result = run(write(tmp_path, TARGET + ENGRAFTED, PROTOCOLS))
    assert result.exit_code == 0, result.output
    assert sorted(case.seed for case in asked) == [1, 2, 3]
    out = result.stdout
    lines = (
        "not modelled, nobody has written it: O20",
        "not modelled, nobody has run it: O15",
        "in band, weight 3: 1 of 2 (50 %)",
        "in band, all rows: 1 of 4 (25 %)",
    )
    for words in ("O04.anc", "3.2", *lines):
        assert words in out
    document = json.loads((tmp_path / "out" / "validation.json").read_text())
    assert document["format_version"] == 1
    assert {"code_version", "code_digest", "kernel_digest", "rules_hash"} <= document["provenance"].keys()
    rows = {row["id"]: row for row in document["targets"]}
    assert rows["O04"]["observed"] == pytest.approx(3.2)
    assert (rows["O04"]["band"], rows["O04"]["weight"], rows["O04"]["result"]) == ([2, 7], 3, "pass")
    assert rows["O04"]["ci"][0] < 3.2 < rows["O04"]["ci"][1]
    assert rows["O28"]["observed"] == pytest.approx(200 / 3), "two of three engraft"
    assert (rows["O28"]["result"], rows["O28"]["values"]) == ("undecided", [1, 2, None])
    assert (rows["O20"]["observed"], rows["O20"]["ci"]) == (None, None)
    assert {row["result"] for row in document["targets"]} <= set(RESULTS)


def test_second_call_simulates_nothing_and_new_rules_everything(
    tmp_path: Path, asked: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path)
    run(folder)
    first = json.loads((tmp_path / "out" / "validation.json").read_text())["targets"]
    asked.clear()
    result = run(folder)
    assert not asked
    assert "3 of them already there" in result.stderr
    assert json.loads((tmp_path / "out" / "validation.json").read_text())["targets"] == first
    monkeypatch.setattr(cases, "rules_digest", lambda folder: "other rules")
    run(folder)
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("band", "seeds", "shown", "result"),
    [
        ("[2, 7]", 3, 3, "pass"),  # 3.1 to 3.3 of three patients lies inside
        ("[8, 9]", 3, 3, "miss"),  # outside
        ("[3.1, 9]", 6, 6, "pass"),  # 2.95 to 3.45 of three patients does not, 3.15 to 3.55 of six does
        ("[3.3, 3.5]", 10, 10, "undecided"),  # never
    ],
)
def test_cohorts_grow_while_a_row_is_open(
    tmp_path: Path, asked: list[Case], band: str, seeds: int, shown: int, result: str
) -> None:
    many = PROTOCOLS.replace("seeds = 3", "seeds = 10", 1)
    found = run(write(tmp_path, TARGET.replace("[2, 7]", band), many))
    assert sorted(case.seed for case in asked) == [*range(1, seeds + 1)]
    (row,) = json.loads((tmp_path / "out" / "validation.json").read_text())["targets"]
    assert (row["n"], row["result"]) == (shown, result), row
    assert "if cohorts have to grow" in found.stderr


def test_quick_and_seeds_set_the_size_of_the_cohort(tmp_path: Path, asked: list[Case]) -> None:
    folder = write(tmp_path)
    run(folder, "--quick")
    assert len(asked) == 2
    run(folder, "--seeds", "5")
    assert sorted(case.seed for case in asked) == [1, 2, 3, 4, 5], "the first two were there"


def test_what_quick_leaves_out_is_said(tmp_path: Path, asked: list[Case]) -> None:
    large = PROTOCOLS.replace("quick_seeds = 2", "quick_seeds = 0", 1).replace("[adults", "[crowd")
    folder = write(
        tmp_path,
        TARGET + ENGRAFTED.replace('"adults"', '"crowd"'),
        large.replace("[mice]", "[rats]") + PROTOCOLS,
    )
    result = run(folder, "--quick")
    assert "left out of --quick, their cohorts are too large: O28" in result.stdout
    assert {case.protocol for case in asked} == {"adults"}
    document = json.loads((tmp_path / "out" / "validation.json").read_text())
    assert document["how"]["left_out"] == ["O28"]
    assert [row["id"] for row in document["targets"]] == ["O04", "O20", "O15"]
    assert "O28" in (tmp_path / "out" / "validation.html").read_text()


def test_page_shows_bands_curves_and_reasons(tmp_path: Path, asked: list[Case]) -> None:
    run(write(tmp_path, TARGET + ENGRAFTED, PROTOCOLS))
    page = (tmp_path / "out" / "validation.html").read_text()
    assert page.count("<svg") == 2
    assert page.count('class="patient"') == 3 + 1, "three curves and the legend"
    assert page.count('class="band"') == 2 + 1
    assert page.count("<h2>Patch and step</h2>") == 1, "as shipped"
    assert page.count("steps of half the length: ") == 4
    for words in (
        "nobody has written it",
        "3 patients are too few for a band this narrow; about ",
        "1 of 2",
        "not for clinical decisions",
    ):
        assert words in page
    assert "http" not in page.replace("http://www.w3.org", ""), "self-contained"
    assert "$" not in page


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path: Path, asked: list[Case]) -> None:
    folder = write(tmp_path)
    (folder / "out").write_text("mine")
    result = run(folder)
    assert (result.exit_code, asked) == (2, [])
    last = result.stderr.splitlines()[-1]
    assert last == f"error: {folder / 'out'}: cannot be an output directory: {folder / 'out'} is not a directory"
    assert (folder / "out").read_text() == "mine"


def test_a_miss_states_what_we_suspect(tmp_path: Path, asked: list[Case]) -> None:
    narrow = TARGET.replace("band = [2, 7]", 'band = [9, 10]\nsuspect = "a leak & more"')
    result = run(write(tmp_path, narrow))
    assert "miss" in result.stdout
    assert "a leak &amp; more" in (tmp_path / "out" / "validation.html").read_text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--only", "O99"], "--only: expected a target, found 'O99'"),
        (["--only", "O04.amc"], "found 'O04.amc' (did you mean O04.anc?)"),
        (["--section", "Q"], "--section: expected a section, found 'Q'"),
        (["--species", "hunam"], "--species: expected one of human, mouse, found 'hunam' (did you mean human?)"),
        (["--species", "mouse"], "no target is left by these options"),
        (["--seeds", "0"], "Invalid value for '--seeds'"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, asked: list[Case], args: list[str], words: str) -> None:
    result = run(write(tmp_path), *args)
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not asked
    assert not (tmp_path / "out").exists()


def test_a_wrong_target_file_ends_the_command(tmp_path: Path, asked: list[Case]) -> None:
    result = run(write(tmp_path, TARGET.replace('"anc"\ndays', '"ancc"\ndays')))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path / 'A.toml'}:7: observable: expected an observable")
    assert "did you mean anc?" in result.stderr
    assert not asked
