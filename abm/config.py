"""A whole scenario: reading, checking and writing it; its parameters stand in ``config_models`` and ``config_events``.

A scenario is TOML. Units stand in the key (``dose_gy``, ``step_min``). :func:`load_config` reports all problems
of a file at once, each with file, line, key, what was expected and the nearest valid name.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import Field, PrivateAttr, ValidationError

from abm import resources
from abm.config_errors import Explainer
from abm.config_events import ACTIONS, Cells, Chemo, Drug, Gcsf, Graft, Stop, Tbi, TherapyEvent
from abm.config_graft import marrow_file
from abm.config_lines import KeyPath, Source, key_text, read_source
from abm.config_models import MINUTES_PER_DAY, Patch, Patient, Scale, Time
from abm.config_output import Output
from abm.config_table import Table, parameter
from abm.errors import ConfigError
from abm.tables import Folder, Overlay, read_header, read_names, read_table, rules_digest

__all__ = ["Cells", "Chemo", "Config", "Drug", "Gcsf", "Graft", "Output", "Patch", "Patient", "Scale", "Stop", "Tbi",
           "TherapyEvent", "Time", "load_config", "rules_folder", "rules_of"]  # fmt: skip

#: Below this many sites a patch holds too few stem cells to be modelled at their true density.
TRUE_DENSITY_SITES = 1_000_000_000
#: Disease whose rows make clonal haematopoiesis, and those beside which it may be: their marrow is healthy otherwise.
CLONAL, BESIDE_CLONAL = "chip", ("none", "ms", "sle")


class Config(Table):
    """One resolved scenario. ``Config()`` is a healthy person without therapy."""

    seed: Annotated[int, parameter("", "key of all random numbers", ge=0, le=2**64 - 1)] = 1
    title: Annotated[str, parameter("", "one line for reports")] = ""
    patch: Patch = Patch()
    scale: Scale = Scale()
    time: Time = Time()
    patient: Patient = Patient()
    output: Output = Output()
    events: tuple[TherapyEvent, ...] = Field(default=(), strict=False, description="what is done to the patient")

    _source: Source | None = PrivateAttr(default=None)

    @property
    def rules(self) -> Folder:
        """The rule tables of this patient."""
        return rules_of(self.patch, self.patient.disease, self.patient.hsc_variants)

    @property
    def step_h(self) -> float:
        """Length of one step in hours."""
        return self.time.step_min / 60

    @property
    def n_steps(self) -> int:
        """Number of steps from ``start_day`` to ``end_day``; the last one is whole."""
        minutes = (self.time.end_day - self.time.start_day) * MINUTES_PER_DAY
        return max(1, round(minutes / self.time.step_min))

    @property
    def n_sites(self) -> int:
        """Number of sites of the patch."""
        nz, ny, nx = self.patch.shape
        return nz * ny * nx

    def day(self, step: int) -> float:
        """Return the day after ``step`` completed steps."""
        return self.time.start_day + step * self.time.step_min / MINUTES_PER_DAY

    def resolved_toml(self) -> str:
        """Return the whole configuration, defaults included, as TOML that loads to an equal one."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def digest(self) -> str:
        """Return a SHA-256 of everything that shapes the trajectory: all but ``[output]`` and ``title``.

        Of tables that replace those of the species, and of the marrow of a former run, the content counts, not where.
        """
        content = self.model_dump(mode="json", exclude_none=True, exclude={"output", "title"})
        if over := content["patch"].pop("rules"):
            content["patch"]["rules"] = rules_digest(Path(over))
        for event in content["events"]:
            if marrow := event.pop("marrow_of", ""):
                event["marrow_of"] = hashlib.sha256(marrow_file(marrow).read_bytes()).hexdigest()
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def error(self, key: str, message: str) -> ConfigError:
        """Return an error about ``key`` (such as ``patch.shape``) that names file and line where it stands."""
        path = tuple(int(part) if part.isdigit() else part for part in key.split("."))
        place = self._source.place(path) if self._source else None
        return ConfigError(message, file=place, key=key_text(path))

    def __eq__(self, other: object) -> bool:
        """Compare the parameters, wherever they came from."""
        return isinstance(other, Config) and self.model_dump() == other.model_dump()

    __hash__ = Table.__hash__

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of a scenario, for editors."""
        return cls.model_json_schema()


def rules_folder(species: str) -> Path:
    """Return the folder of a species' rule tables."""
    return resources.folder("scenarios") / "rules" / species


def disease_rows(species: str, disease: str) -> Path:
    """Return the folder of rows that are different in a disease; the leukaemia of the species' own tables is AML."""
    return rules_folder(species) / "diseases" / disease


def rules_of(patch: Patch, disease: str = "none", variants: Iterable[str] = ()) -> Folder:
    """Return the rule tables of a patch: of its species, with what is different in a disease and what replaces them.

    ``variants``: of stem cells at the start; those of clonal haematopoiesis bring its rows along, unless there is
    leukaemia.
    """
    base = rules_folder(patch.species)
    rows, clonal = (disease_rows(patch.species, name) for name in (disease, CLONAL))
    over = Path(patch.rules) if patch.rules else None
    beside = clonal if disease in BESIDE_CLONAL and not variant_names(clonal).isdisjoint(variants) else None
    own = rows if rows.is_dir() else None
    return Overlay(base, over, own, beside) if over or own or beside else base


def variant_names(folder: Path) -> set[str]:
    """Return the variants that ``variants.csv`` of a folder names, none if it is not there."""
    path = folder / "variants.csv"
    return {row.text("name") for row in read_table(path, read_header(path))} if path.is_file() else set()


def load_config(path: Path, overrides: Sequence[str] = (), seed: int | None = None) -> Config:
    """Read, override and check a scenario.

    Args:
        path: TOML file.
        overrides: ``table.key=value`` texts, applied in order; list positions are numbers (``events.0.day=-3``),
            events also the first of an action or drug (``events.graft.day=1``).
        seed: replaces the seed of the file.

    Raises:
        ConfigError: with one line per problem.
    """
    extra = [] if seed is None else [f"seed={seed}"]
    return config_from(read_source(path, [*overrides, *extra]))


def config_from(source: Source) -> Config:
    """Check a parsed scenario."""
    _locate(source)
    try:
        config = Config.model_validate(source.data, context=_context(source.data))
    except ValidationError as error:
        raise ConfigError("\n".join(Explainer(Config, ACTIONS).lines(error, source))) from None
    config._source = source
    _check_whole(config)
    return config


def _locate(source: Source) -> None:
    """Make paths absolute: they are relative to the scenario file, or to the working directory in --set."""
    events = source.data.get("events")
    places: list[tuple[KeyPath, Any, str]] = [(("patch", "rules"), source.data.get("patch"), "rules")]
    for index, event in enumerate(events if isinstance(events, list) else ()):
        places.append((("events", index, "marrow_of"), event, "marrow_of"))
    for key, table, name in places:
        if isinstance(table, dict) and isinstance(table.get(name), str) and table[name]:
            home = Path() if key in source.overrides else source.file.parent
            table[name] = os.path.abspath(home / Path(table[name]).expanduser())


def _context(data: dict[str, Any]) -> dict[str, Any]:
    """Return what checks of one table need from others: days of the run, drugs and sources of the species."""
    time, patch = data.get("time", {}), data.get("patch", {})
    context: dict[str, Any] = {}
    if isinstance(time, dict):
        days = [time.get(key, Time.model_fields[key].default) for key in ("start_day", "end_day")]
        context["days"] = tuple(day if type(day) in (int, float) and isfinite(day) else None for day in days)
    species = patch.get("species", "human") if isinstance(patch, dict) else None
    patient = data.get("patient")
    disease = patient.get("disease", "none") if isinstance(patient, dict) else "none"
    if data.get("events") and isinstance(species, str) and species in resources.species_names():
        over = patch.get("rules", "")
        own = Patch.model_construct(species=species, rules=over if isinstance(over, str) else "")
        folder = rules_of(own, disease if isinstance(disease, str) else "none")
        context["drugs"] = read_names(folder / "drugs.csv")
        context["sources"] = read_names(folder / "sources.csv")
        context["transgenes"] = read_names(folder / "transgenes.csv")
        events = data["events"] if isinstance(data["events"], list) else []
        tables = [event for event in events if isinstance(event, dict)]
        # a drug that is not known may be an antibody under another action
        unknown = any("drug" in event and event["drug"] not in list(context["drugs"]) for event in tables)
        if unknown or any(event.get("action") == "antibody" for event in tables):
            context["antibodies"] = read_names(folder / "antibodies.csv")
        context["products"] = read_names(folder / "products.csv")
    return context


def _check_whole(config: Config) -> None:
    """Check what involves several tables."""
    if config.scale.mode == "true-density":
        message = (
            'expected "enriched", found "true-density"; it needs rule tables with every division between stem cell and '
            f"blood, which are not shipped yet, and >= {TRUE_DENSITY_SITES} sites: at 0.1 stem cells per mm3 this "
            f"patch of {config.n_sites} sites ({config.n_sites * 1e-6:g} mm3) holds next to none"
        )
        raise config.error("scale.mode", message)
    species, disease = config.patch.species, config.patient.disease
    if disease not in ("none", "aml") and not disease_rows(species, disease).is_dir():
        message = f'expected "none" or "aml", found "{disease}", of which there are no tables for {species}'
        raise config.error("patient.disease", message)
    steps = (config.time.end_day - config.time.start_day) * MINUTES_PER_DAY / config.time.step_min
    if abs(steps - round(steps)) > 1e-6:
        message = f"expected a whole number of steps of {config.time.step_min} min from start_day, found {steps:g}"
        raise config.error("time.end_day", message)
    for key in ("series_h", "checkpoint_h", "snapshot_h"):
        hours = getattr(config.output, key)
        if hours * 60 % config.time.step_min:
            raise config.error(
                f"output.{key}", f"expected a multiple of step_min = {config.time.step_min}, found {hours} h"
            )
