"""Infections: bacteria and fungi against neutrophils, latent viruses against the T cells that know them.

Bacteria cross the mucosa by chance, in numbers that differ from time to time, and grow while what eats them is slow.
Neutrophils take up a limited number each, so that a small inoculum is cleared where a large one is not: there are two
outcomes above a critical number of neutrophils and one below it. Latent viruses awake by chance and grow where few T
cells of their class are left. Nothing here acts on the marrow; infections are told, treated, and may kill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import inf

import numpy as np

from abm.exactmath import exp
from abm.model.body.numerics import HOURS_PER_DAY, Floats, Packed
from abm.philox import philox
from abm.streams import Stream
from abm.tables import Folder, Row, read_table

#: In the order of every array below.
PATHOGENS = ("bacteria", "fungi", "cmv", "ebv")
BACTERIA, FUNGI, CMV, EBV = range(len(PATHOGENS))
#: Loads are in units of the load at which an infection is told by fever, antigen or copies, and counts as an episode.
EPISODE = 1.0
_TWO32 = 4294967296.0
_AHEAD = 64


@dataclass(frozen=True)
class Pathogen:
    """One block of ``pathogens.csv``.

    Attributes:
        onset: inocula per day through a barrier of leak 1; awakenings of a latent virus.
        barrier: leak added by a gut without any epithelium.
        barrier_floor: leak of a healthy gut, skin and catheters included.
        steroid: rise of the onset at full inhibition of killing by steroids.
        growth: growth rate without defence, 1/d.
        kill: what all defenders of a healthy adult kill per day of a load far below saturation.
        saturation: load at which a defender is half as fast.
        inoculum: largest inoculum; half of all are below about ``saturation``.
        capacity: load at which growth ends.
        treatment: what a drug that works takes from the load, 1/d.
        uncovered: share of the episodes in which the first drug does not work.
        adapt: rate at which one that works is found, 1/d.
        death: hazard at a high load, 1/d.
        death_half: load at which it is half as high.
    """

    onset: float
    barrier: float
    barrier_floor: float
    steroid: float
    growth: float
    kill: float
    saturation: float
    inoculum: float
    capacity: float
    treatment: float
    uncovered: float
    adapt: float
    death: float
    death_half: float


_PER_DAY = ("onset", "growth", "kill", "treatment", "adapt", "death")
UNITS = {f.name: "1/d" if f.name in _PER_DAY else "1" for f in fields(Pathogen)}
_NEVER_ZERO = ("growth", "saturation", "capacity", "death_half")


def read_pathogens(folder: Folder) -> tuple[Pathogen, ...]:
    """Return the pathogens of ``pathogens.csv`` in the order of ``PATHOGENS``."""
    blocks: dict[str, dict[str, float]] = {name: {} for name in PATHOGENS}
    rows = read_table(folder / "pathogens.csv", ("pathogen", "quantity", "value"), key=("pathogen", "quantity"))
    for row in rows:
        _take(row, blocks)
    for name, found in blocks.items():
        if missing := [quantity for quantity in UNITS if quantity not in found]:
            raise rows[0].error("pathogen", f"{name} lacks {', '.join(missing)}")
    return tuple(Pathogen(**blocks[name]) for name in PATHOGENS)


def _take(row: Row, blocks: Mapping[str, dict[str, float]]) -> None:
    found, quantity = blocks[row.choice("pathogen", PATHOGENS)], row.choice("quantity", UNITS)
    row.choice("unit", [UNITS[quantity]])
    if quantity in found:
        raise row.error("quantity", f"{quantity} of {row.text('pathogen')} stands twice")
    most = 1.0 if quantity == "uncovered" else None
    found[quantity] = row.number("value", 1e-9 if quantity in _NEVER_ZERO else 0.0, most)


@dataclass(frozen=True)
class Host:
    """What an infection meets, constant over a step.

    Attributes:
        defence: defenders of each pathogen relative to a healthy adult, as far as drugs let them act.
        room: share of its growth for which each finds what it needs; 0: the patient does not carry it.
        gut_loss: lost share of the gut epithelium.
        steroid: share of killing that steroids inhibit.
        prevented: share of the onsets of each that prophylaxis prevents.
        treated: share of the full treatment that is given against each once it is told.
    """

    defence: Sequence[float]
    room: Sequence[float] = (1.0,) * len(PATHOGENS)
    gut_loss: float = 0.0
    steroid: float = 0.0
    prevented: Sequence[float] = (0.0,) * len(PATHOGENS)
    treated: Sequence[float] = (1.0,) * len(PATHOGENS)


class Infections(Packed):
    """Loads and episodes of one patient.

    Attributes:
        load: of every pathogen, in units of ``EPISODE``, shape (len(PATHOGENS),).
        began: day on which the present episode began; infinite between episodes; likewise.
        covered: 1 if the usual drug works in the present episode, likewise.
        episodes: episodes so far, likewise.
        turn: steps so far, which number the draws.
    """

    STATE = ("load", "began", "covered", "episodes", "turn")

    def __init__(self, pathogens: Sequence[Pathogen], seed: int) -> None:
        """Start without any infection; ``seed`` is that of the run."""
        self.pathogens, self._seed = pathogens, seed
        self._drawn: tuple[int, list[list[list[float]]]] = (-1, [])
        self.load: Floats = np.zeros(len(PATHOGENS))
        self.began: Floats = np.full(len(PATHOGENS), inf)
        self.covered: Floats = np.zeros(len(PATHOGENS))
        self.episodes: Floats = np.zeros(len(PATHOGENS))
        self.turn = 0.0

    def advance(self, host: Host, day: float, step_h: float) -> None:
        """Advance by ``step_h`` hours that end on ``day``."""
        for i, pathogen in enumerate(self.pathogens):
            rate = onsets(i, pathogen, host)
            if rate <= 0.0 and self.load[i] == 0.0:
                continue  # nothing comes, nothing grows
            luck = self._luck(int(self.turn))[i]
            self._invade(i, pathogen, rate, luck, step_h / HOURS_PER_DAY)
            if self.load[i] > 0.0:
                self._grow(i, pathogen, host, step_h / HOURS_PER_DAY)
                self._tell(i, pathogen, host.treated[i], luck, day, step_h / HOURS_PER_DAY)
        self.turn += 1.0

    def _luck(self, turn: int) -> list[list[float]]:
        """Return four random numbers between 0 and 1 for every pathogen, drawn for ``_AHEAD`` steps at a time."""
        first = turn - turn % _AHEAD
        if first != self._drawn[0]:
            turns, which = np.indices((_AHEAD, len(PATHOGENS)))
            words = np.stack(philox(self._seed, which, first + turns, Stream.INFECTION * 256), axis=-1)
            self._drawn = first, ((words + 0.5) / _TWO32).tolist()
        return self._drawn[1][turn - first]

    def _invade(self, i: int, pathogen: Pathogen, rate: float, luck: Sequence[float], days: float) -> None:
        """Add an inoculum, if one comes in this step."""
        if rate > 0.0 and luck[0] < 1.0 - exp(-rate * days):
            least = 1.0 / (1.0 + pathogen.inoculum / pathogen.saturation)
            u = least + (1.0 - least) * luck[1]
            self.load[i] = self.load[i] + pathogen.saturation * (1.0 / u - 1.0)

    def _grow(self, i: int, pathogen: Pathogen, host: Host, days: float) -> None:
        """Let the load grow or fall; below a thousandth of what saturates one defender nothing is left."""
        load = float(self.load[i])
        growth = pathogen.growth * host.room[i] * (1.0 - min(load / pathogen.capacity, 1.0))
        eaten = pathogen.kill * host.defence[i] / (1.0 + load / pathogen.saturation)
        cured = pathogen.treatment * float(self.covered[i]) * host.treated[i]
        grown = load * exp(min(max(growth - eaten - cured, -100.0), 100.0) * days)
        self.load[i] = grown if grown > 1e-3 * pathogen.saturation else 0.0

    def _tell(self, i: int, pathogen: Pathogen, treated: float, luck: Sequence[float], day: float, days: float) -> None:
        """Begin or end an episode and choose its drug."""
        if self.began[i] < inf and self.load[i] == 0.0:
            self.began[i], self.covered[i] = inf, 0.0
        elif self.began[i] < inf:
            if treated > 0.0 and luck[3] < 1.0 - exp(-pathogen.adapt * days):
                self.covered[i] = 1.0
        elif self.load[i] >= EPISODE:
            self.began[i] = day
            self.episodes[i] += 1.0
            self.covered[i] = float(luck[2] >= pathogen.uncovered)

    def hazards(self) -> Floats:
        """Return the hazard of death by every pathogen, 1/d, shape (len(PATHOGENS),); none before an episode."""
        ill = zip(self.pathogens, self.load.tolist(), self.began.tolist(), strict=True)
        return np.array([p.death * load / (load + p.death_half) if day < inf else 0.0 for p, load, day in ill])


def onsets(i: int, pathogen: Pathogen, host: Host) -> float:
    """Return the inocula per day of pathogen ``i``."""
    if host.room[i] <= 0.0:
        return 0.0
    leak = pathogen.barrier_floor + pathogen.barrier * host.gut_loss
    return pathogen.onset * leak * (1.0 + pathogen.steroid * host.steroid) * (1.0 - host.prevented[i])


def episode_rate(i: int, pathogen: Pathogen, host: Host) -> float:
    """Return the episodes per day to be expected if things stayed as they are.

    An inoculum grows if it exceeds saturation * (c - 1), where c is what defenders kill over what grows; one in c does
    (less for the largest that there are), and all do where c is below 1.
    """
    rate = onsets(i, pathogen, host)
    if rate <= 0.0:
        return 0.0
    c = pathogen.kill * host.defence[i] / (pathogen.growth * host.room[i])
    least = 1.0 / (1.0 + pathogen.inoculum / pathogen.saturation)
    return rate * min(max((1.0 / max(c, 1e-9) - least) / (1.0 - least), 0.0), 1.0)
