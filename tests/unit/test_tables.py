"""Rule tables: what is read, and what every wrong table is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from abm.config import Config
from abm.errors import ConfigError
from abm.model.body import Tables
from abm.model.body.organs import read_donors
from abm.model.rules import load_rules
from abm.setup import load_model
from abm.tables import Overlay, did_you_mean, out_of_range, read_names, read_table, read_values, rules_digest
from tests.unit.table_case import FOLDER, change, copied

HEAD = "kind,base,unit,source,status\n"
GOOD = HEAD + 'HSC,0.5,1/d,"Catlin, Blood 2011",read\n'


def write(folder: Path, content: str | bytes, name: str = "rates.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def message(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_table(path, ("kind", "base"))
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_rows_know_their_cells_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, "# rates\n\n" + GOOD + "# more\nMPP , 2e-3 ,1/d,x,assumption\n")
    rows = read_table(path, ("kind", "base"))
    assert [row.line for row in rows] == [4, 6]
    assert rows[0].text("source") == "Catlin, Blood 2011"
    assert rows[1].text("kind") == "MPP"
    assert rows[1].number("base") == 2e-3


def test_spreadsheet_habits_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert read_table(path, ("kind", "base", "unit", "source", "status"))[0].number("base") == 0.5


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ["rates.csv: ", "empty"]),
        (HEAD, ["rates.csv:1: ", "no rows"]),
        (GOOD[:-1], ["rates.csv:2: ", "truncated"]),
        (GOOD + "MPP,1,1/d\n", ["rates.csv:3: ", "expected 5 cells", "found 3"]),
        (GOOD + 'MPP,1,1/d,"Cat\n', ["rates.csv:3: ", "unreadable row"]),
        (GOOD + "MPP,\0,1/d,x,read\n", ["rates.csv:3: ", "NUL"]),
        (GOOD.encode() + b"MPP,1,1/d,\xff,read\n", ["rates.csv:3: ", "not UTF-8"]),
        (GOOD.replace("base", "bas"), ["rates.csv:1: bas: ", "unknown column", "did you mean base?"]),
        (GOOD.replace("base,", ""), ["rates.csv:1: ", "missing column: base"]),
        (GOOD.replace("base", "kind"), ["rates.csv:1: kind: ", "twice"]),
        (GOOD + "MPP,1,,x,read\n", ["rates.csv:3: unit: ", "empty"]),
        (GOOD + "MPP,1,1/d,,read\n", ["rates.csv:3: source: ", "empty"]),
        (GOOD + "MPP,1,1/d,x,\n", ["rates.csv:3: status: ", "empty"]),
        (GOOD + "MPP,1,1/d,x,recaled\n", ["rates.csv:3: status: ", "'recaled'", "did you mean recalled?"]),
    ],
)
def test_wrong_table_is_named_with_line(tmp_path: Path, content: str | bytes, parts: list[str]) -> None:
    text = message(write(tmp_path, content))
    assert "\n" not in text
    assert all(part in text for part in parts), text


def test_missing_or_unreadable_table(tmp_path: Path) -> None:
    assert "rates.csv: cannot read this rule table: No such file" in message(tmp_path / "rates.csv")
    assert "cannot read" in message(tmp_path)


@pytest.mark.parametrize("cell", ["", "x", "nan", "inf", "1_0", "-1", "11", "0x1"])
def test_number_is_finite_and_inside(tmp_path: Path, cell: str) -> None:
    row = read_table(write(tmp_path, f"{HEAD}HSC,{cell},1/d,x,read\n"), ("kind", "base"))[0]
    with pytest.raises(ConfigError, match=r"rates\.csv:2: base: expected a number >= 0 and <= 10, found"):
        row.number("base", 0, 10)


@pytest.mark.parametrize("cell", ["", "1.0", "1e3", "-1", "٣"])
def test_integer_is_whole(tmp_path: Path, cell: str) -> None:
    row = read_table(write(tmp_path, f"{HEAD}HSC,{cell},1/d,x,read\n"), ("kind", "base"))[0]
    with pytest.raises(ConfigError, match="base: expected a whole number >= 0, found"):
        row.integer("base", 0)


def test_integer_and_choice(tmp_path: Path) -> None:
    row = read_table(write(tmp_path, f"{HEAD}HSC,-3,1/d,x,read\n"), ("kind", "base"))[0]
    assert row.integer("base") == -3
    assert row.choice("kind", ["HSC", "MPP"]) == "HSC"
    with pytest.raises(ConfigError, match=r"rates\.csv:2: kind: unknown name 'HSC' \(did you mean LSC\?\)"):
        row.choice("kind", ["LSC", "MPP"])


def test_nearest_name_ignores_case_and_lists_all_if_nothing_is_near() -> None:
    assert did_you_mean("Busulphan", ["busulfan", "atg"]) == " (did you mean busulfan?)"
    assert did_you_mean("zzz", ["b", "a"]) == " (known: a, b)"
    assert did_you_mean("zzz", []) == ""


VALUES = "name,value,unit,source,status\n"


def test_values_come_in_the_order_of_the_units(tmp_path: Path) -> None:
    path = write(tmp_path, VALUES + "b,2,1/d,x,read\na,1,h,x,read\n")
    assert list(read_values(path, {"a": "h", "b": "1/d"}).items()) == [("a", 1.0), ("b", 2.0)]


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("a,1,d,x,read\n", ":2: unit: a is expected in 'h', found 'd'"),
        ("a,1,h,x,read\na,1,h,x,read\n", ":3: name: 'a' stands twice"),
        ("alpha,1,h,x,read\n", ":2: name: unknown name 'alpha'"),
        ("a,1,h,x,read\n", "name: missing: bb"),
    ],
)
def test_wrong_values(tmp_path: Path, rows: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_values(write(tmp_path, VALUES + rows), {"a": "h", "bb": "1"})
    assert text in str(caught.value)


def test_names_of_any_table(tmp_path: Path) -> None:
    path = write(tmp_path, "drug,p,unit,source,status\nbu,1,h,x,read\nbu,2,h,x,read\ncy,1,h,x,read\n")
    assert read_names(path) == ["bu", "cy"]


def test_digest_sees_names_and_bytes(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    first = rules_digest(tmp_path)
    write(tmp_path, GOOD, "other.csv")
    second = rules_digest(tmp_path)
    write(tmp_path, GOOD + "# comment\n", "other.csv")
    assert len({first, second, rules_digest(tmp_path)}) == 3
    (tmp_path / "notes.txt").write_text("not a table")
    write(tmp_path, GOOD, "other.csv")
    assert rules_digest(tmp_path) == second


RANGED = [
    ("drugs.csv", "busulfan,progenitor,3.5,3,4", "busulfan,progenitor,6,3,4", "value: found 6, outside 3-4 log10 ("),
    ("radiation.csv", "progenitor,alpha,", "progenitor,alpha,9", "value: found "),
    ("sources.csv", "blood,cd34,6e+06", "blood,cd34,6e+08", "value: found 6e+08, outside 2e+06-1e+07 1/kg (Couban"),
    (
        "mutations.csv",
        "HLA_CLASS_I,division,1e-6",
        "HLA_CLASS_I,division,1e-3",
        "probability: found 0.001, outside 1e-7-1",
    ),
    ("variants.csv", "cytarabine,0.1,0,0.5", "cytarabine,0.9,0,0.5", "factor: found 0.9, outside 0-0.5 1 ("),
]


@pytest.mark.parametrize(("table", "old", "new", "said"), RANGED, ids=[row[0] for row in RANGED])
def test_leaving_a_stated_range_is_said_with_its_source_and_is_no_error(
    tmp_path: Path, table: str, old: str, new: str, said: str
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / table).write_bytes((FOLDER / "human" / table).read_bytes())
    line = change(mine, table, old, new)
    folder = Overlay(FOLDER / "human", mine, FOLDER / "human" / "diseases" / "all")
    assert [text for text in out_of_range(folder) if text.startswith(f"{mine / table}:{line}: {said}")]
    assert len(out_of_range(folder)) == 1
    load_rules(folder)
    Tables.load(folder)


def test_shipped_numbers_lie_in_their_ranges() -> None:
    for species in FOLDER.iterdir():
        assert out_of_range(species) == []
        for rows in species.glob("diseases/*"):
            assert out_of_range(Overlay(species, rows=rows)) == []


@pytest.mark.parametrize(
    ("table", "column", "row"),
    [
        ("activations.csv", "kind", "CD8_NAIVE,"),
        ("fields.csv", "name", "cxcl12,stroma,"),
        ("mutations.csv", "when", "ANY_LEUKAEMIC,any,CD33,division,"),
        ("origins.csv", "antigen", "HOST,any,"),
        ("receptors.csv", "antigen", "CAR_CD33,"),
        ("responses.csv", "half", "HSC,"),
    ],
)
def test_a_row_that_stands_twice_is_an_error(tmp_path: Path, table: str, column: str, row: str) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    lines = (FOLDER / "human" / table).read_text(encoding="utf-8").splitlines(keepends=True)
    again = next(line for line in lines if line.startswith(row))
    (mine / table).write_text("".join([*lines, again]), encoding="utf-8")
    config = Config.model_validate({"patch": {"rules": str(mine)}})
    with pytest.raises(ConfigError) as caught:
        load_model(config)
    assert str(caught.value).startswith(f"{mine / table}:{len(lines) + 1}: {column}: ")
    assert "stands twice in this table" in str(caught.value)


def test_a_donor_shares_the_antigens_of_the_host_or_does_not(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    line = change(folder, "donors.csv", "sibling,shares_antigens,0,", "sibling,shares_antigens,0.5,")
    with pytest.raises(ConfigError, match=f"donors.csv:{line}: value: expected 0 or 1, found '0.5'"):
        read_donors(folder)
