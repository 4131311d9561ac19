"""``abm bench``: the workloads are what they claim to be, and what is measured is reported whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from abm import cli, memory
from abm.backends import choose
from abm.backends.numpy_backend import NumpyBackend
from abm.bench import machine, measure
from abm.bench.measure import Case
from abm.bench.meter import Meter, moved
from abm.bench.workloads import DEFAULT, WORKLOADS, find
from abm.cells import HOT, Count, Kind
from abm.errors import ConfigError
from abm.io import state_hash
from abm.kernel import parse
from abm.phases import HALO, SWEPT
from abm.step import Simulation

KIND_MASK = np.uint32((1 << HOT[0].bits) - 1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time for moments, copy little."""
    monkeypatch.setattr(measure, "BLOCK_S", 1e-4)
    monkeypatch.setattr(machine, "COPY_N", 1 << 10)


def abm(*args: str) -> Result:
    return CliRunner().invoke(cli.main, list(args), catch_exceptions=False, prog_name="abm")


# ------------------------------------------------------------------------------------------ marrow-lite


@pytest.fixture(scope="module")
def lite() -> tuple[Simulation, list[dict[str, Any]]]:
    """Some steps of marrow-lite, each with the cells before it and its counts."""
    workload = find("marrow-lite")
    simulation = workload.start(workload.config(60), choose("auto")[0])
    steps = []
    for _ in range(5):
        before = {layer: simulation.lattice.owned(f"{layer}_hot") for layer in ("res", "mot")}
        simulation.advance()
        steps.append({**before, "counts": simulation.last.sum(axis=2), "after": simulation.lattice.owned("mot_hot")})
    return simulation, steps


def kinds(words: Any) -> Any:
    return words & KIND_MASK


def around(field: Any) -> Any:
    """Sum over the 27 sites around each site."""
    for axis in range(3):
        field = np.roll(field, 1, axis) + field + np.roll(field, -1, axis)
    return field


def test_marrow_lite_starts_as_stated(lite: tuple[Simulation, list[dict[str, Any]]]) -> None:
    simulation, steps = lite
    n = simulation.n_sites
    resident, motile = kinds(steps[0]["res"]), kinds(steps[0]["mot"])
    assert abs(np.count_nonzero(resident) / n - 0.60) < 0.005  # 4 standard deviations: 0.0042
    assert abs(np.count_nonzero(resident == Kind.BLAST) / n - 0.06) < 0.003
    assert abs(np.count_nonzero(motile == Kind.CD8_EFFECTOR) / n - 0.05) < 0.003
    assert set(np.unique(resident)) == {Kind.EMPTY, Kind.MPP, Kind.BLAST}
    assert set(np.unique(motile)) == {Kind.EMPTY, Kind.CD8_EFFECTOR}
    assert not simulation.lattice.owned("tissue").any()


def test_marrow_lite_residents_die_and_divide_with_one_percent(lite: tuple[Simulation, list[dict[str, Any]]]) -> None:
    _, steps = lite
    cells = sum(np.count_nonzero(kinds(s["res"]) == Kind.MPP) for s in steps)
    died, born = (sum(int(s["counts"][row][Kind.MPP]) for s in steps) for row in (Count.DIE, Count.BIRTH))
    bound = 4 * np.sqrt(0.01 / cells)
    assert abs(died / cells - 0.01) < bound
    # a cell waits if all six neighbours are taken (0.6^6 = 5 %) and loses a contested site now and then
    assert 0.01 * 0.92 - bound < born / cells < 0.01 * (1 - 0.6**6) + bound


def test_marrow_lite_t_cells_kill_one_in_five_and_are_conserved(lite: tuple[Simulation, list[dict[str, Any]]]) -> None:
    _, steps = lite
    expected = killed = 0.0
    for step in steps:
        tumour, t_cell = kinds(step["res"]) == Kind.BLAST, kinds(step["mot"]) == Kind.CD8_EFFECTOR
        choices = around(tumour.astype(np.int64))
        engaged = t_cell & (choices > 0)
        expected += 0.20 * np.count_nonzero(engaged)  # chances of several on one cell add up
        killed += step["counts"][Count.KILL].sum()
        assert step["counts"][Count.KILL].sum() == step["counts"][Count.KILL][Kind.BLAST]
        assert np.count_nonzero(kinds(step["after"])) == np.count_nonzero(t_cell)
    # 4 standard deviations, and up to 1 % less: five or more on one cell are too many
    assert 0.99 * expected - 4 * np.sqrt(expected) < killed < expected + 4 * np.sqrt(expected)
    assert expected > 2000


def test_marrow_lite_t_cells_hop_whenever_they_can(lite: tuple[Simulation, list[dict[str, Any]]]) -> None:
    _, steps = lite
    for step in steps:
        t_cell = step["mot"] != 0
        stays = around((kinds(step["res"]) == Kind.BLAST).astype(np.int64)) > 0
        moved_in = np.count_nonzero((step["after"] != 0) & ~t_cell)
        free = np.count_nonzero(t_cell & ~stays)
        assert 0.85 < moved_in / free < 0.97  # 5 % of the sites they try are taken, some are contested
        assert not (t_cell & stays & (step["after"] == 0)).any(), "an engaged T cell left"


@pytest.fixture(scope="module")
def reference() -> Any:
    return Case(find("marrow-lite"), 20, NumpyBackend()).hash()


def test_marrow_lite_obeys_the_law(backend: Any, reference: Any) -> None:
    assert Case(find("marrow-lite"), 20, backend).hash() == reference


def test_a_case_set_back_is_as_new(backend: Any) -> None:
    case = Case(find("motile-heavy"), 16, backend)
    hashes = []
    for _ in range(2):
        case.set_back()
        case.advance(3)
        hashes.append(state_hash(case.simulation.snapshot()))
    fresh = find("motile-heavy")
    simulation = fresh.start(fresh.config(16), backend)
    for _ in range(4):
        simulation.advance()
    assert [*hashes, state_hash(simulation.snapshot())] == [hashes[0]] * 3


def test_motile_heavy_is() -> None:
    case = Case(find("motile-heavy"), 24, NumpyBackend())
    marrow = (case.simulation.lattice.owned("tissue") & 15) == 0
    motile = case.simulation.lattice.owned("mot_hot") != 0
    assert not (motile & ~marrow).any()
    assert abs(motile[marrow].mean() - 0.20) < 0.02  # 4 standard deviations


# ------------------------------------------------------------------------------------------ the meter


SIGNATURE = "KERNEL(grow)(int64_t n, float rate, const float* a, const float* b, const uint8_t* c, uint32_t* d) {"


def test_moved_bytes_follow_from_the_signature() -> None:
    kernel = parse(SIGNATURE)["grow"]
    a, c, d = np.zeros(100, np.float32), np.zeros(100, np.uint8), np.zeros(100, np.uint32)
    table = np.zeros(7, np.float32)
    assert moved(kernel, {"rate": 1.0, "a": a, "b": table, "c": c, "d": d}, 100) == 4 + 1 + 4
    assert moved(kernel, {"rate": 1.0, "a": a, "b": a, "c": c, "d": d}, 100) == 4 + 1 + 4
    listed = parse("KERNEL(put)(int64_t n, const int64_t* place, uint32_t* d) {")["put"]
    assert moved(listed, {"place": np.zeros(5, np.int64), "d": d}, 100) == 0.0


def test_a_meter_is_transparent_and_off_when_done() -> None:
    case = Case(find("fields"), 16, NumpyBackend())
    assert case.meter.copy == case.meter.backend.copy
    with case.meter.metering() as entries:
        case.advance(2)
    assert case.meter.copy == case.meter.backend.copy
    case.advance(1)  # not counted
    assert entries["sweep_cxcl12"].calls == 2
    assert entries["sweep_inflammation"].seconds > 0.0
    assert entries["exchange"].calls > 0
    assert entries["sweep_cxcl12"].bytes == 2 * (16 + 2 * SWEPT) * 16**2 * (1 + 4 + 4 + 4)  # tissue to next
    assert Meter(NumpyBackend(), 1).name == "numpy"
    assert getattr(Meter(NumpyBackend(), 1), "memory", None) is None


# ------------------------------------------------------------------------------------------ the command


def test_json_is_one_object_with_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    done = abm("bench", "marrow-lite", "--size", "12", "--backend", "numpy", "--repeats", "5", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["format_version"] == machine.FORMAT_VERSION
    assert (found["workload"], found["shape"], found["backend"]) == ("marrow-lite", [12, 12, 12], "numpy")
    low, high = found["site_updates_per_s_range"]
    assert 0 < low <= found["site_updates_per_s"] <= high
    assert len(found["block_s"]) == 5
    assert found["agent_updates_per_s"] == pytest.approx(found["site_updates_per_s"] * 0.65, rel=0.2)
    assert found["bytes_per_site_step"] > 50
    assert found["moved_gb_per_s"] == pytest.approx(
        found["bytes_per_site_step"] * found["site_updates_per_s"] / 1e9, abs=6e-4
    )
    assert 0 <= found["share_of_copy"] < 1
    assert {"fate", "engage", "exchange", "body and host"} <= set(found["phases"])
    assert found["memory"]["bytes_per_site"] == Simulation.memory(find("marrow-lite").config(12))[-1][1]
    assert 0 < found["start"]["warm_s"] < 30
    assert found["start"]["cold_s"] > 0
    assert len(found["state_hash"]["hash"]) == 64
    for key in ("cpu", "cores", "load_at_start", "python", "numpy", "compiler", "gpu", "cupy", "omp_num_threads"):
        assert key in found["machine"]
    for key in ("date", "abm", "git", "kernel_digest"):
        assert key in found
    assert "block 5 of 5" in done.stderr


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name != "marrow-lite"])
def test_every_workload_is_measured(name: str, backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    start = {"cold_s": 1.0, "warm_s": 0.5, "shape": [16] * 3, "peak_rss_bytes_per_site": None}
    monkeypatch.setattr(measure, "start_up", lambda *arguments: start)
    said: list[str] = []
    row = measure.measure(name, 16, backend, 5, 10.0, said.append)
    assert row["site_updates_per_s"] > 0
    assert (row["agent_updates_per_s"] is None) == (name == "fields")
    assert row["set_back"]
    assert row["backend"] == backend.name
    assert set(row["phases"]) - {"body and host", "exchange", "clear", "transfer"} <= set(backend.kernels)
    assert said[0] == f"{name} 16^3 on {backend.name}: starting"


def test_large_lattices_stay_inside_one_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "KEPT_SITES", 100)
    case = Case(find("marrow-lite"), 10, NumpyBackend())
    row = measure.rates(case, 5, lambda line: None)
    assert (row["set_back"], row["steps_per_block"], case.hash()) == (False, 1, None)
    assert case.simulation.step <= case.workload.period


def test_tables_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = {"cold_s": 1.0, "warm_s": 0.5, "shape": [9] * 3, "peak_rss_bytes_per_site": 99.0}
    monkeypatch.setattr(measure, "start_up", lambda *arguments: start)
    arguments = ("bench", "--size", "10", "--backend", "numpy", "--repeats", "5")
    done = abm(*arguments, "--out", str(tmp_path / "old.json"))
    assert done.exit_code == 0, done.output
    for name in DEFAULT:
        assert f"{name} 10x10x10 on numpy" in done.stdout
    for text in ("site-updates/s", "agent-updates/s", "bytes per site and step", "of the", "time by kernel", "sweep_"):
        assert text in done.stdout
    assert f"written: {tmp_path / 'old.json'}" in done.stderr
    old = json.loads((tmp_path / "old.json").read_text())
    assert [row["workload"] for row in old["results"]] == list(DEFAULT)
    for row in old["results"]:
        row["site_updates_per_s"] *= 100
        row["site_updates_per_s_range"] = [value * 100 for value in row["site_updates_per_s_range"]]
    (tmp_path / "old.json").write_text(json.dumps(old))
    slower = abm(*arguments[:1], "fields", *arguments[1:], "--compare", str(tmp_path / "old.json"))
    assert slower.exit_code == 1
    assert "fields 10x10x10 on numpy: SLOWER, 0.0" in slower.stdout


def test_help_names_every_workload_and_its_size() -> None:
    text = abm("bench", "--help").stdout
    for name, workload in WORKLOADS.items():
        assert any(line.split()[:2] == [name, str(workload.size)] for line in text.splitlines()), name


# ------------------------------------------------------------------------------------------ bad input


def test_an_unknown_workload_gets_the_nearest_name() -> None:
    done = abm("bench", "marow-lite", "--backend", "numpy")
    assert (done.exit_code, done.stderr) == (2, "error: marow-lite: no such workload (did you mean marrow-lite?)\n")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("3", f"error: --size: expected at least {2 * HALO} sites along each edge, found 3\n"),
        ("-1", f"error: --size: expected at least {2 * HALO} sites along each edge, found -1\n"),
        ("50000", "error: --size: expected a patch that fits into the memory, "),
    ],
)
def test_a_size_that_cannot_be(size: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("allocated")

    monkeypatch.setattr(NumpyBackend, "alloc", never)
    done = abm("bench", "marrow-lite", "--backend", "numpy", "--size", size)
    assert done.exit_code == 2
    assert expected in done.stderr
    assert done.stdout == ""


class Device(NumpyBackend):
    """A backend with a small memory of its own."""

    name = "cuda"

    def memory(self) -> tuple[int, int]:
        return 40_000_000, 80_000_000


def test_a_device_is_asked_for_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.refusal((64, 64, 64), Device(), 50) == ""
    message = memory.refusal((100, 100, 100), Device(), 50)
    assert message.startswith(
        "expected a patch that fits into the memory of the cuda device, 0.0373 GiB; this one of 1e+06"
    )
    edge = int(message.split("[")[1].split(",")[0])
    assert memory.refusal((edge, edge, edge), Device(), 50) == ""
    with pytest.raises(ConfigError, match="memory of the cuda device"):
        Case(find("marrow-lite"), 200, Device())
    monkeypatch.setattr(memory, "host_memory", lambda: 10_000_000)  # where tissue and cells are made
    assert "fits into the memory, 0.00931 GiB" in memory.refusal((64, 64, 64), Device(), 50)


def test_check_and_run_refuse_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ("check", "run"):
        done = abm(command, "homeostasis", "--backend", "numpy", "--set", "patch.shape=[9000,9000,9000]")
        assert done.exit_code == 2
        assert "patch.shape: expected a patch that fits into the memory, " in done.stderr
        assert "would fit" in done.stderr
        assert not list(tmp_path.iterdir())


def test_the_memory_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = memory.host_memory()
    assert whole > 1 << 20
    (tmp_path / "memory.max").write_text("4096\n")
    monkeypatch.setattr(memory, "_LIMITS", (tmp_path / "none", tmp_path / "memory.max"))
    assert memory.host_memory() == 4096
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.host_memory() > 1 << 20
