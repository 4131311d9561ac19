"""What is compared with published data: short functions of a run, each with its unit.

A *curve* has one value for every record; a target takes its mean over some days. The others are one number of a run:
infinite for the day of an event that never came, ``None`` where the question does not arise. Days count from the graft,
or from the first treatment where the function says so. Names are what ``analysis/targets/*.toml`` calls ``observable``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..read import Run
from . import (
    antibodies,
    autoimmunity,
    blood,
    cart,
    clonal,
    edits,
    engraftment,
    immunity,
    infection,
    losses,
    lymphocytes,
    marrow,
    recovery,
    relapse,
    residual,
    takes,
    virus,
)
from .registry import REGISTRY, Floats, Observable

#: How an event that never came is stored: JSON has no infinity.
NEVER = "never"

__all__ = [
    "NEVER", "REGISTRY", "Observable", "antibodies", "autoimmunity", "blood", "cart", "clonal", "edits", "engraftment",
    "immunity", "infection", "losses", "lymphocytes", "marrow", "measure", "recovery", "relapse", "residual", "takes",
    "virus",
]  # fmt: skip


def measure(run: Run) -> dict[str, Any]:
    """Return all that the run offers, ready for JSON: ``values`` by name, and ``curves`` by name as daily means."""
    zero = (run.graft() or {"day": 0.0})["day"]
    days = np.floor(np.asarray(run.day, np.float64) - zero + 1e-6).astype(np.int64)
    values: dict[str, float | str | None] = {}
    curves: dict[str, list[float | None]] = {}
    for name, entry in REGISTRY.items():
        made = entry.make(run)
        if entry.curve:
            if made is not None:
                curves[name] = _daily(days, np.asarray(made, np.float64))
        else:
            values[name] = None if made is None or np.isnan(made) else NEVER if np.isposinf(made) else float(made)
    return {"first_day": int(days[0]), "values": values, "curves": curves}


def _daily(days: NDArray[np.int64], values: Floats) -> list[float | None]:
    """Return the mean of every calendar day from the first on; ``None`` where there is no number."""
    sums, numbers = (np.bincount(days - days[0], weights=w) for w in (np.nan_to_num(values), np.isfinite(values)))
    return [float(f"{s / n:.5g}") if n else None for s, n in zip(sums.tolist(), numbers.tolist(), strict=True)]
