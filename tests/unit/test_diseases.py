"""Diseases as rows that replace some of a species' tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from abm import cli
from abm.cells import ENGINEERED, Antigen, Behaviour, Flag, Kind, Origin, Specificity
from abm.config import Config, load_config, rules_folder, rules_of
from abm.errors import ConfigError
from abm.exactmath import LN2
from abm.model import leukaemia
from abm.model.body.drugs import DRUG_TARGETS, read_drugs
from abm.model.rules import load_rules
from abm.notes import notes
from abm.setup import load_model
from abm.tables import Amended, Overlay, read_names, read_table, rules_digest

HEADER = "kind,next,share,unit,source,status\n"


def tables(tmp_path: Path, base: str, rows: str) -> Amended:
    for name, text in (("base", base), ("rows", rows)):
        (tmp_path / f"{name}.csv").write_text(HEADER + text)
    return Amended(tmp_path / "base.csv", tmp_path / "rows.csv")


def fates(table: Amended) -> list[tuple[str, str]]:
    read = read_table(table, ("kind", "next", "share"), key=("kind",))
    return [(row.text("kind"), row.text("next")) for row in read]


def test_rows_replace_those_of_the_same_key_and_add_others(tmp_path: Path) -> None:
    table = tables(tmp_path, "A,B,0.5,1,s,read\nA,C,0.5,1,s,read\nB,C,1,1,s,read\n", "A,D,1,1,s,read\nE,F,1,1,s,read\n")
    assert fates(table) == [("B", "C"), ("A", "D"), ("E", "F")]
    assert read_names(table) == ["A", "B", "E"]


def test_an_error_names_the_file_it_stands_in(tmp_path: Path) -> None:
    table = tables(tmp_path, "A,B,1,1,s,read\n", "A,D,many,1,s,read\n")
    row = read_table(table, ("kind", "next", "share"), key=("kind",))[0]
    with pytest.raises(ConfigError, match=r"rows.csv:2: share: expected a number, found 'many'"):
        row.number("share")


def test_a_table_without_a_key_cannot_be_amended(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rows.csv: this table can only be replaced as a whole"):
        read_table(tables(tmp_path, "A,B,1,1,s,read\n", "A,D,1,1,s,read\n"), ("kind", "next", "share"))


def test_lymphoblasts_are_not_myeloblasts(tmp_path: Path) -> None:
    case = tmp_path / "case.toml"
    case.write_text('[patient]\ndisease = "all"\nblast_fraction = 0.5\n')
    config = load_config(case)
    folder = rules_of(config.patch, "all")
    assert isinstance(folder, Overlay)
    lymphoid, myeloid = load_rules(folder), load_rules(rules_of(config.patch))
    same = [kind for kind in Kind if kind not in (Kind.LSC, Kind.BLAST)]
    rows = np.array([2 * kind + cycle for kind in same for cycle in (0, 1)])
    np.testing.assert_array_equal(lymphoid.base[rows], myeloid.base[rows])
    assert (lymphoid.base != myeloid.base).any()
    assert lymphoid.base[2 * Kind.LSC + 1, Behaviour.DIVIDE] > 0.0
    shown = lymphoid.recognition.shown(Kind.BLAST, Origin.HOST, donor_is_self=True)
    assert Antigen.CD19 in shown
    assert Antigen.CD33 not in shown
    assert Antigen.CD33 in myeloid.recognition.shown(Kind.BLAST, Origin.HOST, donor_is_self=True)
    cycling = DRUG_TARGETS.index("leukaemia_cycling")
    usual, found = (read_drugs(where)["prednisone"].log10_kill for where in (rules_folder("human"), folder))
    assert found[cycling] > usual[cycling]
    assert load_model(config).traffic["lsc_share"] == 0.1


@pytest.mark.parametrize(
    ("disease", "seen_by"),
    [
        ("all", {"CAR_CD19", "CAR_CD20", "CAR_CD19_CD123"}),
        ("burkitt", {"CAR_CD19", "CAR_CD20", "CAR_CD19_CD123"}),
        ("dlbcl", {"CAR_CD19", "CAR_CD20", "CAR_CD19_CD123"}),
        ("follicular", {"CAR_CD19", "CAR_CD20", "CAR_CD19_CD123"}),
        ("myeloma", {"CAR_BCMA"}),
    ],
)
def test_lymphoid_tumours_show_what_engineered_cells_see(tmp_path: Path, disease: str, seen_by: set[str]) -> None:
    case = tmp_path / "case.toml"
    case.write_text(f'[patient]\ndisease = "{disease}"\nblast_fraction = 0.1\n')
    recognition = load_model(load_config(case)).rules.recognition
    for kind in (Kind.LSC, Kind.BLAST):
        shown = sum(1 << antigen for antigen in recognition.shown(kind, Origin.HOST, donor_is_self=True))
        found = {s.name for s in ENGINEERED if int(recognition.receptors[s]) & shown}
        assert {name for name in found if name.startswith("CAR_")} == seen_by | {"CAR_CD45"}  # on all blood cells


def test_hodgkin_lymphoma_presents_its_antigens_to_memory_t_cells_that_see_them(tmp_path: Path) -> None:
    seeing = {}
    for disease in ("hodgkin", "dlbcl"):
        case = tmp_path / f"{disease}.toml"
        case.write_text(f'[patient]\ndisease = "{disease}"\nblast_fraction = 0.1\n')
        model = load_model(load_config(case))
        presenting = set(np.flatnonzero(model.rules.mask(Flag.APC)).tolist())
        classes = dict(model.tables.repertoires["sibling"][Kind.CD8_MEMORY])
        seeing[disease] = {Kind.LSC, Kind.BLAST} <= presenting, classes.get(Specificity.LEUKAEMIA, 0.0) > 0.0
    assert seeing == {"hodgkin": (True, True), "dlbcl": (False, False)}


@pytest.mark.parametrize(("patient", "said"), [('disease = "sle"', 1), ('disease = "aml"\nblast_fraction = 0.1', 0)])
def test_cells_for_a_leukaemia_that_is_not_there_are_noted(tmp_path: Path, patient: str, said: int) -> None:
    case = tmp_path / "case.toml"
    event = 'day = 0\naction = "cells"\nproduct = "dli"\ncd3_per_kg = 1e7\nif_blast_fraction = 0.05\n'
    case.write_text(f"[patient]\n{patient}\n[[events]]\n{event}")
    found = [note for note in notes(load_config(case)) if "no leukaemic cell at the start" in note]
    assert len(found) == said
    assert not found or found[0].startswith(f"{case}:8: events[0].if_blast_fraction: ")


def test_of_a_receptor_of_plasma_cells_alone_it_is_said_what_it_does(tmp_path: Path) -> None:
    case = tmp_path / "case.toml"
    case.write_text('[[events]]\nday = 0\naction = "cells"\nproduct = "car_t"\nreceptor = "CAR_BCMA"\n')
    [said] = [note for note in notes(load_config(case)) if "receptor" in note]
    assert said.endswith("what CAR_BCMA sees: it will not grow, and kills plasma cells alone")


def test_a_receptor_that_sees_nothing_is_said_and_an_absent_one_is_an_error(tmp_path: Path) -> None:
    case, rules = tmp_path / "case.toml", tmp_path / "own"
    rules.mkdir()
    event = '[[events]]\nday = 0\naction = "cells"\nproduct = "car_t"\nreceptor = "CAR_CD20"\n'
    case.write_text(f'[patch]\nrules = "{rules}"\n{event}')
    text = (rules_folder("human") / "expression.csv").read_text(encoding="utf-8")
    (rules / "expression.csv").write_text("".join(x for x in text.splitlines(True) if ",CD20," not in x))
    [said] = [note for note in notes(load_config(case)) if "receptor" in note]
    assert said.startswith(f"{case}:7: events[0].receptor: no cell of the marrow shows what CAR_CD20 sees")
    assert said.endswith("it will neither grow nor kill")
    text = (rules_folder("human") / "receptors.csv").read_text(encoding="utf-8")
    (rules / "receptors.csv").write_text("".join(x for x in text.splitlines(True) if not x.startswith("CAR_CD20")))
    with pytest.raises(ConfigError, match=r"case.toml:7: events\[0\].receptor: CAR_CD20 is not in receptors.csv"):
        load_model(load_config(case))


def test_a_disease_that_a_species_lacks_is_one_line(tmp_path: Path) -> None:
    case = tmp_path / "case.toml"
    case.write_text('[patch]\nspecies = "mouse"\n[patient]\ndisease = "all"\n')
    with pytest.raises(ConfigError, match=r'case.toml:4: patient.disease: expected "none" or "aml", found "all"'):
        load_config(case)


def test_the_digest_of_a_species_covers_its_diseases(tmp_path: Path) -> None:
    (tmp_path / "diseases").mkdir()
    (tmp_path / "kinds.csv").write_text("a\n")
    before = rules_digest(tmp_path)
    (tmp_path / "diseases" / "kinds.csv").write_text("a\n")
    assert rules_digest(tmp_path) != before


def test_describe_shows_the_rows_of_a_disease() -> None:
    done = CliRunner().invoke(cli.main, ["describe", "--rules", "human", "diseases/all/drugs"])
    assert done.exit_code == 0, done.output
    assert "diseases/all/drugs.csv" in done.output
    assert "drug=vincristine" in done.output


@pytest.mark.parametrize(
    ("disease", "low", "high"),
    [
        ("burkitt", 1, 8),
        ("all", 3, 10),
        ("dlbcl", 10, 60),
        ("myeloma", 30, 90),
        ("hodgkin", 20, 80),
        ("follicular", 90, 700),
    ],
)
def test_lymphoid_disease_doubles_as_fast_as_its_table_says_of_patients(disease: str, low: float, high: float) -> None:
    patient = {"disease": disease, "blast_fraction": 0.1}
    model = load_model(Config.model_validate({"patient": patient}))
    days = LN2 / leukaemia.growth(model.rules, model.traffic["open_share"])
    assert low < days < high
    page = (rules_folder("human").parents[2] / "docs" / "leukaemia.md").read_text(encoding="utf-8")
    assert f"| `{disease}` | {days:.{1 if days < 10 else 0}f} d |" in page
