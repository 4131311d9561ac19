"""Cytotoxic drugs, radiation and immunosuppressants: what is on board and what it kills per hour.

Kinetics are one-compartment and expressed in shares of a reference course: a dose of one reference course acts with
a total exposure of 1 whatever its half-life, so that the log10 kill of a course is the number in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_KINDS, Cycle, Kind, is_motile
from abm.exactmath import LN2, exp, log
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, some
from abm.model.heredity import RADIATION
from abm.tables import RANGE, Folder, Row, read_table

#: Target classes of drugs, in the order of ``Drug.log10_kill``.
DRUG_TARGETS = ("hsc_quiescent", "hsc_cycling", "progenitor", "maturing", "t_resting", "t_cycling",
                "leukaemia_quiescent", "leukaemia_cycling", "plasma")  # fmt: skip
#: Target classes of radiation.
RADIATION_TARGETS = ("hsc_quiescent", "hsc_cycling", "progenitor", "maturing", "lymphocyte_naive",
                     "lymphocyte_memory", "leukaemia_quiescent", "leukaemia_cycling")  # fmt: skip
#: Parameters of a class of which a share is more resistant, with their units, in the order of ``Resistant``.
RESISTANT_UNITS = {"resistant_share": "1", "resistant_alpha": "1/Gy", "resistant_beta": "1/Gy2", "resistant_days": "d"}
#: What drugs that act by their level inhibit: steps of T cells; the onset of infections; interleukin 6; bacteria.
EFFECTS = ("activation", "proliferation", "killing", "bacteria", "fungi", "cmv", "ebv", "il6", "antibacterial")
DOSE_UNITS = ("mg/kg", "mg/m2", "mg", "mg h/L")

NEVER_ZERO = ("reference_dose", "half_life", "reference_doses", "phase_reference")

LEUKAEMIC = (Kind.LSC, Kind.BLAST)
#: Kinds that divide no more: spared by drugs that kill in cycle (megakaryocytes still copy their DNA).
MATURING = (Kind.METAMYELOCYTE, Kind.NEUTROPHIL, Kind.EOSINOPHIL, Kind.MONOCYTE, Kind.ORTHOCHROMATIC,
            Kind.RETICULOCYTE, Kind.PLATELET_FORMING_MK, Kind.IMMATURE_B, Kind.DENDRITIC, Kind.MACROPHAGE)  # fmt: skip
NAIVE = (Kind.CD8_NAIVE, Kind.CD4_NAIVE)
LN10 = log(10.0)
_TRACE = 1e-12  #: share of a course below which a drug is gone
_NOBODY = 1e-300  #: surviving share that no number of cells tells from none


def drug_target(kind: Kind, cycle: Cycle) -> str:
    """Return the class of a cell as drugs see it."""
    state = "cycling" if cycle is Cycle.CYCLING else "quiescent"
    if is_motile(kind) and kind not in MATURING:
        return "t_cycling" if cycle is Cycle.CYCLING else "t_resting"
    if kind in LEUKAEMIC:
        return f"leukaemia_{state}"
    if kind is Kind.HSC:
        return f"hsc_{state}"
    return "maturing" if kind in MATURING else "progenitor"


def radiation_target(kind: Kind, cycle: Cycle) -> str:
    """Return the class of a cell as radiation sees it; B cells count as naive lymphocytes once in the blood."""
    if is_motile(kind) and kind not in MATURING:
        return "lymphocyte_naive" if kind in NAIVE else "lymphocyte_memory"
    if kind is Kind.MEGAKARYOCYTE:  # doubles its DNA without a division: no mitotic death (Ebbe & Stohlman, Blood 1970)
        return "maturing"
    return drug_target(kind, cycle)


@dataclass(frozen=True)
class Drug:
    """One row block of ``drugs.csv``.

    Attributes:
        name: as scenarios call it.
        rate: elimination, 1/h; 0 for immunosuppressants, which act by their level.
        reference: amount of one reference dose by unit; empty for immunosuppressants.
        doses: reference doses in a reference course.
        log10_kill: per reference course, in the order of ``DRUG_TARGETS``.
        injury: conditioning injury per reference course.
        inhibition: at level 1, in the order of ``EFFECTS``.
        phase_reference: division rate (1/d) of progenitors for which ``log10_kill`` holds; it scales with that of the
            kind where the drug acts in one phase of the cycle only. 0: it acts in all.
        megakaryocyte: log10 kill of megakaryocytes, which copy their DNA and divide no more; ``None``: as progenitors.
    """

    name: str
    rate: float
    reference: Mapping[str, float]
    doses: float
    log10_kill: tuple[float, ...]
    injury: float
    inhibition: tuple[float, ...]
    phase_reference: float = 0.0
    megakaryocyte: float | None = None

    @property
    def holds_t_cells_down(self) -> bool:
        """Whether it suppresses immunity."""
        return any(self.inhibition[EFFECTS.index(effect)] for effect in ("activation", "proliferation", "killing"))


@dataclass(frozen=True)
class Resistant:
    """The more resistant share of a class: its size at homeostasis, its own alpha and beta, days until it is back."""

    share: float
    alpha: float
    beta: float
    days: float


@dataclass(frozen=True)
class Radiation:
    """``radiation.csv``: alpha (1/Gy), beta (1/Gy2) in the order of ``RADIATION_TARGETS``; injury per Gy.

    Attributes:
        resistant: classes of which a share is more resistant, by their place.
    """

    alpha: tuple[float, ...]
    beta: tuple[float, ...]
    injury: float
    resistant: Mapping[int, Resistant]


def read_drugs(folder: Folder) -> dict[str, Drug]:
    """Return the drugs of ``drugs.csv`` by name, in the order of the table."""
    blocks: dict[str, list[Row]] = {}
    for row in read_table(folder / "drugs.csv", ("drug", "target", "value"), RANGE, key=("drug", "target")):
        blocks.setdefault(row.text("drug"), []).append(row)
    return {name: _drug(name, rows) for name, rows in blocks.items()}


def _drug(name: str, rows: Sequence[Row]) -> Drug:
    units = {
        "half_life": "h",
        "reference_doses": "1",
        "injury": "1",
        "phase_reference": "1/d",
        "megakaryocyte": "log10",
    }
    units |= dict.fromkeys(DRUG_TARGETS, "log10") | dict.fromkeys(EFFECTS, "1")
    values: dict[str, float] = {}
    reference: dict[str, float] = {}
    for row in rows:
        target = row.choice("target", [*units, "reference_dose"])
        unit = row.choice("unit", DOSE_UNITS if target == "reference_dose" else [units[target]])
        into, key = (reference, unit) if target == "reference_dose" else (values, target)
        if key in into:
            raise row.error("target", f"{target} of {name} stands twice")
        least = 1e-9 if target in NEVER_ZERO else 0.0
        into[key] = row.number("value", least, 1.0 if target in EFFECTS else None)
    needed = ("half_life", "reference_doses", "injury", *DRUG_TARGETS) if reference else ()
    values.setdefault("plasma", values.get("maturing", 0.0))  # long-lived plasma cells divide no more either
    missing = [target for target in needed if target not in values]
    if missing or (not reference and not any(effect in values for effect in EFFECTS)):
        wanted = ", ".join(missing) or f"reference_dose or one of {', '.join(EFFECTS)}"
        raise rows[0].error("target", f"{name} lacks {wanted}")
    return Drug(
        name,
        LN2 / values["half_life"] if reference else 0.0,
        reference,
        values.get("reference_doses", 1.0),
        tuple(values.get(target, 0.0) for target in DRUG_TARGETS),
        values.get("injury", 0.0),
        tuple(values.get(effect, 0.0) for effect in EFFECTS),
        values.get("phase_reference", 0.0),
        values.get("megakaryocyte"),
    )


def read_radiation(folder: Folder) -> Radiation:
    """Return the linear-quadratic parameters of ``radiation.csv``."""
    units = {"alpha": "1/Gy", "beta": "1/Gy2"}
    values: dict[tuple[str, str], float] = {}
    rows = read_table(folder / "radiation.csv", ("target", "parameter", "value"), RANGE, key=("target", "parameter"))
    for row in rows:
        target = row.choice("target", [*RADIATION_TARGETS, "body"])
        parameter = row.choice("parameter", ["injury"] if target == "body" else [*units, *RESISTANT_UNITS])
        row.choice("unit", [(units | RESISTANT_UNITS).get(parameter, "1/Gy")])
        if (target, parameter) in values:
            raise row.error("target", f"{parameter} of {target} stands twice")
        least, most = (
            (1e-9 if parameter == "resistant_days" else 0.0),
            (1.0 if parameter == "resistant_share" else None),
        )
        values[target, parameter] = row.number("value", least, most)
    wanted = [("body", "injury"), *((t, p) for t in RADIATION_TARGETS for p in units)]
    mixed = [t for t in RADIATION_TARGETS if any((t, p) in values for p in RESISTANT_UNITS)]
    wanted += [(t, p) for t in mixed for p in RESISTANT_UNITS]
    missing = [f"{parameter} of {target}" for target, parameter in wanted if (target, parameter) not in values]
    if missing:
        raise rows[0].error("target", f"the table lacks {', '.join(missing)}")
    alpha, beta = (tuple(values[target, p] for target in RADIATION_TARGETS) for p in units)
    resistant = {RADIATION_TARGETS.index(t): Resistant(*(values[t, p] for p in RESISTANT_UNITS)) for t in mixed}
    return Radiation(alpha, beta, values["body", "injury"], resistant)


class Drugs(Packed):
    """All drugs on board.

    Attributes:
        remaining: exposure still to come, in reference courses, shape (drugs,).
        level: occupancy of immunosuppressants, shape (drugs,).
        radiation: sum of d and of d^2 over the fractions of the coming step, Gy and Gy^2, shape (2,).
        resistant: more resistant share of the survivors by ``RADIATION_TARGETS``; a fraction leaves more of them.
    """

    STATE = ("remaining", "level", "radiation", "resistant")

    def __init__(
        self,
        drugs: Mapping[str, Drug],
        radiation: Radiation,
        division: Mapping[Kind, float] | None = None,
        variants: Mapping[str, Floats] | None = None,
        sensitivity: float = 1.0,
    ) -> None:
        """Start without any drug.

        Args:
            drugs: by name.
            radiation: what radiation does.
            division: division rate at homeostasis (1/d) by kind, where known.
            variants: factor of the kill of variants by the name of the drug, or by radiation, shape (4, 64, 2), where
                it is not 1.
            sensitivity: factor of the kill of leukaemic cells.
        """
        self._sensitivity = sensitivity
        self._variants = dict(variants or {})
        self.drugs = tuple(drugs.values())
        self._levels, self._effects = b"", dict.fromkeys(EFFECTS, 0.0)
        self._asked, self._exposures = (b"", 0.0), list[tuple[Drug, float]]()
        self._index = {name: i for i, name in enumerate(drugs)}
        self._lq = radiation
        self.remaining: Floats = np.zeros(len(drugs))
        self.level: Floats = np.zeros(len(drugs))
        self.radiation: Floats = np.zeros(2)
        self.resistant: Floats = np.zeros(len(RADIATION_TARGETS))
        for target, rule in radiation.resistant.items():
            self.resistant[target] = rule.share
        self._drug_class = _classes(drug_target, DRUG_TARGETS)
        self._passage = {drug.name: _passage(drug, self._drug_class, division or {}) for drug in self.drugs}
        self._paced = self._drug_class == DRUG_TARGETS.index("progenitor")
        self._radiation_class = _classes(radiation_target, RADIATION_TARGETS)

    def give(self, name: str, courses: float) -> None:
        """Give a share of the reference course of a cytotoxic drug."""
        self.remaining[self._index[name]] += courses

    def irradiate(self, gy: float) -> None:
        """Give one fraction of radiation, to act in the coming step."""
        self.radiation += np.array([gy, gy * gy])

    def index(self, name: str) -> int:
        """Return the place of a drug."""
        return self._index[name]

    def set_level(self, drug: int, level: float) -> None:
        """Set the occupancy of an immunosuppressant."""
        self.level[drug] = level

    def pass_step(self, step_h: float) -> None:
        """Let a step go by: drugs decay, radiation is over, resistant cells become the usual share again."""
        for i, (drug, held) in enumerate(zip(self.drugs, self.remaining.tolist(), strict=True)):
            if held > 0.0:
                left = held * exp(-drug.rate * step_h)
                self.remaining[i] = left if left > _TRACE else 0.0
        for target, rule in self._lq.resistant.items():
            sensitive, resistant = self._survivors(target, rule)
            share = resistant / max(sensitive + resistant, _NOBODY)
            self.resistant[target] = rule.share + (share - rule.share) * exp(-step_h / (HOURS_PER_DAY * rule.days))
        self.radiation[:] = 0.0

    def _survivors(self, target: int, rule: Resistant) -> tuple[float, float]:
        """Return the shares of a class that are sensitive or resistant and survive the coming step."""
        dose, square = float(self.radiation[0]), float(self.radiation[1])
        share = float(self.resistant[target])
        sensitive = (1.0 - share) * exp(-self._lq.alpha[target] * dose - self._lq.beta[target] * square)
        return sensitive, share * exp(-rule.alpha * dose - rule.beta * square)

    @property
    def acting(self) -> bool:
        """Whether any cytotoxic drug or radiation acts in the coming step."""
        return some(self.remaining) or some(self.radiation)

    def exposures(self, step_h: float) -> list[tuple[Drug, float]]:
        """Return the share of its reference course with which each drug on board acts in the coming step.

        The last answer is remembered: lattice, lymphocytes and organs ask in every step.
        """
        asked = self.remaining.tobytes(), step_h
        if asked != self._asked:
            on_board = [
                (drug, left) for drug, left in zip(self.drugs, self.remaining.tolist(), strict=True) if left > 0.0
            ]
            self._exposures = [(drug, left * (1.0 - exp(-drug.rate * step_h))) for drug, left in on_board]
            self._asked = asked
        return self._exposures

    def kills(self, step_h: float) -> tuple[Floats, Floats]:
        """Return -ln(survival) in the coming step by drugs and by radiation, each by its target class."""
        by_drug = np.zeros(len(DRUG_TARGETS))
        for drug, exposure in self.exposures(step_h):
            by_drug = by_drug + np.array(drug.log10_kill) * (LN10 * exposure)
        dose, square = float(self.radiation[0]), float(self.radiation[1])
        by_radiation = np.array(self._lq.alpha) * dose + np.array(self._lq.beta) * square
        for target, rule in self._lq.resistant.items() if dose > 0.0 else ():
            sensitive, resistant = self._survivors(target, rule)
            by_radiation[target] = -log(max(sensitive + resistant, _NOBODY))
        return by_drug, by_radiation

    def cell_kills(self, step_h: float) -> Floats:
        """Return -ln(survival) in the coming step by kind and cycle state, shape (N_KINDS, 2)."""
        kills: Floats = self.variant_kills(step_h)[0]
        return kills

    def variant_kills(self, step_h: float, pace: Floats | None = None) -> Floats:
        """Return the same for each variant of a cell, the wild type first, shape (N_VARIANTS or 1, N_KINDS, 2).

        Args:
            step_h: length of the step, hours.
            pace: how fast every kind divides now over homeostasis, shape (N_KINDS,): progenitors that are driven to
                divide pass more often through the phase in which a drug acts; ``None``: as at homeostasis.
        """
        table = np.zeros((1, *self._drug_class.shape))
        for drug, exposure in self.exposures(step_h):
            by_class = np.array(drug.log10_kill) * (LN10 * exposure)
            kill = by_class[self._drug_class] * self._passage[drug.name]
            if pace is not None and drug.phase_reference > 0.0:
                kill = np.where(self._paced, kill * pace[:, None], kill)
            table = table + self._of_variants(drug.name, kill)
        if some(self.radiation):
            table = table + self._of_variants(RADIATION, self.kills(step_h)[1][self._radiation_class])
        table[:, LEUKAEMIC] *= self._sensitivity
        return np.where(self._drug_class >= 0, table, 0.0)

    def _of_variants(self, name: str, kill: Floats) -> Floats:
        """Return the kill of each variant, the wild type first, or that of all in one, shape (4 or 1, N_KINDS, 2)."""
        factor = self._variants.get(name)
        return kill[np.newaxis] if factor is None else kill * factor

    def injury(self, step_h: float) -> float:
        """Return the conditioning injury added in the coming step."""
        result = self._lq.injury * float(self.radiation[0])
        for drug, exposure in self.exposures(step_h):
            result = result + drug.injury * exposure
        return result

    def inhibition(self, effect: str) -> float:
        """Return the inhibited share (0-1) of an ``EFFECTS`` process by all immunosuppressants together."""
        return self._inhibited(self.level.tobytes())[effect]

    def _inhibited(self, levels: bytes) -> dict[str, float]:
        """Return all inhibitions at these levels, the last ones from memory: asked for a dozen times a step."""
        if levels != self._levels:
            self._levels, left = levels, [1.0] * len(EFFECTS)
            for drug, level in zip(self.drugs, self.level.tolist(), strict=True):
                if level != 0.0:
                    left = [x * (1.0 - share * level) for x, share in zip(left, drug.inhibition, strict=True)]
            self._effects = {effect: 1.0 - x for effect, x in zip(EFFECTS, left, strict=True)}
        return self._effects

    def concentrations(self) -> dict[str, float]:
        """Return each drug on board relative to the peak of one reference dose; for immunosuppressants the level."""
        values = zip(self.drugs, self.remaining, self.level, strict=True)
        return {d.name: float(left) * d.doses if d.reference else float(level) for d, left, level in values}


def _classes(target: Callable[[Kind, Cycle], str], names: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of the target class of every kind and cycle state, shape (N_KINDS, 2); -1 for none."""
    table = np.full((N_KINDS, 2), -1, dtype=np.int64)
    for kind in Kind:
        if kind is not Kind.EMPTY:
            for cycle in Cycle:
                table[kind, cycle] = names.index(target(kind, cycle))
    return table


def _passage(drug: Drug, classes: NDArray[np.int64], division: Mapping[Kind, float]) -> Floats:
    """Return by what the kill of every kind differs from that of its class, shape (N_KINDS, 2).

    A drug that acts in one phase kills progenitors as often as they pass it (Bruce, Meeker & Valeriote 1966).
    """
    table = np.ones(classes.shape)
    if drug.phase_reference > 0.0:
        for kind, rate in division.items():
            scaled = classes[kind] == DRUG_TARGETS.index("progenitor")
            table[kind] = np.where(scaled, rate / drug.phase_reference, 1.0)
    full = drug.log10_kill[DRUG_TARGETS.index("progenitor")]
    if drug.megakaryocyte is not None and full > 0.0:
        table[Kind.MEGAKARYOCYTE] = drug.megakaryocyte / full
    return table
