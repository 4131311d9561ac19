"""The prediction as lines to read: one rank, one step, files, the figures behind them, and two tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from abm.phases import HALO
from abm.scale.forecast import Forecast, StepTime, slab
from abm.scale.machines import UNITS, Machine, Options, machine
from abm.setup import Model, load_model

GIB = 2.0**30
#: The tables go on to so many times the ranks that were asked for.
BEYOND = 4


def lines(config: Any, options: Options, backend: Any) -> Iterator[str]:  # noqa: ANN401 - a Config, any backend
    """Yield what a run on ``options.ranks`` ranks will take.

    Raises:
        ConfigError: an impossible option, slabs thinner than the halo, or, at the end, a rank without enough memory.
    """
    options.check()
    model, ranks = load_model(config), options.ranks or 1
    slab(model, ranks)  # refused before a trial takes its time
    forecast = Forecast(model, machine(model, options, backend), ranks)
    yield from one_rank(forecast)
    yield from times(forecast)
    yield from figures(forecast.machine)
    yield from table("strong scaling: the same lattice", [replace(forecast, ranks=r) for r in strong(forecast)])
    planes = forecast.planes[1]
    cases = [weak(forecast, planes, 2**k) for k in range((BEYOND * ranks).bit_length())]
    yield from table(f"weak scaling: {planes} planes a rank", cases)
    if not forecast.fits():
        raise config.error("patch.shape", too_small(forecast))


def one_rank(forecast: Forecast) -> Iterator[str]:
    """Yield what one rank holds and sends."""
    low, high = forecast.planes
    memory, where = forecast.memory(), forecast.machine
    planes = f"{low}" if low == high else f"{low} or {high}"
    yield (
        f"ranks      {forecast.ranks} on {where.device}, {where.node} a node; slabs of {planes} planes, up to "
        f"{forecast.owned:.3g} sites, and {HALO} halo planes on either side"
    )
    buffers = f"; {size(forecast.counted.buffers)} of message buffers" if forecast.ranks > 1 else ""
    yield f"lattice    {size(memory.arrays)} a rank{buffers}"
    fits = "fits" if forecast.fits() else "does NOT fit"
    if not forecast.is_host:
        yield f"device     {size(memory.device)} of {size(where['memory'] * 1e9)} a rank: {fits}"
        fits = f"{size(memory.host * min(forecast.ranks, where.node))} a node"
    yield f"memory     {size(memory.host)} a rank at its peak, {size(memory.running)} between checkpoints; {fits}"
    per_site = forecast.sent / forecast.plane
    sent = f"{size(forecast.sent)} ({per_site:.0f} B for each site of a plane)"
    yield f"halo       {forecast.messages} messages a step and rank, {sent}"


def times(forecast: Forecast) -> Iterator[str]:
    """Yield how long things take."""
    step, files, config = forecast.step(), forecast.checkpoint(), forecast.model.config
    spent = " + ".join(f"{name} {duration(seconds)}" for name, seconds in step._asdict().items())
    yield f"step       {duration(step.total)} = {spent}"
    yield f"run        {config.n_steps} steps take {duration(config.n_steps * step.total)}, without start and files"
    yield f"checkpoint {size(files.stored)} in {forecast.ranks} shards, {duration(files.seconds)}"
    yield f"start      {duration(forecast.start_s())} up to the first step"


def figures(where: Machine) -> Iterator[str]:
    """Yield the figures a prediction rests on, with their sources."""
    yield "figures"
    for name, (unit, meaning) in UNITS.items():
        if name in where.figures:
            value, source = where.figures[name]
            yield f"  {name:<12} {value:>9.3g} {unit:<14}  {meaning}"
            yield f"{'':41}{source}"


def strong(forecast: Forecast) -> list[int]:
    """Return the numbers of ranks to compare: powers of two and the one asked for, as far as slabs allow."""
    most = min(BEYOND * forecast.ranks, forecast.model.config.patch.shape[0] // HALO)
    return sorted({forecast.ranks, *(2**k for k in range(most.bit_length()) if 2**k <= most)})


def weak(forecast: Forecast, planes: int, ranks: int) -> Forecast:
    """Return the forecast of a lattice with so many planes a rank."""
    return replace(forecast, model=with_planes(forecast.model, planes * ranks), ranks=ranks)


def with_planes(model: Model, planes: int) -> Model:
    """Return a model of a lattice of another length."""
    config = model.config
    shape = (planes, *config.patch.shape[1:])
    return replace(model, config=config.model_copy(update={"patch": config.patch.model_copy(update={"shape": shape})}))


def table(title: str, cases: Sequence[Forecast]) -> Iterator[str]:
    """Yield a table of the same machine with more and more ranks."""
    yield title
    parts = " ".join(f"{name:>11}" for name in StepTime._fields)
    yield f"  {'ranks':>6} {'planes':>8} {'memory':>10} {'step':>8} {'efficiency':>10}  {parts}"
    first = cases[0]
    for case in cases:
        step = case.step()
        sites = first.total / case.total * case.ranks / first.ranks  # ranks spent per site, against the first row
        efficiency = first.step().total / (step.total * sites)
        memory = case.memory()
        held = size(memory.host if case.is_host else memory.device) + ("" if case.fits() else "!")
        yield (
            f"  {case.ranks:>6} {case.planes[1]:>8} {held:>10} {duration(step.total):>8} {efficiency:>10.1%}  "
            f"{' '.join(f'{duration(seconds):>11}' for seconds in step)}"
        )
    if not all(case.fits() for case in cases):
        yield "  ! more than there is"


def too_small(forecast: Forecast) -> str:
    """Return what is missing, and how many ranks would do."""
    ranks, most = forecast.ranks, forecast.model.config.patch.shape[0] // HALO
    memory = forecast.memory()
    needed = memory.host * min(ranks, forecast.machine.node) if forecast.is_host else memory.device
    there = forecast.machine["memory"] * 1e9
    enough = next((r for r in (ranks << k for k in range(1, 32)) if r <= most and replace(forecast, ranks=r).fits()), 0)
    where = "a node" if forecast.is_host else f"a {forecast.machine.device}"
    remedy = f"{enough} ranks would fit" if enough else "no number of ranks makes it fit"
    return f"expected a slab that fits into the {size(there)} of {where}; {ranks} ranks need {size(needed)}; {remedy}"


def size(nbytes: float) -> str:
    """Return a number of bytes to read."""
    for unit, name in ((2.0**40, "TiB"), (GIB, "GiB"), (2.0**20, "MiB")):
        if nbytes >= unit:
            return f"{nbytes / unit:.3g} {name}" if nbytes < 999.5 * unit else f"{nbytes / unit:.0f} {name}"
    return f"{nbytes / 1024:.3g} KiB"


def duration(seconds: float) -> str:
    """Return a time to read."""
    for unit, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1e6:.3g} us"
