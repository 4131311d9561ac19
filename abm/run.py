"""The time loop of one run: integer triggers, files, progress, and an orderly end at a signal."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

import numpy as np

import abm
from abm import io, kernel, observe, resources
from abm.backends import Backend, choose
from abm.comm import SerialComm, local_rank
from abm.config import Config, rules_folder
from abm.errors import EXIT_CONTINUE, CheckpointError
from abm.memory import refusal
from abm.model import body
from abm.notes import notes
from abm.progress import Heartbeat, Progress, Stopwatch
from abm.run_folder import (
    check_free,
    check_writable,
    claim,
    extend,
    log_file,
    logger,
    open_series,
    planned_to,
    read_config,
)
from abm.setup import make_domain
from abm.step import Simulation
from abm.stop_signals import StopSignals
from abm.summary import summarise
from abm.tables import rules_digest

#: Unit and meaning of every observable of a record.
UNITS = {**body.OBSERVABLES, **observe.OBSERVABLES}
#: Why a run may stop before its end, the most urgent reason last.
WALL_TIME = "the wall-time limit"
REASONS = (WALL_TIME, *StopSignals.NAMES)

#: Returns the name of a signal that asks the run to stop, or an empty text.
Stop = Callable[[], str]


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what.

    Attributes:
        backend: ``auto``, ``numpy``, ``host`` or ``cuda``.
        steps: stop after this many steps of this call, as a trial.
        quiet: print nothing but the state hash.
        force: continue although rules or kernels have changed.
        max_walltime_s: stop with a checkpoint before this many seconds have passed.
    """

    backend: str = "auto"
    steps: int | None = None
    quiet: bool = False
    force: bool = False
    max_walltime_s: float | None = None


def start_run(
    config: Config, out: Path, *, overwrite: bool, options: Options, stop: Stop, comm: SerialComm | None = None
) -> int:
    """Run a scenario from its first day; return the exit code.

    Everything is checked before anything is written.
    """
    comm = comm or SerialComm()
    comm.on_root(lambda: check_free(out, overwrite))
    Simulation.validate(config)
    backend, reason = choose_in_turn(options.backend, comm)
    watch = Stopwatch()
    with watch("setup"):
        check_machine(config, backend, comm)
        simulation = Simulation.start(config, backend, comm)
        comm.on_root(lambda: claim(out, config))
    with log_file(out) if comm.rank == 0 else nullcontext():
        series = io.Series(UNITS, provenance(config, backend.name))
        run = Run(config, simulation, series, out, options, stop, watch)
        run.say_start(reason)
        run.record()
        return run.loop()


def resume_run(
    out: Path, overrides: tuple[str, ...], *, options: Options, stop: Stop, comm: SerialComm | None = None
) -> int:
    """Continue a run from its newest good checkpoint; return the exit code."""
    comm = comm or SerialComm()
    config = read_config(out, overrides)
    if not comm.on_root(lambda: io.holds_checkpoint(out)):
        # it ended before its first checkpoint was whole
        return start_run(config, out, overwrite=True, options=options, stop=stop, comm=comm)
    comm.on_root(lambda: check_writable(out))
    path, skipped = comm.on_root(lambda: io.newest_good(out))
    domain, manifest = make_domain(config, comm), comm.on_root(lambda: io.read_manifest(path))
    check_same(planned_to(config, str(manifest.meta.get("config", ""))), manifest.meta, path, force=options.force)
    if manifest.shape != domain.shape:
        raise config.error("patch.shape", f"{list(domain.shape)}, but {path} holds {list(manifest.shape)} sites")
    snapshot = io.read_checkpoint(path, *domain.slab(comm.rank))
    backend, reason = choose_in_turn(options.backend, comm)
    watch = Stopwatch()
    with watch("setup"):
        simulation = Simulation.restore(config, backend, snapshot, comm)
        comm.on_root(lambda: extend(out, overrides))  # once it is known to go on
        series, lost = open_series(out, snapshot.step, UNITS, provenance(config, backend.name))
    with log_file(out) if comm.rank == 0 else nullcontext():
        run = Run(config, simulation, series, out, options, stop, watch, saved=path)
        for message in (*skipped, lost, other_version(snapshot.meta)):
            run.say(message, important=True)
        if simulation.over:
            run.say(f"the run is already finished: day {simulation.day:g}, step {simulation.step}")
            if simulation.step >= config.n_steps:
                later = f"--set time.end_day={config.time.end_day + 100:g}"
                run.say(f"to a later day it goes with: abm resume {out} {later}")
            return run.finish()
        run.say_start(reason, f"continues from {path.name}")
        return run.loop()


def choose_in_turn(name: str, comm: SerialComm) -> tuple[Backend, str]:
    """Return the backend and why; the first rank of each node compiles, the others find the library it made."""
    found = choose(name) if local_rank() == 0 else None
    comm.wait()
    return found or choose(name)


def check_machine(config: Config, backend: Backend, comm: SerialComm) -> None:
    """Refuse a patch that this machine cannot hold, rather than be killed while it fills up, and files it cannot write.

    Raises:
        ConfigError: with what is needed, what there is, and what would do.
    """
    if config.output.single_file and (message := io.obstacle(comm)):
        raise config.error("output.single_file", message)
    if message := refusal(config.patch.shape, backend, Simulation.memory(config)[-1][1]):
        raise config.error("patch.shape", message)


def provenance(config: Config, backend: str) -> dict[str, str | int]:
    """Return how the run is made, for the attributes of its files."""
    return {
        "config": config.resolved_toml(),
        "seed": config.seed,
        "code_version": abm.__version__,
        "backend": backend,
        **digests(config),
    }


def digests(config: Config) -> dict[str, str]:
    """Return the digests of all that decides the trajectory."""
    return {
        "config_hash": config.digest(),
        "rules_hash": rules_digest(rules_folder(config.patch.species)),
        "kernel_digest": kernel.digest(),
    }


def endpoint_rows(out: Path) -> list[tuple[str, str]]:
    """Return the clinical endpoints of the run in ``out``, read from its files as the report does."""
    resources.load_analysis()
    read = import_module("abm_analysis.read")
    try:
        return summarise(read.open_run(out).endpoints())
    except read.RunError as error:
        return [("not available", str(error))]


def check_same(config: Config, meta: Mapping[str, str | int], path: Path, *, force: bool) -> None:
    """Refuse to continue a trajectory with other rules than it began with.

    Raises:
        CheckpointError: what has changed.
    """
    own = " or its own tables" if config.patch.rules else ""
    names = {"config_hash": f"config.toml{own}", "rules_hash": "the rule tables", "kernel_digest": "the kernels"}
    changed = [names[key] for key, now in digests(config).items() if meta.get(key, now) != now]
    if changed and not force:
        msg = (
            f"{path}: {' and '.join(changed)} changed since this checkpoint was written, so it would continue as "
            "another run; restore them, start anew with `abm run --overwrite`, or insist with --force"
        )
        raise CheckpointError(msg)


def other_version(meta: Mapping[str, str | int]) -> str:
    """Return a notice if another release wrote the checkpoint, whose results may differ."""
    wrote = meta.get("code_version", abm.__version__)
    return "" if wrote == abm.__version__ else f"the checkpoint is of abm {wrote}, this is abm {abm.__version__}"


@dataclass
class Run:
    """One simulation with its files. ``saved`` is the checkpoint of the present step, if there is one."""

    config: Config
    simulation: Simulation
    series: io.Series
    out: Path
    options: Options
    stop: Stop
    watch: Stopwatch
    saved: Path | None = None
    latest: Mapping[str, float] = field(default_factory=dict)
    longest_step_s: float = 0.0
    longest_save_s: float = 0.0
    first: int = field(init=False)
    comm: SerialComm = field(init=False)
    root: bool = field(init=False)

    def __post_init__(self) -> None:
        """Turn intervals into whole steps."""
        self.first, self.comm = self.simulation.step, self.simulation.comm
        self.root = self.comm.rank == 0
        output, step_min = self.config.output, self.config.time.step_min
        self.series_steps = output.series_h * 60 // step_min
        self.checkpoint_steps = output.checkpoint_h * 60 // step_min
        self.snapshot_steps = output.snapshot_h * 60 // step_min

    def loop(self) -> int:
        """Advance to the last step, or until asked to stop; return the exit code."""
        gc.freeze()  # what exists now stays: the collector need not look at it again and again
        steps, limit = self.config.n_steps, self.options.steps
        last = steps if limit is None else min(steps, self.first + limit)
        progress = Progress(self.first, steps, quiet=self.options.quiet or not self.root)
        heart = Heartbeat(self.out) if self.root else None
        signal = ""
        try:
            progress.line(self.simulation.step, self.simulation.day, self.latest)
            while not self.simulation.over and self.simulation.step < last and not (signal := self.asked_to_stop()):
                self.advance()
                progress.show(self.simulation.step, self.simulation.day, self.latest)
                if heart:
                    heart.beat(self.simulation.step, steps, self.simulation.day, self.shares())
            progress.line(self.simulation.step, self.simulation.day, self.latest)
        finally:
            progress.close()
            if heart:
                heart.beat(self.simulation.step, steps, self.simulation.day, self.shares(), last=True)
        if self.simulation.over:
            return self.finish()
        return self.pause(signal)

    def asked_to_stop(self) -> str:
        """Return why to stop now, on all ranks alike: a signal, or a wall-time limit that is near."""
        return self.comm.agree(self.stop() or self.limit_reached(), REASONS)

    def limit_reached(self) -> str:
        """Return ``WALL_TIME`` if there may be no time for another step and a checkpoint."""
        limit = self.options.max_walltime_s
        if limit is None:
            return ""
        needed = 2.0 * (self.longest_step_s + self.longest_save_s) + 1.0
        return WALL_TIME if self.watch.total + needed > limit else ""

    def advance(self) -> None:
        """Do one step and whatever output is due after it."""
        self.saved = None
        began = time.monotonic()
        with self.watch("steps"):
            self.simulation.advance()
        self.longest_step_s = max(self.longest_step_s, time.monotonic() - began)
        step = self.simulation.step
        if step % self.series_steps == 0 or self.simulation.over:
            self.record()
        if self.snapshot_steps and step % self.snapshot_steps == 0:
            with self.watch("output"):
                self.write_snapshot()
        if step % self.checkpoint_steps == 0:
            self.save()

    def record(self) -> None:
        """Append the present state to the series."""
        with self.watch("output"):
            record = self.simulation.record()
            if self.root:
                self.series.append(record)
            self.latest = record.values

    def write_snapshot(self) -> None:
        """Write the lattice to look at; all of it comes together on rank 0."""
        snapshot = self.simulation.snapshot()
        parts = self.comm.gather(snapshot.arrays)

        def write() -> None:
            assert parts is not None
            arrays = {name: np.concatenate([part[name] for part in parts]) for name in snapshot.arrays}
            io.write_snapshot(self.out, replace(snapshot, z0=0, z1=snapshot.shape[0], arrays=arrays))

        self.comm.on_root(write)

    def save(self) -> Path:
        """Write series and checkpoint, unless this very step is saved already."""
        if self.saved is None:
            began = time.monotonic()
            with self.watch("checkpoints"):
                self.comm.on_root(lambda: self.series.write(self.out))
                output = self.config.output
                snapshot = self.simulation.snapshot()
                self.saved = io.save(self.out, snapshot, output.keep, self.comm, single_file=output.single_file)
            self.longest_save_s = max(self.longest_save_s, time.monotonic() - began)
        return self.saved

    def shares(self) -> dict[str, float]:
        """Return which parts of the time of this rank went into what does not advance the patient."""
        return self.watch.shares(self.comm.exchange_s)

    def pause(self, signal: str) -> int:
        """Save a run that is not finished and say how to go on."""
        path = self.save()
        why = f"stopped by {signal}" if signal else f"stopped after {self.simulation.step - self.first} steps, as asked"
        self.say_timing()
        self.say(f"{why}; {path.name} is written; continue with: abm resume {self.out}", important=bool(signal))
        self.say_hash(path)
        return EXIT_CONTINUE if signal else 0

    def finish(self) -> int:
        """Save the last state; print endpoints, speed and the state hash."""
        path = self.save()
        if self.root:
            self.say_table("Result", endpoint_rows(self.out))
        if self.simulation.step > self.first:
            self.say_timing()
        self.say(f"{self.out}: the whole run; draw it with: abm report {self.out}")
        self.say_hash(path)
        return 0

    def say_start(self, backend: str, *more: str) -> None:
        """Print what is run, on what, at which scale."""
        facts = [("title", self.config.title)] if self.config.title else []
        facts += [("output", str(self.out)), ("seed", str(self.config.seed)), ("backend", backend)]
        facts += [fact for fact in self.simulation.facts() if fact[0] != "backend"]
        self.say_table(f"abm {abm.__version__}", facts)
        for text in (*more, *(f"note: {text}" for text in notes(self.config))):
            self.say(text)

    def say_timing(self) -> None:
        """Print speed, memory and where the time went; all ranks come here."""
        every = self.comm.gather(self.shares()) or [self.shares()]
        most = {name: max(shares[name] for shares in every) for name in every[0]}
        steps, spent = self.simulation.step - self.first, self.watch.spent
        per_site = Simulation.memory(self.config)[-1][1]
        rate = self.config.n_sites * steps / max(spent.get("steps", 0.0), 1e-9)
        parts = ", ".join(f"{purpose} {seconds:.1f} s" for purpose, seconds in spent.items())
        rows = [
            ("Steps", f"{steps} of {self.config.time.step_min} min, {self.config.n_sites} sites"),
            ("Agents", str(self.simulation.n_agents)),
            ("Speed", f"{rate:.3g} site-updates/s"),
            ("Memory", f"{per_site} bytes per site, {per_site * self.config.n_sites / 2**20:.0f} MiB"),
            ("Wall time", f"{self.watch.total:.1f} s ({parts})"),
            ("Of it", ", ".join(f"{name} {share:.1%}" for name, share in most.items()) + self.of_whom()),
        ]
        self.say_table("Timing", rows)

    def of_whom(self) -> str:
        """Return whose shares are told, if there are several ranks."""
        return f" (the highest of {self.comm.size} ranks)" if self.comm.size > 1 else ""

    def say_hash(self, path: Path) -> None:
        """Print the state hash, also in quiet runs: it is the last line and its last word."""
        if not self.root:
            return
        text = f"state hash after step {self.simulation.step}: {io.read_manifest(path).state_hash}"
        logger.info(text)
        print(text, flush=True)

    def say_table(self, title: str, rows: list[tuple[str, str]]) -> None:
        """Print aligned rows under a title."""
        width = max((len(label) for label, _ in rows), default=0)
        self.say(title)
        for label, text in rows:
            self.say(f"  {label:<{width}}  {text}")

    def say(self, text: str, *, important: bool = False) -> None:
        """Log a line and print it, unless the run is quiet; what is important then goes to stderr."""
        if not text or not self.root:
            return
        logger.log(30 if important else 20, text)
        if not self.options.quiet:
            print(text, flush=True)
        elif important:
            print(text, file=sys.stderr, flush=True)
