"""Rule tables compiled to the plain arrays that kernels read.

A rule row multiplies one behaviour of one kind by ``1 + (max - 1) * s^p / (half^p + s^p)``. Rows whose signal
belongs to the body are folded into the rate table once per step on the host; rows with a local signal are
evaluated by the ``fate`` kernel for each cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abm.cells import (
    FIRST_MOTILE,
    HISTOGRAM,
    HISTOGRAM_BITS,
    LOSS_ANTIGENS,
    N_HAZARDS,
    N_KINDS,
    N_VARIANTS,
    Behaviour,
    Flag,
    Kind,
    Signal,
)
from abm.errors import ConfigError
from abm.model.hazards import kill, killed
from abm.model.heredity import Heredity
from abm.model.histogram import class_words
from abm.model.recognition import Recognition
from abm.model.rule_tables import (
    BODY_SIGNALS,
    N_FATES,
    KindInfo,
    Local,
    Response,
    Responses,
    read_activations,
    read_behaviours,
    read_fates,
    read_kinds,
    read_responses,
)
from abm.model.step_rates import StepRates
from abm.tables import Folder

__all__ = ["BODY_SIGNALS", "Rules", "StepRates", "load_rules"]

HOURS_PER_DAY = 24.0
N_LOSSES = len(LOSS_ANTIGENS)
_HAZARD_BITS = (1 << np.arange(N_HAZARDS)).astype(np.float32)
_LOSS_BITS = 1 << np.arange(N_LOSSES)
#: What no drug does that looks at antigens.
_NOT_DIRECTED, _NOT_AIMED = np.zeros(N_KINDS * 2 * N_LOSSES, np.float32), np.zeros(N_KINDS * 2, np.uint16)
_NONE_EXPOSED = np.zeros((1, N_KINDS * 2), np.float32)  #: where contact with stroma spares nobody
_NEVER_CERTAIN = 0.95
_MOST_HITS = 27  # lymphocytes that can engage one cell
_ROUND_UP = 1.0 + 1e-4  # bounds stay bounds in float32


@dataclass(frozen=True)
class Rules:
    """All rule tables of a species.

    Attributes:
        kinds: declared kinds.
        base: rate at homeostasis per (kind, cycle) row and behaviour, 1/day (RENEW: probability), shape (128, 10).
        responses: responses to body signals.
        fates: per kind, the next kinds and their shares.
        tables: constant kernel arguments by name (flags, stages, strength, rule arrays, ...).
        recognition: antigens, who shows them, and receptor classes.
        heredity: variants, mutations, subclones at the start.
        counting: whose presence makes which histogram class matter (:func:`_counting`), bool (64, 6).
        largest_response: largest product of local responses per row and hazard, untouched and touched, (2, 128, 9); 0
            without a touch for the hazards that need one (KILL, ACTIVATE).
        motility: motility coefficient per kind, um2/min, shape (64,).
        local_signals: local signals that any rule looks at.
    """

    kinds: dict[Kind, KindInfo]
    base: NDArray[np.float64]
    responses: tuple[Response, ...]
    fates: dict[Kind, tuple[tuple[Kind, float], ...]]
    tables: dict[str, NDArray[np.generic]]
    recognition: Recognition
    heredity: Heredity
    counting: NDArray[np.bool_]
    largest_response: NDArray[np.float64]
    motility: NDArray[np.float64]
    local_signals: frozenset[Signal]

    @classmethod
    def load(cls, folder: Folder) -> Rules:
        """Read and check the tables in ``folder``; every problem is a ConfigError naming file and line."""
        kinds = read_kinds(folder / "kinds.csv")
        base = read_behaviours(folder / "behaviours.csv", kinds)
        body, local = read_responses(folder / "responses.csv", kinds)
        fates = read_fates(folder / "fates.csv", kinds)
        active = read_activations(folder / "activations.csv", kinds)
        recognition = Recognition.load(folder, kinds)
        losable = frozenset(antigen for antigen, info in recognition.antigens.items() if info.can_be_lost)
        heredity = Heredity.load(folder, kinds, losable)
        return cls(
            kinds=kinds,
            base=base,
            responses=tuple(body),
            fates=fates,
            tables=_tables(kinds, local, fates, active, recognition) | heredity.tables(),
            recognition=recognition,
            heredity=heredity,
            counting=_counting(kinds, local),
            largest_response=_largest_response(kinds, local),
            motility=np.array([kinds[Kind(k)].motility if k in kinds else 0.0 for k in range(N_KINDS)]),
            local_signals=frozenset(rule.signal for rule in local),
        )

    def rates(
        self,
        signals: dict[str, float],
        drug_hazard: NDArray[np.float64],
        step_h: float,
        directed: NDArray[np.float64] | None = None,
        exposed: NDArray[np.float64] | None = None,
    ) -> StepRates:
        """Return this step's hazards and renewal thresholds.

        Args:
            signals: body signals by name.
            drug_hazard: extra death hazard per hour by drug and radiation, by kind and cycle state, shape (64, 2), or
                by variant as well, shape (4, 64, 2).
            step_h: length of the step, hours.
            directed: the same by drugs that spare cells without an antigen, by its loss bit, shape (64, 2, 9).
            exposed: the same of which contact with stroma spares a cell, besides ``drug_hazard`` and shaped alike.
        """
        multipliers = self._responses.multipliers(signals)
        asked = (step_h, *(x.tobytes() for x in (multipliers, drug_hazard, directed, exposed) if x is not None))
        if asked not in self._remembered:  # without a response or a drug, all steps are the same
            self._remembered.clear()
            self._remembered[asked] = self._rates(multipliers, drug_hazard, step_h, directed, exposed)
        return self._remembered[asked]

    def pace(self, signals: dict[str, float]) -> NDArray[np.float64]:
        """Return how many times faster cells in cycle divide at these body signals, by kind, shape (64,)."""
        return self._responses.pace(signals, self.base)

    @cached_property
    def precursors(self) -> NDArray[np.bool_]:
        """Kinds of healthy blood formation that divide, bool (64,)."""
        divide = self.base.reshape(N_KINDS, 2, -1)[:, :, Behaviour.DIVIDE].any(axis=1)
        return divide & (np.arange(N_KINDS) < FIRST_MOTILE) & ~self.mask(Flag.LEUKAEMIC)

    @cached_property
    def _responses(self) -> Responses:
        return Responses(self.responses)

    @cached_property
    def _remembered(self) -> dict[tuple[object, ...], StepRates]:
        """The rates of the last step, by all that they depend on."""
        return {}

    def _rates(
        self,
        multipliers: NDArray[np.float64],
        drug_hazard: NDArray[np.float64],
        step_h: float,
        directed: NDArray[np.float64] | None,
        exposed: NDArray[np.float64] | None,
    ) -> StepRates:
        variants = self.heredity.variants
        rate, renew = self._hazards(multipliers, step_h, variants.factor if variants.differ else None)
        by_drug = drug_hazard.reshape(-1, N_KINDS * 2) * step_h
        if len(by_drug) > len(rate):
            rate = np.repeat(rate, N_VARIANTS, axis=0)
        kill(rate, by_drug)
        highest, of_drugs, aimed = rate[..., :N_HAZARDS], _NOT_DIRECTED, _NOT_AIMED
        if directed is not None:
            spare = killed(directed.reshape(-1, N_LOSSES) * step_h)
            highest = highest.copy()
            highest[..., Behaviour.DRUG] += spare.sum(axis=1)
            of_drugs, aimed = spare.astype(np.float32).reshape(-1), ((spare > 0.0) @ _LOSS_BITS).astype(np.uint16)
        bare: NDArray[Any] = _NONE_EXPOSED
        if exposed is not None:
            bare = killed(exposed.reshape(-1, N_KINDS * 2) * step_h)
            highest = highest.copy()
            highest[..., Behaviour.DRUG] += bare
        rated = ((highest > 0.0).astype(np.float32) @ _HAZARD_BITS).astype(np.uint32)
        rates = _of_all(rate.astype(np.float32))
        by_row = _of_all(renew), _of_all(rated)
        return StepRates(rates, self._ceiling(highest), *by_row, of_drugs, aimed, _of_all(bare.astype(np.float32)))

    def _hazards(
        self, multipliers: NDArray[np.float64], step_h: float, factor: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
        """Return hazards per step without drugs and thresholds of RENEW by variant, as far as ``factor`` tells them."""
        rate = self.base.copy()
        self._responses.multiply(rate, multipliers)
        rate = rate[None] if factor is None else rate * factor
        renew = np.floor(np.minimum(rate[..., Behaviour.RENEW], _NEVER_CERTAIN) * 4294967296.0).astype(np.uint32)
        renew[..., self._certain] = 0xFFFFFFFF
        rate *= step_h / HOURS_PER_DAY
        return rate, renew

    def wild(
        self, signals: dict[str, float], drug_hazard: NDArray[np.float64], step_h: float
    ) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        """Return what :meth:`rates` says of the wild type: hazards per step (128, N_BEHAVIOURS), thresholds (128,).

        Nothing else is worked out: no bounds, which only kernels need.
        """
        rate, renew = self._hazards(self._responses.multipliers(signals), step_h, None)
        kill(rate, drug_hazard.reshape(1, N_KINDS * 2) * step_h)
        return rate[0].astype(np.float32), renew[0]

    @cached_property
    def _certain(self) -> NDArray[np.bool_]:
        """Rows that renew without fail."""
        return np.asarray(self.base[:, Behaviour.RENEW] >= 1.0)

    def _ceiling(self, hazard: NDArray[np.float64]) -> NDArray[np.uint32]:
        """Return the bounds of the event probability from the largest hazards per step by variant and row."""
        bound = np.einsum("vrb,trb->tvr", hazard, self.largest_response).max(axis=1).reshape(-1) * _ROUND_UP
        ceiling = np.minimum(bound * _ROUND_UP * 4294967296.0 + 4096.0, 4294967295.0)
        ceiling[bound == 0.0] = 0.0
        found: NDArray[np.uint32] = ceiling.astype(np.uint32)
        return found

    def needs_histogram(self, population: NDArray[np.int64]) -> bool:
        """Whether any rule would see a neighbour count that is not zero, given the cells (64, 4) on the lattice.

        Where not, counting is left out: the counts would all be zero, or nobody would look at them.
        """
        present = _bits(np.asarray(population.any(axis=1)))
        return any(present & looking and present & member for looking, member in self._lookers)

    @cached_property
    def _lookers(self) -> list[tuple[int, int]]:
        """For each histogram class the kinds on whose account it is looked at, and those it counts, as sets of bits."""
        member = self.tables["classes"].astype(np.int64)[:, None] >> np.arange(len(HISTOGRAM)) * HISTOGRAM_BITS & 1
        return [(_bits(a), _bits(b != 0)) for a, b in zip(self.counting.T, member.T, strict=True)]

    def sight(self, donor_is_self: bool) -> dict[str, NDArray[np.generic]]:
        """Return the kernel tables of who shows what and who sees whom: ``antigens`` and ``sees``."""
        masks = self.recognition.masks(self.kinds, donor_is_self)
        return {"antigens": masks.reshape(-1), "sees": self.recognition.sees(masks, self.mask(Flag.APC))}

    def gains(self, suppression: float = 1.0) -> NDArray[np.float32]:
        """Return the gains of the local responses with this much of the suppression by regulatory T cells, 0-1."""
        by_treg = self.tables["rule_signal"] == Signal.N_TREG
        gain = np.where(by_treg, suppression, 1.0) * self.tables["rule_gain"].astype(np.float64)
        return gain.astype(np.float32)

    def mask(self, flag: Flag) -> NDArray[np.bool_]:
        """Return which kinds carry ``flag``, shape (64,)."""
        if (flag,) not in self._chosen:
            found = [k in self.kinds and bool(self.kinds[Kind(k)].flags >> flag & 1) for k in range(N_KINDS)]
            self._chosen[flag,] = np.array(found)
        return self._chosen[flag,].copy()

    def lineage(self, *names: str) -> NDArray[np.bool_]:
        """Return which kinds belong to the lineages, shape (64,)."""
        if names not in self._chosen:
            found = [k in self.kinds and self.kinds[Kind(k)].lineage in names for k in range(N_KINDS)]
            self._chosen[names] = np.array(found)
        return self._chosen[names].copy()

    @cached_property
    def _chosen(self) -> dict[tuple[object, ...], NDArray[np.bool_]]:
        """Kinds by flag or names of lineages, as far as somebody has asked: each record of a run does."""
        return {}


def _of_all(table: NDArray[Any]) -> NDArray[Any]:
    """Return a table by variant, flat, for all of them: the one it holds if they do not differ."""
    return np.concatenate([table] * (N_VARIANTS // len(table))).reshape(-1)


def _bits(chosen: NDArray[np.bool_]) -> int:
    """Return a set of numbers as an integer: bit k if element k is set."""
    return int.from_bytes(np.packbits(chosen, bitorder="little").tobytes(), "little")


def _counting(kinds: dict[Kind, KindInfo], local: list[Local]) -> NDArray[np.bool_]:
    """Return for each kind which neighbour counts are looked at on its account.

    A rule looks on account of its kind; one on KILL, which needs an effector, on account of the effectors. Stroma,
    which makes CXCL12, looks on account of the leukaemia that it senses.
    """
    counting = np.zeros((N_KINDS, len(HISTOGRAM)), np.bool_)
    effectors = [kind for kind, info in kinds.items() if info.flags >> Flag.EFFECTOR & 1]
    for rule in local:
        if rule.signal.name.startswith("N_"):
            owners = effectors if rule.behaviour is Behaviour.KILL else [rule.row // 2]
            counting[owners, HISTOGRAM.index(rule.signal.name.removeprefix("N_").lower())] = True
    if any(rule.signal is Signal.CXCL12 for rule in local):
        leukaemic = [kind for kind, info in kinds.items() if info.flags >> Flag.LEUKAEMIC & 1]
        counting[leukaemic, HISTOGRAM.index("leukaemic")] = True
    return counting


def _largest_response(kinds: dict[Kind, KindInfo], local: list[Local]) -> NDArray[np.float64]:
    touched = np.ones((N_KINDS * 2, N_HAZARDS))
    for rule in local:
        if rule.behaviour is not Behaviour.RENEW:
            touched[rule.row, rule.behaviour] *= max(1.0, 1.0 + rule.gain)
    untouched = touched.copy()
    untouched[:, [Behaviour.KILL, Behaviour.ACTIVATE]] = 0.0
    touched[:, Behaviour.KILL] *= _MOST_HITS * max((info.strength for info in kinds.values()), default=0.0)
    return np.stack([untouched, touched])


def _tables(
    kinds: dict[Kind, KindInfo],
    local: list[Local],
    fates: dict[Kind, tuple[tuple[Kind, float], ...]],
    active: dict[Kind, Kind],
    recognition: Recognition,
) -> dict[str, NDArray[np.generic]]:
    local = sorted(local, key=lambda rule: rule.row)  # stable: rows keep the order of the table
    counts = np.bincount([rule.row for rule in local], minlength=N_KINDS * 2)
    flags = np.zeros(N_KINDS, np.uint32)
    stages = np.zeros(N_KINDS, np.uint8)
    hit_class, strength = recognition.hit_classes({kind: info.strength for kind, info in kinds.items()})
    active_form = np.arange(N_KINDS).astype(np.uint8)
    for kind, info in kinds.items():
        flags[kind], stages[kind] = info.flags, info.stages
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
        "hit_class": hit_class.reshape(-1),
        "strength": strength,
        "classes": class_words(kinds),
        "active_form": active_form,
        "fate_next": fate_next.reshape(-1),
        "fate_share": fate_share.reshape(-1),
        "losses": recognition.losses(),
        "receptors": recognition.receptors,
        "rule_start": np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        "rule_behaviour": np.array([r.behaviour for r in local], np.uint8),
        "rule_signal": np.array([r.signal for r in local], np.uint8),
        "rule_power": np.array([r.power for r in local], np.uint8),
        "rule_gain": np.array([r.gain for r in local], np.float32),
        "rule_half": np.array([r.half for r in local], np.float32),
    }


def load_rules(folder: Folder) -> Rules:
    """Read the rule tables of a species folder."""
    if not folder.is_dir():
        raise ConfigError("no such folder of rule tables", file=str(folder))
    return Rules.load(folder)
