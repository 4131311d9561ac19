"""Measure how the time of a step grows with ranks on this machine, and what ``abm check --ranks`` predicts for it.

    python -m benchmarks.scaling                    strong scaling at 256^3, weak scaling with 64 planes of 256^2 a rank
    python -m benchmarks.scaling --quick            128^3, and 32 planes of 128^2 a rank
    python -m benchmarks.scaling --ranks 1 2 --repeats 5
    python -m benchmarks.scaling --table FILE.json  only print the table of a result

Each case is a launch of its own (``mpiexec -n R``), one thread a rank. Cases take turns, so that a change of the
machine's load meets all of them. The prediction knows the case on one rank and what a message costs here, nothing else.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from abm import resources
from abm.backends import choose
from abm.bench import machine
from abm.bench.meter import HOMING, OTHERS, Meter
from abm.comm import SerialComm, connect
from abm.config import Config, load_config
from abm.scale.forecast import Forecast, StepTime
from abm.scale.machines import Figure, Machine, Options
from abm.scale.machines import machine as machine_of
from abm.setup import load_model, make_domain
from abm.step import Simulation

Row = dict[str, Any]
TOP = Path(__file__).resolve().parents[1]
RESULTS = TOP / "benchmarks" / "results"
SCENARIO = "homeostasis.toml"
#: Sites along y and x, planes in all (strong scaling), planes a rank (weak scaling).
FULL, QUICK = (256, 256, 64), (128, 128, 32)
#: Aimed-at duration of a timed block, s; blocks of a launch; steps metered after them.
BLOCK_S, BLOCKS, METERED = 2.0, 3, 3
#: Bytes of the messages that are timed, and how often.
SMALL, LARGE, PINGS = 8, 1 << 24, 40
#: A launch counts if other programs used at most so many cores meanwhile.
QUIET = 0.1
#: What a meter times that is no computing of sites; lists of lymphocytes are made inside an exchange.
NO_COMPUTE = (*OTHERS.values(), *HOMING, "pack", "unpack")


# ------------------------------------------------------------------------------------------------ one launch


def work(shape: Sequence[int]) -> None:
    """Measure one lattice on the ranks of this launch; rank 0 prints JSON."""
    comm = connect()
    config = configuration(shape)
    backend = choose("host")[0]
    began = time.perf_counter()
    clock = Clock(Simulation.start(config, meter_for(config, backend, comm), comm))
    row: Row = {"start_s": round(time.perf_counter() - began, 2), "load": os.getloadavg()[0]}
    clock.advance(1)
    steps = max(1, min(20, round(BLOCK_S / clock.advance(1))))
    steps = int(comm.sum_int64(np.array([steps]))[0]) // comm.size  # the same on all ranks
    row |= {"steps_per_block": steps, "step_s": [clock.advance(steps) / steps for _ in range(BLOCKS)]}
    row |= {"parts_s": clock.parts(METERED), "candidates": clock.tried / METERED / config.n_sites}
    row |= ping(comm)
    row["peak_mib"] = peak_mib()
    rows = comm.gather(row)
    if rows is not None:
        print(json.dumps(rows))


def configuration(shape: Sequence[int]) -> Config:
    """Return the scenario at a shape (nz, ny, nx)."""
    return load_config(resources.folder("scenarios") / SCENARIO, [f"patch.shape={list(shape)}"])


def meter_for(config: Config, backend: Any, comm: SerialComm) -> Meter:  # noqa: ANN401 - any backend
    """Return the backend with a meter, for the slab of this rank."""
    return Meter(backend, math.prod(make_domain(config, comm).local_shape))


class Clock:
    """Times steps, and their parts: before each communication all ranks wait for each other, apart."""

    def __init__(self, simulation: Simulation) -> None:
        """Stand beside a simulation."""
        self.simulation, self.comm = simulation, simulation.comm
        self.spent: dict[str, float] = {}
        self.tried = 0
        self.inside = False  # of arrivals, which communicate too

    def advance(self, steps: int) -> float:
        """Return how long some steps take, s, all ranks together."""
        self.comm.wait()
        began = time.perf_counter()
        for _ in range(steps):
            self.simulation.advance()
        self.comm.wait()
        return time.perf_counter() - began

    def parts(self, steps: int) -> dict[str, float]:
        """Return the seconds of a step by what they are spent on, in the terms of ``StepTime``, and waiting."""
        for name in ("sum_int64", "either", "share", "gather_planes"):
            self._time(self.comm, name, "collectives")
        self._time(self.comm, "exchange", "exchange")
        for name in ("begin", "end"):
            self._time(self.simulation.homing, name, "arrivals")
        draw = self.simulation.circulation.requests
        vars(self.simulation.circulation)["requests"] = lambda *given: self._count(draw(*given))
        meter: Meter = self.simulation.backend
        with meter.metering() as entries:
            whole = self.advance(steps)
        kernels = sum(e.seconds for name, e in entries.items() if name not in NO_COMPUTE)
        kernels += entries["clear"].seconds
        inside = sum(self.spent.get(f"arrivals/{name}", 0.0) for name in ("collectives", "wait"))
        homing = self.spent.get("arrivals", 0.0) - inside
        found = {name: self.spent.get(name, 0.0) for name in ("exchange", "collectives", "wait")}
        found |= {"compute": kernels, "homing": homing}
        found["host"] = whole - sum(found.values())
        return {name: seconds / steps for name, seconds in found.items()}

    def _count(self, requests: Any) -> Any:  # noqa: ANN401
        self.tried += int(requests.last[-1])
        return requests

    def _time(self, owner: Any, name: str, part: str) -> None:  # noqa: ANN401
        original = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            began = time.perf_counter()
            if part != "arrivals":
                self.comm.wait()
                self._add("wait", time.perf_counter() - began)
                began = time.perf_counter()
            self.inside = part == "arrivals" or self.inside
            result = original(*args, **kwargs)
            self.inside = part != "arrivals" and self.inside
            self._add(part, time.perf_counter() - began)
            return result

        setattr(owner, name, timed)

    def _add(self, part: str, seconds: float) -> None:
        self.spent[part] = self.spent.get(part, 0.0) + seconds
        if self.inside:
            self.spent[f"arrivals/{part}"] = self.spent.get(f"arrivals/{part}", 0.0) + seconds


def ping(comm: SerialComm) -> Row:
    """Return what an exchange with both neighbours costs: latency, us, and GB/s each way."""
    if comm.size == 1:
        return {}
    small, large = (exchange_s(comm, size) for size in (SMALL, LARGE))
    return {"latency_us": small * 1e6, "node_link_gb_per_s": 2 * LARGE / large / 1e9}


def exchange_s(comm: Any, size: int) -> float:  # noqa: ANN401 - an MpiComm
    """Return the median seconds in which each rank sends ``size`` bytes to either side."""
    buffers = [np.ones(size, np.uint8) for _ in range(4)]
    lower, upper = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size
    seconds = []
    for _ in range(PINGS):
        comm.wait()
        began = time.perf_counter()
        waiting = [comm.world.Irecv(buffers[0], source=lower, tag=1), comm.world.Irecv(buffers[1], source=upper, tag=2)]
        waiting += [comm.world.Isend(buffers[2], dest=upper, tag=1), comm.world.Isend(buffers[3], dest=lower, tag=2)]
        comm.mpi.Request.Waitall(waiting)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def peak_mib() -> float:
    """Return the most memory this process has held, MiB."""
    from abm.bench.first_step import peak_rss

    return peak_rss() / 2**20


# ------------------------------------------------------------------------------------------------ all launches


def measure(ranks: Sequence[int], size: tuple[int, int, int], repeats: int, say: Callable[[str], None]) -> list[Row]:
    """Return one row per case, with what every launch of it found."""
    edge, planes, thin = size
    cases: list[Row] = [{"scaling": "strong", "ranks": r, "shape": [planes, edge, edge]} for r in ranks]
    cases += [{"scaling": "weak", "ranks": r, "shape": [thin * r, edge, edge]} for r in ranks]
    for case in cases:
        case["launches"] = []
    for number in range(repeats):
        for case in cases:
            found = launch(case["ranks"], case["shape"])
            case["launches"].append(found)
            steps = ", ".join(f"{seconds * 1e3:.0f}" for seconds in found[0]["step_s"])
            where = f"{case['scaling']}, {case['ranks']} ranks, {'x'.join(map(str, case['shape']))}"
            say(f"{number + 1} of {repeats}: {where}: {steps} ms a step; others used {found[0]['others']:.2f} cores")
    return cases


def launch(ranks: int, shape: Sequence[int]) -> list[Row]:
    """Measure one case in processes of their own; return what each rank found."""
    own = Path(sys.executable).parent / "mpiexec"
    starter = [str(own) if own.exists() else shutil.which("mpiexec") or "mpiexec", "-n", str(ranks)]
    command = [sys.executable, "-m", "benchmarks.scaling", "--work", *map(str, shape)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TOP)}
    command = [*(starter if ranks > 1 else []), *command]
    began, others = time.perf_counter(), busy_s()
    done = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)}: {done.stderr.strip()[-2000:]}")
    rows: list[Row] = json.loads(done.stdout.splitlines()[-1])
    rows[0]["others"] = round((busy_s() - others) / (time.perf_counter() - began), 2)
    return rows


def busy_s() -> float:
    """Return the processor seconds of everybody but this program and what it started, since the machine started."""
    try:
        ticks = [int(text) for text in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    except OSError:
        return math.nan
    busy = sum(ticks) - ticks[3] - ticks[4]  # neither idle nor waiting for a disk
    own = os.times()
    return busy / os.sysconf("SC_CLK_TCK") - sum(own[:4])


# ------------------------------------------------------------------------------------------------ prediction, table


def quiet(case: Row) -> list[list[Row]]:
    """Return the launches that nobody disturbed; if there are none, all."""
    return [found for found in case["launches"] if found[0]["others"] <= QUIET] or case["launches"]


def blocks(case: Row) -> list[float]:
    """Return the seconds of a step in every block of every quiet launch."""
    return [seconds for found in quiet(case) for seconds in found[0]["step_s"]]


def parts(case: Row) -> Row:
    """Return the median over quiet launches of the mean over ranks, s, of each part of a step."""
    names = case["launches"][0][0]["parts_s"]
    means = [{k: statistics.mean(r["parts_s"][k] for r in found) for k in names} for found in quiet(case)]
    return {name: statistics.median(mean[name] for mean in means) for name in names}


def predict(cases: Sequence[Row], cores: int) -> list[StepTime]:
    """Return what ``abm check`` would say of each case, if it knew the first on one rank and the cost of messages."""
    alone = next(case for case in cases if case["ranks"] == 1 and case["scaling"] == "strong")
    pings = [r for case in cases if 1 < case["ranks"] <= cores for found in quiet(case) for r in found]
    found, model = parts(alone), load_model(configuration(alone["shape"]))
    source = "measured: this benchmark"
    tried = statistics.median(launch[0]["candidates"] for launch in quiet(alone))
    sites = int(np.prod(alone["shape"]))
    base = machine_of(model, Options(rate=1.0, ranks_per_node=max(case["ranks"] for case in cases)), None)
    one = Forecast(model, base, 1)
    figures = dict(base.figures) | {
        "rate": Figure(one.counted.moved / one.counted.per_site / found["compute"], source),
        "copy": Figure(2 * sum(side.copied for side in one.counted.sides) / found["exchange"] / 1e9, source),
        "candidates": Figure(tried, source),
        "candidate_s": Figure(found["homing"] / (tried * sites), source),
        "step_s": Figure(found["host"], source),
    }
    if pings:
        for name in ("latency", "node_link"):
            key = {"latency": "latency_us", "node_link": "node_link_gb_per_s"}[name]
            figures[name] = Figure(statistics.median(row[key] for row in pings), source)
    here = Machine("host", figures, base.node, cores)
    return [Forecast(load_model(configuration(c["shape"])), here, c["ranks"]).step() for c in cases]


def table(made: Row) -> Iterator[str]:
    """Yield the table, Markdown."""
    cases = made["cases"]
    predicted = predict(cases, made["machine"]["cores"])
    names = [*StepTime._fields, "wait"]
    yield f"| scaling, ranks | sites | launches | | ms a step | efficiency | {' | '.join(names)} |"
    yield "|---|---|---|---|---|---|" + "---|" * len(names)
    first: dict[tuple[str, str], float] = {}
    for case, step in zip(cases, predicted, strict=True):
        kind, ranks, seconds, found = case["scaling"], case["ranks"], blocks(case), parts(case)
        median, model = statistics.median(seconds), step._asdict() | {"wait": 0.0}
        span = f"{median * 1e3:.0f} ({min(seconds) * 1e3:.0f} - {max(seconds) * 1e3:.0f})"
        for who, total, text, spent in (
            ("measured", median, span, found),
            ("predicted", step.total, f"{step.total * 1e3:.0f}", model),
        ):
            alone = first.setdefault((kind, who), total)
            efficiency = alone / total / (ranks if kind == "strong" else 1)
            used = f"{len(quiet(case))} of {len(case['launches'])}"
            where = f"{kind}, {ranks} | {'x'.join(map(str, case['shape']))} | {used}" if who == "measured" else " | | "
            each = " | ".join(f"{spent[name] * 1e3:.1f}" for name in names)
            yield f"| {where} | {who} | {text} | {efficiency:.0%} | {each} |"


def parse_arguments() -> argparse.Namespace:
    """Return the command line's choices."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4], help="default: 1 2 4")
    parser.add_argument("--quick", action="store_true", help="smaller lattices, two launches")
    parser.add_argument("--repeats", type=int, help="launches of each case (default 5)")
    parser.add_argument("--label", help="part of the result file's name (default: processor and cores)")
    parser.add_argument("--table", type=Path, help="measure nothing, print the table of this result")
    parser.add_argument("--work", type=int, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if min(arguments.ranks) != 1:
        parser.error("--ranks: one of them must be 1, the others are predicted from it")
    return arguments


def main() -> None:
    """Measure, write, print."""
    arguments = parse_arguments()
    if arguments.work:
        work(arguments.work)
        return
    if arguments.table:
        print("\n".join(table(json.loads(arguments.table.read_text(encoding="utf-8")))))
        return
    made = machine.provenance() | {"format": "abm-scaling", "scenario": SCENARIO, "threads_per_rank": 1}
    repeats = arguments.repeats or (2 if arguments.quick else 5)
    made["cases"] = measure(arguments.ranks, QUICK if arguments.quick else FULL, repeats, say)
    label = arguments.label or machine.label(made["machine"])
    path = RESULTS / f"{made['date'][:10]}-scaling-{label}.json"
    path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    say(f"written: {os.path.relpath(path)}")
    print("\n".join(table(made)))


def say(line: str) -> None:
    """Print one line of progress."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
