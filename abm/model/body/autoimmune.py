"""Which autoimmune disease a patient has: its table, and its start in the body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from abm.cells import Kind, Specificity
from abm.errors import ConfigError
from abm.model.body.autoimmunity import PoolShares
from abm.model.body.lupus import Lupus, LupusRules
from abm.model.body.parameters import NEVER_ZERO, LymphocyteRules, section, units_of
from abm.model.body.pathogenic import PathogenicClones, unequal_sizes
from abm.model.body.repertoire import Repertoire
from abm.model.body.sclerosis import Sclerosis, SclerosisRules
from abm.tables import Amended, Folder, read_values

#: Rules by the table that states them. A species or disease that has none of them has no autoimmune disease.
TABLES: Mapping[str, type[Any]] = {"sclerosis": SclerosisRules, "lupus": LupusRules}
#: Units of values that may not be 0, besides those of the body, and names of others.
_POSITIVE = (*NEVER_ZERO, "cells", "points")
_DIVISORS = ("resident_share", "active_share", "complex_half", "help_half", "working_half")
_WHOLE = ("clones",)

Values = Mapping[str, float]
Disease = Sclerosis | Lupus


def read_autoimmune(folder: Folder) -> dict[str, Values]:
    """Return the values of the autoimmune diseases whose tables are in ``folder``, by table."""
    found: dict[str, Values] = {}
    for name, rules in TABLES.items():
        path, units = folder / f"{name}.csv", units_of(rules)
        if not isinstance(path, Amended) and not path.is_file():
            continue
        found[name] = read_values(path, units)
        for key, value in found[name].items():
            if problem := _problem(key, value, units[key]):
                raise ConfigError(f"{problem}, found {value:g}", file=str(path), key=key)
    return found


def _problem(key: str, value: float, unit: str) -> str:
    """Return what is expected of a value that cannot be, nothing if it can."""
    positive = unit in _POSITIVE or key in _DIVISORS
    if value < 0.0 or (positive and value == 0.0):
        return f"expected a number {'>' if positive else '>='} 0"
    if key in _WHOLE and (value < 1.0 or value != int(value)):
        return "expected a whole number >= 1"
    return "expected at most 1" if key.endswith("_share") and value > 1.0 else ""


def start_disease(found: Mapping[str, Values], body: Values, own: Repertoire, graft: Repertoire, weight_kg: float,
                  seed: int, autoreactivity: float = 1.0) -> Disease | None:  # fmt: skip
    """Return the disease of a patient, ``None`` if there is none.

    Args:
        found: what :func:`read_autoimmune` returned.
        body: ``body.csv``.
        own: receptor classes of the patient's pools.
        graft: those of a graft's.
        weight_kg: of the patient.
        seed: of the run.
        autoreactivity: myelin-reactive T cells of this patient, relative to those of the tables.
    """
    pools = section(LymphocyteRules, body, weight_kg)
    if "sclerosis" in found:
        rules = section(SclerosisRules, {**body, **found["sclerosis"]}, weight_kg)
        return _start_sclerosis(rules, pools, own, graft, seed, autoreactivity)
    if "lupus" in found:
        turnover = pools.b_production / pools.b_pool
        ill = section(LupusRules, {**body, **found["lupus"]}, weight_kg)
        if ill.expansion <= turnover:
            raise ConfigError(f"expected more than the turnover of B cells, {turnover:g}/d", key="lupus.csv expansion")
        born, active = ({Kind.IMMATURE_B: share} for share in (ill.born_share, ill.active_share))
        return Lupus(ill, PoolShares(born, active, active if own is graft else born), seed, pools.b_pool, turnover)
    return None


def _start_sclerosis(
    rules: SclerosisRules, pools: LymphocyteRules, own: Repertoire, graft: Repertoire, seed: int, autoreactivity: float
) -> Sclerosis:
    """Start multiple sclerosis: a graft of the patient's own has the patient's clones, one of a donor none of them."""
    usual_own, theirs = (_frequencies(of, Specificity.MYELIN) for of in (own, graft))
    mine = {kind: min(share * autoreactivity, 1.0) for kind, share in usual_own.items()}
    autologous = own is graft
    sizes = mine[Kind.CD4_MEMORY] * unequal_sizes(int(rules.clones), rules.clone_exponent)
    given = np.append(sizes, 0.0) if autologous else np.append(np.zeros_like(sizes), theirs[Kind.CD4_MEMORY])
    born, patient, donor = ({Kind.CD4_NAIVE: of[Kind.CD4_NAIVE]} for of in (mine, mine, theirs))
    naive = PoolShares(born, patient, donor)
    memory = pools.cd4_memory_pool
    clones = PathogenicClones(Kind.CD4_MEMORY, sizes * memory, given, naive, seed, rules.resident_share)
    start, healthy = {Kind.TREG: rules.working_share}, {Kind.TREG: 1.0}
    working = PoolShares(healthy, start, start if autologous else healthy)
    usual = pools.treg_pool / (pools.cd4_naive_pool + pools.cd4_memory_pool)
    resident = rules.resident_share * usual_own[Kind.CD4_MEMORY] * memory
    return Sclerosis(rules, naive, clones, working, seed, usual, resident)


def _frequencies(repertoire: Repertoire, specificity: Specificity) -> dict[Kind, float]:
    """Return the frequency of a receptor class in naive and memory CD4 cells."""
    kinds = (Kind.CD4_NAIVE, Kind.CD4_MEMORY)
    return {kind: dict(repertoire.get(kind, ())).get(specificity, 0.0) for kind in kinds}
