"""Which autoimmune disease a patient has: its table, and its start in the body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from abm.cells import Kind, Specificity
from abm.errors import ConfigError
from abm.model.body.autoimmunity import SelfReactive
from abm.model.body.parameters import NEVER_ZERO, section, units_of
from abm.model.body.repertoire import Repertoire
from abm.model.body.sclerosis import Sclerosis, SclerosisRules
from abm.tables import Amended, Folder, read_values

#: Rules by the table that states them. A species or disease that has none of them has no autoimmune disease.
TABLES: Mapping[str, type[Any]] = {"sclerosis": SclerosisRules}
#: Units of autoimmune tables whose values may not be 0, besides those of the body.
_POSITIVE = ("cells", "points")

Values = Mapping[str, float]
Disease = Sclerosis


def read_autoimmune(folder: Folder) -> dict[str, Values]:
    """Return the values of the autoimmune diseases whose tables are in ``folder``, by table."""
    found: dict[str, Values] = {}
    for name, rules in TABLES.items():
        path, units = folder / f"{name}.csv", units_of(rules)
        if not isinstance(path, Amended) and not path.is_file():
            continue
        found[name] = read_values(path, units)
        for key, value in found[name].items():
            positive = units[key] in NEVER_ZERO + _POSITIVE
            if value < 0.0 or (positive and value == 0.0):
                message = f"expected a number {'>' if positive else '>='} 0, found {value:g}"
                raise ConfigError(message, file=str(path), key=key)
    return found


def start_disease(found: Mapping[str, Values], body: Values, own: Repertoire, graft: Repertoire, weight_kg: float,
                  seed: int) -> Disease | None:  # fmt: skip
    """Return the disease of a patient, ``None`` if there is none.

    Args:
        found: what :func:`read_autoimmune` returned.
        body: ``body.csv``.
        own: receptor classes of the patient's pools.
        graft: those of a graft's.
        weight_kg: of the patient.
        seed: of the run.
    """
    if "sclerosis" in found:
        mine, theirs = (_frequencies(of, Specificity.MYELIN) for of in (own, graft))
        rules = section(SclerosisRules, {**body, **found["sclerosis"]}, weight_kg)
        return Sclerosis(rules, SelfReactive(mine, mine, theirs), seed)
    return None


def _frequencies(repertoire: Repertoire, specificity: Specificity) -> dict[Kind, float]:
    """Return the frequency of a receptor class in naive and memory CD4 cells."""
    kinds = (Kind.CD4_NAIVE, Kind.CD4_MEMORY)
    return {kind: dict(repertoire.get(kind, ())).get(specificity, 0.0) for kind in kinds}
