"""Checks of the engine, and chains of runs, that no scenario can make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from abm import io, resources
from abm.backends import choose
from abm.cells import COLD, Kind, pack_hot
from abm.config import Config, load_config
from abm.config_graft import Edit
from abm.endpoints import RECOVERED
from abm.model.editing import Product, activated_variant
from abm.phases import HALO, Phases
from abm.setup import SITE_UM, load_model
from abm.stem_clones import StemClones, StemRates
from abm.step import Simulation
from abm.validation.following import follow
from abm.validation.lives import autograft_life, chip_life
from abm.well_mixed import WellMixed

_SIDE = 48  #: sites along each edge
_APART = 6  #: sites between walkers at the start: they hardly meet, and an empty neighbour is nearly always there
_HOURS = 24
_MOST_TRANSFERS = 8
NEVER = "never"  #: as observables store what is infinite
#: Grafts with added genes: copies in a cell, stem cells of the patient, those of them that took, years of follow-up.
_COPIES, _STEM_CELLS, _FOUNDERS, _YEARS, _YEAR_STEP = 1.5, 100_000, 10_000, 8.0, 0.05
_LAG_H = 4  #: displacements are taken over so long, many hops, and short against the way around the box


def random_walk(seed: int) -> dict[str, Any]:
    """Let lone lymphocytes walk through empty marrow; compare their spread with the motility of the rule table."""
    config = Config.model_validate({"seed": seed, "patch": {"shape": [_SIDE] * 3}})
    simulation = Simulation.start(config, choose("auto")[0])
    simulation.advance()  # brings the tables of a step to where the kernels run
    lattice = simulation.lattice
    for name, words in _walkers().items():
        lattice.load(name, words)
    lattice.exchange("tissue", "distance", "res_hot", "res_cold", motile_depth=HALO)
    tracks = [_positions(lattice)]
    for hour in range(_HOURS):
        for substep in range(simulation.model.substeps):
            lattice.motile_substep(hour, substep)
        tracks.append(_positions(lattice))
    expected = 6.0 * float(simulation.model.rules.motility[Kind.CD8_NAIVE]) * 60.0 * _LAG_H
    ratio = mean_square(np.array(tracks)) * SITE_UM * SITE_UM / expected
    return {"first_day": 0, "values": {"motility_ratio": ratio}, "curves": {}}


def _walkers() -> dict[str, NDArray[Any]]:
    """Return an empty marrow with numbered lymphocytes at regular distances."""
    shape = (_SIDE,) * 3
    hot, cold = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    places = (slice(None, None, _APART),) * 3
    hot[places] = pack_hot(kind=Kind.CD8_NAIVE)
    cold[places] = np.arange(hot[places].size, dtype=np.uint32).reshape(hot[places].shape)  # the clone is the number
    nobody = np.zeros(shape, np.uint32)
    bare = {name: np.zeros(shape, np.uint8) for name in ("tissue", "distance")}
    return {**bare, "res_hot": nobody, "res_cold": nobody.copy(), "mot_hot": hot, "mot_cold": cold}


def _positions(lattice: Phases) -> NDArray[np.int64]:
    """Return the site of every walker by its number, shape (n, 3)."""
    cold = lattice.owned("mot_cold")
    sites = np.argwhere(lattice.owned("mot_hot") != 0)
    clone = next(field for field in COLD if field.name == "clone")
    number = (cold[tuple(sites.T)] >> clone.shift) & ((1 << clone.bits) - 1)
    return np.asarray(sites[np.argsort(number)], np.int64)


def mean_square(tracks: NDArray[np.int64]) -> float:
    """Return the mean square displacement over the lag in sites squared, from hourly positions (T, n, 3) in the box."""
    moved = np.diff(tracks, axis=0)
    moved = (moved + _SIDE // 2) % _SIDE - _SIDE // 2  # the shorter way around
    windows = moved.reshape(-1, _LAG_H, *moved.shape[1:]).sum(axis=1)
    return float((windows * windows).sum(axis=-1).mean())


def serial_transfer(seed: int) -> dict[str, Any]:
    """Give marrow from mouse to mouse until blood no longer returns; that of the first competes with fresh marrow."""
    last, marrow, loss = 0, "", None
    with TemporaryDirectory(prefix="abm-serial-") as name:
        for transfer in range(1, _MOST_TRANSFERS + 1):
            changes = [f'events.1.marrow_of="{marrow}"'] if marrow else []
            mouse = _lived("mouse_serial", changes, seed * _MOST_TRANSFERS + transfer)
            if mouse.observables()["anc"] < RECOVERED["mouse"].anc:
                break
            last, marrow = transfer, str(io.write_checkpoint(Path(name) / str(transfer), mouse.snapshot(), keep=1))
            loss = _loss(marrow, seed) if transfer == 1 else loss
    return {"first_day": 0, "values": {"serial_transfers": float(last), "competitive_loss": loss}, "curves": {}}


def _lived(scenario: str, changes: Sequence[str], seed: int) -> Simulation:
    """Return the patient at the end of a shipped scenario."""
    path = resources.folder("scenarios") / f"{scenario}.toml"
    simulation = Simulation.start(load_config(path, changes, seed), choose("auto")[0])
    while not simulation.over:
        simulation.advance()
    return simulation


def _loss(marrow: str, seed: int) -> float | str:
    """Return by what factor fewer blood cells come from this marrow than from as many cells of a fresh one."""
    mouse = _lived("mouse_competitive", [f'events.1.marrow_of="{marrow}"', "time.end_day=56"], seed)
    seen = mouse.observables()
    first, second = seen["donor_myeloid"] - seen["donor2_myeloid"], seen["donor2_myeloid"]
    return second / first if first > 0.0 else NEVER


def ccr5_rebound(seed: int) -> dict[str, Any]:
    """Follow the patient of a graft without CCR5 for 20 months in steps of 4 h, without a lattice and in remission."""
    path = resources.folder("scenarios") / "ccr5_hiv.toml"
    config = load_config(path, ["patient.disease=none", "patient.blast_fraction=0", "time.step_min=240"], seed)
    return follow(WellMixed(config), config, "well-mixed")


def vector_leukaemia(vector: Literal["gammaretroviral", "lentiviral"], seed: int) -> dict[str, Any]:
    """Follow the stem cells of a patient after a graft with added genes, at their true number, to a leukaemic one."""
    config = Config()
    model = load_model(config)
    edit = Edit(locus="TRANSGENE", vcn=_COPIES, receptor="TCR_TRANSGENE", vector=vector)
    product = Product(edit, model.tables.editing, seed, 0, 0, activated_variant(model.rules.heredity.variants))
    marrow = StemClones.of_graft(StemRates.of(config, model.rules), _STEM_CELLS, _FOUNDERS, product, seed)
    while marrow.year < _YEARS and not marrow.transformed:
        marrow.advance(_YEAR_STEP)
    return {"first_day": 0, "values": {"vector_leukaemia": float(bool(marrow.transformed))}, "curves": {}}


EXPERIMENTS: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "random_walk": random_walk,
    "serial_transfer": serial_transfer,
    "ccr5_rebound": ccr5_rebound,
    "chip_life": chip_life,
    "autograft_life": partial(autograft_life, clone=False),
    "autograft_clone": partial(autograft_life, clone=True),
    "gammaretroviral_leukaemia": partial(vector_leukaemia, "gammaretroviral"),
    "lentiviral_leukaemia": partial(vector_leukaemia, "lentiviral"),
}
