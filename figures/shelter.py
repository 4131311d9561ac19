"""The figure of leukaemia at stroma: a slice of marrow before and after chemotherapy, and where what is left lies.

    python -m figures.shelter docs/shelter.png

AML under three days of cytarabine and daunorubicin, by the rules and with nothing spared at stroma (the same patient).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from abm.backends import choose
from abm.cells import STROMA_BIT, TISSUE_MASK, Kind, Tissue
from abm.config import Config
from abm.model.body.drugs import LEUKAEMIC
from abm.step import Simulation
from analysis.sheet import BLUE, GREY, RED, legends, save, sheet

SHAPE = (40, 60, 60)
DAYS = 2.5
SLICE = slice(18, 22)  #: planes that are drawn on each other
SOLID = {Tissue.BONE: "0.55", Tissue.SINUSOID: "#e8cfcf", Tissue.ADIPOCYTE: "0.88"}
DRUGS = {"cytarabine": 200.0, "daunorubicin": 60.0}  #: mg/m2 a day


class View(NamedTuple):
    """A patch at one time.

    Attributes:
        title: what it is.
        tissue: tissue bytes (nz, ny, nx).
        leukaemic: whether a leukaemic cell stands there, (nz, ny, nx).
    """

    title: str
    tissue: NDArray[np.uint8]
    leukaemic: NDArray[np.bool_]

    @property
    def beside(self) -> NDArray[np.bool_]:
        """Sites that hold stroma or share a face with it, (nz, ny, nx)."""
        stroma = (self.tissue & STROMA_BIT) != 0
        found: NDArray[np.bool_] = stroma.copy()
        for axis in range(3):
            found |= np.roll(stroma, 1, axis) | np.roll(stroma, -1, axis)
        return found

    @property
    def touching(self) -> float:
        """Share of the leukaemic cells that touch stroma."""
        return float(self.beside[self.leukaemic].mean()) if self.leukaemic.any() else 0.0

    @property
    def by_chance(self) -> float:
        """Share of the marrow sites that touch stroma."""
        return float(self.beside[(self.tissue & TISSUE_MASK) == Tissue.MARROW].mean())


def patient(shape: Sequence[int] = SHAPE) -> Config:
    """Return a patient with AML on a patch of this shape, under induction."""
    doses = {"day": 0.0, "action": "chemo", "doses": 3, "every_h": 24}
    return Config.model_validate(
        {
            "seed": 1,
            "patch": {"shape": list(shape)},
            "time": {"start_day": 0.0, "end_day": 3.0},
            "patient": {"disease": "aml", "blast_fraction": 0.8},
            "events": [doses | {"drug": drug, "dose_mg_per_m2": dose} for drug, dose in DRUGS.items()],
        }
    )


def views(config: Config, backend: str = "auto", days: float = DAYS) -> list[View]:
    """Return the patch before the first dose, and some days later without and with what stroma spares."""
    found = list[View]()
    for spares in (False, True):
        sim = Simulation.start(config, choose(backend)[0])
        if not spares:
            found.append(_view("before the first dose", sim))
            sim.body.tables = replace(sim.body.tables, shelter=0.0)
        while sim.day < days:
            sim.advance()
        found.append(_view(f"day {days:g}, {'by the rules' if spares else 'were nothing spared'}", sim))
    return found


def _view(title: str, sim: Simulation) -> View:
    kind = sim.lattice.owned("res_hot") & np.uint32(63)
    return View(title, sim.lattice.owned("tissue"), np.isin(kind, [Kind(one) for one in LEUKAEMIC]))


def draw(found: Sequence[View], out: Path, planes: slice = SLICE) -> None:
    """Draw some planes of each on each other."""
    figure, (panels,) = sheet(1, len(found), (3.4 * len(found), 4.0))
    for panel, view in zip(panels, found, strict=True):
        _draw(panel, view, planes)
    legends(panels[1:2], loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3)
    save(figure, out)


def _draw(panel: Axes, view: View, planes: slice) -> None:
    tissue, cells, beside = (array[planes] for array in (view.tissue, view.leukaemic, view.beside))
    middle = tissue[len(tissue) // 2] & TISSUE_MASK
    panel.contourf(middle == Tissue.BONE, levels=[0.5, 1.5], colors=[SOLID[Tissue.BONE]])
    for label in (Tissue.SINUSOID, Tissue.ADIPOCYTE):
        panel.contourf(middle == label, levels=[0.5, 1.5], colors=[SOLID[label]])
    groups = {
        "stroma": ((tissue & STROMA_BIT) != 0, BLUE, "+", 22.0),
        "leukaemic": (cells & ~beside, GREY, ".", 14.0),
        "leukaemic, at stroma": (cells & beside, RED, "o", 14.0),
    }
    for name, (where, colour, mark, size) in groups.items():
        _, y, x = np.nonzero(where)
        panel.scatter(x, y, s=size, c=colour, marker=mark, linewidths=0.6, label=name)
    fold = view.touching / view.by_chance
    panel.set_title(f"{view.title}\n{100 * view.touching:.0f} % at stroma, {fold:.2f} x chance", fontsize=9)
    panel.set(xticks=[], yticks=[], aspect="equal")


def main(words: Sequence[str]) -> None:
    """Follow the patient twice, draw the figure and say what is in it."""
    if len(words) != 1:
        sys.exit("usage: python -m figures.shelter OUT.png")
    found = views(patient())
    draw(found, Path(words[0]))
    for view in found:
        print(f"{view.title}: {view.leukaemic.sum()} leukaemic cells, {view.touching / view.by_chance:.2f} x chance")


if __name__ == "__main__":
    main(sys.argv[1:])
