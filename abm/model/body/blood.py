"""Blood cells by origin: production enters from the lattice, lifespans end here; the transfusion rule."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from abm.cells import N_ORIGINS, Kind, Origin
from abm.exactmath import LN2, exp
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed, chain, column_totals, renewed, spread, total
from abm.model.body.parameters import BloodRules

#: Columns of every blood cell array: the four origins, then third-party transfused cells.
TRANSFUSED = N_ORIGINS
COLUMNS = N_ORIGINS + 1
NEVER = float("-inf")
PER_LITRE = 1e9  #: concentrations are in 1e9/L
_NONE = 1e-9  #: platelets, 1e9/L, of which none are left to be used up
_SETTLED = 100  #: rounds after which their number at homeostasis changes no more


class Blood(Packed):
    """Granulocytes, monocytes, platelets, reticulocytes, red cells and leukaemic blasts in blood.

    Attributes:
        neutrophils: circulating and marginated, shape (COLUMNS,); monocytes and blasts likewise, circulating.
        eosinophils: and basophils, likewise.
        labelled_neutrophils: DNA label in them, in cells with all of theirs labelled, shape (COLUMNS,).
        platelets: by age, blood and spleen, shape (stages, COLUMNS).
        marrow_reticulocytes: ripening before release, shape (stages, COLUMNS).
        reticulocytes: in blood, shape (1, COLUMNS).
        red_cells: by age, shape (stages, COLUMNS).
        platelet_transfusions: units given so far; likewise ``red_cell_transfusions``.
        last_platelet_transfusion: day of the last one; -inf before the first.
        volume_deficit: litres of blood not yet made up for by plasma after a loss.
    """

    STATE = (
        "neutrophils", "labelled_neutrophils", "monocytes", "eosinophils", "blasts", "platelets",
        "marrow_reticulocytes", "reticulocytes", "red_cells", "platelet_transfusions", "red_cell_transfusions",
        "last_platelet_transfusion",
        "volume_deficit",
    )  # fmt: skip

    def __init__(self, rules: BloodRules) -> None:
        """Fill the blood as it is at homeostasis, all cells of host origin."""
        self.rules = rules
        r, host = rules, int(Origin.HOST)
        self._red_cell_time = r.red_cell_lifespan - r.blood_reticulocyte_time
        self._neutrophil_pool = r.anc * PER_LITRE * r.blood_volume * (1.0 + r.neutrophil_marginated)
        self._monocyte_pool = r.monocytes * PER_LITRE * r.blood_volume
        self.neutrophils = spread(self._neutrophil_pool, 1, host, COLUMNS)[0]
        self.labelled_neutrophils: Floats = np.zeros(COLUMNS)
        self.monocytes = spread(self._monocyte_pool, 1, host, COLUMNS)[0]
        self._eosinophil_pool = r.eosinophils * PER_LITRE * r.blood_volume
        self.eosinophils = spread(self._eosinophil_pool, 1, host, COLUMNS)[0]
        self.blasts: Floats = np.zeros(COLUMNS)
        self.platelets = np.zeros((int(r.platelet_stages), COLUMNS))
        self.platelets[:, host] = usual_platelets(r)
        daily, ripening = r.red_cell_production, int(r.marrow_reticulocyte_stages)
        self.marrow_reticulocytes = spread(daily * r.marrow_reticulocyte_time, ripening, host, COLUMNS)
        self.reticulocytes = spread(daily * r.blood_reticulocyte_time, 1, host, COLUMNS)
        self.red_cells = spread(daily * self._red_cell_time, int(r.red_cell_stages), host, COLUMNS)
        self.platelet_transfusions = 0.0
        self.red_cell_transfusions = 0.0
        self.last_platelet_transfusion = NEVER
        self.volume_deficit = 0.0
        self._sums: dict[str, tuple[bytes, float]] = {}

    def _held(self, name: str) -> float:
        """Return all cells of an array of many ages; the last sum is remembered, as it is asked for all the time."""
        cells = getattr(self, name)
        held = cells.tobytes()
        last = self._sums.get(name)
        if last is None or last[0] != held:
            last = self._sums[name] = held, total(cells)
        return last[1]

    def advance(
        self, exits: Mapping[Kind, Floats], labelled: Floats, early: float, step_h: float, used: float | None = None
    ) -> None:
        """Advance by ``step_h`` hours.

        Args:
            exits: real cells that left the marrow by kind, each of shape (N_ORIGINS,).
            labelled: DNA label in the neutrophils among them, likewise.
            early: days of ripening that reticulocytes now spend in blood instead of marrow.
            step_h: hours.
            used: platelets used up, as of :meth:`used_platelets` of the whole blood that these cells are a part of;
                ``None``: they are all.
        """
        used = self.used_platelets(step_h) if used is None else used
        r, days = self.rules, step_h / HOURS_PER_DAY
        self._renew(exits, labelled, days)
        entering = np.zeros((2, COLUMNS))  # nobody transfused comes from the marrow
        entering[:, :N_ORIGINS] = exits[Kind.PLATELET_FORMING_MK], exits[Kind.RETICULOCYTE]
        self._renew_platelets(entering[0], used, days)
        young = self.marrow_reticulocytes
        released = chain(young, entering[1], len(young) / (r.marrow_reticulocyte_time - early) * days)
        ripe = chain(self.reticulocytes, released, days / (r.blood_reticulocyte_time + early))
        chain(self.red_cells, ripe, len(self.red_cells) / self._red_cell_time * days)
        self.volume_deficit = self.volume_deficit * exp(-LN2 / r.plasma_refill_half_life * step_h)

    def _renew(self, exits: Mapping[Kind, Floats], labelled: Floats, days: float) -> None:
        """Advance the pools of one compartment; together, for arrays this short cost the same as one."""
        r, entering = self.rules, np.zeros((5, COLUMNS))  # nobody transfused comes from the marrow
        blasts = exits[Kind.BLAST] + exits[Kind.LSC]
        entering[:, :N_ORIGINS] = (
            exits[Kind.NEUTROPHIL], labelled, exits[Kind.MONOCYTE], exits[Kind.EOSINOPHIL], blasts,
        )  # fmt: skip
        neutrophils = r.neutrophil_production / self._neutrophil_pool * days
        leaving = (
            neutrophils,
            neutrophils,
            r.monocyte_production / self._monocyte_pool * days,
            r.eosinophil_production / self._eosinophil_pool * days,
            days / r.blast_blood_time,
        )
        pools = (self.neutrophils, self.labelled_neutrophils, self.monocytes, self.eosinophils, self.blasts)
        after = renewed(np.array(pools), entering, leaving)
        self.neutrophils, self.labelled_neutrophils, self.monocytes, self.eosinophils, self.blasts = after

    def relative_monocytes(self) -> Floats:
        """Return the monocytes over the usual number of all of them, by origin, shape (N_ORIGINS,)."""
        relative: Floats = self.monocytes[:N_ORIGINS] / self._monocyte_pool
        return relative

    def monocytes_leaving(self, step_h: float) -> Floats:
        """Return the monocytes that leave the blood for the tissues in a step, by origin, shape (N_ORIGINS,)."""
        rate = self.rules.monocyte_production / self._monocyte_pool  # the pool is made up for in the step
        leaving: Floats = self.monocytes[:N_ORIGINS] * (rate * step_h / HOURS_PER_DAY)
        return leaving

    def used_platelets(self, step_h: float) -> float:
        """Return the share of platelets that is used up in half a step, so many a day whatever their number."""
        days = step_h / HOURS_PER_DAY
        return 1.0 - exp(-self.rules.platelet_requirement / max(self._platelets_per_litre, _NONE) * days / 2.0)

    def _renew_platelets(self, entered: Floats, used: float, days: float) -> None:
        """Let platelets age, and a share be used up, half before and half after, that it does not matter when."""
        self.destroy_platelets(used)
        chain(self.platelets, entered, len(self.platelets) / self.rules.platelet_lifespan * days)
        self.destroy_platelets(used)

    def transfuse(self, day: float) -> None:
        """Give platelets and red cells when a count is below its trigger; cells of all ages, third party."""
        if self.platelet_count < self.rules.platelet_trigger:
            self.platelets[:, TRANSFUSED] += self.rules.platelet_unit / len(self.platelets)
            self.platelet_transfusions += 1.0
            self.last_platelet_transfusion = day
        if self.hb < self.rules.haemoglobin_trigger:
            self.red_cells[:, TRANSFUSED] += self.rules.red_cell_unit / len(self.red_cells)
            self.red_cell_transfusions += 1.0

    def bleed(self, share: float) -> None:
        """Lose a share (0-1) of the blood that circulates: marginated neutrophils and the spleen's platelets stay."""
        r = self.rules
        self.volume_deficit += share * self.volume
        circulating = 1.0 / (1.0 + r.neutrophil_marginated)
        for name in ("neutrophils", "labelled_neutrophils"):
            setattr(self, name, getattr(self, name) * (1.0 - share * circulating))
        self.destroy_platelets(share * (1.0 - r.platelet_splenic_share))
        for name in ("monocytes", "eosinophils", "blasts", "reticulocytes", "red_cells"):
            setattr(self, name, getattr(self, name) * (1.0 - share))

    def destroy_platelets(self, share: float) -> None:
        """Lose a share (0-1) of all platelets, of whatever age and origin, in blood and spleen."""
        self.platelets = self.platelets * (1.0 - share)

    @property
    def volume(self) -> float:
        """Litres of blood."""
        return self.rules.blood_volume - self.volume_deficit

    def concentration(self, cells: Floats) -> float:
        """Return the concentration of ``cells`` (any shape) in blood, 1e9/L."""
        return total(cells) / (self.volume * PER_LITRE)

    @property
    def anc(self) -> float:
        """Absolute neutrophil count, 1e9/L: the circulating half of the pool."""
        return self.concentration(self.neutrophils) / (1.0 + self.rules.neutrophil_marginated)

    @property
    def _platelets_per_litre(self) -> float:
        """Platelets of blood and spleen, transfused ones included, per litre of blood, 1e9/L."""
        return self._held("platelets") / (self.volume * PER_LITRE)

    @property
    def platelet_count(self) -> float:
        """Platelets outside the spleen, transfused ones included, 1e9/L."""
        return self._platelets_per_litre * (1.0 - self.rules.platelet_splenic_share)

    @property
    def hb(self) -> float:
        """Haemoglobin, g/L, transfused red cells included."""
        cells = self._held("reticulocytes") + self._held("red_cells")
        usual = self.rules.red_cell_production * self.rules.red_cell_lifespan
        return self.rules.haemoglobin * cells / usual * (self.rules.blood_volume / self.volume)

    def by_origin(self) -> dict[str, Floats]:
        """Return the cells of every lineage by origin (transfused left out), each of shape (N_ORIGINS,)."""
        red = column_totals(self.reticulocytes) + column_totals(self.red_cells)
        cells = {
            "neutrophils": self.neutrophils,
            "monocytes": self.monocytes,
            "myeloid": self.neutrophils / (1.0 + self.rules.neutrophil_marginated) + self.monocytes,
            "platelets": column_totals(self.platelets),
            "red": red,
        }
        return {name: found[:N_ORIGINS] for name, found in cells.items()}


def usual_platelets(rules: BloodRules) -> Floats:
    """Return the platelets of each age at homeostasis, which die of age and are used up at a constant rate, (stages,).

    The fewer there are, the larger the share that is used up: the number follows from itself, round by round.
    """
    stages = int(rules.platelet_stages)
    ageing, unused = stages / rules.platelet_lifespan, rules.platelet_production * rules.platelet_lifespan / stages
    found = np.full(stages, unused)
    for _ in range(_SETTLED):
        used = rules.platelet_requirement * PER_LITRE * rules.blood_volume / total(found)
        found, left = np.zeros(stages), unused
        for age in range(stages):
            left = left * (ageing / (ageing + used))
            found[age] = left
    return found
