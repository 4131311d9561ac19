"""Systemic growth factors, each as fold over the level of a healthy adult."""

from __future__ import annotations

from abm.exactmath import LN2, exp, log
from abm.model.body.numerics import Packed, mean_survival
from abm.model.body.parameters import CytokineRules


def consumed(floor: float, consumers: float) -> float:
    """Return the level of a factor made at a constant rate and cleared by the cells it feeds.

    Args:
        floor: share of its clearance that does not depend on these cells.
        consumers: these cells relative to homeostasis.
    """
    return 1.0 / (floor + (1.0 - floor) * consumers)


class Cytokines(Packed):
    """G-CSF (own and given), EPO and TPO, with their turnover.

    Attributes:
        gcsf: endogenous, fold; made at a constant rate, cleared linearly and by neutrophils.
        gcsf_drug: injected, in folds of the endogenous baseline.
        epo: fold; log-linear in haemoglobin.
        tpo: fold; follows what platelets and megakaryocytes leave of it.
    """

    STATE = ("gcsf", "gcsf_drug", "epo", "tpo")

    def __init__(self, rules: CytokineRules, anc: float, platelets: float, hb: float) -> None:
        """Start at baseline.

        Args:
            rules: turnover parameters.
            anc: neutrophils at homeostasis, 1e9/L; ``platelets`` likewise; ``hb`` in g/L.
            platelets: see ``anc``.
            hb: see ``anc``.
        """
        self.rules = rules
        self._baseline = (anc, platelets, hb)
        self.gcsf, self.gcsf_drug, self.epo, self.tpo = 1.0, 0.0, 1.0, 1.0

    def advance(
        self, anc: float, platelets: float, hb: float, step_h: float, megakaryocytes: float | None = None
    ) -> None:
        """Advance by ``step_h`` hours.

        Args:
            anc: neutrophils, 1e9/L; ``platelets`` likewise; ``hb`` in g/L.
            platelets: see ``anc``.
            hb: see ``anc``.
            step_h: hours.
            megakaryocytes: relative to homeostasis; ``None`` where nobody counts them: as many as platelets.
        """
        r, (anc_0, platelets_0, hb_0) = self.rules, self._baseline
        made = r.gcsf_clearance + r.gcsf_clearance_per_anc * anc_0
        cleared = r.gcsf_clearance + r.gcsf_clearance_per_anc * anc
        self.gcsf = _relax(self.gcsf, made / cleared, cleared * step_h)
        self.gcsf_drug = self.gcsf_drug * exp(-LN2 / r.gcsf_drug_half_life * step_h)
        wanted = min(exp(min(r.epo_slope * (hb_0 - hb), 100.0)), r.epo_max)
        self.epo = _relax(self.epo, wanted, LN2 / r.epo_half_life * step_h)
        left, share = platelets / platelets_0, r.tpo_megakaryocyte_share
        makers = left if megakaryocytes is None else megakaryocytes
        wanted = consumed(1.0 / r.tpo_max, (1.0 - share) * left + share * makers)
        self.tpo = _relax(self.tpo, wanted, LN2 / r.tpo_half_life * step_h)

    def inject_gcsf(self, ug_per_kg: float) -> None:
        """Give G-CSF: the area under its curve is proportional to the dose."""
        self.gcsf_drug += ug_per_kg * self.rules.gcsf_drug_area * LN2 / self.rules.gcsf_drug_half_life

    def gcsf_ahead(self, step_h: float) -> float:
        """Return G-CSF of either source, fold, that acts in the coming step: of the injected one the mean.

        Its half-life is a few steps only: with the level at their start, the area under the curve would grow with them.
        """
        return self.gcsf + self.gcsf_drug * mean_survival(LN2 / self.rules.gcsf_drug_half_life * step_h)

    @property
    def reticulocyte_shift(self) -> float:
        """Days by which EPO above its baseline releases reticulocytes early; they ripen in the blood instead."""
        return self.rules.reticulocyte_shift * log(max(self.epo, 1.0))

    def flt3l(self, cellularity: float) -> float:
        """Return FLT3 ligand, fold, at a marrow cellularity relative to homeostasis."""
        return consumed(self.rules.flt3l_floor, min(cellularity, self.rules.flt3l_cellularity_cap))

    def il7(self, uptake: float) -> float:
        """Return IL-7, fold, at an uptake by T cells relative to homeostasis."""
        return consumed(self.rules.il7_floor, uptake)

    def lymphopenia(self, uptake: float) -> float:
        """Return the drive of homeostatic division: 0 at homeostasis, 1 at the IL-7 level of no T cell at all."""
        return _drive(self.rules.il7_floor, uptake)

    def cd8_lymphopenia(self, cd8_cells: float) -> float:
        """Return that of CD8 memory cells, which follow IL-15 and consume it, at these relative to homeostasis."""
        return _drive(self.rules.il15_floor, cd8_cells)


def _drive(floor: float, consumers: float) -> float:
    """Return the level of a factor above the usual one, relative to the highest."""
    return (consumed(floor, consumers) - 1.0) / (consumed(floor, 0.0) - 1.0)


def _relax(value: float, target: float, exponent: float) -> float:
    """Return ``value`` after it approached ``target`` for rate * time = ``exponent``."""
    return target + (value - target) * exp(-min(exponent, 700.0))
