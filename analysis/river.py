"""The river of clones as PNG, by matplotlib: the share of each large clone in a lineage, in time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .clones import Census, river
from .pictures import DOTS_PER_INCH, GREY, SOFT

SHOWN = ("stem cells", "Granulocytic", "B-lymphoid")


def write_river(found: Sequence[Census], file: Path) -> Path:
    """Draw a river for each lineage of ``SHOWN``; edited clones in colours of green, others in those of orange."""
    figure = Figure(figsize=(9.6, 3.4 * len(SHOWN)), layout="constrained")
    panels = figure.subplots(len(SHOWN), 1, sharex=True)
    days = [census.day for census in found]
    for axes, lineage in zip(panels, SHOWN, strict=True):
        shares, edited = river(found, lineage)
        shades = [0.35 + 0.5 * (k % 7) / 6 for k in range(len(edited))]  # neighbours differ
        maps = [colormaps["Greens" if is_edited else "Oranges"] for is_edited in edited]
        colours = [colours(shade) for colours, shade in zip(maps, shades, strict=True)]
        axes.stackplot(days, 100.0 * shares, colors=[*colours, SOFT], linewidth=0.4, edgecolor="white")
        axes.set(ylabel=f"{lineage}, %", xlim=(days[0], days[-1]), ylim=(0, 100))
    panels[-1].set_xlabel("day")
    handles = [
        Patch(color=colormaps[name](0.6), label=text)
        for name, text in (("Greens", "edited clones"), ("Oranges", "other clones"))
    ]
    figure.legend(
        handles=[*handles, Patch(color=SOFT, label="small clones")],
        loc="outside lower center",
        ncols=3,
        frameon=False,
        labelcolor=GREY,
    )
    figure.savefig(file, dpi=DOTS_PER_INCH)
    return file
