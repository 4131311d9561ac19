"""Rule tables compiled to the plain arrays that kernels read.

A rule row multiplies one behaviour of one kind by ``1 + (max - 1) * s^p / (half^p + s^p)``. Rows whose signal
belongs to the body are folded into the rate table once per step on the host; rows with a local signal are
evaluated by the ``fate`` kernel for each cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm import exactmath
from abm.cells import (
    FIRST_MOTILE,
    HISTOGRAM,
    HISTOGRAM_BITS,
    LOSS_ANTIGENS,
    N_BEHAVIOURS,
    N_HAZARDS,
    N_KINDS,
    N_ORIGINS,
    N_SPECIFICITIES,
    Antigen,
    Behaviour,
    Flag,
    Kind,
    Origin,
    Signal,
    Specificity,
    is_motile,
)
from abm.errors import ConfigError
from abm.tables import Row, read_table

#: Body signals and their value at homeostasis.
BODY_SIGNALS: dict[str, float] = {
    "gcsf": 1.0,
    "epo": 1.0,
    "tpo": 1.0,
    "flt3l": 1.0,
    "il7": 1.0,
    "niche_vacancy": 1.0,
    "inflammation_body": 0.0,
    "cni": 0.0,
}
ANY_RESIDENT = "ANY_RESIDENT"
HOURS_PER_DAY = 24.0
N_FATES = 4
#: Table of 1 - exp(-x): 256 steps per unit, up to 16.
ESCAPE_STEPS, ESCAPE_MAX = 256, 16
_CYCLES = {"quiescent": (0,), "cycling": (1,), "any": (0, 1)}
_NEVER_CERTAIN = 0.95
_ROUND_UP = 1.0 + 1e-4  # bounds stay bounds in float32
_KINDS = tuple(k.name for k in Kind if k is not Kind.EMPTY)
_BEHAVIOURS = tuple(b.name for b in Behaviour if b is not Behaviour.DRUG)
_SIGNALS = tuple(s.name.lower() for s in Signal)


class KindInfo(NamedTuple):
    """One row of kinds.csv."""

    stages: int
    lineage: str
    flags: int
    antigens: int
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

    def multiplier(self, value: float) -> float:
        """Return the multiplier at signal ``value``, 1 at the signal's baseline."""
        return self._raw(value) / self._raw(BODY_SIGNALS[self.signal])

    def _raw(self, value: float) -> float:
        return 1.0 + (self.maximum - 1.0) * exactmath.hill(value, self.half, self.power)


class StepRates(NamedTuple):
    """What the kernels of one step need.

    Attributes:
        rates: hazards per step, float32 (128 * N_BEHAVIOURS,).
        ceiling: upper bound of the event probability of an untouched cell, in 2^-32, uint32 (128,). It only saves
            work: the last bits of exp do not matter.
        renew: thresholds of RENEW, uint32 (128,).
    """

    rates: NDArray[np.float32]
    ceiling: NDArray[np.uint32]
    renew: NDArray[np.uint32]


@dataclass(frozen=True)
class Rules:
    """All rule tables of a species.

    Attributes:
        kinds: declared kinds.
        base: rate at homeostasis per (kind, cycle) row and behaviour, 1/day (RENEW: probability), shape (128, 10).
        responses: responses to body signals.
        fates: per kind, the next kinds and their shares.
        tables: constant kernel arguments by name (flags, stages, strength, rule arrays, ...).
        receptors: antigen mask per specificity, uint32 (64,).
        counting: which kinds have a rule on neighbour counts, uint8 (64,).
        largest_response: largest product of local responses per row and hazard, (128, 9); 0 for the hazards that need
            a touch (KILL, ACTIVATE).
        motility: motility coefficient per kind, um2/min, shape (64,).
    """

    kinds: dict[Kind, KindInfo]
    base: NDArray[np.float64]
    responses: tuple[Response, ...]
    fates: dict[Kind, tuple[tuple[Kind, float], ...]]
    tables: dict[str, NDArray[np.generic]]
    receptors: NDArray[np.uint32]
    counting: NDArray[np.uint8]
    largest_response: NDArray[np.float64]
    motility: NDArray[np.float64]
    origin_antigens: dict[tuple[Origin, bool], int]

    @classmethod
    def load(cls, folder: Path) -> Rules:
        """Read and check the tables in ``folder``; every problem is a ConfigError naming file and line."""
        kinds = _read_kinds(folder / "kinds.csv")
        base = _read_behaviours(folder / "behaviours.csv", kinds)
        body, local = _read_responses(folder / "responses.csv", kinds)
        fates = _read_fates(folder / "fates.csv", kinds)
        active = _read_activations(folder / "activations.csv", kinds)
        return cls(
            kinds=kinds,
            base=base,
            responses=tuple(body),
            fates=fates,
            tables=_tables(kinds, local, fates, active),
            receptors=_read_receptors(folder / "receptors.csv"),
            counting=_counting(local),
            largest_response=_largest_response(local),
            motility=np.array([kinds[Kind(k)].motility if k in kinds else 0.0 for k in range(N_KINDS)]),
            origin_antigens=_read_origins(folder / "origins.csv"),
        )

    def rates(self, signals: dict[str, float], drug_hazard: NDArray[np.float64], step_h: float) -> StepRates:
        """Return this step's hazards and renewal thresholds.

        Args:
            signals: body signals by name.
            drug_hazard: extra death hazard per hour by drug and radiation, shape (64, 2).
            step_h: length of the step, hours.
        """
        rate = self.base.copy()
        for response in self.responses:
            rate[response.rows, response.behaviour] *= response.multiplier(signals[response.signal])
        renew = np.where(
            self.base[:, Behaviour.RENEW] >= 1.0, 1.0, np.minimum(rate[:, Behaviour.RENEW], _NEVER_CERTAIN)
        )
        rate *= step_h / HOURS_PER_DAY
        rate[:, Behaviour.DRUG] = drug_hazard.reshape(-1) * step_h
        rate[:, Behaviour.RENEW] = 0.0
        thresholds = np.where(renew >= 1.0, 0xFFFFFFFF, np.floor(renew * 4294967296.0)).astype(np.uint32)
        bound = (rate[:, :N_HAZARDS] * self.largest_response).sum(axis=1) * _ROUND_UP
        ceiling = np.minimum((1.0 - np.exp(-bound)) * _ROUND_UP * 4294967296.0 + 4096.0, 4294967295.0)
        return StepRates(rate.astype(np.float32).reshape(-1), ceiling.astype(np.uint32), thresholds)

    def wants_histogram(self, population: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return which kinds need their neighbours counted, uint8 (64,): a function of who is on the lattice.

        Where there are effectors, every cell may be touched; where there is leukaemia, stroma (kind EMPTY) senses it.
        """
        if population[self.mask(Flag.EFFECTOR)].any():
            return np.ones(N_KINDS, np.uint8)
        wanted = self.counting.copy()
        wanted[Kind.EMPTY] = population[self.mask(Flag.LEUKAEMIC)].any()
        return wanted

    def antigens(self, donor_is_self: bool) -> NDArray[np.uint32]:
        """Return the antigen mask per kind and origin, uint32 (64 * 4,)."""
        table = np.zeros((N_KINDS, N_ORIGINS), np.uint32)
        for kind, info in self.kinds.items():
            for origin in Origin:
                source = Origin.HOST if origin is Origin.HOST else Origin.DONOR
                table[kind, origin] = info.antigens | self.origin_antigens[source, donor_is_self]
        return table.reshape(-1)

    def mask(self, flag: Flag) -> NDArray[np.bool_]:
        """Return which kinds carry ``flag``, shape (64,)."""
        return np.array([k in self.kinds and bool(self.kinds[Kind(k)].flags >> flag & 1) for k in range(N_KINDS)])

    def lineage(self, *names: str) -> NDArray[np.bool_]:
        """Return which kinds belong to the lineages, shape (64,)."""
        return np.array([k in self.kinds and self.kinds[Kind(k)].lineage in names for k in range(N_KINDS)])


def escape_table() -> NDArray[np.float32]:
    """Return 1 - exp(-x) at x = 0, 1/256, ..., 16 and one entry more."""
    n = ESCAPE_STEPS * ESCAPE_MAX + 2
    return np.array([1.0 - exactmath.exp(-j / ESCAPE_STEPS) for j in range(n)], np.float32)


def _counting(local: list[_Local]) -> NDArray[np.uint8]:
    counting = np.zeros(N_KINDS, np.uint8)
    for rule in local:  # KILL needs an effector near, and then everyone is counted
        if rule.signal.name.startswith("N_") and rule.behaviour is not Behaviour.KILL:
            counting[rule.row // 2] = 1
    return counting


def _largest_response(local: list[_Local]) -> NDArray[np.float64]:
    largest = np.ones((N_KINDS * 2, N_HAZARDS))
    for rule in local:
        if rule.behaviour is not Behaviour.RENEW:
            largest[rule.row, rule.behaviour] *= max(1.0, 1.0 + rule.gain)
    largest[:, [Behaviour.KILL, Behaviour.ACTIVATE]] = 0.0
    return largest


def _rows(kind: Kind, cycle: str) -> tuple[int, ...]:
    return tuple(kind * 2 + c for c in _CYCLES[cycle])


def _kind(row: Row, column: str, kinds: dict[Kind, KindInfo]) -> Kind:
    return Kind[row.choice(column, [k.name for k in kinds])]


def _which(row: Row, kinds: dict[Kind, KindInfo]) -> list[Kind]:
    name = row.choice("kind", [*(k.name for k in kinds), ANY_RESIDENT])
    return [k for k in kinds if k < FIRST_MOTILE] if name == ANY_RESIDENT else [Kind[name]]


def _bits(row: Row, column: str, options: type[Flag] | type[Antigen]) -> int:
    names = [m.name for m in options]
    mask = 0
    for name in row.text(column).split():
        if name not in names:
            Row(row.file, row.line, {column: name}).choice(column, names)
        mask |= 1 << options[name]
    return mask


def _read_kinds(path: Path) -> dict[Kind, KindInfo]:
    kinds: dict[Kind, KindInfo] = {}
    for row in read_table(path, ("kind", "stages", "lineage", "flags", "antigens", "strength", "motility")):
        kind = Kind[row.choice("kind", _KINDS)]
        if kind in kinds:
            raise row.error("kind", f"{kind.name} stands twice in this table")
        kinds[kind] = KindInfo(
            stages=row.integer("stages", 0, 31),
            lineage=row.text("lineage"),
            flags=_bits(row, "flags", Flag),
            antigens=_bits(row, "antigens", Antigen),
            strength=row.number("strength", 0.0),
            motility=row.number("motility", 0.0),
        )
    return kinds


def _read_behaviours(path: Path, kinds: dict[Kind, KindInfo]) -> NDArray[np.float64]:
    base = np.zeros((N_KINDS * 2, N_BEHAVIOURS))
    seen: set[tuple[int, Behaviour]] = set()
    for row in read_table(path, ("kind", "cycle", "behaviour", "base")):
        behaviour = Behaviour[row.choice("behaviour", _BEHAVIOURS)]
        expected = "probability" if behaviour is Behaviour.RENEW else "1/day"
        row.choice("unit", [expected])
        value = row.number("base", 0.0, 1.0 if behaviour is Behaviour.RENEW else None)
        for kind in _which(row, kinds):
            for r in _rows(kind, row.choice("cycle", _CYCLES)):
                if (r, behaviour) in seen:
                    raise row.error("kind", f"{kind.name} {behaviour.name} is set twice")
                seen.add((r, behaviour))
                base[r, behaviour] = value
    return base


class _Local(NamedTuple):
    row: int
    behaviour: Behaviour
    signal: Signal
    gain: float
    half: float
    power: int


def _read_responses(path: Path, kinds: dict[Kind, KindInfo]) -> tuple[list[Response], list[_Local]]:
    body: list[Response] = []
    local: list[_Local] = []
    columns = ("kind", "cycle", "behaviour", "signal", "direction", "max", "half", "power")
    for row in read_table(path, columns):
        rows = tuple(r for k in _which(row, kinds) for r in _rows(k, row.choice("cycle", _CYCLES)))
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
            local += [_Local(r, behaviour, code, maximum - 1.0, half**power, power) for r in rows]
    return body, local


def _read_fates(path: Path, kinds: dict[Kind, KindInfo]) -> dict[Kind, tuple[tuple[Kind, float], ...]]:
    fates: dict[Kind, list[tuple[Kind, float]]] = {}
    last: dict[Kind, Row] = {}
    for row in read_table(path, ("kind", "next", "share")):
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


def _read_activations(path: Path, kinds: dict[Kind, KindInfo]) -> dict[Kind, Kind]:
    return {_kind(row, "kind", kinds): _kind(row, "next", kinds) for row in read_table(path, ("kind", "next"))}


def _read_receptors(path: Path) -> NDArray[np.uint32]:
    masks = np.zeros(N_SPECIFICITIES, np.uint32)
    for row in read_table(path, ("specificity", "antigen")):
        specificity = Specificity[row.choice("specificity", [s.name for s in Specificity if s])]
        masks[specificity] |= np.uint32(1 << Antigen[row.choice("antigen", [a.name for a in Antigen])])
    return masks


def _read_origins(path: Path) -> dict[tuple[Origin, bool], int]:
    masks = {(origin, is_self): 0 for origin in (Origin.HOST, Origin.DONOR) for is_self in (False, True)}
    for row in read_table(path, ("origin", "relation", "antigen")):
        origin = Origin[row.choice("origin", ("HOST", "DONOR"))]
        relation = row.choice("relation", ("any", "self", "other"))
        bit = 1 << Antigen[row.choice("antigen", [a.name for a in Antigen])]
        for is_self in (False, True):
            if relation == "any" or (relation == "self") == is_self:
                masks[origin, is_self] |= bit
    return masks


def _tables(
    kinds: dict[Kind, KindInfo],
    local: list[_Local],
    fates: dict[Kind, tuple[tuple[Kind, float], ...]],
    active: dict[Kind, Kind],
) -> dict[str, NDArray[np.generic]]:
    local = sorted(local, key=lambda rule: rule.row)  # stable: rows keep the order of the table
    counts = np.bincount([rule.row for rule in local], minlength=N_KINDS * 2)
    flags = np.zeros(N_KINDS, np.uint32)
    stages = np.zeros(N_KINDS, np.uint8)
    strength = np.zeros(N_KINDS, np.float32)
    active_form = np.arange(N_KINDS).astype(np.uint8)
    for kind, info in kinds.items():
        flags[kind], stages[kind], strength[kind] = info.flags, info.stages, info.strength
        active_form[kind] = active.get(kind, kind)
    fate_next = np.zeros((N_KINDS, N_FATES), np.uint8)
    fate_share = np.zeros((N_KINDS, N_FATES), np.uint32)
    for kind, options in fates.items():
        total = 0.0
        for j, (following, share) in enumerate(options):
            total += share
            fate_next[kind, j] = following
            fate_share[kind, j] = min(int(total * 4294967296.0), 0xFFFFFFFF)
    return {
        "flags": flags,
        "stages": stages,
        "strength": strength,
        "classes": _class_words(kinds),
        "active_form": active_form,
        "fate_next": fate_next.reshape(-1),
        "fate_share": fate_share.reshape(-1),
        "losses": np.array([1 << a for a in LOSS_ANTIGENS], np.uint32),
        "rule_start": np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        "rule_behaviour": np.array([r.behaviour for r in local], np.uint8),
        "rule_signal": np.array([r.signal for r in local], np.uint8),
        "rule_power": np.array([r.power for r in local], np.uint8),
        "rule_gain": np.array([r.gain for r in local], np.float32),
        "rule_half": np.array([r.half for r in local], np.float32),
        "escape": escape_table(),
    }


def _class_words(kinds: dict[Kind, KindInfo]) -> NDArray[np.uint32]:
    """Return which histogram classes a cell of each kind adds one to."""
    words = np.zeros(N_KINDS, np.uint32)
    for kind, info in kinds.items():
        member = {
            "hspc": bool(info.flags >> Flag.HSPC & 1),
            "leukaemic": bool(info.flags >> Flag.LEUKAEMIC & 1),
            "resident": not is_motile(kind),
            "effector": is_motile(kind) and bool(info.flags >> Flag.EFFECTOR & 1),
            "treg": bool(info.flags >> Flag.TREG & 1),
            "apc": bool(info.flags >> Flag.APC & 1),
        }
        for j, name in enumerate(HISTOGRAM):
            if member[name]:
                words[kind] |= np.uint32(1 << (HISTOGRAM_BITS * j))
    return words


def load_rules(folder: Path) -> Rules:
    """Read the rule tables of a species folder."""
    if not folder.is_dir():
        raise ConfigError("no such folder of rule tables", file=folder)
    return Rules.load(folder)
