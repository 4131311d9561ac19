"""The prediction of `abm check --ranks`: what it counts is what a step does, and what it derives goes the right way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from abm import cli
from abm.backends.numpy_backend import NumpyBackend
from abm.bench.meter import OTHERS, Meter
from abm.comm import MpiComm, SerialComm
from abm.config import load_config
from abm.domain import Domain
from abm.messages import Edges
from abm.phases import HALO, Phases
from abm.scale import machines, text
from abm.scale.count import OCCASIONAL, Counted, Side, count
from abm.scale.forecast import MIB, Forecast, slab
from abm.scale.machines import DEVICES, UNITS, Figure, Machine, Options, machine, published, trial
from abm.setup import Model, load_model
from abm.step import Simulation
from tests.tiny import tiny_config

ROOT = Path(__file__).resolve().parents[2]
RANKS = (1, 2, 3, 4, 7, 16)


def model_of(*shape: int) -> Model:
    return load_model(tiny_config(patch={"shape": shape}))


def machine_with(**figures: float) -> Machine:
    base = {name: Figure(1.0, "made up") for name in UNITS} | {"candidates": Figure(1e-3, "made up")}
    base |= {"rate": Figure(1e8, "made up"), "candidate_s": Figure(1e-7, "made up"), "step_s": Figure(1e-3, "made up")}
    return Machine("host", base | {name: Figure(value, "made up") for name, value in figures.items()}, node=1)


def forecast(ranks: int, shape: tuple[int, int, int] = (64, 24, 24), **figures: float) -> Forecast:
    return Forecast(model_of(*shape), machine_with(**figures), ranks)


def abm(*args: str) -> Result:
    return CliRunner().invoke(cli.main, list(args), catch_exceptions=False, prog_name="abm")


# ------------------------------------------------------------------------------------------------ what is counted


class CountingComm(SerialComm):
    """One rank that notes what it is asked to exchange."""

    def __init__(self) -> None:
        self.sides: list[Side] = []

    def exchange(self, backend: Any, domain: Domain, edges: Edges) -> None:
        nbytes = sum(array[:depth].nbytes for array, depth in edges.planes)
        sites = edges.cells.hot[: edges.cells.depth].size if edges.cells else 0
        self.sides.append(Side(nbytes, len(edges.planes), sites))
        super().exchange(backend, domain, edges)


@pytest.fixture(scope="module")
def real() -> tuple[Simulation, CountingComm, dict[str, float], Counted]:
    """A patient after a step that was watched, what moved in it, and what was predicted."""
    config, comm = tiny_config(), CountingComm()
    nz, ny, nx = config.patch.shape
    meter = Meter(NumpyBackend(), (nz + 2 * HALO) * ny * nx)
    simulation = Simulation.start(config, meter, comm)
    simulation.advance()
    comm.sides = []
    with meter.metering() as entries:
        simulation.advance()
    moved = {name: entry.bytes for name, entry in entries.items() if name not in {*OTHERS.values(), *OCCASIONAL}}
    return simulation, comm, moved, count(simulation.model, simulation.domain)


def test_messages_are_those_of_a_real_step(real: tuple[Simulation, CountingComm, dict[str, float], Counted]) -> None:
    _, comm, _, counted = real
    assert list(counted.sides) == comm.sides
    assert len(counted.sides) > 3


def test_launches_are_those_of_a_real_step(real: tuple[Simulation, CountingComm, dict[str, float], Counted]) -> None:
    _, _, moved, counted = real
    predicted: dict[str, float] = {}
    for kernel, sites, per_site in counted.launches:
        predicted[kernel] = predicted.get(kernel, 0.0) + sites * per_site
    assert predicted == {kernel: nbytes for kernel, nbytes in moved.items() if nbytes}


@pytest.mark.parametrize("ranks", [1, 3])
def test_arrays_are_those_that_are_allocated(ranks: int) -> None:
    model = model_of(20, 11, 13)
    domain = slab(model, ranks)
    lattice = Phases(NumpyBackend(), domain, SerialComm(), 1)
    names = ("counts", "totals", "numbers", "leaver_site", "leaver_words")
    held = [*lattice.arrays.values(), *(getattr(lattice.tallies, name) for name in names)]
    assert count(model, domain).arrays == sum(array.nbytes for array in held)


class FullMessage:
    """The status of a message as long as its buffer."""

    def Get_count(self, unit: str) -> int:  # noqa: N802
        assert unit == "byte"
        return 1 << 60


def test_buffers_are_those_that_messages_need() -> None:
    model = model_of(20, 11, 13)
    nothing = SimpleNamespace(rank=1, size=3, Irecv=lambda buffer, **k: buffer.fill(0), Isend=lambda *a, **k: None)
    requests = SimpleNamespace(Waitall=lambda *a: None)
    comm = MpiComm(SimpleNamespace(COMM_WORLD=nothing, Request=requests, Status=FullMessage, BYTE="byte"))
    lattice = Phases(NumpyBackend(), slab(model, 3), comm, 1)
    lattice.exchange("tissue", "distance")
    lattice.exchange("res_hot", motile_depth=HALO)
    lattice.exchange("res_hot", "res_cold", *model.fields, motile_depth=HALO)
    for name in model.fields:
        lattice.exchange(name)
    lattice.exchange(motile_depth=3)
    counted, messages = forecast(3, (20, 11, 13)).counted, comm._messages.values()
    assert counted.buffers == sum(buffer.nbytes for message in messages for buffer in message.buffers)
    lists = [message.list for message in messages if message.list]
    assert counted.lists == sum(one.words.nbytes + one.found.nbytes for one in lists)


@pytest.mark.parametrize("planes", [64, 67, 101])
@pytest.mark.parametrize("ranks", RANKS)
def test_planes_are_those_of_the_slabs(planes: int, ranks: int) -> None:
    found = [Domain((planes, 9, 9), HALO, rank, ranks).n_owned for rank in range(ranks)]
    predicted = forecast(ranks, (planes, 9, 9))
    assert predicted.planes == (min(found), max(found))
    assert slab(predicted.model, ranks).n_owned == max(found)


def test_body_is_what_rank_0_tells(real: tuple[Simulation, CountingComm, dict[str, float], Counted]) -> None:
    simulation = real[0]
    packed = simulation.body.pack()
    assert Forecast(simulation.model, machine_with(), 2).body_bytes() == sum(array.nbytes for array in packed.values())


def test_nothing_is_allocated_for_a_whole_marrow() -> None:
    counted = forecast(512, (508928, 1536, 1536)).counted
    assert counted.arrays > 1e11


# ------------------------------------------------------------------------------------------------ what follows


def test_more_ranks_hold_less_and_compute_faster() -> None:
    found = [forecast(ranks) for ranks in RANKS]
    for less, more in zip(found[1:], found, strict=False):
        assert less.memory().arrays < more.memory().arrays
        assert less.step().compute < more.step().compute
        assert less.checkpoint().seconds <= more.checkpoint().seconds
    assert len({f.sent for f in found}) == 1  # as thick as the halo, whatever the slab
    assert [f.step().homing for f in found[1:]] == pytest.approx([found[1].step().homing] * (len(RANKS) - 1))
    assert found[0].step().collectives == 0.0


def test_a_longer_lattice_on_more_ranks_computes_no_longer() -> None:
    first = forecast(1, (16, 24, 24))
    for ranks in (2, 4, 8):
        grown = text.weak(first, 16, ranks)
        assert grown.model.config.patch.shape == (16 * ranks, 24, 24)
        assert grown.step().compute == pytest.approx(first.step().compute)
        assert grown.memory().arrays == first.memory().arrays
        assert grown.step().homing > first.step().homing


@pytest.mark.parametrize(
    ("figure", "part"),
    [
        ("rate", "compute"),
        ("copy", "exchange"),
        ("link", "exchange"),
        ("latency", "exchange"),
        ("latency", "collectives"),
        ("candidate_s", "homing"),
        ("step_s", "host"),
    ],
)
def test_every_figure_counts_where_it_should(figure: str, part: str) -> None:
    is_speed = UNITS[figure][0].endswith("/s")
    slow, fast = (forecast(4, **{figure: 2.0 if is_speed == (k == 1) else 1.0}).step() for k in range(2))
    assert getattr(fast, part) < getattr(slow, part)


def test_neighbours_on_other_nodes_and_shared_cores_cost() -> None:
    near = forecast(4, link=0.1, node_link=10.0)
    spread = [replace(near, machine=replace(near.machine, node=node)).exchange() for node in (4, 2, 1)]
    assert spread[0] < spread[1] < spread[2]
    crowded = replace(near, machine=replace(near.machine, node=4, node_cores=2))
    assert crowded.step().compute == pytest.approx(2 * near.step().compute)


def test_table_compares_with_its_first_row() -> None:
    few = [forecast(ranks, rate=1e5, candidate_s=0.0, step_s=0.0, latency=1e-9) for ranks in (1, 2)]
    first, second = list(text.table("title", few))[2:4]
    assert "100.0%" in first
    assert 50 < float(second.split("%")[0].split()[-1]) < 100


def test_peak_memory_counts_what_is_kept() -> None:
    one, two = forecast(1, (64, 64, 64)), forecast(2, (64, 64, 64))
    assert one.memory().host > one.memory().running > one.memory().arrays
    assert two.memory().host > two.memory().arrays + 60 * MIB


# ------------------------------------------------------------------------------------------------ machines


def test_a_gpu_is_assumed_until_it_is_measured(tmp_path: Path) -> None:
    model = model_of(64, 24, 24)
    for device in DEVICES[1:]:
        made = machine(model, Options(device=device), None)
        source = made.figures["rate"].source
        assert source.startswith(
            "measured: homeostasis-256 in " if device == "h200" else "assumed, not yet measured: 30% of "
        )
        assert set(made.figures) == set(UNITS)
    row = {"workload": "homeostasis-256", "backend": "cuda", "site_updates_per_s": 7e9}
    for date, name, rate in (("2026-01-02", "NVIDIA H200", 7e9), ("2026-01-01", "NVIDIA H200", 5e9)):
        document = {"date": date, "machine": {"gpu": name}, "results": [row | {"site_updates_per_s": rate}]}
        (tmp_path / f"{date}.json").write_text(json.dumps(document))
    assert published("h200", tmp_path) == (7e9, "measured: homeostasis-256 in 2026-01-02.json")
    assert published("h100", tmp_path) is None


def test_what_is_given_wins() -> None:
    options = Options(device="h100", rate=5.0, link=6.0, latency=7.0, checkpoint_gb_per_s=8.0, ranks_per_node=3)
    made = machine(model_of(64, 24, 24), options, None)
    assert [made[name] for name in ("rate", "link", "latency", "files")] == [5.0, 6.0, 7.0, 8.0]
    assert made.figures["link"].source == "given"
    assert made.node == 3


def test_trial_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "TRIAL_S", 0.01)
    found = trial(tiny_config(), NumpyBackend())
    assert set(found) == {"rate", "step_s", "candidates", "candidate_s", "motile"}
    assert found["rate"].value > 0.0  # nobody comes from the blood in the first days of this patient
    assert all(figure.value >= 0.0 and "measured" in figure.source for figure in found.values())


# ------------------------------------------------------------------------------------------------ the command


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("case.toml").write_text("[patch]\nshape = [64, 24, 24]\n")
    return "case.toml"


def test_check_prints_the_prediction_and_writes_nothing(case: str) -> None:
    done = abm("check", case, "--backend", "numpy", "--ranks", "3", "--rate", "1e7")
    assert done.exit_code == 0, done.stderr
    for expected in ("slabs of 21 or 22 planes", "18 messages a step", "strong scaling", "weak scaling", "given"):
        assert expected in done.stdout
    assert [line.split()[0] for line in done.stdout.split("strong scaling")[1].splitlines()[2:8]] == [
        *("1", "2", "3", "4", "8"),
        "weak",
    ]
    assert os.listdir() == ["case.toml"]


def test_check_says_what_it_assumes(case: str) -> None:
    done = abm("check", case, "--backend", "numpy", "--device", "h100")
    assert "assumed, not yet measured" in done.stdout
    assert "data sheet" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--ranks", "17"), "at least 4 planes (the halo) for each of 17 ranks, found 64 planes; at most 16 ranks"),
        (("--ranks", "0"), "--ranks: expected a whole number >= 1, found 0"),
        (("--device", "h20"), "--device: no such device 'h20' (did you mean h200?)"),
        (("--rate", "-1"), "--rate: expected a number > 0, found -1"),
        (("--link", "nan"), "--link: expected a number > 0, found nan"),
        (("--latency", "0"), "--latency: expected a number > 0, found 0"),
        (("--checkpoint-gb-per-s", "inf"), "--checkpoint-gb-per-s: expected a number > 0, found inf"),
        (("--ranks-per-node", "-2"), "--ranks-per-node: expected a whole number >= 1, found -2"),
        (("--ranks", "two"), "'two' is not a valid integer"),
    ],
)
def test_check_refuses_what_cannot_be(case: str, options: tuple[str, ...], message: str) -> None:
    done = abm("check", case, "--backend", "numpy", *options)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_check_refuses_a_slab_that_does_not_fit(case: str) -> None:
    large = ("--set", "patch.shape=[4096,1024,1024]", "--device", "h100", "--backend", "numpy")
    done = abm("check", case, "--ranks", "2", *large)
    assert done.exit_code == 2
    assert "does NOT fit" in done.stdout
    assert "2 ranks need" in done.stderr
    assert "4 ranks would fit" in done.stderr
    assert abm("check", case, "--ranks", "4", *large).exit_code == 0


# ------------------------------------------------------------------------------------------------ against the system

MEASURED = """
import re, sys
from pathlib import Path
from abm import cli
try:
    cli.main([*sys.argv[1:], "--quiet", "--steps", "2", "--backend", "host"])
except SystemExit:
    print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say what a process holds")
@pytest.mark.parametrize("size", [64, 128, 256])
def test_peak_memory_is_that_of_a_run(size: int, backend: Any, tmp_path: Path) -> None:
    if backend.name != "host":
        pytest.skip("memory of the host backend")
    shape = f"patch.shape=[{size},{size},{size}]"
    command = [sys.executable, "-c", MEASURED, "run", "aml_hsct", "--set", shape, "--out", str(tmp_path / "run")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    measured = int(done.stdout.splitlines()[-1]) * 1024
    empty = [sys.executable, "-c", MEASURED.split("from abm")[0] + MEASURED.splitlines()[-1].strip()]
    nothing = int(subprocess.run(empty, capture_output=True, text=True, check=True).stdout) * 1024
    model = load_model(load_config(ROOT / "scenarios" / "aml_hsct.toml", [shape]))
    predicted = Forecast(model, machine_with(), 1).memory().host
    assert predicted - nothing == pytest.approx(measured - nothing, rel=0.10)


def test_every_figure_is_finite() -> None:
    step = forecast(5).step()
    assert np.isfinite(step).all()
    assert step.total == pytest.approx(sum(step))
