"""The figures of clones over a life: who has one by age, and the clones of some people, without and with inflammation.

    python -m figures.clone_lives docs/clonal_haematopoiesis.png docs/clones_over_life.png 60

Stem cells one by one, from birth to 90, under the rules of ``disease = "chip"``; the number is that of people.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes

from abm.config import Config
from abm.setup import load_model
from abm.stem_clones import StemClones, StemRates
from abm.validation.lives import CARRIER, END, STEM_CELLS, STEPS
from analysis.sheet import BLUE, GREY, PURPLE, RED, SOFT, legends, save, sheet

#: Lasting levels of inflammation that are compared, and how they are called.
LEVELS = {0.0: "no inflammation", 0.3: "lasting inflammation (0.3)"}
COLOURS = dict(zip(LEVELS, (BLUE, RED), strict=True))
#: Variants of ``variants.csv``: name and colour.
VARIANTS = {1: ("one hit", BLUE), 2: ("two hits", RED), 3: ("TP53-like", PURPLE)}
SMALLEST = 0.002  #: variant allele frequency from which a clone is drawn
SHOWN = 20  #: people whose clones are drawn
AGES = range(20, END + 1, 5)


class Life(NamedTuple):
    """What was seen of one person at every birthday.

    Attributes:
        largest: variant allele frequency of the largest clone, by age.
        clones: variant, ages and frequencies of each clone while it is large enough to be drawn.
        leukaemia: ages at which a leukaemic stem cell arose.
    """

    largest: Sequence[float]
    clones: Sequence[tuple[int, Sequence[int], Sequence[float]]]
    leukaemia: Sequence[float]


def live(rates: StemRates, seed: int, cells: int = STEM_CELLS) -> Life:
    """Follow the stem cells of one person from birth on."""
    marrow = StemClones(rates, cells, seed)
    largest, seen = [0.0], dict[int, tuple[int, list[int], list[float]]]()
    for age in range(1, END + 1):
        for _ in range(STEPS):
            marrow.advance(1.0 / STEPS)
        vaf = marrow.vaf
        largest.append(float(vaf.max(initial=0.0)))
        for clone in (vaf >= SMALLEST).nonzero()[0].tolist():
            number, variant = int(marrow.number[clone + 1]), int(marrow.variant[clone + 1])
            _, ages, frequencies = seen.setdefault(number, (variant, [], []))
            ages.append(age)
            frequencies.append(float(vaf[clone]))
    return Life(largest, [*seen.values()], marrow.transformed)


def cohorts(people: int, cells: int = STEM_CELLS) -> Mapping[float, list[Life]]:
    """Return the lives of so many people at each level of inflammation."""
    config = Config.model_validate({"patient": {"disease": "chip"}})
    rules = load_model(config).rules
    return {
        level: [live(StemRates.of(config, rules, level), seed, cells) for seed in range(1, people + 1)]
        for level in LEVELS
    }


def carriers(lives: Sequence[Life], age: int) -> int:
    """Return how many have a clone by which one speaks of clonal haematopoiesis at that age."""
    return sum(life.largest[age] >= CARRIER for life in lives)


def leukaemias(lives: Sequence[Life], age: float) -> int:
    """Return in how many a leukaemic stem cell has arisen by that age."""
    return sum(any(year <= age for year in life.leukaemia) for life in lives)


def draw_ages(found: Mapping[float, Sequence[Life]], out: Path) -> None:
    """Draw who has a clone, and who a leukaemic stem cell, by age."""
    figure, ((panel,),) = sheet(1, 1, (7.0, 3.7))
    for level, lives in found.items():
        share = 100.0 / len(lives)
        had = [share * carriers(lives, age) for age in AGES]
        ill = [share * leukaemias(lives, age) for age in AGES]
        panel.plot(AGES, had, "o-", color=COLOURS[level], label=f"clone of 2 %: {LEVELS[level]}")
        panel.plot(AGES, ill, ":", color=COLOURS[level], label="leukaemic stem cell")
    people = min(len(lives) for lives in found.values())
    panel.set(xlabel="age, years", ylabel=f"people, % (n = {people})", ylim=(0, None))
    legends([panel], loc="upper left")
    save(figure, out)


def draw_clones(found: Mapping[float, Sequence[Life]], out: Path) -> None:
    """Draw the clones of the first people, and when a leukaemic stem cell arose."""
    figure, (panels,) = sheet(1, len(found), (8.4, 3.4))
    for panel, (level, lives) in zip(panels, found.items(), strict=True):
        some = lives[:SHOWN]
        _clones(panel, some)
        panel.set_title(f"{LEVELS[level]}: leukaemia in {leukaemias(some, END)} of {len(some)} by {END}", fontsize=9)
    panels[0].set_ylabel("variant allele frequency, %")
    for variant, (name, colour) in VARIANTS.items():
        panels[0].plot([], [], color=colour, label=name, gid=f"variant {variant}")
    panels[0].plot([], [], "x", color="black", label="leukaemic stem cell")
    legends(panels[:1], loc="upper left")
    save(figure, out)


def _clones(panel: Axes, lives: Sequence[Life]) -> None:
    for life in lives:
        for variant, ages, frequencies in life.clones:
            percent = [100.0 * one for one in frequencies]
            panel.semilogy(ages, percent, color=VARIANTS.get(variant, ("", GREY))[1], linewidth=1.0)
        if life.leukaemia:
            panel.plot(life.leukaemia[0], 75.0, "x", color="black")
    panel.axhline(100.0 * CARRIER, color=SOFT, linewidth=0.8, linestyle=":")
    panel.set(xlabel="age, years", xlim=(0, END), ylim=(100.0 * SMALLEST, 100.0), yscale="log")


def main(words: Sequence[str]) -> None:
    """Draw both figures from as many lives, and say what is in them."""
    if len(words) != 3 or not words[2].isdecimal() or not int(words[2]):
        sys.exit("usage: python -m figures.clone_lives AGES.png CLONES.png PEOPLE")
    found = cohorts(int(words[2]))
    draw_ages(found, Path(words[0]))
    draw_clones(found, Path(words[1]))
    for level, lives in found.items():
        had = ", ".join(f"{carriers(lives, age)} at {age}" for age in (40, 70, 80, 90))
        ill = ", ".join(f"{leukaemias(lives, age)} by {age}" for age in (80, 90))
        print(f"{LEVELS[level]}: of {len(lives)} people a clone of 2 % in {had}; a leukaemic stem cell in {ill}")


if __name__ == "__main__":
    main(sys.argv[1:])
