"""The figure of a TP53 clone through an autograft for lymphoma, and of the neoplasms that come of it.

    python -m figures.treated_clones docs/tmn_after_autograft.png 150

Stem cells one by one of the patients of ``tmn_after_autograft``, with its treatment and without any, for ten years; the
number is that of patients.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from abm import resources
from abm.cells import GAIN_VARIANT
from abm.config import load_config
from abm.setup import Model, load_model, subclones
from abm.stem_clones import DAYS_PER_YEAR, StemClones, StemRates
from abm.validation.lives import AFTER, STEM_CELLS, STEPS, latency, treat
from analysis.sheet import BLUE, RED, legends, save, sheet

#: Whether the treatment is given: what it is called, colour.
ARMS = {True: ("DHAP, BEAC, autograft", RED), False: ("none", BLUE)}
SHOWN = 20  #: patients whose clones are drawn
#: Carriers of any clone ten years from an autograft: percent, its 95 % interval (Gibson, J Clin Oncol 2017).
PUBLISHED, INTERVAL = 14.1, (8.0, 20.0)


class Patient(NamedTuple):
    """One patient.

    Attributes:
        years: from the graft.
        share: of the stem cells that carry the variant, at these times.
        seen: year in which a neoplasm is seen, however late; infinite: none.
    """

    years: Sequence[float]
    share: Sequence[float]
    seen: float


def follow(model: Model, seed: int, *, treated: bool, cells: int = STEM_CELLS) -> Patient:
    """Follow a patient from the start of the scenario to ten years from the graft."""
    rates = StemRates.of(model.config, model.rules, occupancy=model.traffic["niche_occupancy"])
    marrow = StemClones(rates, cells, seed)
    (variant,) = {one.gain >> GAIN_VARIANT for one in subclones(model)}
    for one in subclones(model):
        marrow.begin(variant, round(one.share * cells))
    before = -model.config.time.start_day / DAYS_PER_YEAR
    years, share = [-before], [marrow.share(variant)]
    if treated:
        treat(marrow, model)
    while marrow.year < before:
        marrow.advance(min(1.0 / STEPS, before - marrow.year))
    start = marrow.year
    while True:
        years.append(marrow.year - start)
        share.append(marrow.share(variant))
        if years[-1] >= AFTER:
            break
        marrow.advance(1.0 / STEPS)
    seen = min(marrow.transformed, default=np.inf) - start + latency(model)
    return Patient(years, share, float(seen))


def cohorts(patients: int, cells: int = STEM_CELLS) -> Mapping[bool, list[Patient]]:
    """Return so many patients with and without treatment."""
    model = load_model(load_config(resources.folder("scenarios") / "tmn_after_autograft.toml"))
    return {
        treated: [follow(model, seed, treated=treated, cells=cells) for seed in range(1, patients + 1)]
        for treated in ARMS
    }


def neoplasms(patients: Sequence[Patient], years: float) -> int:
    """Return how many have a neoplasm that is seen by then."""
    return sum(one.seen <= years for one in patients)


def draw(found: Mapping[bool, Sequence[Patient]], out: Path) -> None:
    """Draw the clones of some patients, and the share of all who have a neoplasm."""
    figure, ((clones, ill),) = sheet(1, 2, (8.0, 3.2))
    for treated, (name, colour) in ARMS.items():
        for number, one in enumerate(found[treated][:SHOWN]):
            label = None if number else name
            clones.plot(one.years, [100.0 * x for x in one.share], color=colour, linewidth=0.7, label=label)
        times = sorted(one.seen for one in found[treated] if one.seen <= AFTER)
        share = 100.0 / len(found[treated])
        heights = [share * number for number in (*range(len(times) + 1), len(times))]
        ill.step([0.0, *times, AFTER], heights, where="post", color=colour, label=name)
    _published(ill)
    clones.set(ylabel="stem cells with TP53, %", ylim=(0, 1.25 * clones.get_ylim()[1]))
    patients = min(len(found[treated]) for treated in ARMS)
    ill.set(ylabel=f"with a neoplasm, % of {patients}", ylim=(0, 1.25 * ill.get_ylim()[1]), xlim=(0, AFTER + 0.3))
    for panel in (clones, ill):
        panel.set_xlabel("years from the graft")
    legends([clones, ill], loc="upper left", title="treatment", title_fontsize=8)
    save(figure, out)


def _published(panel: Axes) -> None:
    low, high = INTERVAL
    panel.errorbar(AFTER, PUBLISHED, [[PUBLISHED - low], [high - PUBLISHED]], fmt="ok", capsize=3, clip_on=False,
                   label="carriers of any clone (Gibson 2017)")  # fmt: skip


def main(words: Sequence[str]) -> None:
    """Follow the patients, draw the figure and say what is in it."""
    if len(words) != 2 or not words[1].isdecimal() or not int(words[1]):
        sys.exit("usage: python -m figures.treated_clones OUT.png PATIENTS")
    found = cohorts(int(words[1]))
    draw(found, Path(words[0]))
    for treated, (name, _) in ARMS.items():
        some = found[treated]
        shares = ", ".join(
            f"{100 * np.mean([np.interp(year, one.years, one.share) for one in some]):.1f} % at year {year:.1f}"
            for year in (some[0].years[0], 0, 1, 10)
        )
        ill = ", ".join(f"{neoplasms(some, year)} by {year}" for year in (2, 5, 10))
        print(f"treatment {name}: of {len(some)} a neoplasm in {ill}; stem cells with TP53 {shares}")


if __name__ == "__main__":
    main(sys.argv[1:])
