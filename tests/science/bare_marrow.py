"""A bare patch under a few rules of one's own: one mechanism alone, to be compared with its equations."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abm import resources
from abm.backends import choose
from abm.bench.workloads import bare_patch
from abm.cells import Kind
from abm.config import load_config
from abm.setup import Census
from abm.step import Simulation

#: Table cell that says where a number of a test comes from.
SOURCE = "definition of the test"
_UNITS = {"gcsf": "fold", "niche": "flag"}


class Rules:
    """Rule tables: those of the bare workload, in which a test replaces rows.

    Every method takes over rows and returns the tables, so that calls can be chained; :meth:`write` makes the files.
    """

    def __init__(self) -> None:
        """Take the tables of the workload; what it does not have is that of the species."""
        self._rows: dict[str, list[list[str]]] = {}

    def kind(self, name: str, stages: int, next_kind: str = "", flags: str = "CYCLING") -> Rules:
        """Declare a kind by its stages and what follows it, without any behaviour yet."""
        for table in ("kinds", "behaviours", "responses", *(("fates",) if next_kind else ())):
            self._drop(table, name)
        self._add("kinds", [name, stages, "stem", flags, 0, 0, "stage", SOURCE, "assumption"])
        if next_kind:
            self._add("fates", [name, next_kind, 1, "fraction", SOURCE, "assumption"])
        return self

    def rate(self, kind: str, cycle: str = "any", **rates: float) -> Rules:
        """Set rates per day (RENEW: probability) of a kind that :meth:`kind` declared."""
        for behaviour, value in rates.items():
            unit = "probability" if behaviour == "RENEW" else "1/day"
            self._add("behaviours", [kind, cycle, behaviour, repr(value), unit, SOURCE, "assumption"])
        return self

    def response(self, kind: str, behaviour: str, signal: str, maximum: float, half: float, power: int = 1) -> Rules:
        """Let a signal change a rate: up if ``maximum`` is above 1, else down."""
        direction = "increases" if maximum > 1.0 else "decreases"
        row = [kind, "any", behaviour, signal, direction, repr(maximum), repr(half), power, _UNITS[signal]]
        return self._add("responses", [*row, SOURCE, "assumption"])

    def value(self, table: str, **values: float) -> Rules:
        """Replace values of a table of names ("body", "traffic")."""
        for row in self._table(table):
            if row[0] in values:
                row[1] = repr(values.pop(row[0]))
        assert not values, f"{table}.csv has no {', '.join(values)}"
        return self

    def drug(self, name: str, **values: float) -> Rules:
        """Replace values of a drug by target; all other kill of it is set to zero."""
        for row in self._table("drugs"):
            if row[0] == name and row[1] != "reference_dose":
                row[2] = repr(values.pop(row[1], 0.0 if row[5] == "log10" else float(row[2])))
        assert not values, f"{name} has no {', '.join(values)}"
        return self

    def write(self, folder: Path) -> Path:
        """Write the tables into ``folder`` and return it."""
        for table in ("activations", "behaviours", "expression", "fates", "kinds", "responses", "tissue", "traffic"):
            self._table(table)
        for table, rows in self._rows.items():
            with (folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(rows)
        return folder

    def _table(self, name: str) -> list[list[str]]:
        if name not in self._rows:
            scenarios = Path(resources.folder("scenarios"))
            own = scenarios / "bench" / "marrow_lite" / f"{name}.csv"
            text = (own if own.exists() else scenarios / "rules" / "human" / f"{name}.csv").read_text(encoding="utf-8")
            lines = [line for line in text.splitlines() if not line.startswith("#")]
            self._rows[name] = list(csv.reader(lines))
        return self._rows[name]

    def _drop(self, table: str, kind: str) -> None:
        self._rows[table] = [row for row in self._table(table) if row[0] != kind]

    def _add(self, table: str, row: Iterable[object]) -> Rules:
        self._table(table).append([str(cell) for cell in row])
        return self


def start(
    folder: Path,
    shape: Sequence[int],
    days: float,
    *,
    step_min: int,
    seed: int,
    tissue: NDArray[np.uint8] | None = None,
) -> Simulation:
    """Return a patch without cells whose sites are all marrow, or as ``tissue`` says, under the rules in ``folder``."""
    scenario = folder / "patch.toml"
    scenario.write_text(
        f'title = "one mechanism"\n[patch]\nshape = {list(shape)}\nrules = "."\n'
        f"[time]\nstart_day = 0\nend_day = {days}\nstep_min = {step_min}\n",
        encoding="utf-8",
    )
    sim = bare_patch(load_config(scenario, (), seed), choose("auto")[0])
    if tissue is not None:
        sim.lattice.load("tissue", tissue)
        sim._prepare(Census.take(tissue, sim.comm))
    return sim


def put(sim: Simulation, hot: NDArray[np.uint32], cold: NDArray[np.uint32] | None = None) -> None:
    """Put resident cells on the lattice of a simulation."""
    sim.lattice.load("res_hot", hot)
    sim.lattice.load("res_cold", np.zeros_like(hot) if cold is None else cold)
    sim._refresh_counts()


def scatter(sim: Simulation, cells: Mapping[int, int]) -> None:
    """Put so many cells of each hot word on sites drawn at random."""
    hot = np.zeros(sim.n_sites, np.uint32)
    sites = np.random.default_rng(sim.config.seed).permutation(sim.n_sites)
    words = np.repeat(np.array(list(cells), np.uint32), list(cells.values()))
    hot[sites[: words.size]] = words
    put(sim, hot.reshape(sim.domain.shape))


def deliver(sim: Simulation, kind: Kind, exits_per_day: float) -> None:
    """Let so many agents of a kind that leave per day stand for the production of a healthy body."""
    scale = sim.body.scale
    nominal = dict(scale.exit_cells)
    nominal[kind] = sim.body.blood.rules.neutrophil_production / exits_per_day
    sim.scale = sim.body.scale = replace(scale, exit_cells=nominal)


def agree(samples: Sequence[Any], expected: Any, errors: float = 4.0) -> None:  # noqa: ANN401 - numbers or arrays
    """Check that the mean of independent runs (first axis) lies within standard errors of what theory expects."""
    found = np.asarray(samples, np.float64)
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    off = np.abs(found.mean(axis=0) - expected) / error
    assert np.all(off < errors), f"mean {found.mean(axis=0)}, expected {expected}, off by {off} standard errors"
