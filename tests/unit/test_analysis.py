"""Reading a run and reporting on it, on a made-up patient whose every figure is known."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest

from abm import cells, endpoints, resources
from abm.cells import Kind
from tests.unit.made_up_run import CONFIG, blood, lattice, make_run

resources.load_analysis()
import abm_analysis  # noqa: E402
from abm_analysis import axes, figures, page, panels, read, report, slices, therapy  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "aml", every_h=12)


@pytest.fixture(scope="module")
def run(folder):
    return read.open_run(folder)


@pytest.fixture(scope="module")
def html(run):
    return page.page(run, figures.panels(run), slices.newest(run))


def test_run_opens_by_name(run):
    assert run.config["title"].startswith("AML")
    assert run.provenance["config_hash"].startswith("ab12")  # the series file outranks an older manifest
    assert run.provenance["rules_hash"].startswith("cd34")
    assert (run.provenance["phi"], run.provenance["wall_s"]) == (4.2e5, 74.2)
    assert [path.name for path in run.checkpoints] == ["checkpoint-00004560"]
    table = run.table()
    assert (table["hb"].unit, len(table["hb"].values)) == ("g/L", len(run.day))
    assert {"step", "day", "anc"} <= table.keys()


def test_population_by_kind_and_origin(run):
    assert run.population("hsc", "host")[0] == 46
    assert run.population("HSC")[-1] == run.population("hsc", "host")[-1] + run.population("hsc", "donor")[-1]
    assert run.population(["lsc", "blast"])[0] == 36060
    assert run.population().shape == run.day.shape
    assert run.events("kill", "blast").sum() > 0


@pytest.mark.parametrize("call", [("hcs",), ("hsc", "dunor")])
def test_unknown_names_are_refused_with_the_known_ones(run, call):
    with pytest.raises(read.RunError, match="this run has"):
        run.population(*call)


def test_endpoints_come_in_their_units(run):
    found = run.endpoints()
    assert found["anc_recovery_day"] == 17
    assert found["disease"] == "remission"
    assert found["chimerism_myeloid_d100"] == pytest.approx(99.4, abs=0.1)  # the file holds fractions
    assert found["cd4_d180"] == pytest.approx(310, abs=5)  # the file holds 1e9/L
    assert found["graft"] == "marrow"


def test_names_come_from_the_file(folder, tmp_path):
    """A run whose codes differ from today's gives the same result."""
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    new = [int(Kind.BLAST), *(c for c in range(cells.N_KINDS) if c != Kind.BLAST)]  # blasts were once code 0
    with h5py.File(folder / "series.h5") as old, h5py.File(tmp_path / "series.h5", "w") as file:
        for name in ("step", "day", "body"):
            old.copy(name, file)
        for name, value in old.attrs.items():
            file.attrs[name] = value
        kinds = {name: new.index(code) for name, code in json.loads(old.attrs["kinds"]).items() if name != "empty"}
        file.attrs["kinds"] = json.dumps(kinds)
        file["counts"] = old["counts"][()][:, :, new]
    other = read.open_run(tmp_path)
    assert other.population("blast")[0] == 36000
    assert other.endpoints() == read.open_run(folder).endpoints()


def test_units_are_converted_or_refused():
    column = read.Column(np.array([2.0]), "1e9/L")
    assert read.in_unit(column, "1/uL")[0] == 2000
    assert read.in_unit(column, None)[0] == 2
    assert read.in_unit(read.Column(np.array([0.5]), "fraction"), "percent")[0] == 50
    with pytest.raises(read.RunError, match=r"anc.*1e9/L.*g/dL"):
        read.in_unit(column, "g/dL", "anc")


def test_not_a_run(tmp_path):
    with pytest.raises(read.RunError, match=r"no series\.h5"):
        read.open_run(tmp_path)
    (tmp_path / "series.h5").write_bytes(b"\x89HDF torn")
    with pytest.raises(read.RunError, match="not a readable time series"):
        read.open_run(tmp_path)
    assert read.main([str(tmp_path)]) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"[time\n", "not valid TOML: "), (b'title = "\xff\xfe"\n', "not UTF-8 text: it is damaged")],
)
def test_a_damaged_configuration_is_one_line(tmp_path, content, said):
    place = make_run(tmp_path / "a", every_h=24, last_day=5)
    (place / "config.toml").write_bytes(content)
    with pytest.raises(read.RunError) as caught:
        read.open_run(place)
    assert str(caught.value).startswith(f"{place / 'config.toml'}: {said}")
    assert "\n" not in str(caught.value)


def test_tables_for_other_programs(run, tmp_path):
    read.write_tidy(run, tmp_path / "tidy.csv")
    read.write_wide(run, tmp_path / "wide.csv")
    with (tmp_path / "tidy.csv").open() as file:
        rows = list(csv.DictReader(file))
    first = next(r for r in rows if (r["quantity"], r["kind"], r["origin"]) == ("population", "hsc", "host"))
    assert (first["day"], first["value"], first["unit"]) == ("-10.0", "46", "cells")
    assert sum(row["quantity"] == "anc" for row in rows) == len(run.day)
    with (tmp_path / "wide.csv").open() as file:
        wide = list(csv.DictReader(file))
    assert len(wide) == len(run.day)
    assert wide[0]["hsc host (cells)"] == "46"
    assert "anc (1e9/L)" in wide[0]


def test_reader_runs_as_a_script_without_installation(folder, tmp_path):
    script = resources.folder("analysis") / "read.py"
    command = [sys.executable, str(script), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "anc " in done.stdout
    assert "day +17" in done.stdout


def test_reader_does_not_need_the_run_side(folder):
    code = (
        "import sys; from abm import resources; resources.load_analysis(); from abm_analysis import read, report\n"
        f"read.open_run({str(folder)!r}).endpoints()\n"
        "print(sorted(m for m in sys.modules if m.startswith('abm.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    needed = (
        "cells",
        "diversity",
        "endpoints",
        *(f"endpoints.{part}" for part in ("blood", "course", "events", "leukaemia", "marrow")),
        "exactmath",
        "read_outs",
        "resources",
        "summary",
    )  # of the lowest floor
    assert done.stdout.strip() == str([f"abm.{name}" for name in needed])


def test_page_needs_nothing_from_the_network(html):
    assert not re.search(r"(src|href)\s*=|url\(|@import|https?://", html)
    assert "prefers-color-scheme:dark" in html
    assert "@media print" in html


def test_page_says_what_was_asked_and_how_it_was_made(html, run):
    for text in (
        "not for clinical decisions", "Does a sibling graft rescue the marrow", "AML, busulfan-cyclophosphamide",
        "0.1.0", "ab12ab12ab12", "enriched, φ = 4.2e+05", "64 × 64 × 64 sites = 0.64 × 0.64 × 0.64 mm", "74 s",
        f"{axes.short(float(run.population()[0]))} →", "<dt>Seed</dt><dd>7</dd>", "30 % blasts at the start",
    ):  # fmt: skip
        assert text in html, text


def test_page_shows_endpoints_and_treatment(html):
    for text in (
        "<b>day +17</b>", "<b>remission</b>", "Platelets ≥ 20×10⁹/L, untransfused", "busulfan <small>0.8 mg/kg × 16",
        "CD34⁺\N{NO-BREAK SPACE}3×10⁶/kg", "not detected (&lt; 10<sup>−5.1</sup>", 'class="purple taper"',
    ):  # fmt: skip
        assert text in html, text


def test_a_run_says_when_it_was_treated_and_grafted(tmp_path):
    again = '[[events]]\nday = 60.0\naction = "graft"\nsource = "blood"\n'
    run = read.open_run(make_run(tmp_path / "aml", config=CONFIG + again))
    made = run.course()
    assert (made.disease, made.treated_day, made.regraft_day, made.regraft_source) == ("aml", -7.0, 60.0, "blood")
    assert run.endpoints()["second_graft_day"] == 60
    same_day = again.replace("60.0", "1.0")
    units = read.open_run(make_run(tmp_path / "units", config=CONFIG + same_day))
    assert units.course().regraft_day is None


@pytest.mark.parametrize(("disease", "look", "told"), [
    ("persistent", None, "<b>persistent</b><span>Leukaemia<br>"),
    ("not evaluable", 28, "<b>not evaluable</b><span>Leukaemia: no marrow that can be judged from day +28 on<br>"),
])  # fmt: skip
def test_page_says_in_words_how_leukaemia_stands(run, disease, look, told):
    found = run.endpoints() | {"disease": disease, "relapse_day": None, "first_look_day": look}
    assert told in page._tiles(found)


def test_page_tells_a_mouse_by_its_own_counts(run):
    found = endpoints.endpoints(run.course()._replace(species="mouse"))
    assert "Neutrophils ≥ 0.125" in page._tiles(found)


def test_figures_are_well_formed_and_carry_their_numbers(html, run):
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    made = figures.panels(run)
    assert len(drawings) == len(made) + 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL).group(1))
    assert data["lines"].keys() == {panel.key for panel in made}
    assert {len(line) for lines in data["lines"].values() for line in lines} == {len(data["day"])}
    assert "NaN" not in html


def test_panels_of_a_transplant(run):
    made = {panel.key: panel for panel in figures.panels(run)}
    assert made.keys() == {
        "engraftment", "neutrophils", "platelets", "haemoglobin", "lymphocytes", "marrow", "stem_cells", "leukaemia",
        "chimerism", "gvhd", "effectors", "kills", "setting", "growth_factors",
    }  # fmt: skip
    assert [text for _, _, text in made["engraftment"].marks] == ["ANC ≥ 0.5: day +17", "platelets ≥ 20: day +30"]
    assert made["haemoglobin"].unit == "g/dL"
    assert made["haemoglobin"].lines[0].values.max() < 14
    total = sum(line.values[-1] for line in made["marrow"].lines) * 1e3
    assert total == pytest.approx(run.population()[-1])
    assert [band.label for band in made["gvhd"].bands] == ["I", "II", "I"]
    assert made["leukaemia"].thresholds[0][0] == endpoints.RELAPSE


def test_panels_without_graft_or_leukaemia(tmp_path):
    config = 'seed = 1\n[[events]]\nday = -7.0\naction = "tbi"\ndose_gy = 12.0\nfractions = 6\n'
    bare = read.open_run(make_run(tmp_path / "a", every_h=24, last_day=30, config=config, drop=("hb", "gcsf")))
    keys = {panel.key for panel in figures.panels(bare)}
    assert not keys & {"engraftment", "chimerism", "gvhd", "haemoglobin"}
    assert {"neutrophils", "leukaemia", "growth_factors"} <= keys


def test_long_runs_are_thinned(tmp_path, monkeypatch):
    monkeypatch.setattr(panels, "MOST_POINTS", 50)
    made = figures.panels(read.open_run(make_run(tmp_path / "a", last_day=60)))
    assert {len(panel.day) for panel in made} == {50}
    assert {panel.day[-1] for panel in made} == {60.0}


def test_report_without_matplotlib_says_how_to_get_pictures(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "abm_analysis.pictures", raising=False)
    monkeypatch.delattr(abm_analysis, "pictures", raising=False)
    place, said = make_run(tmp_path / "a", every_h=24, last_day=20), []
    written = report.build(place, said.append)
    assert sorted(path.name for path in written) == ["endpoints.json", "report.html"]
    assert said == [report.NO_PNG]
    assert report.NO_PNG in (place / "report" / "report.html").read_text(encoding="utf-8")
    assert json.loads((place / "report" / "endpoints.json").read_text())["anc_recovery_day"] is not None


def test_pictures(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from abm_analysis import pictures

    monkeypatch.setattr(pictures, "DOTS_PER_INCH", 40)
    kept = ("anc", "platelets", "platelet_transfusions", "skin", "gvhd_grade")
    drop = {name for name in blood(np.arange(3.0), 0.0) if name not in kept}
    place = make_run(tmp_path / "a", every_h=24, last_day=50, drop=drop)
    written = report.build(place)
    pngs = {path.stem for path in written if path.suffix == ".png"}
    assert {"engraftment", "marrow", "leukaemia", "gvhd", "overview", "slice"} <= pngs
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in written if path.suffix == ".png")


def test_slice_shows_what_the_checkpoint_holds(run, folder):
    plane = slices.newest(run)
    words = lattice(16)
    assert (plane.step, plane.z) == (4560, 8)
    assert np.array_equal(plane.tissue, words["tissue"][8])
    assert np.array_equal(plane.resident, words["res_hot"][8] & 63)
    groups = list(slices.by_group(run, plane))
    assert sum(resident.sum() for _, _, resident, _ in groups) == (plane.resident > 0).sum()
    origins = {title: resident.sum() for title, _, resident, _ in slices.by_origin(run, plane)}
    assert sum(origins.values()) == (plane.resident > 0).sum()
    assert origins["Donor"] > origins["Host"] > 0


def test_slice_of_an_empty_marrow_is_drawn_without_a_word(run, tmp_path):
    pytest.importorskip("matplotlib")
    from abm_analysis import pictures

    plane = slices.newest(run)
    nobody = np.zeros_like(plane.resident)
    empty = replace(plane, **dict.fromkeys(("resident", "motile"), nobody))
    assert pictures.write_slice(run, empty, tmp_path / "slice.png").stat().st_size > 0


def test_slice_skips_torn_checkpoints(tmp_path):
    place = make_run(tmp_path / "a", every_h=24, last_day=20)
    for name, content in (("checkpoint-00000900", b"torn"), ("checkpoint-00000901", None)):
        (place / name).mkdir()
        if content:
            (place / name / "shard-00000.h5").write_bytes(content)
    assert slices.newest(read.open_run(place)).step == 720


def test_a_merged_file_is_no_folder_of_shards(tmp_path):
    place = make_run(tmp_path / "a", every_h=24, last_day=20)
    (place / "checkpoint-00000900.h5").write_bytes(b"merged")
    run = read.open_run(place)
    assert [path.name for path in run.checkpoints] == ["checkpoint-00000720"]
    assert slices.newest(run).step == 720


def test_schedule_as_bars():
    events = [
        {
            "day": 0.0,
            "action": "graft",
            "source": "cord",
            "cd34_per_kg": 0.0,
            "cd3_per_kg": 5e6,
            "t_depletion_log10": 3.0,
        },
        {"day": -5.0, "action": "tbi", "dose_gy": 12.0, "fractions": 6, "every_h": 12},
        {"day": -1.0, "action": "drug", "drug": "ciclosporin"},
        {"day": 60.0, "action": "stop", "drug": "ciclosporin"},
        {"day": 100.0, "action": "cells", "product": "dli", "cd3_per_kg": 1e7},
        {
            "day": 10.0,
            "action": "antibody",
            "drug": "blinatumomab",
            "dose_mg": 0.196,
            "infusion_h": 168.0,
            "doses": 2,
            "every_h": 336,
        },
        {"day": 0.0, "action": "treat", "drug": "prednisolone", "grade": 2, "days": 14.0, "taper_days": 56.0},
    ]
    bars = {bar.label: bar for bar in therapy.bars({"events": events}, 180.0)}
    assert bars["total-body irradiation"].detail == "12 Gy in 6 fractions"
    assert bars["total-body irradiation"].end == -2.5
    assert (bars["ciclosporin"].start, bars["ciclosporin"].end) == (-1.0, 60.0)
    assert "cord" in bars["graft"].detail
    assert "depleted 3 log" in bars["graft"].detail
    assert (bars["blinatumomab"].end, bars["blinatumomab"].detail) == (31.0, "0.196 mg × 2")
    assert bars["prednisolone"].detail.startswith("from grade 2")
    assert bars["DLI"].detail == "CD3⁺\N{NO-BREAK SPACE}1×10⁷/kg"
    assert therapy.stretches(bars["total-body irradiation"], gap=1.0) == [(-5.0, -2.5)]
    sorted_graft = {"day": 0.0, "action": "graft", "source": "marrow", "cells": {"hsc": 200.0}}
    (bar,) = therapy.bars({"events": [sorted_graft]}, 180.0)
    assert bar.detail == "marrow, 2×10²\N{NO-BREAK SPACE}HSC"
    assert len(therapy.stretches(bars["total-body irradiation"], gap=0.1)) == 6


@pytest.mark.parametrize(("value", "text"), [
    (0.0, "0"), (np.nan, "–"), (0.4567, "0.457"), (12.34, "12.3"), (117409.0, "117 409"), (8.5e-6, "8.5·10⁻⁶"),
])  # fmt: skip
def test_numbers_of_a_readout(value, text):
    assert axes.short(value) == text


def test_days_get_round_ticks():
    assert axes.day_ticks(-10.0, 180.0, 8) == [0, 30, 60, 90, 120, 150, 180]
    assert axes.day_ticks(-10.0, 45.0, 12)[0] == -10


@pytest.mark.parametrize(("disease", "new"), [("aml", False), ("dlbcl", False), ("chip", True), ("ms", True)])
def test_leukaemia_of_a_marrow_that_was_healthy_is_no_relapse(tmp_path, disease, new):
    config = CONFIG.replace('disease = "aml"', f'disease = "{disease}"')
    assert read.open_run(make_run(tmp_path / "a", every_h=24, last_day=5, config=config)).course().clonal is new
