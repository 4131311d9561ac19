"""The directory of one run: claimed once, never overwritten unasked; its configuration, log and series."""

from __future__ import annotations

import logging
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from abm import io
from abm.config import Config, load_config
from abm.errors import AbmError, CheckpointError, ConfigError
from abm.io.atomic import write_bytes

CONFIG, LOG = "config.toml", "run.log"
#: The one parameter of the patient that a run which goes on may change: nothing before a day depends on the last one.
END = "time.end_day="
#: Where a run keeps a copy of the tables that replace those of its species.
RULES = "rules-used"
#: Everything a run and its report write; nothing else is ever removed.
OWN_FILES = (CONFIG, LOG, "heartbeat.json", "series.h5", "table.csv", "snapshot-[0-9]*.vtkhdf", "checkpoint-[0-9]*.h5",
             "*.toml.*.tmp", "*.json.*.tmp", "*.h5.*.tmp", "*.vtkhdf.*.tmp")  # fmt: skip
OWN_TABLES = f"{RULES}/*.csv"
OWN_FILES_OF_REPORTS = ("report/report.html", "report/endpoints.json", "report/*.png")
OWN_FOLDERS = ("checkpoint-[0-9]*",)

logger = logging.getLogger("abm")


def default_folder(scenario: Path, config: Config) -> Path:
    """Return where a run goes if the user does not say."""
    return Path("runs") / f"{scenario.stem}-seed{config.seed}"


def check_free(out: Path, overwrite: bool) -> None:
    """Refuse, without writing anything, a directory that cannot be written or that holds a run.

    Raises:
        ConfigError: with what the user can do instead.
    """
    check_writable(out)
    try:
        taken = holds_run(out)
    except OSError as error:  # such as a name that is too long
        raise ConfigError(f"cannot be an output directory: {error.strerror}", file=out) from None
    if taken and not overwrite:
        message = (
            f"already holds a run; continue it with `abm resume {out}`, replace it with --overwrite, or choose --out"
        )
        raise ConfigError(message, file=out)


def check_writable(out: Path) -> None:
    """Refuse, without writing anything, a directory that cannot be written or made.

    Raises:
        ConfigError: why it cannot.
    """
    place = next(folder for folder in (out, *out.absolute().parents) if os.path.lexists(folder))
    if not os.path.isdir(place):
        raise ConfigError(f"cannot be an output directory: {place} is not a directory", file=out)
    if not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot be an output directory: no permission to write in {place}", file=out)


def holds_run(out: Path) -> bool:
    """Whether ``out`` holds anything of a run."""
    return (out / CONFIG).exists() or (out / "series.h5").exists() or any(out.glob("checkpoint-[0-9]*"))


def claim(out: Path, config: Config) -> None:
    """Make the directory, remove an earlier run in it, and write the resolved configuration and its own tables.

    Raises:
        ConfigError: it cannot be written; directories made for it are gone again.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    tables = own_tables(config)  # before anything is removed: they may be those of the run that is replaced
    try:
        out.mkdir(parents=True, exist_ok=True)
        if holds_run(out):
            remove_run(out)
        write_config(out, config, tables)
    except (OSError, CheckpointError) as error:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot be an output directory: {reason}", file=out) from None


def own_tables(config: Config) -> dict[str, bytes]:
    """Return the tables that replace those of the species, by file name."""
    folder = config.patch.rules
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.csv"))} if folder else {}


def write_config(out: Path, config: Config, tables: Mapping[str, bytes]) -> None:
    """Write a configuration and the tables of its own, so that the run can go on wherever it is moved."""
    if tables:
        (out / RULES).mkdir(exist_ok=True)
        config = config.model_copy(update={"patch": config.patch.model_copy(update={"rules": RULES})})
    for name, content in tables.items():
        write_bytes(out / RULES / name, content)
    write_bytes(out / CONFIG, config.resolved_toml().encode())


def remove_run(out: Path) -> None:
    """Remove what a run and its report wrote into ``out``, and nothing of the user's."""
    for pattern in (*OWN_FILES, *OWN_FILES_OF_REPORTS, OWN_TABLES):
        for path in out.glob(pattern):
            path.unlink()
    for pattern in OWN_FOLDERS:
        for path in out.glob(pattern):
            shutil.rmtree(path)
    for name in ("report", RULES):
        with suppress(OSError):  # not there, or it holds something else
            (out / name).rmdir()


def read_config(out: Path, overrides: tuple[str, ...]) -> Config:
    """Return the configuration a run was started with; its ``[output]`` may be changed now, and a later end be set."""
    if not (out / CONFIG).is_file():
        raise ConfigError(f"there is no run to continue: {CONFIG} is missing", file=out)
    for override in overrides:
        if not override.strip().startswith(("output.", END)):
            message = (
                "only [output] and a later time.end_day may change when a run is continued; another parameter needs "
                "a run of its own"
            )
            raise ConfigError(message, file=f"--set {override}")
    config = load_config(out / CONFIG, overrides)
    began = load_config(out / CONFIG).time.end_day
    if config.time.end_day < began:
        message = f"expected a day from {began:g} on, to which the run was planned, found {config.time.end_day:g}"
        raise ConfigError(message, file=out / CONFIG, key="time.end_day")
    return config


def extend(out: Path, overrides: tuple[str, ...]) -> None:
    """Keep a later end in the configuration of a run, so that whoever continues it again goes to that day."""
    if later := [override for override in overrides if override.strip().startswith(END)]:
        config = load_config(out / CONFIG, later)
        write_config(out, config, own_tables(config))


def planned_to(config: Config, wrote: str) -> Config:
    """Return ``config`` with the end of the configuration ``wrote`` (TOML): a run may go on beyond it."""
    end = tomllib.loads(wrote).get("time", {}).get("end_day", config.time.end_day)
    return config.model_copy(update={"time": config.time.model_copy(update={"end_day": min(end, config.time.end_day)})})


@contextmanager
def log_file(out: Path) -> Iterator[None]:
    """Send everything logged inside the block to ``run.log``, with the time."""
    handler = logging.FileHandler(out / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    except BaseException as error:
        logger.error("stopped by %s: %s", type(error).__name__, error, exc_info=not isinstance(error, AbmError))
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()


def open_series(
    out: Path, step: int, units: Mapping[str, tuple[str, str]], provenance: Mapping[str, str | int]
) -> tuple[io.Series, str]:
    """Return the series up to ``step``, and what is to be said about it.

    A series that cannot be read does not hold up the run: it starts again at ``step``.
    """
    try:
        return io.Series.load(out, step, units=units, provenance=provenance), ""
    except CheckpointError as error:
        return io.Series(units, provenance), f"the series before step {step} is lost: {error}"
