"""Batch jobs: a script for SLURM that fits a run, made from the templates in ``slurm/``. Imports no weight itself."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from abm import resources
from abm.errors import ConfigError

if TYPE_CHECKING:
    from abm.config import Config
    from abm.scale.machines import Machine
    from abm.setup import Model

#: What is asked for, over what is expected: memory, and time from a trial on this machine or from figures of a GPU.
MEMORY_SAFETY, MEASURED_SAFETY, ASSUMED_SAFETY = 1.25, 2.0, 4.0
#: Of a rank, as it may have to compile the kernels, bytes.
LEAST_MEMORY = 1 << 30
#: Times are multiples of this; a longer run than the longest goes on in another job, s.
TIME_UNIT_S, LEAST_TIME_S, LONGEST_S = 300, 600, 86400
#: Cores of a rank: that computes on them, and beside a GPU.
CORES, CORES_BESIDE_GPU = 1, 8
#: Shorter jobs would hardly do a step between their start and the warning of their end, s.
SHORTEST_S = 300
#: Where the script of a submitted job is kept, in the directory of its run.
SCRIPT = "job.sbatch"

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class Wishes:
    """What the user says about a job; ``None``: find out.

    Attributes:
        ranks: number of ranks.
        cores: of a rank.
        gpus: one GPU for each rank.
        device: kind of these GPUs, for the estimate.
        memory: of a rank, such as ``4G``.
        time: ``h:mm:ss`` or ``d-hh:mm:ss``.
        partition: where to run.
        account: who pays.
    """

    ranks: int = 1
    cores: int | None = None
    gpus: bool = False
    device: str = "h100"
    memory: str | None = None
    time: str | None = None
    partition: str | None = None
    account: str | None = None


class Estimate(NamedTuple):
    """Memory of a rank, bytes; time of the run, s; the factor by which to ask for more time; where it comes from."""

    memory: float
    seconds: float
    safety: float
    source: str


def time_s(text: str) -> int:
    """Return the seconds of ``h:mm:ss`` or ``d-hh:mm:ss``.

    SLURM takes other forms as well, in which 90 are minutes and 1:30 are too; abm does not guess.

    Raises:
        ConfigError: another form, or less than a job needs to start and to end.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", text)
    if match is None:
        raise ConfigError(f"expected h:mm:ss or d-hh:mm:ss, found {text!r}", key="--time")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total < SHORTEST_S:
        raise ConfigError(f"expected at least {clock(SHORTEST_S)}, found {text}", key="--time")
    return total


def clock(seconds: float) -> str:
    """Return a time as SLURM reads it."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


def memory_bytes(text: str) -> int:
    """Return the bytes of a size such as ``1500M`` or ``4G``.

    Raises:
        ConfigError: another form.
    """
    match = re.fullmatch(r"([1-9]\d*)([KMGT])", text.upper())
    if match is None:
        raise ConfigError(f"expected a number and K, M, G or T, such as 4G, found {text!r}", key="--mem")
    return int(match[1]) * _UNITS[match[2]]


def estimate(config: Config, wishes: Wishes) -> Estimate:
    """Return what a run takes; computes for some seconds, unless it is meant for GPUs.

    Raises:
        ConfigError: more ranks than the lattice can hold, or slabs too large for a GPU.
    """
    from abm.scale import forecast, text
    from abm.setup import load_model

    model = load_model(config)
    forecast.slab(model, wishes.ranks)  # refused before a trial takes its time
    made = forecast.Forecast(model, machine(model, wishes), wishes.ranks)
    if wishes.gpus and not made.fits():
        raise config.error("patch.shape", text.too_small(made))
    saves = config.n_steps * config.time.step_min // (config.output.checkpoint_h * 60) + 1
    seconds = made.start_s() + config.n_steps * made.step().total + saves * made.checkpoint().seconds
    safety = ASSUMED_SAFETY if wishes.gpus else MEASURED_SAFETY
    return Estimate(made.memory().host, seconds, safety, made.machine.figures["rate"].source)


def machine(model: Model, wishes: Wishes) -> Machine:
    """Return the machine of the job: a GPU, or so many cores as fast as those of this machine."""
    os.environ["OMP_NUM_THREADS"] = str(cores(wishes))  # read when the kernels are loaded
    from abm.backends import choose
    from abm.scale.machines import Figure, Options
    from abm.scale.machines import machine as find

    backend = choose("auto")[0]
    if backend.name == "cuda":
        backend = choose("host")[0]
    options = Options(ranks=wishes.ranks, device=wishes.device if wishes.gpus else "host")
    options.check()
    found = find(model, options, backend)
    packing = {"cores": Figure(float(cores(wishes)), "of a rank")}
    return replace(found, figures={**found.figures, **packing}, node_cores=0)  # ranks of a job share no cores


def cores(wishes: Wishes) -> int:
    """Return the cores of a rank."""
    return wishes.cores or (CORES_BESIDE_GPU if wishes.gpus else CORES)


class Request(NamedTuple):
    """What is asked of SLURM: memory of a core, MiB; time, s; whether the run may need more jobs than one."""

    per_core_mib: int
    seconds: int
    long: bool


def request(wishes: Wishes, expected: Estimate) -> Request:
    """Return what to ask for: what the user wishes, else what is expected and some more.

    Raises:
        ConfigError: a wish of a wrong form.
    """
    needed_s = max(ceil(expected.seconds * expected.safety / TIME_UNIT_S) * TIME_UNIT_S, LEAST_TIME_S)
    seconds = time_s(wishes.time) if wishes.time else min(needed_s, LONGEST_S)
    memory = memory_bytes(wishes.memory) if wishes.memory else max(MEMORY_SAFETY * expected.memory, LEAST_MEMORY)
    return Request(ceil(memory / cores(wishes) / _UNITS["M"]), seconds, long=needed_s > seconds)


def script(config: Config, scenario: Path, out: Path, arguments: tuple[str, ...], wishes: Wishes) -> str:
    """Return the batch script of a run.

    Args:
        config: of the run, with all that ``arguments`` change.
        scenario: its file.
        out: the directory of the run.
        arguments: of ``abm run``.
        wishes: what the user says.

    Raises:
        ConfigError: wrong wishes, or ``out`` holds another run.
    """
    request(wishes, Estimate(0.0, 0.0, 1.0, ""))  # wrong forms are refused before a trial takes its time
    check_same_run(config, out)
    expected = estimate(config, wishes)
    asked = request(wishes, expected)
    directives = {
        "job-name": job_name(out),
        "ntasks": str(wishes.ranks),
        "cpus-per-task": str(cores(wishes)),
        "mem-per-cpu": f"{asked.per_core_mib}M",
        "time": clock(asked.seconds),
        "partition": wishes.partition,
        "account": wishes.account,
        "gpus-per-task": "1" if wishes.gpus else None,
        "output": f"{job_name(out)}-%j.log",
    }
    variables = {
        "SCENARIO": shlex.quote(str(scenario.absolute())),
        "OUT": shlex.quote(str(out.absolute())),
        "ARGUMENTS": f"({shlex.join(arguments)})",
        "BACKEND": "cuda" if wishes.gpus else "auto",
        "ABM": shlex.quote(program()),
    }
    template = "requeue" if asked.long else "gpu" if wishes.gpus else "run"
    text = (resources.folder("slurm") / f"{template}.sbatch").read_text(encoding="utf-8")
    return fit(text, list(header(config, wishes, expected, asked)), directives, variables)


def job_name(out: Path) -> str:
    """Return a name for the job and its log."""
    return f"abm-{re.sub(r'[^A-Za-z0-9._-]', '_', out.absolute().name)}"


def header(config: Config, wishes: Wishes, expected: Estimate, asked: Request) -> Iterator[str]:
    """Yield what the script says of itself."""
    beside = f", a GPU ({wishes.device}) each" if wishes.gpus else ""
    yield f"Written by `abm submit`: {config.n_sites:.3g} sites, {config.n_steps} steps; ranks: {wishes.ranks}{beside}."
    mib = asked.per_core_mib * cores(wishes)
    yield f"Memory of a rank: {expected.memory / _UNITS['M']:.0f} MiB expected, {mib} MiB asked for."
    yield f"Time: {clock(expected.seconds)} expected, {clock(asked.seconds)} asked for (h:mm:ss)."
    yield f"The rate of the kernels behind it is {expected.source}."
    if asked.long:
        yield f"It may take {expected.safety:g} times what is expected: the job queues itself again until it is done."
    yield "Submit this file again to go on with a run that was stopped."


def lines(
    scenario: Path, overrides: tuple[str, ...], seed: int | None, out: Path | None, wishes: Wishes, *, go: bool
) -> Iterator[str]:
    """Yield what ``abm submit`` prints: the script, or with ``go`` what came of submitting it."""
    from abm.config import load_config
    from abm.run_folder import check_free, default_folder

    if go:
        check_sbatch()
    config = load_config(scenario, overrides, seed)
    out = out or default_folder(scenario, config)
    check_free(out, overwrite=True)
    arguments = [word for override in overrides for word in ("--set", override)]
    arguments += ["--seed", str(seed)] if seed is not None else []
    text = script(config, scenario, out, tuple(arguments), wishes)
    yield from send(text, out) if go else text.splitlines()


def check_same_run(config: Config, out: Path) -> None:
    """Refuse a directory that holds another run: the job would go on with that one.

    Raises:
        ConfigError: what to do instead.
    """
    from abm.config import load_config
    from abm.run_folder import CONFIG

    if (out / CONFIG).is_file() and load_config(out / CONFIG).digest() != config.digest():
        raise ConfigError("holds a run with other parameters, which the job would continue; choose --out", file=out)


def program() -> str:
    """Return the path of the ``abm`` that runs now, or its name."""
    own = Path(sys.executable).parent / "abm"
    return str(own) if own.exists() else "abm"


def fit(text: str, says: list[str], directives: Mapping[str, str | None], variables: Mapping[str, str]) -> str:
    """Return a template with other directives, values of variables and a header of its own."""
    first, *lines = text.splitlines()
    body = lines[next(i for i, line in enumerate(lines) if line.startswith("#SBATCH")) :]
    kept = [line for line in body if not (found := _directive(line)) or found not in directives]
    last = max(i for i, line in enumerate(kept) if line.startswith("#SBATCH"))
    added = [f"#SBATCH --{name}={value}" for name, value in directives.items() if value is not None]
    fitted = [*kept[: last + 1], *added, *kept[last + 1 :]]
    result = "\n".join([first, *(f"# {line}" for line in says), *fitted, ""])
    for name, value in variables.items():
        before, found, after = result.partition(f"\n{name}=")
        assert found, f"the template sets no {name}"
        result = f"{before}{found}{value}\n" + after.partition("\n")[2]
    return result


def _directive(line: str) -> str:
    """Return the name of the option a line gives to sbatch, or an empty text."""
    found = re.match(r"#SBATCH --([a-z-]+)", line)
    return found[1] if found else ""


def check_sbatch() -> str:
    """Return the path of sbatch.

    Raises:
        ConfigError: it is not here.
    """
    path = shutil.which("sbatch")
    if path is None:
        msg = "there is no sbatch here: call it on a login node of a cluster, or without --go and take the script there"
        raise ConfigError(msg, key="--go")
    return path


def send(text: str, out: Path) -> Iterator[str]:
    """Keep a script in the directory of its run, submit it, and yield what to know about the job.

    Raises:
        ConfigError: sbatch is not there or refuses the job.
    """
    sbatch = check_sbatch()
    out.mkdir(parents=True, exist_ok=True)
    path = out / SCRIPT
    path.write_text(text, encoding="utf-8")
    done = subprocess.run([sbatch, "--parsable", str(path)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "; ".join(line.removeprefix("sbatch: ").removeprefix("error: ") for line in done.stderr.splitlines())
        raise ConfigError(f"{path}: {said or 'refused without a reason'}", key="sbatch")
    job = done.stdout.strip().partition(";")[0]
    yield f"submitted: {path}"
    yield f"watch with: squeue --jobs={job}; tail -f {job_name(out)}-{job}.log"
    yield f"stop with: scancel {job}; go on with: sbatch {path}"
    yield f"job {job}"
