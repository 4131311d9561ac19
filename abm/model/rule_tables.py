"""The rule tables of a species as they stand in their files: read and checked, not yet compiled.

Every problem is a ConfigError that names file, line and column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm.cells import (
    FIRST_MOTILE,
    N_BEHAVIOURS,
    N_KINDS,
    Behaviour,
    Flag,
    Kind,
    Signal,
    is_motile,
)
from abm.tables import Row, TableFile, once, read_table

#: Body signals and their value at homeostasis.
BODY_SIGNALS: dict[str, float] = {
    "gcsf": 1.0,
    "epo": 1.0,
    "tpo": 1.0,
    "flt3l": 1.0,
    "il7": 1.0,
    "niche_vacancy": 1.0,
    "crowding": 0.0,
    "inflammation_body": 0.0,
    "cni": 0.0,
    "stroma": 1.0,
    "hiv_killing": 0.0,
}
ANY_RESIDENT = "ANY_RESIDENT"
N_FATES = 4
CYCLES = {"quiescent": (0,), "cycling": (1,), "any": (0, 1)}
_KINDS = tuple(k.name for k in Kind if k is not Kind.EMPTY)
_BEHAVIOURS = tuple(b.name for b in Behaviour if b is not Behaviour.DRUG)
_SIGNALS = tuple(s.name.lower() for s in Signal)


class KindInfo(NamedTuple):
    """One row of kinds.csv."""

    stages: int
    lineage: str
    flags: int
    strength: float
    motility: float  # um2/min


class Response(NamedTuple):
    """One response to a body signal."""

    rows: list[int]
    behaviour: Behaviour
    signal: str
    maximum: float
    half: float
    power: int


class Responses:
    """Responses to body signals, answered all at once: with + - * / alone, as one by one."""

    def __init__(self, responses: Sequence[Response]) -> None:
        """Take the form of each, and the place it answers at."""
        self._signals = sorted({response.signal for response in responses})
        self._which = np.array([self._signals.index(response.signal) for response in responses], np.int64)
        self._rise = np.array([response.maximum - 1.0 for response in responses])
        self._power = np.array([response.power for response in responses])
        self._once, self._fourth = self._power == 1, self._power == 4
        self._half = self._raised(np.array([response.half for response in responses]))
        self._usual = self._answer(BODY_SIGNALS)
        self._rounds = _rounds(responses)

    def multipliers(self, signals: Mapping[str, float]) -> NDArray[np.float64]:
        """Return the multiplier of each response at these signals, 1 at their baselines."""
        return self._answer(signals) / self._usual

    def multiply(self, rate: NDArray[np.float64], multipliers: NDArray[np.float64]) -> None:
        """Multiply rates, shape (128, N_BEHAVIOURS), in place; one that several responses change in their order."""
        flat = rate.reshape(-1)
        for place, which in self._rounds:
            flat[place] *= multipliers[which]

    def pace(self, signals: Mapping[str, float], base: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how many times faster each kind in cycle divides at these signals, shape (64,).

        Cells that divide no more but mature copy their DNA, if they do, as they mature.

        Args:
            signals: body signals by name.
            base: rates at homeostasis, shape (128, N_BEHAVIOURS).
        """
        factor = np.ones_like(base)
        self.multiply(factor, self.multipliers(signals))
        divide, mature = factor[1::2, Behaviour.DIVIDE], factor[1::2, Behaviour.MATURE]
        return np.where(base[1::2, Behaviour.DIVIDE] > 0.0, divide, mature)

    def _answer(self, signals: Mapping[str, float]) -> NDArray[np.float64]:
        value = self._raised(np.array([signals[name] for name in self._signals])[self._which])
        return 1.0 + self._rise * (value / (self._half + value))

    def _raised(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        square = value * value
        return np.where(self._once, value, np.where(self._fourth, square * square, square))


def _rounds(responses: Sequence[Response]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return places of the flat rates and the numbers of the responses there, no place twice in a round."""
    rounds: list[dict[int, int]] = []
    for number, response in enumerate(responses):
        for row in response.rows:
            place = row * N_BEHAVIOURS + int(response.behaviour)
            free = next((found for found in rounds if place not in found), None)
            if free is None:
                rounds.append(free := {})
            free[place] = number
    return [(np.array([*found]), np.array([*found.values()])) for found in rounds]


def _rows(kind: Kind, cycle: str) -> tuple[int, ...]:
    return tuple(kind * 2 + c for c in CYCLES[cycle])


def _kind(row: Row, column: str, kinds: dict[Kind, KindInfo]) -> Kind:
    return Kind[row.choice(column, [k.name for k in kinds])]


def _which(row: Row, kinds: dict[Kind, KindInfo]) -> list[Kind]:
    name = row.choice("kind", [*(k.name for k in kinds), ANY_RESIDENT])
    return [k for k in kinds if k < FIRST_MOTILE] if name == ANY_RESIDENT else [Kind[name]]


def _flags(row: Row) -> int:
    names = [flag.name for flag in Flag]
    mask = 0
    for name in row.text("flags").split():
        mask |= 1 << Flag[Row(row.file, row.line, {"flags": name}).choice("flags", names)]
    return mask


def read_kinds(path: TableFile) -> dict[Kind, KindInfo]:
    """Return the declared kinds of ``kinds.csv``."""
    kinds: dict[Kind, KindInfo] = {}
    for row in read_table(path, ("kind", "stages", "lineage", "flags", "strength", "motility"), key=("kind",)):
        kind = Kind[row.choice("kind", _KINDS)]
        if kind in kinds:
            raise row.error("kind", f"{kind.name} stands twice in this table")
        kinds[kind] = KindInfo(
            stages=row.integer("stages", 0, 31),
            lineage=row.text("lineage"),
            flags=_flags(row),
            strength=row.number("strength", 0.0),
            motility=row.number("motility", 0.0),
        )
    return kinds


def read_behaviours(path: TableFile, kinds: dict[Kind, KindInfo]) -> NDArray[np.float64]:
    """Return the rates at homeostasis, 1/day (RENEW: probability), shape (N_KINDS * 2, N_BEHAVIOURS)."""
    base = np.zeros((N_KINDS * 2, N_BEHAVIOURS))
    seen: set[tuple[int, Behaviour]] = set()
    for row in read_table(path, ("kind", "cycle", "behaviour", "base"), key=("kind",)):
        behaviour = Behaviour[row.choice("behaviour", _BEHAVIOURS)]
        expected = "probability" if behaviour is Behaviour.RENEW else "1/day"
        row.choice("unit", [expected])
        value = row.number("base", 0.0, 1.0 if behaviour is Behaviour.RENEW else None)
        for kind in _which(row, kinds):
            for r in _rows(kind, row.choice("cycle", CYCLES)):
                if (r, behaviour) in seen:
                    raise row.error("kind", f"{kind.name} {behaviour.name} is set twice")
                seen.add((r, behaviour))
                base[r, behaviour] = value
    return base


class Local(NamedTuple):
    """One response to a local signal: multiplier 1 + gain * hill."""

    row: int
    behaviour: Behaviour
    signal: Signal
    gain: float
    half: float
    power: int


def read_responses(path: TableFile, kinds: dict[Kind, KindInfo]) -> tuple[list[Response], list[Local]]:
    """Return the responses to body signals and those to local signals.

    Several to one signal multiply, as a power law needs (Oustaloup's approximation); the same one twice is a slip.
    """
    body: list[Response] = []
    local: list[Local] = []
    columns = ("kind", "cycle", "behaviour", "signal", "direction", "max", "half", "power")
    key = ("kind", "cycle", "behaviour", "signal")
    for row in once(read_table(path, columns, key=key), (*key, "max", "half")):
        rows = tuple(r for k in _which(row, kinds) for r in _rows(k, row.choice("cycle", CYCLES)))
        behaviour = Behaviour[row.choice("behaviour", _BEHAVIOURS)]
        signal = row.choice("signal", [*BODY_SIGNALS, *_SIGNALS])
        increases = row.choice("direction", ("increases", "decreases")) == "increases"
        maximum = row.number("max", 1.0 if increases else 0.0, None if increases else 1.0)
        half = row.number("half", 1e-6)
        power = row.integer("power", 1, 4)
        if power == 3:
            raise row.error("power", "expected 1, 2 or 4, found '3'")
        if signal in BODY_SIGNALS:
            body.append(Response(list(rows), behaviour, signal, maximum, half, power))
        elif behaviour is Behaviour.RENEW:
            raise row.error("behaviour", f"RENEW answers to body signals only ({', '.join(BODY_SIGNALS)})")
        else:
            code = Signal[signal.upper()]
            local += [Local(r, behaviour, code, maximum - 1.0, half**power, power) for r in rows]
    return body, local


def read_fates(path: TableFile, kinds: dict[Kind, KindInfo]) -> dict[Kind, tuple[tuple[Kind, float], ...]]:
    """Return the next kinds and their shares by kind."""
    fates: dict[Kind, list[tuple[Kind, float]]] = {}
    last: dict[Kind, Row] = {}
    for row in read_table(path, ("kind", "next", "share"), key=("kind",)):
        kind, following = _kind(row, "kind", kinds), _kind(row, "next", kinds)
        if is_motile(kind) != is_motile(following):
            raise row.error("next", f"{kind.name} and {following.name} live in different layers")
        fates.setdefault(kind, []).append((following, row.number("share", 0.0, 1.0)))
        last[kind] = row
        if len(fates[kind]) > N_FATES:
            raise row.error("kind", f"{kind.name} has more than {N_FATES} fates")
    for kind, options in fates.items():
        total = sum(share for _, share in options)
        if abs(total - 1.0) > 1e-9:
            raise last[kind].error("share", f"the shares of {kind.name} add up to {total:g}, expected 1")
        if kinds[kind].stages == 0:
            raise last[kind].error("kind", f"{kind.name} has fates but no stages in kinds.csv")
    return {kind: tuple(options) for kind, options in fates.items()}


def read_activations(path: TableFile, kinds: dict[Kind, KindInfo]) -> dict[Kind, Kind]:
    """Return what ACTIVATE makes of each kind."""
    rows = once(read_table(path, ("kind", "next")), ("kind",))
    return {_kind(row, "kind", kinds): _kind(row, "next", kinds) for row in rows}
