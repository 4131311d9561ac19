"""The parameters of HIV infection, read from ``hiv.csv``: one field per row, its unit in the field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from abm.errors import ConfigError
from abm.model.body.parameters import _in as in_unit
from abm.tables import Folder, read_values

HIV_TABLE = "hiv.csv"


@dataclass(frozen=True)
class HivRules:
    """Spread, target cells, latency, coreceptor, resistance, T cells against the virus, therapy."""

    founder_cells: float = in_unit("cells")
    dissemination: float = in_unit("d")
    eclipse: float = in_unit("d")
    infected_death: float = in_unit("1/d")
    virion_clearance: float = in_unit("1/d")
    plasma_virions: float = in_unit("1/d")
    extracellular_fluid: float = in_unit("L")
    infectivity: float = in_unit("1/d per 1e6 copies/mL")
    target_memory: float = in_unit("1")
    target_naive: float = in_unit("1")
    target_turnover: float = in_unit("1/d")
    target_effector: float = in_unit("1")
    contact_share: float = in_unit("1")
    latent_share: float = in_unit("1")
    latent_half_life: float = in_unit("d")
    sheltered: float = in_unit("1")
    reactivation: float = in_unit("1/d")
    x4_mutation: float = in_unit("1")
    x4_infectivity: float = in_unit("1")
    resistance_mutation: float = in_unit("1")
    resistance_fold: float = in_unit("1")
    resistance_cost: float = in_unit("1")
    ctl_priming: float = in_unit("1/d")
    ctl_growth: float = in_unit("1/d")
    ctl_half: float = in_unit("cells")
    ctl_death: float = in_unit("1/d")
    ctl_memory: float = in_unit("1")
    ctl_memory_death: float = in_unit("1/d")
    ctl_kill: float = in_unit("1/d")
    ctl_kill_half: float = in_unit("cells")
    art_quotient: float = in_unit("1")
    art_half_life: float = in_unit("h")
    detection_limit: float = in_unit("copies/mL")


UNITS: Mapping[str, str] = {f.name: f.metadata["unit"] for f in fields(HivRules)}
_SHARES = (
    "target_memory", "target_naive", "target_effector", "contact_share", "latent_share", "sheltered", "x4_mutation",
    "resistance_mutation", "resistance_cost", "ctl_memory",
)  # fmt: skip
_MAY_BE_ZERO = ("x4_infectivity", "ctl_priming", "ctl_growth", "ctl_kill", "dissemination", "reactivation", *_SHARES)


def read_hiv(folder: Folder) -> dict[str, float] | None:
    """Return the values of ``hiv.csv`` by name, for the reference weight; ``None`` of a species that has no HIV."""
    path = folder / HIV_TABLE
    if isinstance(path, Path) and not path.exists():
        return None
    values = read_values(path, UNITS)
    for name, value in values.items():
        if value < 0.0 or (value == 0.0 and name not in _MAY_BE_ZERO):
            limit = ">= 0" if name in _MAY_BE_ZERO else "> 0"
            raise ConfigError(f"expected a number {limit}, found {value:g}", file=path, key=name)
        if name == "resistance_fold" and value < 1.0:
            raise ConfigError(f"expected a number >= 1, found {value:g}", file=path, key=name)
        if name in _SHARES and value > 1.0:
            raise ConfigError(f"expected a share up to 1, found {value:g}", file=path, key=name)
    return values
