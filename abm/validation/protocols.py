"""The cohorts that targets refer to: scenario, what is changed in it, and how patients differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from abm import resources
from abm.config_errors import Explainer
from abm.config_lines import KeyPath, Source, read_source
from abm.config_table import Table, parameter
from abm.errors import ConfigError
from abm.tables import did_you_mean

PROTOCOLS = "protocols"  #: folder of the cohorts, beside the sections
Pair = tuple[float, float]
T = TypeVar("T", bound=BaseModel)


def rising(value: Pair, expected: str) -> Pair:
    """Return two ends, which must be in order."""
    if value[0] > value[1]:
        raise ValueError(expected)
    return value


class Prior(Table):
    """How one parameter of the scenario differs between patients."""

    distribution: Annotated[Literal["normal", "lognormal", "uniform"], parameter("", "shape")]
    centre: Annotated[float | None, parameter("as the key", "mean; of a lognormal the median")] = None
    spread: Annotated[float | None, parameter("as the key", "standard deviation; of a lognormal that of ln", ge=0)] = (
        None
    )
    limits: Annotated[Pair, parameter("as the key", "ends", form="two numbers [low, high]", strict=False)]
    follows: Annotated[str, parameter("", "key of another prior that it goes with")] = ""
    correlation: Annotated[float, parameter("1", "with that one, of normal distributions", ge=-1, le=1)] = 0.0
    source: Annotated[str, parameter("", "where it comes from", min_length=1)]
    status: Annotated[Literal["read", "recalled", "derived", "assumption"], parameter("", "how it is known")]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.distribution != "uniform" and (self.centre is None or self.spread is None):
            msg = f"centre and spread of a {self.distribution} distribution"
            raise ValueError(msg)
        return self

    @field_validator("limits")
    @classmethod
    def _ordered(cls, value: Pair) -> Pair:
        return rising(value, "[low, high] with low <= high")


class Protocol(Table):
    """A cohort of simulated patients."""

    like: Annotated[str, parameter("", "protocol further up whose keys hold unless stated; set and priors add up")] = ""
    scenario: Annotated[str, parameter("", "shipped scenario")] = ""
    experiment: Annotated[str, parameter("", "a check of the engine, instead of a scenario")] = ""
    species: Annotated[Literal["human", "mouse"], parameter("", "whose data it is compared with")]
    what: Annotated[str, parameter("", "one line")]
    well_mixed: Annotated[bool, parameter("", "patients without a lattice: years of what goes on in the body")] = False
    set: Annotated[tuple[str, ...], parameter("", "overrides", form="a list of texts", strict=False)] = ()
    quick: Annotated[
        tuple[str, ...], parameter("", "more of them for --quick", form="a list of texts", strict=False)
    ] = ()
    drop: Annotated[
        tuple[str, ...], parameter("", "events left out, by action or drug", form="a list of texts", strict=False)
    ] = ()
    events: tuple[dict[str, Any], ...] = Field(default=(), strict=False, description="events added to the scenario")
    seeds: Annotated[int, parameter("1", "patients", ge=1, le=100_000)]
    quick_seeds: Annotated[int, parameter("1", "patients of --quick; 0: left out", ge=0, le=100_000)]
    priors: dict[str, Prior] = {}


def read_protocols(folder: Path) -> dict[str, Protocol]:
    """Read the cohorts; every table of every file is one."""
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise ConfigError("expected at least one .toml file in this folder, beside the sections", file=folder)
    tables: dict[str, Any] = {}  # as they hold, inherited keys among them
    found: dict[str, Protocol] = {}
    for path in files:
        source = read_source(path)
        for name in source.data:
            if name in found:
                raise ConfigError("stands in another file too", file=source.place((name,)), key=name)
        source = _with_inherited(source, tables)
        found |= {name: _read_protocol(source, name) for name in source.data}
    return found


def _read_protocol(source: Source, name: str) -> Protocol:
    sub = part_of(source, (name,), Protocol)
    priors = sub.data.pop("priors", {})
    if not isinstance(priors, dict):
        raise ConfigError("expected tables, one for each parameter", file=sub.place(("priors",)), key="priors")
    drawn = {key: checked(Prior, part_of(source, (name, "priors", key), Prior)) for key in priors}
    found = checked(Protocol, sub).model_copy(update={"priors": drawn})
    if bool(found.scenario) == bool(found.experiment):
        raise ConfigError("expected exactly one of scenario, experiment", file=source.place((name,)), key=name)
    _check_known(found, sub)
    if found.well_mixed and found.experiment:
        raise ConfigError("expected false for an experiment", file=sub.place(("well_mixed",)), key="well_mixed")
    return found


def _check_known(protocol: Protocol, place: Source) -> None:
    """Refuse a scenario or experiment that is not there: its rows would silently count as not modelled."""
    from abm.validation.experiments import EXPERIMENTS

    scenarios = [path.stem for path in resources.folder("scenarios").glob("*.toml")]
    for key, what, names in (("scenario", "a shipped scenario", scenarios), ("experiment", "a known one", EXPERIMENTS)):
        if (name := getattr(protocol, key)) and name not in names:
            raise ConfigError(
                f"expected {what}, found {name!r}{did_you_mean(name, names)}", file=place.place((key,)), key=key
            )


def _with_inherited(source: Source, tables: dict[str, Any]) -> Source:
    """Return the file with the keys that a protocol takes over from the one it is like, and the lines they stand on.

    ``tables`` holds the protocols of the files before and gets those of this one. What is wrong in an inherited key was
    found where it stands, so that its line is needed within a file only.
    """
    lines = dict(source.lines)
    for name, own in source.data.items():
        tables[name] = own
        if not isinstance(own, dict) or "like" not in own:
            continue
        if (model := own["like"]) not in tables or model == name:
            hint = did_you_mean(str(model), [other for other in tables if other != name])
            raise ConfigError(
                f"expected a protocol further up, found {model!r}{hint}", file=source.place((name, "like")), key="like"
            )
        base = tables[model]
        tables[name] = {**base, **own, "set": [*base.get("set", ()), *own.get("set", ())]}
        tables[name]["priors"] = {**base.get("priors", {}), **own.get("priors", {})}
        inherited = {(name, *key[1:]): line for key, line in lines.items() if key[0] == model and len(key) > 1}
        lines = {**inherited, **lines}
    return Source(source.file, {name: tables[name] for name in source.data}, lines)


def part_of(source: Source, path: KeyPath, model: type[BaseModel]) -> Source:
    """Return the part of a file below ``path``, with the lines of its keys; a key that is missing has its table's."""
    data: Any = source.data
    for part in path:
        data = data[part]
    if not isinstance(data, dict):
        raise ConfigError("expected a table", file=source.place(path), key=str(path[-1]))
    depth = len(path)
    lines = {key[depth:]: line for key, line in source.lines.items() if key[:depth] == path and len(key) > depth}
    head: dict[KeyPath, int] = {(name,): source.lines.get(path, 1) for name in model.model_fields}
    return Source(source.file, dict(data), {**head, **lines})


def checked(model: type[T], source: Source, **context: Any) -> T:  # noqa: ANN401 - what validators need
    """Return the model of a part of a file; what is wrong is a ConfigError with file, line and key."""
    try:
        return model.model_validate(source.data, context=context)
    except ValidationError as error:
        raise ConfigError("\n".join(Explainer(model, {}).lines(error, source))) from None
