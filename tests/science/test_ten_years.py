"""Healthy marrow for ten years: nothing drifts but the clones of stem cells, and these as neutral theory says."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from abm import resources
from abm.backends import choose
from abm.cells import COLD, NICHE_MASK, Count, Kind
from abm.config import load_config
from abm.step import Simulation

pytestmark = [pytest.mark.science, pytest.mark.slow]

Floats = NDArray[np.float64]
YEARS, YEAR_D, EDGE = 10, 365, 32
BLOCK_D = 73  #: means over a fifth of a year, between which little is left of the wave of a count
STEADY = ("anc", "platelets", "hb", "hsc")
SCENARIO = {"human": "homeostasis.toml", "mouse": "homeostasis_mouse.toml"}
#: Of adults: neutrophils, platelets (1e9/L), haemoglobin (g/L) that every year's mean lies in.
NORMAL = {
    "human": {"anc": (2.0, 7.0), "platelets": (150.0, 400.0), "hb": (120.0, 170.0)},
    "mouse": {"anc": (0.5, 2.0), "platelets": (700.0, 1400.0), "hb": (130.0, 160.0)},
}
RESAMPLES = 2000


class Years(NamedTuple):
    """Ten years of a healthy patient.

    Attributes:
        daily: counts by name, one value a day.
        occupants: clone in every niche by day, -1 if it is empty; shape (days, niches).
        births: divisions of stem cells; ``committed``: stem cells that became progenitors.
        committed: see ``births``.
    """

    daily: dict[str, Floats]
    occupants: NDArray[np.int64]
    births: int
    committed: int


@pytest.fixture(scope="module", params=SCENARIO)
def species(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def years(species: str) -> Years:
    return live(species)


def live(species: str) -> Years:
    """Follow a healthy patient; the marrow of a mouse as long as that of a man."""
    scenario = Path(resources.folder("scenarios")) / SCENARIO[species]
    changes = [f"patch.shape=[{EDGE},{EDGE},{EDGE}]", f"time.end_day={YEARS * YEAR_D}"]
    sim = Simulation.start(load_config(scenario, changes, 1), choose("auto")[0])
    niches = np.flatnonzero((sim.lattice.owned("tissue") & NICHE_MASK) != 0)
    occupants, rows = [stem_cells(sim, niches)], []
    while sim.step < sim.n_steps:
        sim.advance()
        if sim.step % 24 == 0:
            seen = sim.observables() | {"hsc": float(sim.last[Count.POPULATION, Kind.HSC].sum())}
            rows.append([seen[name] for name in STEADY])
            occupants.append(stem_cells(sim, niches))
    daily = dict(zip(STEADY, np.array(rows).T, strict=True))
    births, committed = (int(sim.flux[row, Kind.HSC].sum()) for row in (Count.BIRTH, Count.LEFT))
    return Years(daily, np.array(occupants), births, committed)


def stem_cells(sim: Simulation, niches: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the clone in each niche, -1 where there is no stem cell."""
    clone = next(field for field in COLD if field.name == "clone")
    hot, cold = (sim.lattice.owned(name).reshape(-1)[niches] for name in ("res_hot", "res_cold"))
    number = (cold >> np.uint32(clone.shift)).astype(np.int64) & ((1 << clone.bits) - 1)
    return np.where((hot & 63) == Kind.HSC, number, -1)


def trend(daily: Floats) -> tuple[float, float]:
    """Return the slope per year after the first year, and its standard error, both relative to the mean.

    From means over blocks; what is left of correlation between neighbouring ones widens the error (AR(1)).
    """
    after = daily[YEAR_D : len(daily) // BLOCK_D * BLOCK_D]
    blocks = after.reshape(-1, BLOCK_D).mean(axis=1)
    time = (np.arange(blocks.size) - (blocks.size - 1) / 2) * BLOCK_D / YEAR_D
    slope = float(time @ blocks / (time @ time))
    left = blocks - blocks.mean() - slope * time
    follows = max(float(np.corrcoef(left[1:], left[:-1])[0, 1]), 0.0)
    error = np.sqrt(left @ left / (blocks.size - 2) / (time @ time) * (1 + follows) / (1 - follows))
    return slope / float(blocks.mean()), float(error) / float(blocks.mean())


@pytest.mark.parametrize("name", STEADY)
def test_counts_do_not_drift(years: Years, name: str) -> None:
    """No slope beyond three standard errors; and the error is small enough to see 5 % a year."""
    slope, error = trend(years.daily[name])
    assert abs(slope) < 3 * error
    assert 3 * error < 0.05


@pytest.mark.parametrize("name", NORMAL["human"])
def test_counts_stay_normal(years: Years, species: str, name: str) -> None:
    """The mean of every year; four days of five, but that the few megakaryocytes of so small a patch make waves."""
    low, high = NORMAL[species][name]
    by_year = years.daily[name][: YEARS * YEAR_D].reshape(YEARS, YEAR_D).mean(axis=1)
    assert low < by_year.min()
    assert by_year.max() < high
    assert np.mean((years.daily[name] > low) & (years.daily[name] < high)) > (0.6 if name == "platelets" else 0.8)


def replacement(years: Years) -> float:
    """Return how often a niche goes to a daughter of another stem cell, per niche and day, from counted events.

    Niches are left at rate d, and filled from the blood, which gets the d that left and of the beta daughters the share
    that does not commit: r = d b / (d + b), b = beta times that share.
    """
    before, after = years.occupants[:-1], years.occupants[1:]
    days = (before >= 0).sum()
    leave = ((before >= 0) & (after != before)).sum() / days
    surplus = (years.births - years.committed) / days
    return float(leave * surplus / (leave + surplus))


def moran(founders: NDArray[np.int64], replaced: float, days: int) -> tuple[Floats, Floats]:
    """Return sum of squared clone shares and number of clones after so many days of neutral replacement, by chance."""
    random = np.random.default_rng(20260101)
    cells = np.tile(founders, (RESAMPLES, 1))
    row = np.arange(RESAMPLES)
    events = random.poisson(replaced * days * founders.size, RESAMPLES)
    for i in range(int(events.max())):
        lost, mother = random.integers(0, founders.size, (2, RESAMPLES))
        cells[row, lost] = np.where(i < events, cells[row, mother], cells[row, lost])
    ordered = np.sort(cells, axis=1)
    number = (np.diff(ordered, axis=1) > 0).sum(axis=1) + 1.0
    shares = np.array([np.sum((np.unique(line, return_counts=True)[1] / founders.size) ** 2) for line in ordered])
    return shares, number


def test_clones_drift_as_neutral_theory_says(years: Years) -> None:
    """Evenness and number of the clones lie in the 99 % interval of a Moran process with the counted replacements."""
    start, end = (line[line >= 0] for line in (years.occupants[0], years.occupants[-1]))
    _, sizes = np.unique(end, return_counts=True)
    found = (float(np.sum((sizes / sizes.sum()) ** 2)), float(sizes.size))
    expected = moran(start, replacement(years), len(years.occupants) - 1)
    assert found[1] < 0.5 * start.size  # there is drift to be seen
    for value, drawn in zip(found, expected, strict=True):
        low, high = np.quantile(drawn, [0.005, 0.995])
        assert low <= value <= high
