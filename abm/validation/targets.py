"""Targets as they stand in ``analysis/targets/``: reading, checking, choosing.

A target is one number with a band from published data, and refers to cohorts (:mod:`abm.validation.protocols`).
Everything wrong is one line with file, line, key, what was expected and what was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ValidationInfo, field_validator

from abm import resources
from abm.config_lines import Source, read_source
from abm.config_table import Table, parameter
from abm.errors import ConfigError
from abm.tables import did_you_mean
from abm.validation.protocols import PROTOCOLS, Pair, Protocol, checked, part_of, read_protocols, rising

SPECIES = ("human", "mouse")
#: Units of statistics that are not in the unit of their observable.
SHARE_UNIT, PURE_UNIT = "%", "1"


class Target(Table):
    """One published number."""

    id: Annotated[str, parameter("", "row, such as O04", pattern=r"^[OV]\d\d?$")]
    part: Annotated[str, parameter("", "which number of the row")] = ""
    what: Annotated[str, parameter("", "one line", min_length=1)]
    species: Annotated[Literal["human", "mouse"], parameter("", "whose")]
    not_modelled: Annotated[str, parameter("", "why it cannot be computed")] = ""
    protocol: Annotated[
        tuple[str, ...], parameter("", "cohort, or cohorts taken together", form="a name, or a list", strict=False)
    ] = ()
    reference: Annotated[str, parameter("", "cohort to compare with")] = ""
    contrast: Annotated[
        Literal["", "difference", "ratio", "reduction"],
        parameter("", "protocol against reference; reduction: by how many percent it is below"),
    ] = ""
    observable: Annotated[str, parameter("", "name of analysis/observables")] = ""
    against: Annotated[str, parameter("", "what of the reference it is compared with, if that is another")] = ""
    day: Annotated[float | None, parameter("d", "day whose value counts")] = None
    days: Annotated[
        Pair | None, parameter("d", "days whose mean counts", form="two days [first, last]", strict=False)
    ] = None
    at_least: Annotated[float | None, parameter("as the observable", "a hit is not less")] = None
    at_most: Annotated[float | None, parameter("as the observable", "a hit is not more")] = None
    statistic: Annotated[
        Literal["median", "mean", "share", "correlation", "hazard"],
        parameter("", "of the cohort; hazard: cumulative, of a yes or no, for the ratio of two cohorts"),
    ] = "median"
    correlate: Annotated[str, parameter("", "parameter with a prior, for a correlation")] = ""
    unit: Annotated[str, parameter("", "of the statistic")]
    centre: Annotated[float | None, parameter("as unit", "published centre")] = None
    band: Annotated[
        Pair | None, parameter("as unit", "pass range", form="[low, high] with low <= high", strict=False)
    ] = None
    weight: Annotated[int, parameter("1", "3 strong evidence, 2 fair, 1 weak", ge=1, le=3)]
    source: Annotated[str, parameter("", "citation", min_length=1)]
    status: Annotated[Literal["read", "recalled", "derived"], parameter("", "how it is known")]
    suspect: Annotated[str, parameter("", "what we think a miss is due to")] = ""

    @field_validator("protocol", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("band")
    @classmethod
    def _ordered(cls, value: Pair | None) -> Pair | None:
        return value and rising(value, "[low, high] with low <= high")

    @field_validator("days")
    @classmethod
    def _in_order(cls, value: Pair | None) -> Pair | None:
        return value and rising(value, "two days [first, last] with first <= last")

    @field_validator("observable", "against")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        known = (info.context or {}).get("observables", {})
        if value not in known and not info.data.get("not_modelled"):
            raise ValueError("an observable of analysis/observables", did_you_mean(value, known))
        return value

    @property
    def name(self) -> str:
        """Row and part: ``O04.anc``."""
        return f"{self.id}.{self.part}" if self.part else self.id

    @property
    def cohorts(self) -> tuple[str, ...]:
        """All cohorts it needs."""
        return self.protocol + ((self.reference,) if self.reference else ())


@dataclass(frozen=True)
class Catalogue:
    """All targets, by section, and all protocols."""

    sections: Mapping[str, tuple[Target, ...]]
    protocols: Mapping[str, Protocol]

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every target in the order of the files."""
        return tuple(target for members in self.sections.values() for target in members)

    def section_of(self, target: Target) -> str:
        """Return the section a target stands in."""
        return next(name for name, members in self.sections.items() if target in members)


@cache
def registry() -> Mapping[str, Any]:
    """Return the observables by name."""
    resources.load_analysis()
    found: Mapping[str, Any] = import_module("abm_analysis.observables").REGISTRY
    return found


def read_catalogue(folder: Path | None = None) -> Catalogue:
    """Read and check all target files.

    Raises:
        ConfigError: one line per problem of the first file that has any.
    """
    folder = folder or resources.folder("analysis") / "targets"
    protocols = read_protocols(folder / PROTOCOLS)
    sections = {path.stem: read_targets(path, protocols) for path in sorted(folder.glob("*.toml"))}
    seen: dict[str, str] = {}
    for section, members in sections.items():
        for target in members:
            if target.name in seen:
                raise ConfigError(f"{target.name} stands twice", file=folder / f"{section}.toml", key="id")
            seen[target.name] = section
    return Catalogue(sections, protocols)


def read_targets(path: Path, protocols: Mapping[str, Protocol]) -> tuple[Target, ...]:
    """Read one section; every ``[[target]]`` is one number."""
    source = read_source(path)
    for name in source.data:
        if name != "target":
            raise ConfigError(f"unknown table{did_you_mean(name, ['target'])}", file=source.place((name, 0)), key=name)
    if not isinstance(source.data.get("target"), list):
        raise ConfigError("expected at least one [[target]]", file=path)
    places = [part_of(source, ("target", index), Target) for index in range(len(source.data["target"]))]
    targets = tuple(checked(Target, place, observables=list(registry())) for place in places)
    for target, place in zip(targets, places, strict=True):
        _check_together(target, place, protocols)
    return targets


def _check_together(target: Target, place: Source, protocols: Mapping[str, Protocol]) -> None:
    """Check what involves several keys, the protocols or the registry."""
    if target.not_modelled:
        return
    problem = _cohort_problem(target, protocols) or _number_problem(target)
    if problem:
        key, message = problem
        raise ConfigError(message, file=place.place((key,)), key=f"{target.name}.{key}")


def _cohort_problem(target: Target, protocols: Mapping[str, Protocol]) -> tuple[str, str] | None:
    """Return the key and what is wrong about the cohorts of a target."""
    for key, names in (("protocol", target.protocol or ("",)), ("reference", target.cohorts[len(target.protocol) :])):
        for name in names:
            if name not in protocols:
                return key, f"expected a protocol of {PROTOCOLS}/, found {name!r}{did_you_mean(name, protocols)}"
            if protocols[name].species != target.species:
                return "species", f"expected {protocols[name].species}, that of {name}, found {target.species}"
    if bool(target.reference) != bool(target.contrast):
        return "contrast", "expected contrast and reference, or neither"
    if target.against and not target.contrast:
        return "against", "expected with contrast and reference: it is an observable of the reference"
    if target.contrast and target.statistic not in ("median", "mean", "hazard"):
        return "statistic", f'expected median or mean, of which a {target.contrast} is made, found "{target.statistic}"'
    if target.statistic == "hazard" and target.contrast != "ratio":
        return "statistic", 'expected with contrast = "ratio": a hazard is compared with that of another cohort'
    if (target.statistic == "correlation") != bool(target.correlate):
        return "correlate", 'expected with statistic = "correlation", and only with it'
    for name in target.protocol if target.correlate else ():
        if target.correlate not in (priors := protocols[name].priors):
            hint = did_you_mean(target.correlate, priors)
            return "correlate", f"expected a parameter with a prior in {name}, found {target.correlate!r}{hint}"
    return None


def _number_problem(target: Target) -> tuple[str, str] | None:
    """Return the key and what is wrong about the number itself."""
    if target.band is None:
        return "band", "missing; expected [low, high] with low <= high"
    if target.centre is not None and not target.band[0] <= target.centre <= target.band[1]:
        return "centre", f"expected a number inside the band {list(target.band)}, found {target.centre:g}"
    name, observable = target.observable, registry()[target.observable]
    expected = expected_unit(target, observable.unit)
    if target.unit != expected:
        return "unit", f"expected {expected!r}, that of {name} as {_statistic(target)}, found {target.unit!r}"
    if observable.curve != (target.day is not None or target.days is not None):
        wanted = "a curve: expected day or days" if observable.curve else "one number: expected no day or days"
        return "observable", f"{name} is {wanted}"
    if target.statistic != "share" and (target.at_least, target.at_most) != (None, None):
        return "statistic", f'expected "share", to which at_least and at_most belong, found "{target.statistic}"'
    return None


def _statistic(target: Target) -> str:
    return target.contrast or target.statistic


def expected_unit(target: Target, unit: str) -> str:
    """Return the unit in which the statistic of an observable in ``unit`` comes out."""
    if target.contrast == "ratio" or target.statistic == "correlation":
        return PURE_UNIT
    return SHARE_UNIT if target.contrast == "reduction" or target.statistic == "share" else unit


def choose(
    catalogue: Catalogue, only: Sequence[str] = (), sections: Sequence[str] = (), species: str | None = None
) -> list[Target]:
    """Return the targets asked for; ``only`` takes rows (O04) and parts (O04.anc).

    Raises:
        ConfigError: an id or section that is not there.
    """
    names = {target.id for target in catalogue.targets} | {target.name for target in catalogue.targets}
    _all_known(only, names, "--only", "a target")
    _all_known(sections, catalogue.sections, "--section", "a section")
    # the checks of the engine are no biology: they run when they are asked for
    wanted = sections or (
        [name for name in catalogue.sections if name != "V"] if not only else list(catalogue.sections)
    )
    return [
        target
        for section in wanted
        for target in catalogue.sections[section]
        if (not only or target.id in only or target.name in only) and species in (None, target.species)
    ]


def _all_known(found: Iterable[str], known: Iterable[str], option: str, what: str) -> None:
    options = list(known)
    for name in found:
        if name not in options:
            raise ConfigError(f"expected {what}, found {name!r}{did_you_mean(name, options)}", file=option)
