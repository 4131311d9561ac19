"""From protocols to single patients: scenario, overrides drawn from the priors, and the key of the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from abm import kernel, resources
from abm.config import Config, load_config, rules_folder
from abm.config_lines import read_source
from abm.errors import ConfigError
from abm.tables import Overlay, rules_digest
from abm.validation.draws import draw
from abm.validation.protocols import PROTOCOLS, Protocol

#: Parts of abm that neither shape nor measure a run: a change in them leaves cached results valid.
_ASIDE = ("validation", "calibration", "bench", "scale", "backends", "submit.py", "cli.py", "cli_options.py",
          "doctor.py", "describe.py", "progress.py", "ranks.py", "run.py", "run_folder.py",
          "series.py", "stop_signals.py", "sweep.py")  # fmt: skip
#: Of these packages left out above, what decides results all the same.
_INSIDE = ("validation/patient.py", "validation/following.py", "validation/experiments.py", "validation/lives.py")
_MEASURED_BY = "observables/*.py"
#: Processor time of an experiment, s, where it is much shorter than ``_LONG_S``: lives of stem cells and of bodies.
_EXPERIMENT_S = {
    "ccr5_rebound": 9.0, "chip_life": 0.2, "autograft_life": 0.2, "autograft_clone": 0.1,
    "gammaretroviral_leukaemia": 0.05, "lentiviral_leukaemia": 0.05,
}  # fmt: skip
_LONG_S = 20.0


class Price(NamedTuple):
    """Processor time that a patient takes, fitted to those of 42 cohorts within a quarter, most within a tenth.

    Attributes:
        step_s: of a step.
        hour_s: of an hour in a step: the body and the walk go on in shorter ones.
        site_s: of a site in a step.
        record_s: of a record, written, read and measured.
    """

    step_s: float
    hour_s: float
    site_s: float
    record_s: float

    def of(self, config: Config) -> float:
        """Return what a patient takes, s."""
        hours = config.time.step_min / 60
        step_s = self.step_s + self.hour_s * hours + self.site_s * prod(config.patch.shape)
        return config.n_steps * (step_s + self.record_s * hours / config.output.series_h)


_LATTICE, _WELL_MIXED = Price(4e-4, 1e-4, 1.25e-8, 3.6e-3), Price(6.5e-4, 0.0, 0.0, 1.3e-3)


@dataclass(frozen=True)
class Case:
    """One patient of a protocol.

    Attributes:
        protocol: name of the cohort.
        seed: number of the patient, and key of the run's random numbers.
        scenario: the file; empty for an experiment.
        experiment: name of a check of the engine, or empty.
        overrides: what is changed in the scenario.
        drawn: what the priors gave, by parameter.
        key: digest of all that decides the result.
        well_mixed: whether the patient has no lattice.
        work_s: processor time it may take, about.
    """

    protocol: str
    seed: int
    scenario: str
    experiment: str
    overrides: tuple[str, ...]
    drawn: tuple[tuple[str, float], ...]
    key: str = ""
    well_mixed: bool = False
    work_s: float = 0.0

    @property
    def file(self) -> str:
        """Name of the file that keeps the result."""
        return f"{self.protocol}-{self.seed}-{self.key[:16]}.json"


def scenario_file(protocol: Protocol) -> Path | None:
    """Return the scenario of a protocol, ``None`` of an experiment."""
    return resources.folder("scenarios") / f"{protocol.scenario}.toml" if protocol.scenario else None


def cases(name: str, protocol: Protocol, *, quick: bool, seeds: int, first: int = 1) -> list[Case]:
    """Return the patients of a protocol from number ``first`` to number ``seeds``.

    Raises:
        ConfigError: an override or prior does not fit the scenario.
    """
    changes = protocol.set + (protocol.quick if quick else ())
    return [_case(name, protocol, changes, seed) for seed in range(first, seeds + 1)]


def _case(name: str, protocol: Protocol, changes: tuple[str, ...], seed: int) -> Case:
    path = scenario_file(protocol)
    priors = protocol.priors
    drawn = tuple((key, draw(prior, key, seed, priors)) for key, prior in priors.items() if not _idle(key, protocol))
    texts = (*changes, *(f"{key}={value!r}" for key, value in drawn))
    events = event_list(protocol, path)
    if path is None:
        case = Case(name, seed, "", protocol.experiment, texts, drawn)
        digests = [code_digest(), rules_digest(rules_folder(protocol.species)), scenarios_digest()]
        work_s = _EXPERIMENT_S.get(protocol.experiment, _LONG_S)
        return replace(case, key=_digest([vars(case), *digests]), work_s=work_s)
    try:
        overrides = (*as_override(protocol, events), *texts)
        config = load_config(path, overrides, seed)
    except ConfigError as error:
        raise ConfigError(f"does not fit {path.name}: {error}", file=PROTOCOLS, key=name) from None
    rules = config.rules
    folders = rules.folders if isinstance(rules, Overlay) else [rules]
    decides = [config.digest(), config.output.series_h, code_digest(), *map(rules_digest, folders)]
    decides += ["well_mixed"] if protocol.well_mixed else []
    work_s = (_WELL_MIXED if protocol.well_mixed else _LATTICE).of(config)
    return Case(name, seed, str(path), "", overrides, drawn, _digest(decides), protocol.well_mixed, work_s)


def _idle(key: str, protocol: Protocol) -> bool:
    """Return whether a parameter belongs to an event that the protocol leaves out."""
    table, _, name = key.partition(".")
    return table == "events" and name.split(".")[0] in protocol.drop


def event_list(protocol: Protocol, path: Path | None) -> list[Mapping[str, Any]]:
    """Return the events of a protocol: those of its scenario but for the dropped ones, then its own."""
    shipped = read_source(path).data.get("events", []) if path else []
    kept = [event for event in shipped if not {event.get("action"), event.get("drug")} & set(protocol.drop)]
    return [*kept, *protocol.events]


def as_override(protocol: Protocol, events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the events as one override, nothing if they are the scenario's own."""
    if not (protocol.drop or protocol.events):
        return []
    return [f"events=[{', '.join(_inline(event) for event in events)}]"]


def _inline(value: Any) -> str:  # noqa: ANN401 - any TOML value
    """Return a value as TOML on one line; JSON's texts, numbers and truth values are TOML's."""
    if not isinstance(value, Mapping):
        return json.dumps(value)
    return "{" + ", ".join(f"{key} = {_inline(found)}" for key, found in value.items()) + "}"


@cache
def code_digest() -> str:
    """Return the digest of the program text that shapes and measures a run, kernels included."""
    package = Path(__file__).resolve().parents[1]
    found = {path.relative_to(package).as_posix(): path for path in package.rglob("*.py")}
    texts = {name: path for name, path in found.items() if name.split("/")[0] not in _ASIDE or name in _INSIDE}
    analysis = resources.folder("analysis")
    texts |= {f"analysis/{path.name}": path for path in (analysis / "read.py", *analysis.glob(_MEASURED_BY))}
    return _digest([kernel.digest(), {name: _file_digest(path) for name, path in sorted(texts.items())}])


@cache
def scenarios_digest() -> str:
    """Return the digest of what all shipped scenarios say: an experiment runs some of them."""
    files = sorted(resources.folder("scenarios").glob("*.toml"))
    return _digest({path.stem: read_source(path).data for path in files})


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def parameter_of(result: Mapping[str, object], key: str) -> float:
    """Return what a prior gave in a stored result; not a number if it gave nothing."""
    drawn = result.get("drawn")
    pairs: Iterable[tuple[str, float]] = drawn if isinstance(drawn, list) else ()
    return next((float(value) for name, value in pairs if name == key), float("nan"))
