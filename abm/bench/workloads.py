"""What is measured: scenarios, their sizes, and cells put in by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from abm import resources
from abm.bench.tiled import copies, tile
from abm.cells import TISSUE_MASK, Cycle, Kind, Origin, Specificity, Tissue, pack_hot
from abm.config import Config, load_config
from abm.errors import ConfigError
from abm.phases import HALO
from abm.setup import Census
from abm.step import Simulation
from abm.tables import did_you_mean

#: marrow-lite: share of sites with a resident cell, of these tumour cells, and of sites with a T cell.
FILLED, TUMOUR, T_CELLS = 0.60, 0.10, 0.05
#: motile-heavy: share of marrow sites with a lymphocyte.
LYMPHOCYTES = 0.20
#: Lymphocytes of motile-heavy: kind, origin, receptor and share. The effectors are donor cells that see the host.
MIXTURE = (
    (Kind.CD4_NAIVE, Origin.HOST, Specificity.NONE, 0.35),
    (Kind.CD8_NAIVE, Origin.HOST, Specificity.NONE, 0.35),
    (Kind.TREG, Origin.HOST, Specificity.NONE, 0.10),
    (Kind.NK, Origin.HOST, Specificity.NONE, 0.10),
    (Kind.CD8_EFFECTOR, Origin.DONOR, Specificity.HOST_HAEMATOPOIETIC, 0.10),
)
#: Sites for which a draw is made; further ones share those.
DRAWN_SITES = 1 << 25
#: Distance to a sinusoid where there is none.
FAR = 255
U32 = NDArray[np.uint32]


class Workload(NamedTuple):
    """One thing to measure.

    Attributes:
        what: one line for people.
        scenario: file below ``scenarios/``.
        size: sites along each edge, unless the user asks for another number.
        period: steps measured before the state is set back to the start.
        fill: puts cells into a started simulation.
        burn_in: steps done before anything is measured.
        bare: whether all sites are marrow, so that no tissue needs to be made.
        fields_only: whether only the field sweeps are measured.
    """

    what: str
    scenario: str
    size: int
    period: int
    fill: Callable[[Simulation], None] | None = None
    burn_in: int = 0
    bare: bool = False
    fields_only: bool = False

    def config(self, size: int) -> Config:
        """Return the configuration at a size, sites along each edge."""
        path = Path(resources.folder("scenarios")) / self.scenario
        return load_config(path, [f"patch.shape=[{size},{size},{size}]"])

    def start(self, config: Config, backend: Any) -> Simulation:  # noqa: ANN401 - any backend
        """Return the simulation before its first step."""
        simulation = bare_patch(config, backend) if self.bare else Simulation.start(config, backend)
        if self.fill:
            self.fill(simulation)
        return simulation

    def ready(self, size: int, backend: Any) -> Simulation:  # noqa: ANN401 - any backend
        """Return the simulation at a size, sites along each edge, after its burn-in."""
        n = 1 if self.bare else copies(size)
        simulation = self.start(self.config(size // n), backend)
        for _ in range(self.burn_in):
            self.step(simulation)
        return simulation if n == 1 else tile(self.config(size), backend, simulation)

    def step(self, simulation: Simulation) -> None:
        """Do what counts as one step."""
        if self.fields_only:
            for name, settings in simulation.sweeps.items():
                simulation.lattice.exchange(name)
                simulation.lattice.sweep(name, settings)
        else:
            simulation.advance()


def bare_patch(config: Config, backend: Any) -> Simulation:  # noqa: ANN401 - any backend
    """Return an empty patch where all sites are marrow; at 1e9 sites making tissue that is not there takes minutes."""
    simulation = Simulation(config, backend)
    nothing = np.zeros(config.patch.shape, np.uint8)
    simulation.lattice.load("tissue", nothing)
    simulation._prepare(Census.take(nothing, simulation.comm))
    nothing[...] = FAR
    simulation.lattice.load("distance", nothing)
    return simulation


def fill_marrow_lite(simulation: Simulation) -> None:
    """Put residents and T cells on random sites; the draws are those of ``benchmarks/peers/model.py``."""
    rng = np.random.default_rng(simulation.config.seed)
    normal, tumour = (pack_hot(kind=kind, cycle=Cycle.CYCLING) for kind in (Kind.MPP, Kind.BLAST))
    t_cell = pack_hot(kind=Kind.CD8_EFFECTOR, cycle=Cycle.CYCLING, specificity=Specificity.LEUKAEMIA)

    def resident(draw: NDArray[np.float32]) -> U32:
        cells = np.where(draw < FILLED * TUMOUR, np.uint32(tumour), np.uint32(normal))
        return np.where(draw < FILLED, cells, np.uint32(0))

    def motile(draw: NDArray[np.float32]) -> U32:
        return np.where(draw < T_CELLS, np.uint32(t_cell), np.uint32(0))

    for layer, choose in (("res", resident), ("mot", motile)):
        put_cells(simulation, layer, (choose(draw) for draw in planes(simulation, rng)))
    simulation._refresh_counts()  # the ledger starts from who is there now


def fill_with_lymphocytes(simulation: Simulation) -> None:
    """Put lymphocytes on one marrow site in five."""
    words = np.array([pack_hot(kind=k, origin=o, specificity=s) for k, o, s, _ in MIXTURE] + [0], np.uint32)
    bounds = np.cumsum([share * LYMPHOCYTES for *_, share in MIXTURE])
    marrow = (simulation.lattice.owned("tissue") & TISSUE_MASK) == Tissue.MARROW
    draws = planes(simulation, np.random.default_rng(simulation.config.seed))
    cells = (
        np.where(open_, words[np.searchsorted(bounds, draw, side="right")], np.uint32(0))
        for draw, open_ in zip(draws, marrow, strict=True)
    )
    put_cells(simulation, "mot", cells)
    simulation._refresh_counts()


def planes(simulation: Simulation, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Yield one draw per site, plane by plane: a lattice of 1e9 sites must not need many times its memory.

    Draws are repeated after so many planes that to make them does not take longer than all the rest.
    """
    nz, ny, nx = simulation.config.patch.shape
    drawn = [rng.random((ny, nx), dtype=np.float32) for _ in range(min(nz, max(DRAWN_SITES // (ny * nx), 1)))]
    return islice(cycle(drawn), nz)


def put_cells(simulation: Simulation, layer: str, cells: Iterator[U32]) -> None:
    """Replace the cells of a layer ("res" or "mot") by those of ``cells``, one array (ny, nx) per plane."""
    hot = np.empty(simulation.config.patch.shape, np.uint32)
    for z, plane in enumerate(cells):
        hot[z] = plane
    simulation.lattice.load(f"{layer}_hot", hot)
    hot[...] = 0
    simulation.lattice.load(f"{layer}_cold", hot)


WORKLOADS: dict[str, Workload] = {
    "marrow-lite": Workload(
        "the lattice alone, as every framework can state it",
        "bench/marrow_lite.toml",
        100,
        10,
        fill_marrow_lite,
        bare=True,
    ),
    # 48 + 21 steps: crowded, and still before the first drug, on day -7
    "hsct-full": Workload("leukaemic marrow before transplantation, full rules", "aml_hsct.toml", 64, 20, burn_in=48),
    "homeostasis-256": Workload("healthy marrow, full rules, far larger than the caches", "homeostasis.toml", 256, 40),
    "motile-heavy": Workload(
        "a lymphocyte on every fifth site, full rules", "homeostasis.toml", 64, 10, fill_with_lymphocytes
    ),
    "fields": Workload("sweeps of the diffusing fields alone", "homeostasis.toml", 128, 40, fields_only=True),
}
#: What `abm bench` measures if it is not told.
DEFAULT = ("marrow-lite", "hsct-full", "fields")


def find(name: str) -> Workload:
    """Return a workload by name.

    Raises:
        ConfigError: no such workload; names the nearest.
    """
    if name not in WORKLOADS:
        raise ConfigError(f"no such workload{did_you_mean(name, WORKLOADS)}", file=name)
    return WORKLOADS[name]


def check_size(size: int) -> None:
    """Refuse a size that no lattice can have.

    Raises:
        ConfigError: with the smallest size.
    """
    if size < 2 * HALO:
        raise ConfigError(f"expected at least {2 * HALO} sites along each edge, found {size}", key="--size")
