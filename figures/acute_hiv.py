"""The figure of the share of CD4 cells without CCR5 that holds HIV: RNA of patients without a lattice and 1 - 1/R0.

    python -m figures.acute_hiv docs/hiv_threshold.png

Patients of ``hiv_untreated`` whose CD4 cells and stem cells lack CCR5 in a share, with many cells infected on the day
on which virus leaves its place of entry, so that chance decides nothing, and virus that keeps its coreceptor.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm import resources
from abm.config import load_config
from abm.well_mixed import WellMixed
from analysis.observables.virus import DETECTED
from analysis.sheet import BLUE, GREY, RED, legends, save, sheet

Floats = NDArray[np.float64]
SHARES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.85, 0.88, 0.9, 0.91, 0.93, 0.95, 0.97, 1.0)
DAYS, LATE = 200, 60  #: days from exposure that are followed, and days at their end that count as late
STEP_MIN = 240
#: Numbers of hiv.csv that differ: infected cells of the start, R5 infections that yield X4 virus.
CHANGES = {"founder_cells": 1e5, "x4_mutation": 0.0}
LEAST = 1e-2  #: copies/mL, smallest that is drawn


class Course(NamedTuple):
    """One patient: share without CCR5, R0 on the day of exposure, RNA of every day in copies/mL."""

    share: float
    r0: float
    load: Floats


def follow(share: float, rules: Path, days: int = DAYS) -> Course:
    """Follow a patient, a share of whose cells lack CCR5, from exposure on; ``rules`` holds what differs of hiv.csv.

    Raises:
        ValueError: the rules know no HIV.
    """
    changes = [
        f'patch.rules="{rules}"', "time.start_day=0", f"time.end_day={days}", f"time.step_min={STEP_MIN}",
        "output.series_h=24",
    ]  # fmt: skip
    patient = WellMixed(load_config(resources.folder("scenarios") / "hiv_untreated.toml", changes))
    hiv = patient.body.hiv
    if hiv is None:
        msg = "the rules know no HIV"
        raise ValueError(msg)
    r0 = float(patient.body.observables()["hiv_reproduction"])
    hiv.coreceptor.stem[:] = share
    hiv.coreceptor.null[:] = share
    load = []
    for _ in range(days):
        for _ in range(24 * 60 // STEP_MIN):
            patient.advance()
        load.append(float(patient.body.observables()["hiv_load"]))
    return Course(share, r0, np.array(load))


def changed_rules(folder: Path) -> None:
    """Write hiv.csv into a folder, a few numbers of which differ."""
    rows = (resources.folder("scenarios") / "rules" / "human" / "hiv.csv").read_text(encoding="utf-8").splitlines()
    for number, row in enumerate(rows):
        name, _, rest = row.partition(",")
        if name in CHANGES:
            rows[number] = f"{name},{CHANGES[name]:g},{rest.partition(',')[2]}"
    (folder / "hiv.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def courses(shares: Sequence[float] = SHARES, days: int = DAYS) -> list[Course]:
    """Return a patient of each share."""
    with TemporaryDirectory(prefix="abm-hiv-") as name:
        changed_rules(Path(name))
        return [follow(share, Path(name), days) for share in shares]


def draw(found: Sequence[Course], out: Path) -> None:
    """Draw the highest RNA and that of the last days against the share."""
    figure, ((panel,),) = sheet(1, 1, (7.0, 3.8))
    shares = [100.0 * one.share for one in found]
    highest = [max(float(one.load.max()), LEAST) for one in found]
    late = [max(float(one.load[-LATE:].mean()), LEAST) for one in found]
    days = found[0].load.size
    panel.semilogy(shares, highest, "o-", color=RED, label=f"highest of {days} days")
    panel.semilogy(shares, late, "s--", color=BLUE, label=f"mean of the last {LATE} days")
    panel.axhline(DETECTED, color=GREY, linewidth=0.8, linestyle=":", label=f"seen by usual assays, {DETECTED:g}")
    held = 100.0 * (1.0 - 1.0 / found[0].r0)
    panel.axvline(held, color="black", linewidth=0.8, label=f"1 - 1/R0 = {held:.0f} % (R0 = {found[0].r0:.1f})")
    panel.set(xlabel="CD4 cells without CCR5 at the start, %", ylabel="HIV RNA, copies/mL", ylim=(LEAST, 1e7))
    legends([panel], loc="lower left")
    save(figure, out)


def main(words: Sequence[str]) -> None:
    """Follow the patients, draw the figure and say what is in it."""
    if len(words) != 1:
        sys.exit("usage: python -m figures.acute_hiv OUT.png")
    found = courses()
    draw(found, Path(words[0]))
    print(f"R0 {found[0].r0:.2f}, threshold {100 * (1 - 1 / found[0].r0):.1f} %")
    for one in found:
        print(f"{100 * one.share:3.0f} %: highest {one.load.max():.3g}, late {one.load[-LATE:].mean():.3g} copies/mL")


if __name__ == "__main__":
    main(sys.argv[1:])
