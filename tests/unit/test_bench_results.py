"""Files of results: reading, comparing, drawing; other frameworks; the script for a machine with a GPU."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from abm import cli
from abm.backends.numpy_backend import NumpyBackend
from abm.bench import measure, results, session
from abm.errors import ConfigError
from benchmarks import linearity, merge, render, same_state, versus

ROOT = Path(__file__).resolve().parents[2]
MACHINE = {"cpu": "AMD EPYC", "cores": 2, "gpu": None, "omp_num_threads": None, "load_at_start": 0.1}


def document(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    provenance = {"format": "abm-bench", "format_version": 2, "date": "2026-01-02T03:04:05+00:00", "machine": MACHINE}
    return results.document(provenance | changes, rows)


def row(median: float = 1e8, low: float = 0.9e8, high: float = 1.1e8, **changes: Any) -> dict[str, Any]:
    made = {
        "workload": "marrow-lite",
        "shape": [100, 100, 100],
        "backend": "host",
        "detail": "g++",
        "threads": 2,
        "site_updates_per_s": median,
        "site_updates_per_s_range": [low, high],
        "bytes_per_site_step": 100.0,
        "share_of_copy": 0.3,
    }
    return made | changes


def save(path: Path, made: Any) -> Path:
    path.write_text(json.dumps(made))
    return path


# ------------------------------------------------------------------------------------------ comparison


@pytest.mark.parametrize(
    ("now", "verdict", "slower"),
    [
        (1e8, "as before, 1.00 of 1e+08", False),
        (0.91e8, "as before, 0.91", False),  # inside the tolerance
        (0.89e8, "SLOWER, 0.89", True),
        (1.09e8, "as before", False),
        (1.2e8, "faster, 1.20", False),
    ],
)
def test_a_slow_down_is_one_beyond_tolerance_and_range(tmp_path: Path, now: float, verdict: str, slower: bool) -> None:
    old = save(tmp_path / "old.json", document(row()))
    [(line, is_slower)] = results.compare(document(row(now)), [row(now)], old)
    assert line.startswith(f"marrow-lite 100x100x100 on host: {verdict}")
    assert is_slower == slower


def test_what_scatters_widely_is_not_called_slower(tmp_path: Path) -> None:
    old = save(tmp_path / "old.json", document(row(low=0.7e8)))
    [(line, slower)] = results.compare(document(row(0.75e8)), [row(0.75e8)], old)
    assert "as before, 0.75 of 1e+08 site-updates/s (7e+07 .. 1.1e+08)" in line
    assert not slower


def test_only_like_is_compared_with_like(tmp_path: Path) -> None:
    old = save(tmp_path / "old.json", document(row(), row(workload="fields", shape=[8, 8, 8])))
    now = [row(5e7, workload="fields", shape=[8, 8, 8]), row(backend="cuda")]
    lines = list(results.compare(document(*now), now, old))
    assert [slower for _, slower in lines] == [True, False]
    assert lines[1][0] == "marrow-lite 100x100x100 on cuda: no earlier result"
    with pytest.raises(ConfigError, match=r"expected an earlier result of marrow-lite 100x100x100 on cuda; it holds"):
        list(results.compare(document(now[1]), now[1:], old))


def test_another_machine_is_told(tmp_path: Path) -> None:
    old = save(tmp_path / "old.json", document(row(), machine=MACHINE | {"cores": 64}))
    lines = list(results.compare(document(row()), [row()], old))
    assert lines[0] == (f"WARNING: {old} comes from another machine or another number of threads", False)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "1: expected JSON written by `abm bench`"),
        ("{", "expected JSON written by `abm bench`"),
        ("[]", 'format: expected "abm-bench" (a file of `abm bench`), found null'),
        ('{"format": "pytest"}', 'format: expected "abm-bench" (a file of `abm bench`), found "pytest"'),
        (json.dumps(document(row(), format_version=1)), "format_version: expected 2, found 1"),
        (json.dumps(document(row()) | {"results": []}), "results: expected a list of at least one result"),
        (json.dumps(document(row()) | {"results": [7]}), "results[0]: expected an object"),
        (json.dumps(document(row(shape="big"))), 'shape: expected three whole numbers, found "big"'),
        (
            json.dumps(document(row(median=-1.0), row())),
            "results[0].site_updates_per_s: expected a number > 0, found -1.0",
        ),
        (json.dumps(document({"workload": "fields"})), "backend: expected text, found nothing"),
    ],
)
def test_a_broken_or_foreign_file_is_an_error_before_anything_is_measured(
    content: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "measure", None)
    path = tmp_path / "old.json"
    path.write_text(content)
    done = CliRunner().invoke(cli.main, ["bench", "fields", "--compare", str(path)], catch_exceptions=False)
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: {path}:")
    assert expected in done.stderr


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    for option, name, expected in (
        ("--compare", "none.json", "cannot read these results: No such file or directory"),
        ("--compare", ".", "cannot read these results: Is a directory"),
        ("--out", "none/new.json", "--out: expected a directory, or a file in a directory that exists"),
    ):
        done = CliRunner().invoke(cli.main, ["bench", "fields", option, str(tmp_path / name)], catch_exceptions=False)
        assert (done.exit_code, expected in done.stderr) == (2, True), done.stderr


def test_a_directory_gets_a_dated_file(tmp_path: Path) -> None:
    path = results.write(document(row()), tmp_path)
    assert path.name == "2026-01-02-amd-epyc-2-cores.json"
    assert results.read(path)[1] == [document(row())]
    other = document(row(), row(backend="numpy"), machine=MACHINE | {"gpu": "NVIDIA H200, 570.1"})
    path = results.write(other, tmp_path)
    assert path.name == "2026-01-02-nvidia-h200-2-cores.json"
    assert [found["backend"] for found in results.read(path)[1]] == ["host", "numpy"]


# ------------------------------------------------------------------------------------------ the page


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page and a folder of results of our own."""
    (tmp_path / "results").mkdir()
    (tmp_path / "README.md").write_text(f"before\n{render.BEGIN}\nold\n{render.END}\nafter\n")
    for name, value in (
        ("HERE", tmp_path),
        ("README", tmp_path / "README.md"),
        ("RESULTS", tmp_path / "results"),
        ("PLOT", tmp_path / "results" / "plot.png"),
    ):
        monkeypatch.setattr(render, name, value)
    return tmp_path


def test_the_page_shows_the_newest_and_what_is_not_yet_measured(page: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: the plot is not drawn")
    save(page / "results" / "b.json", document(row(1e8), row(shape=[1000] * 3, threads=1)))
    save(page / "results" / "a.json", document(row(2e8), date="2026-05-01T00:00:00+00:00"))
    pair = {"median": 3.0, "range": [2.0, 4.0]}
    peer = {"peer": "mesa", "version": "3.0", "backend": "host", "shape": [64] * 3}
    peers = [peer | {"theirs": pair, "ours": pair, "ratio": pair}, {"peer": "repast4py", "reason": "not installed"}]
    save(page / "results" / "c.json", document(row(workload="fields")) | {"results": [], "peers": peers})
    render.render()
    text = (page / "README.md").read_text()
    assert text.startswith(f"before\n{render.BEGIN}\n\n| workload")
    assert text.endswith(f"{render.END}\nafter\n")
    assert (
        "| `marrow-lite` | 100^3 | host | **2e+08** | 9e+07 - 1.1e+08 | 100 B/site, 30% | AMD EPYC, 2 threads," in text
    )
    assert "| `marrow-lite` | 100^3 | cuda | not yet measured |" in text
    assert "| `marrow-lite` | 1000^3 | host | **1e+08** |" in text
    assert "1000^3 | cuda" not in text
    assert "| mesa 3.0 | 64^3 | 3 | 3 (host) | **3** (2 - 4) | AMD EPYC, 2 threads, 2026-01-02 |" in text
    assert "repast4py" not in text
    assert "![Site-updates per second by workload, backend and framework](results/plot.png)" in text
    assert 0 < (page / "results" / "plot.png").stat().st_size < 300_000
    before = text
    render.render()
    assert (page / "README.md").read_text() == before


def test_the_page_of_the_repository_is_made_from_its_results() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    shown = text.split(render.BEGIN)[1].split(render.END)[0].strip()
    assert shown == "\n".join(render.page(*render.newest(render.RESULTS))), "python -m benchmarks.run --render"


# ------------------------------------------------------------------------------------------ others


class Peer:
    """A framework that does nothing, fast."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.steps = n, 0

    def step(self) -> None:
        self.steps += 1

    def counts(self) -> dict[str, int]:
        return {"resident": self.n, "tumour": self.steps, "t_cells": 0}


def test_blocks_of_ours_and_theirs_alternate(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {
        "fast": SimpleNamespace(Model=Peer, available=lambda: ""),
        "absent": SimpleNamespace(Model=Peer, available=lambda: "not installed"),
    }
    monkeypatch.setattr(versus.importlib, "import_module", modules.__getitem__)
    monkeypatch.setattr(versus, "SIZES", (12,))
    monkeypatch.setattr(versus, "MAX_CHUNKS", 1)
    monkeypatch.setattr(measure, "BLOCK_S", 1e-4)
    said: list[str] = []
    names = {name: name for name in modules}
    fast, absent = versus.versus(names, [NumpyBackend()], repeats=5, seed=1, say=said.append)
    assert absent == {"peer": "absent", "reason": "not installed"}
    assert len(fast["ratio"]["values"]) == 5
    pairs = zip(fast["ours"]["values"], fast["theirs"]["values"], strict=True)
    assert fast["ratio"]["values"] == [ours / theirs for ours, theirs in pairs]
    assert fast["shape"] == [12, 12, 12]
    assert fast["steps_per_block"][1] == versus.PERIOD
    assert fast["their_counts"]["tumour"] == fast["counts_after"] == versus.PERIOD + 1
    assert fast["our_counts"]["t_cells"] > 0


def test_we_start_from_the_cells_the_peers_start_from() -> None:
    model = pytest.importorskip("benchmarks.peers.model", exc_type=ImportError)
    resident, motile = model.start(12, 1)
    case = measure.Case(versus.find("marrow-lite"), 12, NumpyBackend())
    own = {layer: case.simulation.lattice.owned(f"{layer}_hot") & 63 for layer in ("res", "mot")}
    assert ((own["res"] == versus.Kind.BLAST) == (resident == model.TUMOUR)).all()
    assert ((own["res"] != 0) == (resident != model.EMPTY)).all()
    assert ((own["mot"] != 0) == (motile != 0)).all()


def test_same_state_on_two_backends(backend: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert same_state.main("homeostasis", 16, 2, ["numpy", backend.name])
    assert capsys.readouterr().out.splitlines()[-1] == "the same state"


def test_results_are_merged_and_their_states_compared(tmp_path: Path) -> None:
    same, other = ({"state_hash": {"step": 2, "hash": text}} for text in ("0a", "0b"))
    parts = [
        save(tmp_path / "1.json", document(row(**same), row(backend="cuda", **same))),
        tmp_path / "never made.json",
        save(tmp_path / "2.json", document(row(shape=[9, 9, 9], **other), row(workload="fields", state_hash=None))),
    ]
    target = tmp_path / "all.json"
    assert merge.merge(target, parts) == []
    made, rows = results.read(target)
    assert made["machine"] == MACHINE
    assert [r["backend"] for r in rows] == ["host", "cuda", "host", "host"]
    save(parts[1], document(row(backend="cuda", detail="H100, without tiles", **other)))
    (line,) = merge.merge(target, parts)
    assert line.startswith(
        "DIFFERENT STATES of marrow-lite 100x100x100: {'host (g++)': '0a', 'cuda (g++)': '0a', 'cuda (H100"
    )
    with pytest.raises(ConfigError, match=r"expected results in any of .*nowhere, found none of these files"):
        merge.merge(target, [tmp_path / "nowhere"])


def gpu_script(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(ROOT / "benchmarks" / "gpu.sh"), *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_the_gpu_script_says_what_it_would_do(tmp_path: Path) -> None:
    done = gpu_script("--dry-run", OUT=str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    for text in (
        "pytest -q -m cuda",
        "same_state aml_hsct",
        "bench marrow-lite --size 1000",
        "compute-sanitizer",
        "benchmarks.forms hsct-full 192",
    ):
        assert text in done.stdout
    assert not (tmp_path / "out").exists()
    assert "eight minutes" in gpu_script("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["--fast"], {}, "error: --fast: expected --dry-run or --help"),
        (["--dry-run"], {"BUDGET_S": "long"}, "error: BUDGET_S=long: expected a whole number >= 1"),
        (["--dry-run"], {"WHEELS": "/nowhere"}, "error: WHEELS=/nowhere: expected a folder of wheels"),
    ],
)
def test_the_gpu_script_refuses_nonsense(arguments: list[str], environment: dict[str, str], expected: str) -> None:
    done = gpu_script(*arguments, **environment)
    assert (done.returncode, done.stderr) == (2, f"{expected}\n")


def test_shapes_are_compared_turn_by_turn() -> None:
    """A machine that is slow in some turns does not decide which shape is dear."""
    small, large = (8, 8, 8), (16, 16, 16)
    rows = linearity.compare({small: [1.0, 1.0, 4.0, 4.0, 4.0], large: [1.5, 1.2, 4.8, 4.8, 4.8]})
    assert [row["over_cheapest"] for row in rows] == [0.0, 0.2]
    assert [row["ns_per_site_update"] for row in rows] == [4.0, 4.8]
    assert "| 16 x 16 x 16 | 4.8 | 1.2 - 4.8 | +20% |" in linearity.table(rows)


def test_shapes_take_turns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(linearity, "SITES", 2 * linearity.STEPS * 16**3)
    rows = linearity.measure("homeostasis-256", [(16, 16, 16), (16, 16, 24)], NumpyBackend(), 2)
    assert "started: 24 x 16 x 16" in capsys.readouterr().err
    assert [row["shape"] for row in rows] == [[16, 16, 16], [16, 16, 24]]
    assert all(len(row["turns"]) == 2 and min(row["turns"]) > 0.0 for row in rows)
